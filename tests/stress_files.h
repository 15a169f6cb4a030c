/* tests/stress_files.h - a file and a shared-memory object under the stress test: every space maps both, and a private view of the
 * file.
 *
 * In each page of the two a worker has a block of its own; nobody else writes it, so it knows what the block must hold, through
 * whatever mapping, reclaim, write-back, fork or move. Pages from CHECKED on are truncated now and then: they are only touched. */
#ifndef UMEMCG_TESTS_STRESS_FILES_H
#define UMEMCG_TESTS_STRESS_FILES_H

#include "soft_fixture.h"

enum file_seen {
	FILE_STORE, FILE_CHECK, FILE_PRIVATE, FILE_UNMAP, FILE_MOVE, FILE_WRITE, FILE_MIGRATE, FILE_TRUNCATE,
	FILE_INVALIDATE, NR_FILE_SEEN
};

/* One after the other: @fx is up, before the first space; all threads stopped, spaces ended. */
void files_up(struct soft_fixture *fx);
void files_down(void);
/* Map all in a new space. False: no memory. */
bool files_map(struct mm *mm);
/* One action of worker @id < 8 in a space of its own. @random: its generator's state. False: there was no memory for it, the space
 * is to be ended. */
bool files_step(struct mm *mm, unsigned id, uint64_t *random);
/* @mm was killed: what only it has is given back. */
void files_reap(struct mm *mm);
/* An access by a second thread of a space, which may be gone meanwhile. */
void files_visit(struct mm *mm, unsigned id, uint64_t *random);
/* One action on the file itself. One thread does them. */
void files_keep(uint64_t *random);
/* Was each done? */
bool files_all_seen(void);
/* Print how often each was done, and fail the test if one never was. */
void files_report(void);

#endif

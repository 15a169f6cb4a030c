/* serve/remote/files.h - the control files of the run's group, for other commands: what ctl/ctl.h
 * needs to know of the processes, and writes in a thread of their own.
 *
 * A write may reclaim for seconds. One is under way at a time; its thread is joined before the next
 * begins, and at the end of the run.
 */
#ifndef UMEMCG_SERVE_REMOTE_FILES_H
#define UMEMCG_SERVE_REMOTE_FILES_H

#include "serve/client/client.h"
#include "serve/remote/remote.h"

/* Belongs to the remote thread but for what is marked (W): the writing thread's until @done. */
struct files_job {
	struct supervisor *s;
	struct plat_thread thread;
	bool running;          /* @thread is to be joined */
	atomic32_t done;       /* (A) the writer sets it, the remote thread waits for it */
	struct waitq ended;    /* the writer wakes the remote thread */
	int error;             /* (W) */
	struct remote_ask ask; /* (W) */
};

void files_init(struct files_job *j);
void files_read(struct supervisor *s, const struct remote_ask *m, struct remote_file *out);
/* 0; or -errno: nothing was begun. */
int files_write_begin(struct files_job *j, struct supervisor *s, const struct remote_ask *m);
/* Wait a few milliseconds. False: it has ended, with *@error. */
bool files_write_wait(struct files_job *j, int *error);
/* Wait for the last write: bounded, as each is. */
void files_write_end(struct files_job *j);

#endif

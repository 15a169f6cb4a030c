/* mm/migrate.h - moving pages to another memory node, under the feet of whoever uses them.
 *
 * A page that is taken out of its place is replaced, entry by entry, by migration entries, which name its frame.
 * They exist only while the migrator has that page locked: whoever meets one waits for the page lock and looks
 * again.
 */
#ifndef UMEMCG_MM_MIGRATE_H
#define UMEMCG_MM_MIGRATE_H

#include "mm/mm_types.h"

enum migrate_reason {
	MIGRATE_COMPACTION,  /* to make room: passes over pages that are locked or under writeback */
	MIGRATE_DEMOTION,    /* to a slower node, for somebody who waits for the frame: likewise */
	MIGRATE_DEMOTION_KSWAPD, /* the same, ahead of need */
	MIGRATE_SYSCALL,     /* somebody asked for just these pages: waits for them */
};

/* Statistics: a call counts each page it was given once, to the page's owner: pgmigrate_success what moved (and a
 * demotion pgdemote_direct or pgdemote_kswapd), pgmigrate_fail what did not, nothing what was gone. */
struct migrate_result {
	unsigned migrated;
	unsigned failed;     /* still where they were, and what they were */
	unsigned gone;       /* freed by their last user meanwhile */
};

#define MIGRATE_BATCH_MAX 128

/* Move isolated pages (lru_isolate, lru_isolate_page; one reference each, which is consumed) to @node. What is left
 * of them is back on its lists. Nothing may be locked. 0: all moved or gone. -EAGAIN: some failed, they are in use
 * just now. -ENOMEM: some failed for want of memory on @node. -EOPNOTSUPP: the MMU does not share pages; -EINVAL:
 * no such node. @r is filled in any case. */
int migrate_pages(struct engine *e, struct page **pages, unsigned n, unsigned node, enum migrate_reason reason,
		  struct migrate_result *r);
/* The same, but what could not be moved is still isolated, referenced by the caller: the first @r->failed of @pages. */
int migrate_isolated(struct engine *e, struct page **pages, unsigned n, unsigned node, enum migrate_reason reason,
		     struct migrate_result *r);
/* Move what is mapped in [start, end) and is elsewhere to @node. Returns as migrate_pages; @r counts all. A page
 * that is isolated by somebody else counts as failed, but in no statistic: nobody tried to move it. */
int migrate_range(struct mm *mm, uint64_t start, uint64_t end, unsigned node, enum migrate_reason reason,
		  struct migrate_result *r);

/* Wait until the migration that made @pte is over. Nothing locked but mmap_lock. Takes no reference: the page must be
 * the migrator's alone. Its record is never given back, so the worst is to wait for another page's lock. */
void migration_entry_wait(struct engine *e, pte_t pte);

#endif

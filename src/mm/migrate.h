/* mm/migrate.h - moving pages to another memory node while they are in use.
 *
 * Each entry that maps the page is replaced by a migration entry, which names its frame. Migration
 * entries exist only while the migrator holds the page lock: a thread that meets one waits for the
 * page lock and retries.
 */
#ifndef UMEMCG_MM_MIGRATE_H
#define UMEMCG_MM_MIGRATE_H

#include "mm/mm_types.h"

enum migrate_reason {
	MIGRATE_COMPACTION,      /* to make room: skips pages that are locked or under writeback */
	MIGRATE_DEMOTION,        /* to a slower node, a thread waits for the frame: likewise */
	MIGRATE_DEMOTION_KSWAPD, /* the same, ahead of need */
	MIGRATE_SYSCALL,         /* explicit request for these pages: waits for them */
};

/* Statistics: a call counts each page once, to the page's owner: pgmigrate_success if it moved (for
 * a demotion also pgdemote_direct or pgdemote_kswapd), pgmigrate_fail if it did not, nothing if it
 * was gone. */
struct migrate_result {
	unsigned migrated;
	unsigned failed; /* unchanged and still in place */
	unsigned gone;   /* freed by their last user in the meantime */
};

#define MIGRATE_BATCH_MAX 128

/* Move isolated pages (lru_isolate, lru_isolate_page; consumes one reference each) to @node.
 * Surviving pages are put back on their lists. No locks may be held. 0: all moved or gone. -EAGAIN:
 * some are currently in use. -ENOMEM: some failed for lack of memory on @node. -EOPNOTSUPP: the MMU
 * does not share pages; -EINVAL: no such node. @r is always filled. */
int migrate_pages(struct engine *e, struct page **pages, unsigned n, unsigned node,
		  enum migrate_reason reason, struct migrate_result *r);
/* The same, but pages that could not be moved stay isolated and referenced by the caller: the first
 * @r->failed of @pages. */
int migrate_isolated(struct engine *e, struct page **pages, unsigned n, unsigned node,
		     enum migrate_reason reason, struct migrate_result *r);
/* Move the pages mapped in [start, end) that are not on @node to @node. Returns as migrate_pages;
 * @r counts all. A page isolated by another thread counts as failed, but in no statistic, as no
 * move was tried. */
int migrate_range(struct mm *mm, uint64_t start, uint64_t end, unsigned node,
		  enum migrate_reason reason, struct migrate_result *r);

/* Wait until the migration that made @pte is over. Only mmap_lock may be held. Takes no reference:
 * the page must be the migrator's alone. Page records are never freed, so the worst case is to wait
 * for another page's lock. */
void migration_entry_wait(struct engine *e, pte_t pte);

#endif

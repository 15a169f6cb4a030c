/* mm/reclaim.h - reclaiming pages: direct reclaim at a limit, background reclaim ahead of it. */
#ifndef UMEMCG_MM_RECLAIM_H
#define UMEMCG_MM_RECLAIM_H

#include "mm/mm_types.h"

#define RECLAIM_NOSWAP 1u  /* memory+swap is full: swapping out would not help */
#define RECLAIM_KSWAPD 2u  /* background: for the statistics */
#define RECLAIM_LOW    4u  /* internal: second pass, reclaim from groups below memory.low, too */
#define RECLAIM_DEMOTE 8u  /* move pages to the slower node before writing any out */
#define RECLAIM_USED   16u /* the frames must be emptied, recently used or not */

struct reclaim_result {
	int64_t reclaimed; /* pages freed */
	int64_t demoted;   /* pages moved to a slower node: frees the frame, keeps the charge */
	int64_t scanned;   /* pages looked at */
	int64_t busy;      /* pages not reclaimable now: locked, pinned, client not answering */
	int64_t held;      /* pages ready to be freed, but referenced through the swap cache */
};

/* Free about @n pages below @memcg. No locks may be held. Blocks for I/O and for clients,
 * bounded. */
void reclaim_group(struct engine *e, struct mem_cgroup *memcg, int64_t n, unsigned flags,
		   struct reclaim_result *r);

/* Free about @n frames of @node, whichever group uses them: by moving pages to its slower node, or
 * else as reclaim_group does. Otherwise like reclaim_group. */
void reclaim_node(struct engine *e, unsigned node, int64_t n, unsigned flags,
		  struct reclaim_result *r);
/* Free some frames after -ENOSPC on all nodes. True: there are some now. No locks may be held. */
bool reclaim_frames(struct engine *e);

/* How many of @n pages to take from the anon lists, which have @anon pages; the rest come from the
 * file lists, which have @file pages. In proportion to size, but a file page is preferred to one
 * that must be written to swap. @can_swap: the anon lists may be used. Pure. */
int64_t reclaim_split(int64_t n, int64_t anon, int64_t file, bool can_swap);

/* There is room below @memcg again: resets the "stuck" clock of charges that wait there
 * (charge.c). */
void reclaim_got_on(struct mem_cgroup *memcg);

/* Is background reclaim due, i.e. less than the margin left below the group's max or high? */
bool kswapd_wanted(const struct mem_cgroup *memcg);
/* The margin for a limit, in pages. Pure. */
int64_t kswapd_margin(int64_t max);
void kswapd_wake(struct engine *e);
void kswapd_main(void *engine);

/* shrink.c: try to free @n isolated, referenced pages, all of one node; puts back those it could
 * not. */
void shrink_pages(struct engine *e, struct page **pages, unsigned n, unsigned flags,
		  struct reclaim_result *r);

/* Wait until reclaim has released every page that [from, to) of @leaf maps. mmap_lock held for
 * writing, no locks below it. For leaf_for_range. */
void reclaim_wait_leaf(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg);

#endif

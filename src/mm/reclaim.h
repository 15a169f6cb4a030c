/* mm/reclaim.h - taking pages from groups: direct reclaim at a limit, background reclaim ahead of it. */
#ifndef UMEMCG_MM_RECLAIM_H
#define UMEMCG_MM_RECLAIM_H

#include "mm/mm_types.h"

#define RECLAIM_NOSWAP  1u  /* memory+swap is full: swapping out would not help */
#define RECLAIM_KSWAPD  2u  /* background: for the statistics */
#define RECLAIM_LOW     4u  /* internal: second pass, take from groups below their low */
#define RECLAIM_DEMOTE  8u  /* move pages to the slower node before any is written out */
#define RECLAIM_USED   16u  /* the frames have to go, used lately or not */

struct reclaim_result {
	int64_t reclaimed;   /* pages freed */
	int64_t demoted;     /* pages moved to a slower node: the frame is free, the page is charged as before */
	int64_t scanned;     /* pages looked at */
	int64_t busy;        /* pages that could not be taken only now: locked, pinned, client not answering */
	int64_t held;        /* pages that were ready to go, but somebody has found them in the swap cache and refers to them */
};

/* Free about @n pages below @memcg. Nothing may be locked. Blocks for I/O and for clients, bounded. */
void reclaim_group(struct engine *e, struct mem_cgroup *memcg, int64_t n, unsigned flags, struct reclaim_result *r);

/* Free about @n frames of @node, whoever has them: by moving pages to the slower node it has, or else as
 * reclaim_group does. As reclaim_group otherwise. */
void reclaim_node(struct engine *e, unsigned node, int64_t n, unsigned flags, struct reclaim_result *r);
/* No node had a frame left (-ENOSPC): free some. True: there are some now. Nothing may be locked. */
bool reclaim_frames(struct engine *e);

/* How many of @n pages to take from the anon lists, the rest being for the file lists, where they have @anon and
 * @file pages: by their sizes, and a page of a file is taken rather than one that has to be written to swap.
 * @can_swap: the anon lists may be used. Pure. */
int64_t reclaim_split(int64_t n, int64_t anon, int64_t file, bool can_swap);

/* There is room below @memcg again: whoever waits for some there has not waited in vain (charge.c). */
void reclaim_got_on(struct mem_cgroup *memcg);

/* Background reclaim of this group is due: less than a margin is left below max. */
bool kswapd_wanted(const struct mem_cgroup *memcg);
/* The margin for a limit: pure. Pages. */
int64_t kswapd_margin(int64_t max);
void kswapd_wake(struct engine *e);
void kswapd_main(void *engine);

/* shrink.c: try to free @n isolated, referenced pages, all of one node; gives back what it could not. */
void shrink_pages(struct engine *e, struct page **pages, unsigned n, unsigned flags, struct reclaim_result *r);

/* Wait until reclaim has let go of every page that [from, to) of @leaf maps. mmap_lock held for writing, nothing
 * below it. For leaf_for_range. */
void reclaim_wait_leaf(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg);

#endif

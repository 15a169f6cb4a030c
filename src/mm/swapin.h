/* mm/swapin.h - shared by the two halves of a swap-in: swapin.c gets pages into the swap cache,
 * swapin_map.c maps them. */
#ifndef UMEMCG_MM_SWAPIN_H
#define UMEMCG_MM_SWAPIN_H

#include <limits.h>

#include "mm/fault.h"

#define NOBODY UINT_MAX

/* Swap entries of one leaf, in ascending order, with gaps where pages are resident. */
struct window {
	uint64_t va[FAULT_PAGES_MAX];
	uint32_t entry[FAULT_PAGES_MAX];
	struct page *page[FAULT_PAGES_MAX]; /* referenced, or NULL */
	unsigned n;
	unsigned self; /* index of the faulting page; NOBODY: read-ahead */
};

/* Map the faulting page, which is in w->page[w->self], and what else of the window can be mapped at
 * once. The pages stay referenced. No locks held. 0: mapped; 1: start over; or -errno. */
int swapin_map(struct fault *f, struct window *w);

#endif

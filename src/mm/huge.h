/* mm/huge.h - filling a whole leaf with one huge page: when, and how it is tracked. */
#ifndef UMEMCG_MM_HUGE_H
#define UMEMCG_MM_HUGE_H

#include "mm/fault.h"

#define HUGE_PAGES LEAF_ENTRIES

/* Which areas get huge pages on this machine (engine.huge_mode). */
enum huge_mode { HUGE_NEVER, HUGE_ADVISED, HUGE_ALWAYS };

/* How many pages a level of the hierarchy can charge before it reaches @max or @high, less twice
 * the margin that background reclaim keeps free. Negative: none. Pure. */
int64_t huge_room(int64_t usage, int64_t max, int64_t high);
/* Should the leaf of @va be filled at once, in an area [@start, @end) with @flags, if the tightest
 * level has @room? The caller checks that the leaf is empty. Pure. */
bool huge_fits(enum huge_mode mode, uint32_t flags, uint64_t va, uint64_t start, uint64_t end,
	       int64_t room);

/* A first touch at f->va: fill its leaf if it qualifies. False: nothing was done, bring in a few
 * pages instead. True: *@err is as handle_fault, or 1: retry. No locks held; may wait for the
 * client, never for reclaim. */
bool fault_huge(struct fault *f, int *err);

#endif

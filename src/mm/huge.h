/* mm/huge.h - filling a leaf at once, with one huge page: when, and how it gets into the books. */
#ifndef UMEMCG_MM_HUGE_H
#define UMEMCG_MM_HUGE_H

#include "mm/fault.h"

#define HUGE_PAGES LEAF_ENTRIES

/* Which areas the machine gives huge pages to (engine.huge_mode). */
enum huge_mode { HUGE_NEVER, HUGE_ADVISED, HUGE_ALWAYS };

/* Pages that a level of the hierarchy can charge before it is full, or above @high, that background reclaim does not make
 * free again and again (twice its margin): of @usage, @max and @high. Negative: none. Pure. */
int64_t huge_room(int64_t usage, int64_t max, int64_t high);
/* Is the leaf that holds @va to be filled at once, in an area [@start, @end) of @flags, where the tightest level has @room? What is
 * in the leaf, the caller looks at: nothing may be. Pure. */
bool huge_fits(enum huge_mode mode, uint32_t flags, uint64_t va, uint64_t start, uint64_t end, int64_t room);

/* A first touch at f->va: fill its leaf if that is to be done. False: nothing was done, bring a few pages. True: *@err is as
 * handle_fault, or 1: look again. Nothing locked; waits for the client, but never for reclaim. */
bool fault_huge(struct fault *f, int *err);

#endif

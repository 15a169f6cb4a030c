/* mm/move.h - moving an address space to another group, with its charges. */
#ifndef UMEMCG_MM_MOVE_H
#define UMEMCG_MM_MOVE_H

#include "mm/mm_types.h"

#define MOVE_ANON 1u /* anonymous pages, and their swap */
#define MOVE_FILE 2u /* pages of files and of shared memory */

/* Make @to the group of @mm, and move the charges of pages that only @mm maps and that its group is
 * charged for, of the kinds in @mask. 0; or -ENOMEM (no room in @to; nothing changed). Pages that
 * another thread has isolated, and pages mapped by others too, stay behind. Concurrent moves are
 * serialised: the second starts from the result of the first. No locks may be held. The caller has
 * a reference to @mm, which is not the child of a running fork, and keeps @to from being
 * removed. */
int mm_move_group(struct mm *mm, struct mem_cgroup *to, unsigned mask);

/* @p, locked and unmapped, was charged to @from for a fault of an address space that now belongs to
 * @to: move its charge, and that of its slot, to @to, each if there is room. A no-op if @from is no
 * longer charged for it. False: another thread has isolated it and may wait for its lock: unlock it
 * and retry. */
bool move_swapped_in(struct engine *e, struct page *p, struct mem_cgroup *from,
		     struct mem_cgroup *to);

/* Reclaim as much as possible from a group without address spaces. 0; -EBUSY: it or a descendant
 * has some; -EINVAL: the root. */
int group_force_empty(struct engine *e, struct mem_cgroup *memcg);

#endif

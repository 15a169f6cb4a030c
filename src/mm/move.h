/* mm/move.h - an address space changes its group: its charges move with it. */
#ifndef UMEMCG_MM_MOVE_H
#define UMEMCG_MM_MOVE_H

#include "mm/mm_types.h"

#define MOVE_ANON 1u  /* anonymous pages, and their swap */
#define MOVE_FILE 2u  /* pages of files and of shared memory */

/* Let @mm be of @to from now on, and hand over what it alone maps and its group is charged for, of the kinds in @mask. 0; or,
 * with nothing changed, -ENOMEM (no room in @to). What is in
 * somebody else's hands just now stays behind, as do pages others map too. Of two moves at once one comes second, and begins
 * where the first one ends. Nothing may be locked; the caller has a
 * reference on @mm, which is not being forked into, and sees to it that @to is not removed meanwhile. */
int mm_move_group(struct mm *mm, struct mem_cgroup *to, unsigned mask);

/* @p, locked and mapped by nobody, was charged to @from for a fault of an address space that is of @to by now: let it be charged to
 * @to, and its slot, each if there is room. Nothing when @from is not charged for it any more. False:
 * somebody has it off its list just now, and may wait for its lock: unlock it, and come again. */
bool move_swapped_in(struct engine *e, struct page *p, struct mem_cgroup *from, struct mem_cgroup *to);

/* Reclaim all that can be of a group without address spaces. 0; -EBUSY: it or a group below has some; -EINVAL: the root. */
int group_force_empty(struct engine *e, struct mem_cgroup *memcg);

#endif

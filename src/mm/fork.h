/* mm/fork.h - copying an address space. */
#ifndef UMEMCG_MM_FORK_H
#define UMEMCG_MM_FORK_H

#include "mm/mm_types.h"

/* Copy @parent's areas and page tables into the empty @child, honouring VM_DONTFORK and
 * VM_WIPEONFORK. Both mmap_locks held for writing, the parent's first. If the MMU shares pages,
 * present ones become copy-on-write. If not, the child gets its own copies of present pages, for
 * which @charged pages were charged in advance: a shortfall is charged by force (the pages already
 * exist), an excess is uncharged. 0 or -ENOMEM (then the caller must tear down the child). */
int mm_fork_locked(struct mm *parent, struct mm *child, int64_t charged);

#endif

/* mm/fork.h - copying an address space. */
#ifndef UMEMCG_MM_FORK_H
#define UMEMCG_MM_FORK_H

#include "mm/mm_types.h"

/* Copy @parent's areas and page tables into the empty @child, but for VM_DONTFORK and VM_WIPEONFORK. Both mmap_locks held for writing, the parent's first.
 * An MMU that shares pages: present ones become copy-on-write. One that does not: the child's present
 * pages become pages of its own, and @charged says how many were charged for them before; what is missing is
 * charged by force (they exist already), what is left over is given back. 0 or -ENOMEM (the child is then to be torn
 * down). */
int mm_fork_locked(struct mm *parent, struct mm *child, int64_t charged);

#endif

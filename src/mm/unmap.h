/* mm/unmap.h - taking mappings away, and moving them. mmap_lock held for writing. */
#ifndef UMEMCG_MM_UNMAP_H
#define UMEMCG_MM_UNMAP_H

#include "mm/mm_types.h"

/* Drop contents of [start, end); the areas stay (MADV_DONTNEED). */
void mm_discard_locked(struct mm *mm, uint64_t start, uint64_t end);
/* Drop contents and areas. Never fails: when an area cannot be split for lack of memory, its contents are dropped and the
 * area stays as an empty one. */
void mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end);
/* mremap: [from, from + len) becomes [to, to + len), contents and areas; what was at @to is dropped. 0 or -ENOMEM:
 * contents that there was no memory to move are dropped. */
int mm_remap_locked(struct mm *mm, uint64_t from, uint64_t to, uint64_t len);

#endif

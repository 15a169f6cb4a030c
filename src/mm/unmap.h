/* mm/unmap.h - removing and moving mappings. mmap_lock held for writing. */
#ifndef UMEMCG_MM_UNMAP_H
#define UMEMCG_MM_UNMAP_H

#include "mm/mm_types.h"

/* Drop the contents of [start, end); the areas stay (MADV_DONTNEED). */
void mm_discard_locked(struct mm *mm, uint64_t start, uint64_t end);
/* Drop contents and areas. Never fails: if there is no memory to split an area, its contents are
 * dropped and the area stays, empty. */
void mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end);
/* mremap: move contents and areas of [from, from + len) to [to, to + len); the old contents at @to
 * are dropped. 0 or -ENOMEM: contents that could not be moved for lack of memory are dropped. */
int mm_remap_locked(struct mm *mm, uint64_t from, uint64_t to, uint64_t len);

#endif

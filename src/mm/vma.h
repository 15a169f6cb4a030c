/* mm/vma.h - areas of an address space: insert, remove, split, merge, move, change.
 *
 * mmap_lock is held for writing by the caller of everything here but vma_find.
 */
#ifndef UMEMCG_MM_VMA_H
#define UMEMCG_MM_VMA_H

#include "mm/mm_types.h"

/* The area that holds @va, or NULL. mmap_lock held. */
struct vma *vma_find(const struct mm *mm, uint64_t va);
/* Index of the first area that ends after @va; mm->nr_vmas when there is none. */
unsigned vma_index(const struct mm *mm, uint64_t va);
/* Make [start, end) one area (-EEXIST when part of it is one already). Joins neighbours that fit. 0, -ENOMEM, -EINVAL. */
int vma_insert(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags);
/* Likewise of @file from its page @pgoff on; takes a reference. */
int vma_insert_file(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct address_space *file,
		    uint64_t pgoff);
/* An anonymous area of its own, filled from @backing from its page @pgoff on; takes a reference. */
int vma_insert_backed(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct backing *backing,
		      uint64_t pgoff);
/* Fill only the gaps of [start, end) with areas of @flags: anonymous ones, or of @file, @start being its page @pgoff. */
int vma_insert_gaps(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct address_space *file,
		    uint64_t pgoff);
/* Make @va an area boundary, if it lies inside one. 0 or -ENOMEM. */
int vma_split_at(struct mm *mm, uint64_t va);
/* Forget every area in [start, end), which start and end at its boundaries. Page tables must be clear. */
void vma_remove_range(struct mm *mm, uint64_t start, uint64_t end);
/* Move the areas in [start, end), which start and end at its boundaries, by @delta, to where none is. Never fails. */
void vma_move_range(struct mm *mm, uint64_t start, uint64_t end, uint64_t delta);
/* Set and clear flags on [start, end); splits as needed. 0 or -ENOMEM. */
int vma_change_flags(struct mm *mm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear);
/* A copy of @src in @mm with @flags, chained to @src's anon_vmas when pages are shared after fork: rmap walks find it from
 * then on. NULL: out of memory. */
struct vma *vma_copy(struct mm *mm, const struct vma *src, uint32_t flags, bool chain);
/* Put a copied area into the table. 0, -ENOMEM. */
int vma_link(struct mm *mm, struct vma *v);
void vma_free(struct vma *v);

static inline uint64_t vma_page_index(const struct vma *v, uint64_t va)
{
	return v->pgoff + ((va - v->start) >> PAGE_SHIFT);
}

#endif

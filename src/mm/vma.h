/* mm/vma.h - areas of an address space: insert, remove, split, merge, move, change.
 *
 * The caller holds mmap_lock for writing, except for the look-ups.
 */
#ifndef UMEMCG_MM_VMA_H
#define UMEMCG_MM_VMA_H

#include "mm/mm_types.h"

/* The area that holds @va, or NULL. mmap_lock held. */
struct vma *vma_find(const struct mm *mm, uint64_t va);
/* The first area that ends after @va, or NULL: from 0 on, then from each area's end on, it finds
 * all of them. mmap_lock held. */
struct vma *vma_next(const struct mm *mm, uint64_t va);
/* Index of the first area that ends after @va; mm->nr_vmas if there is none. */
unsigned vma_index(const struct mm *mm, uint64_t va);
/* Make [start, end) one area (-EEXIST: it overlaps one). Merges with compatible neighbours. 0,
 * -ENOMEM, -EINVAL. */
int vma_insert(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags);
/* Likewise for @file, starting at its page @pgoff; takes a reference. */
int vma_insert_file(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		    struct address_space *file, uint64_t pgoff);
/* A separate anonymous area, filled from @backing, starting at its page @pgoff; takes a
 * reference. */
int vma_insert_backed(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		      struct backing *backing, uint64_t pgoff);
/* Fill only the gaps of [start, end) with areas of @flags: anonymous, or of @file with page @pgoff
 * at @start. */
int vma_insert_gaps(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		    struct address_space *file, uint64_t pgoff);
/* Split the area that contains @va, if any, so that @va is a boundary. 0 or -ENOMEM. */
int vma_split_at(struct mm *mm, uint64_t va);
/* Remove all areas in [start, end); both ends must be area boundaries. Page tables must be
 * clear. */
void vma_remove_range(struct mm *mm, uint64_t start, uint64_t end);
/* Move the areas in [start, end) by @delta to a range without areas; both ends must be area
 * boundaries. Never fails. */
void vma_move_range(struct mm *mm, uint64_t start, uint64_t end, uint64_t delta);
/* Set and clear flags on [start, end); splits as needed. 0 or -ENOMEM. */
int vma_change_flags(struct mm *mm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear);
/* A copy of @src in @mm with @flags, chained to @src's anon_vmas if pages are shared after fork
 * (@chain): from then on rmap walks find it. NULL: out of memory. */
struct vma *vma_copy(struct mm *mm, const struct vma *src, uint32_t flags, bool chain);
/* Insert a copied area into the table. 0, -ENOMEM. */
int vma_link(struct mm *mm, struct vma *v);
void vma_free(struct vma *v);

static inline uint64_t vma_page_index(const struct vma *v, uint64_t va)
{
	return v->pgoff + ((va - v->start) >> PAGE_SHIFT);
}

#endif

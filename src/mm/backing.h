/* mm/backing.h - private memory that is filled from a file.
 *
 * A private mapping of a file whose pages the program changes, on an MMU that does not share pages
 * with files: its area is anonymous (vma->file is NULL) and has a backing. A page that misses and
 * has no entry is read from there (fault_backed) instead of being zeros. From then on it is a page
 * as any other anonymous one: reclaim does not know the backing.
 *
 * I1  In an area with a backing "no entry" means the file's content. So a page of zeros that goes
 *     out keeps an entry there: in all of an address space that has, or had, such an area
 *     (mm->has_backing; unmap_anon_page in shrink.c).
 * I2  mm->has_backing is set before the first such area is in the table, and never cleared. No leaf
 *     of such an address space is filled with zeros by the client (mmu_ops.fill), which takes a
 *     decision long before it is carried out.
 * I3  Areas with a backing are never joined with others.
 * I4  engine->backed_pages is the sum of the sizes of all such areas, and of what is being made.
 *
 * Where engine->may_back is false there are none, and nobody looks.
 *
 * Locks: the area's fields are (M).
 */
#ifndef UMEMCG_MM_BACKING_H
#define UMEMCG_MM_BACKING_H

#include "mm/mm_types.h"
#include "plat/backing.h"

/* The content that a page at @va gets that was never touched. 0: it is at @to; -ENOENT: no area
 * with a backing is there; or as backing_ops.read. Nothing locked. */
int backing_peek(struct mm *mm, uint64_t va, void *to);

/* @n pages are going to be made: false if all would be more than @max then. */
bool backing_reserve(struct engine *e, int64_t n, int64_t max);
/* They are in the table, or were not made. */
void backing_unreserve(struct engine *e, int64_t n);

#endif

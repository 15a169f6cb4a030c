/* mm/backing.h - private memory that is filled from a file.
 *
 * For a private mapping of a file that the program writes to, on an MMU that does not share pages
 * with files. The area is anonymous (vma->file is NULL) and has a backing. A fault that finds no
 * entry reads the page from the backing (fault_backed) instead of filling it with zeros. From then
 * on it is an ordinary anonymous page: reclaim does not know the backing.
 *
 * I1  In an area with a backing, "no entry" means the file's content. So a zero page that is
 *     swapped out keeps an entry. This holds for the whole of an address space that has, or had,
 *     such an area (mm->has_backing; unmap_anon_page in shrink.c).
 * I2  mm->has_backing is set before the first such area enters the table, and is never cleared. The
 *     client fills no leaf of such an address space with zeros (mmu_ops.fill): that is decided long
 *     before it is carried out.
 * I3  Areas with a backing are never merged.
 * I4  engine->backed_pages is the total size of all such areas, including those being created.
 *
 * If engine->may_back is false there are no such areas, and nothing checks for them.
 *
 * Locks: the area's fields are (M).
 */
#ifndef UMEMCG_MM_BACKING_H
#define UMEMCG_MM_BACKING_H

#include "mm/mm_types.h"
#include "plat/backing.h"

/* Read to @to the content that an untouched page at @va would get. 0; -ENOENT: @va is in no area
 * with a backing; or as backing_ops.read. No locks held. */
int backing_peek(struct mm *mm, uint64_t va, void *to);

/* Reserve @n pages that are about to be created. False if the total would exceed @max. */
bool backing_reserve(struct engine *e, int64_t n, int64_t max);
/* Release a reservation: the pages are in the table, or were not created. */
void backing_unreserve(struct engine *e, int64_t n);

#endif

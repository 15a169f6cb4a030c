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
 *
 * Locks: the area's fields are (M). ops->read is called with nothing locked, it may block;
 * ops->release under mmap_lock.
 */
#ifndef UMEMCG_MM_BACKING_H
#define UMEMCG_MM_BACKING_H

#include "mm/mm_types.h"

struct backing_ops {
	/* Fill the page at @to with page @index of the file, zeros after its end. 0; -ENXIO: the
	 * file ends before; or -errno. */
	int (*read)(struct backing *b, uint64_t index, void *to);
	/* The last reference is gone. */
	void (*release)(struct backing *b);
};

struct backing {
	atomic32_t refcount;           /* areas, and who looks */
	const struct backing_ops *ops; /* (C) */
};

static inline void backing_get(struct backing *b)
{
	a32_acc(&b->refcount, 1);
}

static inline void backing_put(struct backing *b)
{
	if (a32_add(&b->refcount, -1) == 0)
		b->ops->release(b);
}

/* May there be areas with a backing? (C) Set before there are threads, by whoever makes them. Where
 * there are none nobody has to look. */
extern bool backing_enabled;

/* The content that a page at @va gets that was never touched. 0: it is at @to; -ENOENT: no area
 * with a backing is there; or as backing_ops.read. Nothing locked. */
int backing_peek(struct mm *mm, uint64_t va, void *to);

#endif

/* plat/backing.h - the machine's view of a file that private memory is filled from: descriptors on
 * the host (mmu/host/backed.h), words in tests. mm/backing.h says what the engine does with them.
 *
 * Locks: ops->read is called without locks and may block; ops->release under mmap_lock.
 */
#ifndef UMEMCG_PLAT_BACKING_H
#define UMEMCG_PLAT_BACKING_H

#include "plat/plat.h"

struct backing;

struct backing_ops {
	/* Fill @n pages at @to with the pages from @index on; the last page is zero-filled behind
	 * the end of the file. Returns how many were filled, from the first on: 0 < k <= @n;
	 * -ENXIO: the file ends before the first; or -errno. */
	int (*read)(struct backing *b, uint64_t index, void *to, unsigned n);
	/* The last reference is gone. */
	void (*release)(struct backing *b);
};

struct backing {
	atomic32_t refcount;           /* areas, and temporary users */
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

#endif

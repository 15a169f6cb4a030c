/* mmu/host/home.h - home frames: real memory of the supervisor for pages whose content is not in a
 * client.
 *
 * I1  A page has at most one frame; frame[pfn] says which, 0 = none.
 * I2  A page that has a frame and is not being withdrawn (locked by reclaim) has its content in it.
 *
 * Frames with the lowest numbers are taken first, so few host pages are in use; those above
 * HOME_HOT are returned to the system as soon as they are free.
 */
#ifndef UMEMCG_MMU_HOST_HOME_H
#define UMEMCG_MMU_HOST_HOME_H

#include "plat/plat.h"

struct home {
	struct spinlock lock; /* rank HOME */
	char *base;           /* (C) nr frames */
	uint32_t nr;          /* (C) */
	uint64_t *bitmap;     /* lock */
	uint32_t *frame;  /* pfn -> frame + 1; only the owner of the page's content changes it */
	uint32_t nr_pfns; /* (C) */
	atomic64_t used, peak; /* frames */
};

int home_init(struct home *h, uint32_t nr_frames, uint32_t nr_pfns);
void home_fini(struct home *h);
/* Take frames for @n pages that have none, adjacent if possible. 0 or -ENOMEM (none taken). */
int home_take(struct home *h, const uint32_t *pfns, unsigned n);
void home_drop(struct home *h, uint32_t pfn);
static inline void *home_data(const struct home *h, uint32_t pfn)
{
	uint32_t f = h->frame[pfn];

	return f ? h->base + (size_t)(f - 1) * 4096 : NULL;
}

#endif

/* mmu/host/home.c - the pool of home frames. */
#include "mmu/host/home.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/bitmap.h"

#define HOME_HOT                                                                                   \
	512u /* free frames to keep: 2 MiB, half of what a group may exceed its limit by           \
	      */

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

int home_init(struct home *h, uint32_t nr_frames, uint32_t nr_pfns)
{
	VM_ASSERT(nr_frames > 0);
	spin_init(&h->lock, RANK_HOME);
	h->nr = nr_frames;
	h->nr_pfns = nr_pfns;
	h->base = plat_alloc_big((size_t)nr_frames * 4096);
	h->bitmap = plat_alloc_big(bitmap_words(nr_frames) * 8);
	h->frame = plat_alloc_big(nr_pfns * sizeof(*h->frame));
	if (!h->base || !h->bitmap || !h->frame) {
		home_fini(h);
		return -ENOMEM;
	}
	/* Names this memory in /proc/PID/smaps. Not available on older kernels. */
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, h->base, (size_t)nr_frames * 4096,
		    "umemcg frames");
	(void)madvise(h->base, (size_t)nr_frames * 4096, MADV_NOHUGEPAGE);
	return 0;
}

void home_fini(struct home *h)
{
	if (h->base)
		plat_free_big(h->base, (size_t)h->nr * 4096);
	if (h->bitmap)
		plat_free_big(h->bitmap, bitmap_words(h->nr) * 8);
	if (h->frame)
		plat_free_big(h->frame, h->nr_pfns * sizeof(*h->frame));
	h->base = NULL;
	h->bitmap = NULL;
	h->frame = NULL;
	spin_fini(&h->lock);
}

/* Take the longest run available: all pages at once, or halves. lock held. */
static unsigned take_run(struct home *h, const uint32_t *pfns, unsigned n)
{
	lockdep_assert_held(&h->lock);
	VM_ASSERT(n > 0);
	for (unsigned want = n; want > 0; want /= 2) {
		size_t first = bitmap_find_run(h->bitmap, h->nr, 0, want);

		if (first == BITMAP_NONE)
			continue;
		bitmap_set_range(h->bitmap, first, want);
		for (unsigned i = 0; i < want; i++) {
			VM_ASSERT(pfns[i] < h->nr_pfns && !h->frame[pfns[i]]);
			h->frame[pfns[i]] = (uint32_t)first + i + 1;
		}
		return want;
	}
	return 0;
}

int home_take(struct home *h, const uint32_t *pfns, unsigned n)
{
	unsigned done = 0, got = 1;
	int64_t used;

	spin_lock(&h->lock);
	while (done < n && got) {
		got = take_run(h, pfns + done, n - done);
		done += got;
	}
	used = a64_add(&h->used, done);
	if (used > a64_load(&h->peak))
		a64_store(&h->peak, used);
	spin_unlock(&h->lock);
	if (done == n)
		return 0;
	while (done > 0)
		home_drop(h, pfns[--done]);
	return -ENOMEM;
}

void home_drop(struct home *h, uint32_t pfn)
{
	uint32_t f = h->frame[pfn];

	VM_ASSERT(pfn < h->nr_pfns);
	if (!f)
		return;
	h->frame[pfn] = 0;
	if (f > HOME_HOT)
		(void)madvise(h->base + (size_t)(f - 1) * 4096, 4096, MADV_DONTNEED);
	spin_lock(&h->lock);
	bitmap_clear(h->bitmap, f - 1);
	a64_add(&h->used, -1);
	spin_unlock(&h->lock);
}

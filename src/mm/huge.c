/* mm/huge.c - a first touch in an area that wants huge pages fills the whole leaf.
 *
 * The engine tracks 512 ordinary pages, each of which can be reclaimed alone; what the client's
 * kernel then does with its huge page is up to the MMU. Nothing is evicted for the other 511 pages.
 * The leaf is filled only if there is room below every limit, high included, beyond what background
 * reclaim frees there; otherwise the fault brings in a few pages as usual. In a group that works at
 * its limit, 511 pages that were not requested would evict as many others.
 *
 * Order: check (under the leaf lock); charge and allocate frames without locks held; fill, which
 * asks the client and holds no engine lock; lock, recheck, enter. During the fill the MMU maps
 * nothing else in the leaf (-EBUSY), so an entry can only come or go by an event, and fill_holds
 * tells whether there was one. In that case only the client's kernel knows what to enter: fill_end
 * finds out.
 */
#include "mm/huge.h"

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/vma.h"

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t huge_room(int64_t usage, int64_t max, int64_t high)
{
	int64_t room = PAGE_COUNTER_MAX;

	if (max < PAGE_COUNTER_MAX)
		room = max - usage - 2 * kswapd_margin(max);
	if (high < PAGE_COUNTER_MAX)
		room = least(room, high - usage - 2 * kswapd_margin(high));
	return room;
}

bool huge_fits(enum huge_mode mode, uint32_t flags, uint64_t va, uint64_t start, uint64_t end,
	       int64_t room)
{
	uint64_t base = va & ~(LEAF_SPAN - 1);

	if (mode == HUGE_NEVER || flags & (VM_NOHUGEPAGE | VM_LOCKED | VM_SHARED))
		return false;
	if (mode == HUGE_ADVISED && !(flags & VM_HUGEPAGE))
		return false;
	/* 0 stands for no place (host_fill). */
	return base && base >= start && base < end && end - base >= LEAF_SPAN && room >= HUGE_PAGES;
}

static int64_t tightest(const struct mem_cgroup *g)
{
	int64_t room = PAGE_COUNTER_MAX;

	for (; g; g = g->parent)
		room = least(room, huge_room(page_counter_read(&g->memory),
					     a64_load(&g->memory.max), a64_load(&g->memory.high)));
	return room;
}

static bool leaf_empty(struct leaf *leaf)
{
	bool empty = true;

	spin_lock(&leaf->lock);
	for (unsigned i = 0; i < LEAF_ENTRIES && empty; i++)
		empty = pte_none(a64_load(&leaf->pte[i]));
	spin_unlock(&leaf->lock);
	return empty;
}

static bool wanted(const struct fault *f)
{
	const struct vma *v;
	struct leaf *leaf;
	bool yes;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	yes = v && !v->file && !a32_load(&f->mm->has_backing) &&
	      huge_fits(a32_load(&f->mm->engine->huge_mode), v->flags, f->va, v->start, v->end,
			tightest(f->memcg));
	leaf = yes ? leaf_get(f->mm, f->va) : NULL;
	yes = leaf && leaf_empty(leaf);
	rw_rdunlock(&f->mm->mmap_lock);
	return yes;
}

/* Enter @pages, in this order, where the leaf has no entry; the entered ones come first in @pages
 * afterwards. Returns their number; 0: the content of the leaf is not known. */
static unsigned enter(struct fault *f, uint64_t base, struct page **pages)
{
	struct mmu *mmu = f->mm->engine->mmu;
	struct leaf *leaf = NULL;
	unsigned n = 0;
	struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, base);
	if (v && !v->file && !v->backing && v->end - base >= LEAF_SPAN &&
	    mm_memcg(f->mm) == f->memcg && mmu->ops->fill_holds(mmu, f->mm) &&
	    anon_vma_prepare(v) == 0)
		leaf = leaf_get(f->mm, base);
	if (leaf) {
		spin_lock(&leaf->lock);
		for (unsigned i = 0; i < HUGE_PAGES; i++) {
			uint64_t va = base + (uint64_t)i * PAGE_SIZE;
			struct page *p = pages[i];

			if (!pte_none(pte_read(leaf, va)))
				continue;
			pages[i] = pages[n];
			pages[n++] = p;
			finish_new_page(f->memcg, p, v, leaf, va);
		}
		a64_acc(&f->mm->rss, n);
		spin_unlock(&leaf->lock);
		/* Before mmap_lock is released: only the entries hold references. */
		lru_add_many(pages, n);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return n;
}

bool fault_huge(struct fault *f, int *err)
{
	struct engine *e = f->mm->engine;
	struct mmu *mmu = e->mmu;
	uint64_t base = f->va & ~(LEAF_SPAN - 1);
	struct page *pages[HUGE_PAGES];
	unsigned done = 0;

	if (!mmu->ops->fill || !wanted(f))
		return false;
	if (charge_pages(e, f->memcg, f->mm, HUGE_PAGES, CHARGE_NORECLAIM) != 0)
		return false;
	if (frames_alloc(e, pages, HUGE_PAGES) != 0) {
		uncharge_pages(f->memcg, HUGE_PAGES);
		return false;
	}
	*err = mmu->ops->fill(mmu, f->mm, base);
	if (*err == 0)
		done = enter(f, base, pages);
	for (unsigned i = done; i < HUGE_PAGES; i++)
		page_put(e, pages[i]);
	uncharge_pages(f->memcg, HUGE_PAGES - done);
	if (*err == 0) {
		mmu->ops->fill_end(mmu, f->mm, base, done > 0);
		*err = done > 0 ? 0 : 1;
	}
	return *err != -EAGAIN;
}

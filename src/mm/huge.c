/* mm/huge.c - a first touch in an area that wants huge pages fills the whole leaf.
 *
 * In the books these are 512 pages like any others, each of which can be taken out alone: what the client's kernel does
 * with its huge page then is the MMU's business. Nothing is pushed out for the other 511: without room below every limit, high
 * included, and what background reclaim frees below them, the fault brings a few pages as ever: where memory
 * comes and goes at the limit, 511 pages that nobody asked for would push out as many.
 *
 * Order: look (under the leaf lock); charge and take frames with nothing locked; fill, which asks the client and holds no
 * lock of the engine; lock, look again, enter. From the beginning of the fill to its end the MMU maps nothing else in the leaf
 * (-EBUSY), so an entry can only come or go by an event, and fill_holds tells whether there was one. What is then to be
 * entered only the client's kernel knows: fill_end finds out.
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

bool huge_fits(enum huge_mode mode, uint32_t flags, uint64_t va, uint64_t start, uint64_t end, int64_t room)
{
	uint64_t base = va & ~(LEAF_SPAN - 1);

	if (mode == HUGE_NEVER || flags & (VM_NOHUGEPAGE | VM_LOCKED | VM_SHARED))
		return false;
	if (mode == HUGE_ADVISED && !(flags & VM_HUGEPAGE))
		return false;
	return base >= start && base < end && end - base >= LEAF_SPAN && room >= HUGE_PAGES;
}

static int64_t tightest(const struct mem_cgroup *g)
{
	int64_t room = PAGE_COUNTER_MAX;

	for (; g; g = g->parent)
		room = least(room, huge_room(page_counter_read(&g->memory), a64_load(&g->memory.max),
					     a64_load(&g->memory.high)));
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
	yes = v && !v->file && !a32_load(&f->mm->has_backing) && huge_fits(a32_load(&f->mm->engine->huge_mode), v->flags, f->va, v->start, v->end,
					 tightest(f->memcg));
	leaf = yes ? leaf_get(f->mm, f->va) : NULL;
	yes = leaf && leaf_empty(leaf);
	rw_rdunlock(&f->mm->mmap_lock);
	return yes;
}

/* Enter @pages, in this order, where nothing is. Those that were entered come first in @pages then. Returns their number; 0: the
 * books do not say what is there. */
static unsigned enter(struct fault *f, uint64_t base, struct page **pages)
{
	struct mmu *mmu = f->mm->engine->mmu;
	struct leaf *leaf = NULL;
	unsigned n = 0;
	struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, base);
	if (v && !v->file && !v->backing && v->end - base >= LEAF_SPAN && mm_memcg(f->mm) == f->memcg &&
	    mmu->ops->fill_holds(mmu, f->mm) && anon_vma_prepare(v) == 0)
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
		/* Before mmap_lock is released: the entries hold the only references. */
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

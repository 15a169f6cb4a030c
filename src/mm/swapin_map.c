/* mm/swapin_map.c - the second half of a swap-in: pages of the swap cache are mapped.
 *
 * Lock the pages, recheck the entries, map. The first half held only references, so everything is
 * rechecked under the locks; a fault that finds its entry changed starts over.
 *
 * An MMU that does not share (host) maps the whole window at once and keeps one user per page: if
 * other entries still refer to the slot, the page leaves the swap cache as it is mapped, and they
 * read their own copies.
 *
 * Locks: mmap_lock (read) -> page locks, all but the faulting page's by trylock -> leaf lock.
 */
#include "mm/swapin.h"

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/lru.h"
#include "mm/move.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/swap_share.h"
#include "mm/zswap.h"
#include "mm/vma.h"

/* Does the locked page @i of the window still hold the content of its entry? */
static bool still_cached(const struct window *w, unsigned i)
{
	lockdep_assert_held(&w->page[i]->flags);
	return page_test(w->page[i], PG_swapcache) && page_entry(w->page[i]) == w->entry[i];
}

/* The page is the only copy of content that other entries refer to as well: it could not be written
 * to the slot. An MMU that does not share must not give it away. */
static bool needs_copy(struct engine *e, const struct page *p)
{
	return !e->mmu->ops->shares && page_test(p, PG_dirty) &&
	       slot_count(swap_map(e, page_entry(p))) > 1;
}

/* Lock the pages to map: the faulting page, and those neighbours whose lock is free. False: start
 * over. */
static bool lock_window(struct fault *f, struct window *w)
{
	struct engine *e = f->mm->engine;

	page_lock(w->page[w->self]);
	if (!recheck(still_cached(w, w->self))) {
		page_unlock(e, w->page[w->self]);
		return false;
	}
	sync_step(page_wait_writeback(w->page[w->self]));
	for (unsigned i = 0; i < w->n; i++) {
		struct page *p = w->page[i];

		if (i == w->self || !p)
			continue;
		if (page_trylock(p)) {
			if (recheck(still_cached(w, i)) && page_test(p, PG_uptodate) &&
			    !page_test(p, PG_writeback) && !page_mapped(p) && !needs_copy(e, p))
				continue;
			page_unlock(e, p);
		}
		page_put(e, p);
		w->page[i] = NULL;
	}
	return true;
}

/* Decide what becomes of the slot now that its page is mapped. Page locked, entry's reference
 * dropped. */
static void settle_slot(struct engine *e, struct mem_cgroup *memcg, struct page *p, uint64_t va)
{
	unsigned others = slot_count(swap_map(e, page_entry(p)));

	lockdep_assert_held(&p->flags);
	if (others && !e->mmu->ops->shares) {
		swap_share_note(e, page_entry(p),
				va); /* else its next swap-out would use another slot */
		swapcache_del(e, p, 0);
	} else if (!others && (swap_scarce(e, memcg) || zswap_holds(e, page_entry(p)))) {
		swapcache_try_free(e, p);
	}
}

/* Map pages [first, first + n) of the window, contiguous and locked. Leaf lock held. Returns pages
 * mapped, or -errno. */
static int map_run(const struct mapping *m, unsigned first, unsigned n)
{
	struct fault *f = m->f;
	struct vma *v = m->v;
	struct window *w = m->pages;
	struct engine *e = f->mm->engine;
	int done = e->mmu->ops->map(e->mmu, f->mm, w->va[first], w->page + first, n, false);

	lockdep_assert_held(&m->leaf->lock);
	for (int i = 0; i < done; i++) {
		struct page *p = w->page[first + (unsigned)i];
		uint64_t va = w->va[first + (unsigned)i];
		/* With other entries or mappings: read-only. */
		bool shared = e->mmu->ops->shares &&
			      (page_mapped(p) || slot_count(swap_map(e, page_entry(p))) > 1);

		page_get(p);
		if (!page_mapped(p))
			page_set_anon_rmap(p, v, va, shared);
		page_add_rmap(p, v, va);
		pte_set(m->leaf, va, pte_make_present(p->pfn, v->flags & VM_WRITE && !shared));
		if (va == f->va)
			f->readonly = f->write && shared;
		a64_acc(&f->mm->rss, 1);
		a64_acc(&f->mm->swapents, -1);
		if (page_clear(p, PG_readahead) && first + (unsigned)i != w->self)
			stat_add(f->memcg, STAT_SWAP_RA_HIT, 1);
		swap_put(e, w->entry[first + (unsigned)i]);
		settle_slot(e, f->memcg, p, va);
	}
	return done;
}

/* Map a copy of the faulting page; the page stays in the swap cache for the others. Leaf lock held,
 * so the copy is charged by force. 0 or -errno. */
static int map_copy(struct fault *f, struct window *w, struct vma *v, struct leaf *leaf)
{
	struct engine *e = f->mm->engine;
	struct mem_cgroup *memcg = mm_memcg(f->mm); /* mmap_lock keeps it */
	struct page *copy;
	int done = -ENOMEM;

	lockdep_assert_held(&leaf->lock);
	if (frames_alloc(e, &copy, 1) != 0)
		return -ENOMEM;
	if (e->mmu->ops->bring_frames(e->mmu, &copy, 1) == 0) {
		plat_copy(mmu_data(e->mmu, copy), mmu_data(e->mmu, w->page[w->self]), PAGE_SIZE);
		done = e->mmu->ops->map(e->mmu, f->mm, f->va, &copy, 1, false);
	}
	if (done <= 0) {
		page_put(e, copy);
		return done;
	}
	charge_pages(e, memcg, NULL, 1, CHARGE_NORECLAIM | CHARGE_FORCE);
	page_commit_charge(copy, memcg);
	page_set(copy, PG_uptodate);
	page_add_rmap(copy, v, f->va);
	pte_set(leaf, f->va, pte_make_present(copy->pfn, v->flags & VM_WRITE));
	a64_acc(&f->mm->rss, 1);
	a64_acc(&f->mm->swapents, -1);
	swap_put(e, w->entry[w->self]);
	lru_add(copy);
	return 0;
}

/* Is page @i present, its entry unchanged, and within the area, which may have shrunk since? Leaf
 * lock held. */
static bool mappable(const struct window *w, unsigned i, const struct vma *v,
		     const struct leaf *leaf)
{
	lockdep_assert_held(&leaf->lock);
	return w->page[i] && w->va[i] >= v->start && w->va[i] < v->end &&
	       recheck(pte_read(leaf, w->va[i]) == pte_make_swap(w->entry[i]));
}

/* The longest run of mappable pages around page @at without a gap. Leaf lock held. */
static unsigned run_around(const struct window *w, unsigned at, const struct vma *v,
			   const struct leaf *leaf, bool around, unsigned *first)
{
	unsigned lo = at, hi = at;

	lockdep_assert_held(&leaf->lock);
	if (!mappable(w, at, v, leaf))
		return 0;
	while (around && lo > 0 && w->va[lo - 1] + PAGE_SIZE == w->va[lo] &&
	       mappable(w, lo - 1, v, leaf))
		lo--;
	while (around && hi + 1 < w->n && w->va[hi] + PAGE_SIZE == w->va[hi + 1] &&
	       mappable(w, hi + 1, v, leaf))
		hi++;
	*first = lo;
	return hi - lo + 1;
}

/* The faulting page and its run are mapped: map the other runs of the window. What cannot be mapped
 * now is left to its own fault. Leaf lock held. */
static void map_other_runs(const struct mapping *m)
{
	const struct window *w = m->pages;
	unsigned i = 0, first, n;

	lockdep_assert_held(&m->leaf->lock);
	while (i < w->n) {
		n = run_around(w, i, m->v, m->leaf, true, &first);
		if (n && map_run(m, first, n) < 0)
			return;
		i += n ? n : 1;
	}
}

/* The content is lost: any access gets SIGBUS. Leaf lock held. */
static void poison_entry(struct fault *f, struct window *w, struct leaf *leaf)
{
	struct engine *e = f->mm->engine;

	lockdep_assert_held(&leaf->lock);
	if (pte_read(leaf, f->va) != pte_make_swap(w->entry[w->self]))
		return;
	pte_set(leaf, f->va, PTE_POISON);
	a64_acc(&f->mm->swapents, -1);
	swap_put(e, w->entry[w->self]);
	e->mmu->ops->poison(e->mmu, f->mm, f->va);
}

/* If the address space moved to another group since, move what this fault has charged; a page that
 * was in the swap cache before keeps its owner. False: not now, retry. Page lock and mmap_lock
 * held. */
static bool charge_followed(struct fault *f, struct window *w)
{
	struct mem_cgroup *now = mm_memcg(f->mm);

	if (now == f->memcg || f->paid != w->entry[w->self])
		return true;
	return move_swapped_in(f->mm->engine, w->page[w->self], f->memcg, now);
}

static void unlock_window(struct engine *e, struct window *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->page[i])
			page_unlock(e, w->page[i]);
}

int swapin_map(struct fault *f, struct window *w)
{
	struct engine *e = f->mm->engine;
	struct leaf *leaf;
	struct vma *v;
	int done = 1, err = 1;

	rw_rdlock(&f->mm->mmap_lock);
	if (!lock_window(f, w)) {
		rw_rdunlock(&f->mm->mmap_lock);
		return 1;
	}
	if (!charge_followed(f, w)) {
		unlock_window(e, w);
		rw_rdunlock(&f->mm->mmap_lock);
		plat_yield();
		return 1;
	}
	v = vma_find(f->mm, f->va);
	leaf = v && anon_vma_prepare(v) == 0 ? leaf_find(f->mm, f->va) : NULL;
	if (leaf) {
		const struct mapping m = { .f = f, .v = v, .leaf = leaf, .pages = w };
		unsigned first = 0, n;

		spin_lock(&leaf->lock);
		n = run_around(w, w->self, v, leaf, e->mmu->ops->withdraws, &first);
		if (n && !page_test(w->page[w->self], PG_uptodate)) {
			poison_entry(f, w, leaf);
			err = -EIO;
		} else if (n && needs_copy(e, w->page[w->self])) {
			err = map_copy(f, w, v, leaf);
		} else if (n) {
			done = fault_map_run(&m, map_run, &first, n, w->self);
			err = done < 0 ? done : done > (int)(w->self - first) ? 0 : 1;
			if (err == 0 && e->mmu->ops->withdraws)
				map_other_runs(&m);
		}
		spin_unlock(&leaf->lock);
	} else {
		err = v ? -ENOMEM : -EFAULT;
	}
	unlock_window(e, w);
	rw_rdunlock(&f->mm->mmap_lock);
	if (err != -EEXIST)
		return err;
	e->mmu->ops->wake(e->mmu, f->mm, f->va, 1);
	return 0;
}

/* mm/swapin.c - faults on swap entries, and read-ahead.
 *
 * Two halves. First get the page into the swap cache: find it there, or allocate, charge, add and
 * read it with its neighbours in the window. Then lock it, recheck the entry, map. Between the
 * halves only a reference is held, so everything is rechecked under the locks; a fault that finds
 * its entry changed starts over.
 *
 * Where reads are slow, the next window of a stream is read while the program uses this one
 * (ahead.c). Its pages wait in the swap cache until the stream faults on the first of them; then
 * all are mapped at once.
 *
 * An MMU that does not share (host) maps the whole window at once and keeps one user per page: if
 * other entries still refer to the slot, the page leaves the swap cache as it is mapped, and they
 * read their own copies.
 */
#include <limits.h>
#include <string.h>

#include "mm/ahead.h"
#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/fault.h"
#include "mm/lru.h"
#include "mm/move.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/swap_io.h"
#include "mm/swap_share.h"
#include "mm/vma.h"

#define NOBODY UINT_MAX

/* Swap entries of one leaf, in ascending order, with gaps where pages are resident. */
struct window {
	uint64_t va[FAULT_PAGES_MAX];
	uint32_t entry[FAULT_PAGES_MAX];
	struct page *page[FAULT_PAGES_MAX]; /* referenced, or NULL */
	unsigned n;
	unsigned self; /* index of the faulting page; NOBODY: read-ahead */
};

/* Narrow [*start, *end) to the area and the leaf of @va. False: there is none. mmap_lock held. */
static bool clip(struct mm *mm, uint64_t va, uint64_t *start, uint64_t *end, struct leaf **leaf)
{
	struct vma *v = vma_find(mm, va);

	lockdep_assert_held(&mm->mmap_lock);
	*leaf = v ? leaf_find(mm, va) : NULL;
	if (!*leaf)
		return false;
	if (*start < v->start)
		*start = v->start;
	if (*start < (*leaf)->base)
		*start = (*leaf)->base;
	if (*end > v->end)
		*end = v->end;
	if (*end > (*leaf)->base + LEAF_SPAN)
		*end = (*leaf)->base + LEAF_SPAN;
	return true;
}

/* Collect the swap entries of the window. False: f->va no longer has one. */
static bool look_around(struct fault *f, struct window *w)
{
	uint64_t start = f->start, end = f->start + ((uint64_t)f->n << PAGE_SHIFT);
	struct leaf *leaf;
	bool found = false;

	w->n = 0;
	rw_rdlock(&f->mm->mmap_lock);
	if (!clip(f->mm, f->va, &start, &end, &leaf))
		end = start;
	for (uint64_t va = start; va < end; va += PAGE_SIZE) {
		pte_t pte = pte_read(leaf, va);

		if (!pte_is_swap(pte))
			continue;
		if (va == f->va) {
			w->self = w->n;
			found = true;
		}
		w->va[w->n] = va;
		w->page[w->n] = NULL;
		w->entry[w->n++] = pte_entry(pte);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return found;
}

/* A page that came back soon after it left belongs to the working set (Linux workingset.c,
 * a528910e12ec). */
static void note_refault(struct mem_cgroup *memcg, struct page *p, uint64_t shadow)
{
	int64_t distance;

	if (!shadow)
		return;
	stat_add(memcg, STAT_REFAULT_ANON, 1);
	distance = a64_load(&memcg_lists(memcg)->age) - (int64_t)shadow;
	if (distance < 0 || distance > group_list_size(memcg, LRU_ACTIVE_ANON) +
					       group_list_size(memcg, LRU_INACTIVE_ANON))
		return;
	page_set(p, PG_active | PG_workingset);
	stat_add(memcg, STAT_ACTIVATE_ANON, 1);
}

/* Add a fresh page to the swap cache for entry @i of the window. True: it is in w->page[i], locked
 * and referenced. False: w->page[i] is the page that was there already, unlocked, if any. The page
 * carries its own charge. */
static bool enter_page(struct fault *f, struct window *w, unsigned i, struct page *fresh)
{
	struct engine *e = f->mm->engine;
	uint64_t shadow;
	int err;

	if (!page_trylock(fresh))
		VM_BUG_ON("a fresh page is locked");
	shadow = swapcache_shadow(e, w->entry[i]);
	page_commit_charge(fresh, f->memcg);
	err = swapcache_add(e, fresh, w->entry[i]);
	if (err == 0) {
		if (i != w->self)
			page_set(fresh, PG_readahead);
		note_refault(f->memcg, fresh, shadow);
		w->page[i] = fresh;
		return true;
	}
	page_unlock(e, fresh);
	page_put(e, fresh); /* ends its charge */
	if (err == -EEXIST)
		w->page[i] = swapcache_get(e, w->entry[i]);
	return false;
}

/* Narrow to the faulting page; no page is in the window yet. */
static void narrow_window(struct window *w)
{
	VM_ASSERT(w->n > 0);
	w->va[0] = w->va[w->self];
	w->entry[0] = w->entry[w->self];
	w->n = 1;
	w->self = 0;
}

/* Charge for all pages of the window, or just for the faulting one. Returns how many were charged,
 * or -errno. */
static int charge_window(struct fault *f, struct window *w)
{
	struct engine *e = f->mm->engine;
	unsigned want = w->n;
	int err;

	err = want > 1 || w->self == NOBODY ? charge_pages(e, f->memcg, f->mm, want, CHARGE_NOOOM)
					    : charge_fault_page(f);
	if (err && want > 1 && w->self != NOBODY) {
		narrow_window(w);
		want = 1;
		err = charge_fault_page(f);
	}
	return err ? err : (int)want;
}

/* Read the missing pages of the window. 0 or -errno. */
static int read_window(struct fault *f, struct window *w)
{
	struct engine *e = f->mm->engine;
	struct page *fresh[FAULT_PAGES_MAX], *read[FAULT_PAGES_MAX];
	unsigned nr_read = 0;
	int charged = charge_window(f, w), err;

	if (charged < 0)
		return charged;
	err = frames_alloc(e, fresh, w->n);
	if (err && w->n > 1 && w->self != NOBODY) {
		narrow_window(w);
		uncharge_pages(f->memcg, charged - 1);
		charged = 1;
		err = frames_alloc(e, fresh, 1);
	}
	if (err) {
		uncharge_pages(f->memcg, charged);
		return err;
	}
	if (e->mmu->ops->bring_frames(e->mmu, fresh, w->n) != 0) {
		for (unsigned i = 0; i < w->n; i++)
			page_put(e, fresh[i]);
		uncharge_pages(f->memcg, charged);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < w->n; i++) {
		if (!enter_page(f, w, i, fresh[i]))
			continue;
		page_get(fresh[i]);
		read[nr_read++] = fresh[i];
		if (i == w->self)
			f->paid = w->entry[i];
	}
	if (nr_read) {
		swap_read_pages(e, read, nr_read);
		lru_add_many(read, nr_read);
		for (unsigned i = 0; i < nr_read; i++)
			page_put(e, read[i]);
	}
	stat_add(f->memcg, STAT_SWAP_RA, nr_read > 0 ? nr_read - (w->self != NOBODY) : 0);
	return 0;
}

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
	} else if (!others && swap_scarce(e, memcg)) {
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

/* Second half. 0: mapped; 1: start over; or -errno. */
static int map_window(struct fault *f, struct window *w)
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

static void put_window(struct engine *e, struct window *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->page[i])
			page_put(e, w->page[i]);
}

/* The faulting page is in the swap cache: neighbours that were read ahead may be, too. The reader
 * keeps them locked until their content is there. */
static void gather_cached(struct engine *e, struct window *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (i != w->self)
			w->page[i] = swapcache_get(e, w->entry[i]);
	for (unsigned i = w->n; i-- > 0;)
		if (w->page[i] && !page_test(w->page[i], PG_uptodate))
			page_wait_unlocked(w->page[i]);
}

/* How many pages may be read ahead of their use. Above memory.high they would displace others at
 * once. */
static int64_t willneed_room(const struct mem_cgroup *memcg)
{
	int64_t room = page_counter_margin(&memcg->memory) + a64_load(&memcg->memory.max) / 4;

	for (; memcg; memcg = memcg->parent) {
		int64_t below = a64_load(&memcg->memory.high) - page_counter_read(&memcg->memory);

		if (below < room)
			room = below;
	}
	return room;
}

void fault_read_ahead(struct mm *mm, uint64_t start, unsigned n)
{
	uint64_t end = start + ((uint64_t)n << PAGE_SHIFT);
	struct fault f = { .mm = mm, .va = start };
	struct window w = { .self = NOBODY };
	struct leaf *leaf;

	VM_ASSERT(n > 0 && start % PAGE_SIZE == 0);
	VM_BUG_ON(n > FAULT_PAGES_MAX);
	rw_rdlock(&mm->mmap_lock);
	if (!clip(mm, start, &start, &end, &leaf))
		end = start;
	for (uint64_t va = start; va < end; va += PAGE_SIZE) {
		pte_t pte = pte_read(leaf, va);

		if (!pte_is_swap(pte) || swap_map(mm->engine, pte_entry(pte)) & SLOT_CACHE)
			continue;
		w.va[w.n] = va;
		w.entry[w.n++] = pte_entry(pte);
	}
	rw_rdunlock(&mm->mmap_lock);
	if (w.n == 0)
		return;
	f.memcg = mm_get_memcg(mm);
	/* Pages under read cannot be reclaimed: where there is nothing else, as when swap is full,
	 * a task that needs room would be OOM-killed. */
	if (!a32_load(&mm->dying) && willneed_room(f.memcg) >= w.n &&
	    swap_available(mm->engine, f.memcg, w.n) >= w.n)
		(void)read_window(&f, &w);
	put_window(mm->engine, &w);
	memcg_put(f.memcg);
}

int fault_swap(struct fault *f, pte_t pte)
{
	struct engine *e = f->mm->engine;
	struct window w;
	uint64_t start;
	int err;

	VM_ASSERT(pte_is_swap(pte));
	if (f->n == 0)
		stream_window(f, 1, true);
	if (f->ahead_n) {
		ahead_ask(e, f->mm, f->ahead, f->ahead_n);
		f->ahead_n = 0;
	}
	if (!look_around(f, &w))
		return 1;
	w.page[w.self] = swapcache_get(e, pte_entry(pte));
	if (w.page[w.self] && w.entry[w.self] == pte_entry(pte)) {
		if (e->mmu->ops->withdraws)
			gather_cached(e, &w);
		err = map_window(f, &w);
		put_window(e, &w);
		return err;
	}
	if (w.page[w.self])
		page_put(e, w.page[w.self]);
	w.page[w.self] = NULL;
	start = plat_now_ns();
	err = read_window(f, &w);
	stat_add(f->memcg, STAT_PGMAJFAULT, 1);
	stat_add(f->memcg, STAT_STALL_US, (int64_t)((plat_now_ns() - start) / 1000));
	if (err)
		return err;
	err = w.page[w.self] ? map_window(f, &w) : 1;
	put_window(e, &w);
	return err;
}

/* The first swap entry in [*va, @end); *va is set to its address. 0: there is none. */
static pte_t next_swap_entry(struct mm *mm, uint64_t *va, uint64_t end)
{
	struct leaf *leaf;
	pte_t pte = 0;

	do {
		rw_rdlock(&mm->mmap_lock);
		leaf = leaf_next(mm, va, end);
		for (uint64_t stop = leaf ? leaf->base + LEAF_SPAN : 0; *va < stop && *va < end;
		     *va += PAGE_SIZE) {
			pte = pte_read(leaf, *va);
			if (pte_is_swap(pte))
				break;
		}
		rw_rdunlock(&mm->mmap_lock);
	} while (leaf && !pte_is_swap(pte));
	return leaf ? pte : 0;
}

void fault_willneed(struct mm *mm, uint64_t start, uint64_t end)
{
	struct mem_cgroup *memcg = mm_get_memcg(mm);
	int64_t room = willneed_room(memcg);
	uint64_t va = start & PAGE_MASK, stop;
	pte_t pte;

	VM_ASSERT(start <= end);
	while (room > 0 && (pte = next_swap_entry(mm, &va, end)) != 0) {
		struct fault f = {
			.mm = mm, .memcg = memcg, .va = va, .start = va, .n = FAULT_PAGES_MAX
		};

		if (fault_swap(&f, pte) < 0)
			break;
		/* A window does not extend into the next leaf. */
		stop = (va & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		va += FAULT_PAGES_MAX * PAGE_SIZE;
		va = va < stop ? va : stop;
		room -= FAULT_PAGES_MAX;
	}
	memcg_put(memcg);
}

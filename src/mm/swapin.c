/* mm/swapin.c - faults on swap entries, and read-ahead.
 *
 * Two halves. First get the page into the swap cache: find it there, or allocate, charge, add and
 * read it with its neighbours in the window. Then lock it, recheck the entry, map (swapin_map.c).
 * Between the halves only a reference is held.
 *
 * Where reads are slow, the next window of a stream is read while the program uses this one
 * (ahead.c). Its pages wait in the swap cache until the stream faults on the first of them; then
 * all are mapped at once.
 */
#include "mm/swapin.h"

#include "mm/ahead.h"
#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/swap.h"
#include "mm/swap_io.h"
#include "mm/vma.h"

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
		err = swapin_map(f, &w);
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
	err = w.page[w.self] ? swapin_map(f, &w) : 1;
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

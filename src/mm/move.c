/* mm/move.c - moving charges from group to group.
 *
 * Count the pages that may move, charge them to the new group in bulk without locks held, switch
 * the address space, walk its entries and move a few pages at a time, uncharge the rest. Pages that
 * come or go in between make the estimate wrong, never the accounting: each page moved uses up one
 * page of the advance charge, or does not move.
 *
 * C1  (seed 4) A page's owner changes with the page locked, off the lists, and under the leaf lock
 *     of the only entry that maps it. So the mover sees "mapped and counted" or neither: the map
 *     count and its statistics change under that leaf lock. Other entries being removed do not
 *     matter: they are uncounted from the owner they were counted to (page_remove_rmap).
 * C2  Only pages charged to the old group move, and only if no other entry refers to them
 *     (4e0cf05f6059).
 * C3  A slot's owner changes under the slot lock, together with its charge of swap, and of
 *     memory+swap if it has one.
 *
 * C4  A fault in progress does not keep its charge in the old group: a new page is freed and
 *     faulted again (fault.c); a page read from swap moves when it is mapped (move_swapped_in), if
 *     there is room. Under mmap_lock for reading the group is stable. Pages that readahead brought
 *     in and that are not yet used, and file pages, stay charged to the group at the time of the
 *     fault that brought them in, as everywhere.
 * C5  A file page is moved under the rules of filemap.h, I5: so all its statistics are known and
 *     move along.
 *
 * Locks: mmap_lock (write: switch, read: walk) -> leaf -> page (trylock) -> slot, lruvec.
 */
#include "mm/move.h"

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/swap.h"
#include "mm/vma.h"

#define PASSES_MAX  3  /* walks, while pages are busy */
#define MOVE_BATCH  64 /* pages locked at once */
#define EMPTY_TRIES 16 /* consecutive reclaims that free nothing */

struct move {
	struct engine *e;
	struct mem_cgroup *from, *to;
	unsigned mask;        /* MOVE_ */
	bool count;           /* only count, into pages and slots */
	int64_t pages, slots; /* charged to @to in advance and not used up */
	unsigned busy;
	/* of the current leaf */
	struct page *batch[MOVE_BATCH]; /* locked, moved together */
	unsigned nr;
	int64_t nr_anon, nr_cached, nr_file, nr_shmem, nr_file_mapped, nr_dirty;
};

/* Move the slot of @entry if there is room and exactly @refs entries refer to it. */
static void move_slot(struct move *m, uint32_t entry, unsigned refs)
{
	bool memsw;

	VM_ASSERT(entry != 0);
	if (m->slots == 0 || !swap_move_owner(m->e, entry, m->from, m->to->handle, refs, &memsw))
		return;
	m->slots--;
	if (!memsw) /* its page pays */
		page_counter_uncharge(&m->to->memsw, 1);
}

/* Note the statistics of @p, which is locked and mapped at most by the current entry. */
static void note_stats(struct move *m, const struct page *p, bool mapped)
{
	const struct address_space *as = page_file_mapping(p);

	lockdep_assert_held(&p->flags);
	m->nr_anon += !as && mapped;
	m->nr_cached += page_test(p, PG_swapcache) != 0;
	m->nr_file += as != NULL;
	m->nr_shmem += as && file_is_shmem(as);
	m->nr_file_mapped += as && mapped;
	m->nr_dirty += page_test(p, PG_file) && page_test(p, PG_dirty);
}

/* The pages are locked, off the lists, and all or none are @mapped; C1. */
static void move_owners(struct move *m, struct page **pages, unsigned n, bool mapped)
{
	while (n > 0) {
		struct memcg_handle *h = page_cgroup_handle(&pages[0]->pcg);
		unsigned same = 1, moved;

		while (same < n && page_cgroup_handle(&pages[same]->pcg) == h)
			same++;
		moved = lru_transfer_pages(pages, same, h, m->to->handle);
		m->pages -= moved;
		if (moved) {
			handle_uncharge(h, moved);
			handle_put_many(h, (int32_t)moved);
		}
		for (unsigned i = 0; i < moved; i++) {
			note_stats(m, pages[i], mapped);
			if (page_test(pages[i], PG_swapcache))
				move_slot(m, page_entry(pages[i]), mapped ? 0 : 1);
		}
		pages += same;
		n -= same;
	}
}

/* Move locked pages; the caller keeps them from being freed. */
static void move_pages(struct move *m, struct page **pages, unsigned n, bool mapped)
{
	unsigned isolated = lru_isolate_pages(pages, n);

	m->busy += n - isolated;
	move_owners(m, pages, isolated, mapped);
	for (unsigned i = 0; i < n; i++)
		page_unlock(m->e, pages[i]);
	lru_add_many(pages, isolated);
}

static void move_batch(struct move *m)
{
	move_pages(m, m->batch, m->nr, true);
	m->nr = 0;
}

/* Does @p move at all? Inside RCU. */
static bool wanted(const struct move *m, const struct page *p, unsigned maps)
{
	return m->mask & (page_is_anon(p) ? MOVE_ANON : MOVE_FILE) &&
	       a32_load(&p->mapcount) == maps && page_cgroup_memcg(&p->pcg) == m->from;
}

/* Lock @p if it moves and @maps entries map it. The current entry's leaf is locked; the caller
 * keeps @p from being freed. */
static bool lock_wanted(struct move *m, struct page *p, unsigned maps)
{
	if (m->pages <= m->nr || !wanted(m, p, maps))
		return false;
	if (!page_trylock(p)) {
		m->busy++;
		return false;
	}
	if (a32_load(&p->mapcount) == maps && !page_test(p, PG_writeback))
		return true;
	m->busy++;
	page_unlock(m->e, p);
	return false;
}

static void move_present(struct move *m, struct leaf *leaf, struct page *p)
{
	if (!lock_wanted(m, p, 1))
		return;
	if (bug_on(OWNER_LOCKED_AFTER_MAPCOUNT)) {
		page_get(p);
		spin_unlock(&leaf->lock); /* an unmap now picks the owner by the map count */
		move_pages(m, &p, 1, true);
		spin_lock(&leaf->lock);
		page_put(m->e, p);
		return;
	}
	m->batch[m->nr++] = p;
	if (m->nr == MOVE_BATCH)
		move_batch(m);
}

/* Move the page of a swap entry, if it is cached and unmapped, and its slot. */
static void move_swapped(struct move *m, uint32_t entry)
{
	struct page *p = swapcache_get(m->e, entry);

	VM_ASSERT(entry != 0);
	if (!p) {
		move_slot(m, entry, 1);
		return;
	}
	/* Not batched: we hold only a temporary reference, and the page must be back on its list
	 * before we drop it. */
	if (lock_wanted(m, p, 0))
		move_pages(m, &p, 1, false);
	page_put(m->e, p);
}

static void count_entry(struct move *m, pte_t pte)
{
	struct page *p;

	if (pte_is_swap(pte) && m->mask & MOVE_ANON) {
		m->slots++;
		m->pages += (swap_map(m->e, pte_entry(pte)) & SLOT_CACHE) != 0;
	} else if (pte_present(pte)) {
		p = pfn_page(m->e, pte_pfn(pte));
		if (!wanted(m, p, 1))
			return;
		m->pages++;
		m->slots += page_test(p, PG_swapcache) != 0;
	}
}

static void move_stat(struct move *m, enum stat_item item, int64_t n)
{
	if (n == 0)
		return;
	stat_add(m->from, item, -n);
	stat_add(m->to, item, n);
}

static void move_stats(struct move *m)
{
	move_stat(m, STAT_ANON, m->nr_anon);
	move_stat(m, STAT_SWAPCACHED, m->nr_cached);
	move_stat(m, STAT_FILE, m->nr_file);
	move_stat(m, STAT_SHMEM, m->nr_shmem);
	move_stat(m, STAT_FILE_MAPPED, m->nr_file_mapped);
	move_stat(m, STAT_FILE_DIRTY, m->nr_dirty);
	m->nr_anon = m->nr_cached = m->nr_file = m->nr_shmem = m->nr_file_mapped = m->nr_dirty = 0;
}

static void move_leaf(struct move *m, struct leaf *leaf, uint64_t from, uint64_t to)
{
	VM_ASSERT(from < to);
	spin_lock(&leaf->lock);
	rcu_rd_lock();
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		pte_t pte = pte_read(leaf, va);

		if (m->count)
			count_entry(m, pte);
		else if (pte_present(pte))
			move_present(m, leaf, pfn_page(m->e, pte_pfn(pte)));
		else if (pte_is_swap(pte) && m->mask & MOVE_ANON)
			move_swapped(m, pte_entry(pte));
	}
	if (m->nr)
		move_batch(m);
	rcu_rd_unlock();
	move_stats(m);
	spin_unlock(&leaf->lock);
}

/* Visit every leaf of every area. */
static void walk(struct move *m, struct mm *mm)
{
	rw_rdlock(&mm->mmap_lock);
	for (unsigned i = 0; i < mm->nr_vmas; i++) {
		uint64_t va = mm->vmas[i]->start, end = mm->vmas[i]->end;
		struct leaf *leaf;

		for (uint64_t stop; (leaf = leaf_next(mm, &va, end)); va = stop) {
			stop = leaf->base + LEAF_SPAN < end ? leaf->base + LEAF_SPAN : end;
			move_leaf(m, leaf, va, stop);
		}
	}
	rw_rdunlock(&mm->mmap_lock);
}

/* ---- charging ahead ---- */

static int charge_slots(struct mem_cgroup *to, int64_t n)
{
	struct page_counter *full;

	VM_ASSERT(n >= 0);
	if (n == 0)
		return 0;
	if (!page_counter_try_charge(&to->memsw, n, &full))
		return -ENOMEM;
	if (page_counter_try_charge(&to->swap, n, &full))
		return 0;
	page_counter_uncharge(&to->memsw, n);
	return -ENOMEM;
}

static void give_back(struct move *m)
{
	uncharge_pages(m->to, m->pages);
	if (m->slots) {
		page_counter_uncharge(&m->to->swap, m->slots);
		page_counter_uncharge(&m->to->memsw, m->slots);
	}
	m->pages = m->slots = 0;
}

static int charge_ahead(struct move *m)
{
	int64_t slots = m->slots;

	m->slots = 0;
	if (m->pages && charge_pages(m->e, m->to, NULL, m->pages, CHARGE_NOOOM) != 0) {
		m->pages = 0;
		return -ENOMEM;
	}
	if (charge_slots(m->to, slots) != 0) {
		give_back(m);
		return -ENOMEM;
	}
	m->slots = slots;
	return 0;
}

/* ---- */

/* Move the address space's reference from group to group. A fault that charged before this
 * uncharges (fault.c). False: another thread has moved it. */
static bool switch_group(struct mm *mm, struct mem_cgroup *from, struct mem_cgroup *to)
{
	bool ours;

	rw_wrlock(&mm->mmap_lock);
	ours = recheck(mm_memcg(mm) == from);
	if (ours) {
		memcg_get(to);
		spin_lock(&mm->engine->mm_lock);
		aptr_store(&mm->memcg, to);
		spin_unlock(&mm->engine->mm_lock);
	}
	rw_wrunlock(&mm->mmap_lock);
	if (ours)
		memcg_put(from);
	return ours;
}

/* 0, -ENOMEM, or 1: retry. */
static int move_from(struct mm *mm, struct mem_cgroup *from, struct mem_cgroup *to, unsigned mask)
{
	struct move m = { .e = mm->engine, .from = from, .to = to, .mask = mask, .count = true };
	int err;

	if (mask)
		walk(&m, mm);
	err = charge_ahead(&m);
	if (!err && !switch_group(mm, from, to))
		err = 1;
	m.count = false;
	for (int pass = 0; !err && mask && pass < PASSES_MAX && (pass == 0 || m.busy); pass++) {
		m.busy = 0;
		walk(&m, mm);
	}
	give_back(&m);
	return err;
}

int mm_move_group(struct mm *mm, struct mem_cgroup *to, unsigned mask)
{
	int err;

	VM_BUG_ON(mask & ~(MOVE_ANON | MOVE_FILE));
	do {
		struct mem_cgroup *from = mm_get_memcg(mm);

		err = from != to ? move_from(mm, from, to, mask) : 0;
		memcg_put(from);
	} while (err == 1);
	return err;
}

bool move_swapped_in(struct engine *e, struct page *p, struct mem_cgroup *from,
		     struct mem_cgroup *to)
{
	struct move m = { .e = e, .from = from, .to = to, .pages = 1 };

	bool owned;

	VM_BUG_ON(!page_locked(p));
	rcu_rd_lock();
	owned = page_cgroup_memcg(&p->pcg) == from;
	rcu_rd_unlock();
	if (page_mapped(p) || !owned)
		return true;
	if (!lru_isolate_page(p))
		return false;
	/* Locks are held, so do not reclaim: without room the page stays. */
	if (charge_pages(e, to, NULL, 1, CHARGE_NORECLAIM) == 0) {
		m.slots = charge_slots(to, 1) == 0;
		move_owners(&m, &p, 1, false);
		move_stats(&m);
		give_back(&m);
	}
	lru_add(p);
	return true;
}

int group_force_empty(struct engine *e, struct mem_cgroup *memcg)
{
	bool busy = false;

	if (!memcg->parent)
		return -EINVAL;
	spin_lock(&e->mm_lock);
	list_for_each(mm, &e->mms, struct mm, link)
		busy |= memcg_is_descendant(mm_memcg(mm), memcg);
	spin_unlock(&e->mm_lock);
	if (busy)
		return -EBUSY;
	for (int tries = EMPTY_TRIES; tries > 0; tries--) {
		struct reclaim_result r;

		stock_drain_tree(memcg);
		if (page_counter_read(&memcg->memory) == 0)
			break;
		reclaim_group(e, memcg, page_counter_read(&memcg->memory), RECLAIM_LOW, &r);
		if (r.reclaimed)
			tries = EMPTY_TRIES;
	}
	return 0;
}

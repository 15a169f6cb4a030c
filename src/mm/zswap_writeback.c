/* mm/zswap_writeback.c - the oldest entries of the compressed tier go to the store. Invariants:
 * zswap.h, above all Z3.
 *
 * A write-back holds no reference of its slot. If the slot is freed meanwhile, its entry is EMPTY
 * at the end, since nobody stores while it is busy.
 *
 * One thread at a time writes back; others do without. An entry that is not written, since it is
 * another group's or its page is in memory, counts as new: the search goes on behind it.
 */
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_io.h"
#include "mm/swap_slot.h"
#include "mm/zswap_entry.h"

struct wb {
	struct swap_device *d;
	struct mem_cgroup *top;
	struct store_batch b;
	int64_t before; /* pages of @top before */
};

static void wb_done(struct store_batch *b)
{
	VM_ASSERT(b->n <= STORE_BATCH_MAX);
}

static bool owned_below(const struct swap_device *d, uint32_t slot, const struct mem_cgroup *top)
{
	bool below;

	rcu_rd_lock();
	below = d->owner[slot] && memcg_is_descendant(handle_memcg(d->owner[slot]), top);
	rcu_rd_unlock();
	return below;
}

/* Take a slot for write-back: copy its entry, mark it busy. */
static bool take(struct wb *w, uint32_t slot, struct zcopy *c)
{
	struct swap_device *d = w->d;
	struct zswap *z = d->zswap;
	uint32_t map;
	bool ok;

	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	ok = !(map & (SLOT_CACHE | SLOT_ZERO | SLOT_BAD)) && map & SLOT_VALID &&
	     owned_below(d, slot, w->top);
	if (ok) {
		spin_lock(&z->lock);
		ok = z->entry[slot].state == ZENTRY_POOLED && !z->entry[slot].busy;
		if (ok) {
			zswap_copy_locked(z, slot, c);
			z->entry[slot].busy = true;
			if (bug_on(ZSWAP_DROPPED_BEFORE_WRITTEN))
				zswap_drop_locked(d, slot);
		}
		spin_unlock(&z->lock);
	}
	spin_unlock(swap_slot_lock(d, slot));
	return ok;
}

/* The write of a slot has ended. */
static void release(struct wb *w, uint32_t slot, bool written)
{
	struct swap_device *d = w->d;
	struct zentry *en = &d->zswap->entry[slot];

	spin_lock(swap_slot_lock(d, slot));
	spin_lock(&d->zswap->lock);
	en->busy = false;
	if (written && en->state != ZENTRY_EMPTY) {
		zswap_drop_locked(d, slot);
		a32_store(&d->map[slot], (a32_load(&d->map[slot]) | SLOT_BACKED) & ~SLOT_REFUSED);
		rcu_rd_lock();
		stat_add(handle_memcg(d->owner[slot]), STAT_ZSWPWB, 1);
		rcu_rd_unlock();
	}
	spin_unlock(&d->zswap->lock);
	spin_unlock(swap_slot_lock(d, slot));
}

/* Fill a batch. Returns how many entries were looked at; 0: there are none. */
static unsigned fill(struct wb *w)
{
	struct zswap *z = w->d->zswap;
	unsigned looked = 0;

	w->b.n = 0;
	while (w->b.n < ZSWAP_WB_BATCH && looked < 4 * ZSWAP_WB_BATCH) {
		char *page = z->wb_data + w->b.n * PAGE_SIZE;
		struct zcopy c;
		int64_t slot;

		spin_lock(&z->lock);
		slot = looked < z->nr_pooled ? zswap_oldest(z) : -1;
		spin_unlock(&z->lock);
		if (slot < 0)
			break;
		looked++;
		if (!take(w, (uint32_t)slot, &c))
			continue;
		if (!zswap_expand(z, &c, page)) {
			/* Whoever needs it learns of it. */
			release(w, (uint32_t)slot, false);
			continue;
		}
		w->b.io[w->b.n].slot = (uint64_t)slot;
		w->b.io[w->b.n++].data = page;
	}
	return looked;
}

static bool no_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* Returns how many were written. */
static unsigned write_batch(struct engine *e, struct wb *w)
{
	unsigned written = 0;
	bool full = false;

	store_submit(w->d->store, &w->b);
	store_wait(w->d->store, &w->b);
	for (unsigned i = 0; i < w->b.n; i++) {
		full |= no_space(w->b.io[i].error);
		written += w->b.io[i].error == 0;
		release(w, (uint32_t)w->b.io[i].slot, w->b.io[i].error == 0);
	}
	if (full)
		(void)swap_disk_refused(e);
	return written;
}

int64_t zswap_writeback(struct engine *e, struct mem_cgroup *memcg, int64_t pages)
{
	struct swap_device *d = e->swap;
	struct zswap *z = d ? d->zswap : NULL;
	struct wb w = { .d = d, .top = memcg };
	int64_t freed = 0;

	VM_ASSERT(pages > 0);
	if (!z || !z->file || a32_load(&e->swap_disk_full) || !a32_cas(&z->writing, 0, 1))
		return 0;
	w.before = page_counter_read(&memcg->zswap);
	w.b.write = true;
	w.b.end_io = wb_done;
	while (freed < pages && fill(&w) > 0 && w.b.n > 0 && write_batch(e, &w) > 0)
		freed = w.before - page_counter_read(&memcg->zswap);
	a32_store(&z->writing, 0);
	zswap_trim(d);
	return freed > 0 ? freed : 0;
}

void zswap_make_room(struct engine *e, const struct page *p, unsigned n, bool waited)
{
	struct zswap *z = e->swap->zswap;
	struct mem_cgroup *memcg;
	int64_t room;

	if (!z || !z->file || (waited && z->background))
		return;
	memcg = page_cgroup_get_memcg(&p->pcg);
	if (!memcg)
		return;
	room = page_counter_margin(&memcg->zswap);
	if (room < n && page_counter_read(&memcg->zswap) > 0)
		zswap_writeback(e, memcg, n - room);
	memcg_put(memcg);
}

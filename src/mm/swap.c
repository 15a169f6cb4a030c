/* mm/swap.c - slots and their references. Invariants and the stale-entry rule: swap.h. Which slot a
 * page gets: swap_slot.c. */
#include "mm/swap.h"

#include "mm/page.h"
#include "mm/swap_io.h"
#include "mm/swap_share.h"
#include "mm/swap_slot.h"
#include "mm/zswap.h"

struct swap_device *swap_create(struct store *store)
{
	struct swap_device *d = plat_alloc(sizeof(*d));
	uint64_t n = store->nr_slots;

	if (!d)
		return NULL;
	if (n > UINT32_MAX - 64)
		n = UINT32_MAX - 64;
	d->store = store;
	d->nr_slots = (uint32_t)n;
	d->map = plat_alloc_big(n * sizeof(*d->map));
	d->cache = plat_alloc_big(n * sizeof(*d->cache));
	d->owner = plat_alloc_big(n * sizeof(*d->owner));
	d->hash = plat_alloc_big(n * sizeof(*d->hash));
	d->bitmap = plat_alloc_big((n + 63) / 64 * 8);
	d->spare = plat_alloc_big((n + 63) / 64 * 8);
	for (int i = 0; i < SWAP_SLOT_LOCKS; i++)
		spin_init(&d->slot_lock[i], RANK_SWAPCACHE);
	spin_init(&d->alloc_lock, RANK_SWAPCLUSTER);
	if (swap_share_init(d) == 0 && d->map && d->cache && d->owner && d->hash && d->bitmap &&
	    d->spare)
		return d;
	d->store = NULL;
	swap_destroy(d);
	return NULL;
}

void swap_set_secret(struct swap_device *d, const uint8_t secret[SWAP_SECRET_BYTES])
{
	VM_BUG_ON(a64_load(&d->nr_used) != 0);
	plat_copy(d->secret, secret, SWAP_SECRET_BYTES);
	d->has_secret = true;
}

static void free_big(void *p, size_t n)
{
	if (p)
		plat_free_big(p, n);
}

void swap_destroy(struct swap_device *d)
{
	uint64_t n;

	if (!d)
		return;
	VM_BUG_ON(a64_load(&d->nr_used) != 0);
	n = d->nr_slots;
	zswap_destroy(d);
	free_big(d->map, n * sizeof(*d->map));
	free_big(d->cache, n * sizeof(*d->cache));
	free_big(d->owner, n * sizeof(*d->owner));
	free_big(d->hash, n * sizeof(*d->hash));
	free_big(d->bitmap, (n + 63) / 64 * 8);
	free_big(d->spare, (n + 63) / 64 * 8);
	swap_share_fini(d);
	for (int i = 0; i < SWAP_SLOT_LOCKS; i++)
		spin_fini(&d->slot_lock[i]);
	spin_fini(&d->alloc_lock);
	store_destroy(d->store);
	plat_free(d);
}

/* ---- a page gets a slot ---- */

/* A slot may outlive its page and their group, so it holds its own reference on the owner handle
 * (a3b2d692690a). */
static void slot_hold(struct memcg_handle *h)
{
	if (!bug_on(SWAP_SLOT_WITHOUT_REFERENCE))
		handle_get_many(h, 1);
}

static void slot_drop(struct memcg_handle *h)
{
	if (!bug_follows(SWAP_SLOT_WITHOUT_REFERENCE))
		handle_put_many(h, 1);
}

int swap_add_page(struct engine *e, struct page *p, uint32_t *near)
{
	struct swap_device *d = e->swap;
	struct memcg_handle *h = page_cgroup_handle(&p->pcg);
	struct page_counter *full;
	uint32_t word;
	int64_t slot;
	bool charged;

	VM_BUG_ON(!page_locked(p));
	if (!d)
		return -ENODEV;
	VM_BUG_ON(!h);
	rcu_rd_lock();
	charged = page_counter_try_charge(&handle_memcg(h)->swap, 1, &full);
	rcu_rd_unlock();
	if (!charged)
		return -EDQUOT;
	slot = slot_alloc(e, near, true, &word);
	if (slot < 0) {
		rcu_rd_lock();
		page_counter_uncharge(&handle_memcg(h)->swap, 1);
		rcu_rd_unlock();
		return -ENOSPC;
	}
	slot_hold(h);
	page_get(p);
	spin_lock(swap_slot_lock(d, (uint32_t)slot));
	VM_BUG_ON(a32_load(&d->map[slot]) != 0);
	d->owner[slot] = h;
	aptr_store(&d->cache[slot], p);
	a32_store(&p->entry, (uint32_t)slot + 1);
	page_set(p, PG_swapcache | PG_dirty);
	a32_store(&d->map[slot], word | SLOT_CACHE);
	spin_unlock(swap_slot_lock(d, (uint32_t)slot));
	page_stat(p, STAT_SWAPCACHED, 1);
	return 0;
}

/* The word is 0 except USED and content flags: release everything. Slot lock held; returns the
 * owner to uncharge. */
static struct memcg_handle *slot_clear(struct swap_device *d, uint32_t slot)
{
	struct memcg_handle *h = d->owner[slot];

	VM_ASSERT(slot < d->nr_slots);
	lockdep_assert_held(swap_slot_lock(d, slot));
	swap_share_forget(d, slot);
	zswap_forget(d, slot);
	a32_store(&d->map[slot], 0);
	aptr_store(&d->cache[slot], NULL);
	d->owner[slot] = NULL;
	return h;
}

void swap_relocate(struct engine *e, struct page *p, uint32_t *near)
{
	struct swap_device *d = e->swap;
	uint32_t old = entry_slot(page_entry(p)), was, word;
	struct memcg_handle *h;
	int64_t slot = slot_alloc(e, near, false, &word);

	if (slot < 0)
		return;
	VM_BUG_ON(!page_locked(p) || !page_test(p, PG_swapcache) || page_test(p, PG_writeback));
	spin_lock(swap_slot_lock(d, old));
	was = a32_load(&d->map[old]);
	VM_BUG_ON(slot_count(was) != 0 || aptr_load(&d->cache[old]) != p);
	h = slot_clear(d, old);
	spin_unlock(swap_slot_lock(d, old));
	slot_release(d, old, was);
	/* In between, no lookup finds the page by either slot: no entry names them. The owner
	 * handle moves along. */
	spin_lock(swap_slot_lock(d, (uint32_t)slot));
	VM_BUG_ON(a32_load(&d->map[slot]) != 0);
	d->owner[slot] = h;
	aptr_store(&d->cache[slot], p);
	a32_store(&p->entry, (uint32_t)slot + 1);
	a32_store(&d->map[slot], word | SLOT_CACHE);
	spin_unlock(swap_slot_lock(d, (uint32_t)slot));
}

/* ---- references ---- */

static void slot_free(struct swap_device *d, uint32_t slot, struct memcg_handle *h, uint32_t word)
{
	struct mem_cgroup *memcg;

	VM_ASSERT(slot < d->nr_slots);
	slot_release(d, slot, word);
	rcu_rd_lock();
	memcg = handle_memcg(h);
	page_counter_uncharge(&memcg->swap, 1);
	if (word & SLOT_MEMSW)
		page_counter_uncharge(&memcg->memsw, 1);
	rcu_rd_unlock();
	slot_drop(h);
	zswap_trim(d);
}

void swap_set_map(struct engine *e, uint32_t entry, uint32_t set, uint32_t clear)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	spin_lock(swap_slot_lock(d, slot));
	a32_store(&d->map[slot], (a32_load(&d->map[slot]) | set) & ~clear);
	spin_unlock(swap_slot_lock(d, slot));
}

void swap_set_hash(struct swap_device *d, uint32_t slot, struct swap_hash hash)
{
	uint32_t map = a32_load(&d->map[slot]);

	lockdep_assert_held(swap_slot_lock(d, slot));
	if (map & SLOT_VALID && !(map & (SLOT_ZERO | SLOT_BAD)) && hash_equal(d->hash[slot], hash))
		return;
	if (!hash_equal(d->hash[slot], hash)) {
		swap_share_forget(d, slot);
		d->hash[slot] = hash;
	}
	a32_store(&d->map[slot], a32_load(&d->map[slot]) & ~(SLOT_VALID | SLOT_ZERO | SLOT_BAD));
}

void swap_begin_write(struct engine *e, uint32_t entry, struct swap_hash hash)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	spin_lock(swap_slot_lock(d, slot));
	swap_set_hash(d, slot, hash);
	spin_unlock(swap_slot_lock(d, slot));
}

void swap_unfind(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	spin_lock(swap_slot_lock(d, slot));
	swap_share_forget(d, slot);
	spin_unlock(swap_slot_lock(d, slot));
}

void swap_dup(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry), map;

	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	VM_BUG_ON(!(map & SLOT_USED) || slot_count(map) == SLOT_COUNT_MASK);
	a32_store(&d->map[slot], map + 1);
	spin_unlock(swap_slot_lock(d, slot));
}

void swap_put(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry), map;
	struct memcg_handle *h = NULL;
	struct page *stale = NULL;

	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	VM_BUG_ON(slot_count(map) == 0);
	a32_store(&d->map[slot], map - 1);
	if (slot_count(map) == 1) {
		if (map & SLOT_CACHE) {
			stale = aptr_load(&d->cache[slot]);
			page_get(stale);
		} else {
			h = slot_clear(d, slot);
		}
	}
	spin_unlock(swap_slot_lock(d, slot));
	if (h)
		slot_free(d, slot, h, map);
	if (stale) {
		/* The count was published as 0 above; now try. If the trylock fails, the lock
		 * holder checks after us. */
		sync_step(swapcache_check_stale(e, stale));
		page_put(e, stale);
	}
}

struct mem_cgroup *swap_owner(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);
	struct mem_cgroup *memcg = NULL;

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	spin_lock(swap_slot_lock(d, slot));
	if (d->owner[slot]) {
		rcu_rd_lock();
		do
			memcg = handle_memcg(d->owner[slot]);
		while (!memcg_tryget(memcg));
		rcu_rd_unlock();
	}
	spin_unlock(swap_slot_lock(d, slot));
	return memcg;
}

bool swap_move_owner(struct engine *e, uint32_t entry, struct mem_cgroup *from,
		     struct memcg_handle *to, unsigned refs, bool *memsw)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry), map;
	struct memcg_handle *h = NULL;

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	rcu_rd_lock();
	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	if (map && slot_count(map) == refs && handle_memcg(d->owner[slot]) == from) {
		h = d->owner[slot];
		slot_hold(to);
		zswap_move(d, slot, h, to);
		d->owner[slot] = to;
	}
	spin_unlock(swap_slot_lock(d, slot));
	*memsw = map & SLOT_MEMSW;
	if (h) {
		page_counter_uncharge(&handle_memcg(h)->swap, 1);
		if (*memsw)
			page_counter_uncharge(&handle_memcg(h)->memsw, 1);
		slot_drop(h);
	}
	rcu_rd_unlock();
	return h != NULL;
}

/* ---- swap cache ---- */

struct page *swapcache_get(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);
	struct page *p = NULL;

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	spin_lock(swap_slot_lock(d, slot));
	if (a32_load(&d->map[slot]) & SLOT_CACHE) {
		p = aptr_load(&d->cache[slot]);
		page_get(p);
	}
	spin_unlock(swap_slot_lock(d, slot));
	return p;
}

uint64_t swapcache_shadow(struct engine *e, uint32_t entry)
{
	uint64_t v = (uint64_t)(uintptr_t)aptr_load(&e->swap->cache[entry_slot(entry)]);

	VM_ASSERT(entry != 0 && entry_slot(entry) < e->swap->nr_slots);
	return v & 1 ? v >> 1 : 0;
}

int swapcache_add(struct engine *e, struct page *p, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry), map;
	struct memcg_handle *h;
	int err = 0;

	VM_BUG_ON(!page_locked(p));
	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	h = d->owner[slot];
	if (!recheck(slot_count(map) != 0))
		err = -ENOENT;
	else if (!recheck(!(map & SLOT_CACHE)))
		err = -EEXIST;
	if (err) {
		spin_unlock(swap_slot_lock(d, slot));
		return err;
	}
	page_get(p);
	aptr_store(&d->cache[slot], p);
	a32_store(&p->entry, entry);
	page_set(p, PG_swapcache);
	a32_store(&d->map[slot], (map | SLOT_CACHE) & ~SLOT_MEMSW);
	if (map & SLOT_MEMSW) {
		/* The page carries the charge from now on. The lock keeps the owner handle
		 * alive. */
		rcu_rd_lock();
		page_counter_uncharge(&handle_memcg(h)->memsw, 1);
		rcu_rd_unlock();
	}
	spin_unlock(swap_slot_lock(d, slot));
	page_stat(p, STAT_SWAPCACHED, 1);
	return 0;
}

void swapcache_del(struct engine *e, struct page *p, uint64_t shadow)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(page_entry(p)), map;
	struct memcg_handle *h = NULL;

	VM_BUG_ON(!page_locked(p) || !page_test(p, PG_swapcache) || page_test(p, PG_writeback));
	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	VM_BUG_ON(!(map & SLOT_CACHE) || aptr_load(&d->cache[slot]) != p);
	page_clear(p, PG_swapcache | PG_dirty);
	a32_store(&p->entry, 0);
	if (slot_count(map) == 0) {
		h = slot_clear(d, slot);
	} else {
		aptr_store(&d->cache[slot], (void *)(uintptr_t)(shadow ? shadow << 1 | 1 : 0));
		/* The page leaves memory (or is no longer tied to the slot): the slot carries its
		 * own charge. This must not fail: the page's charge, released right after this,
		 * makes room for it. */
		rcu_rd_lock();
		page_counter_charge(&handle_memcg(d->owner[slot])->memsw, 1);
		rcu_rd_unlock();
		a32_store(&d->map[slot], (map & ~SLOT_CACHE) | SLOT_MEMSW);
	}
	spin_unlock(swap_slot_lock(d, slot));
	page_stat(p, STAT_SWAPCACHED, -1);
	if (h)
		slot_free(d, slot, h, map);
	page_put(e, p); /* the cache's reference; the caller holds another */
}

bool swapcache_replace(struct engine *e, struct page *old, struct page *new)
{
	struct swap_device *d = e->swap;
	uint32_t entry = page_entry(old), slot = entry_slot(entry);
	bool frozen;

	VM_BUG_ON(!page_locked(old) || !page_locked(new) || page_test(old, PG_writeback));
	/* A lookup of @old takes its reference under this lock: an earlier one makes the freeze
	 * fail; a later one finds @new and waits for its lock. */
	spin_lock(swap_slot_lock(d, slot));
	VM_BUG_ON(aptr_load(&d->cache[slot]) != old);
	frozen = page_freeze_refs(old, 2);
	if (frozen) {
		page_get(new);
		a32_store(&new->entry, entry);
		page_set(new, PG_swapcache);
		aptr_store(&d->cache[slot], new);
		page_clear(old, PG_swapcache);
		a32_store(&old->entry, 0);
		page_unfreeze_refs(old, 1);
	}
	spin_unlock(swap_slot_lock(d, slot));
	return frozen;
}

bool swapcache_unused(struct engine *e, const struct page *p)
{
	uint32_t entry = page_test(p, PG_swapcache) ? page_entry(p) : 0;

	return entry != 0 && slot_count(swap_map(e, entry)) == 0;
}

bool swapcache_try_free(struct engine *e, struct page *p)
{
	VM_BUG_ON(!page_locked(p));
	if (!recheck(!page_test(p, PG_writeback)))
		return false;
	if (!recheck(swapcache_unused(e, p)))
		return false;
	swapcache_del(e, p, 0);
	return true;
}

/* Is @p in the swap cache without a user? A racy check, repeated under the page lock. */
static bool looks_stale(struct engine *e, struct page *p)
{
	return !page_test(p, PG_writeback) && !page_mapped(p) && swapcache_unused(e, p);
}

void swapcache_check_stale(struct engine *e, struct page *p)
{
	VM_ASSERT(a32_peek(&p->refcount) > 0);
	while (looks_stale(e, p)) {
		if (!page_trylock(p))
			return; /* the holder checks after unlocking */
		if (recheck(!page_mapped(p)))
			swapcache_try_free(e, p);
		else if (bug_on(SWAP_WORKER_KEEPS_REFERENCE))
			page_get(p); /* seed 2's worker looked the page up and left without a put */
		bit_unlock(&p->flags, PG_locked, PG_waiters, RANK_PAGE);
		/* While we held the lock another thread's trylock may have failed: check again. */
	}
}

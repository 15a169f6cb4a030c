/* mm/zswap.c - entries of the compressed tier: store, load, forget. Invariants: zswap.h. */
#include "mm/zswap.h"

#include <string.h>
#include <xxhash.h>

#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_slot.h"
#include "mm/zswap_entry.h"

#define SPARE_SLABS 4
#define PAGE_WORDS  (PAGE_SIZE / sizeof(uint64_t))

int zswap_enable(struct engine *e, const struct codec *codec, bool file)
{
	struct swap_device *d = e->swap;
	struct zswap *z = plat_alloc(sizeof(*z));

	VM_BUG_ON(!d || a64_load(&d->nr_used) != 0);
	if (!z)
		return -ENOMEM;
	z->codec = codec;
	z->file = file;
	z->entry = plat_alloc_big((uint64_t)d->nr_slots * sizeof(*z->entry));
	z->wb_data = plat_alloc_big(ZSWAP_WB_BATCH * PAGE_SIZE);
	spin_init(&z->lock, RANK_ZSWAP);
	d->zswap = z;
	if (z->entry && z->wb_data)
		return 0;
	zswap_destroy(d);
	return -ENOMEM;
}

void zswap_in_background(struct engine *e)
{
	if (e->swap && e->swap->zswap)
		e->swap->zswap->background = true;
}

void zswap_destroy(struct swap_device *d)
{
	struct zswap *z = d->zswap;

	if (!z)
		return;
	if (z->entry)
		plat_free_big(z->entry, (uint64_t)d->nr_slots * sizeof(*z->entry));
	if (z->wb_data)
		plat_free_big(z->wb_data, ZSWAP_WB_BATCH * PAGE_SIZE);
	zpool_fini(&z->pool);
	spin_fini(&z->lock);
	plat_free(z);
	d->zswap = NULL;
}

/* ---- charges: zswap lock held --------------------------------------------------------------- */

static int64_t bytes_pages(int64_t bytes)
{
	return (bytes + (int64_t)PAGE_SIZE - 1) / (int64_t)PAGE_SIZE;
}

/* The handle's bytes change by @bytes. False: zswap.max is reached; never with @force. The memory
 * is charged by force, as the page that it is for is about to be freed. */
static bool charge(struct zswap *z, struct memcg_handle *h, int64_t bytes, bool force)
{
	int64_t pages = bytes_pages(h->zbytes + bytes) - bytes_pages(h->zbytes);
	struct mem_cgroup *memcg;
	bool ok = true;

	lockdep_assert_held(&z->lock);
	VM_BUG_ON(h->zbytes + bytes < 0);
	rcu_rd_lock();
	memcg = handle_memcg(h);
	if (pages > 0) {
		if (force)
			page_counter_charge(&memcg->zswap, pages);
		else
			ok = page_counter_try_charge(&memcg->zswap, pages, NULL);
		if (ok) {
			page_counter_charge(&memcg->memsw, pages);
			page_counter_charge(&memcg->memory, pages);
		}
	} else if (pages < 0) {
		page_counter_uncharge(&memcg->memory, -pages);
		page_counter_uncharge(&memcg->memsw, -pages);
		page_counter_uncharge(&memcg->zswap, -pages);
	}
	if (ok) {
		h->zbytes += bytes;
		stat_add(memcg, STAT_ZSWAP, pages);
	}
	rcu_rd_unlock();
	return ok;
}

static void count(struct memcg_handle *h, enum stat_item item, int64_t n)
{
	rcu_rd_lock();
	stat_add(handle_memcg(h), item, n);
	rcu_rd_unlock();
}

/* ---- the order of age ------------------------------------------------------------------------ */

static void fifo_add(struct zswap *z, uint32_t slot)
{
	struct zentry *en = &z->entry[slot];

	lockdep_assert_held(&z->lock);
	en->next = 0;
	en->prev = z->newest;
	if (z->newest)
		z->entry[z->newest - 1].next = slot + 1;
	else
		z->oldest = slot + 1;
	z->newest = slot + 1;
	z->nr_pooled++;
}

static void fifo_del(struct zswap *z, uint32_t slot)
{
	struct zentry *en = &z->entry[slot];

	lockdep_assert_held(&z->lock);
	if (en->prev)
		z->entry[en->prev - 1].next = en->next;
	else
		z->oldest = en->next;
	if (en->next)
		z->entry[en->next - 1].prev = en->prev;
	else
		z->newest = en->prev;
	z->nr_pooled--;
}

int64_t zswap_oldest(struct zswap *z)
{
	uint32_t link = z->oldest;

	lockdep_assert_held(&z->lock);
	if (!link)
		return -1;
	fifo_del(z, link - 1);
	fifo_add(z, link - 1);
	return link - 1;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Both locks held. */
static void drop(struct zswap *z, uint32_t slot, struct memcg_handle *h)
{
	struct zentry *en = &z->entry[slot];
	uint32_t moved;

	lockdep_assert_held(&z->lock);
	if (en->state == ZENTRY_EMPTY)
		return;
	count(h, STAT_ZSWAPPED, -1);
	if (en->state == ZENTRY_POOLED) {
		fifo_del(z, slot);
		moved = zpool_remove(&z->pool, en->object);
		if (moved != ZPOOL_NOBODY) {
			z->entry[moved].object.slab = en->object.slab;
			z->entry[moved].object.at = en->object.at;
		}
		charge(z, h, -zpool_cost(en->object.len), true);
	}
	en->state = ZENTRY_EMPTY;
}

void zswap_drop_locked(struct swap_device *d, uint32_t slot)
{
	lockdep_assert_held(swap_slot_lock(d, slot));
	drop(d->zswap, slot, d->owner[slot]);
}

void zswap_forget(struct swap_device *d, uint32_t slot)
{
	struct zswap *z = d->zswap;

	if (!z)
		return;
	lockdep_assert_held(swap_slot_lock(d, slot));
	spin_lock(&z->lock);
	drop(z, slot, d->owner[slot]);
	spin_unlock(&z->lock);
}

void zswap_move(struct swap_device *d, uint32_t slot, struct memcg_handle *from,
		struct memcg_handle *to)
{
	struct zswap *z = d->zswap;
	struct zentry *en;

	if (!z)
		return;
	lockdep_assert_held(swap_slot_lock(d, slot));
	spin_lock(&z->lock);
	en = &z->entry[slot];
	if (en->state == ZENTRY_POOLED) {
		charge(z, to, zpool_cost(en->object.len), true);
		charge(z, from, -zpool_cost(en->object.len), true);
	}
	if (en->state != ZENTRY_EMPTY) {
		count(to, STAT_ZSWAPPED, 1);
		count(from, STAT_ZSWAPPED, -1);
	}
	spin_unlock(&z->lock);
}

void zswap_trim(struct swap_device *d)
{
	struct zswap *z = d->zswap;
	struct zslab *s;

	while (z && a32_load(&z->surplus)) {
		spin_lock(&z->lock);
		s = zpool_take_spare(&z->pool, SPARE_SLABS);
		a32_store(&z->surplus, z->pool.nr_spare > SPARE_SLABS);
		spin_unlock(&z->lock);
		if (!s)
			return;
		zpool_slab_free(s);
	}
}

bool zswap_holds(struct engine *e, uint32_t entry)
{
	struct zswap *z = e->swap->zswap;
	bool holds;

	if (!z)
		return false;
	spin_lock(&z->lock);
	holds = z->entry[entry_slot(entry)].state != ZENTRY_EMPTY;
	spin_unlock(&z->lock);
	return holds;
}

bool zswap_begin_write(struct engine *e, uint32_t entry)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry);
	bool busy;

	if (!d->zswap)
		return true;
	spin_lock(swap_slot_lock(d, slot));
	spin_lock(&d->zswap->lock);
	busy = d->zswap->entry[slot].busy && !bug_on(ZSWAP_BUSY_SLOT_WRITTEN);
	if (!busy)
		drop(d->zswap, slot, d->owner[slot]);
	spin_unlock(&d->zswap->lock);
	spin_unlock(swap_slot_lock(d, slot));
	return !busy;
}

static bool is_filled(const uint64_t *w)
{
	return memcmp(w, w + 1, PAGE_SIZE - sizeof(*w)) == 0;
}

/* Both locks held. */
static bool enter(struct swap_device *d, uint32_t slot, const void *data, size_t len, uint64_t word)
{
	struct zswap *z = d->zswap;
	struct zentry *en = &z->entry[slot];

	VM_BUG_ON(en->state != ZENTRY_EMPTY);
	if (len && !charge(z, d->owner[slot], zpool_cost(len), false))
		return false;
	if (len) {
		en->object = zpool_insert(&z->pool, data, len, slot);
		fifo_add(z, slot);
	}
	en->word = word;
	en->state = len ? ZENTRY_POOLED : ZENTRY_FILLED;
	count(d->owner[slot], STAT_ZSWAPPED, 1);
	return true;
}

bool zswap_store(struct engine *e, uint32_t entry, const void *page)
{
	struct swap_device *d = e->swap;
	struct zswap *z = d->zswap;
	uint32_t slot = entry_slot(entry);
	uint64_t buffer[ZPOOL_OBJECT_MAX / sizeof(uint64_t)], word = *(const uint64_t *)page;
	bool filled = is_filled(page), ok;
	size_t len = 0;

	if (!filled) {
		len = z->codec->compress(page, buffer, sizeof(buffer));
		if (len == 0)
			return false;
		word = XXH3_64bits(buffer, len);
	}
	for (;;) {
		struct zslab *s;

		spin_lock(swap_slot_lock(d, slot));
		spin_lock(&z->lock);
		if (filled || !zpool_needs_slab(&z->pool, len))
			break;
		spin_unlock(&z->lock);
		spin_unlock(swap_slot_lock(d, slot));
		s = zpool_slab_alloc();
		if (!s)
			return false;
		spin_lock(&z->lock);
		zpool_give(&z->pool, s);
		spin_unlock(&z->lock);
	}
	ok = enter(d, slot, buffer, len, word);
	a32_store(&z->surplus, z->pool.nr_spare > SPARE_SLABS);
	spin_unlock(&z->lock);
	spin_unlock(swap_slot_lock(d, slot));
	return ok;
}

bool zswap_expand(const struct zswap *z, const struct zcopy *c, void *page)
{
	uint64_t *w = page;

	if (c->state == ZENTRY_POOLED)
		return XXH3_64bits(c->data, c->len) == c->word &&
		       z->codec->decompress(c->data, c->len, page);
	for (size_t i = 0; i < PAGE_WORDS; i++)
		w[i] = c->word;
	return true;
}

void zswap_copy_locked(struct zswap *z, uint32_t slot, struct zcopy *c)
{
	const struct zentry *en = &z->entry[slot];

	c->state = en->state;
	c->word = en->word;
	c->len = en->object.len;
	if (c->state == ZENTRY_POOLED)
		plat_copy(c->data, zpool_data(en->object), c->len);
}

int zswap_load(struct engine *e, uint32_t entry, void *page)
{
	struct zswap *z = e->swap->zswap;
	struct zcopy c;

	if (!z)
		return 1;
	spin_lock(&z->lock);
	zswap_copy_locked(z, entry_slot(entry), &c);
	spin_unlock(&z->lock);
	if (bug_on(ZSWAP_OBJECT_READ_UNLOCKED))
		zswap_copy_locked(z, entry_slot(entry), &c);
	if (c.state == ZENTRY_EMPTY)
		return 1;
	return zswap_expand(z, &c, page) ? 0 : -EIO;
}

int64_t zswap_cost(const struct swap_device *d, uint32_t slot)
{
	const struct zentry *en = &d->zswap->entry[slot];

	if (en->state == ZENTRY_EMPTY)
		return -1;
	return en->state == ZENTRY_POOLED ? zpool_cost(en->object.len) : 0;
}

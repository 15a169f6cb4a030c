/* audit/audit_swap.c - swap slots and the swap cache. */
#include "audit/recount.h"
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_share.h"
#include "mm/zswap.h"

/* The slot's cached page, verified to be a page. NULL: none, or a shadow. */
static struct page *cached_page(struct audit *a, uint32_t slot, uint32_t map)
{
	void *v = aptr_load(&a->e->swap->cache[slot]);
	struct page *p;

	if (!v || (uintptr_t)v & 1) {
		if (map & SLOT_CACHE)
			audit_fail(a, 10, "slot %u is marked as cached, but the cache has no page",
				   slot);
		return NULL;
	}
	if (!(map & SLOT_CACHE)) {
		audit_fail(a, 10, "the cache has a page for slot %u, which is not marked", slot);
		return NULL;
	}
	p = v;
	if (p->pfn >= a->nr_frames || pfn_page(a->e, p->pfn) != p) {
		audit_fail(a, 12, "slot %u caches something that is no page", slot);
		return NULL;
	}
	return p;
}

static void check_cached(struct audit *a, uint32_t slot, uint32_t map, struct page *p)
{
	a->frame[p->pfn].slots++;
	if (!page_test(p, PG_swapcache) || page_entry(p) != slot + 1)
		audit_fail(a, 12, "slot %u caches page %u, which says entry %u", slot, p->pfn,
			   page_entry(p));
	if (slot_count(map) == 0 && !page_mapped(p) && !page_locked(p) &&
	    !page_test(p, PG_writeback))
		audit_fail(a, 11, "slot %u: nothing refers to it but the idle page %u", slot,
			   p->pfn);
	if (!page_test(p, PG_dirty) && !page_test(p, PG_error) && !page_mapped(p) &&
	    !(map & SLOT_VALID))
		audit_fail(a, 10, "slot %u: page %u is clean, but the slot has no content", slot,
			   p->pfn);
}

static void check_used(struct audit *a, uint32_t slot, uint32_t map)
{
	struct memcg_handle *h = a->e->swap->owner[slot];
	struct group_count *g;
	struct page *p;

	audit_equal(a, 10, "the count of a slot", slot_count(map), a->swap_ptes[slot]);
	p = cached_page(a, slot, map);
	if (p)
		check_cached(a, slot, map, p);
	if (!(map & SLOT_USED) || (!(map & SLOT_CACHE) && slot_count(map) == 0))
		audit_fail(a, 10, "slot %u is in use for nothing (%x)", slot, map);
	if (!(map & SLOT_CACHE) != !!(map & SLOT_MEMSW))
		audit_fail(a, 2, "slot %u (%x) must carry a charge of its own iff it is not cached",
			   slot, map);
	if (map & SLOT_INDEXED && slot_count(map) > 0 &&
	    (map & SLOT_ZERO || !(map & SLOT_VALID || (p && !page_mapped(p)))))
		audit_fail(a, 35, "slot %u (%x) is found by a content that it may not have", slot,
			   map);
	if (!(map & (SLOT_VALID | SLOT_CACHE)))
		audit_fail(a, 10, "slot %u has no content, and no page has it", slot);
	g = h ? audit_group(a, handle_memcg(h)) : NULL;
	if (!g) {
		audit_fail(a, 3, "slot %u has no owner that can be found", slot);
		return;
	}
	g->slots++;
	if (a->e->swap->zswap)
		g->gauge[STAT_ZSWAPPED] += zswap_cost(a->e->swap, slot) >= 0;
	g->memsw_slots += (map & SLOT_MEMSW) != 0;
}

static void check_free(struct audit *a, uint32_t slot)
{
	const struct swap_device *d = a->e->swap;

	audit_equal(a, 10, "the count of a free slot", 0, a->swap_ptes[slot]);
	if (d->zswap && zswap_cost(d, slot) >= 0)
		audit_fail(a, 36, "slot %u is free, but has compressed content", slot);
	if (aptr_load(&d->cache[slot]) || d->owner[slot])
		audit_fail(a, 10, "slot %u is free, but has a page or an owner", slot);
}

/* Every slot in the index is marked INDEXED and is in the chain of its tag; no other slot is
 * marked. */
static void check_index(struct audit *a, int64_t indexed)
{
	const struct swap_device *d = a->e->swap;
	int64_t found = 0;
	int64_t slot;

	for (uint32_t i = 0; i < d->index.nr_heads; i++) {
		for (slot = swap_share_chain(d, i, -1); slot >= 0;
		     slot = swap_share_chain(d, i, slot)) {
			if (!(a32_load(&d->map[slot]) & SLOT_INDEXED))
				audit_fail(a, 35,
					   "slot %u is found by its content, and does not say so",
					   (unsigned)slot);
			if (++found > d->nr_slots) {
				audit_fail(a, 35, "a chain of slots has no end");
				return;
			}
		}
	}
	audit_equal(a, 35, "slots found by their content", indexed, found);
	audit_equal(a, 35, "their number", a64_load(&d->index.nr), found);
}

void audit_swap(struct audit *a)
{
	const struct swap_device *d = a->e->swap;
	int64_t used = 0, spare = 0, indexed = 0;

	for (uint32_t slot = 0; slot < d->nr_slots; slot++) {
		uint32_t map = a32_load(&d->map[slot]);
		bool bit = d->bitmap[slot / 64] >> (slot % 64) & 1;

		if (bit != (map != 0))
			audit_fail(a, 10, "slot %u: the bitmap says %d, its word is %x", slot, bit,
				   map);
		used += map != 0;
		indexed += (map & SLOT_INDEXED) != 0;
		if (d->spare[slot / 64] >> (slot % 64) & 1) {
			spare++;
			if (map)
				audit_fail(a, 10, "slot %u is spare, but its word is %x", slot,
					   map);
		}
		if (map)
			check_used(a, slot, map);
		else
			check_free(a, slot);
	}
	audit_equal(a, 33, "used slots", a64_load(&d->nr_used), used);
	audit_equal(a, 33, "spare slots", d->nr_spare, spare);
	check_index(a, indexed);
}

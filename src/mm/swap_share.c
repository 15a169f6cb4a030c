/* mm/swap_share.c - the index of slots by content and address. Invariants and locks: swap_share.h.
 *
 * A hash table of chains through arrays: a link is 0 (not in the index), 1 (the end), or slot + 2.
 * Several slots may have the same content: a lookup takes the first that may be shared.
 */
#include "mm/swap_share.h"

#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_io.h"
#include "mm/swap_slot.h"

#define LINK_END 1u

static uint32_t link_to(uint32_t slot)
{
	return slot + 2;
}
static uint32_t link_slot(uint32_t link)
{
	return link - 2;
}

int swap_share_init(struct swap_device *d)
{
	struct swap_index *x = &d->index;

	x->nr_heads = 1;
	while (x->nr_heads < d->nr_slots && x->nr_heads < 1u << 31)
		x->nr_heads *= 2;
	x->head = plat_alloc_big((uint64_t)x->nr_heads * sizeof(*x->head));
	x->next = plat_alloc_big((uint64_t)d->nr_slots * sizeof(*x->next));
	x->tag = plat_alloc_big((uint64_t)d->nr_slots * sizeof(*x->tag));
	spin_init(&x->lock, RANK_SWAPINDEX);
	return x->head && x->next && x->tag ? 0 : -ENOMEM;
}

static void free_table(void *p, uint64_t n)
{
	if (p)
		plat_free_big(p, n * sizeof(uint32_t));
}

void swap_share_fini(struct swap_device *d)
{
	struct swap_index *x = &d->index;

	VM_BUG_ON(a64_load(&x->nr) != 0);
	free_table(x->head, x->nr_heads);
	free_table(x->next, d->nr_slots);
	free_table(x->tag, d->nr_slots);
	spin_fini(&x->lock);
}

/* Tag of content and address. It is compared first, and its low bits choose the chain. */
static uint32_t tag_of(uint64_t va, struct swap_hash hash)
{
	uint64_t mixed =
		(hash.lo ^ (va >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

	return (uint32_t)(mixed >> 32);
}

/* The slot's lock is held. */
static void enter(struct swap_device *d, uint32_t slot, uint64_t va)
{
	struct swap_index *x = &d->index;
	uint32_t tag = tag_of(va, d->hash[slot]), *head = &x->head[tag & (x->nr_heads - 1)];

	lockdep_assert_held(swap_slot_lock(d, slot));
	spin_lock(&x->lock);
	VM_BUG_ON(x->next[slot] != 0);
	x->tag[slot] = tag;
	x->next[slot] = *head ? *head : LINK_END;
	*head = link_to(slot);
	a64_acc(&x->nr, 1);
	spin_unlock(&x->lock);
	a32_store(&d->map[slot], a32_load(&d->map[slot]) | SLOT_INDEXED);
}

void swap_share_forget(struct swap_device *d, uint32_t slot)
{
	struct swap_index *x = &d->index;
	uint32_t map = a32_load(&d->map[slot]), *link;

	lockdep_assert_held(swap_slot_lock(d, slot));
	if (!(map & SLOT_INDEXED))
		return;
	a32_store(&d->map[slot], map & ~SLOT_INDEXED);
	spin_lock(&x->lock);
	link = &x->head[x->tag[slot] & (x->nr_heads - 1)];
	while (*link != link_to(slot)) {
		VM_BUG_ON(*link <= LINK_END);
		link = &x->next[link_slot(*link)];
	}
	*link = x->next[slot];
	x->next[slot] = 0;
	a64_acc(&x->nr, -1);
	spin_unlock(&x->lock);
}

int64_t swap_share_chain(const struct swap_device *d, uint32_t head, int64_t slot)
{
	uint32_t link = slot < 0 ? d->index.head[head] : d->index.next[slot];

	return link > LINK_END ? (int64_t)link_slot(link) : -1;
}

/* May one more entry refer to a slot with this word? Only a hint if the slot's lock is not held. */
static bool may_share(uint32_t map)
{
	return map & SLOT_INDEXED && !(map & SLOT_BAD) && slot_count(map) > 0 &&
	       slot_count(map) < SWAP_SHARE_MAX;
}

/* A slot that seems to match, or -1. */
static int64_t look_up(struct swap_device *d, uint64_t va, struct swap_hash hash)
{
	struct swap_index *x = &d->index;
	uint32_t tag = tag_of(va, hash), link;
	int64_t slot = -1;

	VM_ASSERT(va % PAGE_SIZE == 0);
	spin_lock(&x->lock);
	for (link = x->head[tag & (x->nr_heads - 1)]; link > LINK_END && slot < 0;
	     link = x->next[link_slot(link)])
		if (x->tag[link_slot(link)] == tag && hash_equal(d->hash[link_slot(link)], hash) &&
		    may_share(a32_load(&d->map[link_slot(link)])))
			slot = link_slot(link);
	spin_unlock(&x->lock);
	return slot;
}

/* Is the slot charged to the same group as @p? The slot's lock is held and keeps the owner handle
 * alive. */
static bool same_owner(const struct swap_device *d, uint32_t slot, const struct page *p)
{
	bool same;

	lockdep_assert_held(&d->slot_lock[slot / SWAP_SLOT_LOCKS % SWAP_SLOT_LOCKS]);
	rcu_rd_lock();
	same = handle_memcg(d->owner[slot]) == page_cgroup_memcg(&p->pcg);
	rcu_rd_unlock();
	return same;
}

static uint32_t take_other(struct engine *e, const struct page *p, uint64_t va,
			   struct swap_hash hash)
{
	struct swap_device *d = e->swap;
	int64_t slot = a64_load(&d->index.nr) > 0 ? look_up(d, va, hash) : -1;
	uint32_t map;
	bool right;

	VM_ASSERT(va % PAGE_SIZE == 0);
	if (slot < 0)
		return 0;
	spin_lock(swap_slot_lock(d, (uint32_t)slot));
	map = a32_load(&d->map[slot]);
	right = bug_on(SWAP_SHARE_NOT_LOOKED_AT_AGAIN)
			? slot_count(map) > 0
			: recheck(may_share(map) && hash_equal(d->hash[slot], hash)) &&
				  same_owner(d, (uint32_t)slot, p);
	if (right)
		a32_store(&d->map[slot], map + 1);
	spin_unlock(swap_slot_lock(d, (uint32_t)slot));
	return right ? (uint32_t)slot + 1 : 0;
}

static void publish(struct engine *e, const struct page *p, uint64_t va, struct swap_hash hash)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(page_entry(p)), map;

	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	VM_BUG_ON(slot_count(map) != 0);
	swap_set_hash(d, slot, hash);
	if (!(a32_load(&d->map[slot]) & SLOT_INDEXED))
		enter(d, slot, va);
	spin_unlock(swap_slot_lock(d, slot));
}

uint32_t swap_share(struct engine *e, const struct page *p, uint64_t va, struct swap_hash hash)
{
	uint32_t entry;

	VM_BUG_ON(!page_locked(p) || !page_test(p, PG_swapcache) || page_test(p, PG_writeback));
	entry = take_other(e, p, va, hash);
	if (!entry)
		publish(e, p, va, hash);
	return entry;
}

void swap_share_note(struct engine *e, uint32_t entry, uint64_t va)
{
	struct swap_device *d = e->swap;
	uint32_t slot = entry_slot(entry), map;

	VM_ASSERT(entry != 0);
	spin_lock(swap_slot_lock(d, slot));
	map = a32_load(&d->map[slot]);
	if (map & SLOT_VALID && !(map & (SLOT_ZERO | SLOT_BAD | SLOT_INDEXED)))
		enter(d, slot, va);
	spin_unlock(swap_slot_lock(d, slot));
}

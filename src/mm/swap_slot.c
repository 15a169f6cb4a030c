/* mm/swap_slot.c - which slot a page gets.
 *
 * Slots are handed out next to each other to the pages of a batch, so that what is evicted together is written and
 * read together; a batch begins at the lowest free slot, so that the file and these tables are no larger in use
 * than they must be.
 *
 * On a device (store->device) a changed page does not go back to the slot it was read from, which lies anywhere, but
 * to a new one next to the others of its batch, and its old slot is free. Batches go round the file, so that those they come back to
 * have become free for the most part: no more of the file is used than SWAP_LAP times the slots in use.
 */
#include "mm/swap_slot.h"

#include "mm/swap.h"

static bool bit_used(const struct swap_device *d, uint32_t slot)
{
	return d->bitmap[slot / 64] >> (slot % 64) & 1;
}

/* The first free slot from @from on. -1: none. alloc_lock held. */
static int64_t find_free(const struct swap_device *d, uint32_t from)
{
	uint32_t nwords = (d->nr_slots + 63) / 64;
	uint64_t below = (1ull << (from % 64)) - 1;  /* of the first word: not these */

	for (uint32_t w = from / 64; w < nwords; w++, below = 0) {
		uint64_t used = d->bitmap[w] | below;
		uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(~used ? ~used : 1);

		if (~used)
			return slot < d->nr_slots ? (int64_t)slot : -1;
	}
	return -1;
}

uint32_t swap_near(struct engine *e, unsigned n)
{
	struct swap_device *d = e->swap;
	int64_t slot;

	if (!d || !d->store->device)
		return 0;
	spin_lock(&d->alloc_lock);
	if (d->cursor > SWAP_LAP * a64_load(&d->nr_used) + SWAP_LAP_SPARE)
		d->cursor = 0;
	slot = find_free(d, d->cursor);
	if (slot < 0)
		slot = find_free(d, d->hint);
	/* Two batches at a time must not take turns at the same run. */
	d->cursor = slot < 0 ? 0 : (uint32_t)slot + n;
	spin_unlock(&d->alloc_lock);
	return slot < 0 ? 0 : (uint32_t)slot;  /* that is the entry of the slot before it */
}

int64_t slot_alloc(struct swap_device *d, uint32_t *near)
{
	int64_t slot = -1;

	spin_lock(&d->alloc_lock);
	if (a64_load(&d->nr_used) < d->nr_slots) {
		uint32_t want = *near ? entry_slot(*near) + 1 : 0;

		if (*near && want < d->nr_slots && !bit_used(d, want))
			slot = want;
		else if (*near && d->store->device)
			slot = find_free(d, want);
		if (slot < 0 && (slot = find_free(d, d->hint)) >= 0)
			d->hint = (uint32_t)slot;  /* the lowest: the next search begins here */
	}
	if (slot >= 0) {
		d->bitmap[slot / 64] |= 1ull << (slot % 64);
		if ((uint32_t)slot == d->hint)
			d->hint++;
		a64_acc(&d->nr_used, 1);
		*near = (uint32_t)slot + 1;
	}
	spin_unlock(&d->alloc_lock);
	return slot;
}

void slot_release(struct swap_device *d, uint32_t slot)
{
	spin_lock(&d->alloc_lock);
	d->bitmap[slot / 64] &= ~(1ull << (slot % 64));
	a64_acc(&d->nr_used, -1);
	if (slot < d->hint)
		d->hint = slot;
	spin_unlock(&d->alloc_lock);
}

uint32_t swap_available(struct engine *e, struct mem_cgroup *memcg, uint32_t want)
{
	int64_t room;

	if (!e->swap)
		return 0;
	room = e->swap->nr_slots - a64_load(&e->swap->nr_used);
	if (room > page_counter_margin(&memcg->swap))
		room = page_counter_margin(&memcg->swap);
	return room < (int64_t)want ? (uint32_t)(room > 0 ? room : 0) : want;
}

bool swap_scarce(struct engine *e, struct mem_cgroup *memcg)
{
	struct swap_device *d = e->swap;

	if (a64_load(&d->nr_used) * 2 > (int64_t)d->nr_slots)
		return true;
	return page_counter_margin(&memcg->swap) < page_counter_read(&memcg->swap);
}

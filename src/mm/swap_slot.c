/* mm/swap_slot.c - which slot a page gets.
 *
 * The pages of a batch get adjacent slots, so pages evicted together are written and read together.
 * A batch begins at the lowest free slot, so the used part of the file and of these tables stays
 * minimal.
 *
 * On a device (store->device) a changed page does not return to its scattered old slot: it gets a
 * new one next to the others of its batch, and the old slot is freed. Batches advance round the
 * file, so most slots are free again when a batch comes back to them; no more of the file is used
 * than SWAP_LAP times the slots in use.
 *
 * A full disk. The file is sparse: a slot allocates a block at its first write and keeps it. Once a
 * write was refused for lack of space (engine.swap_disk_full), only slots that were written before
 * are handed out (spare). The refused page is not retried, as the result is known; it keeps its
 * slot until the program asks for the page. Whether there is room again is tried with one page at a
 * time, at growing intervals; the first write that gets a block ends the state. The OOM killer does
 * not kill for it until retries have gone on for FULL_GRACE_NS and FULL_TRIES_MIN times.
 */
#include "mm/swap_slot.h"

#include "mm/page.h"
#include "mm/swap.h"

#define FULL_WAIT_MIN_NS                                                                           \
	(1 * 1000000ull) /* until the first retry on the full disk; doubled each time, */
#define FULL_WAIT_MAX_NS (100 * 1000000ull) /* up to here */
#define FULL_GRACE_NS    (1000 * 1000000ull)
#define FULL_TRIES_MIN   8 /* in that time or later: there may have been no CPU time to retry */

static bool bit(const uint64_t *map, uint32_t slot)
{
	VM_ASSERT(map);
	return map[slot / 64] >> (slot % 64) & 1;
}

static bool is_free(const struct swap_device *d, uint32_t slot, bool spare)
{
	return slot < d->nr_slots && (spare ? bit(d->spare, slot) : !bit(d->bitmap, slot));
}

/* The first free (@spare: spare) slot from @from on, or -1. alloc_lock held. */
static int64_t find_free(const struct swap_device *d, uint32_t from, bool spare)
{
	uint32_t nwords = (d->nr_slots + 63) / 64;
	uint64_t below = (1ull << (from % 64)) - 1; /* bits to ignore in the first word */

	lockdep_assert_held(&d->alloc_lock);
	for (uint32_t w = from / 64; w < nwords; w++, below = 0) {
		uint64_t not = (spare ? ~d->spare[w] : d->bitmap[w]) | below;
		uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(~not ? ~not : 1);

		if (~not )
			return slot < d->nr_slots ? (int64_t)slot : -1;
	}
	return -1;
}

uint32_t swap_near(struct engine *e, unsigned n)
{
	struct swap_device *d = e->swap;
	bool full;
	int64_t slot;

	if (!d || !d->store->device)
		return 0;
	full = a32_load(&e->swap_disk_full);
	spin_lock(&d->alloc_lock);
	if (d->cursor > SWAP_LAP * a64_load(&d->nr_used) + SWAP_LAP_SPARE)
		d->cursor = 0;
	slot = find_free(d, d->cursor, full);
	if (slot < 0)
		slot = find_free(d, d->hint, full);
	/* Two concurrent batches must not interleave in one run. */
	d->cursor = slot < 0 ? 0 : (uint32_t)slot + n;
	spin_unlock(&d->alloc_lock);
	return slot < 0 ? 0 : (uint32_t)slot; /* that is the entry of the preceding slot */
}

/* alloc_lock held. */
static int64_t choose(struct swap_device *d, uint32_t near, bool spare)
{
	uint32_t want = near ? entry_slot(near) + 1 : 0;
	int64_t slot = -1;

	lockdep_assert_held(&d->alloc_lock);
	if (near && is_free(d, want, spare))
		return want;
	if (near && d->store->device)
		slot = find_free(d, want, spare);
	if (slot < 0 && (slot = find_free(d, d->hint, spare)) >= 0 && !spare)
		d->hint = (uint32_t)slot; /* the lowest: the next search begins here */
	return slot;
}

/* Is a retry on the full disk due? alloc_lock held. */
static bool try_is_due(const struct swap_device *d)
{
	lockdep_assert_held(&d->alloc_lock);
	return plat_now_ns() >= d->full.try_at;
}

/* True for one caller per interval: it may retry. alloc_lock held. */
static bool take_try(struct swap_device *d)
{
	uint64_t now = plat_now_ns();

	lockdep_assert_held(&d->alloc_lock);
	if (now < d->full.try_at)
		return false;
	d->full.try_at = now + d->full.wait;
	return true;
}

int64_t slot_alloc(struct engine *e, uint32_t *near, bool may_try, uint32_t *word)
{
	struct swap_device *d = e->swap;
	bool full = a32_load(&e->swap_disk_full);
	int64_t slot = -1;

	*word = SLOT_USED;
	spin_lock(&d->alloc_lock);
	if (a64_load(&d->nr_used) < d->nr_slots) {
		slot = choose(d, *near, full);
		if (slot < 0 && full && may_try && take_try(d))
			slot = choose(d, *near, false);
	}
	if (slot >= 0) {
		d->bitmap[slot / 64] |= 1ull << (slot % 64);
		if ((uint32_t)slot == d->hint)
			d->hint++;
		if (bit(d->spare, (uint32_t)slot)) {
			d->spare[slot / 64] &= ~(1ull << (slot % 64));
			d->nr_spare--;
			*word |= SLOT_BACKED;
		}
		a64_acc(&d->nr_used, 1);
		*near = (uint32_t)slot + 1;
	}
	spin_unlock(&d->alloc_lock);
	return slot;
}

void slot_release(struct swap_device *d, uint32_t slot, uint32_t word)
{
	VM_ASSERT(slot < d->nr_slots);
	spin_lock(&d->alloc_lock);
	d->bitmap[slot / 64] &= ~(1ull << (slot % 64));
	if (word & SLOT_BACKED) {
		d->spare[slot / 64] |= 1ull << (slot % 64);
		d->nr_spare++;
	}
	a64_acc(&d->nr_used, -1);
	if (slot < d->hint)
		d->hint = slot;
	spin_unlock(&d->alloc_lock);
}

/* Slots available on a full disk: the spare ones, and perhaps one for a retry. */
static int64_t room_when_full(struct swap_device *d)
{
	int64_t room;

	spin_lock(&d->alloc_lock);
	room = d->nr_spare;
	if (room == 0 && a64_load(&d->nr_used) < d->nr_slots && try_is_due(d))
		room = 1;
	spin_unlock(&d->alloc_lock);
	return room;
}

uint32_t swap_available(struct engine *e, struct mem_cgroup *memcg, uint32_t want)
{
	int64_t room;

	if (!e->swap)
		return 0;
	room = a32_load(&e->swap_disk_full) ? room_when_full(e->swap)
					    : e->swap->nr_slots - a64_load(&e->swap->nr_used);
	if (room > page_counter_margin(&memcg->swap))
		room = page_counter_margin(&memcg->swap);
	return room < (int64_t)want ? (uint32_t)(room > 0 ? room : 0) : want;
}

bool swap_scarce(struct engine *e, struct mem_cgroup *memcg)
{
	struct swap_device *d = e->swap;

	if (a64_load(&d->nr_used) * 2 > (int64_t)d->nr_slots || a32_load(&e->swap_disk_full))
		return true;
	return page_counter_margin(&memcg->swap) < page_counter_read(&memcg->swap);
}

/* ---- a full disk ---- */

bool swap_disk_refused(struct engine *e)
{
	struct swap_device *d = e->swap;
	uint64_t now = plat_now_ns();
	bool first;

	spin_lock(&d->alloc_lock);
	first = !a32_load(&e->swap_disk_full);
	d->full.wait = first ? FULL_WAIT_MIN_NS : d->full.wait * 2;
	if (d->full.wait > FULL_WAIT_MAX_NS)
		d->full.wait = FULL_WAIT_MAX_NS;
	/* No write was refused for that long: earlier history does not count. */
	d->full.tries++;
	if (first || now - d->full.refused > FULL_GRACE_NS) {
		d->full.since = now;
		d->full.tries = 0;
	}
	d->full.refused = now;
	d->full.try_at = now + d->full.wait;
	a32_store(&e->swap_disk_full, 1);
	spin_unlock(&d->alloc_lock);
	return first;
}

void swap_disk_has_room(struct engine *e)
{
	spin_lock(&e->swap->alloc_lock);
	a32_store(&e->swap_disk_full, 0);
	spin_unlock(&e->swap->alloc_lock);
}

bool swap_disk_may_recover(struct engine *e)
{
	struct swap_device *d = e->swap;
	bool may;

	if (!a32_load(&e->swap_disk_full))
		return false;
	spin_lock(&d->alloc_lock);
	may = plat_now_ns() - d->full.since < FULL_GRACE_NS || d->full.tries < FULL_TRIES_MIN;
	spin_unlock(&d->alloc_lock);
	return may;
}

bool swap_slot_refused(struct engine *e, const struct page *p)
{
	return a32_load(&e->swap_disk_full) && swap_map(e, page_entry(p)) & SLOT_REFUSED;
}

bool swap_disk_take_try(struct engine *e)
{
	struct swap_device *d = e->swap;
	bool mine;

	spin_lock(&d->alloc_lock);
	mine = take_try(d);
	spin_unlock(&d->alloc_lock);
	return mine;
}

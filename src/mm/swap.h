/* mm/swap.h - the swap device: slots, their references, the swap cache.
 *
 * State of a slot, one word (mm_types.h, SLOT_*), changed under the slot's lock:
 *   free (0) -> USED|CACHE (a page is being swapped out) -> +count (entries refer to it) -> VALID (written)
 *   -> CACHE off, MEMSW on (the page left memory) -> CACHE on, MEMSW off (read again) -> count 0 -> free
 *   BACKED and REFUSED are what is known of its block on the disk (swap_slot.c): at most one of them.
 *   INDEXED: it is found by its content (swap_share.h).
 *
 * I1  A slot is free iff its word is 0; then it has no cached page, no owner, no charge.
 * I2  CACHE is set iff cache[slot] holds a page; that page has PG_swapcache and this entry, and holds a
 *     reference for the cache.
 * I3  MEMSW is set iff the slot is in use and not in the cache: memory+swap is charged once for a page and its slot.
 * I4  (seed 2) At rest no slot has count 0 while its cached page is unmapped, unlocked and not under writeback.
 *     Whoever takes the count to 0 publishes that first and tries the page lock afterwards; whoever releases the
 *     page lock or ends writeback looks at the count afterwards. One of the two frees the slot.
 */
#ifndef UMEMCG_MM_SWAP_H
#define UMEMCG_MM_SWAP_H

#include "mm/mm_types.h"

/* A device is used up to this many times the slots in use, and this many more. */
#define SWAP_LAP       2
#define SWAP_LAP_SPARE 4096

struct swap_device *swap_create(struct store *store);   /* takes the store; NULL: out of memory */
void swap_destroy(struct swap_device *d);               /* every slot free; destroys the store */
/* Checksums are keyed with it from now on: before the first page is written. What two processes write must not have equal ones because
 * one of them has computed it so. */
void swap_set_secret(struct swap_device *d, const uint8_t secret[SWAP_SECRET_BYTES]);

static inline uint32_t entry_slot(uint32_t entry) { return entry - 1; }
static inline unsigned slot_count(uint32_t map) { return map & SLOT_COUNT_MASK; }

/* Put a locked, charged page into the swap cache: allocates a slot near *@near (0 = anywhere; updated), charges swap
 * to the page's group. 0, -ENOSPC (device full), -EDQUOT (the group's swap.max), -ENODEV (no swap). */
int swap_add_page(struct engine *e, struct page *p, uint32_t *near);
/* For *@near, before a batch of @n pages: where it is to look for slots. */
uint32_t swap_near(struct engine *e, unsigned n);
/* A locked page in the swap cache whose slot nothing refers to, and does not hold its content: another slot, as swap_add_page would
 * choose. It keeps its own when there is none, and charges stay as they are. */
void swap_relocate(struct engine *e, struct page *p, uint32_t *near);
/* How many slots could be had for @memcg now, at most @want; of a disk that is full only those it has blocks for. */
uint32_t swap_available(struct engine *e, struct mem_cgroup *memcg, uint32_t want);

/* One more / one less page-table reference. swap_put may free the slot and the cached page's place in it. */
void swap_dup(struct engine *e, uint32_t entry);
void swap_put(struct engine *e, uint32_t entry);
static inline uint32_t swap_map(const struct engine *e, uint32_t entry)
{
	return a32_load(&e->swap->map[entry_slot(entry)]);
}
void swap_set_map(struct engine *e, uint32_t entry, uint32_t set, uint32_t clear);
/* What @hash is of is about to be written to a slot, by whoever has its page locked. */
void swap_begin_write(struct engine *e, uint32_t entry, struct swap_hash hash);
/* The same; the slot's lock is held. What the slot holds by then stays valid if it is that. */
void swap_set_hash(struct swap_device *d, uint32_t slot, struct swap_hash hash);
/* Nobody shall find the slot by its content any more: swap_share.h. */
void swap_unfind(struct engine *e, uint32_t entry);

/* The cached page with a reference, or NULL. */
struct page *swapcache_get(struct engine *e, uint32_t entry);
/* Shadow left by the page that was evicted last, 0 = none. */
uint64_t swapcache_shadow(struct engine *e, uint32_t entry);
/* Enter a locked, charged page for an entry in use. -EEXIST another page is there, -ENOENT the slot has no
 * page-table reference any more. */
int swapcache_add(struct engine *e, struct page *p, uint32_t entry);
/* Take a locked page out of the cache; leaves @shadow. Frees the slot when nothing refers to it. */
void swapcache_del(struct engine *e, struct page *p, uint64_t shadow);
/* Let @new take the place of @old, both locked, in the cache: entry, references and charge of the slot stay. False: somebody
 * besides the cache and the caller (one reference) refers to @old. The cache's reference goes over. */
bool swapcache_replace(struct engine *e, struct page *old, struct page *new);
/* The slot has no reference but its mapped page, is locked: give the slot back if swap is scarce. */
bool swapcache_try_free(struct engine *e, struct page *p);
/* A page in the swap cache whose slot no page table refers to. Exact while the page is locked, but that the count may
 * drop; else a hint. */
bool swapcache_unused(struct engine *e, const struct page *p);
/* Seed 2's recheck: called after the page lock was released or writeback ended. */
void swapcache_check_stale(struct engine *e, struct page *p);
/* The group owning a slot, referenced; NULL when the slot is free. */
struct mem_cgroup *swap_owner(struct engine *e, uint32_t entry);
/* Hand the slot of an entry in use, with its charges, from @from to @to if @refs entries refer to it and @from owns it. *@memsw: it carries
 * a charge of memory+swap. The caller charged @to's group before. */
bool swap_move_owner(struct engine *e, uint32_t entry, struct mem_cgroup *from, struct memcg_handle *to, unsigned refs,
		     bool *memsw);
/* More than half of what the group may use is used, or the disk is full: keep no slots for pages that are in memory. */
bool swap_scarce(struct engine *e, struct mem_cgroup *memcg);

/* The disk under the swap file had no block for a slot. True: that is news. */
bool swap_disk_refused(struct engine *e);
/* It had one for another since. */
void swap_disk_has_room(struct engine *e);
/* It is full, and not for long yet: nobody is to be killed for it. */
bool swap_disk_may_recover(struct engine *e);
/* A full disk had no block for the slot of @p, locked and in the swap cache: do not write it, unless it is time to try whether there
 * is room again. Whoever is told so tries; others do not. */
bool swap_slot_refused(struct engine *e, const struct page *p);
bool swap_disk_take_try(struct engine *e);

#endif

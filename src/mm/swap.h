/* mm/swap.h - the swap device: slots, their references, the swap cache.
 *
 * State of a slot, one word (mm_types.h, SLOT_*), changed under the slot's lock:
 *   free (0) -> USED|CACHE (a page is being swapped out) -> +count (entries refer to it)
 *   -> VALID (written)
 *   -> CACHE off, MEMSW on (the page left memory) -> CACHE on, MEMSW off (read back) -> count 0
 *   -> free
 *   BACKED and REFUSED tell whether the disk has a block for it (swap_slot.c): at most one is set.
 *   INDEXED: it can be found by its content (swap_share.h).
 *
 * I1  A slot is free iff its word is 0; then it has no cached page, no owner, no charge.
 * I2  CACHE is set iff cache[slot] holds a page; that page has PG_swapcache and this entry, and the
 *     cache holds a reference to it.
 * I3  MEMSW is set iff the slot is in use and not in the cache: memory+swap is charged once for a
 *     page and its slot.
 * I4  (seed 2) At rest no slot has count 0 while its cached page is unmapped, unlocked and not
 *     under writeback.
 *     The thread that drops the count to 0 publishes that first and then tries the page lock; the
 *     thread that releases the page lock or ends writeback then checks the count. One of the two
 *     frees the slot.
 */
#ifndef UMEMCG_MM_SWAP_H
#define UMEMCG_MM_SWAP_H

#include "mm/mm_types.h"

/* The part of a device that is used: this many times the slots in use, plus this many. */
#define SWAP_LAP       2
#define SWAP_LAP_SPARE 4096

struct swap_device *swap_create(struct store *store); /* takes the store; NULL: out of memory */
void swap_destroy(struct swap_device *d);             /* no slot in use; destroys the store */
/* Key the checksums with @secret. Call before the first page is written. A process must not be able
 * to compute content whose checksum equals that of another process's page. */
void swap_set_secret(struct swap_device *d, const uint8_t secret[SWAP_SECRET_BYTES]);

static inline uint32_t entry_slot(uint32_t entry)
{
	return entry - 1;
}
static inline unsigned slot_count(uint32_t map)
{
	return map & SLOT_COUNT_MASK;
}

/* Add a locked, charged page to the swap cache: allocates a slot near *@near (0 = anywhere;
 * updated), charges swap to the page's group. 0, -ENOSPC (device full), -EDQUOT (the group's
 * swap.max), -ENODEV (no swap). */
int swap_add_page(struct engine *e, struct page *p, uint32_t *near);
/* The initial *@near for a batch of @n pages: where to start looking for slots. */
uint32_t swap_near(struct engine *e, unsigned n);
/* Move a locked page in the swap cache to another slot, as swap_add_page would choose. Its slot is
 * unreferenced and does not hold its content. The page keeps its slot if there is no other; charges
 * do not change. */
void swap_relocate(struct engine *e, struct page *p, uint32_t *near);
/* How many slots can be allocated for @memcg now, at most @want; on a full disk only those with
 * blocks. */
uint32_t swap_available(struct engine *e, struct mem_cgroup *memcg, uint32_t want);

/* Add / drop a page-table reference. swap_put may free the slot and remove its page from the
 * cache. */
void swap_dup(struct engine *e, uint32_t entry);
void swap_put(struct engine *e, uint32_t entry);
static inline uint32_t swap_map(const struct engine *e, uint32_t entry)
{
	return a32_load(&e->swap->map[entry_slot(entry)]);
}
void swap_set_map(struct engine *e, uint32_t entry, uint32_t set, uint32_t clear);
/* The holder of the page lock is about to write content with checksum @hash to the slot. */
void swap_begin_write(struct engine *e, uint32_t entry, struct swap_hash hash);
/* The same; the slot's lock is held. The slot's content stays valid if it already has this
 * checksum. */
void swap_set_hash(struct swap_device *d, uint32_t slot, struct swap_hash hash);
/* Make the slot unfindable by content: swap_share.h. */
void swap_unfind(struct engine *e, uint32_t entry);

/* The cached page with a reference, or NULL. */
struct page *swapcache_get(struct engine *e, uint32_t entry);
/* Shadow left by the last evicted page, 0 = none. */
uint64_t swapcache_shadow(struct engine *e, uint32_t entry);
/* Enter a locked, charged page for an entry in use. -EEXIST: another page is there; -ENOENT: the
 * slot no longer has a page-table reference. */
int swapcache_add(struct engine *e, struct page *p, uint32_t entry);
/* Remove a locked page from the cache; leaves @shadow. Frees the slot if it is unreferenced. */
void swapcache_del(struct engine *e, struct page *p, uint64_t shadow);
/* Replace @old by @new in the cache, both locked: entry, references and charge of the slot stay.
 * The cache's reference moves to @new. False: @old has references other than the cache's and one of
 * the caller's. */
bool swapcache_replace(struct engine *e, struct page *old, struct page *new);
/* Free the slot of a locked, mapped page if nothing else refers to it and swap is scarce. */
bool swapcache_try_free(struct engine *e, struct page *p);
/* Is @p in the swap cache with a slot that no page table refers to? Exact while the page is locked,
 * except that the count may drop; otherwise a hint. */
bool swapcache_unused(struct engine *e, const struct page *p);
/* Seed 2's recheck: called after the page lock was released or writeback ended. */
void swapcache_check_stale(struct engine *e, struct page *p);
/* The group owning a slot, referenced; NULL if the slot is free. */
struct mem_cgroup *swap_owner(struct engine *e, uint32_t entry);
/* Move the slot of an entry in use, with its charges, from @from to @to if exactly @refs entries
 * refer to it and @from owns it. *@memsw: it is charged to memory+swap. The caller has charged
 * @to's group. */
bool swap_move_owner(struct engine *e, uint32_t entry, struct mem_cgroup *from,
		     struct memcg_handle *to, unsigned refs, bool *memsw);
/* Is more than half of the group's swap used, or the disk full? Then keep no slots for pages in
 * memory. */
bool swap_scarce(struct engine *e, struct mem_cgroup *memcg);

/* The disk under the swap file had no block for a slot. True: it was not known to be full. */
bool swap_disk_refused(struct engine *e);
/* The disk has since had a block for a slot. */
void swap_disk_has_room(struct engine *e);
/* Is the disk full, but only for a short time? Then do not kill for it. */
bool swap_disk_may_recover(struct engine *e);
/* Did a full disk have no block for the slot of @p, locked and in the swap cache? Then do not write
 * it, unless it is time to retry: the caller for which swap_disk_take_try returns true retries,
 * others do not. */
bool swap_slot_refused(struct engine *e, const struct page *p);
bool swap_disk_take_try(struct engine *e);

#endif

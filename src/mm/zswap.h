/* mm/zswap.h - the compressed tier: contents of slots in memory, in front of the store.
 *
 * An entry belongs to a slot. It is EMPTY (the content is in the store, or nowhere), FILLED (all
 * words of the page are equal) or POOLED (compressed). Its memory is charged to the slot's group,
 * in memory and memory+swap, and counted in zswap: by the bytes per handle, rounded up to pages.
 *
 * Z1  An entry that is not EMPTY holds the content of its slot: the slot is VALID, or its cached
 *     page is locked.
 * Z2  Only the holder of the page lock of the slot's cached page stores (zswap_begin_write, then
 *     zswap_store). A load needs that lock, too.
 * Z3  A write-back copies an entry and marks it busy. While it is, nobody stores to the entry or
 *     writes its slot: the old content would follow the new one to the store. A page for which the
 *     slot is reused, or that is read back and changed, stays dirty for that long. The entry goes
 *     when its content is in the store, not before: until then it is read from here. An entry that
 *     is EMPTY then was freed.
 * Z4  The bytes of a handle are the costs of the POOLED entries whose slots it owns; the pages
 *     charged are these bytes, rounded up.
 * Z5  No pointer to an object outlives the lock (zpool.h).
 *
 * Locks: a slot's (rank SWAPCACHE), then the tier's (rank ZSWAP). Nothing is compressed or read
 * under either; an object is copied under the lock.
 */
#ifndef UMEMCG_MM_ZSWAP_H
#define UMEMCG_MM_ZSWAP_H

#include "mm/mm_types.h"
#include "plat/codec.h"

/* Put a tier in front of the store of @e. Before the first page is written. @file: what the pool
 * does not take goes to the store; else it stays in memory. 0 or -ENOMEM. */
int zswap_enable(struct engine *e, const struct codec *codec, bool file);
/* Background reclaim is about to start: it compresses, and threads that a program waits for do not,
 * if there is a file. */
void zswap_in_background(struct engine *e);
void zswap_destroy(struct swap_device *d); /* no slot in use */

/* Is content of @entry in the pool? Exact under the page lock but for write-back. */
bool zswap_holds(struct engine *e, uint32_t entry);
/* The holder of the page lock is about to write new content to the slot: the old entry goes. False:
 * its write-back is under way, leave the page dirty. */
bool zswap_begin_write(struct engine *e, uint32_t entry);
/* Store a page. False: it does not compress, there is no memory, or a limit is reached. */
bool zswap_store(struct engine *e, uint32_t entry, const void *page);
/* 0: @page was filled. 1: the content is not here. -EIO: it is not what was stored. */
int zswap_load(struct engine *e, uint32_t entry, void *page);
/* The slot is freed, or its content replaced. Slot lock held. */
void zswap_forget(struct swap_device *d, uint32_t slot);
/* The slot goes from handle @from to @to. Slot lock held, and RCU. */
void zswap_move(struct swap_device *d, uint32_t slot, struct memcg_handle *from,
		struct memcg_handle *to);
/* Give empty slabs back to the system. No slot lock held. */
void zswap_trim(struct swap_device *d);

/* Write the oldest entries below @memcg to the store until @pages fewer pages are charged, or none
 * can be written. Returns the pages. No lock but page locks held. */
int64_t zswap_writeback(struct engine *e, struct mem_cgroup *memcg, int64_t pages);
/* Make room below zswap.max of the group of @p for @n more pages; not if the caller would store
 * none. @waited: swap_io.h. */
void zswap_make_room(struct engine *e, const struct page *p, unsigned n, bool waited);

/* For the audit, at rest: the cost of the entry of @slot in bytes; -1: it is EMPTY. */
int64_t zswap_cost(const struct swap_device *d, uint32_t slot);

#endif

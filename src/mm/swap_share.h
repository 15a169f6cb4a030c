/* mm/swap_share.h - sharing slots between pages with the same content at the same address.
 *
 * For an MMU that does not share: after a fork each process has its own pages, which the kernel
 * shared at first. If a page was swapped out for one process, swapping it out for another finds its
 * slot here by checksum (decision 0001) and address (decision 0023), and adds a reference instead
 * of writing it again.
 *
 * I1  SLOT_INDEXED is set iff the slot is in the index. Both change under the slot's lock and the
 *     index's.
 * I2  hash[slot] changes only under the slot's lock, and not while SLOT_INDEXED is set. So it may
 *     be read under either lock.
 * I3  While SLOT_INDEXED is set and the count is not 0, hash[slot] is the checksum of the content
 *     its entries refer to: of the slot if it is VALID, else of the cached page. Until it is VALID
 *     that page stays unmapped, locked or under writeback; a failed write takes the slot out of the
 *     index before writeback ends.
 * I4  A slot with count 0 gets no reference here: its page is mapped and may change at any time.
 *
 * Races. A lookup finds a slot under the index's lock and rechecks it under the slot's lock. All
 * events that make the slot unsuitable (last reference dropped, freed, reused, written with other
 * content, moved to another group) happen under the slot's lock. Either the lookup takes its
 * reference first, which keeps the slot as it is, or the recheck fails and the page is written to a
 * slot of its own.
 *
 * Locks: a slot's (rank SWAPCACHE), then the index's (SWAPINDEX). Neither is held on entry to a
 * function here unless its comment says so.
 */
#ifndef UMEMCG_MM_SWAP_SHARE_H
#define UMEMCG_MM_SWAP_SHARE_H

#include "mm/mm_types.h"

/* Sharing adds no references beyond this; fork adds one per process without this bound. */
#define SWAP_SHARE_MAX 1024

/* Create empty tables for @d->nr_slots. 0 or -ENOMEM; call swap_share_fini in both cases. */
int swap_share_init(struct swap_device *d);
void swap_share_fini(struct swap_device *d);

/* Find another slot with the content of @p, written at the same address and charged to the same
 * group. @p has checksum @hash, is locked, withdrawn from @va and in the swap cache with an
 * unreferenced slot. Returns the slot's entry with a new reference for the caller. 0: there is
 * none; the slot of @p is indexed by this content from now on, and the caller references and writes
 * it, or frees it, before unlocking the page. */
uint32_t swap_share(struct engine *e, const struct page *p, uint64_t va, struct swap_hash hash);
/* The page of a slot that others refer to, too, is mapped at @va and leaves the slot: index the
 * slot. */
void swap_share_note(struct engine *e, uint32_t entry, uint64_t va);
/* Remove a slot from the index whose content is about to change or be lost, or that is about to be
 * freed. The slot's lock is held. */
void swap_share_forget(struct swap_device *d, uint32_t slot);
/* For the audit, at rest: the slot after @slot in chain @head, or the first if @slot is -1. -1: no
 * more. */
int64_t swap_share_chain(const struct swap_device *d, uint32_t head, int64_t slot);

#endif

/* mm/swap_share.h - slots that several entries refer to because their pages have the same content at the same address.
 *
 * For an MMU that does not share: after a fork each process has pages of its own, which the kernel, and then nobody, has shared. What
 * was swapped out for one of them is found here when it is swapped out for another, by its checksum (decision 0001) and its
 * address (decision 0023), and referred to once more instead of written once more.
 *
 * I1  SLOT_INDEXED is set iff the slot is in the index. Both change under the slot's lock and the index's.
 * I2  hash[slot] changes only under the slot's lock, and not while SLOT_INDEXED is set. So it may be read under either lock.
 * I3  While SLOT_INDEXED is set and the count is not 0, hash[slot] is that of what its entries refer to: of the slot if it is VALID, of
 *     the cached page until then. That page is unmapped, locked or under writeback all the while; a write that fails takes the
 *     slot out of the index before writeback ends.
 * I4  A slot whose count is 0 gets no reference here: its page is mapped, and may be changed at any time.
 *
 * Who wins. Whoever looks for a slot finds one under the index's lock, and looks again under the slot's, where all that could make it
 * another's (the last reference goes, it is freed, used anew, written with other content, moved to another group) is done: the
 * reference is taken before, and keeps it as it is, or the look fails, and the page is written to a slot of its own.
 *
 * Locks: a slot's (rank SWAPCACHE), then the index's (SWAPINDEX). No function here is called with either held but where it says so.
 */
#ifndef UMEMCG_MM_SWAP_SHARE_H
#define UMEMCG_MM_SWAP_SHARE_H

#include "mm/mm_types.h"

/* A slot gets no more references than this here: fork adds as many as there are processes. */
#define SWAP_SHARE_MAX 1024

/* Empty tables for @d->nr_slots. 0 or -ENOMEM; swap_share_fini after either. */
int swap_share_init(struct swap_device *d);
void swap_share_fini(struct swap_device *d);

/* @p, locked and withdrawn from @va, in the swap cache with a slot that nothing refers to, has the checksum @hash. The entry of another slot
 * with the same content, written at the same address and charged to the same group, with one more reference, which is the caller's. 0:
 * there is none, and the slot of @p is found by this content from now on: the caller refers to it and writes it, or frees it, before
 * he unlocks the page. */
uint32_t swap_share(struct engine *e, const struct page *p, uint64_t va, struct swap_hash hash);
/* The page of a slot that others refer to as well is mapped at @va, and forgets the slot: let it be found. */
void swap_share_note(struct engine *e, uint32_t entry, uint64_t va);
/* Its content is about to be another, or lost, or it is about to be free. The slot's lock is held. */
void swap_share_forget(struct swap_device *d, uint32_t slot);
/* For the audit, at rest: the slot after @slot, -1 for the first, in chain @head; -1: there is none. */
int64_t swap_share_chain(const struct swap_device *d, uint32_t head, int64_t slot);

#endif

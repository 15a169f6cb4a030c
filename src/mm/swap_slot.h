/* mm/swap_slot.h - the locks of slots, and free slots: for swap.c and swap_share.c, which know what slots are used for. */
#ifndef UMEMCG_MM_SWAP_SLOT_H
#define UMEMCG_MM_SWAP_SLOT_H

#include "mm/mm_types.h"

static inline struct spinlock *swap_slot_lock(struct swap_device *d, uint32_t slot)
{
	return &d->slot_lock[slot / 64 % SWAP_SLOT_LOCKS];
}

/* A slot, *@near + 1 if it is free (0: anywhere; updated), and its word. -1: full. @may_try: it may be one that a full disk has to
 * find a block for, when that is to be tried again. */
int64_t slot_alloc(struct engine *e, uint32_t *near, bool may_try, uint32_t *word);
/* @word: its last. */
void slot_release(struct swap_device *d, uint32_t slot, uint32_t word);

#endif

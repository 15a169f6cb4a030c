/* mm/swap_slot.h - slot locks and free slots: for swap.c and swap_share.c, which use them. */
#ifndef UMEMCG_MM_SWAP_SLOT_H
#define UMEMCG_MM_SWAP_SLOT_H

#include "mm/mm_types.h"

static inline struct spinlock *swap_slot_lock(struct swap_device *d, uint32_t slot)
{
	return &d->slot_lock[slot / 64 % SWAP_SLOT_LOCKS];
}

/* Allocate a slot, preferably *@near + 1 (0: anywhere; updated); returns its map word in *@word.
 * -1: full. @may_try: when a full disk is due for a retry, the slot may be one without a block. */
int64_t slot_alloc(struct engine *e, uint32_t *near, bool may_try, uint32_t *word);
/* @word: its last map word. */
void slot_release(struct swap_device *d, uint32_t slot, uint32_t word);

#endif

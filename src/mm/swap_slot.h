/* mm/swap_slot.h - free slots: for swap.c, which knows what slots are used for. */
#ifndef UMEMCG_MM_SWAP_SLOT_H
#define UMEMCG_MM_SWAP_SLOT_H

#include "mm/mm_types.h"

/* A slot, *@near + 1 if it is free (0: anywhere; updated). -1: full. */
int64_t slot_alloc(struct swap_device *d, uint32_t *near);
void slot_release(struct swap_device *d, uint32_t slot);

#endif

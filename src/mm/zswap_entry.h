/* mm/zswap_entry.h - the tables of the compressed tier: for zswap.c and zswap_writeback.c. */
#ifndef UMEMCG_MM_ZSWAP_ENTRY_H
#define UMEMCG_MM_ZSWAP_ENTRY_H

#include "mm/zpool.h"
#include "mm/zswap.h"

/* Pages written back in one batch of the store. */
#define ZSWAP_WB_BATCH (PLAT_SLAB / 1024)

enum zentry_state { ZENTRY_EMPTY, ZENTRY_FILLED, ZENTRY_POOLED };

struct zentry {
	struct zobject object; /* POOLED */
	uint64_t word;         /* FILLED: the word; POOLED: XXH3 64 of the compressed bytes */
	uint32_t next, prev;   /* POOLED: by age, slot + 1; 0: none */
	uint8_t state;         /* enum zentry_state */
	bool busy;             /* a write-back of the slot is under way */
};

struct zswap {
	const struct codec *codec; /* (C) */
	bool file;                 /* (C) the store takes what the pool does not */
	bool background;           /* (C) once threads run: background reclaim compresses */
	struct spinlock lock;      /* rank ZSWAP: all below, but the last two */
	struct zpool pool;
	struct zentry *entry; /* by slot */
	uint32_t oldest, newest;
	int64_t nr_pooled;
	atomic32_t surplus; /* there are more spare slabs than should be kept */
	atomic32_t writing; /* somebody writes back, and uses the following */
	char *wb_data;      /* ZSWAP_WB_BATCH pages */
};

/* An entry, copied under the lock. */
struct zcopy {
	uint8_t state;
	uint16_t len;
	uint64_t word;
	uint64_t data[ZPOOL_OBJECT_MAX / sizeof(uint64_t)];
};

/* Lock held. */
void zswap_copy_locked(struct zswap *z, uint32_t slot, struct zcopy *c);
/* False: the bytes are not those that were stored. */
bool zswap_expand(const struct zswap *z, const struct zcopy *c, void *page);
/* Slot lock and lock held: the entry goes, with its charge. */
void zswap_drop_locked(struct swap_device *d, uint32_t slot);
/* The slot of the oldest POOLED entry, which becomes the newest; -1: there is none. Lock held. */
int64_t zswap_oldest(struct zswap *z);

#endif

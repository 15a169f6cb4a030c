/* mm/zpool.h - memory of compressed pages: objects of size classes in slabs.
 *
 * A class has at most one slab that is not full. Removing an object fills its hole with the last
 * object of that slab, so a pool is compact at all times: per class less than one slab is unused.
 * Each object knows its owner (a number), so that what moved can be told.
 *
 * Locks: none; the caller serialises all calls (but slab_alloc and slab_free). An object may move
 * at every removal: a pointer to one is valid until the caller's lock is released.
 */
#ifndef UMEMCG_MM_ZPOOL_H
#define UMEMCG_MM_ZPOOL_H

#include "plat/plat.h"

#define ZPOOL_STEP       64   /* bytes: classes are multiples of it, */
#define ZPOOL_OBJECT_MAX 3072 /* bytes: up to this */
#define ZPOOL_CLASSES    (ZPOOL_OBJECT_MAX / ZPOOL_STEP)
#define ZPOOL_NOBODY     UINT32_MAX

struct zslab {
	struct zslab *next; /* of the spare ones */
	uint16_t class;     /* objects of (class + 1) * ZPOOL_STEP bytes */
	uint16_t n;         /* objects in it: 0 .. n-1 */
	uint32_t owner[];   /* of each; the objects are at the end of the slab */
};

/* Where an object is. */
struct zobject {
	struct zslab *slab;
	uint16_t at;
	uint16_t len; /* bytes in use */
};

struct zpool {
	struct zslab *partial[ZPOOL_CLASSES]; /* the slab that is not full, or NULL */
	struct zslab *spare;                  /* empty slabs */
	unsigned nr_spare;
	int64_t nr_slabs; /* all of them */
};

/* Memory for one more slab: NULL, when there is none. No lock needed. */
struct zslab *zpool_slab_alloc(void);
void zpool_slab_free(struct zslab *s);
/* Give the pool an empty slab. */
void zpool_give(struct zpool *z, struct zslab *s);
/* An empty slab beyond @keep spare ones, or NULL; the caller frees it. */
struct zslab *zpool_take_spare(struct zpool *z, unsigned keep);
/* Does an object of @len bytes need a new slab, and there is no spare one? */
bool zpool_needs_slab(const struct zpool *z, size_t len);

/* Copy @len bytes, 1 .. ZPOOL_OBJECT_MAX, into the pool for @owner. */
struct zobject zpool_insert(struct zpool *z, const void *data, size_t len, uint32_t owner);
/* Remove an object. Returns the owner of the object that is now in its place; ZPOOL_NOBODY: no
 * object moved. */
uint32_t zpool_remove(struct zpool *z, struct zobject o);
/* Its bytes, until the caller's lock is released. */
void *zpool_data(struct zobject o);
/* Bytes of the pool that an object of @len bytes accounts for: its share of a full slab. */
int64_t zpool_cost(size_t len);
/* Every slab must be empty. */
void zpool_fini(struct zpool *z);

#endif

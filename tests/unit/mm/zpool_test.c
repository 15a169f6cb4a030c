/* tests/unit/mm/zpool_test.c - the pool of compressed objects (mm/zpool.h) against a model: what
 * was inserted is found at the place that the pool says, whatever moved. */
#include <string.h>

#include "mm/zpool.h"
#include "test.h"

#define OWNERS 3000
#define STEPS  60000

static struct zobject where[OWNERS];
static uint8_t seed[OWNERS]; /* of the content; 0: not there */
static uint32_t state;

static uint32_t next(void)
{
	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

static void check(uint32_t owner)
{
	const uint8_t *p = zpool_data(where[owner]);

	for (unsigned i = 0; i < where[owner].len; i++)
		if (p[i] != (uint8_t)(seed[owner] + i * 7))
			fail_msg("owner %u: byte %u", owner, i);
}

static void insert(struct zpool *z, uint32_t owner, size_t len)
{
	uint8_t data[ZPOOL_OBJECT_MAX];

	seed[owner] = (uint8_t)(next() % 255 + 1);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(seed[owner] + i * 7);
	if (zpool_needs_slab(z, len)) {
		struct zslab *s = zpool_slab_alloc();

		assert_non_null(s);
		zpool_give(z, s);
	}
	assert_false(zpool_needs_slab(z, len));
	where[owner] = zpool_insert(z, data, len, owner);
}

static void erase(struct zpool *z, uint32_t owner)
{
	uint32_t moved = zpool_remove(z, where[owner]);

	seed[owner] = 0;
	if (moved == ZPOOL_NOBODY)
		return;
	assert_int_not_equal(moved, owner);
	where[moved].slab = where[owner].slab;
	where[moved].at = where[owner].at;
}

/* Compact: slabs in use hold at most one slab per class more than the objects account for. */
static void check_compact(const struct zpool *z)
{
	int64_t cost = 0;

	for (uint32_t i = 0; i < OWNERS; i++)
		if (seed[i])
			cost += zpool_cost(where[i].len);
	assert_true((z->nr_slabs - z->nr_spare) * (int64_t)PLAT_SLAB <=
		    cost + ZPOOL_CLASSES * (int64_t)PLAT_SLAB);
}

TEST(pool_keeps_what_it_is_given_and_stays_compact)
{
	struct zpool z = { 0 };
	struct zslab *s;

	state = 1;
	memset(seed, 0, sizeof(seed));
	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t owner = next() % OWNERS;
		bool filling = step / 6000 % 2 == 0;

		if (!seed[owner] && (filling || next() % 4 == 0))
			insert(&z, owner, next() % ZPOOL_OBJECT_MAX + 1);
		else if (seed[owner])
			check(owner), erase(&z, owner);
		if (step % 1000 == 0)
			check_compact(&z);
		while ((s = zpool_take_spare(&z, 8)) != NULL)
			zpool_slab_free(s);
	}
	for (uint32_t i = 0; i < OWNERS; i++)
		if (seed[i])
			check(i), erase(&z, i);
	assert_int_equal(z.nr_slabs, z.nr_spare);
	zpool_fini(&z);
}

TEST(pool_cost_covers_a_full_slab)
{
	for (size_t len = 1; len <= ZPOOL_OBJECT_MAX; len++) {
		assert_true(zpool_cost(len) > (int64_t)len);
		assert_true(zpool_cost(len) <= (int64_t)len + ZPOOL_STEP + 400);
	}
}

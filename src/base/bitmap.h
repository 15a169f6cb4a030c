/* base/bitmap.h - arrays of bits, and runs of clear bits in them.
 *
 * A bitmap of n bits is an array of bitmap_words(n) words that the user owns. Bits past n in the
 * last word are ignored. No locking: the structure that embeds the map says which lock protects it.
 */
#ifndef UMEMCG_BASE_BITMAP_H
#define UMEMCG_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_WORD_BITS 64
#define BITMAP_NONE      SIZE_MAX /* no such bit or run */

static inline size_t bitmap_words(size_t nbits)
{
	return (nbits + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS;
}

static inline bool bitmap_test(const uint64_t *map, size_t bit)
{
	return map[bit / BITMAP_WORD_BITS] >> (bit % BITMAP_WORD_BITS) & 1;
}

static inline void bitmap_set(uint64_t *map, size_t bit)
{
	map[bit / BITMAP_WORD_BITS] |= UINT64_C(1) << (bit % BITMAP_WORD_BITS);
}

static inline void bitmap_clear(uint64_t *map, size_t bit)
{
	map[bit / BITMAP_WORD_BITS] &= ~(UINT64_C(1) << (bit % BITMAP_WORD_BITS));
}

/* Set or clear the @n bits from @first on. */
void bitmap_set_range(uint64_t *map, size_t first, size_t n);
void bitmap_clear_range(uint64_t *map, size_t first, size_t n);

/* The first set (clear) bit at or after @start, below @nbits; BITMAP_NONE if there is none. */
size_t bitmap_next_set(const uint64_t *map, size_t nbits, size_t start);
size_t bitmap_next_clear(const uint64_t *map, size_t nbits, size_t start);

/* How many bits are set below @nbits. */
size_t bitmap_count(const uint64_t *map, size_t nbits);

/* The first run of @n clear bits at or after @start, all below @nbits; BITMAP_NONE if there is
 * none. */
size_t bitmap_find_run(const uint64_t *map, size_t nbits, size_t start, size_t n);

/* Find a run of @n clear bits from @hint on, then from 0, and set it. BITMAP_NONE if there is
 * none. */
size_t bitmap_alloc_run(uint64_t *map, size_t nbits, size_t hint, size_t n);

#endif

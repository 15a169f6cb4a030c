/* base/bitmap.c - arrays of bits, and runs of clear bits in them. See bitmap.h.
 *
 * Everything works one word at a time. Leaf: no locks.
 */
#include "base/bitmap.h"

/* The bits of word @w that lie in [first, end). */
static uint64_t word_mask(size_t w, size_t first, size_t end)
{
	size_t low = w * BITMAP_WORD_BITS;
	uint64_t mask = UINT64_MAX;

	if (first > low)
		mask <<= first - low;
	if (end < low + BITMAP_WORD_BITS)
		mask &= ~(UINT64_MAX << (end - low));
	return mask;
}

void bitmap_set_range(uint64_t *map, size_t first, size_t n)
{
	for (size_t w = first / BITMAP_WORD_BITS; w < bitmap_words(first + n); w++)
		map[w] |= word_mask(w, first, first + n);
}

void bitmap_clear_range(uint64_t *map, size_t first, size_t n)
{
	for (size_t w = first / BITMAP_WORD_BITS; w < bitmap_words(first + n); w++)
		map[w] &= ~word_mask(w, first, first + n);
}

/* The first bit in [start, nbits) that is set in map ^ flip. */
static size_t next_bit(const uint64_t *map, size_t nbits, size_t start, uint64_t flip)
{
	if (start >= nbits)
		return BITMAP_NONE;
	for (size_t w = start / BITMAP_WORD_BITS; w < bitmap_words(nbits); w++) {
		uint64_t bits = (map[w] ^ flip) & word_mask(w, start, nbits);

		if (bits)
			return w * BITMAP_WORD_BITS + (size_t)__builtin_ctzll(bits);
	}
	return BITMAP_NONE;
}

size_t bitmap_next_set(const uint64_t *map, size_t nbits, size_t start)
{
	return next_bit(map, nbits, start, 0);
}

size_t bitmap_next_clear(const uint64_t *map, size_t nbits, size_t start)
{
	return next_bit(map, nbits, start, UINT64_MAX);
}

size_t bitmap_count(const uint64_t *map, size_t nbits)
{
	size_t count = 0;

	for (size_t w = 0; w < bitmap_words(nbits); w++)
		count += (size_t)__builtin_popcountll(map[w] & word_mask(w, 0, nbits));
	return count;
}

size_t bitmap_find_run(const uint64_t *map, size_t nbits, size_t start, size_t n)
{
	if (n == 0 || n > nbits)
		return BITMAP_NONE;
	for (;;) {
		size_t first = bitmap_next_clear(map, nbits, start);

		if (first == BITMAP_NONE || nbits - first < n)
			return BITMAP_NONE;
		start = bitmap_next_set(map, first + n, first);
		if (start == BITMAP_NONE)
			return first;
	}
}

size_t bitmap_alloc_run(uint64_t *map, size_t nbits, size_t hint, size_t n)
{
	size_t first = bitmap_find_run(map, nbits, hint, n);

	if (first == BITMAP_NONE && hint > 0)
		first = bitmap_find_run(map, nbits, 0, n);
	if (first != BITMAP_NONE)
		bitmap_set_range(map, first, n);
	return first;
}

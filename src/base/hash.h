/* base/hash.h - spreading keys over tables.
 *
 * Not for checksums, and not safe against chosen keys. Leaf.
 */
#ifndef UMEMCG_BASE_HASH_H
#define UMEMCG_BASE_HASH_H

#include <stdint.h>

/* Mix @key so that every bit of it affects about half of the result's bits: multiply by 2^64 /
 * golden ratio, fold, twice. A bijection: different keys stay different. */
static inline uint64_t hash64(uint64_t key)
{
	key = (key ^ key >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	key = (key ^ key >> 29) * UINT64_C(0x9e3779b97f4a7c15);
	return key ^ key >> 32;
}

/* The bucket of @key in a table of 2^@bits buckets, bits 1 to 32. */
static inline uint32_t hash64_bucket(uint64_t key, unsigned bits)
{
	return (uint32_t)(hash64(key) >> (64 - bits));
}

/* Two keys as one. */
static inline uint64_t hash64_pair(uint64_t a, uint64_t b)
{
	return hash64(hash64(a) + b);
}

#endif

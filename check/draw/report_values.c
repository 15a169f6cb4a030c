/* check/draw/report_values.c - words of the engine in its own names: flags, page table entries,
 * slots, charges. */
#include <stdio.h>

#include "memcg/page_cgroup.h"
#include "mm/mm_types.h"
#include "draw/report.h"

struct bit {
	uint64_t mask;
	const char *name;
};

static const struct bit page_bits[] = {
	{ PG_locked, "PG_locked" },         { PG_waiters, "PG_waiters" },
	{ PG_writeback, "PG_writeback" },   { PG_uptodate, "PG_uptodate" },
	{ PG_dirty, "PG_dirty" },           { PG_lru, "PG_lru" },
	{ PG_active, "PG_active" },         { PG_unevictable, "PG_unevictable" },
	{ PG_swapcache, "PG_swapcache" },   { PG_error, "PG_error" },
	{ PG_readahead, "PG_readahead" },   { PG_workingset, "PG_workingset" },
	{ PG_reclaim, "PG_reclaim" },       { PG_file, "PG_file" },
	{ PG_referenced, "PG_referenced" }, { 0, NULL },
};
static const struct bit slot_bits[] = {
	{ SLOT_CACHE, "CACHE" },     { SLOT_VALID, "VALID" },
	{ SLOT_ZERO, "ZERO" },       { SLOT_MEMSW, "MEMSW" },
	{ SLOT_BAD, "BAD" },         { SLOT_USED, "USED" },
	{ SLOT_BACKED, "BACKED" },   { SLOT_REFUSED, "REFUSED" },
	{ SLOT_INDEXED, "INDEXED" }, { 0, NULL },
};
static const struct bit pte_bits[] = {
	{ PTE_WRITE, "W" },
	{ PTE_YOUNG, "Y" },
	{ PTE_DIRTY, "D" },
	{ 0, NULL },
};
static const struct bit charge_bits[] = { { PCG_USED, "USED" },
					  { PCG_MIGRATION, "MIGRATION" },
					  { 0, NULL } };

/* "A|B", followed by the unnamed bits in hexadecimal. @first: text precedes it. */
static void join_bits(const struct bit *bits, uint64_t value, bool first, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = '\0';
	for (; bits->mask; bits++) {
		if (!(value & bits->mask) || at >= n)
			continue;
		at += (size_t)snprintf(buf + at, n - at, "%s%s", first ? "" : "|", bits->name);
		value &= ~bits->mask;
		first = false;
	}
	if (value && at < n)
		snprintf(buf + at, n - at, "%s0x%llx", first ? "" : "|", (unsigned long long)value);
}

static void page_flags(unsigned width, uint64_t v, char *buf, size_t n)
{
	(void)width;
	if (!v)
		snprintf(buf, n, "0");
	else
		join_bits(page_bits, v, true, buf, n);
}

static void slot_word(unsigned width, uint64_t v, char *buf, size_t n)
{
	size_t at;

	(void)width;
	if (!v) {
		snprintf(buf, n, "free");
		return;
	}
	at = (size_t)snprintf(buf, n, "%u", (unsigned)(v & SLOT_COUNT_MASK));
	join_bits(slot_bits, v & ~(uint64_t)SLOT_COUNT_MASK, false, buf + at, n - at);
}

static void pte_word(unsigned width, uint64_t v, char *buf, size_t n)
{
	size_t at;

	(void)width;
	if (!v) {
		snprintf(buf, n, "none");
	} else if (v & PTE_PRESENT) {
		at = (size_t)snprintf(buf, n, "page %llu", (unsigned long long)(v >> PAGE_SHIFT));
		join_bits(pte_bits, v & (PTE_WRITE | PTE_YOUNG | PTE_DIRTY), false, buf + at,
			  n - at);
	} else {
		unsigned kind = v & PTE_KIND_MASK;

		snprintf(buf, n, "%s %llu",
			 kind == PTE_SWAP        ? "swap"
			 : kind == PTE_MIGRATION ? "migration"
			 : kind == PTE_POISON    ? "poison"
						 : "kind?",
			 (unsigned long long)(v >> PAGE_SHIFT));
	}
}

static void charge_word(unsigned width, uint64_t v, char *buf, size_t n)
{
	size_t at;

	(void)width;
	if (!v) {
		snprintf(buf, n, "0");
		return;
	}
	words_address((const void *)(uintptr_t)(v & ~(uint64_t)PCG_FLAGS), NULL, buf, n);
	at = strlen(buf);
	join_bits(charge_bits, v & PCG_FLAGS, false, buf + at, n - at);
}

static void mapping_word(unsigned width, uint64_t v, char *buf, size_t n)
{
	size_t at;

	(void)width;
	words_address((const void *)(uintptr_t)(v & ~(uint64_t)PAGE_MAPPING_FILE), NULL, buf, n);
	at = strlen(buf);
	if (v & PAGE_MAPPING_FILE && at < n)
		snprintf(buf + at, n - at, "|FILE");
}

/* A page, or the remains of an evicted one. */
static void cache_word(unsigned width, uint64_t v, char *buf, size_t n)
{
	(void)width;
	if (v & 1)
		snprintf(buf, n, "shadow %llu", (unsigned long long)(v >> 1));
	else
		words_address((const void *)(uintptr_t)v, NULL, buf, n);
}

static void number(unsigned width, uint64_t v, char *buf, size_t n)
{
	snprintf(buf, n, "%lld", width == 4 ? (long long)(int32_t)v : (long long)v);
}

static const struct {
	const char *field;
	unsigned width;
	void (*print)(unsigned width, uint64_t v, char *buf, size_t n);
	const struct bit *bits;
} fields[] = {
	/* clang-format off */
	{ "flags",   4, page_flags,   page_bits },
	{ "pcg",     8, charge_word,  charge_bits },
	{ "word",    8, charge_word,  charge_bits },
	{ "charge",  8, charge_word,  charge_bits },
	{ "pte",     8, pte_word,     pte_bits },
	{ "ptep",    8, pte_word,     pte_bits },
	{ "map",     4, slot_word,    slot_bits },
	{ "mapping", 8, mapping_word, NULL },
	{ "cache",   8, cache_word,   NULL },
	/* clang-format on */
};
#define NR_FIELDS (sizeof(fields) / sizeof(fields[0]))

/* The last name of @obj, without an index: "pte" of "mm pte 0" and of "leaf.pte[i]". */
bool words_field_is(const char *obj, const char *field)
{
	size_t len = strcspn(obj, "[#("), n = strlen(field);

	while (len > 0 && ((obj[len - 1] >= '0' && obj[len - 1] <= '9') || obj[len - 1] == ' '))
		len--;
	return len >= n && memcmp(obj + len - n, field, n) == 0 &&
	       (len == n || strchr(".> ", obj[len - n - 1]));
}

bool words_gauge_is(const char *obj, const char *gauge)
{
	const char *end = strstr(obj, ", CPU "), *at = end;

	while (at && at > obj && at[-1] != ' ')
		at--;
	return end && strlen(gauge) == (size_t)(end - at) && memcmp(gauge, at, strlen(gauge)) == 0;
}

static int find_field(const char *obj, unsigned width)
{
	for (size_t i = 0; i < NR_FIELDS; i++)
		if ((!width || fields[i].width == width) && words_field_is(obj, fields[i].field))
			return (int)i;
	return -1;
}

void words_value(const char *field, unsigned width, uint64_t value, char *buf, size_t n)
{
	int f = find_field(field, width);

	if (f >= 0)
		fields[f].print(width, value, buf, n);
	else
		number(width, value, buf, n);
}

bool words_mask(const char *field, uint64_t mask, char *buf, size_t n)
{
	int f = find_field(field, 0);

	if (f < 0 || !fields[f].bits || !mask)
		return false;
	join_bits(fields[f].bits, mask, true, buf, n);
	return true;
}

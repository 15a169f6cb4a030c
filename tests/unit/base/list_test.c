/* tests/unit/base/list_test.c - src/base: sizes, bitmaps, text, hashing, lists. Mostly tables. */
#include <errno.h>
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/size.h"
#include "base/text.h"
#include "test.h"

#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

static const struct {
	const char *text;
	int err;
	int64_t bytes;
} sizes[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "64M", 0, 64 * MIB },
	{ "64m", 0, 64 * MIB },
	{ "64MB", 0, 64 * MIB },
	{ "64MiB", 0, 64 * MIB },
	{ "64mib", 0, 64 * MIB },
	{ "1G", 0, GIB },
	{ "3K", 0, 3 * KIB },
	{ "2T", 0, 2 * TIB },
	{ "512B", 0, 512 },
	{ "max", 0, SIZE_BYTES_MAX },
	{ "MAX\n", 0, SIZE_BYTES_MAX },
	{ " 64M \n", 0, 64 * MIB },
	{ "9223372036854775807", 0, INT64_MAX },
	{ "8388607T", 0, 8388607 * TIB },
	{ "1.5G", 0, GIB + GIB / 2 },
	{ "0.5g", 0, GIB / 2 },
	{ "0.25MiB", 0, 256 * KIB },
	{ "1.0001K", 0, KIB },
	{ "2.9999999999999999999999K", 0, 3 * KIB - 1 },
	{ "8388607.999999999T", 0, INT64_MAX - 1099 },
	{ "infinity", 0, SIZE_BYTES_MAX },
	{ "Infinity\n", 0, SIZE_BYTES_MAX },
	{ "9223372036854775808", -ERANGE, 0 },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "99999999999999999999999999", -ERANGE, 0 },
	{ "99999999999999999999999999K", -ERANGE, 0 },
	{ "8388608T", -ERANGE, 0 },
	{ "8589934592G", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ " ", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ "-64M", -EINVAL, 0 },
	{ "64Q", -EINVAL, 0 },
	{ "64MM", -EINVAL, 0 },
	{ "64MiBs", -EINVAL, 0 },
	{ "64Mi", -EINVAL, 0 },
	{ "64iB", -EINVAL, 0 },
	{ "64 M", -EINVAL, 0 },
	{ "1.5", -EINVAL, 0 },
	{ "1.5B", -EINVAL, 0 },
	{ "1.G", -EINVAL, 0 },
	{ ".5G", -EINVAL, 0 },
	{ "1.5.5G", -EINVAL, 0 },
	{ "1,5G", -EINVAL, 0 },
	{ "50%", -EINVAL, 0 },
	{ "infinite", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
	{ "maximum", -EINVAL, 0 },
	{ "99999999999999999999999999Q", -EINVAL, 0 },
};

/* Every form a person may write, and what it must not be mistaken for. */
TEST(sizes_are_parsed_or_refused)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t bytes = -7;
		int err = size_parse(sizes[i].text, &bytes);

		if (err != sizes[i].err || bytes != (err ? -7 : sizes[i].bytes))
			fail_msg("\"%s\": error %d, %lld bytes", sizes[i].text, err,
				 (long long)bytes);
	}
}

TEST(a_percentage_is_a_part_of_the_whole)
{
	static const struct {
		const char *text;
		int err;
		int64_t bytes;
	} table[] = {
		{ "50%", 0, 4 * GIB },    { "1%", 0, 8 * GIB / 100 },
		{ " 100% ", 0, 8 * GIB }, { "0%", -ERANGE, 0 },
		{ "101%", -ERANGE, 0 },   { "99999999999999999999999%", -ERANGE, 0 },
		{ "1.5%", -EINVAL, 0 },   { "%", -EINVAL, 0 },
		{ "-5%", -EINVAL, 0 },    { "50", -EINVAL, 0 },
		{ "50%%", -EINVAL, 0 },   { "50%M", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t bytes = -7;
		int err = size_parse_percent(table[i].text, 8 * GIB, &bytes);

		if (err != table[i].err || bytes != (err ? -7 : table[i].bytes))
			fail_msg("\"%s\": error %d, %lld bytes", table[i].text, err,
				 (long long)bytes);
	}
}

TEST(sizes_are_formatted_for_people)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} table[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 64 * MIB, "64.0 MiB" },
		{ MIB - 1, "1.0 MiB" },
		{ 1023 * KIB, "1023.0 KiB" },
		{ 10 * GIB + GIB / 4, "10.2 GiB" },
		{ INT64_MAX - 1, "8.0 EiB" },
		{ SIZE_BYTES_MAX, "max" },
		{ -4096, "-4.0 KiB" },
		{ INT64_MIN, "-8.0 EiB" },
	};
	char buf[SIZE_TEXT_MAX];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(size_format(buf, table[i].bytes), table[i].text);
}

/* A name keeps its beginning and its end; cuts are at the start of path components, and never
 * within a character. */
TEST(long_names_lose_their_middle)
{
	char name[4000], buf[TEXT_NAME_MAX];

	assert_string_equal(TEXT_NAME("short"), "short");
	memset(name, 'x', sizeof(name));
	for (size_t len = 190; len < sizeof(name); len++) {
		name[len] = '\0';
		text_name(buf, name);
		assert_in_range(strlen(buf), len < TEXT_NAME_MAX ? len : TEXT_NAME_MAX - 40,
				TEXT_NAME_MAX - 1);
		name[len] = 'x';
	}
	strcpy(name, "/begin/");
	memset(name + 7, 'y', 50);
	name[57] = '/';
	memset(name + 58, 'z', 900);
	strcpy(name + 958, "/directory/end");
	text_name(buf, name);
	assert_memory_equal(buf, name, 58);
	assert_memory_equal(buf + 58, "...", 3);
	assert_string_equal(buf + strlen(buf) - 14, "/directory/end");
	for (size_t i = 0; i < 500; i++)
		memcpy(name + 2 * i, "\303\244", 3);
	for (size_t from = 0; from < 2; from++) {
		text_name(buf, name + from);
		for (const char *c = strstr(buf, "..."); c > buf + from; c -= 2)
			assert_memory_equal(c - 2, "\303\244", 2);
		assert_memory_equal(strstr(buf, "...") + 3, "\303\244", 2);
	}
}

/* What a terminal would interpret, and invalid UTF-8, is escaped byte by byte; the rest is
 * unchanged. */
TEST(strange_bytes_are_escaped)
{
	static const struct {
		const char *from, *to;
	} table[] = {
		{ "", "" },
		{ "plain \\ name", "plain \\ name" },
		{ "a\nb\033[2J\177", "a\\x0ab\\x1b[2J\\x7f" },
		{ "\377", "\\xff" },
		{ "\303\244 \342\202\254 \360\237\230\200",
		  "\303\244 \342\202\254 \360\237\230\200" },
		{ "\303", "\\xc3" }, /* cut off */
		{ "\342\202", "\\xe2\\x82" },
		{ "\302\233"
		  "2J",
		  "\\xc2\\x9b"
		  "2J" },                     /* a control: the other Esc-[ */
		{ "\300\257", "\\xc0\\xaf" }, /* overlong */
		{ "\340\200\257", "\\xe0\\x80\\xaf" },
		{ "\355\240\200", "\\xed\\xa0\\x80" },          /* a surrogate */
		{ "\364\220\200\200", "\\xf4\\x90\\x80\\x80" }, /* above U+10FFFF */
		{ "\370\210\200\200\200", "\\xf8\\x88\\x80\\x80\\x80" },
		{ "\244\244", "\\xa4\\xa4" },
	};
	char to[64];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(text_plain(to, sizeof(to), table[i].from));
		assert_string_equal(to, table[i].to);
	}
	/* Cut off, but not within a sequence. */
	assert_false(text_plain(to, 6, "ab\n\n"));
	assert_string_equal(to, "ab");
	assert_false(text_plain(to, 4, "ab\303\244"));
	assert_string_equal(to, "ab");
	assert_true(text_plain(to, 5, "ab\303\244"));
}

/* Ranges that start, end, or cross at word boundaries set exactly their bits. */
TEST(bitmap_ranges_touch_exactly_their_bits)
{
	static const struct {
		size_t first, n;
	} table[] = {
		{ 0, 0 },   { 0, 1 },  { 0, 64 }, { 0, 200 },   { 63, 1 }, { 63, 2 },
		{ 64, 64 }, { 5, 59 }, { 5, 60 }, { 100, 100 }, { 64, 0 }, { 199, 1 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t set[4] = { 0 }, clear[4] = { ~0ull, ~0ull, ~0ull, ~0ull };

		bitmap_set_range(set, table[i].first, table[i].n);
		bitmap_clear_range(clear, table[i].first, table[i].n);
		for (size_t bit = 0; bit < 256; bit++) {
			bool in = bit >= table[i].first && bit < table[i].first + table[i].n;

			assert_int_equal(bitmap_test(set, bit), in);
			assert_int_equal(bitmap_test(clear, bit), !in);
		}
		assert_int_equal(bitmap_count(set, 200), table[i].n);
	}
}

TEST(bitmap_runs_are_found_first_fit)
{
	static const struct {
		size_t nbits, start, n, set_first, set_n, expect;
	} table[] = {
		{ 200, 0, 1, 0, 0, 0 },
		{ 200, 0, 200, 0, 0, 0 },
		{ 200, 0, 201, 0, 0, BITMAP_NONE },
		{ 200, 0, 0, 0, 0, BITMAP_NONE },
		{ 200, 1, 200, 0, 0, BITMAP_NONE },
		{ 200, 0, 100, 50, 1, 51 },
		{ 200, 0, 50, 50, 1, 0 },
		{ 200, 0, 130, 69, 1, 70 },
		{ 200, 0, 131, 69, 1, BITMAP_NONE },
		{ 200, 0, 64, 0, 64, 64 },
		{ 200, 10, 8, 12, 4, 16 },
		{ 64, 0, 64, 0, 0, 0 },
		{ 65, 0, 65, 0, 0, 0 },
		{ 65, 0, 1, 0, 64, 64 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t map[4] = { 0 };

		bitmap_set_range(map, table[i].set_first, table[i].set_n);
		assert_int_equal(bitmap_find_run(map, table[i].nbits, table[i].start, table[i].n),
				 table[i].expect);
	}
}

/* Against a model of one byte per bit, for a few thousand random steps. */
TEST(bitmap_allocation_agrees_with_a_byte_array)
{
	enum { N = 300 };
	uint64_t map[5] = { 0 };
	char model[N] = { 0 };
	uint64_t seed = 1;

	for (int step = 0; step < 5000; step++) {
		size_t hint = hash64(seed++) % N, n = 1 + hash64(seed++) % 20, first;

		if (hash64(seed++) % 2) {
			n = hint + n > N ? N - hint : n;
			bitmap_clear_range(map, hint, n);
			memset(model + hint, 0, n);
			continue;
		}
		first = bitmap_alloc_run(map, N, hint, n);
		if (first == BITMAP_NONE) {
			size_t run = 0;

			for (size_t i = 0; i < N; i++) {
				run = model[i] ? 0 : run + 1;
				assert_true(run < n);
			}
			continue;
		}
		assert_true(first + n <= N);
		for (size_t i = first; i < first + n; i++) {
			assert_false(model[i]);
			model[i] = 1;
		}
	}
	for (size_t i = 0; i < N; i++)
		assert_int_equal(bitmap_test(map, i), model[i]);
}

TEST(bitmap_searches_stop_at_the_last_bit)
{
	uint64_t map[2] = { 0, UINT64_C(1) << 20 };

	assert_int_equal(bitmap_next_set(map, 128, 0), 84);
	assert_int_equal(bitmap_next_set(map, 84, 0), BITMAP_NONE);
	assert_int_equal(bitmap_next_set(map, 128, 85), BITMAP_NONE);
	assert_int_equal(bitmap_next_clear(map, 128, 84), 85);
	assert_int_equal(bitmap_next_clear(map, 128, 128), BITMAP_NONE);
}

/* What does not fit is cut, the string stays terminated, and the cut is remembered. */
TEST(text_is_cut_and_says_so)
{
	char buf[8];
	TEXT_ON(t, buf);

	text_puts(&t, "abc");
	text_printf(&t, "%d", 1234);
	assert_string_equal(buf, "abc1234");
	assert_int_equal(t.len, 7);
	assert_false(t.cut);
	text_puts(&t, "");
	assert_false(t.cut);
	text_puts(&t, "x");
	assert_true(t.cut);
	assert_string_equal(buf, "abc1234");
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "%s", "12345678");
	assert_true(t.cut);
	assert_string_equal(buf, "1234567");
	text_init(&t, buf, 1);
	text_printf(&t, "%s", "x");
	text_puts(&t, "y");
	assert_true(t.cut);
	assert_string_equal(buf, "");
}

/* Neighbouring keys, page-aligned keys and pointers must not cluster in a few buckets. */
TEST(hash_spreads_regular_keys_over_the_buckets)
{
	static const unsigned strides[] = { 1, 64, 4096, 1 << 21 };

	for (size_t s = 0; s < 4; s++) {
		unsigned count[256] = { 0 }, worst = 0;

		for (uint64_t i = 0; i < 256 * 16; i++) {
			uint32_t b = hash64_bucket(i * strides[s], 8);

			assert_true(b < 256);
			if (++count[b] > worst)
				worst = count[b];
		}
		assert_true(worst <= 48);
	}
	assert_true(hash64_pair(1, 2) != hash64_pair(2, 1));
}

struct item {
	int n;
	struct list_head link;
};

TEST(lists_keep_their_order_through_splice_and_removal)
{
	struct item items[6];
	struct list_head a, b;
	int expect = 0;

	list_init(&a);
	list_init(&b);
	for (int i = 0; i < 6; i++) {
		items[i].n = i;
		list_add_tail(&items[i].link, i < 3 ? &a : &b);
	}
	list_splice_tail(&b, &a);
	assert_true(list_empty(&b));
	list_for_each_safe(it, next, &a, struct item, link) {
		assert_int_equal(it->n, expect++);
		list_del(&it->link);
		list_del(&it->link);
	}
	assert_int_equal(expect, 6);
	assert_true(list_empty(&a));
}

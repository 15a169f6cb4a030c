/* base/size.c - sizes as people write them: "64M", "1.5GiB", "max". See size.h for the grammar.
 *
 * Leaf: pure functions, no state, no locks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

#define FRACTION INT64_C(1000000000)

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t\n");
}

/* Is the rest of @s only white space? */
static int end_of(const char *s)
{
	return *skip_space(s) == '\0' ? 0 : -EINVAL;
}

/* Read the unit at @s: *@shift is its power of two. Returns what follows it. */
static const char *read_unit(const char *s, unsigned *shift)
{
	static const char letters[] = "kmgt";
	const char *at = *s ? strchr(letters, *s | 0x20) : NULL;

	*shift = 0;
	if (at && *at) {
		*shift = 10 * (unsigned)(at - letters + 1);
		s++;
		if (strncasecmp(s, "ib", 2) == 0)
			return s + 2;
	}
	return *s == 'b' || *s == 'B' ? s + 1 : s;
}

/* Read the digits at @s into *@n. False: above 2^63-1. */
static bool read_number(const char **s, int64_t *n)
{
	bool fits = true;

	for (*n = 0; **s >= '0' && **s <= '9'; (*s)++)
		fits &= !__builtin_mul_overflow(*n, 10, n) &&
			!__builtin_add_overflow(*n, **s - '0', n);
	return fits;
}

/* Read the digits at @s as a fraction, in units of 1 / FRACTION; further digits do not count. */
static int64_t read_fraction(const char **s)
{
	int64_t n = 0, place = FRACTION;

	for (; **s >= '0' && **s <= '9'; (*s)++) {
		place /= 10;
		n += (**s - '0') * place;
	}
	return n;
}

static bool is_word(const char *s, const char *word)
{
	for (; *word; s++, word++)
		if ((*s | 0x20) != *word)
			return false;
	return end_of(s) == 0;
}

static bool is_no_limit(const char *s)
{
	return is_word(s, "max") || is_word(s, "infinity");
}

int size_parse(const char *text, int64_t *bytes)
{
	const char *s = skip_space(text);
	int64_t n, part = 0;
	bool fits, fraction;
	unsigned shift;

	if (is_no_limit(s)) {
		*bytes = SIZE_BYTES_MAX;
		return 0;
	}
	if (*s < '0' || *s > '9')
		return -EINVAL;
	fits = read_number(&s, &n);
	fraction = s[0] == '.' && s[1] >= '0' && s[1] <= '9';
	if (fraction) {
		s++;
		part = read_fraction(&s);
	}
	s = read_unit(s, &shift);
	if (end_of(s) != 0 || (fraction && !shift))
		return -EINVAL;
	if (!fits || __builtin_mul_overflow(n, INT64_C(1) << shift, &n) ||
	    __builtin_add_overflow(n, (int64_t)(((__int128)part << shift) / FRACTION), &n))
		return -ERANGE;
	*bytes = n;
	return 0;
}

int size_parse_percent(const char *text, int64_t whole, int64_t *bytes)
{
	const char *s = skip_space(text);
	int64_t n;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	if (!read_number(&s, &n))
		n = INT64_MAX;
	if (*s != '%' || end_of(s + 1) != 0)
		return -EINVAL;
	if (n < 1 || n > 100)
		return -ERANGE;
	*bytes = (int64_t)((__int128)whole * n / 100);
	return 0;
}

const char *size_format(char buf[SIZE_TEXT_MAX], int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = 0;
	double value;

	if (bytes == SIZE_BYTES_MAX) {
		snprintf(buf, SIZE_TEXT_MAX, "max");
		return buf;
	}
	if (bytes > -1024 && bytes < 1024) {
		snprintf(buf, SIZE_TEXT_MAX, "%d B", (int)bytes);
		return buf;
	}
	/* 1023.95 would print as "1024.0" of the smaller unit. */
	for (value = (double)bytes / 1024; value >= 1023.95 || value <= -1023.95; value /= 1024)
		unit++;
	snprintf(buf, SIZE_TEXT_MAX, "%.1f %s", value, units[unit]);
	return buf;
}

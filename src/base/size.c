/* base/size.c - sizes as people write them: "64M", "1GiB", "max". See size.h for the grammar.
 *
 * Leaf: pure functions, no state, no locks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

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

int size_parse(const char *text, int64_t *bytes)
{
	const char *s = skip_space(text);
	int64_t n = 0;
	bool too_big = false;
	unsigned shift;

	if (strncasecmp(s, "max", 3) == 0 && end_of(s + 3) == 0) {
		*bytes = SIZE_BYTES_MAX;
		return 0;
	}
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		too_big |= __builtin_mul_overflow(n, 10, &n) ||
			   __builtin_add_overflow(n, *s - '0', &n);
	s = read_unit(s, &shift);
	if (end_of(s) != 0)
		return -EINVAL;
	if (too_big || __builtin_mul_overflow(n, INT64_C(1) << shift, &n))
		return -ERANGE;
	*bytes = n;
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

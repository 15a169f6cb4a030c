/* tests/native/prog/mremap.c - mremap [MIB] [ROUNDS]
 *
 * Grow, shrink and move areas that are larger than the limit. What was written goes along, what
 * is new is zero, what was left is gone.
 */
#include "prog.h"

/* Nothing is mapped at @p. */
static bool unmapped(char *p)
{
	unsigned char in_core;

	return mincore(p, PAGE, &in_core) < 0 && errno == ENOMEM;
}

static char *grow(char *area, size_t n)
{
	area = mremap(area, n * PAGE, 2 * n * PAGE, MREMAP_MAYMOVE);
	EXPECT(area != MAP_FAILED);
	area_check(area, n, 0, 0, "after growing");
	area_check_zero(area + n * PAGE, n, "in the part grown");
	area_fill(area + n * PAGE, n, n, 0);
	area_check(area, 2 * n, 0, 0, "after filling the part grown");
	return area;
}

static void shrink(char *area, size_t n)
{
	EXPECT(mremap(area, 2 * n * PAGE, n * PAGE, 0) == area);
	EXPECT(unmapped(area + n * PAGE));
	area_check(area, n, 0, 0, "after shrinking");
}

/* To a place of our choice, over other pages, which are gone then. */
static char *move(char *area, size_t n)
{
	char *to = map_bytes(n * PAGE);

	area_fill(to, n < 64 ? n : 64, 1ull << 50, 0);
	EXPECT(mremap(area, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	EXPECT(unmapped(area) && unmapped(area + (n - 1) * PAGE));
	area_check(to, n, 0, 0, "after moving");
	return to;
}

/* The middle third away and back: the rest stays where it is. */
static void move_middle(char *area, size_t n)
{
	size_t third = n / 3;
	char *middle = area + third * PAGE;
	char *away = map_bytes(third * PAGE);

	EXPECT(mremap(middle, third * PAGE, third * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) ==
	       away);
	EXPECT(unmapped(middle));
	area_check(area, third, 0, 0, "before the hole");
	area_check(away, third, third, 0, "in the part moved away");
	area_check(area + 2 * third * PAGE, n - 2 * third, 2 * third, 0, "behind the hole");
	EXPECT(mremap(away, third * PAGE, third * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, middle) ==
	       middle);
	area_check(area, n, 0, 0, "after the middle came back");
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 64);
	unsigned long rounds = arg_number(argc, argv, 2, 2);
	size_t n = mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	for (unsigned long i = 0; i < rounds; i++) {
		area = grow(area, n);
		shrink(area, n);
		area = move(area, n);
		move_middle(area, n);
	}
	return ok("%lu MiB, %lu rounds", mib, rounds);
}

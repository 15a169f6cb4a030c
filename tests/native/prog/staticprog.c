/* tests/native/prog/staticprog.c - staticprog [MIB] [HOLD_MS] [PACE_US]
 *
 * Linked statically: nothing can be preloaded into it. Uses 8 MiB, holds them, and ends. PACE_US:
 * it sleeps so long after each MiB. The memory is not malloc's, which would fill all of it at once
 * where MALLOC_PERTURB_ says so. Meson sets that for every test.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 8);
	unsigned long hold_ms = arg_number(argc, argv, 2, 0),
		      pace_us = arg_number(argc, argv, 3, 0);
	size_t n = mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	for (size_t i = 0; i < n; i += PAGES_PER_MIB) {
		area_fill(area + i * PAGE, PAGES_PER_MIB, i, 0);
		if (pace_us)
			usleep((useconds_t)pace_us);
	}
	usleep((useconds_t)hold_ms * 1000);
	area_check(area, n, 0, 0, "after filling");
	EXPECT(munmap(area, n * PAGE) == 0);
	return ok("%lu MiB", mib);
}

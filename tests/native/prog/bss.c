/* tests/native/prog/bss.c - bss [MIB] [PASSES]
 *
 * A .bss array of 100 MiB, of which MIB are used: zero at first, then what is written to it. */
#include "prog.h"

#define BSS_MIB 100

static char array[BSS_MIB * MIB] __attribute__((aligned(4096)));

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, BSS_MIB);
	unsigned long passes = arg_number(argc, argv, 2, 2);
	size_t n = mib * PAGES_PER_MIB;

	if (mib > BSS_MIB)
		fail("at most %d MiB", BSS_MIB);
	area_check_zero(array, n, "at the start");
	area_fill(array, n, 0, 0);
	for (unsigned long pass = 0; pass < passes; pass++) {
		area_check(array, n, 0, pass, "in .bss");
		for (size_t i = 0; i < n; i++)
			page_change(array + i * PAGE, i, pass + 1);
	}
	area_check(array, n, 0, passes, "at the end");
	return ok("%lu MiB, %lu passes", mib, passes);
}

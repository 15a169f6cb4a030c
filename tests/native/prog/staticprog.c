/* tests/native/prog/staticprog.c - staticprog [MIB] [HOLD_MS]
 *
 * Linked statically: nothing can be preloaded into it. Uses 8 MiB of heap, holds it, and ends.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 8);
	unsigned long hold_ms = arg_number(argc, argv, 2, 0);
	size_t n = mib * PAGES_PER_MIB;
	char *area = aligned_alloc(PAGE, n * PAGE);

	EXPECT(area);
	area_fill(area, n, 0, 0);
	usleep((useconds_t)hold_ms * 1000);
	area_check(area, n, 0, 0, "after filling");
	free(area);
	return ok("%lu MiB", mib);
}

/* tests/native/prog/staticprog.c - staticprog [MIB]
 *
 * Linked statically: nothing can be preloaded into it. Uses 8 MiB of heap and ends.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 8);
	size_t n = mib * PAGES_PER_MIB;
	char *area = aligned_alloc(PAGE, n * PAGE);

	EXPECT(area);
	area_fill(area, n, 0, 0);
	area_check(area, n, 0, 0, "after filling");
	free(area);
	return ok("%lu MiB", mib);
}

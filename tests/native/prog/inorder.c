/* tests/native/prog/inorder.c - inorder [MIB] [PASSES] [shared|private]
 *
 * Memory that is filled, and then read and checked PASSES times, from its first page to its last;
 * at last backwards. Says what a page took.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 1, 64) * PAGES_PER_MIB;
	unsigned long passes = arg_number(argc, argv, 2, 1);
	const char *kind = argc > 3 ? argv[3] : "shared";
	int type = strcmp(kind, "private") ? MAP_SHARED : MAP_PRIVATE;
	char *area = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, type | MAP_ANONYMOUS, -1, 0);
	double start = now_us(), filled, read;

	EXPECT(area != MAP_FAILED);
	area_fill(area, n, 0, 0);
	filled = now_us();
	for (unsigned long i = 0; i < passes; i++)
		area_check(area, n, 0, 0, "read in order");
	read = now_us();
	for (size_t i = n; i-- > 0;)
		if (!page_is(area + i * PAGE, i, 0))
			fail("page %zu is wrong backwards", i);
	return ok("%zu MiB %s: us a page: fill %.2f, read %.2f, backwards %.2f", n / PAGES_PER_MIB,
		  kind, (filled - start) / (double)n,
		  (read - filled) / (double)(n * (passes ? passes : 1)),
		  (now_us() - read) / (double)n);
}

/* tests/native/prog/sparse.c - sparse PAGES [STEP_KIB [COUNT]]
 *
 * PAGES pages, STEP_KIB (64 MiB) apart in one mapping that is reserved and nothing else: their page
 * tables take as much as they do. Each is written, and right when all have been. Then the same in
 * COUNT (1) mappings at once.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	size_t pages = arg_number(argc, argv, 1, 1024),
	       step = arg_number(argc, argv, 2, 64 * 1024) * 1024;
	size_t count = arg_number(argc, argv, 3, 1);
	char *area[8];

	EXPECT(count <= 8);
	for (size_t k = 0; k < count; k++) {
		area[k] = mmap(NULL, pages * step, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (area[k] == MAP_FAILED)
			cannot_run("%zu MiB of addresses: %s", pages * step / MIB, strerror(errno));
	}
	for (size_t i = 0; i < pages; i++)
		for (size_t k = 0; k < count; k++)
			page_fill(area[k] + i * step, i * 8 + k, 1);
	for (size_t i = 0; i < pages; i++)
		for (size_t k = 0; k < count; k++)
			if (!page_is(area[k] + i * step, i * 8 + k, 1))
				fail("page %zu of %zu is wrong", i, pages);
	for (size_t k = 0; k < count; k++)
		EXPECT(munmap(area[k], pages * step) == 0);
	return ok("%zu pages, %zu KiB apart", pages * count, step / 1024);
}

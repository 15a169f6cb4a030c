/* tests/native/prog/reserve.c - reserve GIB FILL_MIB
 *
 * GIB of addresses are reserved before any library's constructor runs, as sanitizers do, and a few
 * pages of them written: at both ends, and in the middle. Then FILL_MIB are filled. All is right at
 * the end, and where nothing was written there is nothing.
 */
#include "prog.h"

#define TOUCHED 64

static char *early;
static size_t early_bytes;

static char *touched(size_t i)
{
	const size_t where[] = { 0, early_bytes / 2, early_bytes - TOUCHED * PAGE };

	return early + where[i % 3] + i / 3 * PAGE;
}

static void reserve(int argc, char **argv, char **env)
{
	(void)env;
	early_bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 30 : 1ul << 30;
	early = mmap(NULL, early_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t i = 0; early != MAP_FAILED && i < TOUCHED; i++)
		page_fill(touched(i), i, 1);
}

__attribute__((section(".preinit_array"), used)) static void (*first)(int, char **,
								      char **) = reserve;

int main(int argc, char **argv)
{
	unsigned long gib = arg_number(argc, argv, 1, 1), fill_mib = arg_number(argc, argv, 2, 96);
	size_t n = fill_mib * PAGES_PER_MIB;
	char *area;

	if (early == MAP_FAILED)
		cannot_run("%lu GiB of addresses cannot be reserved", gib);
	area = map_bytes(n * PAGE);
	area_fill(area, n, 1000, 0);
	area_check(area, n, 1000, 0, "beside what was reserved");
	for (size_t i = 0; i < TOUCHED; i++)
		if (!page_is(touched(i), i, 1))
			fail("page %zu of what was reserved is wrong", i);
	area_check_zero(early + early_bytes / 4, 16, "in what was reserved");
	EXPECT(munmap(early, early_bytes) == 0);
	return ok("%lu GiB reserved, %lu MiB filled", gib, fill_mib);
}

/* tests/native/prog/brkgrow.c - brkgrow [MIB] [STEP_KIB]
 *
 * The heap's end moves up in small steps and down again, by sbrk itself. Nothing here may
 * allocate in between: malloc lives in the same place.
 */
#include "prog.h"

static char *base; /* page aligned; pages from here are ours */

static void grow(size_t from, size_t to, size_t step)
{
	while (from < to) {
		size_t n = to - from < step ? to - from : step;

		if (sbrk((intptr_t)(n * PAGE)) != base + from * PAGE)
			fail("sbrk at page %zu: %s", from, strerror(errno));
		area_check_zero(base + from * PAGE, n, "in new heap");
		area_fill(base + from * PAGE, n, from, 0);
		from += n;
	}
}

static void shrink(size_t from, size_t to, size_t step)
{
	while (from > to) {
		size_t n = from - to < step ? from - to : step;

		EXPECT(sbrk(-(intptr_t)(n * PAGE)) == base + from * PAGE);
		from -= n;
	}
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 64);
	unsigned long step_kib = arg_number(argc, argv, 2, 128);
	size_t n = mib * PAGES_PER_MIB;
	size_t step = step_kib * 1024 / PAGE ? step_kib * 1024 / PAGE : 1;
	uintptr_t end = (uintptr_t)sbrk(0);

	base = (char *)((end + PAGE - 1) & ~(PAGE - 1));
	EXPECT(sbrk((intptr_t)((uintptr_t)base - end)) != (void *)-1);
	grow(0, n, step);
	area_check(base, n, 0, 0, "after growing");
	shrink(n, n / 2, step);
	area_check(base, n / 2, 0, 0, "after shrinking");
	grow(n / 2, n, 3 * step);
	area_check(base, n, 0, 0, "after growing again");
	shrink(n, 0, n);
	return ok("%lu MiB in steps of %lu KiB", mib, step_kib);
}

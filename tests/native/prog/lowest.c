/* tests/native/prog/lowest.c - lowest [PRESSURE MIB]
 *
 * Memory at the lowest addresses that a process may map, where emulators of other systems have it:
 * pushed out again and again, it has what was stored there.
 */
#include "prog.h"

#define PAGES      48
#define LOWEST_MAX (16 * PAGE) /* no system asks for more (vm.mmap_min_addr) */

static unsigned long lowest(void)
{
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "r");
	unsigned long at = LOWEST_MAX;

	if (f) {
		if (fscanf(f, "%lu", &at) != 1)
			at = LOWEST_MAX;
		fclose(f);
	}
	return at < PAGE ? PAGE : at;
}

static char *map_at(unsigned long at, size_t pages)
{
	void *p = mmap((void *)at, pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED)
		cannot_run("nothing can be mapped at %#lx: %s", at, strerror(errno));
	return p;
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 32);
	char *low = map_at(lowest(), PAGES);

	area_fill(low, PAGES, 1, 0);
	for (int i = 0; i < 2; i++) {
		press(mib);
		area_check(low, PAGES, 1, 0, "at the lowest addresses");
	}
	for (uint64_t r = 1; r < 4; r++) {
		area_fill(low, PAGES, 1, r);
		press(mib);
		area_check(low, PAGES, 1, r, "at the lowest addresses, changed");
	}
	return ok("%d pages from %p on", PAGES, (void *)low);
}

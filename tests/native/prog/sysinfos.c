/* tests/native/prog/sysinfos.c - sysinfos
 *
 * Says what libc takes for the machine's memory, in MiB: "total T free F swap S swapfree W"
 * (sysinfo), then "pages P available A phys G avphys V" (sysconf, and the functions).
 */
#include <sys/sysinfo.h>

#include "prog.h"

int main(void)
{
	long page = sysconf(_SC_PAGESIZE);
	struct sysinfo i;

	EXPECT(sysinfo(&i) == 0);
	printf("total %llu free %llu swap %llu swapfree %llu\n",
	       (unsigned long long)i.totalram * i.mem_unit >> 20,
	       (unsigned long long)i.freeram * i.mem_unit >> 20,
	       (unsigned long long)i.totalswap * i.mem_unit >> 20,
	       (unsigned long long)i.freeswap * i.mem_unit >> 20);
	printf("pages %ld available %ld phys %ld avphys %ld\n",
	       sysconf(_SC_PHYS_PAGES) * page >> 20, sysconf(_SC_AVPHYS_PAGES) * page >> 20,
	       get_phys_pages() * page >> 20, get_avphys_pages() * page >> 20);
	EXPECT(sysconf(_SC_OPEN_MAX) > 0 && sysconf(-1) == -1);
	return 0;
}

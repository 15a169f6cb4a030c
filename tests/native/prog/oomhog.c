/* tests/native/prog/oomhog.c - oomhog [MAX_MIB]
 *
 * Take and touch memory until killed. To get through MAX_MIB alive is the failure.
 */
#include "prog.h"

int main(int argc, char **argv)
{
	unsigned long max_mib = arg_number(argc, argv, 1, 4096);

	for (unsigned long mib = 0; mib < max_mib; mib++)
		area_fill(map_bytes(MIB), PAGES_PER_MIB, mib * PAGES_PER_MIB, 0);
	fail("not killed after %lu MiB", max_mib);
}

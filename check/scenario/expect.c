/* check/scenario/expect.c - checks that scenarios make when everything is over. */
#include "scenario/scenario.h"

#include "plat/sim/sim.h"

void expect_is(const char *what, int64_t is, int64_t should)
{
	if (is != should)
		sim_fail(SIM_WRONG, NULL, 0, "%s: %lld, not %lld", what, (long long)is,
			 (long long)should);
}

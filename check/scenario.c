/* check/scenario.c - the table of scenarios. */
#include "scenario.h"

#include "plat/sim/sim.h"

#define SCENARIO(symbol) extern const struct scenario scenario_##symbol;
#include "scenarios.def"
#undef SCENARIO

const struct scenario *const scenarios[] = {
#define SCENARIO(symbol) &scenario_##symbol,
#include "scenarios.def"
#undef SCENARIO
};
const unsigned nr_scenarios = sizeof(scenarios) / sizeof(scenarios[0]);

const struct scenario *scenario_find(const char *name)
{
	for (unsigned i = 0; i < nr_scenarios; i++)
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
	return NULL;
}

void expect_is(const char *what, int64_t is, int64_t should)
{
	if (is != should)
		sim_fail(SIM_WRONG, NULL, 0, "%s: %lld, not %lld", what, (long long)is, (long long)should);
}

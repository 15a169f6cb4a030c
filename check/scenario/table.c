/* check/scenario/table.c - the table of scenarios. */
#include "scenario/scenario.h"

#define SCENARIO(symbol) extern const struct scenario scenario_##symbol;
#include "scenario/scenarios.def"
#undef SCENARIO

const struct scenario *const scenarios[] = {
#define SCENARIO(symbol) &scenario_##symbol,
#include "scenario/scenarios.def"
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

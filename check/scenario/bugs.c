/* check/scenario/bugs.c - the table of named bugs. */
#include "scenario/bugs.h"

const struct bug bugs[] = {
#define BUG(id, name, source, scenario, invariant, budget, text)                                   \
	{ BUG_##id, name, source, scenario, invariant, budget, text, false },
#define BUG_TSO(id, name, source, scenario, invariant, budget, text)                               \
	{ BUG_##id, name, source, scenario, invariant, budget, text, true },
#include "plat/bugs.def"
#undef BUG
};
const unsigned nr_bugs = sizeof(bugs) / sizeof(bugs[0]);

const struct bug *bug_find(const char *name)
{
	for (unsigned i = 0; i < nr_bugs; i++)
		if (strcmp(bugs[i].name, name) == 0)
			return &bugs[i];
	return NULL;
}

/* check/main.c - umemcg check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plat/sim/explore.h"
#include "scenario.h"

static void setup(void *arg) { ((const struct scenario *)arg)->setup(); }
static void end(void *arg) { ((const struct scenario *)arg)->end(); }

int main(int argc, char **argv)
{
	static struct explore x;
	for (unsigned i = 0; i < nr_scenarios; i++) {
		struct sim_program p = { scenarios[i]->name, setup, end, (void *)(uintptr_t)scenarios[i], scenarios[i]->no_time };
		if (argc > 1 && strcmp(argv[1], scenarios[i]->name)) continue;
		if (argc > 2) sim_bug = (enum sim_bug_id)atoi(argv[2]);
		sim_load(&p);
		enum explore_end e = explore_run(&x);
		printf("%-20s %d exec %lu blocked %lu steps %lu depth %u %.3fs %s: %s %s:%d\n", scenarios[i]->name, e, x.stats.executions, x.stats.blocked, x.stats.steps, x.stats.max_depth, x.stats.seconds, sim_finding_name(x.failure.kind), x.failure.kind ? x.failure.text : "", x.failure.file, x.failure.line);
	}
	return 0;
}

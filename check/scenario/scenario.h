/* check/scenario/scenario.h - small programs on the engine, each about one race. */
#ifndef UMEMCG_CHECK_SCENARIO_H
#define UMEMCG_CHECK_SCENARIO_H

#include "plat/plat.h"

struct scenario {
	const char *name;    /* words with hyphens */
	const char *text;    /* one line: who races with whom for what */
	void (*setup)(void); /* builds the engine in the arena, declares tasks (sim_task) */
	void (*end)(void);   /* everything is over: check, tear down, check again; sim_fail */
	void (*look)(void);  /* between any two operations: reads, sim_fail; or NULL */
	bool no_time;        /* waits do not time out: a lost wake-up is a deadlock */
	bool slow;           /* more than a few seconds: not in the CI subset */
};

/* A scenario, in the file that has its set-up; further members follow: .slow = true. */
#define DEFINE_SCENARIO(id, its_name, its_setup, its_end, its_text, ...)                           \
	const struct scenario scenario_##id = { .name = its_name,                                  \
						.text = its_text,                                  \
						.setup = its_setup,                                \
						.end = its_end,                                    \
						__VA_ARGS__ }

/* For the checks at the end: a finding unless @is equals @should. */
void expect_is(const char *what, int64_t is, int64_t should);

extern const struct scenario *const scenarios[];
extern const unsigned nr_scenarios;
const struct scenario *scenario_find(const char *name);

#endif

/* check/search/replay.h - a schedule as a word that can be mailed and rerun.
 *
 *     SCENARIO[@tso]/BUG/RUNS/SUM
 *
 *   @tso  with store buffers (sim/tso.h)
 *   BUG   the named bug that was enabled, "-" for none
 *   RUNS  the tasks in turn, with operations: a3b2a1 = first task 3, second 2, first 1. Tasks
 *         are a .. z, A .. F in order of birth. Suffix "~cd": c and d of the set-up were left out.
 *   SUM   8 hexadecimal digits over every operation (task, kind, object, line): a build in which
 *         the schedule would mean something else refuses the word.
 */
#ifndef UMEMCG_CHECK_REPLAY_H
#define UMEMCG_CHECK_REPLAY_H

#include "scenario/bugs.h"
#include "plat/sim/explore.h"
#include "scenario/scenario.h"

struct schedule {
	uint8_t task[SIM_DEPTH_MAX];
	unsigned len;
	uint32_t left_out; /* sim_left_out while it runs */
};

/* Begin @scenario with @bug (NULL: none) enabled: sim_load. */
void scenario_load(const struct scenario *scenario, const struct bug *bug);
/* Run @s. SIM_BAD_REPLAY if it does not fit. Leaves sim_trace. */
enum sim_finding schedule_run(const struct schedule *s);
/* The last execution as a schedule. */
void schedule_of_trace(struct schedule *s);
/* Over the operations of the last execution. */
uint32_t trace_sum(void);

/* The last execution, which ran with @left_out, in the form that replay_parse accepts. */
void replay_print(char *buf, size_t n, const struct scenario *scenario, const struct bug *bug,
		  uint32_t left_out);

struct replay {
	const struct scenario *scenario;
	const struct bug *bug; /* NULL: none */
	struct schedule schedule;
	uint32_t sum;
	bool tso;
};

/* NULL, or a message about what is wrong with @text, to follow the option's name. */
const char *replay_parse(const char *text, struct replay *out);
/* Load it and run it, with its memory model. False: it does not fit this build. */
bool replay_run(const struct replay *r);

#define REPLAY_TEXT_MAX 65536

#endif

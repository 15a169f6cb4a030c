/* plat/sim/explore.h - strategies: which schedules of a program are run.
 *
 *   exhaustive  source-set dynamic partial-order reduction with sleep sets: one execution (or few)
 *               per class of schedules that differ only in the order of independent operations.
 *               Only this strategy reports EXHAUSTED.
 *   naive       every schedule; to test the above.
 *   bounded     every schedule with at most k preemptions. BOUNDED(k).
 *   random      priorities with d changes (PCT: Burckhardt et al., ASPLOS 2010). The seed is part
 *               of the result.
 *   replay      one schedule, from a list of tasks.
 *
 * References: Abdulla, Aronsson, Jonsson, Sagonas, "Source sets: a foundation for optimal dynamic
 * partial order reduction", JACM 2017; Flanagan, Godefroid, POPL 2005.
 */
#ifndef UMEMCG_PLAT_SIM_EXPLORE_H
#define UMEMCG_PLAT_SIM_EXPLORE_H

#include <signal.h>

#include "plat/sim/sim.h"

enum explore_mode { EXPLORE_EXHAUSTIVE, EXPLORE_NAIVE, EXPLORE_BOUNDED, EXPLORE_RANDOM };

enum explore_end { EXPLORE_DONE, EXPLORE_FAILED, EXPLORE_BUDGET, EXPLORE_STOPPED };

/* Set at any time by a signal handler: the search ends after this execution with
 * EXPLORE_STOPPED. */
extern volatile sig_atomic_t explore_stop;

struct explore_stats {
	uint64_t executions; /* complete ones */
	uint64_t blocked;    /* stopped because every enabled task was covered elsewhere */
	uint64_t steps;      /* operations of all executions */
	uint64_t failures;
	unsigned max_depth;
	unsigned tasks; /* most tasks of an execution */
	double seconds;
};

struct explore {
	enum explore_mode mode;
	unsigned preemptions; /* BOUNDED */
	uint64_t seed;        /* RANDOM */
	uint64_t budget;      /* executions, blocked ones included; 0: none */
	bool keep_going;      /* after a failure */
	/* After every execution that was not stopped; NULL: none. */
	void (*each)(void *arg);
	/* Called now and then, for a progress line; @done is an estimate, 0 .. 1. NULL: none. */
	void (*progress)(void *arg, const struct explore_stats *stats, double done);
	void *arg;

	struct explore_stats stats;      /* out */
	struct sim_failure failure;      /* out, of the first failure */
	uint8_t schedule[SIM_DEPTH_MAX]; /* out: its tasks in order */
	unsigned schedule_len;
};

/* Run the schedules of the program loaded by sim_load. */
enum explore_end explore_run(struct explore *x);
/* The same over @jobs processes (exhaustive mode; the others use one). It may run a few more
 * executions than one process: two processes do not know of each other's concurrent findings. @each
 * is called in the process that ran the execution. */
enum explore_end explore_run_jobs(struct explore *x, unsigned jobs);
/* Run one schedule; beyond its end, the first enabled task. SIM_BAD_REPLAY if a task in it is not
 * enabled. */
enum sim_finding explore_replay(const uint8_t *schedule, unsigned len);

/* The number of preemptions in sim_trace: switches away from a task that could have continued. */
unsigned explore_preemptions(void);

#endif

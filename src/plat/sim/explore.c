/* plat/sim/explore.c - searches: executions until there is nothing left to try, a failure, or the budget ends. */
#include "plat/sim/explore.h"

#include <time.h>

#include "plat/sim/dpor.h"
#include "plat/sim/strategy.h"

#define PROGRESS_EVERY 4096 /* executions */

unsigned dpor_floor;
bool dpor_floor_changed, dpor_naive, dpor_time_passed;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void count(struct explore *x)
{
	if (sim_stopped)
		x->stats.blocked++;
	else
		x->stats.executions++;
	x->stats.steps += sim_depth;
	if (sim_depth > x->stats.max_depth)
		x->stats.max_depth = sim_depth;
	if (sim_nr_tasks > x->stats.tasks)
		x->stats.tasks = sim_nr_tasks;
	if (sim_failure.kind == SIM_OK)
		return;
	if (x->stats.failures++ == 0) {
		x->failure = sim_failure;
		x->schedule_len = sim_depth;
		for (unsigned i = 0; i < sim_depth; i++)
			x->schedule[i] = (uint8_t)sim_trace[i].task;
	}
}

static const struct strategy strategies[] = {
	[EXPLORE_EXHAUSTIVE] = { dpor_begin, dpor_pick, dpor_quiet, dpor_end, dpor_next },
	[EXPLORE_NAIVE] = { dpor_begin, dpor_pick, dpor_quiet, dpor_end, dpor_next },
	[EXPLORE_BOUNDED] = { bounded_begin, bounded_pick, NULL, NULL, bounded_next },
	[EXPLORE_RANDOM] = { random_begin, random_pick, NULL, NULL, random_next },
};

/* The share of the choices on the stack that has been tried, as if all subtrees were alike. */
static double estimate(void)
{
	double done = 0, share = 1;

	for (unsigned d = 0; d < dpor_len && share > 1e-6; d++) {
		unsigned all = (unsigned)__builtin_popcount(dpor_nodes[d].backtrack | dpor_nodes[d].done);
		unsigned tried = (unsigned)__builtin_popcount(dpor_nodes[d].done);

		if (!all)
			continue;
		done += share * tried / all;
		share /= all;
	}
	return done;
}

enum explore_end explore_run(struct explore *x)
{
	const struct strategy *s = &strategies[x->mode];
	double start = seconds();
	uint64_t runs = 0;

	memset(&x->stats, 0, sizeof(x->stats));
	x->failure.kind = SIM_OK;
	dpor_len = dpor_floor = 0;
	dpor_naive = x->mode == EXPLORE_NAIVE;
	bounded_setup(x->preemptions);
	random_setup(x->seed);
	do {
		s->begin();
		sim_run(s->pick, s->quiet);
		if (s->end)
			s->end();
		count(x);
		if (!sim_stopped && x->each)
			x->each(x->arg);
		x->stats.seconds = seconds() - start;
		if (sim_failure.kind != SIM_OK && !x->keep_going)
			return EXPLORE_FAILED;
		runs++;
		if (x->progress && runs % PROGRESS_EVERY == 0)
			x->progress(x->arg, &x->stats, x->mode == EXPLORE_EXHAUSTIVE ? estimate() : 0);
		if (x->budget && runs >= x->budget)
			return x->stats.failures ? EXPLORE_FAILED : EXPLORE_BUDGET;
	} while (s->next());
	return x->stats.failures ? EXPLORE_FAILED : EXPLORE_DONE;
}

/* ---- replay ---- */

static const uint8_t *replay;
static unsigned replay_len;
static bool replay_bad;

static int replay_pick(uint32_t enabled)
{
	if (sim_depth >= replay_len)
		return __builtin_ctz(enabled);
	if (replay[sim_depth] < SIM_TASKS_MAX && enabled & 1u << replay[sim_depth])
		return replay[sim_depth];
	replay_bad = true;
	return -1;
}

enum sim_finding explore_replay(const uint8_t *schedule, unsigned len)
{
	replay = schedule;
	replay_len = len;
	replay_bad = false;
	sim_run(replay_pick, NULL);
	return replay_bad ? SIM_BAD_REPLAY : sim_failure.kind;
}

unsigned explore_preemptions(void)
{
	unsigned n = 0;

	for (unsigned i = 1; i < sim_depth; i++)
		n += preempted(i);
	return n;
}

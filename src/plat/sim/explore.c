/* plat/sim/explore.c - searches: run executions until nothing is left to try, one fails, or the
 * budget is used up. */
#include "plat/sim/explore.h"

#include <time.h>
#include <unistd.h>

#include "plat/sim/dpor.h"
#include "plat/sim/jobs.h"
#include "plat/sim/strategy.h"

#define PROGRESS_EVERY 4096 /* executions */
#define JOBS_EVERY     256

unsigned dpor_floor;
bool dpor_naive, dpor_time_passed;

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

/* The share of tried choices on the stack, assuming that all subtrees are alike. */
static double estimate(void)
{
	double done = 0, share = 1;

	for (unsigned d = 0; d < dpor_len && share > 1e-6; d++) {
		unsigned all =
			(unsigned)__builtin_popcount(dpor_nodes[d].backtrack | dpor_nodes[d].done);
		unsigned tried = (unsigned)__builtin_popcount(dpor_nodes[d].done);

		if (!all)
			continue;
		done += share * tried / all;
		share /= all;
	}
	return done;
}

static void start_search(struct explore *x)
{
	memset(&x->stats, 0, sizeof(x->stats));
	x->failure.kind = SIM_OK;
	dpor_len = dpor_floor = 0;
	dpor_naive = x->mode == EXPLORE_NAIVE;
	bounded_setup(x->preemptions);
	random_setup(x->seed);
}

/* Run and count one execution. */
static void run_one(struct explore *x)
{
	const struct strategy *s = &strategies[x->mode];

	s->begin();
	sim_run(s->pick, s->quiet);
	if (s->end)
		s->end();
	count(x);
	if (!sim_stopped && x->each)
		x->each(x->arg);
}

volatile sig_atomic_t explore_stop;

static bool over_budget(const struct explore *x)
{
	return x->budget && x->stats.executions + x->stats.blocked >= x->budget;
}

/* Should the search end even if choices are left? */
static bool gives_up(const struct explore *x)
{
	return (x->stats.failures && !x->keep_going) || over_budget(x) || explore_stop;
}

/* @all: nothing is left to try. */
static enum explore_end end_of(const struct explore *x, bool all)
{
	if (x->stats.failures)
		return EXPLORE_FAILED;
	if (explore_stop)
		return EXPLORE_STOPPED;
	return all ? EXPLORE_DONE : EXPLORE_BUDGET;
}

static void show_progress(struct explore *x, double start)
{
	x->stats.seconds = seconds() - start;
	if (x->progress)
		x->progress(x->arg, &x->stats, x->mode == EXPLORE_EXHAUSTIVE ? estimate() : 0);
}

enum explore_end explore_run(struct explore *x)
{
	double start = seconds();
	uint64_t runs = 0;
	bool all = true;

	start_search(x);
	do {
		run_one(x);
		all = !gives_up(x);
		if (!all)
			break;
		if (++runs % PROGRESS_EVERY == 0)
			show_progress(x, start);
	} while (strategies[x->mode].next());
	x->stats.seconds = seconds() - start;
	return end_of(x, all);
}

/* ---- several processes ---- */

static void add_stats(struct explore_stats *to, const struct explore_stats *from)
{
	to->executions += from->executions;
	to->blocked += from->blocked;
	to->steps += from->steps;
	to->failures += from->failures;
	if (from->max_depth > to->max_depth)
		to->max_depth = from->max_depth;
	if (from->tasks > to->tasks)
		to->tasks = from->tasks;
}

/* In a child: search everything below the given choice. */
static void child_search(struct explore *x, int pipe)
{
	memset(&x->stats, 0, sizeof(x->stats));
	do
		run_one(x);
	while (!gives_up(x) && dpor_next());
	jobs_report(pipe, x);
	_exit(0);
}

/* Merge a child's results. */
static void take_report(struct explore *x, const struct explore *from)
{
	add_stats(&x->stats, &from->stats);
	if (from->failure.kind != SIM_OK && x->failure.kind == SIM_OK) {
		x->failure = from->failure;
		memcpy(x->schedule, from->schedule, from->schedule_len);
		x->schedule_len = from->schedule_len;
	}
}

enum explore_end explore_run_jobs(struct explore *x, unsigned jobs)
{
	double start = seconds();
	bool all = true;
	uint64_t runs = 0;

	if (jobs < 2 || x->mode != EXPLORE_EXHAUSTIVE)
		return explore_run(x);
	start_search(x);
	jobs_begin(jobs - 1, x, child_search, take_report);
	do {
		run_one(x);
		if (++runs % JOBS_EVERY == 0)
			jobs_share();
		all = !gives_up(x);
		if (!all)
			break;
		if (runs % PROGRESS_EVERY == 0)
			show_progress(x, start);
	} while (jobs_next());
	jobs_end();
	x->stats.seconds = seconds() - start;
	/* The budget ended the children's searches, too, and left choices untried. */
	return end_of(x, all && !gives_up(x));
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

/* check/search/minimise.c - smaller schedules by trial: see minimise.h.
 *
 * A candidate is a wish: an order of tasks. It is followed as far as possible (a task that cannot
 * go on is skipped), and the resulting execution is the new schedule if it fails the same way and
 * is smaller.
 */
#include "search/minimise.h"

#include <ctype.h>

#include "plat/sim/strategy.h"

struct cost {
	unsigned preemptions, tasks, len, changes;
};

static struct schedule best;
static struct cost best_cost;
static struct sim_failure wanted;
static uint64_t runs_left;

/* ---- following a wish ---- */

static const uint8_t *wish;
static unsigned wish_len, wish_at;

static int wish_pick(uint32_t enabled)
{
	while (wish_at < wish_len) {
		unsigned t = wish[wish_at++];

		if (enabled & 1u << t)
			return (int)t;
	}
	if (sim_depth && enabled & 1u << sim_trace[sim_depth - 1].task)
		return sim_trace[sim_depth - 1].task;
	return __builtin_ctz(enabled);
}

static enum sim_finding follow(const uint8_t *tasks, unsigned len, uint32_t left_out)
{
	enum sim_finding found;

	wish = tasks;
	wish_len = len;
	wish_at = 0;
	sim_left_out = left_out;
	found = sim_run(wish_pick, NULL);
	sim_left_out = 0;
	return found;
}

/* ---- what counts as smaller ---- */

static bool same_words(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (isdigit((unsigned char)*a) || *a == '-')
			a++;
		while (isdigit((unsigned char)*b) || *b == '-')
			b++;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

bool same_finding(const struct sim_failure *a, const struct sim_failure *b)
{
	if (a->kind != b->kind)
		return false;
	/* Their words say who was where, which differs between schedules. */
	if (a->kind == SIM_DEADLOCK || a->kind == SIM_LIVELOCK || a->kind == SIM_RACE)
		return true;
	return same_words(a->text, b->text);
}

static struct cost cost_of_trace(void)
{
	struct cost c = { .preemptions = explore_preemptions(), .len = sim_depth };
	uint32_t tasks = 0;

	for (unsigned i = 0; i < sim_depth; i++) {
		tasks |= 1u << sim_trace[i].task;
		c.changes += i > 0 && sim_trace[i].task != sim_trace[i - 1].task;
	}
	c.tasks = (unsigned)__builtin_popcount(tasks);
	return c;
}

static bool smaller(const struct cost *a, const struct cost *b)
{
	if (a->preemptions != b->preemptions)
		return a->preemptions < b->preemptions;
	if (a->tasks != b->tasks)
		return a->tasks < b->tasks;
	if (a->len != b->len)
		return a->len < b->len;
	return a->changes < b->changes;
}

/* The execution that just ended: accept it if it is better. */
static bool take(uint32_t left_out)
{
	struct cost c;

	if (sim_stopped || !same_finding(&sim_failure, &wanted))
		return false;
	c = cost_of_trace();
	if (!smaller(&c, &best_cost))
		return false;
	best_cost = c;
	schedule_of_trace(&best);
	best.left_out = left_out;
	return true;
}

/* ---- runs of a task, moved or dropped ---- */

static unsigned run_length(const struct schedule *s, unsigned i)
{
	unsigned n = 1;

	while (i + n < s->len && s->task[i + n] == s->task[i])
		n++;
	return n;
}

static bool try_wish(const uint8_t *tasks, unsigned len)
{
	if (!runs_left)
		return false;
	runs_left--;
	follow(tasks, len, best.left_out);
	return take(best.left_out);
}

/* One change that helps, of the run at @at: drop it; or move it behind the next one; or behind the
 * one after that. */
static bool improve_run(unsigned at)
{
	static uint8_t tasks[SIM_DEPTH_MAX];
	unsigned n = run_length(&best, at), end = at + n;

	memcpy(tasks, best.task, at);
	memcpy(tasks + at, best.task + end, best.len - end);
	if (try_wish(tasks, best.len - n))
		return true;
	for (unsigned k = 0; k < 2 && end < best.len; k++) {
		unsigned to;

		end += run_length(&best, end);
		to = end - n;
		memcpy(tasks + at, best.task + at + n, to - at);
		memset(tasks + to, best.task[at], n);
		memcpy(tasks + end, best.task + end, best.len - end);
		if (try_wish(tasks, best.len))
			return true;
	}
	return false;
}

/* The task runs slightly shorter, or longer, before the next one has its turn. */
static bool shift_change(unsigned at)
{
	static uint8_t tasks[SIM_DEPTH_MAX];
	unsigned end = at + run_length(&best, at);

	if (end >= best.len)
		return false;
	memcpy(tasks, best.task, best.len);
	tasks[end - 1] = best.task[end];
	tasks[end] = best.task[end - 1];
	return try_wish(tasks, best.len);
}

static void improve(void)
{
	bool again;

	do {
		again = false;
		for (unsigned at = 0; at < best.len && !again; at += run_length(&best, at))
			again = improve_run(at) || shift_change(at);
	} while (again && runs_left);
}

/* ---- fewer preemptions ---- */

static void search_bounded(uint64_t budget)
{
	for (unsigned k = 0; k < best_cost.preemptions; k++) {
		uint64_t left = budget;

		bounded_setup(k);
		do {
			bounded_begin();
			sim_left_out = best.left_out;
			sim_run(bounded_pick, NULL);
			sim_left_out = 0;
			if (take(best.left_out))
				return;
		} while (--left && bounded_next());
	}
}

/* ---- fewer tasks ---- */

/* A run without preemptions, starting with each task in turn: does one of them end well? */
static bool some_run_is_well(uint32_t left_out)
{
	for (uint8_t t = 0; t < SIM_TASKS_MAX; t++) {
		uint8_t tasks[1] = { t };

		if (left_out & 1u << t)
			continue;
		if (follow(tasks, 1, left_out) == SIM_OK)
			return true;
		if (t >= sim_nr_tasks)
			break;
	}
	return false;
}

/* Without a task the rest may fail merely because its work is missing. So a set of tasks counts
 * only if it can also end well, as the full set can. */
static void leave_out_tasks(uint32_t declared)
{
	if (!some_run_is_well(0))
		return;
	for (uint32_t m = declared; m; m &= m - 1) {
		uint32_t out = best.left_out | (m & -m);

		if (out == declared || !some_run_is_well(out))
			continue;
		follow(best.task, best.len, out);
		take(out);
	}
}

bool minimise(struct schedule *s, const struct sim_failure *failure, uint64_t budget)
{
	uint32_t declared = 0, sum;
	struct cost cost;

	wanted = *failure;
	best = *s;
	schedule_run(&best);
	if (!same_finding(&sim_failure, &wanted))
		return false;
	best_cost = cost_of_trace();
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		declared |= (uint32_t)(sim_tasks[t].parent < 0) << t;
	if (wanted.kind != SIM_LIVELOCK) { /* a livelock has no end to be nearer to */
		runs_left = budget;
		leave_out_tasks(declared);
		improve();
		search_bounded(budget);
		runs_left = budget;
		improve();
	}
	*s = best;
	schedule_run(s);
	join_runs(s);
	schedule_run(s);
	cost = cost_of_trace();
	if (!same_finding(&sim_failure, &wanted) || smaller(&best_cost, &cost)) {
		*s = best; /* the move affects plain accesses, or leaves tasks able to run */
		schedule_run(s);
	}
	sum = trace_sum();
	schedule_run(s);
	return trace_sum() == sum && same_finding(&sim_failure, &wanted);
}

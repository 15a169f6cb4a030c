/* check/draw/report_bug.c - where in a failing schedule the named bug is: a row of its own, because
 * an omission is no operation.
 *
 * The engine may pass bug_on() several times without harm before it does harm. So the schedule is
 * rerun with the engine correct at one of these times and wrong at all others: if the failure goes
 * away, that one is shown. Where none is needed (either of two suffices, an endless loop) those are
 * shown that are adjacent to something that matters.
 *
 * The set-up may already have gone wrong. It has no column: it is named above the drawing.
 */
#include <stdlib.h>

#include "search/minimise.h"
#include "draw/report.h"

#define TRIES_MAX 400

static struct met {
	int task;        /* -1: the set-up */
	unsigned before; /* the operation that follows it */
	void *pc;
	bool needed;
} * met;
static unsigned nr_met, met_room, nr_setup;
static unsigned count, spared; /* in this run; the pass that is correct, UINT_MAX: none */
static bool recording;

/* ---- finding ---- */

static void note(void *pc)
{
	if (nr_met == met_room) {
		met_room = met_room ? 2 * met_room : 64;
		met = realloc(met, met_room * sizeof(*met));
		if (!met)
			abort();
	}
	met[nr_met++] = (struct met){ .task = sim_current, .before = sim_depth, .pc = pc };
}

static bool met_bug(void *pc)
{
	if (sim_current < 0 && sim_running)
		return true; /* recorded for the looks at the end */
	if (recording)
		note(pc);
	return count++ != spared;
}

static void set_up(const struct scenario *scenario, const struct bug *bug, unsigned spare)
{
	count = 0;
	spared = spare;
	scenario_load(scenario, bug);
}

/* Is the misbehaviour at @i needed for the failure? */
static bool is_needed(unsigned i, const struct scenario *scenario, const struct bug *bug,
		      const struct schedule *s, const struct schedule_trace *as,
		      const struct sim_failure *wanted)
{
	if (i < nr_setup)
		set_up(scenario, bug, i);
	spared = i;
	for (int more = 0; more < 2; more++) {
		count = nr_setup;
		schedule_follow(s, as, more);
		if (same_finding(&sim_failure, wanted))
			return false;
	}
	return true;
}

void bug_find_places(const struct scenario *scenario, const struct bug *bug,
		     const struct schedule *s)
{
	static struct schedule_trace as;
	struct sim_failure wanted;

	nr_met = 0;
	if (!bug)
		return;
	sim_on_bug = met_bug;
	recording = true;
	set_up(scenario, bug, UINT32_MAX);
	nr_setup = nr_met;
	schedule_run(s);
	recording = false;
	wanted = sim_failure;
	schedule_keep_trace(&as);
	for (unsigned i = nr_setup; i < nr_met && i < TRIES_MAX && wanted.kind != SIM_LIVELOCK; i++)
		met[i].needed = is_needed(i, scenario, bug, s, &as, &wanted);
	for (unsigned i = 0; i < nr_setup && i < TRIES_MAX; i++)
		met[i].needed = is_needed(i, scenario, bug, s, &as, &wanted);
	set_up(scenario, bug, UINT32_MAX);
	sim_on_bug = NULL;
}

/* ---- showing ---- */

/* The next operation of its task; nr_ops: none. */
static unsigned op_after(const struct report *r, const struct met *m)
{
	unsigned i = m->before;

	while (i < r->nr_ops && r->rows[i].task != m->task)
		i++;
	return i < r->nr_ops ? i : r->nr_ops;
}

#define AFTER 3 /* operations of the task: a bug shows in what follows it */

static bool is_near(const struct report *r, const struct met *m)
{
	unsigned left = AFTER;

	if (m->before && m->before <= r->nr_ops && r->rows[m->before - 1].task == m->task &&
	    r->rows[m->before - 1].matters)
		return true;
	for (unsigned i = m->before; i < r->nr_ops && left; i++) {
		if (r->rows[i].task != m->task)
			continue;
		if (r->rows[i].matters)
			return true;
		left--;
	}
	return false;
}

/* Show it, and what it bases its decision on. */
static void show(struct report *r, const struct met *m)
{
	struct report_bug_place *place = &r->bug_at[r->nr_bug_at];
	struct source_line at = { NULL, NULL, 0 };
	unsigned next = op_after(r, m);

	symbols_at(m->pc, &at, 1);
	if (m->task < 0) {
		r->bug_in_setup = at;
		return;
	}
	if (r->nr_bug_at == REPORT_BUG_PLACES)
		return;
	*place = (struct report_bug_place){ m->task, m->before, at };
	r->nr_bug_at++;
	if (next < r->nr_ops)
		report_place(&r->rows[next]);
	if (next < r->nr_ops && r->rows[next].at.func && place->at.func &&
	    strcmp(r->rows[next].at.func, place->at.func) == 0)
		r->rows[next].matters = true;
}

/* Those adjacent to something that matters; else the last one. */
static void show_likely(struct report *r)
{
	const struct met *last = NULL;

	for (unsigned i = r->failure.kind == SIM_LIVELOCK && nr_met > 2 ? nr_met - 2 : nr_setup;
	     i < nr_met; i++) {
		if (last && last->task == met[i].task && last->before == met[i].before)
			continue;
		last = &met[i];
		if (is_near(r, last))
			show(r, last);
	}
	if (last && !r->nr_bug_at)
		show(r, last);
}

void bug_mark_rows(struct report *r)
{
	bool any = false;

	for (unsigned i = 0; i < nr_met; i++) {
		if (!met[i].needed)
			continue;
		show(r, &met[i]);
		any = true;
	}
	if (!any)
		show_likely(r);
}

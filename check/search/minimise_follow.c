/* check/search/minimise_follow.c - a schedule for a program that is not quite the one it was found in.
 *
 * Tasks take turns where they took them then, by what they were about to do, not by how many operations they had
 * done. An operation that was not there then is done at once; one that is there no more is passed over. Which of the
 * two it is cannot be seen from one operation: the caller says what to take it for first.
 */
#include "search/minimise.h"

#define AHEAD 40   /* operations of a task that may be missing, or more */

static const struct schedule_trace *as;
static unsigned at, more;
static bool has_more;

void schedule_keep_trace(struct schedule_trace *to)
{
	memcpy(to->event, sim_trace, sim_depth * sizeof(sim_trace[0]));
	to->len = sim_depth;
}

static bool is_same(const struct sim_op *a, const struct sim_op *b)
{
	return a->kind == b->kind && a->obj == b->obj && a->mask == b->mask && a->at == b->at;
}

/* Of the operations that its task did at @at and next: the one that it is about to do; -1: none of them. */
static int expected(unsigned t)
{
	for (unsigned i = at, n = 0; i < as->len && n < AHEAD; i++) {
		if (as->event[i].task != (int)t)
			continue;
		if (is_same(&as->event[i].op, &sim_tasks[t].next))
			return (int)i;
		n++;
	}
	return -1;
}

static int follow_pick(uint32_t enabled)
{
	while (at < as->len) {
		unsigned t = (unsigned)as->event[at].task;
		int same = t < sim_nr_tasks && sim_tasks[t].alive ? expected(t) : (int)as->len;

		if (same == (int)at)
			more = 0;
		else if (same >= 0 && has_more && more < AHEAD && same < (int)as->len)
			same = -1;
		if (same <= (int)at && enabled & 1u << t) {
			at += same == (int)at;
			more += same < 0;
			return (int)t;
		}
		at++; /* it comes to that later, or cannot go on, or has ended */
	}
	if (sim_depth && enabled & 1u << sim_trace[sim_depth - 1].task)
		return sim_trace[sim_depth - 1].task;
	return __builtin_ctz(enabled);
}

void schedule_follow(const struct schedule *s, const struct schedule_trace *trace, bool does_more)
{
	as = trace;
	at = more = 0;
	has_more = does_more;
	sim_left_out = s->left_out;
	sim_run(follow_pick, NULL);
	sim_left_out = 0;
}

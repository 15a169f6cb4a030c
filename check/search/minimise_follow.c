/* check/search/minimise_follow.c - follows a schedule in a program that differs slightly from the
 * one it was found in.
 *
 * Tasks switch where they switched originally, judged by the operation they were about to do, not
 * by their number of operations. A new operation is done at once; a missing one is skipped. A
 * single operation does not tell which of the two it is: the caller says what to assume first.
 */
#include "search/minimise.h"

#define AHEAD 40 /* maximum missing or additional operations of a task */

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

/* Of the operations that its task did at @at and after: the one that it is about to do; -1: none of
 * them. */
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
		at++; /* it gets there later, cannot go on, or has ended */
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

/* check/search/minimise_order.c - reorders the same operations so that tasks switch as rarely as
 * possible.
 *
 * Independent operations may change places. Dependence is given by the explorer's table
 * (op_dependent), the order within a task, and the birth of tasks. Among all orders that respect
 * these, a task runs as long as it can; then comes the one that can run longest.
 */
#include <stdlib.h>

#include "search/minimise.h"

static bool placed[SIM_DEPTH_MAX];

/* Must event @i come before event @j > @i? */
static bool before(unsigned i, unsigned j)
{
	const struct sim_event *a = &sim_trace[i], *b = &sim_trace[j];

	return a->task == b->task || sim_tasks[b->task].parent == a->task ||
	       op_dependent(&a->op, &b->op) ||
	       (a->op.kind == OP_RCU_LOCK && b->op.kind == OP_GP_END) || b->op.kind == OP_SLEEP ||
	       a->op.kind == OP_SLEEP;
}

/* The next operation of @task, at @from or later, if all that must precede it is placed; else
 * -1. */
static int ready(int task, unsigned from)
{
	for (unsigned j = from; j < sim_depth; j++) {
		if (placed[j] || sim_trace[j].task != task)
			continue;
		for (unsigned i = 0; i < j; i++)
			if (!placed[i] && before(i, j))
				return -1;
		return (int)j;
	}
	return -1;
}

/* How many operations @task could do now in a row. */
static unsigned how_far(int task)
{
	static unsigned taken[SIM_DEPTH_MAX];
	unsigned n = 0, from = 0;
	int j;

	while ((j = ready(task, from)) >= 0) {
		placed[j] = true;
		taken[n++] = (unsigned)j;
		from = (unsigned)j;
	}
	for (unsigned i = 0; i < n; i++)
		placed[taken[i]] = false;
	return n;
}

void join_runs(struct schedule *s)
{
	unsigned n = 0;
	int task = -1;

	if (sim_depth > 2000)
		return; /* nobody reads a drawing of that size; the cost is cubic */
	memset(placed, 0, sizeof(placed));
	while (n < sim_depth) {
		int j = task >= 0 ? ready(task, 0) : -1;

		if (j < 0) {
			unsigned best = 0;

			for (unsigned t = 0; t < sim_nr_tasks; t++) {
				unsigned far = how_far((int)t);

				if (far > best) {
					best = far;
					task = (int)t;
				}
			}
			j = ready(task, 0);
		}
		placed[j] = true;
		s->task[n++] = (uint8_t)task;
	}
}

/* plat/sim/dpor.c - the exhaustive strategy. The terms: explore.h.
 *
 * The stack of nodes is the schedule of the current execution: node d is the state before its
 * operation d. An execution repeats the stack's choices, runs to the end, and on the way finds
 * races: an earlier operation of another task that the next operation depends on, with nothing in
 * between that orders them. To explore the other order, a task is added to the choices of the
 * earlier node, unless one that leads there is already among them (source sets) or is known to be
 * unnecessary (sleep sets).
 *
 * The value that an object had then decides whether an operation could have been done before an
 * earlier one. That value is the same in every schedule of the class only if the earlier operation
 * is ordered with all others on the object; among several additions it is not, and the race counts
 * as reversible.
 *
 * Store buffers (tso.h) add two orders that no schedule reverses: a drain comes behind its OP_PUT,
 * and an operation that needs an empty buffer behind the drains.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plat/sim/dpor.h"
#include "plat/sim/tso.h"

struct dpor_node *dpor_nodes;
unsigned dpor_len;

static sim_clock clocks[SIM_TASKS_MAX];
static unsigned known_tasks;
static int last_task;

static bool happens_before(unsigned i, const sim_clock *c)
{
	return dpor_nodes[i].seq <= c->c[sim_trace[i].task];
}

/* ---- symmetry ---- */

/* Identical tasks that have done nothing yet are equivalent: the first represents all. */
static uint32_t untouched_twins(const struct dpor_node *n, unsigned t)
{
	uint32_t mask = 0;

	if (!sim_tasks[t].group || n->begun & 1u << t)
		return 1u << t;
	for (unsigned i = 0; i < n->nr_tasks; i++)
		if (sim_tasks[i].group == sim_tasks[t].group && !(n->begun & 1u << i))
			mask |= 1u << i;
	return mask;
}

static uint32_t with_twins(const struct dpor_node *n, uint32_t tasks)
{
	uint32_t all = tasks;

	for (uint32_t m = tasks; m; m &= m - 1)
		all |= untouched_twins(n, (unsigned)__builtin_ctz(m));
	return all;
}

static unsigned first_twin(const struct dpor_node *n, unsigned t)
{
	return (unsigned)__builtin_ctz(untouched_twins(n, t));
}

/* ---- races ---- */

/* Is event @i the only addition among its object's latest unordered events? */
static bool alone_at(int i, const struct sim_op *op)
{
	for (int k = sim_object(op->obj)->last; k >= 0; k = dpor_nodes[k].prev) {
		if (k == i || op_class(&sim_trace[k].op) == CLASS_READ)
			continue;
		if (op_class(&sim_trace[k].op) != CLASS_ADD)
			return k < i;
		return false;
	}
	return true;
}

/* Could @op of task @p, which comes later than event @i, have been enabled before it? */
static bool reversible(unsigned i, unsigned p, const struct sim_op *op)
{
	const struct sim_op *e = &sim_trace[i].op;

	if (!op_may_block(op) || sim_tasks[p].timed_out)
		return true;
	if (op->kind == OP_GP_END)
		return false; /* in every schedule it comes after the sections it waits for */
	if (e->kind == OP_RDUNLOCK)
		return false; /* it is read-locked until then */
	if (op_class(e) == CLASS_ADD && !alone_at((int)i, op))
		return true;
	return op_enabled_at(op, sim_trace[i].before);
}

/* Its task's store buffer may have had another value than memory at event @i: reversible() does not
 * know. */
static bool perhaps_enabled(unsigned p, const struct sim_op *op)
{
	return op->kind == OP_AWAIT && !op->drains && tso_buffer((int)p) >= 0;
}

/* Join what comes before task @p's next operation by the order of its store buffer. False: it has
 * to wait for drains that were not yet done. */
static bool after_buffer(unsigned p, const struct sim_op *op)
{
	int buffer = tso_buffer((int)p);

	if (op->drain)
		clock_join(&clocks[p], &dpor_nodes[tso_put_event((int)p)].clock);
	if (!op->drains || buffer < 0)
		return true;
	clock_join(&clocks[p], &clocks[buffer]);
	return !tso_pending((int)p);
}

/* Add to node @e's choices a task that leads to task @p's @op before event @e. */
static void reverse(unsigned e, unsigned p, const struct sim_op *op)
{
	struct dpor_node *n = &dpor_nodes[e];
	unsigned first[SIM_TASKS_MAX], et = (unsigned)sim_trace[e].task;
	uint32_t seen = 0, initials = 0, choices;
	sim_clock pc = clocks[p];

	for (unsigned j = e + 1; j < sim_depth; j++) {
		unsigned q = (unsigned)sim_trace[j].task;
		const sim_clock *c = &dpor_nodes[j].clock;
		bool initial = true;

		if (c->c[et] >= n->seq)
			continue; /* comes after e in every schedule of the class */
		if (!(seen & 1u << q)) {
			for (uint32_t m = seen; m && initial; m &= m - 1)
				initial = c->c[__builtin_ctz(m)] < first[__builtin_ctz(m)];
			if (initial)
				initials |= 1u << q;
			seen |= 1u << q;
			first[q] = dpor_nodes[j].seq;
		}
		if (op_dependent(&sim_trace[j].op, op))
			clock_join(&pc, c);
	}
	if (!(seen & 1u << p)) {
		bool initial = true;

		for (uint32_t m = seen; m && initial; m &= m - 1)
			initial = pc.c[__builtin_ctz(m)] < first[__builtin_ctz(m)];
		if (initial)
			initials |= 1u << p;
	}
	initials &= n->nr_tasks >= 32 ? UINT32_MAX : (1u << n->nr_tasks) - 1;
	if (with_twins(n, initials) & (n->backtrack | n->sleep | n->done))
		return;
	choices = initials & n->enabled;
	if (!choices)
		n->backtrack |= n->enabled;
	else
		n->backtrack |=
			1u << first_twin(n,
					 choices & 1u << p ? p : (unsigned)__builtin_ctz(choices));
}

/* Find all races of task @p's next operation @op with earlier operations. */
static void find_races(unsigned p, const struct sim_op *op)
{
	static unsigned found[SIM_DEPTH_MAX];
	unsigned nr = 0;

	if (op_class(op) == CLASS_NONE || !op->mask)
		return;
	for (int i = sim_object(op->obj)->last; i >= 0; i = dpor_nodes[i].prev) {
		const struct sim_op *e = &sim_trace[i].op;
		bool covered = false;

		if (!op_dependent(e, op))
			continue;
		if ((unsigned)sim_trace[i].task == p) {
			if (op_covers(e, op))
				break;
			continue;
		}
		if (happens_before((unsigned)i, &clocks[p]))
			continue;
		if (!reversible((unsigned)i, p, op)) {
			if (perhaps_enabled(p, op))
				reverse((unsigned)i, p, op);
			continue;
		}
		for (unsigned k = 0; k < nr && !covered; k++)
			covered = happens_before((unsigned)i, &dpor_nodes[found[k]].clock);
		if (covered)
			continue;
		found[nr++] = (unsigned)i;
		reverse((unsigned)i, p, op);
		if (op_covers(e, op))
			break;
	}
}

static void pending_races(void)
{
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].alive && after_buffer(t, &sim_tasks[t].next))
			find_races(t, &sim_tasks[t].next);
}

/* ---- the schedule ---- */

/* The clock of task @p's next operation; it becomes event sim_depth. */
static void stamp(unsigned p, const struct sim_op *op)
{
	struct dpor_node *n = &dpor_nodes[sim_depth];
	struct sim_object *o;

	n->clock = clocks[p];
	n->prev = -1;
	if (op_class(op) != CLASS_NONE && op->mask) {
		o = sim_object(op->obj);
		for (int i = o->last; i >= 0; i = dpor_nodes[i].prev) {
			if (!op_dependent(&sim_trace[i].op, op))
				continue;
			clock_join(&n->clock, &dpor_nodes[i].clock);
			if (op_covers(&sim_trace[i].op, op))
				break;
		}
		n->prev = o->last;
		o->last = (int32_t)sim_depth;
	}
	n->seq = ++n->clock.c[p];
	clocks[p] = n->clock;
}

static void meet_new_tasks(void)
{
	for (; known_tasks < sim_nr_tasks; known_tasks++) {
		int parent = sim_tasks[known_tasks].parent;

		if (parent >= 0)
			clocks[known_tasks] = clocks[parent];
		else
			memset(&clocks[known_tasks], 0, sizeof(clocks[0]));
		clocks[known_tasks].c[known_tasks] = 0;
	}
}

/* Tasks of the parent's sleep and done sets whose next operation does not depend on its event. */
static uint32_t sleep_of(unsigned d)
{
	const struct dpor_node *up = &dpor_nodes[d - 1];
	uint32_t m = (up->sleep | up->done) & ~(1u << up->chosen), sleep = 0;

	if (dpor_time_passed)
		return 0;
	for (; m; m &= m - 1) {
		unsigned t = (unsigned)__builtin_ctz(m);

		if (!op_dependent(&up->next[t], &sim_trace[d - 1].op))
			sleep |= 1u << t;
	}
	return sleep;
}

static int choose(uint32_t can)
{
	int own = last_task < 0 ? -1 : tso_owner(last_task);

	if (own < 0)
		own = last_task;
	if (own >= 0 && can & 1u << own)
		return own;
	if (own >= 0 && tso_buffer(own) >= 0 && can & 1u << tso_buffer(own))
		return tso_buffer(own);
	return __builtin_ctz(can);
}

static bool new_node(unsigned d, uint32_t enabled)
{
	struct dpor_node *n = &dpor_nodes[d];
	uint32_t can;

	n->enabled = enabled;
	n->done = 0;
	n->given_away = 0;
	n->nr_tasks = sim_nr_tasks;
	n->begun = 0;
	for (unsigned t = 0; t < sim_nr_tasks; t++) {
		n->next[t] = sim_tasks[t].next;
		if (sim_tasks[t].ops_done)
			n->begun |= 1u << t;
	}
	n->sleep = dpor_naive || d == 0 ? 0 : sleep_of(d);
	can = enabled & ~with_twins(n, n->sleep);
	if (!can)
		return false;
	n->chosen = (uint8_t)choose(can);
	n->backtrack = dpor_naive ? enabled : 1u << n->chosen;
	dpor_len = d + 1;
	return true;
}

static void same_operation(const struct sim_op *a, const struct sim_op *b)
{
	if (a->kind == b->kind && a->obj == b->obj && a->mask == b->mask && a->at == b->at)
		return;
	fprintf(stderr,
		"umemcg check: the program is not deterministic: operation %u was %s %s, now it is "
		"%s %s\n",
		sim_depth, op_name(a->kind), a->at ? a->at->expr : "", op_name(b->kind),
		b->at ? b->at->expr : "");
	abort();
}

int dpor_pick(uint32_t enabled)
{
	unsigned d = sim_depth, p;

	meet_new_tasks();
	if (d >= dpor_len && !new_node(d, enabled))
		return -1;
	p = dpor_nodes[d].chosen;
	dpor_time_passed = false;
	same_operation(&dpor_nodes[d].next[p], &sim_tasks[p].next);
	if (d + 1 < dpor_len) { /* as before */
		if (op_class(&sim_tasks[p].next) != CLASS_NONE && sim_tasks[p].next.mask)
			sim_object(sim_tasks[p].next.obj)->last = (int32_t)d;
		clocks[p] = dpor_nodes[d].clock;
	} else {
		after_buffer(p, &sim_tasks[p].next);
		if (!dpor_naive)
			find_races(p, &sim_tasks[p].next);
		stamp(p, &sim_tasks[p].next);
	}
	last_task = (int)p;
	return (int)p;
}

/* No task can continue: blocked operations race, too. If time passes now, it orders everything
 * after it behind everything before. */
void dpor_quiet(void)
{
	meet_new_tasks();
	if (!dpor_naive)
		pending_races();
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		for (unsigned k = 0; k < sim_nr_tasks; k++)
			clock_join(&clocks[t], &clocks[k]);
	dpor_time_passed = true;
}

void dpor_begin(void)
{
	if (!dpor_nodes)
		dpor_nodes = calloc(SIM_DEPTH_MAX + 1, sizeof(*dpor_nodes));
	if (!dpor_nodes)
		abort();
	known_tasks = 0;
	last_task = -1;
	dpor_time_passed = false;
}

/* The execution is over: the pending operations of unfinished tasks race, too. */
void dpor_end(void)
{
	meet_new_tasks();
	if (!dpor_naive)
		pending_races();
}

uint32_t dpor_choices(unsigned d)
{
	const struct dpor_node *n = &dpor_nodes[d];
	uint32_t can = n->backtrack & ~n->done;

	if (!dpor_naive)
		can &= ~with_twins(n, n->sleep) & ~(with_twins(n, n->done) & ~n->done);
	return can;
}

bool dpor_next(void)
{
	for (; dpor_len > dpor_floor; dpor_len--) {
		struct dpor_node *n = &dpor_nodes[dpor_len - 1];
		uint32_t can;

		n->done |= 1u << n->chosen;
		can = dpor_choices(dpor_len - 1);
		if (can) {
			n->chosen = (uint8_t)__builtin_ctz(can);
			return true;
		}
		if (n->given_away)
			return false; /* other processes may add choices here from below: jobs.c
					 waits for them */
	}
	return false;
}

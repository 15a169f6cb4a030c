/* check/report.c - run a schedule once more and write down who did what, in which function.
 *
 * Nothing is lost that matters: operations that no other task's depends on are folded into a line that counts
 * them, unless all are asked for. The last operation before a failure, and what each task waits for at a deadlock,
 * always have a row.
 */
#include "report.h"

#include <stdlib.h>

/* ---- while it runs ---- */

struct recorded {
	void *pc[SIM_CALLS_MAX];     /* outermost first */
	unsigned nr;
};
static struct recorded *recorded;

static void record(int task)
{
	struct recorded *r = &recorded[sim_depth];
	const struct sim_task *t = &sim_tasks[task];

	r->nr = t->nr_calls < SIM_CALLS_MAX ? t->nr_calls : SIM_CALLS_MAX;
	memcpy(r->pc, t->calls, r->nr * sizeof(r->pc[0]));
}

/* ---- places ---- */

static bool is_header(const char *file)
{
	size_t n = file ? strlen(file) : 0;

	return n > 2 && strcmp(file + n - 2, ".h") == 0;
}

/* The functions from @pc outwards, through the calls @pcs (outermost first). Accessors in headers are left out: who
 * reads wants to know who asked. */
static unsigned stack_of(const void *pc, void *const *pcs, unsigned nr_pcs, struct source_line *out, unsigned max)
{
	struct source_line lines[REPORT_STACK_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i <= nr_pcs; i++) {
		unsigned got = symbols_at(i ? pcs[nr_pcs - i] : pc, lines, REPORT_STACK_MAX);

		for (unsigned k = 0; k < got && n < max; k++)
			if (!is_header(lines[k].file))
				out[n++] = lines[k];
	}
	return n;
}

static struct source_line place_of(const struct sim_op *op, const struct source_line *stack, unsigned nr)
{
	if (nr)
		return stack[0];
	if (op->at)
		return (struct source_line){ op->at->func, source_name(op->at->file), op->at->line };
	return (struct source_line){ NULL, NULL, 0 };
}

/* ---- rows ---- */

static void make_row(struct report_row *row, int task, const struct sim_op *op, const struct recorded *calls)
{
	row->task = task;
	row->op = *op;
	row->nr_stack = stack_of(op->pc, calls->pc, calls->nr, row->stack, REPORT_STACK_MAX);
	row->at = place_of(op, row->stack, row->nr_stack);
}

static void make_rows(struct report *r)
{
	for (unsigned i = 0; i < r->nr_ops; i++) {
		struct report_row *row = &r->rows[r->nr_rows++];

		make_row(row, sim_trace[i].task, &sim_trace[i].op, &recorded[i]);
		row->before = sim_trace[i].before;
		row->after = sim_trace[i].after;
		words_of(row);
	}
}

/* A deadlock: what each task waits for is a row of its own. */
static void make_waiting_rows(struct report *r)
{
	for (unsigned t = 0; t < sim_nr_tasks && r->failure.kind == SIM_DEADLOCK && r->failure.task < 0; t++) {
		struct report_row *row = &r->rows[r->nr_rows];

		if (!sim_tasks[t].alive)
			continue;
		record((int)t);
		make_row(row, (int)t, &sim_tasks[t].next, &recorded[sim_depth]);
		row->before = row->after = op_value(&row->op);
		words_of(row);
		row->note = "FOR EVER";
		row->shared = true;
		r->nr_rows++;
	}
}

static void find_shared(struct report *r)
{
	for (unsigned i = 0; i < r->nr_rows; i++)
		for (unsigned k = i + 1; k < r->nr_rows; k++)
			if (r->rows[i].task != r->rows[k].task && op_dependent(&r->rows[i].op, &r->rows[k].op))
				r->rows[i].shared = r->rows[k].shared = true;
	for (unsigned t = 0; t < r->nr_tasks; t++)
		for (unsigned i = r->nr_rows; i-- > 0;)
			if (r->rows[i].task == (int)t) {
				r->rows[i].shared |= r->failure.task == (int)t;
				break;
			}
}

/* Two or more in a row that nobody else sees become one. */
static void fold(struct report *r)
{
	unsigned to = 0, n;

	for (unsigned i = 0; i < r->nr_rows; i += n) {
		for (n = 0; i + n < r->nr_rows && !r->rows[i + n].shared && r->rows[i + n].task == r->rows[i].task; n++)
			;
		if (n < 2) {
			n = 1;
			r->rows[to++] = r->rows[i];
			continue;
		}
		r->rows[to] = (struct report_row){ .task = r->rows[i].task, .folded = n };
		snprintf(r->rows[to].text, sizeof(r->rows[to].text), "... %u steps", n);
		to++;
	}
	r->nr_rows = to;
}

static void find_heads(struct report *r)
{
	const char *func[SIM_TASKS_MAX] = { NULL };

	for (unsigned i = 0; i < r->nr_rows; i++) {
		struct report_row *row = &r->rows[i];

		if (row->folded || !row->at.func)
			continue;
		row->head = !func[row->task] || strcmp(func[row->task], row->at.func) != 0;
		func[row->task] = row->at.func;
	}
}

/* ---- the failing line ---- */

static void hold(struct report *r, int task)
{
	const struct sim_task *t = &sim_tasks[task];
	unsigned nr = t->nr_held;

	/* It counts as held from the moment it is asked for. */
	if (nr && t->alive && r->failure.task != task && (t->next.kind == OP_LOCK || t->next.kind == OP_RDLOCK) &&
	    arena_object(t->held[nr - 1].lock) == t->next.obj)
		nr--;
	for (unsigned i = 0; i < nr && r->nr_held < 64; i++) {
		struct report_held *h = &r->held[r->nr_held++];

		h->task = task;
		words_address(t->held[i].lock, t->held[i].at->expr, h->text, sizeof(h->text));
		h->at = (struct source_line){ t->held[i].at->func, source_name(t->held[i].at->file), t->held[i].at->line };
	}
	if (t->rcu_nesting && r->nr_held < 64) {
		struct report_held *h = &r->held[r->nr_held++];

		*h = (struct report_held){ .task = task };
		snprintf(h->text, sizeof(h->text), "an RCU read section");
	}
}

static void find_place(struct report *r)
{
	struct source_line other[REPORT_STACK_MAX];
	const struct sim_failure *f = &r->failure;
	const struct report_row *last = r->nr_ops ? &r->rows[r->nr_ops - 1] : NULL;

	if (f->task >= 0) {
		record(f->task);
		r->nr_found_stack = stack_of(f->pc, recorded[sim_depth].pc, recorded[sim_depth].nr, r->found_stack,
					     REPORT_STACK_MAX);
	}
	if (f->pc && r->nr_found_stack)
		r->found_at = r->found_stack[0];
	else if (f->file && f->task >= 0 && last && last->task == f->task && last->op.at && last->op.at->line == f->line)
		r->found_at = last->at; /* an accessor's own line would say less */
	else if (f->file)
		r->found_at = (struct source_line){ NULL, source_name(f->file), f->line };
	if (f->other_pc && stack_of(f->other_pc, NULL, 0, other, REPORT_STACK_MAX))
		r->other_at = other[0];
}

/* ---- all of it ---- */

struct report *report_make(const struct scenario *scenario, const struct bug *bug, const struct schedule *s, bool full)
{
	struct report *r = calloc(1, sizeof(*r));

	recorded = calloc(SIM_DEPTH_MAX + 1, sizeof(*recorded));
	if (!r || !recorded)
		abort();
	words_begin();
	sim_on_event = record;
	schedule_run(s);
	sim_on_event = NULL;
	r->scenario = scenario;
	r->bug = bug;
	r->failure = sim_failure;
	if (bug && strncmp(sim_failure.text, bug->invariant, strlen(bug->invariant)) != 0)
		r->unexpected = bug->invariant;
	r->preemptions = explore_preemptions();
	r->nr_ops = sim_depth;
	r->nr_tasks = sim_nr_tasks;
	replay_print(r->replay, sizeof(r->replay), scenario, bug, s->left_out);
	r->rows = calloc(r->nr_ops + SIM_TASKS_MAX, sizeof(*r->rows));
	if (!r->rows)
		abort();
	for (unsigned t = 0; t < r->nr_tasks; t++)
		r->task[t] = sim_tasks[t].name;
	make_rows(r);
	find_place(r);
	make_waiting_rows(r);
	for (unsigned t = 0; t < r->nr_tasks; t++)
		if (sim_tasks[t].alive || r->failure.task == (int)t)
			hold(r, (int)t);
	find_shared(r);
	if (!full)
		fold(r);
	for (unsigned i = 0; i < r->nr_rows; i++)
		r->drawn[r->rows[i].task] = true;
	find_heads(r);
	free(recorded);
	recorded = NULL;
	return r;
}

void report_free(struct report *r)
{
	if (r)
		free(r->rows);
	free(r);
}

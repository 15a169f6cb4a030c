/* check/draw/report.c - reruns a schedule and records who did what, in which function.
 *
 * Rows are for the operations that the failure depends on (minimise_slice.c), for other changes of
 * the same objects, for the last operation before a failure, for what each task waits for at a
 * deadlock, and for what the finding is about (report_subject.c). All others are folded into lines
 * that count them, unless all are requested.
 */
#include "draw/report.h"

#include <stdlib.h>

#include "search/minimise.h"

/* ---- recording ---- */

struct recorded {
	void *pc[SIM_CALLS_MAX]; /* outermost first */
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

static bool is_machine(const char *file)
{
	return file && strncmp(file, "src/plat/sim/", 13) == 0;
}

/* The functions from @pc outwards, through the calls @pcs (outermost first). Accessors in headers
 * are left out, because the reader wants their caller. So is the machine itself. */
static unsigned stack_of(const void *pc, void *const *pcs, unsigned nr_pcs, struct source_line *out,
			 unsigned max)
{
	struct source_line lines[REPORT_STACK_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i <= nr_pcs; i++) {
		unsigned got = symbols_at(i ? pcs[nr_pcs - i] : pc, lines, REPORT_STACK_MAX);

		for (unsigned k = 0; k < got && n < max; k++)
			if (!is_header(lines[k].file) && !is_machine(lines[k].file) &&
			    !(n && strcmp(out[n - 1].func, lines[k].func) ==
					   0)) /* the compiler split it in two */
				out[n++] = lines[k];
	}
	return n;
}

static struct source_line place_of(const struct sim_op *op, const struct source_line *stack,
				   unsigned nr)
{
	if (nr)
		return stack[0];
	if (op->at && !is_machine(source_name(op->at->file)))
		return (struct source_line){ op->at->func, source_name(op->at->file),
					     op->at->line };
	return (struct source_line){ NULL, NULL, 0 };
}

/* ---- rows ---- */

static void place_row(struct report_row *row, const struct recorded *calls)
{
	row->nr_stack = stack_of(row->op.pc, calls->pc, calls->nr, row->stack, REPORT_STACK_MAX);
	row->at = place_of(&row->op, row->stack, row->nr_stack);
	row->placed = true;
}

/* Debug information is slow to search: not for rows that nobody sees. */
void report_place(struct report_row *row)
{
	if (!row->placed && !row->folded && !row->no_step)
		place_row(row, &recorded[row->step]);
}

static void make_rows(struct report *r)
{
	for (unsigned i = 0; i < r->nr_ops; i++) {
		struct report_row *row = &r->rows[r->nr_rows++];

		row->step = i;
		row->task = sim_trace[i].task;
		row->op = sim_trace[i].op;
		row->before = sim_trace[i].before;
		row->after = sim_trace[i].after;
		words_of(row);
	}
}

/* A deadlock: what each task waits for gets its own row. */
static void make_waiting_rows(struct report *r)
{
	for (unsigned t = 0;
	     t < sim_nr_tasks && r->failure.kind == SIM_DEADLOCK && r->failure.task < 0; t++) {
		struct report_row *row = &r->rows[r->nr_rows];

		if (!sim_tasks[t].alive)
			continue;
		row->step = r->nr_rows;
		record((int)t);
		row->task = (int)t;
		row->op = sim_tasks[t].next;
		place_row(row, &recorded[sim_depth]);
		row->before = row->after = op_value(&row->op);
		words_of(row);
		row->note = "FOR EVER";
		row->matters = true;
		r->nr_rows++;
	}
}

/* Does another task's operation depend on it? Locks that were free for everybody tell nothing. */
static void mark_shared(struct report *r)
{
	for (unsigned i = 0; i < r->nr_rows; i++)
		for (unsigned k = i + 1; k < r->nr_rows; k++)
			if (r->rows[i].task != r->rows[k].task &&
			    op_dependent(&r->rows[i].op, &r->rows[k].op))
				r->rows[i].matters = r->rows[k].matters = true;
}

static bool is_lock(const struct sim_op *op)
{
	return op->kind >= OP_LOCK && op->kind <= OP_TRYRD && op->kind != OP_AWAIT;
}

static void mark_pair(struct report_row *x, struct report_row *y, int task_x, int task_y)
{
	uint64_t bits = x->op.mask & y->op.mask;

	if (x->task != task_x || y->task != task_y || is_lock(&x->op) || is_lock(&y->op) ||
	    !op_dependent(&x->op, &y->op))
		return;
	if (((x->before ^ x->after) | (y->before ^ y->after)) & bits)
		x->matters = y->matters = true;
}

/* The decisive operations, and everything that changes, or fails to change, their objects. */
static void mark_sliced(struct report *r, const bool *decisive)
{
	for (unsigned i = 0; i < r->nr_ops; i++) {
		if (!decisive[i])
			continue;
		r->rows[i].matters = true;
		for (unsigned k = 0; k < r->nr_ops; k++) {
			const struct report_row *row = &r->rows[k];

			if (row->op.obj != r->rows[i].op.obj ||
			    !(row->op.mask & r->rows[i].op.mask) || is_lock(&row->op))
				continue;
			if ((row->before ^ row->after) & r->rows[i].op.mask)
				r->rows[k].matters = true;
		}
	}
}

static unsigned end_of_section(const struct report *r, unsigned i)
{
	const struct sim_op *lock = &r->rows[i].op;

	for (unsigned k = i + 1; k < r->nr_ops; k++)
		if (r->rows[k].task == r->rows[i].task && r->rows[k].op.obj == lock->obj &&
		    is_lock(&r->rows[k].op) && r->rows[k].op.mask & lock->mask)
			return k;
	return r->nr_ops;
}

/* The order of two sections of a lock is decisive because of what one of them changes and the other
 * looks at. */
static void mark_sections(struct report *r, const bool *decisive)
{
	for (unsigned a = 0; a < r->nr_ops; a++) {
		const struct sim_op *lock = &r->rows[a].op;
		unsigned end = end_of_section(r, a);

		if (!decisive[a] || !is_lock(lock))
			continue;
		for (unsigned b = a + 1; b < r->nr_ops; b++) {
			if (!decisive[b] || !is_lock(&r->rows[b].op) ||
			    r->rows[b].op.obj != lock->obj || r->rows[b].task == r->rows[a].task)
				continue;
			for (unsigned i = a; i < end; i++)
				for (unsigned k = b; k < end_of_section(r, b); k++)
					mark_pair(&r->rows[i], &r->rows[k], r->rows[a].task,
						  r->rows[b].task);
		}
	}
}

/* A deadlock: who took what the tasks wait for. */
static void mark_holders(struct report *r)
{
	for (unsigned w = r->nr_ops; w < r->nr_rows; w++)
		for (unsigned i = r->nr_ops; i-- > 0;)
			if (r->rows[i].op.obj == r->rows[w].op.obj && is_lock(&r->rows[i].op) &&
			    r->rows[i].op.mask & r->rows[w].op.mask) {
				r->rows[i].matters = true;
				break;
			}
}

/* The last operation before a failure. */
static void mark_last(struct report *r)
{
	for (unsigned i = r->nr_ops; i-- > 0 && r->failure.task >= 0;)
		if (r->rows[i].task == r->failure.task) {
			r->rows[i].matters = true;
			break;
		}
}

/* For a livelock: the last changes of its objects, or the last steps if there are none. */
#define LIVELOCK_ROWS 12

static void mark_livelock(struct report *r)
{
	unsigned left = LIVELOCK_ROWS;

	if (!subject_mark(r))
		for (unsigned i = 0; i < r->nr_rows; i++)
			r->rows[i].matters = true;
	for (unsigned i = r->nr_rows; i-- > 0;) {
		r->rows[i].matters &= left > 0;
		left -= r->rows[i].matters;
	}
}

static void mark(struct report *r, const bool *decisive)
{
	bool any = false, subject;

	if (r->failure.kind == SIM_LIVELOCK) {
		mark_livelock(r);
		return;
	}
	for (unsigned i = 0; i < r->nr_ops; i++)
		any |= decisive[i];
	if (any)
		mark_sliced(r, decisive);
	if (any)
		mark_sections(r, decisive);
	mark_holders(r);
	mark_last(r);
	subject = subject_mark(r);
	if (!any && !subject)
		mark_shared(r);
}

static bool is_task_end(const struct report_row *row)
{
	return row->op.kind == OP_WRITE && row->op.obj < OBJ_FIRST;
}

/* A row of its own if the bug lies between rows. */
static unsigned place_bug(struct report *r, struct report_row *out, unsigned step)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nr_bug_at; i++) {
		if (r->bug_at[i].before != step)
			continue;
		out[n] = (struct report_row){ .task = r->bug_at[i].task,
					      .step = step,
					      .at = r->bug_at[i].at,
					      .no_step = true,
					      .matters = true };
		snprintf(out[n++].text, sizeof(out[0].text), "(the bug is here)");
	}
	return n;
}

static bool bug_before(const struct report *r, unsigned step)
{
	for (unsigned i = 0; i < r->nr_bug_at; i++)
		if (r->bug_at[i].before == step)
			return true;
	return false;
}

/* Fold two or more consecutive rows that do not matter into one. The end of a task, which is not in
 * the source, is left out. */
static void fold(struct report *r, bool full)
{
	struct report_row *rows = calloc(r->nr_rows + REPORT_BUG_PLACES, sizeof(*rows));
	unsigned to = 0, n;

	if (!rows)
		abort();
	for (unsigned i = 0; i < r->nr_rows; i += n) {
		const struct report_row *row = &r->rows[i];

		to += place_bug(r, &rows[to], row->step);
		for (n = 0;
		     !full && i + n < r->nr_rows && !row[n].matters && row[n].task == row->task;
		     n++)
			if (n && bug_before(r, row[n].step))
				break;
		if (n < 2) {
			n = 1;
			if (full || row->matters || !is_task_end(row))
				rows[to++] = *row;
			continue;
		}
		rows[to] = (struct report_row){ .task = row->task, .step = row->step, .folded = n };
		snprintf(rows[to].text, sizeof(rows[to].text), "... %u steps", n);
		to++;
	}
	to += place_bug(r, &rows[to], r->nr_ops);
	free(r->rows);
	r->rows = rows;
	r->nr_rows = to;
}

/* A task that does nothing of interest has no column, only its number of steps. */
static void drop_columns(struct report *r)
{
	unsigned to = 0;

	for (unsigned i = 0; i < r->nr_rows; i++)
		r->drawn[r->rows[i].task] |= !r->rows[i].folded;
	for (unsigned i = 0; i < r->nr_rows; i++) {
		struct report_row *above = to ? &r->rows[to - 1] : NULL;

		if (r->drawn[r->rows[i].task] && above && above->task == r->rows[i].task &&
		    above->folded && r->rows[i].folded) {
			above->folded += r->rows[i].folded;
			snprintf(above->text, sizeof(above->text), "... %u steps", above->folded);
		} else if (r->drawn[r->rows[i].task]) {
			r->rows[to++] = r->rows[i];
		} else {
			r->steps_not_drawn[r->rows[i].task] += r->rows[i].folded;
		}
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

	/* It counts as held from the request on. */
	if (nr && t->alive && r->failure.task != task &&
	    (t->next.kind == OP_LOCK || t->next.kind == OP_RDLOCK) &&
	    arena_object(t->held[nr - 1].lock) == t->next.obj)
		nr--;
	for (unsigned i = 0; i < nr && r->nr_held < 64; i++) {
		struct report_held *h = &r->held[r->nr_held++];

		h->task = task;
		words_address(t->held[i].lock, t->held[i].at->expr, h->text, sizeof(h->text));
		h->at = (struct source_line){ t->held[i].at->func, source_name(t->held[i].at->file),
					      t->held[i].at->line };
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
	struct report_row *last = r->nr_rows ? &r->rows[r->nr_rows - 1] : NULL;

	if (last)
		report_place(last);
	if (f->task >= 0) {
		record(f->task);
		r->nr_found_stack = stack_of(f->pc, recorded[sim_depth].pc, recorded[sim_depth].nr,
					     r->found_stack, REPORT_STACK_MAX);
	}
	if (f->pc && r->nr_found_stack)
		r->found_at = r->found_stack[0];
	else if (f->file && f->task >= 0 && last && last->task == f->task && last->op.at &&
		 last->op.at->line == f->line)
		r->found_at = last->at; /* an accessor's own line would be less useful */
	else if (f->file)
		r->found_at = (struct source_line){ NULL, source_name(f->file), f->line };
	if (f->other_pc && stack_of(f->other_pc, NULL, 0, other, REPORT_STACK_MAX))
		r->other_at = other[0];
}

/* ---- the report ---- */

struct report *report_make(const struct scenario *scenario, const struct bug *bug,
			   const struct schedule *s, bool full)
{
	static bool decisive[SIM_DEPTH_MAX];
	struct report *r = calloc(1, sizeof(*r));

	find_decisive(s, decisive);
	bug_find_places(scenario, bug, s);
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
	r->left_out = s->left_out;
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
	mark(r, decisive);
	fold(r, full);
	drop_columns(r);
	for (unsigned i = 0; i < r->nr_rows; i++)
		report_place(&r->rows[i]);
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

/* check/draw/report_words.c - an operation in the words of the source: "A.memory.usage += n: 3 ->
 * 6".
 *
 * An object is named by the scenario, and the field is the last part of the expression. An unnamed
 * object keeps the whole expression; a second object of the same expression gets "#2".
 */
#include "draw/report.h"

#include "mm/mm_types.h"

/* ---- names ---- */

#define UNNAMED_MAX 256
static struct {
	char text[80];
	const void *p;
	unsigned nr;
} unnamed[UNNAMED_MAX];
static unsigned nr_unnamed;

void words_begin(void)
{
	nr_unnamed = 0;
}

/* The number of earlier objects with this text: 0 for the first. */
static unsigned ordinal(const char *text, const void *p)
{
	unsigned others = 0;

	for (unsigned i = 0; i < nr_unnamed; i++) {
		if (strcmp(unnamed[i].text, text) != 0)
			continue;
		if (unnamed[i].p == p)
			return unnamed[i].nr;
		others++;
	}
	if (nr_unnamed < UNNAMED_MAX) {
		snprintf(unnamed[nr_unnamed].text, sizeof(unnamed[0].text), "%s", text);
		unnamed[nr_unnamed].p = p;
		unnamed[nr_unnamed++].nr = others;
	}
	return others;
}

/* The last member of @expr; NULL: none. */
static const char *member_of(const char *expr)
{
	const char *member = NULL;
	int depth = 0;

	for (const char *c = expr; *c; c++) {
		depth += *c == '[' || *c == '(';
		depth -= *c == ']' || *c == ')';
		if (depth == 0 && *c == '.')
			member = c + 1;
		else if (depth == 0 && c[0] == '-' && c[1] == '>')
			member = c + 2;
	}
	return member;
}

/* A pointer to a field was passed on under another name: the record knows the field. */
static const char *field_at(size_t offset, size_t size)
{
	if (size != sizeof(struct page))
		return NULL;
	switch (offset) {
	case offsetof(struct page, flags):
		return "flags";
	case offsetof(struct page, refcount):
		return "refcount";
	case offsetof(struct page, mapcount):
		return "mapcount";
	case offsetof(struct page, mapping):
		return "mapping";
	case offsetof(struct page, entry):
		return "entry";
	case offsetof(struct page, pcg):
		return "pcg";
	default:
		return NULL;
	}
}

static const char *without_and(const char *expr)
{
	while (*expr == '&' || *expr == ' ')
		expr++;
	return expr;
}

void words_address(const void *p, const char *expr, char *buf, size_t n)
{
	const void *start;
	const char *name, *field;
	size_t size;

	if (!p) {
		snprintf(buf, n, "NULL");
		return;
	}
	if (!expr && sim_name_from(p)) {
		snprintf(buf, n, "%s", sim_name_from(p));
		return;
	}
	name = sim_name_at(p, &start, &size);
	if (name && size <= sizeof(uint64_t)) {
		snprintf(buf, n, "%s", name);
	} else if (name) {
		field = expr ? member_of(expr) : NULL;
		if (!field)
			field = field_at((size_t)((const char *)p - (const char *)start), size);
		if (field || expr)
			snprintf(buf, n, "%s%s%s", name, field ? "." : ": ",
				 field ? field : without_and(expr));
		else
			snprintf(buf, n, "%s+%zu", name,
				 (size_t)((const char *)p - (const char *)start));
	} else if (expr) {
		unsigned nr = ordinal(without_and(expr), p);

		snprintf(buf, n, "%s", without_and(expr));
		if (nr)
			snprintf(buf + strlen(buf), n - strlen(buf), "#%u", nr + 1);
	} else if (arena_object(p)) {
		snprintf(buf, n, "@%x", arena_object(p));
	} else {
		snprintf(buf, n, "%p", p);
	}
}

void words_object(const struct sim_op *op, char *buf, size_t n)
{
	if (op->obj == OBJ_RCU)
		snprintf(buf, n, "RCU");
	else if (op->obj >= OBJ_TASK(0) && op->obj < OBJ_TASK(sim_nr_tasks))
		snprintf(buf, n, "%s", sim_tasks[op->obj - OBJ_TASK(0)].name);
	else if (op->obj < OBJ_FIRST)
		snprintf(buf, n, "%s", op->at ? op->at->expr : "an injected fault");
	else
		words_address(sim_object_address(op->obj), op->at ? op->at->expr : NULL, buf, n);
}

/* ---- values ---- */

#define POISON64 0xa5a5a5a5a5a5a5a5ull

static bool is_freed(unsigned width, uint64_t v)
{
	return v == (width == 4 ? (uint32_t)POISON64 : POISON64);
}

struct words {
	char obj[120], before[64], after[64], mask[64];
	const char *op, *arg, *arg2;
	bool same;
};

static void value(const struct report_row *row, const struct words *w, uint64_t v, char *buf,
		  size_t n)
{
	if (is_freed(row->op.width, v))
		snprintf(buf, n, "(freed)");
	else if (w->op && strstr(w->op, "pointer") && !(v & 7))
		words_address((const void *)(uintptr_t)v, NULL, buf, n);
	else
		words_value(w->obj, row->op.width, v, buf, n);
}

static void gather(const struct report_row *row, struct words *w)
{
	sim_at at = row->op.at;

	memset(w, 0, sizeof(*w));
	words_object(&row->op, w->obj, sizeof(w->obj));
	w->op = at ? at->op : NULL;
	w->arg = at && at->arg ? at->arg : "";
	w->arg2 = at && at->arg2 ? at->arg2 : "";
	w->same = row->before == row->after;
	value(row, w, row->before, w->before, sizeof(w->before));
	value(row, w, row->after, w->after, sizeof(w->after));
	if (!words_mask(w->obj, row->op.mask, w->mask, sizeof(w->mask)))
		snprintf(w->mask, sizeof(w->mask), "%s", w->arg);
}

/* ---- sentences ---- */

#define SAY(row, ...) ((void)snprintf((row)->text, sizeof((row)->text), __VA_ARGS__))

static bool is(const struct words *w, const char *op)
{
	return w->op && strncmp(w->op, op, strlen(op)) == 0;
}

/* "x += -n" reads better as "x -= n" where it is that simple. */
static void say_addition(struct report_row *row, const struct words *w, char sign)
{
	const char *arg = w->arg;

	if (sign == '+' && *arg == '-' && !strchr(arg, ' ')) {
		sign = '-';
		arg++;
	}
	SAY(row, "%s %c= %s: %s -> %s", w->obj, sign, arg, w->before, w->after);
}

static void say_write(struct report_row *row, const struct words *w)
{
	if (is(w, "cas") && w->same) {
		SAY(row, "cas %s, %s => %s: is %s", w->obj, w->arg, w->arg2, w->before);
		row->note = "FAILED";
	} else if (is(w, "cas")) {
		SAY(row, "cas %s, %s => %s: %s -> %s", w->obj, w->arg, w->arg2, w->before,
		    w->after);
	} else if (is(w, "store") && !*w->arg) {
		SAY(row, "%s: %s -> %s", w->obj, w->before, w->after);
	} else if (is(w, "change")) {
		SAY(row, "%s: %s -> %s (locked)", w->obj, w->before, w->after);
	} else if (is(w, "store")) {
		SAY(row, "%s = %s: %s -> %s", w->obj, w->arg, w->before, w->after);
	} else if (is(w, "xchg")) {
		SAY(row, "xchg %s, %s: %s -> %s", w->obj, w->arg, w->before, w->after);
	} else if (is(w, "get unless zero")) {
		SAY(row, "%s += 1 unless 0: %s -> %s", w->obj, w->before, w->after);
		row->note = w->same ? "NOT TAKEN" : NULL;
	} else if (is(w, "get") || is(w, "add")) {
		say_addition(row, w, '+');
	} else if (is(w, "sub")) {
		say_addition(row, w, '-');
	} else if (is(w, "or")) {
		SAY(row, "%s |= %s", w->obj, w->mask);
		row->note = w->same ? "WAS SO" : NULL;
	} else if (is(w, "and") || is(w, "clear")) {
		SAY(row, "%s &= ~%s", w->obj, w->mask);
		row->note = w->same ? "WAS SO" : NULL;
	} else if (row->op.obj >= OBJ_TASK(0) && row->op.obj < OBJ_TASK(SIM_TASKS_MAX)) {
		SAY(row, "ends");
	} else {
		SAY(row, "write %s", w->obj);
	}
}

/* Deferred calls are tasks too; their names are those of the functions, as spelled in the
 * source. */
static bool is_deferred(unsigned task)
{
	for (unsigned i = 0; i < sim_depth; i++)
		if (sim_trace[i].op.kind == OP_GP_START &&
		    sim_trace[i].op.at->expr == sim_tasks[task].name)
			return true;
	return false;
}

static bool starts(const struct sim_op *op)
{
	return op->kind == OP_READ && op->obj == OBJ_MISC;
}

/* The name of the thread that @row starts: tasks are numbered in order of birth. */
static const char *started_by(const struct report_row *row)
{
	unsigned before = 0;

	for (unsigned i = 0; i < row->step; i++)
		before += sim_trace[i].task == row->task && starts(&sim_trace[i].op);
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].parent == row->task && !is_deferred(t) && before-- == 0)
			return sim_tasks[t].name;
	return row->op.at->expr;
}

static void say_read(struct report_row *row, const struct words *w)
{
	if (is(w, "test")) {
		SAY(row, "if %s & %s", w->obj, w->mask);
		row->note = row->before & row->op.mask ? "SET" : "NOT SET";
	} else if (is(w, "prepare")) {
		SAY(row, "prepare to wait: %s", w->obj);
	} else if (is(w, "load")) {
		SAY(row, "read %s: %s", w->obj, w->before);
	} else if (row->op.obj < OBJ_FIRST) {
		SAY(row, "start %s", started_by(row));
	} else {
		SAY(row, "read %s", w->obj);
	}
}

static void say_lock(struct report_row *row, const struct words *w)
{
	static const char *const verb[NR_OP_KINDS] = {
		[OP_LOCK] = "lock",
		[OP_UNLOCK] = "unlock",
		[OP_TRYLOCK] = "trylock",
		[OP_RDLOCK] = "lock shared",
		[OP_RDUNLOCK] = "unlock shared",
		[OP_TRYRD] = "trylock shared",
	};

	SAY(row, "%s %s%s%s", verb[row->op.kind], w->obj, is(w, "bit") ? " " : "",
	    is(w, "bit") ? w->mask : "");
	if ((row->op.kind == OP_TRYLOCK || row->op.kind == OP_TRYRD) && w->same)
		row->note = "BUSY";
}

static void say_wait(struct report_row *row, const struct words *w)
{
	if (is(w, "bit"))
		SAY(row, "wait until %s is without %s", w->obj, w->mask);
	else if (row->op.obj < OBJ_FIRST)
		SAY(row, "wait for the end of %s", w->obj);
	else
		SAY(row, "sleep: %s", w->obj);
}

void words_of(struct report_row *row)
{
	struct words w;

	gather(row, &w);
	switch (row->op.kind) {
	case OP_PUT:
		if (row->op.obj == OBJ_RCU)
			SAY(row, "rcu_rd_unlock, buffered");
		else
			SAY(row, "store to %s, buffered", w.obj);
		break;
	case OP_READ:
		say_read(row, &w);
		break;
	case OP_WRITE:
		say_write(row, &w);
		break;
	case OP_ADD:
		if (is(&w, "wake"))
			SAY(row, "wake: %s", w.obj);
		else
			say_write(row, &w);
		break;
	case OP_AWAIT:
		say_wait(row, &w);
		break;
	case OP_RCU_LOCK:
		SAY(row, "rcu_rd_lock");
		break;
	case OP_RCU_UNLOCK:
		SAY(row, "rcu_rd_unlock");
		break;
	case OP_GP_START:
	case OP_GP_END:
	case OP_SLEEP:
	case OP_FENCE:
		SAY(row, "%s", op_name(row->op.kind));
		break;
	default:
		say_lock(row, &w);
	}
	if (row->op.width && is_freed(row->op.width, row->before))
		row->note = "FREED";
}

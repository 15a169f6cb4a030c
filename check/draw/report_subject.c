/* check/draw/report_subject.c - rows that a drawing always has, even if they could be elsewhere in
 * the schedule.
 *
 * The slice (minimise_slice.c) finds what must stay where it is. But an operation that needs no
 * other task depends on no order, and one that could have come earlier may still be the point. So
 * these are never folded:
 *   - changes of the words that the violated invariant is about (table below), and, for a number of
 *     mapped pages, the look at the owner that it is counted to;
 *   - the next look of each other task at what these changed;
 *   - the place where the named bug is (report_bug.c).
 */
#include "mm/mm_types.h"
#include "draw/report.h"

/* ---- what an invariant is about ---- */

static const struct subject {
	unsigned invariant;
	const char *field[3];
	uint64_t flags; /* of pages */
	bool gauge;     /* also the statistic that the finding names */
} subjects[] = {
	/* clang-format off */
	{ 4,  { "mapcount", "pcg" },  0,            true },
	{ 6,  { "memory.usage", "memory.max" }, 0,  false },
	{ 7,  { "pcg" },              0,            false },
	{ 8,  { "pcg" },              0,            false },
	{ 9,  { "pcg" },              PG_lru,       false },
	{ 10, { "map", "cache" },     0,            false },
	{ 11, { "map" },              PG_writeback, false },
	{ 17, { "mapcount", "pte" },  0,            false },
	{ 19, { "mapcount", "pte" },  PG_dirty,     false },
	/* clang-format on */
};
#define NR_SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* The finding names one slot, and @obj is a different one. */
static bool is_other_slot(const struct report *r, const char *obj)
{
	const char *named = strstr(r->failure.text, "slot ");
	unsigned slot, this_one;

	return named && sscanf(named, "slot %u", &slot) == 1 &&
	       sscanf(obj, "slot %u", &this_one) == 1 && slot != this_one;
}

/* "I4: anon of ...": 4; 0: no invariant. *@gauge: the word after it. */
static unsigned invariant_of(const char *text, char *gauge, size_t n)
{
	unsigned i = 0;
	int at = 0;

	gauge[0] = '\0';
	if (sscanf(text, "I%u: %n", &i, &at) != 1 || !at)
		return 0;
	snprintf(gauge, n, "%.*s", (int)strcspn(text + at, " "), text + at);
	return i;
}

static const struct subject *subject_of(const struct report *r, char *gauge, size_t n)
{
	static const struct subject slot = { 0, { "map" }, 0, false },
				    comes_and_goes = { 0, { "pte" }, 0, false };
	unsigned invariant = invariant_of(r->failure.text, gauge, n);

	if (r->failure.kind == SIM_LIVELOCK)
		return &comes_and_goes;
	for (unsigned i = 0; i < NR_SUBJECTS; i++)
		if (invariant && subjects[i].invariant == invariant)
			return &subjects[i];
	return !invariant && strncmp(r->failure.text, "slot ", 5) == 0 ? &slot : NULL;
}

static bool is_about(const struct report *r, const struct subject *s, const char *gauge,
		     const struct report_row *row)
{
	char obj[120];

	if (row->op.obj < OBJ_FIRST || !row->op.width || !row->op.mask)
		return false;
	words_object(&row->op, obj, sizeof(obj));
	if (is_other_slot(r, obj))
		return false;
	for (unsigned i = 0; i < 3 && s->field[i]; i++)
		if (words_field_is(obj, s->field[i]))
			return true;
	if (s->flags & row->op.mask && words_field_is(obj, "flags"))
		return true;
	return s->gauge && *gauge && words_gauge_is(obj, gauge);
}

static bool ends_charge(const struct report_row *row)
{
	char obj[120];

	words_object(&row->op, obj, sizeof(obj));
	return words_field_is(obj, "pcg") && row->after == 0;
}

static bool changes(const struct subject *s, const struct report_row *row)
{
	char obj[120];

	words_object(&row->op, obj, sizeof(obj));
	return (row->before ^ row->after) & row->op.mask &
	       (words_field_is(obj, "flags") ? s->flags : UINT64_MAX);
}

/* Mark what other tasks look at next of what row @i changed; for a charge that ended, the next of
 * any task. */
static void mark_lookers(struct report *r, unsigned i, bool ended)
{
	uint32_t seen = ended ? 0 : 1u << r->rows[i].task;

	for (unsigned k = i + 1; k < r->nr_ops; k++) {
		struct report_row *row = &r->rows[k];

		if (row->op.obj != r->rows[i].op.obj || !(row->op.mask & r->rows[i].op.mask))
			continue;
		if (!(seen & 1u << row->task))
			row->matters = true;
		seen |= 1u << row->task;
		if ((row->before ^ row->after) & r->rows[i].op.mask)
			return;
	}
}

#define OWNER_WITHIN 6 /* operations of the task */

/* Row @i changed a number of mappings: the owner that it is counted to is read next. */
static void mark_owner(struct report *r, unsigned i)
{
	unsigned left = OWNER_WITHIN;
	char obj[120];

	words_object(&r->rows[i].op, obj, sizeof(obj));
	if (!words_field_is(obj, "mapcount"))
		return;
	for (unsigned k = i + 1; k < r->nr_ops && left; k++) {
		if (r->rows[k].task != r->rows[i].task)
			continue;
		left--;
		words_object(&r->rows[k].op, obj, sizeof(obj));
		if (words_field_is(obj, "pcg")) {
			r->rows[k].matters = true;
			return;
		}
	}
}

/* ---- */

bool subject_mark(struct report *r)
{
	char gauge[40];
	const struct subject *s = subject_of(r, gauge, sizeof(gauge));
	bool any = false;

	for (unsigned i = 0; s && i < r->nr_ops; i++) {
		if (!is_about(r, s, gauge, &r->rows[i]) || !changes(s, &r->rows[i]))
			continue;
		r->rows[i].matters = any = true;
		mark_lookers(r, i, ends_charge(&r->rows[i]));
		if (s->gauge)
			mark_owner(r, i);
	}
	bug_mark_rows(r);
	return any || (r->nr_bug_at && r->failure.kind != SIM_LIVELOCK);
}

/* check/draw/report_text.c - the drawing on a terminal or in a mail.
 *
 * Columns are as wide as their content, up to a limit; longer text continues on the next line,
 * indented by two. The drawing is the same wherever it is printed: it does not depend on the width
 * of a terminal.
 */
#include "draw/report.h"

#define WIDTH_ALL  132 /* for all columns together */
#define WIDTH_MIN  24
#define WIDTH_MAX  52
#define STEP_WIDTH 5

struct drawing {
	FILE *out;
	const struct report *r;
	bool color;
	unsigned width[SIM_TASKS_MAX];
};

enum style { PLAIN, BOLD, DIM, RED, YELLOW };

static const char *style_on(const struct drawing *d, enum style s)
{
	static const char *const codes[] = { "", "\033[1m", "\033[2m", "\033[1;31m", "\033[33m" };

	return d->color ? codes[s] : "";
}

static const char *style_off(const struct drawing *d, enum style s)
{
	return d->color && s != PLAIN ? "\033[0m" : "";
}

#define NO_BREAK '\1' /* a space that must not end a line */

static void cell_text(const struct report_row *row, char *buf, size_t n)
{
	size_t at = strlen(row->text);

	snprintf(buf, n, "%s%s%s", row->text, row->note ? "   // " : "",
		 row->note ? row->note : "");
	for (char *c = buf + (at + 3 < n ? at + 3 : n - 1); *c && row->note; c++)
		*c = *c == ' ' ? NO_BREAK : *c;
}

static void measure(struct drawing *d)
{
	const struct report *r = d->r;
	unsigned columns = 0, limit;
	char text[REPORT_CELL_MAX + 32];

	for (unsigned t = 0; t < r->nr_tasks; t++) {
		columns += r->drawn[t];
		d->width[t] = (unsigned)strlen(r->task[t]);
	}
	limit = columns ? WIDTH_ALL / columns : WIDTH_MAX;
	limit = limit < WIDTH_MIN ? WIDTH_MIN : limit > WIDTH_MAX ? WIDTH_MAX : limit;
	for (unsigned i = 0; i < r->nr_rows; i++) {
		unsigned *w = &d->width[r->rows[i].task], n;

		cell_text(&r->rows[i], text, sizeof(text));
		n = (unsigned)strlen(text);
		if (r->rows[i].head && strlen(r->rows[i].at.func) + 2 > n)
			n = (unsigned)strlen(r->rows[i].at.func) + 2;
		*w = n > *w ? n : *w;
	}
	for (unsigned t = 0; t < r->nr_tasks; t++)
		d->width[t] = d->width[t] > limit ? limit : d->width[t];
}

/* How much of @text fits into @width: up to a space, if there is one. */
static unsigned fits(const char *text, unsigned width)
{
	unsigned n = (unsigned)strlen(text);

	if (n <= width)
		return n;
	for (n = width; n > width / 3; n--)
		if (text[n] == ' ' || text[n - 1] == '|')
			return n;
	return width;
}

/* One line: @text in @task's column (-1: the names of all columns), followed by @margin. */
static void line(const struct drawing *d, const char *step, int task, const char *text,
		 unsigned len, enum style style, const char *margin)
{
	const struct report *r = d->r;

	fprintf(d->out, "%*s ", STEP_WIDTH, step);
	for (unsigned t = 0; t < r->nr_tasks; t++) {
		bool mine = task == (int)t || task < 0;
		const char *s = task < 0 ? r->task[t] : text;
		unsigned n = !mine ? 0 : task < 0 ? (unsigned)strlen(s) : len;

		if (!r->drawn[t])
			continue;
		n = n > d->width[t] ? d->width[t] : n;
		fprintf(d->out, "| %s%.*s%s%*s ", mine ? style_on(d, style) : "", (int)n,
			mine ? s : "", mine ? style_off(d, style) : "", (int)(d->width[t] - n), "");
	}
	fprintf(d->out, "|%s%s%s%s\n", *margin ? " " : "", style_on(d, DIM), margin,
		style_off(d, DIM));
}

static void rule(const struct drawing *d)
{
	for (unsigned i = 0; i <= STEP_WIDTH; i++)
		fputc('-', d->out);
	for (unsigned t = 0; t < d->r->nr_tasks; t++) {
		if (!d->r->drawn[t])
			continue;
		fputc('+', d->out);
		for (unsigned i = 0; i < d->width[t] + 2; i++)
			fputc('-', d->out);
	}
	fprintf(d->out, "+\n");
}

static void draw_row(const struct drawing *d, const struct report_row *row)
{
	char text[REPORT_CELL_MAX + 32], head[160], margin[160] = "", number[16] = "";
	unsigned width = d->width[row->task];
	enum style style = row->folded ? DIM : row->note || row->no_step ? YELLOW : PLAIN;
	const char *rest = text;

	if (row->head) {
		snprintf(head, sizeof(head), "%s()", row->at.func);
		line(d, "", row->task, head, (unsigned)strlen(head), BOLD, "");
	}
	cell_text(row, text, sizeof(text));
	if (!row->folded && !row->no_step)
		snprintf(number, sizeof(number), "%u", row->step);
	if (row->at.file)
		snprintf(margin, sizeof(margin), "%s:%d", row->at.file, row->at.line);
	for (bool first = true; first || *rest; first = false) {
		char part[REPORT_CELL_MAX + 32];
		unsigned in = first || width <= WIDTH_MIN / 2 ? 0 : 2, n = fits(rest, width - in);

		snprintf(part, sizeof(part), "%*s%.*s", (int)in, "", (int)n, rest);
		for (char *c = part; (c = strchr(c, NO_BREAK));)
			*c = ' ';
		line(d, first ? number : "", row->task, part, n + in, style, first ? margin : "");
		rest += n;
		rest += strspn(rest, " ");
	}
}

static void draw_place(const struct drawing *d, const struct source_line *at)
{
	if (at->func)
		fprintf(d->out, " in %s()", at->func);
	if (at->file)
		fprintf(d->out, " (%s:%d)", at->file, at->line);
}

static void draw_finding(const struct drawing *d)
{
	const struct report *r = d->r;
	unsigned first;

	fprintf(d->out, "\n  %sviolated:%s %s: %s\n", style_on(d, RED), style_off(d, RED),
		sim_finding_name(r->failure.kind), r->failure.text);
	if (r->unexpected)
		fprintf(d->out, "            this is not what the bug breaks: %s\n", r->unexpected);
	if (r->failure.task >= 0) {
		fprintf(d->out, "  found:    by %s", r->task[r->failure.task]);
		draw_place(d, &r->found_at);
		fputc('\n', d->out);
	} else {
		fprintf(d->out, "  found:    %s",
			r->failure.kind == SIM_DEADLOCK ? "no task can go on"
			: r->failure.kind == SIM_LIVELOCK
				? "it does not end"
				: "by the look at the end, when all tasks are done");
		draw_place(d, &r->found_at);
		fputc('\n', d->out);
	}
	first = r->found_at.func && r->found_at.func == r->found_stack[0].func;
	for (unsigned i = first; i < r->nr_found_stack && r->nr_found_stack > 1; i++)
		fprintf(d->out, "  %-9s   %s() %s:%d\n", i == first ? "through:" : "",
			r->found_stack[i].func,
			r->found_stack[i].file ? r->found_stack[i].file : "?",
			r->found_stack[i].line);
	if (r->failure.other >= 0 && r->failure.other_pc) {
		fprintf(d->out, "  against:  %s", r->task[r->failure.other]);
		draw_place(d, &r->other_at);
		fputc('\n', d->out);
	}
	for (unsigned i = 0; i < r->nr_held; i++) {
		fprintf(d->out, "  %-9s %s has %s", i ? "" : "held:", r->task[r->held[i].task],
			r->held[i].text);
		draw_place(d, &r->held[i].at);
		fputc('\n', d->out);
	}
	if (!r->nr_held)
		fprintf(d->out, "  held:     nothing\n");
	fprintf(d->out, "  replay:   umemcg check --replay '%s'\n", r->replay);
	if (!r->steady)
		fprintf(d->out, "  note:     run again, this schedule did not end the same way\n");
}

void report_text(FILE *out, const struct report *r, bool color)
{
	struct drawing d = { .out = out, .r = r, .color = color };

	measure(&d);
	fprintf(out, "%s%s%s: %s\n", style_on(&d, BOLD), r->scenario->name, style_off(&d, BOLD),
		r->scenario->text);
	if (r->bug)
		fprintf(out, "  with %s (%s): %s\n", r->bug->name, r->bug->source, r->bug->text);
	fprintf(out, "  %u operations, %u preemption%s", r->nr_ops, r->preemptions,
		r->preemptions == 1 ? "" : "s");
	if (r->execution)
		fprintf(out, "; found in execution %llu", (unsigned long long)r->execution);
	if (r->bug_in_setup.func)
		fprintf(out, "\n  the bug is in the set-up: %s() (%s:%d)", r->bug_in_setup.func,
			r->bug_in_setup.file, r->bug_in_setup.line);
	fprintf(out, "\n\n");
	line(&d, "step", -1, "", 0, BOLD, "");
	rule(&d);
	for (unsigned i = 0; i < r->nr_rows; i++)
		draw_row(&d, &r->rows[i]);
	rule(&d);
	for (unsigned t = 0; t < r->nr_tasks; t++)
		if (r->left_out & 1u << t)
			fprintf(out, "  left out: %s; it fails without\n", r->task[t]);
	for (unsigned t = 0; t < r->nr_tasks; t++)
		if (r->steps_not_drawn[t])
			fprintf(out, "  not drawn: %s, %u steps\n", r->task[t],
				r->steps_not_drawn[t]);
	draw_finding(&d);
}

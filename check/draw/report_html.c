/* check/draw/report_html.c - the drawing as a self-contained page: no scripts, nothing to fetch,
 * light and dark.
 *
 * A row's callers are in its tooltip.
 */
#include "draw/report.h"

static const char style[] =
	":root{color-scheme:light "
	"dark;--fg:#1b1f24;--bg:#fff;--dim:#667;--line:#d8dce2;--head:#f2f4f7;--bad:#b3261e;"
	"--badbg:#fdecea;--note:#8a5a00;--a:#e8f0fe}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#e4e7eb;--bg:#15181c;--dim:#98a2ae;--line:#"
	"343a42;--head:#1f242a;"
	"--bad:#ff8a80;--badbg:#3a1f1e;--note:#f0b95a;--a:#1c2836}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:2em "
	"auto;max-width:110em;"
	"padding:0 1.5em}\n"
	"h1{font-size:1.4em;margin:0}p{margin:.3em 0}.dim{color:var(--dim)}\n"
	".scroll,pre{overflow-x:auto}table{border-collapse:collapse;margin:1.2em 0}\n"
	"td,th{padding:.15em .9em;text-align:left;vertical-align:top;border-left:1px solid "
	"var(--line)}\n"
	"td:first-child,th:first-child,td:last-child,th:last-child{border-left:0;color:var(--dim)}"
	"\n"
	"td:first-child{text-align:right}thead th{background:var(--head);border-bottom:2px solid "
	"var(--line)}\n"
	"td,code,dd{font-family:ui-monospace,monospace;font-size:.92em}td{white-space:pre-wrap}\n"
	"td.file{white-space:nowrap}tr.turn td{border-top:1px solid "
	"var(--line)}td.does{background:var(--a)}\n"
	".f{font-weight:600}.n{color:var(--note);font-weight:600}.folded{color:var(--dim)}\n"
	".bad{background:var(--badbg);border-left:4px solid var(--bad);padding:.6em 1em;margin:1em "
	"0}\n"
	".bad b{color:var(--bad)}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em "
	"1.2em}\n"
	"dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}\n";

static void text(FILE *out, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*s, out);
		}
	}
}

static void place(FILE *out, const struct source_line *at)
{
	if (at->func) {
		fputs(" in ", out);
		text(out, at->func);
		fputs("()", out);
	}
	if (at->file)
		fprintf(out, " <span class=\"dim\">%s:%d</span>", at->file, at->line);
}

/* The function's name, in a row of its own: the step and the place belong to the operation below
 * it. */
static void head(FILE *out, const struct report *r, const struct report_row *row, bool turn)
{
	fprintf(out, "<tr%s><td></td>", turn ? " class=\"turn\"" : "");
	for (unsigned t = 0; t < r->nr_tasks; t++) {
		if (!r->drawn[t])
			continue;
		if (row->task == (int)t) {
			fputs("<td class=\"does f\">", out);
			text(out, row->at.func);
			fputs("()</td>", out);
		} else {
			fputs("<td></td>", out);
		}
	}
	fputs("<td></td></tr>\n", out);
}

static void cell(FILE *out, const struct report_row *row)
{
	fprintf(out, "<td class=\"does%s\"", row->folded ? " folded" : "");
	if (row->nr_stack > 1) {
		fputs(" title=\"", out);
		for (unsigned i = 0; i < row->nr_stack; i++) {
			text(out, row->stack[i].func);
			fprintf(out, " %s:%d&#10;", row->stack[i].file ? row->stack[i].file : "?",
				row->stack[i].line);
		}
		fputc('"', out);
	}
	fputc('>', out);
	text(out, row->text);
	if (row->note)
		fprintf(out, "   <span class=\"n\">// %s</span>", row->note);
	fputs("</td>", out);
}

static void table(FILE *out, const struct report *r)
{
	fputs("<div class=\"scroll\"><table>\n<thead><tr><th>step</th>", out);
	for (unsigned t = 0; t < r->nr_tasks; t++)
		if (r->drawn[t]) {
			fputs("<th>", out);
			text(out, r->task[t]);
			fputs("</th>", out);
		}
	fputs("<th></th></tr></thead>\n<tbody>\n", out);
	for (unsigned i = 0; i < r->nr_rows; i++) {
		const struct report_row *row = &r->rows[i];
		bool turn = i && r->rows[i - 1].task != row->task;

		if (row->head)
			head(out, r, row, turn);
		fprintf(out, "<tr%s><td>", turn && !row->head ? " class=\"turn\"" : "");
		if (!row->folded && !row->no_step)
			fprintf(out, "%u", row->step);
		fputs("</td>", out);
		for (unsigned t = 0; t < r->nr_tasks; t++) {
			if (!r->drawn[t])
				continue;
			if (row->task == (int)t)
				cell(out, row);
			else
				fputs("<td></td>", out);
		}
		fputs("<td class=\"file\">", out);
		if (row->at.file)
			fprintf(out, "%s:%d", row->at.file, row->at.line);
		fputs("</td></tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
	for (unsigned t = 0; t < r->nr_tasks; t++) {
		if (r->left_out & 1u << t) {
			fputs("<p class=\"dim\">left out: ", out);
			text(out, r->task[t]);
			fputs("; it fails without</p>\n", out);
		}
		if (!r->steps_not_drawn[t])
			continue;
		fputs("<p class=\"dim\">not drawn: ", out);
		text(out, r->task[t]);
		fprintf(out, ", %u steps</p>\n", r->steps_not_drawn[t]);
	}
}

static void details(FILE *out, const struct report *r)
{
	fputs("<dl>\n", out);
	if (r->failure.task >= 0) {
		fputs("<dt>found</dt><dd>by ", out);
		text(out, r->task[r->failure.task]);
		place(out, &r->found_at);
		fputs("</dd>\n", out);
	} else {
		fputs("<dt>found</dt><dd>at the end of the execution", out);
		place(out, &r->found_at);
		fputs("</dd>\n", out);
	}
	for (unsigned i = 1; i < r->nr_found_stack; i++) {
		fprintf(out, "<dt>%s</dt><dd>", i == 1 ? "through" : "");
		text(out, r->found_stack[i].func);
		fprintf(out, "() <span class=\"dim\">%s:%d</span></dd>\n",
			r->found_stack[i].file ? r->found_stack[i].file : "?",
			r->found_stack[i].line);
	}
	if (r->failure.other >= 0 && r->failure.other_pc) {
		fputs("<dt>against</dt><dd>", out);
		text(out, r->task[r->failure.other]);
		place(out, &r->other_at);
		fputs("</dd>\n", out);
	}
	for (unsigned i = 0; i < r->nr_held; i++) {
		fprintf(out, "<dt>%s</dt><dd>", i ? "" : "held");
		text(out, r->task[r->held[i].task]);
		fputs(" has ", out);
		text(out, r->held[i].text);
		place(out, &r->held[i].at);
		fputs("</dd>\n", out);
	}
	if (!r->nr_held)
		fputs("<dt>held</dt><dd>nothing</dd>\n", out);
	fputs("<dt>replay</dt><dd>umemcg check --replay '", out);
	text(out, r->replay);
	fputs("'</dd>\n</dl>\n", out);
	if (!r->steady)
		fputs("<p>Run again, this schedule did not end the same way.</p>\n", out);
}

void report_html(FILE *out, const struct report *r)
{
	fputs("<h1>", out);
	text(out, r->scenario->name);
	fputs("</h1>\n<p>", out);
	text(out, r->scenario->text);
	fputs("</p>\n", out);
	if (r->bug) {
		fputs("<p>with <code>", out);
		text(out, r->bug->name);
		fputs("</code> (", out);
		text(out, r->bug->source);
		fputs("): ", out);
		text(out, r->bug->text);
		fputs("</p>\n", out);
	}
	if (r->bug_in_setup.func)
		fprintf(out, "<p>The bug is in the set-up: <code>%s()</code> %s:%d</p>\n",
			r->bug_in_setup.func, r->bug_in_setup.file, r->bug_in_setup.line);
	fprintf(out,
		"<p class=\"dim\">%u operations, %u preemption%s</p>\n<div "
		"class=\"bad\"><b>%s</b> ",
		r->nr_ops, r->preemptions, r->preemptions == 1 ? "" : "s",
		sim_finding_name(r->failure.kind));
	text(out, r->failure.text);
	if (r->unexpected) {
		fputs("<br>This is not what the bug breaks: ", out);
		text(out, r->unexpected);
	}
	fputs("</div>\n", out);
	table(out, r);
	details(out, r);
}

void report_html_begin(FILE *out, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
	      out);
	text(out, title);
	fprintf(out, " - umemcg check</title>\n<style>\n%s</style></head><body>\n", style);
}

void report_html_end(FILE *out)
{
	fputs("</body></html>\n", out);
}

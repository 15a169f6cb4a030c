/* check/command/table.c - the results of the searches: the table, the drawings, JSON. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>

#include "command/cli.h"
#include "search/minimise.h"
#include "draw/report.h"
#include "plat/sim/tso.h"

#define MINIMISE_BUDGET 20000 /* executions */

void verdict(const struct options *o, const struct result *res, char *buf, size_t n)
{
	if (res->end == EXPLORE_FAILED)
		snprintf(buf, n, "%s", sim_finding_name(res->failure.kind));
	else if (res->end == EXPLORE_STOPPED)
		snprintf(buf, n, "INTERRUPTED(%" PRIu64 ")",
			 res->stats.executions + res->stats.blocked);
	else if (o->mode == EXPLORE_RANDOM)
		snprintf(buf, n, "RANDOM(%" PRIu64 ", %" PRIu64 ")", o->random, o->seed);
	else if (res->end == EXPLORE_BUDGET)
		snprintf(buf, n, "BUDGET(%" PRIu64 ")", res->stats.executions + res->stats.blocked);
	else if (o->mode == EXPLORE_BOUNDED)
		snprintf(buf, n, "BOUNDED(%u)", o->preemptions);
	else
		snprintf(buf, n, "EXHAUSTED");
}

const char *memory_model(void)
{
	return sim_tso ? "TSO" : "SC";
}

int exit_of(const struct options *o, const struct result *res)
{
	if (res->end == EXPLORE_FAILED)
		return EXIT_VIOLATION;
	return res->end == EXPLORE_BUDGET && o->mode != EXPLORE_RANDOM ? EXIT_BUDGET : EXIT_FINE;
}

void table_head(FILE *out)
{
	fprintf(out, "%-32s %5s %12s %13s %14s %9s  %-5s  %s\n", "scenario", "tasks", "executions",
		"sleep-blocked", "steps", "time", "model", "verdict");
}

void table_row(FILE *out, const struct options *o, const struct result *res)
{
	const struct explore_stats *s = &res->stats;
	char v[64];

	verdict(o, res, v, sizeof(v));
	fprintf(out, "%-32s %5u %12" PRIu64 " %13" PRIu64 " %14" PRIu64 " %8.2fs  %-5s  %s\n",
		res->scenario->name, s->tasks, s->executions, s->blocked, s->steps, s->seconds,
		memory_model(), v);
	fflush(out);
}

static struct report *make_report(const struct options *o, struct result *res)
{
	struct report *r;
	bool steady;

	scenario_load(res->scenario, res->bug);
	steady = minimise(&res->schedule, &res->failure, MINIMISE_BUDGET);
	r = report_make(res->scenario, res->bug, &res->schedule, o->full);
	r->steady = steady;
	r->execution = res->stats.executions + res->stats.blocked;
	return r;
}

void draw_failure(FILE *out, const struct options *o, struct result *res)
{
	struct report *r = make_report(o, res);

	if (o->html)
		report_html(out, r);
	else
		report_text(out, r, o->color);
	report_free(r);
}

static cJSON *finding_json(const struct report *r)
{
	cJSON *f = cJSON_CreateObject();

	cJSON_AddStringToObject(f, "kind", sim_finding_name(r->failure.kind));
	cJSON_AddStringToObject(f, "text", r->failure.text);
	if (r->failure.task >= 0)
		cJSON_AddStringToObject(f, "task", r->task[r->failure.task]);
	if (r->found_at.func)
		cJSON_AddStringToObject(f, "function", r->found_at.func);
	if (r->found_at.file) {
		cJSON_AddStringToObject(f, "file", r->found_at.file);
		cJSON_AddNumberToObject(f, "line", r->found_at.line);
	}
	cJSON_AddNumberToObject(f, "operations", r->nr_ops);
	cJSON_AddNumberToObject(f, "preemptions", r->preemptions);
	cJSON_AddStringToObject(f, "replay", r->replay);
	return f;
}

static void print_and_delete(FILE *out, cJSON *all)
{
	char *text = cJSON_Print(all);

	fprintf(out, "%s\n", text ? text : "{}");
	free(text);
	cJSON_Delete(all);
}

void print_json(FILE *out, const struct options *o, struct result *results, unsigned n)
{
	cJSON *all = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(all, "scenarios");
	char v[64];

	for (unsigned i = 0; i < n; i++) {
		const struct explore_stats *s = &results[i].stats;
		cJSON *j = cJSON_CreateObject();

		verdict(o, &results[i], v, sizeof(v));
		cJSON_AddStringToObject(j, "scenario", results[i].scenario->name);
		if (results[i].bug)
			cJSON_AddStringToObject(j, "bug", results[i].bug->name);
		cJSON_AddStringToObject(j, "memory_model", memory_model());
		cJSON_AddNumberToObject(j, "tasks", s->tasks);
		cJSON_AddNumberToObject(j, "executions", (double)s->executions);
		cJSON_AddNumberToObject(j, "sleep_blocked", (double)s->blocked);
		cJSON_AddNumberToObject(j, "steps", (double)s->steps);
		cJSON_AddNumberToObject(j, "seconds", s->seconds);
		cJSON_AddStringToObject(j, "verdict", v);
		if (results[i].end == EXPLORE_FAILED) {
			struct report *r = make_report(o, &results[i]);

			cJSON_AddItemToObject(j, "finding", finding_json(r));
			report_free(r);
		}
		cJSON_AddItemToArray(list, j);
	}
	if (explore_stop)
		cJSON_AddTrueToObject(all, "interrupted");
	print_and_delete(out, all);
}

void print_replay_json(FILE *out, const struct replay *want, const struct report *r)
{
	cJSON *all = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(all, "scenarios"),
	      *j = cJSON_CreateObject();

	cJSON_AddStringToObject(j, "scenario", want->scenario->name);
	if (want->bug)
		cJSON_AddStringToObject(j, "bug", want->bug->name);
	cJSON_AddStringToObject(j, "memory_model", memory_model());
	cJSON_AddNumberToObject(j, "steps", want->schedule.len);
	cJSON_AddStringToObject(j, "verdict", r ? sim_finding_name(r->failure.kind) : "ENDS WELL");
	if (r)
		cJSON_AddItemToObject(j, "finding", finding_json(r));
	cJSON_AddItemToArray(list, j);
	print_and_delete(out, all);
}

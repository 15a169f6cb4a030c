/* check/search/replay.c - schedules: run one, print it as a word, parse the word. Format:
 * replay.h. */
#include "search/replay.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "plat/sim/tso.h"

static void setup(void *arg)
{
	((const struct scenario *)arg)->setup();
}
static void end(void *arg)
{
	((const struct scenario *)arg)->end();
}
static void look(void *arg)
{
	((const struct scenario *)arg)->look();
}

void scenario_load(const struct scenario *scenario, const struct bug *bug)
{
	static struct sim_program p;

	p = (struct sim_program){ .name = scenario->name,
				  .setup = setup,
				  .end = end,
				  .arg = (void *)(uintptr_t)scenario,
				  .no_time = scenario->no_time,
				  .look = scenario->look ? look : NULL };
	sim_bug = bug ? bug->id : BUG_NONE_;
	sim_left_out = 0;
	sim_load(&p);
}

enum sim_finding schedule_run(const struct schedule *s)
{
	enum sim_finding found;

	sim_left_out = s->left_out;
	found = explore_replay(s->task, s->len);
	sim_left_out = 0;
	return found;
}

void schedule_of_trace(struct schedule *s)
{
	s->len = sim_depth;
	for (unsigned i = 0; i < sim_depth; i++)
		s->task[i] = (uint8_t)sim_trace[i].task;
}

/* FNV-1a. */
static uint32_t mix(uint32_t sum, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++, v >>= 8)
		sum = (sum ^ (v & 0xff)) * 16777619u;
	return sum;
}

uint32_t trace_sum(void)
{
	uint32_t sum = 2166136261u;

	for (unsigned i = 0; i < sim_depth; i++) {
		const struct sim_event *e = &sim_trace[i];

		sum = mix(sum, (uint32_t)e->task << 8 | e->op.kind);
		sum = mix(sum, e->op.obj);
		sum = mix(sum, e->op.at ? (uint32_t)e->op.at->line : 0);
	}
	return mix(sum, (uint32_t)sim_failure.kind);
}

/* ---- as text ---- */

#define TSO_SUFFIX "@tso"

/* Take the suffix off @name if it has it. */
static bool take_tso(char *name)
{
	char *suffix = strchr(name, '@');

	if (!suffix || strcmp(suffix, TSO_SUFFIX) != 0)
		return false;
	*suffix = '\0';
	return true;
}

static char letter(unsigned task)
{
	return (char)(task < 26 ? 'a' + task : 'A' + task - 26);
}

static int task_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	return c >= 'A' && c < 'A' + SIM_TASKS_MAX - 26 ? c - 'A' + 26 : -1;
}

void replay_print(char *buf, size_t n, const struct scenario *scenario, const struct bug *bug,
		  uint32_t left_out)
{
	size_t at = (size_t)snprintf(buf, n, "%s%s/%s/", scenario->name, sim_tso ? TSO_SUFFIX : "",
				     bug ? bug->name : "-");

	for (unsigned i = 0, run; i < sim_depth && at < n; i += run) {
		for (run = 1; i + run < sim_depth && sim_trace[i + run].task == sim_trace[i].task;
		     run++)
			;
		at += (size_t)snprintf(buf + at, n - at, "%c%u",
				       letter((unsigned)sim_trace[i].task), run);
	}
	for (uint32_t m = left_out; m && at < n; m &= m - 1)
		at += (size_t)snprintf(buf + at, n - at, "%s%c", m == left_out ? "~" : "",
				       letter((unsigned)__builtin_ctz(m)));
	if (at < n)
		snprintf(buf + at, n - at, "/%08x", trace_sum());
}

static const char *parse_runs(const char *s, struct schedule *out)
{
	out->len = 0;
	out->left_out = 0;
	for (; *s && *s != '~';) {
		int t = task_of(*s);
		unsigned long n;
		char *rest;

		if (t < 0 || !isdigit((unsigned char)s[1]))
			return "its third part is not a list of tasks and lengths, like a12b3";
		n = strtoul(s + 1, &rest, 10);
		if (n == 0 || n > SIM_DEPTH_MAX - out->len)
			return "its third part has a length of 0, or too many operations";
		memset(out->task + out->len, t, n);
		out->len += (unsigned)n;
		s = rest;
	}
	for (s += *s == '~'; *s; s++) {
		if (task_of(*s) < 0)
			return "its third part leaves out something that is no task";
		out->left_out |= 1u << task_of(*s);
	}
	return out->len ? NULL : "its third part is empty";
}

const char *replay_parse(const char *text, struct replay *out)
{
	char *copy = strdup(text), *part[4], *rest = copy;
	const char *wrong = NULL;
	unsigned n = 0;

	if (!copy)
		return "there is no memory for it";
	for (char *p; n < 4 && (p = strsep(&rest, "/")); n++)
		part[n] = p;
	if (n != 4 || rest)
		wrong = "it does not have the four parts SCENARIO/BUG/RUNS/SUM";
	else if (out->tso = take_tso(part[0]), !(out->scenario = scenario_find(part[0])))
		wrong = "this build has no such scenario";
	else if (out->bug = bug_find(part[1]), strcmp(part[1], "-") != 0 && !out->bug)
		wrong = "this build has no such bug";
	else if (strlen(part[3]) != 8 || strspn(part[3], "0123456789abcdef") != 8)
		wrong = "its fourth part is not 8 hexadecimal digits";
	else
		wrong = parse_runs(part[2], &out->schedule);
	if (!wrong)
		out->sum = (uint32_t)strtoul(part[3], NULL, 16);
	free(copy);
	return wrong;
}

bool replay_run(const struct replay *r)
{
	sim_tso = r->tso;
	scenario_load(r->scenario, r->bug);
	return schedule_run(&r->schedule) != SIM_BAD_REPLAY && sim_depth == r->schedule.len &&
	       trace_sum() == r->sum;
}

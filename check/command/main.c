/* check/command/main.c - umemcg check: searches scenarios for schedules that break something. The
 * options: options.c. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "command/cli.h"
#include "cli/check_help.h"
#include "draw/report.h"
#include "search/textbook.h"

/* ---- searching ---- */

struct watch {
	const char *name;
	uint64_t all; /* executions, if known */
	double shown;
	bool line; /* is a line shown on the terminal? */
};

#define COLUMNS_DEFAULT 80

/* One column less than available: the cursor must not wrap, because only its line is cleared. */
static int columns(void)
{
	struct winsize size = { 0 };

	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	return (size.ws_col ? size.ws_col : COLUMNS_DEFAULT) - 1;
}

static void format_left(char *text, size_t size, double done, double seconds)
{
	const char *unit = seconds < 100 ? "s" : seconds < 6000 ? "min" : "h";

	seconds /= seconds < 100 ? 1 : seconds < 6000 ? 60 : 3600;
	snprintf(text, size, ", %.0f %% done, about %.0f %s left", done * 100, seconds, unit);
}

static void progress(void *arg, const struct explore_stats *stats, double done)
{
	char left[80] = "", line[256];
	struct watch *w = arg;

	if (stats->seconds < w->shown + 0.25)
		return;
	if (w->all)
		done = (double)stats->executions / (double)w->all;
	w->shown = stats->seconds;
	w->line = true;
	if (done > 0.001 && done < 1)
		format_left(left, sizeof(left), done, stats->seconds * (1 - done) / done);
	snprintf(line, sizeof(line), "%s: %" PRIu64 " executions in %.0f s%s", w->name,
		 stats->executions + stats->blocked, stats->seconds, left);
	fprintf(stderr, "\r\033[K%.*s", columns(), line);
	fflush(stderr);
}

static void search_budget(const struct options *o, uint64_t budget, const struct scenario *scenario,
			  const struct bug *bug, struct result *res)
{
	static struct explore x;
	struct watch w = { .name = scenario->name };

	x = (struct explore){
		.mode = o->mode, .preemptions = o->preemptions, .seed = o->seed, .budget = budget
	};
	if (o->mode == EXPLORE_RANDOM)
		x.budget = w.all = o->random;
	if (o->progress) {
		x.progress = progress;
		x.arg = &w;
	}
	scenario_load(scenario, bug);
	res->scenario = scenario;
	res->bug = bug;
	res->end = o->jobs > 1 ? explore_run_jobs(&x, o->jobs) : explore_run(&x);
	if (w.line)
		fprintf(stderr, "\r\033[K");
	res->stats = x.stats;
	res->failure = x.failure;
	res->schedule.left_out = 0;
	res->schedule.len = x.schedule_len;
	memcpy(res->schedule.task, x.schedule, x.schedule_len);
}

void search(const struct options *o, const struct scenario *scenario, const struct bug *bug,
	    struct result *res)
{
	search_budget(o, o->budget ? o->budget : bug ? bug->budget : 0, scenario, bug, res);
}

/* ---- the commands ---- */

static struct result *new_results(unsigned n)
{
	struct result *r = calloc(n ? n : 1, sizeof(*r));

	if (!r)
		exit(wrong_use("there is no memory"));
	return r;
}

static void draw_findings(const struct options *o, struct result *results, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (results[i].end != EXPLORE_FAILED)
			continue;
		if (!o->html)
			putchar('\n');
		draw_failure(stdout, o, &results[i]);
	}
}

int run_check(const struct options *o)
{
	struct result *results = new_results(o->nr_scenarios);
	int code = EXIT_FINE;
	unsigned n = 0;

	if (o->html) {
		report_html_begin(stdout, "results");
		fputs("<pre>\n", stdout);
	}
	if (!o->json)
		table_head(stdout);
	for (unsigned i = 0; i < o->nr_scenarios; i++) {
		int c;

		search(o, o->scenarios[i], NULL, &results[i]);
		if (!o->json)
			table_row(stdout, o, &results[i]);
		if (ferror(stdout))
			break; /* nobody would read the rest: main() says so */
		n = i + 1;
		if (explore_stop)
			break;
		c = exit_of(o, &results[i]);
		if (c == EXIT_VIOLATION || code == EXIT_FINE)
			code = c;
	}
	if (explore_stop && !o->json)
		printf("interrupted: %u of %u scenarios were begun\n", n, o->nr_scenarios);
	if (o->html)
		fputs("</pre>\n", stdout);
	if (o->json)
		print_json(stdout, o, results, n);
	else if (!ferror(stdout))
		draw_findings(o, results, n);
	if (o->html)
		report_html_end(stdout);
	free(results);
	return code;
}

static void say_not_found(const struct options *o, const struct result *res)
{
	uint64_t n = res->stats.executions + res->stats.blocked;
	char v[64];

	verdict(o, res, v, sizeof(v));
	printf("%s: not found in %" PRIu64 " execution%s of %s: %s\n", res->bug->name, n,
	       n == 1 ? "" : "s", res->scenario->name, v);
}

int run_bug(const struct options *o)
{
	struct result *res = new_results(1);
	int code;

	search(o, o->scenarios[0], o->bug, res);
	code = res->end == EXPLORE_FAILED ? EXIT_VIOLATION : EXIT_BUDGET;
	if (o->json) {
		print_json(stdout, o, res, 1);
	} else if (code == EXIT_BUDGET) {
		say_not_found(o, res);
	} else {
		if (o->html)
			report_html_begin(stdout, o->bug->name);
		draw_failure(stdout, o, res);
		if (o->html)
			report_html_end(stdout);
	}
	free(res);
	return code;
}

int run_replay(const struct options *o)
{
	const struct replay *want = &o->replay;
	struct report *r;

	if (!replay_run(want))
		return wrong_use("--replay: the string does not fit this build; one that the same "
				 "build of umemcg drew, "
				 "unchanged, is accepted");
	if (sim_failure.kind == SIM_OK) {
		if (o->json)
			print_replay_json(stdout, want, NULL);
		else
			printf("%s: this schedule ends well\n", want->scenario->name);
		return EXIT_FINE;
	}
	r = report_make(want->scenario, want->bug, &want->schedule, o->full);
	r->steady = true; /* the sum was the same */
	if (o->json) {
		print_replay_json(stdout, want, r);
	} else if (o->html) {
		report_html_begin(stdout, want->scenario->name);
		report_html(stdout, r);
		report_html_end(stdout);
	} else {
		report_text(stdout, r, o->color);
	}
	report_free(r);
	return EXIT_VIOLATION;
}

#define BENCH_EXECUTIONS 300 /* a scenario with more is not a small one */
#define BENCH_SECONDS    0.3

int run_bench(const struct options *o)
{
	struct result *res = new_results(1);

	printf("%-32s %12s %14s %14s\n", "scenario", "executions", "executions/s", "steps/s");
	for (unsigned i = 0; i < nr_scenarios; i++) {
		double seconds = 0;
		uint64_t runs = 0, steps = 0;

		search_budget(o, BENCH_EXECUTIONS, scenarios[i], NULL, res);
		if (res->end != EXPLORE_DONE)
			continue;
		while (seconds < BENCH_SECONDS && !explore_stop) {
			search_budget(o, 0, scenarios[i], NULL, res);
			seconds += res->stats.seconds;
			runs += res->stats.executions + res->stats.blocked;
			steps += res->stats.steps;
		}
		printf("%-32s %12" PRIu64 " %14.0f %14.0f\n", scenarios[i]->name,
		       res->stats.executions, (double)runs / seconds, (double)steps / seconds);
		fflush(stdout);
	}
	free(res);
	putchar('\n');
	return textbook_bench(stdout) ? EXIT_FINE : EXIT_VIOLATION;
}

static int run(const struct options *o)
{
	switch (o->command) {
	case CLI_BUG:
		return run_bug(o);
	case CLI_REPLAY:
		return run_replay(o);
	case CLI_BENCH:
		return run_bench(o);
	case CLI_LIST:
		for (unsigned i = 0; i < nr_scenarios; i++)
			printf("%s\t%s\n", scenarios[i]->name, scenarios[i]->text);
		return EXIT_FINE;
	case CLI_LIST_BUGS:
		for (unsigned i = 0; i < nr_bugs; i++)
			printf("%s\t%s\t%s\n", bugs[i].name, bugs[i].source, bugs[i].scenario);
		return EXIT_FINE;
	case CLI_HELP:
		fputs(CHECK_HELP, stdout);
		return EXIT_FINE;
	case CLI_VERSION:
		printf("umemcg check " UMEMCG_VERSION "\nsource lines: %s\n",
		       symbols_known() ? "yes" : "of operations only");
		return EXIT_FINE;
	default:
		return run_check(o);
	}
}

/* The first time: report what is known, and end. The second time: just end. */
static void interrupted(int sig)
{
	explore_stop = sig;
}

/* Unless it was ignored when we were started. */
static void catch_signal(int sig)
{
	struct sigaction old,
		sa = { .sa_handler = interrupted, .sa_flags = SA_RESETHAND | SA_RESTART };

	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(sig, &sa, NULL);
}

/* End the way that a parent waiting for an interrupted program expects. */
static void end_by_signal(void)
{
	signal(explore_stop, SIG_DFL);
	raise(explore_stop);
}

int main(int argc, char **argv)
{
	static struct options o;
	int code = options_parse(argc, argv, &o);

	catch_signal(SIGINT);
	catch_signal(SIGTERM);
	if (!code)
		code = run(&o);
	free(o.scenarios);
	if (fflush(stdout) != 0 || ferror(stdout))
		return wrong_use("cannot write to standard output");
	if (explore_stop)
		end_by_signal();
	return code;
}

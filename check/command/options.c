/* check/command/options.c - the arguments of umemcg check.
 *
 * A value follows its option, or an equals sign. Any error ends in one line on standard error,
 * before anything is run.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "command/cli.h"
#include "plat/sim/tso.h"

int wrong_use(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "umemcg check: %s\n", text);
	return EXIT_WRONG_USE;
}

struct parser {
	struct options *o;
	const char *color;
	bool seed_given, html_or_text, several, model_given;
	const char *command; /* the option that asked for one; NULL: none */
	const char *mode;
};

static int number(const char *option, const char *value, uint64_t min, uint64_t max, uint64_t *out)
{
	char *rest;

	errno = 0;
	*out = strtoull(value, &rest, 10);
	if (*value < '0' || *value > '9' || *rest || errno || *out < min || *out > max)
		return wrong_use("%s '%s': a whole number from %llu to %llu is accepted", option,
				 value, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

/* ---- one function per option that takes a value ---- */

static int take_bug(struct parser *p, const char *value)
{
	p->o->bug = bug_find(value);
	if (!p->o->bug)
		return wrong_use("--bug '%s': no such bug; umemcg check --list-bugs names them",
				 value);
	if (!scenario_find(p->o->bug->scenario))
		return wrong_use("--bug '%s': this build has no scenario '%s' that would show it",
				 value, p->o->bug->scenario);
	return 0;
}

static int take_replay(struct parser *p, const char *value)
{
	const char *wrong = replay_parse(value, &p->o->replay);

	return wrong ? wrong_use("--replay '%.60s': %s", value, wrong) : 0;
}

static int take_preemptions(struct parser *p, const char *value)
{
	uint64_t n;
	int err = number("--preemptions", value, 0, 100, &n);

	p->o->preemptions = (unsigned)n;
	p->o->mode = EXPLORE_BOUNDED;
	return err;
}

static int take_random(struct parser *p, const char *value)
{
	p->o->mode = EXPLORE_RANDOM;
	return number("--random", value, 1, 1000000000000ull, &p->o->random);
}

static int take_seed(struct parser *p, const char *value)
{
	p->seed_given = true;
	return number("--seed", value, 0, UINT64_MAX, &p->o->seed);
}

static int take_budget(struct parser *p, const char *value)
{
	return number("--budget", value, 1, 1000000000000ull, &p->o->budget);
}

static int take_jobs(struct parser *p, const char *value)
{
	uint64_t n;
	int err = number("--jobs", value, 1, 64, &n);

	p->o->jobs = (unsigned)n;
	return err;
}

static int take_model(struct parser *p, const char *value)
{
	p->model_given = true;
	sim_tso = strcmp(value, "tso") == 0;
	if (!sim_tso && strcmp(value, "sc") != 0)
		return wrong_use("--memory-model '%s': sc and tso are accepted", value);
	return 0;
}

static int take_format(struct parser *p, const char *value)
{
	p->html_or_text = true;
	p->o->html = strcmp(value, "html") == 0;
	if (!p->o->html && strcmp(value, "text") != 0)
		return wrong_use("--format '%s': text and html are accepted", value);
	return 0;
}

static int take_color(struct parser *p, const char *value)
{
	p->color = value;
	if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 &&
	    strcmp(value, "never") != 0)
		return wrong_use("--color '%s': auto, always and never are accepted", value);
	return 0;
}

static const struct {
	const char *name;
	int (*take)(struct parser *p, const char *value); /* NULL: the option has no value */
	enum cli_command command;                         /* CLI_CHECK: it asks for no command */
	bool mode;                                        /* at most one of these */
} table[] = {
	{ "--bug", take_bug, CLI_BUG, false },
	{ "--replay", take_replay, CLI_REPLAY, false },
	{ "--list", NULL, CLI_LIST, false },
	{ "--list-bugs", NULL, CLI_LIST_BUGS, false },
	{ "--bench", NULL, CLI_BENCH, false },
	{ "--help", NULL, CLI_HELP, false },
	{ "-h", NULL, CLI_HELP, false },
	{ "--version", NULL, CLI_VERSION, false },
	{ "-V", NULL, CLI_VERSION, false },
	{ "--preemptions", take_preemptions, CLI_CHECK, true },
	{ "--random", take_random, CLI_CHECK, true },
	{ "--seed", take_seed, CLI_CHECK, false },
	{ "--budget", take_budget, CLI_CHECK, false },
	{ "--memory-model", take_model, CLI_CHECK, false },
	{ "--jobs", take_jobs, CLI_CHECK, false },
	{ "--format", take_format, CLI_CHECK, false },
	{ "--color", take_color, CLI_CHECK, false },
	{ "--quick", NULL, CLI_CHECK, false },
	{ "--json", NULL, CLI_CHECK, false },
	{ "--full", NULL, CLI_CHECK, false },
};
#define NR_OPTIONS (sizeof(table) / sizeof(table[0]))

static void take_flag(struct options *o, const char *name)
{
	o->quick |= strcmp(name, "--quick") == 0;
	o->json |= strcmp(name, "--json") == 0;
	o->full |= strcmp(name, "--full") == 0;
}

/* @arg is an option; @next the argument after it, NULL: none. *@used: @next was its value. */
static int take_option(struct parser *p, const char *arg, const char *next, bool *used)
{
	const char *equals = strchr(arg, '='), *value = equals ? equals + 1 : next;
	size_t len = equals ? (size_t)(equals - arg) : strlen(arg), i;

	for (i = 0; i < NR_OPTIONS; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, arg, len) == 0)
			break;
	if (i == NR_OPTIONS)
		return wrong_use("unknown option '%s'; try 'umemcg help check'", arg);
	if (!table[i].take && equals)
		return wrong_use("%s takes no value", table[i].name);
	if (table[i].take && !value)
		return wrong_use("%s needs a value; try 'umemcg help check'", table[i].name);
	if (table[i].command != CLI_CHECK) {
		if (p->command)
			return wrong_use("%s and %s: one of them is accepted", p->command,
					 table[i].name);
		p->command = table[i].name;
		p->o->command = table[i].command;
	}
	if (table[i].mode) {
		if (p->mode)
			return wrong_use("%s and %s: one of them is accepted", p->mode,
					 table[i].name);
		p->mode = table[i].name;
	}
	*used = table[i].take && !equals;
	if (table[i].take)
		return table[i].take(p, value);
	take_flag(p->o, table[i].name);
	return 0;
}

static int take_scenario(struct parser *p, const char *name)
{
	const struct scenario *s = scenario_find(name);

	if (!s)
		return wrong_use("'%s': no such scenario; umemcg check --list names them", name);
	p->o->scenarios[p->o->nr_scenarios++] = s;
	return 0;
}

/* Check that the options are compatible. */
static int consistent(struct parser *p)
{
	const struct options *o = p->o;

	if (o->command == CLI_BUG && o->nr_scenarios > 1)
		return wrong_use("--bug takes one scenario, and '%s' is another",
				 o->scenarios[1]->name);
	if (p->command && o->command != CLI_BUG && o->nr_scenarios)
		return wrong_use("%s takes no scenario, and '%s' is one", p->command,
				 o->scenarios[0]->name);
	if (p->command && o->quick)
		return wrong_use("--quick is for all scenarios, not for %s", p->command);
	if (o->nr_scenarios && o->quick)
		return wrong_use("--quick is for all scenarios, and '%s' is one",
				 o->scenarios[0]->name);
	if (p->seed_given && o->mode != EXPLORE_RANDOM)
		return wrong_use("--seed is for --random N, which is not there");
	if (o->budget && o->mode == EXPLORE_RANDOM && o->command != CLI_BUG)
		return wrong_use("--budget and --random: one of them is accepted");
	if (o->command != CLI_CHECK && o->command != CLI_BUG && o->command != CLI_REPLAY && o->json)
		return wrong_use("%s and --json: one of them is accepted", p->command);
	if (o->command != CLI_CHECK && o->command != CLI_BUG && o->command != CLI_REPLAY && o->html)
		return wrong_use("%s and --format html: one of them is accepted", p->command);
	if (o->command != CLI_CHECK && o->command != CLI_BUG && o->budget)
		return wrong_use("%s and --budget: one of them is accepted", p->command);
	if (p->model_given && o->command != CLI_CHECK && o->command != CLI_BUG)
		return wrong_use("%s and --memory-model: one of them is accepted", p->command);
	if (o->json && p->html_or_text)
		return wrong_use("--json and --format: one of them is accepted");
	if (p->mode && o->command != CLI_CHECK && o->command != CLI_BUG)
		return wrong_use("%s and %s: one of them is accepted", p->command, p->mode);
	return 0;
}

static void defaults(struct parser *p)
{
	struct options *o = p->o;
	const char *term = getenv("TERM");

	if (!o->nr_scenarios && o->command == CLI_BUG)
		o->scenarios[o->nr_scenarios++] = scenario_find(o->bug->scenario);
	else if (!o->nr_scenarios)
		for (unsigned i = 0; i < nr_scenarios; i++)
			if (!o->quick || !scenarios[i]->slow)
				o->scenarios[o->nr_scenarios++] = scenarios[i];
	if (o->command == CLI_BUG && o->bug->tso && !p->model_given)
		sim_tso = true;
	o->color = strcmp(p->color, "always") == 0 ||
		   (strcmp(p->color, "auto") == 0 && isatty(STDOUT_FILENO) && term &&
		    strcmp(term, "dumb") != 0 && !getenv("NO_COLOR"));
	o->progress = isatty(STDERR_FILENO);
}

int options_parse(int argc, char **argv, struct options *o)
{
	struct parser p = { .o = o, .color = "auto" };
	int err = 0;

	memset(o, 0, sizeof(*o));
	o->jobs = 1;
	o->seed = 1;
	o->scenarios = calloc(nr_scenarios + (size_t)argc, sizeof(const struct scenario *));
	if (!o->scenarios)
		return wrong_use("there is no memory");
	for (int i = 1; i < argc && !err; i++) {
		bool used = false;

		if (argv[i][0] != '-') {
			err = take_scenario(&p, argv[i]);
			continue;
		}
		err = take_option(&p, argv[i], argv[i + 1], &used);
		i += used;
	}
	err = err ? err : consistent(&p);
	if (!err)
		defaults(&p);
	return err;
}

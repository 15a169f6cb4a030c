/* cli/run_options.c - the command line of `umemcg run`. See run_options.h.
 *
 * Invariant: after run_options_parse returns true without help or version, the limits are
 * consistent: memory_max is at least SERVE_MEMORY_MIN, memsw_max at least memory_max, argv[0] is a
 * program.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_dialects.h"
#include "cli/run_options.h"
#include "cli/run_values.h"

#define OPTIONS_VARIABLE "UMEMCG_OPTIONS"

enum {
	OPT_MEMORY_HIGH = 256,
	OPT_MEMORY_SWAP,
	OPT_SWAP_MAX,
	OPT_MEMSW_MAX,
	OPT_SWAP,
	OPT_SWAP_DIRECT,
	OPT_SWAP_TIER,
	OPT_ZSWAP_MAX,
	OPT_NO_SPIN,
	OPT_KERNEL_SYSV,
	OPT_KERNEL_MEMFD,
	OPT_MODE,
	OPT_NAME,
	OPT_REPORT,
	OPT_REPORT_FILE,
	OPT_PROCESSES,
	OPT_VIEW,
	OPT_VIEW_TOTAL,
};

static const struct option long_options[] = {
	/* clang-format off */
	{ "memory-max",  required_argument, NULL, 'm' },
	{ "memory",      required_argument, NULL, 'm' },
	{ "memory-swap", required_argument, NULL, OPT_MEMORY_SWAP },
	{ "property",    required_argument, NULL, 'p' },
	{ "memory-high", required_argument, NULL, OPT_MEMORY_HIGH },
	{ "swap-max",    required_argument, NULL, OPT_SWAP_MAX },
	{ "memsw-max",   required_argument, NULL, OPT_MEMSW_MAX },
	{ "swap",        required_argument, NULL, OPT_SWAP },
	{ "swap-direct", no_argument,       NULL, OPT_SWAP_DIRECT },
	{ "swap-tier",   required_argument, NULL, OPT_SWAP_TIER },
	{ "zswap-max",   required_argument, NULL, OPT_ZSWAP_MAX },
	{ "no-spin",     no_argument,       NULL, OPT_NO_SPIN },
	{ "kernel-sysv", no_argument,       NULL, OPT_KERNEL_SYSV },
	{ "kernel-memfd", no_argument,      NULL, OPT_KERNEL_MEMFD },
	{ "mode",        required_argument, NULL, OPT_MODE },
	{ "name",        required_argument, NULL, OPT_NAME },
	{ "report",      required_argument, NULL, OPT_REPORT },
	{ "report-file", required_argument, NULL, OPT_REPORT_FILE },
	{ "processes",   required_argument, NULL, OPT_PROCESSES },
	{ "view",        required_argument, NULL, OPT_VIEW },
	{ "view-total",  required_argument, NULL, OPT_VIEW_TOTAL },
	{ "quiet",       no_argument,       NULL, 'q' },
	{ "verbose",     no_argument,       NULL, 'v' },
	{ "help",        no_argument,       NULL, 'h' },
	{ "version",     no_argument,       NULL, 'V' },
	{ NULL, 0, NULL, 0 },
	/* clang-format on */
};

/* The name of option @val in messages. */
static const char *option_name(int val)
{
	static char name[32];

	if (val == 'm')
		return "-m/--memory-max";
	for (const struct option *o = long_options; o->name; o++) {
		if (o->val == val) {
			snprintf(name, sizeof(name), "--%s", o->name);
			return name;
		}
	}
	snprintf(name, sizeof(name), "-%c", val);
	return name;
}

static bool parse_one(struct run_options *o, int val, const char *arg, char *problem)
{
	struct serve_config *c = &o->config;

	switch (val) {
	case 'm':
		return value_bytes(option_name(val), arg, SERVE_MEMORY_MIN, &c->memory_max,
				   problem);
	case OPT_MEMORY_HIGH:
		return value_bytes(option_name(val), arg, 0, &c->memory_high, problem);
	case OPT_MEMORY_SWAP:
		o->memory_swap = arg;
		return true;
	case 'p':
		return dialect_property(o, arg, problem);
	case OPT_SWAP_MAX:
		o->swap_given = true;
		o->swap_given_as = arg;
		return value_swap(option_name(val), arg, &c->swap_max, problem);
	case OPT_MEMSW_MAX:
		return value_bytes(option_name(val), arg, 0, &c->memsw_max, problem);
	case OPT_SWAP:
		o->swap_dir_from = "--swap";
		return value_path(option_name(val), arg, "directory", &c->swap_dir, problem);
	case OPT_SWAP_DIRECT:
		c->swap_direct = true;
		return true;
	case OPT_SWAP_TIER:
		return value_tier(arg, &c->codec, &c->tier_file, problem);
	case OPT_ZSWAP_MAX:
		return value_bytes(option_name(val), arg, 0, &c->zswap_max, problem);
	case OPT_NO_SPIN:
		c->no_spin = true;
		return true;
	case OPT_KERNEL_SYSV:
		c->kernel_sysv = true;
		return true;
	case OPT_KERNEL_MEMFD:
		c->kernel_memfd = true;
		return true;
	case OPT_MODE:
		return value_mode(arg, &c->mode, problem);
	case OPT_NAME:
		return value_name(arg, &c->group_name, problem);
	case OPT_REPORT:
		return value_report(arg, &o->report, problem);
	case OPT_REPORT_FILE:
		return value_path(option_name(val), arg, "file", &o->report_file, problem);
	case OPT_PROCESSES:
		return value_path(option_name(val), arg, "file", &o->processes_file, problem);
	case OPT_VIEW:
		return value_view(arg, &c->view, problem);
	case OPT_VIEW_TOTAL:
		return value_view_total(arg, &c->view_with_swap, problem);
	case 'q':
		o->quiet = true;
		o->verbose = false;
		return true;
	case 'v':
		o->verbose = true;
		o->quiet = false;
		return true;
	case 'h':
		o->help = true;
		return true;
	default:
		o->version = true;
		return true;
	}
}

/* The option is unknown or ambiguous. */
static bool refuse_long(const char *arg, char *problem)
{
	size_t len = strcspn(arg + 2, "=");
	const char *hint = dialect_hint(arg + 2, len);
	char names[128] = "";

	if (hint)
		return options_fail(problem, "unknown option '%s'; %s", TEXT_NAME(arg), hint);

	for (const struct option *o = long_options; o->name; o++) {
		size_t at = strlen(names);

		if (strncmp(o->name, arg + 2, len) == 0)
			snprintf(names + at, sizeof(names) - at, "%s--%s", at ? ", " : "", o->name);
	}
	if (!*names)
		return options_fail(problem, "unknown option '%s'; see 'umemcg help run'",
				    TEXT_NAME(arg));
	return options_fail(problem, "option '%s' is ambiguous: it may be %s", TEXT_NAME(arg),
			    names);
}

/* getopt_long rejected argv[optind - 1], or a letter in it. */
static bool refuse(int val, char **argv, char *problem)
{
	const char *arg = argv[optind - 1];

	if (val == ':')
		return options_fail(problem, "option %s needs a value; see 'umemcg help run'",
				    option_name(optopt));
	if (optopt && strncmp(arg, "--", 2) == 0)
		return options_fail(problem, "option %s takes no value, but was given '%s'",
				    option_name(optopt),
				    TEXT_NAME(strchr(arg, '=') ? strchr(arg, '=') + 1 : ""));
	if (optopt == 0)
		return refuse_long(arg, problem);
	return options_fail(problem, "unknown option '-%c'; %s", optopt, dialect_letter(optopt));
}

static void set_defaults(struct run_options *o)
{
	const char *tmpdir = getenv("TMPDIR");

	*o = (struct run_options){
		.config = {
			.memory_max = -1,  /* not given */
			.memory_high = SERVE_UNLIMITED,
			.swap_max = -1,    /* not given */
			.memsw_max = SERVE_UNLIMITED,
			.swap_dir = tmpdir && *tmpdir ? tmpdir : "/var/tmp",
			.engine = STORE_AUTO,
			.tier_file = true,
			.zswap_max = -1,   /* not given */
		},
		.swap_dir_from = tmpdir && *tmpdir ? "TMPDIR" : "default",
	};
}

/* Pure: the swap limit if none was given. */
static int64_t default_swap_max(int64_t memory_max)
{
	if (memory_max == SERVE_UNLIMITED)
		return 0;
	if (memory_max > SERVE_UNLIMITED / SWAP_DEFAULT_FACTOR)
		return SERVE_UNLIMITED;
	return memory_max * SWAP_DEFAULT_FACTOR;
}

static bool complete(struct run_options *o, char *problem)
{
	struct serve_config *c = &o->config;
	char memsw[SIZE_TEXT_MAX], memory[SIZE_TEXT_MAX];

	if (c->memory_max < 0)
		return options_fail(problem, "option -m/--memory-max is missing; %s",
				    dialect_order(o->argv));
	if (c->memsw_max < c->memory_max)
		return options_fail(problem,
				    "option --memsw-max: %s is below the memory limit of %s; it "
				    "counts memory and swap together",
				    size_format(memsw, c->memsw_max),
				    size_format(memory, c->memory_max));
	if (!o->argv[0] || !*o->argv[0])
		return options_fail(problem,
				    "no program to run; usage: umemcg run -m SIZE [OPTIONS] [--] "
				    "PROGRAM [ARGS...]");
	if (o->memory_swap && !dialect_memory_swap(o, o->memory_swap, problem))
		return false;
	if (!o->swap_given)
		c->swap_max = default_swap_max(c->memory_max);
	if (o->report == REPORT_NONE && (o->verbose || o->report_file))
		o->report = REPORT_TEXT;
	return true;
}

static bool parse_words(int argc, char **argv, struct run_options *o, char *problem)
{
	int val;

	opterr = 0;
	optind = 0; /* glibc: reset */
	while ((val = getopt_long(argc, argv, "+:m:p:qvhV", long_options, NULL)) != -1) {
		if (val == '?' || val == ':')
			return refuse(val, argv, problem);
		if (!parse_one(o, val, optarg, problem))
			return false;
		if (o->help || o->version)
			return true;
	}
	o->argv = argv + optind;
	return true;
}

/* Options in $UMEMCG_OPTIONS come before those of the command line, which win. */
static bool parse_environment(struct run_options *o, char *problem)
{
	const char *text = getenv(OPTIONS_VARIABLE);
	char inner[OPTIONS_PROBLEM_MAX] = "", *words[OPTIONS_WORDS_MAX + 2] = { OPTIONS_VARIABLE };
	int n = 1;

	if (!text)
		return true;
	if (strlen(text) >= sizeof(o->environment))
		return options_fail(problem, OPTIONS_VARIABLE " is too long; at most %zu bytes",
				    sizeof(o->environment) - 1);
	strcpy(o->environment, text);
	for (char *save, *word = strtok_r(o->environment, " \t\n", &save); word;
	     word = strtok_r(NULL, " \t\n", &save)) {
		if (n > OPTIONS_WORDS_MAX)
			return options_fail(problem,
					    OPTIONS_VARIABLE " has too many words; at most %d",
					    OPTIONS_WORDS_MAX);
		words[n++] = word;
	}
	if (!parse_words(n, words, o, inner))
		return options_fail(problem, OPTIONS_VARIABLE ": %.900s", inner);
	if (o->help || o->version)
		return options_fail(problem, OPTIONS_VARIABLE ": options for every run are "
							      "accepted, without help or version");
	if (optind < n)
		return options_fail(problem, OPTIONS_VARIABLE ": '%s' is not an option",
				    TEXT_NAME(words[optind]));
	return true;
}

bool run_options_parse(int argc, char **argv, struct run_options *o,
		       char problem[OPTIONS_PROBLEM_MAX])
{
	set_defaults(o);
	if (!parse_environment(o, problem) || !parse_words(argc, argv, o, problem))
		return false;
	return o->help || o->version || complete(o, problem);
}

/* cli/run_options.c - the command line of `umemcg run`. See run_options.h.
 *
 * Invariant: after run_options_parse returns true without help or version, the limits are
 * consistent: memory_max is at least SERVE_MEMORY_MIN, memsw_max at least memory_max, argv[0] is a
 * program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_limits.h"
#include "cli/run_options.h"

#define NR_LETTERS      52 /* in both cases */
#define GROUP_NAME_MAX  63
#define SWAP_FILE_LEAST STORE_PAGE_SIZE /* minimum of any swap file */

enum {
	OPT_MEMORY_HIGH = 256,
	OPT_SWAP_MAX,
	OPT_MEMSW_MAX,
	OPT_SWAP,
	OPT_SWAP_DIRECT,
	OPT_NO_SPIN,
	OPT_KERNEL_SYSV,
	OPT_MANAGE_MEMFD,
	OPT_NAME,
	OPT_REPORT,
	OPT_REPORT_FILE,
	OPT_PROCESSES,
};

static const struct option long_options[] = {
	/* clang-format off */
	{ "memory-max",  required_argument, NULL, 'm' },
	{ "memory-high", required_argument, NULL, OPT_MEMORY_HIGH },
	{ "swap-max",    required_argument, NULL, OPT_SWAP_MAX },
	{ "memsw-max",   required_argument, NULL, OPT_MEMSW_MAX },
	{ "swap",        required_argument, NULL, OPT_SWAP },
	{ "swap-direct", no_argument,       NULL, OPT_SWAP_DIRECT },
	{ "no-spin",     no_argument,       NULL, OPT_NO_SPIN },
	{ "kernel-sysv", no_argument,       NULL, OPT_KERNEL_SYSV },
	{ "manage-memfd", no_argument,      NULL, OPT_MANAGE_MEMFD },
	{ "name",        required_argument, NULL, OPT_NAME },
	{ "report",      required_argument, NULL, OPT_REPORT },
	{ "report-file", required_argument, NULL, OPT_REPORT_FILE },
	{ "processes",   required_argument, NULL, OPT_PROCESSES },
	{ "verbose",     no_argument,       NULL, 'v' },
	{ "help",        no_argument,       NULL, 'h' },
	{ "version",     no_argument,       NULL, 'V' },
	{ NULL, 0, NULL, 0 },
	/* clang-format on */
};

__attribute__((format(printf, 2, 3))) static bool fail(char problem[OPTIONS_PROBLEM_MAX],
						       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem, OPTIONS_PROBLEM_MAX, format, args);
	va_end(args);
	return false;
}

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

static bool parse_bytes(int val, const char *text, int64_t least, int64_t *bytes, char *problem)
{
	int64_t n;

	switch (size_parse(text, &n)) {
	case 0:
		break;
	case -ERANGE:
		return fail(problem,
			    "option %s: '%s' is too large; the most is 2^63 - 1 bytes, or "
			    "max",
			    option_name(val), TEXT_NAME(text));
	default:
		return fail(problem,
			    "option %s: '%s' is not a size; give bytes, a number with K, "
			    "M, G or T (64M, 1GiB), or max",
			    option_name(val), TEXT_NAME(text));
	}
	if (n < least)
		return fail(problem,
			    "option %s: '%s' is too small; the least is %dM, and max is "
			    "accepted",
			    option_name(val), TEXT_NAME(text), SERVE_MEMORY_MIN >> 20);
	*bytes = n;
	return true;
}

static bool parse_swap_max(const char *text, int64_t *bytes, char *problem)
{
	if (!parse_bytes(OPT_SWAP_MAX, text, 0, bytes, problem))
		return false;
	/* Probably a number without its unit letter; less than a page would mean no swap at all. */
	if (*bytes > 0 && *bytes < SWAP_FILE_LEAST)
		return fail(problem,
			    "option --swap-max: '%s' is too small; the least is %ldK, and "
			    "0 is none",
			    TEXT_NAME(text), (long)SWAP_FILE_LEAST >> 10);
	if (*bytes == SERVE_UNLIMITED || *bytes <= SWAP_FILE_MAX)
		return true;
	return fail(
		problem,
		"option --swap-max: '%s' is too large; the most is %dT, or max for what the swap "
		"directory has free",
		TEXT_NAME(text), (int)(SWAP_FILE_MAX >> 40));
}

static bool parse_report(const char *text, enum report_format *format, char *problem)
{
	if (strcmp(text, "text") == 0)
		*format = REPORT_TEXT;
	else if (strcmp(text, "json") == 0)
		*format = REPORT_JSON;
	else
		return fail(problem,
			    "option --report: '%s' is not a format; accepted are text and "
			    "json",
			    TEXT_NAME(text));
	return true;
}

static bool parse_path(int val, const char *text, const char **path, char *problem)
{
	if (!*text)
		return fail(problem, "option %s: '' is not a name; give the name of a %s",
			    option_name(val), val == OPT_SWAP ? "directory" : "file");
	*path = text;
	return true;
}

/* A name must not look like a pid or an option. */
static bool parse_name(const char *text, const char **name, char *problem)
{
	static const char all[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(text);

	if (len == 0 || len > GROUP_NAME_MAX || strspn(text, all) != len ||
	    strchr(all + NR_LETTERS, *text))
		return fail(problem,
			    "option --name: '%s' is not a name; give a letter, then letters, "
			    "digits, '.', "
			    "'_' or '-', at most %d in all",
			    TEXT_NAME(text), GROUP_NAME_MAX);
	*name = text;
	return true;
}

static bool parse_one(struct run_options *o, int val, const char *arg, char *problem)
{
	struct serve_config *c = &o->config;

	switch (val) {
	case 'm':
		return parse_bytes(val, arg, SERVE_MEMORY_MIN, &c->memory_max, problem);
	case OPT_MEMORY_HIGH:
		return parse_bytes(val, arg, 0, &c->memory_high, problem);
	case OPT_SWAP_MAX:
		o->swap_given = true;
		o->swap_given_as = arg;
		return parse_swap_max(arg, &c->swap_max, problem);
	case OPT_MEMSW_MAX:
		return parse_bytes(val, arg, 0, &c->memsw_max, problem);
	case OPT_SWAP:
		o->swap_dir_from = "--swap";
		return parse_path(val, arg, &c->swap_dir, problem);
	case OPT_SWAP_DIRECT:
		c->swap_direct = true;
		return true;
	case OPT_NO_SPIN:
		c->no_spin = true;
		return true;
	case OPT_KERNEL_SYSV:
		c->kernel_sysv = true;
		return true;
	case OPT_MANAGE_MEMFD:
		c->manage_memfd = true;
		return true;
	case OPT_NAME:
		return parse_name(arg, &c->group_name, problem);
	case OPT_REPORT:
		return parse_report(arg, &o->report, problem);
	case OPT_REPORT_FILE:
		return parse_path(val, arg, &o->report_file, problem);
	case OPT_PROCESSES:
		return parse_path(val, arg, &o->processes_file, problem);
	case 'v':
		o->verbose = true;
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
	char names[128] = "";

	for (const struct option *o = long_options; o->name; o++) {
		size_t at = strlen(names);

		if (strncmp(o->name, arg + 2, len) == 0)
			snprintf(names + at, sizeof(names) - at, "%s--%s", at ? ", " : "", o->name);
	}
	if (!*names)
		return fail(problem, "unknown option '%s'; see 'umemcg help run'", TEXT_NAME(arg));
	return fail(problem, "option '%s' is ambiguous: it may be %s", TEXT_NAME(arg), names);
}

/* getopt_long rejected argv[optind - 1], or a letter in it. */
static bool refuse(int val, char **argv, char *problem)
{
	const char *arg = argv[optind - 1];

	if (val == ':')
		return fail(problem, "option %s needs a value; see 'umemcg help run'",
			    option_name(optopt));
	if (optopt >= 256)
		return fail(problem, "option %s takes no value, but was given '%s'",
			    option_name(optopt),
			    TEXT_NAME(strchr(arg, '=') ? strchr(arg, '=') + 1 : ""));
	if (optopt == 0 || strncmp(arg, "--", 2) == 0)
		return refuse_long(arg, problem);
	return fail(problem, "unknown option '-%c'; see 'umemcg help run'", optopt);
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
		return fail(problem, "option -m/--memory-max is missing; give the limit of the "
				     "program's memory, for example -m 64M, or max");
	if (c->memsw_max < c->memory_max)
		return fail(problem,
			    "option --memsw-max: %s is below the memory limit of %s; it "
			    "counts memory and swap together",
			    size_format(memsw, c->memsw_max), size_format(memory, c->memory_max));
	if (!o->argv[0] || !*o->argv[0])
		return fail(problem, "no program to run; usage: umemcg run -m SIZE [OPTIONS] [--] "
				     "PROGRAM [ARGS...]");
	if (!o->swap_given)
		c->swap_max = default_swap_max(c->memory_max);
	if (o->report == REPORT_NONE && (o->verbose || o->report_file))
		o->report = REPORT_TEXT;
	return true;
}

bool run_options_parse(int argc, char **argv, struct run_options *o,
		       char problem[OPTIONS_PROBLEM_MAX])
{
	int val;

	set_defaults(o);
	opterr = 0;
	optind = 0; /* glibc: reset */
	while ((val = getopt_long(argc, argv, "+:m:vhV", long_options, NULL)) != -1) {
		if (val == '?' || val == ':')
			return refuse(val, argv, problem);
		if (!parse_one(o, val, optarg, problem))
			return false;
		if (o->help || o->version)
			return true;
	}
	o->argv = argv + optind;
	return complete(o, problem);
}

/* The origin of the swap directory, for messages. */
static const char *swap_dir_origin(const struct run_options *o)
{
	if (strcmp(o->swap_dir_from, "--swap") == 0)
		return "option --swap:";
	return strcmp(o->swap_dir_from, "TMPDIR") == 0 ? "TMPDIR:" : "default";
}

static void end_probe(struct store_batch *b)
{
	(void)b;
}

/* Make a swap file of @bytes and write its first page: nothing less shows whether one can exist. 0
 * or -errno. */
static int probe_swap_file(const struct serve_config *c, int64_t bytes)
{
	void *page = plat_alloc_big(STORE_PAGE_SIZE);
	struct store_batch b = { .write = true, .n = 1, .end_io = end_probe };
	struct store *store;
	int err;

	if (!page)
		return -ENOMEM;
	store = store_file_open(c->swap_dir, (uint64_t)bytes / STORE_PAGE_SIZE, c->swap_direct,
				c->engine, &err);
	if (store) {
		b.io[0].data = page;
		store_submit(store, &b);
		store_wait(store, &b);
		err = b.io[0].error;
		store_destroy(store);
	}
	plat_free_big(page, STORE_PAGE_SIZE);
	return err;
}

static bool check_swap_dir(const struct run_options *o, char *problem)
{
	const char *dir = o->config.swap_dir;
	struct stat st;
	int error = 0;

	if (stat(dir, &st) != 0)
		error = errno;
	else if (!S_ISDIR(st.st_mode))
		error = ENOTDIR;
	else if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
		error = errno;
	else
		error = -probe_swap_file(&o->config, STORE_PAGE_SIZE);
	if (!error)
		return true;
	if (error == EOPNOTSUPP && o->config.swap_direct)
		return fail(problem,
			    "option --swap-direct: the file system of swap directory '%s' "
			    "has no O_DIRECT; leave it out, or give another with --swap DIR",
			    TEXT_NAME(dir));
	return fail(problem,
		    "%s swap directory '%s': no swap file can be made there: %s; give one "
		    "that can be written with --swap DIR",
		    swap_dir_origin(o), TEXT_NAME(dir), strerror(error));
}

/* Free bytes in the swap directory; a file system without a size is unlimited. */
static bool swap_dir_room(const struct run_options *o, int64_t *room, char *problem)
{
	const char *dir = o->config.swap_dir, *shown = TEXT_NAME(dir);
	char free_text[SIZE_TEXT_MAX], least[SIZE_TEXT_MAX];
	struct statvfs fs;

	if (statvfs(dir, &fs) != 0)
		return fail(problem, "%s swap directory '%s': %s", swap_dir_origin(o), shown,
			    strerror(errno));
	if (fs.f_blocks == 0 || __builtin_mul_overflow(fs.f_bavail, fs.f_frsize, room))
		*room = SERVE_UNLIMITED - 1;
	if (*room >= SWAP_FILE_MIN)
		return true;
	return fail(problem,
		    "%s swap directory '%s': only %s free; give one with at least %s with "
		    "--swap DIR, or no swap with --swap-max 0",
		    swap_dir_origin(o), shown, size_format(free_text, *room),
		    size_format(least, SWAP_FILE_MIN));
}

/* May a file here have the requested size, or hold even a page? */
static bool check_file_size(const struct run_options *o, char *problem)
{
	const struct serve_config *c = &o->config;
	int64_t most = run_limits_file_size();
	bool number = o->swap_given && c->swap_max != SERVE_UNLIMITED;
	char limit[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

	if (most >= (number && c->swap_max > SWAP_FILE_LEAST ? c->swap_max : SWAP_FILE_LEAST))
		return true;
	return fail(problem,
		    "option --swap-max: %s does not fit into a file: 'ulimit -f' is %s; raise it, "
		    "or give "
		    "less, or --swap-max 0 for no swap",
		    number ? TEXT_NAME(o->swap_given_as) : size_format(size, c->swap_max),
		    size_format(limit, most));
}

/* File systems limit a file's size, too. */
static bool check_swap_size(const struct run_options *o, char *problem)
{
	const struct serve_config *c = &o->config;
	int err = c->swap_max < STORE_PAGE_SIZE ? 0 : probe_swap_file(c, c->swap_max);

	if (!err)
		return true;
	return fail(problem,
		    "option --swap-max: %s: no swap file of that size can be made in '%s': %s; "
		    "give less, or "
		    "another directory with --swap DIR",
		    TEXT_NAME(o->swap_given_as), TEXT_NAME(c->swap_dir), strerror(-err));
}

static void bound_swap_size(struct run_options *o, int64_t most, enum swap_bound why)
{
	if (o->config.swap_size <= most)
		return;
	o->config.swap_size = most & ~(int64_t)(STORE_PAGE_SIZE - 1);
	o->swap_bound = why;
}

bool run_options_check(struct run_options *o, char problem[OPTIONS_PROBLEM_MAX])
{
	struct serve_config *c = &o->config;
	int64_t room = 0;

	c->swap_size = c->swap_max;
	if (c->swap_max == 0 && strcmp(o->swap_dir_from, "--swap") != 0)
		return true;
	if (!check_file_size(o, problem) || !check_swap_dir(o, problem) ||
	    !swap_dir_room(o, &room, problem))
		return false;
	if (c->swap_max == 0)
		return true;
	if (o->swap_given && c->swap_max != SERVE_UNLIMITED)
		return check_swap_size(o, problem);
	/* No size was given: use no more than there is room for. */
	bound_swap_size(o, room, SWAP_BOUND_DISK);
	bound_swap_size(o, run_limits_file_size(), SWAP_BOUND_FILE_SIZE);
	bound_swap_size(o, SWAP_FILE_MAX, SWAP_BOUND_NONE);
	if (!o->swap_given && c->swap_max > c->swap_size)
		c->swap_max = c->swap_size;
	return true;
}

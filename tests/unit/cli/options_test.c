/* tests/unit/cli/options_test.c - the command line of `umemcg run` as a function: options in,
 * numbers or one line out; numbers in, report out. Nothing is started here; run_test.c does that.
 */
#include <cjson/cJSON.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/run_child.h"
#include "cli/run_options.h"
#include "cli/run_report.h"
#include "test.h"

#define MAX       SERVE_UNLIMITED
#define MIB       (INT64_C(1) << 20)
#define GIB       (INT64_C(1) << 30)
#define WORDS_MAX 16

/* Parse "run" and the words of @line. */
static bool parse(const char *line, struct run_options *o, char problem[OPTIONS_PROBLEM_MAX])
{
	static char copy[4200];
	static char *argv[WORDS_MAX + 1];
	int argc = 0;

	snprintf(copy, sizeof(copy), "run %s", line);
	for (char *word = strtok(copy, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return run_options_parse(argc, argv, o, problem);
}

/* Every spelling of the limits yields the same numbers; swap defaults to four times the memory. */
TEST(limits_are_understood)
{
	static const struct {
		const char *line;
		int64_t memory, high, swap, memsw;
	} rows[] = {
		{ "-m 64M true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "-m64M true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "-m 67108864 -- true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "--memory-max=64MiB true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "--memory-max 1g true", GIB, MAX, 4 * GIB, MAX },
		{ "-m 1M true", MIB, MAX, 4 * MIB, MAX },
		{ "-m max true", MAX, MAX, 0, MAX },
		{ "-m max --swap-max 1G true", MAX, MAX, GIB, MAX },
		{ "-m 64M --swap-max 0 true", 64 * MIB, MAX, 0, MAX },
		{ "-m 64M --swap-max max true", 64 * MIB, MAX, MAX, MAX },
		{ "-m 4611686018427387904 true", INT64_C(1) << 62, MAX, MAX, MAX },
		{ "-m 64M --memory-high 48M true", 64 * MIB, 48 * MIB, 256 * MIB, MAX },
		{ "-m 64M --memory-high 1G true", 64 * MIB, GIB, 256 * MIB, MAX },
		{ "-m 64M --memsw-max 64M true", 64 * MIB, MAX, 256 * MIB, 64 * MIB },
		{ "-m 32M -m 64M true", 64 * MIB, MAX, 256 * MIB, MAX },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char problem[OPTIONS_PROBLEM_MAX] = "";
		struct run_options o;

		if (!parse(rows[i].line, &o, problem))
			fail_msg("%s: %s", rows[i].line, problem);
		if (o.config.memory_max != rows[i].memory || o.config.memory_high != rows[i].high ||
		    o.config.swap_max != rows[i].swap || o.config.memsw_max != rows[i].memsw)
			fail_msg("%s: memory %lld high %lld swap %lld memsw %lld", rows[i].line,
				 (long long)o.config.memory_max, (long long)o.config.memory_high,
				 (long long)o.config.swap_max, (long long)o.config.memsw_max);
		assert_string_equal(o.argv[0], "true");
	}
}

/* An error is one line that names the option, the value and what is accepted. */
TEST(bad_input_is_named_with_its_remedy)
{
	static const struct {
		const char *line, *option, *value, *accepted;
	} rows[] = {
		{ "-m 64Q true", "-m/--memory-max", "'64Q'", "64M" },
		{ "-m -1 true", "-m/--memory-max", "'-1'", "64M" },
		{ "-m 0 true", "-m/--memory-max", "'0'", "1M" },
		{ "-m 100K true", "-m/--memory-max", "'100K'", "1M" },
		{ "-m 9223372036854775808 true", "-m", "'9223372036854775808'", "2^63 - 1" },
		{ "-m 8388608T true", "-m", "'8388608T'", "2^63 - 1" },
		{ "--memory-max= true", "-m/--memory-max", "''", "64M" },
		{ "-m 64M --swap-max lots true", "--swap-max", "'lots'", "64M" },
		{ "-m 64M --memory-high 1X true", "--memory-high", "'1X'", "64M" },
		{ "-m 64M --memsw-max 32M true", "--memsw-max", "32.0 MiB", "64.0 MiB" },
		{ "-m max --memsw-max 1G true", "--memsw-max", "1.0 GiB", "max" },
		{ "-m 64M --report yaml true", "--report", "'yaml'", "text and json" },
		{ "-m 64M --report-file= true", "--report-file", "''", "file" },
		{ "-m 64M --swap= true", "--swap", "''", "directory" },
		{ "-m 64M --swap-direct=yes true", "--swap-direct", "'yes'", "no value" },
		{ "-m 64M --no-spin=yes true", "--no-spin", "'yes'", "no value" },
		{ "-m 64M --kernel-sysv=1 true", "--kernel-sysv", "'1'", "no value" },
		{ "-m 64M --name= true", "--name", "''", "a letter" },
		{ "-m 64M --name 17 true", "--name", "'17'", "a letter" },
		{ "-m 64M --name a/b true", "--name", "'a/b'", "digits" },
		{ "-m 64M --nonsense true", "unknown", "'--nonsense'", "help run" },
		{ "-m 64M --memory 1M true", "ambiguous", "'--memory'",
		  "--memory-max, --memory-high" },
		{ "-m 64M --sw=1M true", "ambiguous", "'--sw=1M'",
		  "--swap-max, --swap, --swap-direct" },
		{ "-m 64M --swap-max 100000T true", "--swap-max", "'100000T'", "8T" },
		{ "-m 64M --swap-max -1 true", "--swap-max", "'-1'", "64M" },
		{ "-m 64M --swap-max 512 true", "--swap-max", "'512'", "4K" },
		{ "-m 64M --memory-high= true", "--memory-high", "''", "64M" },
		{ "-m 64M --memsw-max 9223372036854775808 true", "--memsw-max",
		  "'9223372036854775808'", "2^63 - 1" },
		{ "-m 64M --report xml true", "--report", "'xml'", "text and json" },
		{ "-m 64M -m 0 true", "-m/--memory-max", "'0'", "1M" },
		{ "-m 64M -x true", "unknown", "'-x'", "help run" },
		{ "-m", "-m/--memory-max", "needs a value", "help run" },
		{ "-m 64M --swap-max", "--swap-max", "needs a value", "help run" },
		{ "true", "-m/--memory-max", "missing", "64M" },
		{ "-m 64M", "no program", "PROGRAM", "usage" },
		{ "-m 64M --", "no program", "PROGRAM", "usage" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char problem[OPTIONS_PROBLEM_MAX] = "";
		struct run_options o;

		if (parse(rows[i].line, &o, problem))
			fail_msg("%s: was accepted", rows[i].line);
		if (!strstr(problem, rows[i].option) || !strstr(problem, rows[i].value) ||
		    !strstr(problem, rows[i].accepted) || strchr(problem, '\n'))
			fail_msg("%s: %s", rows[i].line, problem);
	}
}

/* Options end at the program's name: the rest is the program's, whatever it looks like. */
TEST(the_programs_arguments_are_its_own)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 64M ls -m --help -v", &o, problem));
	assert_string_equal(o.argv[0], "ls");
	assert_string_equal(o.argv[1], "-m");
	assert_string_equal(o.argv[3], "-v");
	assert_null(o.argv[4]);
	assert_false(o.help || o.verbose);
	assert_true(parse("-m 64M -- -v", &o, problem));
	assert_string_equal(o.argv[0], "-v");
}

TEST(a_report_is_made_when_anything_asks_for_it)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 64M true", &o, problem));
	assert_int_equal(o.report, REPORT_NONE);
	assert_true(parse("-m 64M -v true", &o, problem));
	assert_int_equal(o.report, REPORT_TEXT);
	assert_true(parse("-m 64M --report-file f true", &o, problem));
	assert_int_equal(o.report, REPORT_TEXT);
	assert_string_equal(o.report_file, "f");
	assert_true(parse("-m 64M -v --report json true", &o, problem));
	assert_int_equal(o.report, REPORT_JSON);
}

/* Switches are off by default. */
TEST(switches_are_passed_on)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 64M true", &o, problem));
	assert_false(o.config.no_spin || o.config.swap_direct || o.config.kernel_sysv);
	assert_true(parse("-m 64M --no-spin true", &o, problem));
	assert_true(o.config.no_spin && !o.config.swap_direct);
	assert_true(parse("-m 64M --swap-direct true", &o, problem));
	assert_true(o.config.swap_direct && !o.config.no_spin);
	assert_true(parse("-m 64M --kernel-sysv true", &o, problem));
	assert_true(o.config.kernel_sysv && !o.config.no_spin);
}

/* --help and --version win over anything missing or wrong after them. */
TEST(help_needs_nothing_else)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("--help", &o, problem));
	assert_true(o.help);
	assert_true(parse("-V --report yaml", &o, problem));
	assert_true(o.version);
}

TEST(the_swap_directory_comes_from_the_option_then_the_environment)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	setenv("TMPDIR", "/nowhere/at/all", 1);
	assert_true(parse("-m 64M true", &o, problem));
	assert_string_equal(o.config.swap_dir, "/nowhere/at/all");
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "TMPDIR"));
	assert_non_null(strstr(problem, "--swap"));
	assert_true(parse("-m 64M --swap /dev/null true", &o, problem));
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "--swap"));
	assert_non_null(strstr(problem, "'/dev/null'"));
	/* A directory where no file can be made; no swap was requested, but the directory was. */
	assert_true(parse("-m 64M --swap /proc true", &o, problem));
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "option --swap: swap directory '/proc'"));
	assert_true(parse("-m max --swap /proc true", &o, problem));
	assert_false(run_options_check(&o, problem));
	/* No swap, no directory. */
	assert_true(parse("-m 64M --swap-max 0 true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_int_equal(o.config.swap_size, 0);
	unsetenv("TMPDIR");
	assert_true(parse("-m 64M true", &o, problem));
	assert_string_equal(o.config.swap_dir, "/var/tmp");
}

/* An explicit number is kept; "as much as there is" becomes a number. */
TEST(the_swap_file_has_a_size)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 64M --swap-max 3G --swap /tmp true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_int_equal(o.config.swap_size, 3 * GIB);
	assert_true(parse("-m 64M --swap-max max --swap /tmp true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_true(o.config.swap_size < MAX);
	assert_int_equal(o.config.swap_size % STORE_PAGE_SIZE, 0);
	assert_true(o.config.swap_max == MAX);
}

static void bound_file_size(rlim_t bytes)
{
	struct rlimit size;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &size), 0);
	size.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &size), 0);
}

/* 'ulimit -f' bounds the swap file: a default size shrinks, a requested one that does not fit is
 * refused. */
TEST(the_swap_file_obeys_the_file_size_limit)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;
	struct rlimit old;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	bound_file_size(1000 << 10);
	assert_true(parse("-m 64M --swap /tmp true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_int_equal(o.config.swap_size, 1000 << 10);
	assert_int_equal(o.config.swap_max, 1000 << 10);
	assert_int_equal(o.swap_bound, SWAP_BOUND_FILE_SIZE);
	assert_true(parse("-m 64M --swap-max max --swap /tmp true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_int_equal(o.config.swap_size, 1000 << 10);
	assert_true(parse("-m 64M --swap-max 500K --swap /tmp true", &o, problem));
	assert_true(run_options_check(&o, problem));
	assert_int_equal(o.swap_bound, SWAP_BOUND_NONE);
	assert_true(parse("-m 64M --swap-max 1G --swap /tmp true", &o, problem));
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "option --swap-max: 1G"));
	assert_non_null(strstr(problem, "'ulimit -f' is 1000.0 KiB"));
	bound_file_size(1024);
	assert_true(parse("-m 64M --swap /tmp true", &o, problem));
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "--swap-max 0"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

/* Each cause of "out of memory" has its own remedy; a full disk comes before all others. */
TEST(out_of_memory_names_the_remedy)
{
	static const struct {
		bool disk_full;
		int64_t memsw_max, memsw_peak, unmanaged, forked;
		enum swap_bound bound;
		const char *remedy;
	} rows[] = {
		{ false, MAX, GIB, 0, 0, SWAP_BOUND_NONE, "; raise -m or --swap-max" },
		{ true, MAX, GIB, 40 * MIB, 0, SWAP_BOUND_FILE_SIZE,
		  "the disk of swap directory '/swaps' is full" },
		{ false, GIB, GIB, 40 * MIB, 0, SWAP_BOUND_NONE,
		  "both together may be 1.0 GiB: raise --memsw-max" },
		{ false, GIB, GIB / 2, 32 * MIB, 0, SWAP_BOUND_NONE, "; raise -m or --swap-max" },
		{ false, MAX, GIB, 0, 0, SWAP_BOUND_DISK,
		  "swap directory '/swaps' had no more room" },
		{ false, MAX, GIB, 0, 0, SWAP_BOUND_FILE_SIZE, "'ulimit -f' bounds the swap file" },
		{ false, MAX, GIB, 40 * MIB, 0, SWAP_BOUND_DISK,
		  "; 40.0 MiB of that memory is not managed and cannot be swapped: raise -m" },
		{ false, MAX, GIB, 4 * MIB, 30 * MIB, SWAP_BOUND_NONE,
		  "; 30.0 MiB of that memory is of processes that were forked past libc's fork, "
		  "and cannot be swapped: "
		  "raise -m, or call libc's" },
		{ false, MAX, GIB, 4 * MIB, 20 * MIB, SWAP_BOUND_NONE, "; raise -m or --swap-max" },
	};
	char *argv[] = { "job", NULL }, text[OOM_TEXT_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct run_options o = { .argv = argv, .swap_bound = rows[i].bound };
		struct serve_snapshot s = {
			.memory_max = 64 * MIB,
			.oom_memory = 63 * MIB,
			.swap_max = 4 * MIB,
			.oom_swap = 3 * MIB,
			.oom_unmanaged = rows[i].unmanaged,
			.oom_forked = rows[i].forked,
			.memsw_max = rows[i].memsw_max,
			.memsw_peak = rows[i].memsw_peak,
			.swap_disk_full = rows[i].disk_full,
		};

		o.config.swap_dir = "/swaps";
		report_oom(text, &o, &s);
		if (!strstr(text, rows[i].remedy) || !strstr(text, "'job' was killed") ||
		    !strstr(text, "63.0 MiB used of 64.0 MiB") ||
		    !strstr(text, "3.0 MiB of 4.0 MiB"))
			fail_msg("row %zu: %s", i, text);
	}
}

/* More swap would not have helped: the sentence says what that memory was, where, and what to
 * do. */
TEST(out_of_memory_names_what_is_not_managed)
{
	char *argv[] = { "job", NULL }, text[OOM_TEXT_MAX];
	struct run_options o = { .argv = argv, .config.swap_dir = "/swaps" };
	struct serve_snapshot s = {
		.memory_max = 64 * MIB,
		.swap_max = 4 * MIB,
		.memsw_max = MAX,
		.oom_unmanaged = 40 * MIB,
		.unmanaged_oom = {
			.total = 40 * MIB,
			.kind = { [SERVE_KIND_SHARED] = 30 * MIB, [SERVE_KIND_LIBRARY] = 10 * MIB },
			.nr_processes = 1,
			.process = { { "jo\nb", 7, 40 * MIB, SERVE_KIND_SHARED } },
		},
	};

	report_oom(text, &o, &s);
	if (!strstr(text, "; 40.0 MiB of that memory is not managed and cannot be swapped, 30.0 "
			  "MiB of it shared memory with a "
			  "name or a descriptor, most in jo\\x0ab (7): raise -m, or use anonymous "
			  "shared memory"))
		fail_msg("%s", text);
}

/* However long a name is, the reason and the remedy after it are printed. */
TEST(long_names_leave_room_for_the_reason)
{
	static char name[3000], line[4096];
	char problem[OPTIONS_PROBLEM_MAX], text[OOM_TEXT_MAX], *argv[] = { name, NULL };
	struct run_options o = { .argv = argv, .config.swap_dir = name };
	struct serve_snapshot s = { .memory_max = 64 * MIB,
				    .swap_max = 4 * MIB,
				    .memsw_max = MAX,
				    .swap_disk_full = true };

	memset(name, 'n', sizeof(name) - 1);
	for (size_t i = 0; i < sizeof(name) - 1; i += 20)
		name[i] = '/';
	report_oom(text, &o, &s);
	if (!strstr(text, "used of 64.0 MiB") ||
	    !strstr(text, "is full: free space there, or give another with --swap DIR"))
		fail_msg("%s", text);
	snprintf(line, sizeof(line), "-m %.2000s true", name);
	assert_false(parse(line, &o, problem));
	assert_non_null(strstr(problem, "64M, 1GiB"));
	snprintf(line, sizeof(line), "-m 64M --swap %.2000s true", name);
	assert_true(parse(line, &o, problem));
	assert_false(run_options_check(&o, problem));
	assert_non_null(strstr(problem, "give one that can be written with --swap DIR"));
	assert_non_null(strstr(problem, "No such file or directory"));
	snprintf(line, sizeof(line), "-m 64M --%.2000s true", name);
	assert_false(parse(line, &o, problem));
	assert_non_null(strstr(problem, "see 'umemcg help run'"));
}

/* Memory that the kernel keeps at the user's request has a different remedy than what it keeps
 * anyway. */
TEST(segments_of_the_kernels_have_their_remedy)
{
	struct serve_unmanaged u = {
		.total = 40 * MIB,
		.kind = { [SERVE_KIND_SYSV] = 30 * MIB, [SERVE_KIND_SHARED] = 10 * MIB },
		.nr_processes = 1,
		.process = { { "db", 7, 40 * MIB, SERVE_KIND_SYSV } },
	};
	char text[OOM_TEXT_MAX];

	report_kinds_remedy(text, sizeof(text), &u, true);
	assert_string_equal(text, ", 30.0 MiB of it System V segments of the kernel's, most in db "
				  "(7): raise -m, or leave out "
				  "--kernel-sysv");
	report_kinds_remedy(text, sizeof(text), &u, false);
	assert_string_equal(
		text,
		", 30.0 MiB of it System V segments of the kernel's, most in db (7): raise -m");
}

/* The program gets a signal once: from the terminal, or from us. */
TEST(a_signal_goes_on_when_the_program_has_not_got_it)
{
	static const struct {
		int signo, code;
		uint32_t from;
		bool in_group, leader, goes_on;
	} rows[] = {
		{ SIGTERM, SI_USER, 1, true, false, true },
		{ SIGTERM, SI_QUEUE, 1, true, false, true },
		{ SIGINT, SI_KERNEL, 0, true, false, false }, /* the interrupt key */
		{ SIGINT, SI_KERNEL, 0, true, true, false },  /* ... in a window of our own */
		{ SIGINT, SI_KERNEL, 0, false, false, true }, /* ... and the program left the group
							       */
		{ SIGHUP, SI_KERNEL, 0, true, false, false }, /* the shell ended with its terminal
							       */
		{ SIGHUP, SI_KERNEL, 0, true, true, true },   /* the terminal ended, and only we are
								 told */
		{ SIGCONT, SI_KERNEL, 0, true, true, true },  /* ... and umemcg must notice */
		{ SIGTSTP, SI_USER, 42, true, false, false }, /* it signalled its own group */
		{ SIGHUP, SI_USER, 43, false, false, true },
		{ SIGCHLD, CLD_EXITED, 43, true, false, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct signalfd_siginfo si = {
			.ssi_signo = (uint32_t)rows[i].signo,
			.ssi_code = rows[i].code,
			.ssi_pid = rows[i].from,
		};

		if (signal_goes_on(&si, 42, rows[i].in_group, rows[i].leader) != rows[i].goes_on)
			fail_msg("row %zu", i);
	}
}

static void fill(struct serve_snapshot *s)
{
	*s = (struct serve_snapshot){
		.memory_peak = (INT64_C(1) << 62) + 1,
		.memory_max = 64 * MIB,
		.memory_high = MAX,
		.unmanaged_peak = 7 * MIB,
		.unmanaged_total = 20,
		.nr_unmanaged_names = 2,
		.unmanaged_name = { "bad\n\"name\"\033[2J (7)", "\377 \303\244 (8)" },
		.unmanaged_most = {
			.total = 6 * MIB,
			.kind = { [SERVE_KIND_FILE] = 4 * MIB,
				  [SERVE_KIND_STACK] = 2 * MIB,
				  [SERVE_KIND_AGENT] = 1000 },
			.nr_processes = 2,
			.process = { { "a\033[2J", 7, 5 * MIB, SERVE_KIND_FILE },
				     { "b\"", 8, 1 * MIB, SERVE_KIND_STACK } },
		},
		.store_name = "io_uring",
	};
	for (int i = 0; i < NR_STATS; i++)
		s->stat[i] = i + 1;
	for (int i = 0; i < NR_EVENTS; i++)
		s->event[i] = i + 1;
}

static cJSON *get(cJSON *object, const char *key)
{
	cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!item)
		fail_msg("no key %s", key);
	return item;
}

/* By a decoder other than the one under test. */
static bool is_utf8(const char *text)
{
	wchar_t c;
	mbstate_t state = { 0 };
	size_t left = strlen(text), n;

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		fail_msg("there is no locale C.UTF-8");
	for (; left; text += n, left -= n) {
		n = mbrtowc(&c, text, left, &state);
		if (n == (size_t)-1 || n == (size_t)-2)
			return false;
	}
	return true;
}

/* The JSON report has every statistic and event of the tables, by the controller's names, gauges in
 * bytes. */
TEST(the_json_report_has_every_key)
{
	struct run_result result = { .program = "p", .exit_status = 9, .elapsed_us = 5 };
	struct serve_snapshot s;
	cJSON *root, *own, *look, *process;
	char *text;

	fill(&s);
	text = report_json(&s, &result);
	root = cJSON_Parse(text);
	assert_non_null(root);
	assert_non_null(strstr(text, "4611686018427387905"));
	assert_string_equal(get(root, "memory.high")->valuestring, "max");
	assert_int_equal(get(root, "memory.max")->valuedouble, 64 * MIB);
	for (int i = 0; i < NR_STATS; i++)
		assert_int_equal(get(get(root, "memory.stat"), stat_key(i))->valuedouble,
				 stat_is_gauge(i) ? (i + 1) * 4096 : i + 1);
	for (int i = 0; i < NR_EVENTS; i++)
		assert_int_equal(get(get(root, event_file(i)), event_key(i))->valuedouble, i + 1);
	own = get(root, "umemcg");
	assert_int_equal(get(own, "exit_status")->valuedouble, 9);
	assert_string_equal(get(own, "store")->valuestring, "io_uring");
	assert_int_equal(get(own, "unmanaged_peak")->valuedouble, 7 * MIB);
	assert_int_equal(cJSON_GetArraySize(get(own, "unmanaged_processes")), 2);
	assert_string_equal(cJSON_GetArrayItem(get(own, "unmanaged_processes"), 0)->valuestring,
			    "bad\\x0a\"name\"\\x1b[2J (7)");
	assert_string_equal(cJSON_GetArrayItem(get(own, "unmanaged_processes"), 1)->valuestring,
			    "\\xff \303\244 (8)");
	assert_true(is_utf8(text));
	look = get(own, "unmanaged_most");
	assert_int_equal(get(look, "total")->valuedouble, 6 * MIB);
	for (int i = 0; i < SERVE_NR_KINDS; i++)
		assert_int_equal(get(get(look, "kinds"), report_kind_key(i))->valuedouble,
				 s.unmanaged_most.kind[i]);
	assert_int_equal(cJSON_GetArraySize(get(look, "processes")), 2);
	process = cJSON_GetArrayItem(get(look, "processes"), 0);
	assert_string_equal(get(process, "name")->valuestring, "a\\x1b[2J");
	assert_string_equal(get(process, "kind")->valuestring, "private_file_pages");
	assert_int_equal(get(process, "bytes")->valuedouble, 5 * MIB);
	assert_int_equal(get(get(own, "unmanaged_oom"), "total")->valuedouble, 0);
	cJSON_Delete(root);
	free(text);
}

/* A process cannot make the report move the cursor, or look like another line of it. */
TEST(the_text_report_keeps_strange_names_on_their_line)
{
	struct run_result result = { .program = "a\nb", .exit_status = 137, .elapsed_us = 1500000 };
	struct serve_snapshot s;
	char *text;

	fill(&s);
	text = report_text(&s, &result);
	assert_non_null(strstr(text, "umemcg: a\\x0ab ended with status 137 after 1.50 s\n"));
	assert_non_null(strstr(
		text, "20 not managed: bad\\x0a\"name\"\\x1b[2J (7), \\xff \303\244 (8), ...\n"));
	assert_non_null(strstr(text, "max 64.0 MiB, high max\n"));
	assert_non_null(strstr(text, "  unmanaged    peak 7.0 MiB, "));
	assert_non_null(strstr(text, "\n    of it      4.0 MiB changed pages of private file "
				     "mappings, 2.0 MiB main stacks\n"));
	assert_non_null(
		strstr(text, "\n    most of it 5.0 MiB in a\\x1b[2J (7), 1.0 MiB in b\" (8)\n"));
	assert_null(strchr(text, '\033'));
	assert_true(is_utf8(text));
	/* The parts of "unmanaged" are listed below it, and nothing else in between. */
	assert_true(strstr(text, "  unmanaged ") < strstr(text, "    of it "));
	assert_true(strstr(text, "    most of it ") < strstr(text, "  page tables "));
	free(text);
}

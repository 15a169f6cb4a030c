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
#include "parse_run.h"
#include "test.h"

#define MAX SERVE_UNLIMITED
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

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
		{ "-m 0.5G true", GIB / 2, MAX, 2 * GIB, MAX },
		{ "-m 1.5m --swap-max 4.5K true", MIB + MIB / 2, MAX, 4608, MAX },
		{ "-m infinity true", MAX, MAX, 0, MAX },
		/* docker run */
		{ "--memory 64m true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "--memory=64m --memory-swap=96m true", 64 * MIB, MAX, 32 * MIB, MAX },
		{ "--memory-swap 64M -m 64M true", 64 * MIB, MAX, 0, MAX },
		{ "-m 64M --memory-swap -1 true", 64 * MIB, MAX, MAX, MAX },
		{ "-m 64M --memory-swap max true", 64 * MIB, MAX, MAX, MAX },
		/* systemd-run */
		{ "-p MemoryMax=64M true", 64 * MIB, MAX, 256 * MIB, MAX },
		{ "-pMemoryMax=64M --property=MemorySwapMax=0 true", 64 * MIB, MAX, 0, MAX },
		{ "-p MemoryMax=64M -p MemoryHigh=48M -p MemorySwapMax=infinity true", 64 * MIB,
		  48 * MIB, MAX, MAX },
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

static const struct {
	const char *line, *option, *value, *accepted;
} bad_lines[] = {
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
	{ "-m 64M --kernel-memfd=1 true", "--kernel-memfd", "'1'", "no value" },
	{ "-m 64M --mode= true", "--mode", "''", "kernel-fork, kernel" },
	{ "-m 64M --view true", "--view", "'true'", "none, cgroup, proc, all or env" },
	{ "-m 64M --view-total=swap true", "--view-total", "'swap'", "max or max+swap" },
	{ "-m 64M --mode none true", "--mode", "'none'", "auto" },
	{ "-m 64M --name= true", "--name", "''", "a letter" },
	{ "-m 64M --name 17 true", "--name", "'17'", "a letter" },
	{ "-m 64M --name a/b true", "--name", "'a/b'", "digits" },
	{ "-m 64M --nonsense true", "unknown", "'--nonsense'", "help run" },
	{ "-m 64M --memo 1M true", "ambiguous", "'--memo'",
	  "--memory-max, --memory, --memory-swap, --memory-high" },
	{ "-m 64 true", "-m/--memory-max", "'64'", "64M" },
	{ "-m 1.5 true", "-m/--memory-max", "'1.5'", "1.5GiB" },
	{ "-m 64,5M true", "-m/--memory-max", "'64,5M'", "1.5GiB" },
	{ "-m 0% true", "-m/--memory-max", "'0%'", "1% to 100%" },
	{ "-m 200% true", "-m/--memory-max", "'200%'", "1% to 100%" },
	{ "-m 1e9 true", "-m/--memory-max", "'1e9'", "64M" },
	{ "-m 64M --memory-swap 32M true", "--memory-swap", "'32M'", "--swap-max" },
	{ "-m 64M --memory-swap x true", "--memory-swap", "'x'", "64M" },
	{ "-m 64M --memory-swap 1G --swap-max 1G true", "--memory-swap", "--swap-max",
	  "exclude each other" },
	{ "-p CPUQuota=50% true", "--property", "'CPUQuota=50%'", "MemoryMax=SIZE" },
	{ "-p MemoryMax true", "--property", "'MemoryMax'", "MemoryMax=SIZE" },
	{ "-p MemoryMax=1X true", "--property MemoryMax", "'1X'", "64M" },
	{ "-p MemoryMax=64M -p MemorySwapMax=7 true", "--property MemorySwapMax", "'7'", "4K" },
	{ "-p", "--property", "needs a value", "help run" },
	{ "--mem 64M true", "unknown", "'--mem'", "-m SIZE" },
	{ "--limit=64M true", "unknown", "'--limit=64M'", "-m SIZE" },
	{ "-m 64M --memory-reservation 32M true", "unknown", "'--memory-reservation'",
	  "--memory-high" },
	{ "-m 64M --memory-swappiness=0 true", "unknown", "'--memory-swappiness=0'",
	  "--swap-max 0" },
	{ "-m 64M --oom-kill-disable true", "unknown", "'--oom-kill-disable'", "killed" },
	{ "-m 64M --cpus=1 true", "unknown", "'--cpus=1'", "nothing but memory" },
	{ "--scope -m 64M true", "unknown", "'--scope'", "leave it out" },
	{ "--user -m 64M true", "unknown", "'--user'", "leave it out" },
	{ "--rm -m 64M true", "unknown", "'--rm'", "leave it out" },
	{ "-m 64M --timeout 5 true", "unknown", "'--timeout'", "timeout(1)" },
	{ "-m 64M -qx true", "unknown", "'-x'", "help run" },
	{ "-m 64M --quiet=1 true", "--quiet", "'1'", "no value" },
	{ "-m 64M --verbose=1 true", "--verbose", "'1'", "no value" },
	{ "-m 64M --sw=1M true", "ambiguous", "'--sw=1M'", "--swap-max, --swap, --swap-direct" },
	{ "-m 64M --swap-max 100000T true", "--swap-max", "'100000T'", "8T" },
	{ "-m 64M --swap-max -1 true", "--swap-max", "'-1'", "64M" },
	{ "-m 64M --swap-max 512 true", "--swap-max", "'512'", "4K" },
	{ "-m 64M --memory-high= true", "--memory-high", "''", "64M" },
	{ "-m 64M --memsw-max 9223372036854775808 true", "--memsw-max", "'9223372036854775808'",
	  "2^63 - 1" },
	{ "-m 64M --report xml true", "--report", "'xml'", "text and json" },
	{ "-m 64M -m 0 true", "-m/--memory-max", "'0'", "1M" },
	{ "-m 64M -x true", "unknown", "'-x'", "help run" },
	{ "-m", "-m/--memory-max", "needs a value", "help run" },
	{ "-m 64M --swap-max", "--swap-max", "needs a value", "help run" },
	{ "true", "-m/--memory-max", "missing", "64M" },
	{ "-m 64M", "no program", "PROGRAM", "usage" },
	{ "-m 64M --", "no program", "PROGRAM", "usage" },
};

/* An error is one line that names the option, the value and what is accepted. */
TEST(bad_input_is_named_with_its_remedy)
{
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		char problem[OPTIONS_PROBLEM_MAX] = "";
		struct run_options o;

		if (parse(bad_lines[i].line, &o, problem))
			fail_msg("%s: was accepted", bad_lines[i].line);
		if (!strstr(problem, bad_lines[i].option) || !strstr(problem, bad_lines[i].value) ||
		    !strstr(problem, bad_lines[i].accepted) || strchr(problem, '\n'))
			fail_msg("%s: %s", bad_lines[i].line, problem);
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
	assert_true(parse("-m 64M --kernel-memfd true", &o, problem));
	assert_true(o.config.kernel_memfd && !o.config.kernel_sysv);
	assert_true(parse("-m 64M --kernel-sysv true", &o, problem));
	assert_true(o.config.kernel_sysv && !o.config.no_spin && !o.config.kernel_memfd);
}

static bool parse_with(const char *environment, const char *line, struct run_options *o,
		       char problem[OPTIONS_PROBLEM_MAX])
{
	bool good;

	setenv("UMEMCG_OPTIONS", environment, 1);
	good = parse(line, o, problem);
	unsetenv("UMEMCG_OPTIONS");
	return good;
}

/* The environment's options come first, so that the command line's win. */
TEST(the_environment_has_options_too)
{
	static const struct {
		const char *text, *said;
	} bad[] = {
		{ "-m 1X", "UMEMCG_OPTIONS: option -m/--memory-max: '1X'" },
		{ "--nonsense", "UMEMCG_OPTIONS: unknown option '--nonsense'" },
		{ "-m 64M true", "UMEMCG_OPTIONS: 'true' is not an option" },
		{ "--help", "UMEMCG_OPTIONS: " },
		{ "-m", "UMEMCG_OPTIONS: option -m/--memory-max needs a value" },
	};
	char problem[OPTIONS_PROBLEM_MAX], text[3000];
	struct run_options o;

	assert_true(parse_with(" -m 64M\t--swap-max 1G\n", "-m 32M true", &o, problem));
	assert_int_equal(o.config.memory_max, 32 * MIB);
	assert_int_equal(o.config.swap_max, GIB);
	assert_string_equal(o.argv[0], "true");
	assert_true(parse_with("--name job -m 64M", "true", &o, problem));
	assert_string_equal(o.config.group_name, "job");
	assert_true(parse_with("-q", "-v -m 64M true", &o, problem));
	assert_true(o.verbose && !o.quiet);
	assert_true(parse_with("-v", "-q -m 64M true", &o, problem));
	assert_true(o.quiet && !o.verbose && o.report == REPORT_NONE);
	assert_true(parse_with("", "-m 64M true", &o, problem));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(parse_with(bad[i].text, "-m 64M true", &o, problem));
		if (strncmp(problem, bad[i].said, strlen(bad[i].said)) != 0)
			fail_msg("%s: %s", bad[i].text, problem);
	}
	memset(text, ' ', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_false(parse_with(text, "-m 64M true", &o, problem));
	assert_non_null(strstr(problem, "too long"));
	for (int i = 0; i < 130; i++)
		memcpy(text + 3 * i, "-q ", 4);
	assert_false(parse_with(text, "-m 64M true", &o, problem));
	assert_non_null(strstr(problem, "too many words"));
}

TEST(a_percentage_is_of_the_machines_memory)
{
	int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 50% --swap-max 10% true", &o, problem));
	assert_int_equal(o.config.memory_max, all / 2);
	assert_int_equal(o.config.swap_max, all / 10);
}

/* The best is the default. */
TEST(a_mode_can_be_asked_for)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run_options o;

	assert_true(parse("-m 64M true", &o, problem));
	assert_int_equal(o.config.mode, SERVE_MODE_AUTO);
	assert_true(parse("-m 64M --mode kernel true", &o, problem));
	assert_int_equal(o.config.mode, SERVE_MODE_KERNEL);
	assert_true(parse("-m 64M --mode user --mode=kernel-fork true", &o, problem));
	assert_int_equal(o.config.mode, SERVE_MODE_KERNEL_FORK);
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

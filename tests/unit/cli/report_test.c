/* tests/unit/cli/report_test.c - what `umemcg run` says at the end, as a function of the
 * supervisor's numbers: sentences, the JSON report, the text report. */
#include <cjson/cJSON.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
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
	assert_non_null(strstr(problem, "64M, 1.5GiB"));
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
		.group_name = "job",
		.store_name = "io_uring",
		.mode = "kernel",
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
	char *const argv[] = { "p", "a \"b\"\n", "\377", NULL };
	struct run_result result = {
		.program = "p",
		.argv = argv,
		.exit_status = 9,
		.signal = 3,
		.elapsed_us = 5,
		.user_us = 70,
		.system_us = 8,
	};
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
	assert_int_equal(get(own, "signal")->valuedouble, 3);
	assert_string_equal(get(own, "version")->valuestring, UMEMCG_VERSION);
	assert_string_equal(get(own, "group")->valuestring, "job");
	assert_int_equal(cJSON_GetArraySize(get(own, "command")), 3);
	assert_string_equal(cJSON_GetArrayItem(get(own, "command"), 1)->valuestring,
			    "a \"b\"\\x0a");
	assert_string_equal(cJSON_GetArrayItem(get(own, "command"), 2)->valuestring, "\\xff");
	assert_int_equal(get(get(root, "cpu.stat"), "usage_usec")->valuedouble, 78);
	assert_int_equal(get(get(root, "cpu.stat"), "user_usec")->valuedouble, 70);
	assert_int_equal(get(get(root, "cpu.stat"), "system_usec")->valuedouble, 8);
	assert_string_equal(get(own, "store")->valuestring, "io_uring");
	assert_string_equal(get(own, "mode")->valuestring, "kernel");
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

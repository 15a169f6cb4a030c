/* cli/run.c - `umemcg run`: one program tree under a limit.
 *
 * The main thread waits for signals, the program and notices; the supervisor's threads serve
 * memory. Setup runs in this order, and each step relies on it: options, report file, signals
 * blocked, keeper forked (before threads), supervisor created, supervisor started, program forked,
 * watched, released. Teardown runs in the opposite order.
 *
 * Locks: none; see console.h for what other threads may call.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/run_child.h"
#include "cli/run_exec.h"
#include "cli/run_limits.h"
#include "cli/run_options.h"
#include "cli/run_output.h"
#include "cli/run_report.h"
#include "cli/run_status.h"
#include "serve/process/keeper.h"
#include "serve/limits.h"

#define ARENAS        4 /* of malloc */
#define LEFT_LOOKS    20
#define LEFT_PAUSE_NS (10 * 1000000ull)
#define REAP_WAIT_MS  2000 /* for processes killed by supervisor_stop */

struct run {
	struct run_options options;
	struct console console;
	struct saved_signals signals;
	struct run_limits limits;
	struct keeper keeper;
	struct supervisor *supervisor;
	struct child child;
	int signal_fd;
	struct run_output output;
	bool ended;
	int died_of;     /* signal that ended the root process, not for want of memory; 0: none */
	bool stopped;    /* the root process is stopped by a signal */
	int wait_status; /* of the root process, once it has ended */
	uint64_t start_ns;
	struct run_status status;
};

/* ---- the program's life ---------------------------------------------------------------------- */

static void follow_stop(struct run *r)
{
	console_clear(&r->console);
	signals_stop_self();
}

/* The signal that stopped it; 0: not stopped. The watcher briefly traces it
 * (serve/process/pause.c), and those stops are reported to us, too: a ptrace stop is no stop, nor
 * is a signal it is about to take. */
static int stopped_by(const siginfo_t *si)
{
	int sig = si->si_status & 0xff;

	if (si->si_code == CLD_STOPPED)
		return sig;
	return si->si_code == CLD_TRAPPED && si->si_status >> 8 == PTRACE_EVENT_STOP &&
			       sig != SIGTRAP
		       ? sig
		       : 0;
}

/* How it ended, as a waitpid(2) status. */
static int end_status(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return W_EXITCODE(si->si_status, 0);
	return W_EXITCODE(0, si->si_status) | (si->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

/* Orphans of the tree come to us as well, since we are its subreaper. */
static void reap(struct run *r)
{
	siginfo_t si = { 0 };
	bool follow = false;

	/* Exclude children traced by our other threads. */
	while (waitid(P_ALL, 0, &si, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | __WNOTHREAD) ==
		       0 &&
	       si.si_pid) {
		if (si.si_pid != r->child.pid)
			continue;
		if (si.si_code == CLD_STOPPED || si.si_code == CLD_TRAPPED) {
			if (!stopped_by(&si))
				continue;
			r->stopped = true;
			follow = stop_is_for_job(si.si_pid, stopped_by(&si));
		} else if (si.si_code == CLD_CONTINUED) {
			r->stopped = false;
		} else {
			r->wait_status = end_status(&si);
			r->ended = true;
		}
	}
	if (follow && r->stopped && !r->ended)
		follow_stop(r);
}

static void handle_signals(struct run *r)
{
	struct signalfd_siginfo si;

	while (read(r->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		bool in_group = getpgid(r->child.pid) == getpgrp(), leader = getsid(0) == getpid();

		if (si.ssi_signo == SIGCHLD)
			reap(r);
		else if (r->ended)
			continue;
		else if (si.ssi_signo == SIGTSTP && r->stopped)
			follow_stop(r);
		else if (signal_goes_on(&si, r->child.pid, in_group, leader))
			kill(r->child.pid, (int)si.ssi_signo);
	}
}

static void watch(struct run *r)
{
	while (!r->ended) {
		struct pollfd p[] = {
			{ .fd = r->signal_fd, .events = POLLIN },
			{ .fd = r->console.event_fd, .events = POLLIN },
			{ .fd = r->child.exec_fd, .events = POLLIN }, /* poll ignores -1 */
		};

		if (r->console.stuck)
			p[1] = (struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT };
		poll(p, 3, run_status_pause_ms(&r->status, &r->console));
		if (p[2].revents)
			child_read_exec(&r->child);
		if (p[0].revents)
			handle_signals(r);
		if (p[1].revents)
			console_try_flush(&r->console);
		run_status_update(&r->status, &r->console, r->supervisor, false);
	}
	if (r->child.exec_fd >= 0)
		child_read_exec(&r->child);
}

/* The program's standard input and output are its own: the peer must see them close when the
 * program closes them, not when we end. */
static void let_go_of_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Reap processes killed by supervisor_stop, so that our parent never sees them. */
static void reap_rest(void)
{
	uint64_t deadline = plat_now_ns() + REAP_WAIT_MS * UINT64_C(1000000);
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && plat_now_ns() < deadline)
		if (pid == 0)
			plat_sleep_ns(1000000);
}

static int exit_status(const struct run *r, const struct serve_snapshot *snap)
{
	if (r->child.exec_error)
		return exec_exit_status(r->options.argv[0], r->child.exec_error);
	if (snap->root_oom_killed)
		return EXIT_OOM;
	if (WIFSIGNALED(r->wait_status))
		return EXIT_SIGNAL + WTERMSIG(r->wait_status);
	return WEXITSTATUS(r->wait_status);
}

static int ended_by(const struct run *r)
{
	return !r->child.exec_error && WIFSIGNALED(r->wait_status) ? WTERMSIG(r->wait_status) : 0;
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void take_cpu_time(struct run_result *result)
{
	struct rusage usage;

	if (getrusage(RUSAGE_CHILDREN, &usage) != 0)
		return;
	result->user_us = microseconds(usage.ru_utime);
	result->system_us = microseconds(usage.ru_stime);
}

/* Those that are about to end by themselves are not worth a word. */
static void say_left(struct run *r)
{
	char text[CONSOLE_TEXT_MAX];
	unsigned n = 0;

	for (int i = 0; i < LEFT_LOOKS; i++) {
		n = supervisor_left(r->supervisor);
		if (!n)
			return;
		plat_sleep_ns(LEFT_PAUSE_NS);
	}
	snprintf(text, sizeof(text), "'%s' has ended; %u %s that it left behind still ran, and %s",
		 TEXT_NAME(r->options.argv[0]), n, n == 1 ? "process" : "processes",
		 n == 1 ? "was ended" : "were ended");
	console_notice(&r->console, text);
}

static void say_why(const struct run *r, const struct serve_snapshot *snap)
{
	char text[OOM_TEXT_MAX], why[EXEC_TEXT_MAX];

	if (r->child.exec_error)
		cli_fail("cannot run '%s': %s", TEXT_NAME(r->options.argv[0]),
			 exec_why(why, r->options.argv[0], r->child.exec_error));
	if (r->child.exec_error || !snap->root_oom_killed)
		return;
	report_oom(text, &r->options, snap);
	cli_fail("%s", text);
}

/* ---- construction ---------------------------------------------------------------------------- */

static int cannot_fork(int error)
{
	char hint[LIMITS_TEXT_MAX];

	return cli_fail("run: cannot start a process: %s%s", strerror(-error),
			limits_hint(error, hint));
}

/* Said before the program can write anything. */
static void say_mode(struct run *r)
{
	struct serve_snapshot snap;

	if (!r->options.verbose)
		return;
	supervisor_snapshot(r->supervisor, &snap);
	cli_say("mode %s", snap.mode);
}

static int run_program(struct run *r)
{
	struct run_result result = { .program = r->options.argv[0], .argv = r->options.argv };
	struct serve_snapshot snap;
	int ret;

	say_mode(r);
	r->start_ns = plat_now_ns();
	run_status_init(&r->status, r->options.argv[0]);
	/* A program that asks for the terminal's size finds the status line taken off it. */
	run_status_update(&r->status, &r->console, r->supervisor, true);
	ret = child_start(&r->child, r->options.argv, &r->signals, &r->limits, r->supervisor);
	if (ret != 0) {
		console_clear(&r->console);
		return cannot_fork(ret);
	}
	if (r->child.pidfd >= 0)
		keeper_add_pid(&r->keeper, r->child.pid, r->child.pidfd);
	supervisor_watch_root(r->supervisor, r->child.pid,
			      exec_is_unable(r->options.argv[0]) ? basename(r->options.argv[0])
								 : NULL);
	let_go_of_stdio();
	child_release(&r->child);
	watch(r);
	console_clear(&r->console);
	if (!r->child.exec_error)
		say_left(r);
	supervisor_stop(r->supervisor);
	supervisor_snapshot(r->supervisor, &snap);
	console_flush(&r->console);
	result.exit_status = exit_status(r, &snap);
	result.signal = ended_by(r);
	result.elapsed_us = (plat_now_ns() - r->start_ns) / 1000;
	r->died_of = snap.root_oom_killed ? 0 : result.signal;
	reap(r);
	take_cpu_time(&result);
	say_why(r, &snap);
	if (r->options.report != REPORT_NONE && !r->child.exec_error)
		output_report(&r->output, &r->options, &snap, &result);
	child_fini(&r->child);
	return result.exit_status;
}

static int run_supervised(struct run *r)
{
	struct serve_problem problem = { 0 };
	int status, ret;

	/* Each reserves 64 MiB of addresses, and glibc makes eight per CPU: under a limit of
	 * addresses the stack of a thread would not fit beside them. */
	mallopt(M_ARENA_MAX, ARENAS);
	ret = keeper_start(&r->keeper);
	if (ret != 0)
		return cannot_fork(ret);
	/* The swap file may need threads: where io_uring is refused it has a pool of them. */
	r->supervisor = supervisor_create(&r->options.config, &problem);
	if (!r->supervisor) {
		keeper_stop(&r->keeper);
		return cli_fail("run: %s", problem.text);
	}
	supervisor_set_keeper(r->supervisor, &r->keeper);
	console_set_keeper(&r->console, &r->keeper);
	if (supervisor_start(r->supervisor, &problem) != 0) {
		status = cli_fail("run: %s", problem.text);
		goto stop_keeper;
	}
	status = run_program(r);
stop_keeper:
	keeper_stop(&r->keeper);
	reap_rest();
	supervisor_destroy(r->supervisor);
	return status;
}

/* Descriptors 0 to 2 must be open, or our files would take their place. Close-on-exec: the program
 * finds them closed, as they were. */
static void fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void warn_of_options(struct run *r)
{
	char text[CONSOLE_TEXT_MAX];

	if (!run_options_swap_in_memory(&r->options))
		return;
	snprintf(text, sizeof(text),
		 "swap directory '%s' is a tmpfs, which keeps its files in memory: what is swapped "
		 "out there frees nothing; give a directory on a disk with --swap DIR",
		 TEXT_NAME(r->options.config.swap_dir));
	console_notice(&r->console, text);
}

static int run_main(int argc, char **argv)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run r = { 0 };
	int status, ret;

	fill_stdio();
	if (!run_options_parse(argc, argv, &r.options, problem))
		return cli_fail("run: %s", problem);
	if (r.options.help)
		return cli_print(run_command.help);
	if (r.options.version)
		return cli_print("umemcg " UMEMCG_VERSION "\n");
	if (!run_limits_take(&r.limits, problem, sizeof(problem)) ||
	    !run_options_check(&r.options, problem))
		return cli_fail("run: %s", problem);
	if (output_open(&r.output, &r.options) != 0)
		return EXIT_OURS;
	ret = console_init(&r.console, r.options.verbose, r.options.quiet);
	if (ret != 0)
		return cli_fail("run: cannot start: %s", strerror(-ret));
	r.options.config.no_events = getenv("UMEMCG_NO_EVENTS") != NULL;
	r.options.config.notice = console_notice;
	r.options.config.notice_arg = &r.console;
	r.signal_fd = signals_take(&r.signals);
	if (r.signal_fd < 0)
		return cli_fail("run: cannot start: %s", strerror(-r.signal_fd));
	r.options.config.heir = heir_of_orphans();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	warn_of_options(&r);
	status = run_supervised(&r);
	console_fini(&r.console);
	if (r.died_of == SIGINT || r.died_of == SIGQUIT)
		signals_die_of(r.died_of);
	return status;
}

static const char help[] =
	"usage: umemcg run -m SIZE [OPTIONS] [--] PROGRAM [ARGS...]\n"
	"\n"
	"Runs PROGRAM and all its descendants under one memory limit. What does not fit goes to a\n"
	"swap file of its own.\n"
	"\n"
	"limits (SIZE: bytes, with K, M, G or T for powers of 1024; 50%, of the machine's memory;\n"
	"or max):\n"
	"  -m, --memory-max SIZE   most memory the tree may have; required; at least 1M\n"
	"      --memory-high SIZE  reclaim from here on; default max\n"
	"      --swap-max SIZE     most swap; 0 for none; default 4 x memory-max (none with -m "
	"max)\n"
	"      --memsw-max SIZE    most memory and swap together; default max\n"
	"      --memory SIZE       as for docker: --memory-max\n"
	"      --memory-swap SIZE  as for docker: memory and swap together; -1 for all there is\n"
	"  -p, --property P=SIZE   as for systemd-run: MemoryMax, MemoryHigh or MemorySwapMax\n"
	"\n"
	"swap file:\n"
	"      --swap DIR          its directory; default $TMPDIR or /var/tmp\n"
	"      --swap-direct       bypass the page cache (O_DIRECT)\n"
	"      --swap-tier TIER    file (default), lz4+file, zstd+file, lz4 or zstd: compress\n"
	"                          swapped pages in memory, counted to the group\n"
	"      --zswap-max SIZE    most compressed memory (default: 1/4 of memory-max)\n"
	"\n"
	"group:\n"
	"      --name NAME         what other commands call it; default run- and umemcg's PID\n"
	"      --view VIEW         what programs see of the limit: none (default), cgroup, proc, "
	"all\n"
	"                          (needs root), or env\n"
	"      --view-total TOTAL  what they take for all memory: max (default) or max+swap\n"
	"\n"
	"shared memory:\n"
	"      --kernel-sysv       leave System V segments to the kernel, for programs that share "
	"them\n"
	"                          with others outside: limited all the same, not swapped\n"
	"      --kernel-memfd      leave memfds to the kernel, those that are heaps (java's ZGC), "
	"too\n"
	"\n"
	"mode:\n"
	"      --mode MODE         auto (default), kernel-fork, kernel or user: see umemcg doctor\n"
	"\n"
	"speed:\n"
	"      --no-spin           let idle CPUs sleep while pages come and go: slower, less CPU "
	"time\n"
	"\n"
	"reports:\n"
	"      --report FORMAT     at the end, a report on standard error: text or json\n"
	"      --report-file FILE  write the report there instead; - is standard output\n"
	"      --processes FILE    write a line for each program that ran: pid, managed or "
	"measured,\n"
	"                          when it was found, the most memory it had, name\n"
	"  -v, --verbose           a live status line on a terminal, and a text report at the end\n"
	"  -q, --quiet             say nothing unless umemcg fails or the program is killed for "
	"memory\n"
	"\n"
	"  -h, --help              this text\n"
	"  -V, --version           the version\n"
	"\n"
	"Options in the environment variable UMEMCG_OPTIONS come before those given here.\n"
	"\n"
	"exit status: the program's; 128+N when signal N killed it; 137 when it ran out of memory\n"
	"and swap; 125 when umemcg itself failed; 126 when PROGRAM cannot be executed; 127 when\n"
	"it was not found.\n";

const struct command run_command = {
	.name = "run",
	.summary = "run a program and its descendants under a memory limit",
	.help = help,
	.main = run_main,
};

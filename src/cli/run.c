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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/run_child.h"
#include "cli/run_exec.h"
#include "cli/run_limits.h"
#include "cli/run_options.h"
#include "cli/run_report.h"
#include "serve/process/keeper.h"
#include "serve/limits.h"

#define ARENAS             4 /* of malloc */
#define STATUS_INTERVAL_MS 250
#define REAP_WAIT_MS       2000 /* for processes killed by supervisor_stop */

struct run {
	struct run_options options;
	struct console console;
	struct saved_signals signals;
	struct run_limits limits;
	struct keeper keeper;
	struct supervisor *supervisor;
	struct child child;
	int signal_fd;
	int report_fd;      /* -1: standard error */
	bool report_append; /* the report file is also the program's output */
	bool ended;
	bool stopped;    /* the root process is stopped by a signal */
	int wait_status; /* of the root process, once it has ended */
	uint64_t start_ns, status_ns;
	int64_t status_faults;
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

static void update_status(struct run *r)
{
	struct serve_snapshot snap;
	char line[STATUS_MAX];
	uint64_t now = plat_now_ns();
	double seconds = (double)(now - r->status_ns) / 1e9;

	if (!r->console.live || seconds * 1000 < STATUS_INTERVAL_MS)
		return;
	supervisor_snapshot(r->supervisor, &snap);
	report_status(line, &snap, (double)(snap.stat[STAT_PGFAULT] - r->status_faults) / seconds);
	console_status(&r->console, line);
	r->status_ns = now;
	r->status_faults = snap.stat[STAT_PGFAULT];
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
		poll(p, 3, r->console.live ? STATUS_INTERVAL_MS : -1);
		if (p[2].revents)
			child_read_exec(&r->child);
		if (p[0].revents)
			handle_signals(r);
		if (p[1].revents)
			console_try_flush(&r->console);
		update_status(r);
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

/* Writes the whole report or a message; never changes the program's exit status. */
static void write_report(const struct run *r, const struct serve_snapshot *snap, int status)
{
	const struct run_options *o = &r->options;
	struct run_result result = {
		.program = o->argv[0],
		.exit_status = status,
		.elapsed_us = (plat_now_ns() - r->start_ns) / 1000,
	};
	int fd = r->report_fd >= 0 ? r->report_fd : STDERR_FILENO;
	char *text =
		o->report == REPORT_JSON ? report_json(snap, &result) : report_text(snap, &result);
	size_t len = text ? strlen(text) : 0, done = 0;
	ssize_t n = 0;

	if (!text) {
		cli_fail("no memory for the report");
		return;
	}
	if (o->report == REPORT_JSON)
		text[len++] = '\n'; /* replaces the final NUL */
	/* The program's last line may lack its newline. JSON may begin with white space, and is the
	 * last thing we write. */
	if (o->report == REPORT_JSON && r->report_fd < 0 && write(fd, "\n", 1) < 0)
		errno = 0;
	/* Pipes and devices refuse truncation; there is nothing to truncate then. */
	if (r->report_fd >= 0 &&
	    (r->report_append ? lseek(fd, 0, SEEK_END) : ftruncate(fd, 0)) != 0)
		errno = 0;
	for (; done < len && n >= 0; done += n > 0 ? (size_t)n : 0)
		n = write(fd, text + done, len - done);
	if (n < 0)
		cli_fail("option --report-file: cannot write '%s': %s",
			 o->report_file ? TEXT_NAME(o->report_file) : "standard error",
			 strerror(errno));
	free(text);
}

/* ---- construction ---------------------------------------------------------------------------- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static int open_report(struct run *r)
{
	const char *name = r->options.report_file;

	r->report_fd = -1;
	if (!name)
		return 0;
	r->report_fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (r->report_fd < 0)
		return cli_fail(
			"run: option --report-file: cannot write '%s': %s; name a file in a "
			"directory that can be written",
			TEXT_NAME(name), strerror(errno));
	r->report_append =
		same_file(r->report_fd, STDOUT_FILENO) || same_file(r->report_fd, STDERR_FILENO);
	return 0;
}

static int open_processes(struct run *r)
{
	const char *name = r->options.processes_file;
	int fd;

	if (!name)
		return 0;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return cli_fail("run: option --processes: cannot write '%s': %s; name a file in a "
				"directory that can be written",
				TEXT_NAME(name), strerror(errno));
	r->options.config.processes_fd = fd;
	return 0;
}

static int cannot_fork(int error)
{
	char hint[LIMITS_TEXT_MAX];

	return cli_fail("run: cannot start a process: %s%s", strerror(-error),
			limits_hint(error, hint));
}

static int run_program(struct run *r)
{
	struct serve_snapshot snap;
	int status, ret;

	r->start_ns = r->status_ns = plat_now_ns();
	ret = child_start(&r->child, r->options.argv, &r->signals, &r->limits, r->supervisor);
	if (ret != 0)
		return cannot_fork(ret);
	if (r->child.pidfd >= 0)
		keeper_add_pid(&r->keeper, r->child.pid, r->child.pidfd);
	supervisor_watch_root(r->supervisor, r->child.pid,
			      exec_is_unable(r->options.argv[0]) ? basename(r->options.argv[0])
								 : NULL);
	let_go_of_stdio();
	child_release(&r->child);
	watch(r);
	console_clear(&r->console);
	supervisor_stop(r->supervisor);
	supervisor_snapshot(r->supervisor, &snap);
	console_flush(&r->console);
	status = exit_status(r, &snap);
	say_why(r, &snap);
	if (r->options.report != REPORT_NONE && !r->child.exec_error)
		write_report(r, &snap, status);
	child_fini(&r->child);
	return status;
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

static int run_main(int argc, char **argv)
{
	char problem[OPTIONS_PROBLEM_MAX];
	struct run r = { .report_fd = -1 };
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
	if (open_report(&r) != 0 || open_processes(&r) != 0)
		return EXIT_OURS;
	ret = console_init(&r.console, r.options.verbose);
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
	status = run_supervised(&r);
	console_fini(&r.console);
	return status;
}

static const char help[] =
	"usage: umemcg run -m SIZE [OPTIONS] [--] PROGRAM [ARGS...]\n"
	"\n"
	"Runs PROGRAM and all its descendants under one memory limit. What does not fit goes to a\n"
	"swap file of its own.\n"
	"\n"
	"limits (SIZE: bytes, with K, M, G or T for powers of 1024; or max):\n"
	"  -m, --memory-max SIZE   most memory the tree may have; required; at least 1M\n"
	"      --memory-high SIZE  reclaim from here on; default max\n"
	"      --swap-max SIZE     most swap; 0 for none; default 4 x memory-max (none with -m "
	"max)\n"
	"      --memsw-max SIZE    most memory and swap together; default max\n"
	"\n"
	"swap file:\n"
	"      --swap DIR          its directory; default $TMPDIR or /var/tmp\n"
	"      --swap-direct       bypass the page cache (O_DIRECT)\n"
	"\n"
	"group:\n"
	"      --name NAME         what other commands call it; default run- and umemcg's PID\n"
	"\n"
	"shared memory:\n"
	"      --kernel-sysv       leave System V segments to the kernel, for programs that share "
	"them\n"
	"                          with others outside: limited all the same, not swapped\n"
	"      --manage-memfd      swap memfds, for programs that reach them by mappings: java's "
	"ZGC\n"
	"\n"
	"speed:\n"
	"      --no-spin           let idle CPUs sleep while pages come and go: slower, less CPU "
	"time\n"
	"\n"
	"reports:\n"
	"      --report FORMAT     at the end, a report on standard error: text or json\n"
	"      --report-file FILE  write the report there instead\n"
	"      --processes FILE    write a line for each program that ran: pid, managed or "
	"measured,\n"
	"                          when it was found, the most memory it had, name\n"
	"  -v, --verbose           a live status line on a terminal, and a text report at the end\n"
	"\n"
	"  -h, --help              this text\n"
	"  -V, --version           the version\n"
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

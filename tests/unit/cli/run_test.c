/* tests/unit/cli/run_test.c - `umemcg run` with real programs and a fake supervisor
 * (fake_supervisor.c): exit statuses, messages, signals, job control, and the keeper. Needs no
 * privileges.
 *
 * Each test runs the command in a fork; its standard error is read through a pipe, or its terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "test.h"

#define OUTPUT_MAX 8192
#define WAIT_MS    60000 /* for prompt events, however busy the machine is */

struct job {
	pid_t pid;
	int fd; /* its standard error and output, or its terminal */
	char output[OUTPUT_MAX];
	size_t len;
};

static bool child_ignores_sigchld;

static _Noreturn void run(const char *options, const char *script)
{
	char *argv[16] = { "run", "-m", "64M", "--swap-max", "0" };
	static char copy[256];
	int argc = 5;

	snprintf(copy, sizeof(copy), "%s", options);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	if (script) {
		argv[argc++] = "sh";
		argv[argc++] = "-c";
		argv[argc++] = (char *)script;
	}
	if (child_ignores_sigchld)
		signal(SIGCHLD, SIG_IGN);
	_exit(run_command.main(argc, argv));
}

static void job_start(struct job *j, const char *options, const char *script)
{
	int fds[2];

	j->len = 0;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	j->pid = fork();
	assert_true(j->pid >= 0);
	if (j->pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		run(options, script);
	}
	close(fds[1]);
	j->fd = fds[0];
}

/* Read until @text was printed; NULL: until the end. */
static void job_expect(struct job *j, const char *text)
{
	struct pollfd p = { .fd = j->fd, .events = POLLIN };

	j->output[j->len] = '\0';
	while (!text || !strstr(j->output, text)) {
		ssize_t n = 0;

		if (poll(&p, 1, WAIT_MS) > 0)
			n = read(j->fd, j->output + j->len, sizeof(j->output) - 1 - j->len);
		if (n <= 0) {
			if (text)
				fail_msg("expected \"%s\", got \"%s\"", text, j->output);
			return;
		}
		j->len += (size_t)n;
		j->output[j->len] = '\0';
	}
}

/* As waitpid says it. */
static int job_wait(struct job *j)
{
	int status;

	job_expect(j, NULL);
	close(j->fd);
	assert_int_equal(waitpid(j->pid, &status, 0), j->pid);
	return status;
}

/* The exit status. */
static int job_end(struct job *j)
{
	int status = job_wait(j);

	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect_run(const char *fake, const char *options, const char *script, int status,
		       const char *said)
{
	struct job j;
	int got;

	setenv("UMEMCG_FAKE", fake, 1);
	job_start(&j, options, script);
	got = job_end(&j);
	unsetenv("UMEMCG_FAKE");
	if (got != status || (said ? !strstr(j.output, said) : j.len != 0))
		fail_msg("'%s' '%s': status %d, said: %s", options, script ? script : "", got,
			 j.output);
}

/* The program's own status comes through, and nothing is added to its output. */
TEST(the_exit_status_is_the_programs)
{
	expect_run("", "", "exit 0", 0, NULL);
	expect_run("", "", "exit 3", 3, NULL);
	expect_run("", "", "kill -TERM $$", 128 + SIGTERM, NULL);
	expect_run("", "", "kill -KILL $$", 128 + SIGKILL, NULL);
}

/* A shell ends its loop when what it waits for has died of the terminal's signal. */
TEST(the_terminals_signals_end_umemcg_as_they_end_the_program)
{
	static const int signals[] = { SIGINT, SIGQUIT };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		char script[64];
		struct job j;
		int status;

		snprintf(script, sizeof(script), "ulimit -c 0; kill -%d $$", signals[i]);
		job_start(&j, "--report text", script);
		status = job_wait(&j);
		assert_true(WIFSIGNALED(status));
		assert_false(WCOREDUMP(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
		assert_non_null(strstr(j.output, i ? "with status 131" : "with status 130"));
	}
}

TEST(a_program_that_cannot_run_has_its_own_status)
{
	expect_run("", "-- /no/such/program", NULL, 127, "cannot run '/no/such/program'");
	expect_run("", "-- no-such-program-at-all", NULL, 127, "No such file");
	expect_run("", "-- /etc/passwd", NULL, 126, "cannot run '/etc/passwd'");
	expect_run("", "-- /", NULL, 126, "cannot run '/'");
}

TEST(our_own_failure_is_125_and_starts_nothing)
{
	expect_run("create", "", "echo started", 125, "umemcg: run: fake: no permission\n");
	expect_run("start", "", "echo started", 125, "umemcg: run: fake: cannot start\n");
	expect_run("", "--report-file /no/where/r", "echo started", 125, "--report-file");
	expect_run("", "--swap /no/where", "echo started", 125, "--swap");
}

TEST(out_of_memory_is_137_with_one_plain_sentence)
{
	expect_run("oom", "", "kill -KILL $$", 137,
		   "umemcg: 'sh' was killed: it and what it started ran out of memory (64.0 MiB "
		   "used of 64.0 MiB) "
		   "and swap (0 B of 0 B); raise -m or --swap-max\n");
	expect_run("oom disk", "", "exit 137", 137, "' is full: free space there");
}

TEST(notices_are_lines_and_have_a_bound)
{
	expect_run("notice", "", "exit 0", 0, "umemcg: fake: something to know\n");
	expect_run("flood", "", "exit 0", 0, "umemcg: 68 more messages were dropped\n");
}

TEST(quiet_leaves_out_notices_and_no_failure)
{
	expect_run("notice", "-q", "exit 0", 0, NULL);
	expect_run("flood", "--quiet", "exit 0", 0, NULL);
	expect_run("create", "-q", "echo started", 125, "umemcg: run: fake: no permission\n");
	expect_run("oom", "-q", "kill -KILL $$", 137, "ran out of memory");
}

TEST(the_report_goes_to_standard_error_or_to_the_file)
{
	char name[] = "/tmp/cli-run-test.XXXXXX", options[64], text[4096];
	int fd = mkstemp(name);
	ssize_t n;

	assert_true(fd >= 0);
	memset(text, 'x', sizeof(text));
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	expect_run("", "--report text", "exit 4", 4, "umemcg: sh ended with status 4");
	expect_run("", "--report json", "exit 4", 4, "\"exit_status\":\t4");
	snprintf(options, sizeof(options), "--report-file %s", name);
	expect_run("", options, "exit 4", 4, NULL);
	n = pread(fd, text, sizeof(text) - 1, 0);
	unlink(name);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "ended with status 4"));
	assert_null(strstr(text, "xx"));
}

/* "-" is standard output, although umemcg gives its own up when the program starts. */
TEST(the_report_may_go_to_standard_output)
{
	int out[2], status;
	char text[4096];
	ssize_t n, len = 0;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		close(STDERR_FILENO);
		run("--report-file -", "echo mine");
	}
	close(out[1]);
	while ((n = read(out[0], text + len, sizeof(text) - 1 - (size_t)len)) > 0)
		len += n;
	text[len] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(strncmp(text, "mine\numemcg: sh ended with status 0", 35), 0);
}

/* What is left of the tree when the root has ended is killed, and said. */
TEST(descendants_end_with_the_root)
{
	struct job j;
	int pid;

	job_start(&j, "", "sleep 1000 & echo pid $!");
	assert_int_equal(job_end(&j), 0);
	assert_int_equal(sscanf(j.output, "pid %d", &pid), 1);
	assert_non_null(strstr(j.output, "\numemcg: 'sh' has ended; 1 process that it left behind "
					 "still ran, and was ended\n"));
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* With a parent that ignores SIGCHLD the program must not be lost. */
TEST(an_ignored_sigchld_does_not_matter)
{
	child_ignores_sigchld = true;
	expect_run("", "", "exit 6", 6, NULL);
	child_ignores_sigchld = false;
}

/* Signals sent to umemcg reach the program, once each, and its status is ours. */
TEST(signals_are_passed_on_once)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct job j;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		char script[256];

		snprintf(script, sizeof(script),
			 "n=0; trap 'n=$((n+1)); echo got $n' %d; echo ready; i=0; "
			 "while [ $n = 0 ] && [ $i -lt 3000 ]; do sleep 0.02; i=$((i+1)); done; "
			 "i=0; "
			 "while [ $i -lt 10 ]; do sleep 0.02; i=$((i+1)); done; exit $((40+n))",
			 signals[i]);
		job_start(&j, "", script);
		job_expect(&j, "ready");
		kill(j.pid, signals[i]);
		job_expect(&j, "got 1");
		assert_int_equal(job_end(&j), 41);
	}
}

/* The program's output is closed when the program closes it, although umemcg goes on. */
TEST(umemcg_does_not_hold_the_programs_pipes)
{
	struct pollfd p = { .events = POLLIN };
	int out[2], status, ready;
	ssize_t n = 1;
	pid_t pid;
	char c;

	assert_int_equal(pipe(out), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		run("", "exec >&-; exec sleep 1000");
	}
	close(out[1]);
	p.fd = out[0];
	ready = poll(&p, 1, WAIT_MS);
	if (ready == 1)
		n = read(out[0], &c, 1);
	close(out[0]);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ready, 1);
	assert_int_equal(n, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM);
}

static bool gone(pid_t pid)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (kill(pid, 0) != 0 && errno == ESRCH)
			return true;
		/* This test is the subreaper: it reaps what the keeper killed. */
		waitpid(pid, NULL, WNOHANG);
		usleep(10000);
	}
	return false;
}

/* When umemcg itself is killed, the keeper kills the program, its children, and ends. */
TEST(the_keeper_ends_the_tree_of_a_killed_supervisor)
{
	int root, child, keeper, status;
	struct job j;
	char path[64];
	FILE *f;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	job_start(&j, "", "(trap '' HUP TERM; sleep 1000; :) & echo pids $$ $! ready; wait");
	job_expect(&j, "ready");
	assert_int_equal(sscanf(j.output, "pids %d %d", &root, &child), 2);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", j.pid, j.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &keeper), 1);
	fclose(f);
	assert_int_not_equal(keeper, root);
	kill(j.pid, SIGKILL);
	assert_int_equal(waitpid(j.pid, &status, 0), j.pid);
	assert_true(gone(root));
	assert_true(gone(child));
	assert_true(gone(keeper));
	/* No process of the tree holds the pipe any more. */
	job_expect(&j, NULL);
	close(j.fd);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* Start a job in the foreground of a terminal of its own, as an interactive shell would: a session
 * leader in between reports how the job stopped and ended. */
static void job_on_terminal(struct job *j, const char *options, const char *script)
{
	const struct winsize size = { .ws_row = 24, .ws_col = 80 };
	int status;
	pid_t leader, pid;

	fflush(NULL);
	j->len = 0;
	setenv("TERM", "vt100", 1);
	leader = forkpty(&j->fd, NULL, NULL, &size);
	assert_true(leader >= 0);
	j->pid = leader;
	if (leader > 0)
		return;
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		run(options, script);
	}
	setpgid(pid, pid);
	for (;;) {
		if (waitpid(pid, &status, WUNTRACED) != pid)
			_exit(1);
		if (!WIFSTOPPED(status))
			break;
		printf("[stopped]\n");
		fflush(stdout);
		kill(-pid, SIGCONT);
	}
	printf("[status %d]\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	fflush(stdout);
	_exit(0);
}

static void type(struct job *j, const char *keys)
{
	assert_int_equal(write(j->fd, keys, strlen(keys)), strlen(keys));
}

static void terminal_end(struct job *j)
{
	int status;

	close(j->fd);
	assert_int_equal(waitpid(j->pid, &status, 0), j->pid);
}

/* The suspend key stops program and umemcg, so that the shell gets its prompt; continuing continues
 * both; the interrupt key reaches the program once. The program forks nothing: dash uses vfork, and
 * a child stopped before it execs keeps its parent from stopping, with or without umemcg. */
TEST(the_terminals_keys_work)
{
	struct job j;

	job_on_terminal(&j, "",
			"n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'echo cont' CONT; "
			"echo ready; while [ $n = 0 ]; do :; done; i=0; "
			"while [ $i -lt 100000 ]; do i=$((i+1)); done; exit $((70+n))");
	job_expect(&j, "ready");
	type(&j, "\032");
	job_expect(&j, "[stopped]");
	job_expect(&j, "cont");
	type(&j, "\003");
	job_expect(&j, "int 1");
	job_expect(&j, "[status 71]");
	terminal_end(&j);
}

/* The kernel tells only a session's leader that the terminal is gone. Where that is umemcg - a
 * terminal window or `ssh -t` that runs it without a shell between - umemcg must pass it on. */
TEST(a_terminal_that_is_closed_ends_the_program)
{
	struct job j = { 0 };
	int status;

	fflush(NULL);
	j.pid = forkpty(&j.fd, NULL, NULL, NULL);
	assert_true(j.pid >= 0);
	if (j.pid == 0)
		run("", "trap 'exit 7' HUP; echo ready; i=0; while [ $i -lt 100 ]; do sleep 0.1; "
			"i=$((i+1)); done");
	job_expect(&j, "ready");
	close(j.fd);
	assert_int_equal(waitpid(j.pid, &status, 0), j.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

/* A status line is shown on a terminal, in its last row, and is gone before the report. The program
 * waits until it was seen. */
#define STATUS_ROW "\033[24;1H\033[m\033[2K"

TEST(the_status_line_is_for_terminals)
{
	struct job j;
	char *line, *report, script[64];
	int go[2];

	assert_int_equal(pipe(go), 0);
	snprintf(script, sizeof(script), "read line </dev/fd/%d", go[0]);
	job_on_terminal(&j, "-v", script);
	job_expect(&j, STATUS_ROW "memory ");
	assert_int_equal(write(go[1], "\n", 1), 1);
	job_expect(&j, "[status 0]");
	close(go[0]);
	close(go[1]);
	line = strstr(j.output, STATUS_ROW "memory ");
	report = strstr(j.output, "umemcg: sh ended");
	assert_non_null(line);
	assert_non_null(report);
	assert_true(line < report);
	*report = '\0';
	/* The mode is a line of its own, before. */
	assert_null(strchr(line, '\n'));
	terminal_end(&j);
	expect_run("", "-v", "sleep 0.6", 0, "umemcg: sh ended");
	job_start(&j, "-v", "sleep 0.6");
	assert_int_equal(job_end(&j), 0);
	assert_null(strchr(j.output, '\033'));
}

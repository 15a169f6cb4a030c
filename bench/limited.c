/* bench/limited.c - run one program, bounded in time, maybe inside a kernel cgroup, and time it.
 *
 *     bench-limited [-c CGROUP] [-t SECONDS] [-o FILE] -- PROGRAM [ARGUMENT...]
 *
 * CGROUP is a directory; the program joins it before exec, so that all its pages are charged there.
 * FILE receives one line: wall, user and system seconds (of the program and what it waited for).
 * The exit code is the program's; 124 when the time was up; 128+n when it, or we, got signal n.
 *
 * The program leads a process group of its own. When time is up, on SIGINT, SIGTERM or SIGHUP, and
 * when the parent of this process dies, the group is terminated, and killed three seconds later.
 * What is left of the group is reaped here.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_S 3

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench-limited: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void join_cgroup(const char *dir)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

static void exec_program(const char *cgroup, char **argv, const sigset_t *mask)
{
	setpgid(0, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (cgroup)
		join_cgroup(cgroup);
	execvp(argv[0], argv);
	die(argv[0]);
}

/* Wait for @pid until @deadline_s. True and *@status when it ended; else *@sig is the signal that
 * told us to stop, 0 when the time is up. */
static int wait_until(pid_t pid, double deadline_s, const sigset_t *stops, int *status, int *sig)
{
	for (;;) {
		double left_s = deadline_s - now_s();
		struct timespec t;

		if (waitpid(pid, status, WNOHANG) == pid)
			return 1;
		*sig = 0;
		if (left_s <= 0)
			return 0;
		t.tv_sec = (time_t)left_s;
		t.tv_nsec = (long)((left_s - (double)t.tv_sec) * 1e9);
		*sig = sigtimedwait(stops, NULL, &t);
		if (*sig > 0 && *sig != SIGCHLD)
			return 0;
	}
}

static void write_times(const char *path, double wall_s)
{
	struct rusage u;
	FILE *f = fopen(path, "w");

	if (!f)
		die(path);
	getrusage(RUSAGE_CHILDREN, &u);
	fprintf(f, "%.3f %.3f %.3f\n", wall_s, u.ru_utime.tv_sec + u.ru_utime.tv_usec / 1e6,
		u.ru_stime.tv_sec + u.ru_stime.tv_usec / 1e6);
	fclose(f);
}

static int run(const char *cgroup, double bound_s, const char *out, char **argv)
{
	int status = 0, sig = 0, code;
	double start_s;
	sigset_t stops, old;
	pid_t pid;

	sigemptyset(&stops);
	sigaddset(&stops, SIGCHLD);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGHUP);
	sigprocmask(SIG_BLOCK, &stops, &old);
	signal(SIGINT, SIG_DFL); /* a background job of sh inherits "ignored" */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	start_s = now_s();
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		exec_program(cgroup, argv, &old);
	setpgid(pid, pid);
	if (wait_until(pid, start_s + bound_s, &stops, &status, &sig)) {
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (out)
			write_times(out, now_s() - start_s);
	} else {
		double end_s = now_s() + GRACE_S;
		int ignored;

		code = sig > 0 ? 128 + sig : 124;
		kill(-pid, SIGTERM);
		while (now_s() < end_s && !wait_until(pid, end_s, &stops, &status, &ignored))
			;
	}
	kill(-pid, SIGKILL);
	while (waitpid(-pid, &status, 0) > 0)
		;
	return code;
}

int main(int argc, char **argv)
{
	const char *cgroup = NULL, *out = NULL;
	double bound_s = 600;
	int opt;

	while ((opt = getopt(argc, argv, "+c:t:o:")) != -1) {
		if (opt == 'c')
			cgroup = optarg;
		else if (opt == 't')
			bound_s = strtod(optarg, NULL);
		else if (opt == 'o')
			out = optarg;
		else
			return 2;
	}
	if (optind == argc || bound_s <= 0) {
		fprintf(stderr, "usage: bench-limited [-c CGROUP] [-t SECONDS] [-o FILE] "
				"-- PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	return run(cgroup, bound_s, out, argv + optind);
}

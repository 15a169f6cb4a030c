/* bench/entry.c - what the agent's system-call entry costs: CPU time of calls with it and without,
 * in turn, in one run.
 *
 * Usage: bench-entry ENTRY_PASS.so [ROUNDS]. Each round executes this program twice, with and
 * without the library; of each figure the least of all rounds counts.
 */
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NR_ROWS 11

static const char *const row[NR_ROWS] = {
	"getppid",
	"pipe, 1 byte there and back",
	"futex, wake nobody",
	"futex, no wait",
	"instruction of its own",
	"fork, exit, wait",
	"vfork, exit, wait",
	"exec of true, CPU us",
	"its dirtied KiB",
	"a signal to itself",
	"sigprocmask",
};

static int ends[2];
static uint32_t word;

static double own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double all_ns(void)
{
	struct rusage own, children;
	double s;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	s = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
		     children.ru_stime.tv_sec);
	return s * 1e9 + (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec +
				  children.ru_utime.tv_usec + children.ru_stime.tv_usec) *
				 1e3;
}

static double least(void (*call)(void), int n, double (*clock)(void))
{
	double best = 1e18, t;

	for (int k = 0; k < 15; k++) {
		t = clock();
		for (int i = 0; i < n; i++)
			call();
		t = (clock() - t) / n;
		best = t < best ? t : best;
	}
	return best;
}

static void parent(void)
{
	getppid();
}

static void through_pipe(void)
{
	char c = 0;

	if (write(ends[1], &c, 1) != 1 || read(ends[0], &c, 1) != 1)
		exit(1);
}

static void wake(void)
{
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void no_wait(void)
{
	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static void own_instruction(void)
{
#if defined(__x86_64__)
	long nr = SYS_getppid;

	__asm__ volatile("nop\n\tsyscall\n\tnop\n\tnop" : "+a"(nr) : : "rcx", "r11", "memory");
#endif
}

static void handler(int sig)
{
	(void)sig;
}

static void signal_once(void)
{
	raise(SIGUSR1);
}

static void change_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void fork_once(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void vfork_once(void)
{
	pid_t child = vfork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void exec_once(void)
{
	pid_t child = vfork();

	if (!child) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
}

/* Private_Dirty and the like of a program that waits for its input. */
static double dirtied(void)
{
	char path[64], line[256];
	unsigned long n;
	volatile unsigned long kib = 0;
	int in[2], out[2];
	pid_t child;
	char c;
	FILE *f;

	if (pipe(in) || pipe(out))
		exit(1);
	child = vfork();
	if (!child) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		execl("/bin/cat", "cat", NULL);
		_exit(1);
	}
	/* It has started when it answers. */
	if (write(in[1], "x", 1) != 1 || read(out[0], &c, 1) != 1)
		exit(1);
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)child);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Anonymous: %lu", &n) == 1)
			kib += n;
	if (f)
		fclose(f);
	close(in[1]);
	close(in[0]);
	waitpid(child, NULL, 0);
	close(out[0]);
	close(out[1]);
	return (double)kib;
}

static void measure(void)
{
	double v[NR_ROWS];
	int i;

	if (pipe(ends))
		exit(1);
	signal(SIGUSR1, handler);
	v[0] = least(parent, 20000, own_ns);
	v[1] = least(through_pipe, 5000, own_ns);
	v[2] = least(wake, 10000, own_ns);
	v[3] = least(no_wait, 10000, own_ns);
	v[4] = least(own_instruction, 5000, own_ns);
	v[9] = least(signal_once, 2000, own_ns);
	v[10] = least(change_mask, 10000, own_ns);
	v[5] = least(fork_once, 40, all_ns);
	v[6] = least(vfork_once, 40, all_ns);
	v[7] = least(exec_once, 20, all_ns) / 1e3;
	v[8] = dirtied();
	for (i = 0; i < NR_ROWS; i++)
		printf("%.0f\n", v[i]);
}

static void run(const char *self, const char *library, double *best)
{
	char command[8192];
	double v;
	FILE *f;
	int i;

	snprintf(command, sizeof command, "%s%s '%s' -", library ? "LD_PRELOAD=" : "",
		 library ? library : "", self);
	f = popen(command, "r");
	for (i = 0; f && i < NR_ROWS && fscanf(f, "%lf", &v) == 1; i++)
		best[i] = v < best[i] ? v : best[i];
	if (!f || pclose(f) || i < NR_ROWS) {
		fprintf(stderr, "bench-entry: a run failed\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	double native[NR_ROWS], through[NR_ROWS];
	int rounds = argc > 2 ? atoi(argv[2]) : 5, i;

	if (argc > 1 && !strcmp(argv[1], "-")) {
		measure();
		return 0;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: bench-entry ENTRY_PASS.so [ROUNDS]\n");
		return 2;
	}
	for (i = 0; i < NR_ROWS; i++)
		native[i] = through[i] = 1e18;
	while (rounds--) {
		run(argv[0], NULL, native);
		run(argv[0], argv[1], through);
	}
	printf("%-28s %10s %10s %7s\n", "ns of CPU time", "native", "entry", "ratio");
	for (i = 0; i < NR_ROWS; i++)
		printf("%-28s %10.0f %10.0f %7.2f\n", row[i], native[i], through[i],
		       through[i] / native[i]);
	return 0;
}

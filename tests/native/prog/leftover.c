/* tests/native/prog/leftover.c - leftover MIB [ROUNDS]
 *
 * A process makes another that shares its memory, in a UTS namespace of its own, and is killed
 * while pages of it are taken out. The other finds those pages as they were. It cannot have more
 * than the limit: it gives most of them back first.
 */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "prog.h"

#define STACK_BYTES (256ul << 10)

static size_t n;
static char *area;
static int tell[2];
static unsigned long delay_us, extra;

/* On one processor with us, whom it lets go on at once: the helper of the parent is in the middle
 * of its work then. */
static void share_processor(pid_t parent)
{
	struct sched_param first = { .sched_priority = 1 };
	char path[64];
	struct dirent *e;
	cpu_set_t one;
	DIR *d;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			(void)sched_setaffinity(atoi(e->d_name), sizeof(one), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
}

/* Touches memory, so that other memory goes, until its parent is dead; then looks at those that
 * were going. */
static int survivor(void *arg)
{
	pid_t parent = *(volatile pid_t *)arg;
	double until;

	share_processor(parent);
	until = now_us() + (double)delay_us;

	for (size_t i = 0; now_us() < until || i < n * 2 / 3 + extra; i = (i + 1) % n)
		(void)*(volatile char *)(area + i * PAGE);
	EXPECT(kill(parent, SIGKILL) == 0);
	EXPECT(munmap(area + n / 4 * PAGE, (n - n / 4) * PAGE) == 0);
	area_check(area, n / 4, 0, 0, "in the survivor");
	EXPECT(write(tell[1], "e", 1) == 1);
	_exit(0);
}

static void once(void)
{
	static pid_t self;
	char c, *stack;
	int status;
	pid_t pid;

	EXPECT(pipe(tell) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area = map_bytes(n * PAGE);
		area_fill(area, n, 0, 0);
		stack = map_bytes(STACK_BYTES);
		self = getpid();
		if (clone(survivor, stack + STACK_BYTES, CLONE_VM | CLONE_NEWUTS | SIGCHLD, &self) <
		    0)
			_exit(77);
		for (;;)
			pause();
	}
	EXPECT(close(tell[1]) == 0);
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		exit(77);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (read(tell[0], &c, 1) != 1)
		fail("the survivor did not find its memory as it was");
	EXPECT(read(tell[0], &c, 1) == 0); /* its memory is gone by then */
	EXPECT(close(tell[0]) == 0);
}

int main(int argc, char **argv)
{
	unsigned long rounds = arg_number(argc, argv, 2, 10);

	n = arg_number(argc, argv, 1, 24) * PAGES_PER_MIB;
	for (unsigned long i = 0; i < rounds; i++) {
		delay_us = 1000 + i * 1237 % 8000;
		extra = i * 61 % (n / 6);
		once();
	}
	return ok("%lu times", rounds);
}

/* tests/native/prog/outlive.c - outlive [MIB]
 *
 * Processes that share memory by clone(CLONE_VM) and outlive the one it began with: which exits,
 * is killed, or executes another program, at once or while pages are taken out of it. The survivor
 * uses far more memory than the limit, forks, and hands on to another. Those that do not outlive
 * it end as ever: by returning, by exit, with the status they give, without delay.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define STACK_BYTES (256ul << 10)
#define MANY        40

enum end { EXITS, IS_KILLED, EXECUTES };

static size_t n;
static char *area;
static int tell[2], begin[2];
static const char *self;

static char *new_stack(void)
{
	return map_bytes(STACK_BYTES) + STACK_BYTES;
}

static int make(int (*fn)(void *), void *arg)
{
	int pid = clone(fn, new_stack(), CLONE_VM | SIGCHLD, arg);

	EXPECT(pid > 0);
	return pid;
}

static void say(char c)
{
	EXPECT(write(tell[1], &c, 1) == 1);
}

static void wait_for(int fd)
{
	char c;

	EXPECT(read(fd, &c, 1) == 1);
}

/* Its own child's memory is swapped, too. */
static void use_it(uint64_t version)
{
	pid_t pid;
	int status;

	area_check(area, n, 0, version, "in the survivor");
	for (size_t i = 0; i < n; i++)
		page_change(area + i * PAGE, i, version + 1);
	area_check(area, n, 0, version + 1, "in the survivor, after it changed them");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area_check(area, n, 0, version + 1, "in the survivor's child");
		_exit(3);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

static int last(void *arg)
{
	(void)arg;
	wait_for(begin[0]);
	use_it(1);
	say('e');
	_exit(0);
}

/* Goes on alone, then hands on. */
static int survivor(void *arg)
{
	(void)arg;
	wait_for(begin[0]);
	use_it(0);
	make(last, NULL);
	say('s');
	_exit(0);
}

/* Keeps pages on their way when its parent ends. */
static int busy_survivor(void *arg)
{
	volatile uint32_t *stop = arg;

	while (!*stop)
		for (size_t i = 0; i < n; i++)
			(void)*(volatile char *)(area + i * PAGE);
	return survivor(NULL);
}

static void outlived(enum end end, bool busy)
{
	static volatile uint32_t *stop;
	pid_t pid;
	int status;

	stop = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(stop != MAP_FAILED && pipe(tell) == 0 && pipe(begin) == 0);
	fflush(stdout);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area = map_bytes(n * PAGE);
		area_fill(area, n, 0, 0);
		make(busy ? busy_survivor : survivor, (void *)stop);
		if (end == IS_KILLED)
			raise(SIGKILL);
		if (end == EXECUTES)
			execl(self, "outlive", "nothing", (char *)NULL);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(end == IS_KILLED ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0);
	*stop = 1;
	EXPECT(write(begin[1], "12", 2) == 2);
	EXPECT(close(tell[1]) == 0);
	wait_for(tell[0]);
	wait_for(tell[0]);
	EXPECT(close(tell[0]) == 0 && close(begin[0]) == 0 && close(begin[1]) == 0);
	EXPECT(munmap((void *)stop, PAGE) == 0);
}

/* ---- those that do not ---- */

static int returns(void *arg)
{
	return (int)(intptr_t)arg;
}

static int exits(void *arg)
{
	_exit((int)(intptr_t)arg);
}

static int exits_raw(void *arg)
{
	raw_syscall(SYS_exit, (long)(intptr_t)arg, 0, 0);
	return 0;
}

static int is_killed(void *arg)
{
	(void)arg;
	kill((pid_t)syscall(SYS_getpid), SIGKILL);
	pause();
	return 0;
}

static void ends_as_ever(void)
{
	int (*const way[])(void *) = { returns, exits, exits_raw, is_killed };
	char *stack = new_stack();

	for (intptr_t i = 0; i < MANY; i++) {
		int status, pid = clone(way[i % 4], stack, CLONE_VM | SIGCHLD, (void *)i);

		EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
		if (i % 4 == 3)
			EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		else
			EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == (int)i);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	self = "/proc/self/exe";
	n = arg_number(argc, argv, 1, 32) * PAGES_PER_MIB;
	area = map_bytes(PAGE);
	ends_as_ever();
	outlived(EXITS, false);
	outlived(IS_KILLED, false);
	outlived(EXECUTES, false);
	outlived(EXITS, true);
	outlived(IS_KILLED, true);
	return ok("%zu pages outlived the process they began with", n);
}

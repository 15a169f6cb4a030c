/* tests/native/prog/execs.c - execs [COUNT] [fork|vfork|spawn] [MIB] [PROGRAM]
 *
 * Start PROGRAM (/bin/true) COUNT times, one after the other, from a process that holds MIB of
 * data, and find the data unchanged.
 */
#include <spawn.h>
#include <sys/wait.h>

#include "prog.h"

extern char **environ;

static char *program = "/bin/true";

static pid_t start_by_fork(void)
{
	char *args[] = { program, NULL };
	pid_t pid = fork();

	if (!pid) {
		execv(program, args);
		_exit(127);
	}
	return pid;
}

static pid_t start_by_vfork(void)
{
	char *args[] = { program, NULL };
	pid_t pid = vfork();

	if (!pid) {
		execv(program, args);
		_exit(127);
	}
	return pid;
}

static pid_t start_by_spawn(void)
{
	char *args[] = { program, NULL };
	pid_t pid;

	return posix_spawn(&pid, program, NULL, NULL, args, environ) ? -1 : pid;
}

static pid_t (*way(const char *name))(void)
{
	if (!strcmp(name, "fork"))
		return start_by_fork;
	if (!strcmp(name, "vfork"))
		return start_by_vfork;
	if (!strcmp(name, "spawn"))
		return start_by_spawn;
	fail("no way '%s': use fork, vfork or spawn", name);
}

int main(int argc, char **argv)
{
	unsigned long count = arg_number(argc, argv, 1, 100);
	pid_t (*start)(void) = way(argc > 2 ? argv[2] : "fork");
	size_t n = arg_number(argc, argv, 3, 8) * PAGES_PER_MIB;
	char *area = n ? map_bytes(n * PAGE) : NULL;
	double begin;

	if (argc > 4)
		program = argv[4];
	area_fill(area, n, 0, 0);
	begin = now_us();
	for (unsigned long i = 0; i < count; i++) {
		pid_t pid = start();
		int status;

		if (pid < 0)
			fail("start %lu: %s", i, strerror(errno));
		EXPECT(waitpid(pid, &status, 0) == pid);
		if (status)
			fail("%s, start %lu: status 0x%x", program, i, status);
	}
	begin = now_us() - begin;
	area_check(area, n, 0, 0, "at the end");
	return ok("%lu starts, %.0f us each", count, count ? begin / (double)count : 0);
}

/* tests/native/prog/starter.c - starter HOW PROGRAM [ARGUMENT...]
 *
 * Execute PROGRAM, a path, in one of the ways there are: "execve", "execveat", "fexecve", "spawn"
 * (posix_spawn), "vfork", "syscall" (syscall(2)), "thread" (by a thread other than the first). Its
 * exit status is ours.
 */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

extern char **environ;
static char **program;

static int status_of(pid_t child)
{
	int status;

	EXPECT(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void *in_thread(void *arg)
{
	execve(program[0], program, environ);
	return arg;
}

static void execute(const char *how)
{
	int fd = open(program[0], O_RDONLY | O_CLOEXEC);
	pthread_t thread;

	EXPECT(fd >= 0);
	if (!strcmp(how, "execve"))
		execve(program[0], program, environ);
	else if (!strcmp(how, "execveat"))
		syscall(SYS_execveat, fd, "", program, environ, AT_EMPTY_PATH);
	else if (!strcmp(how, "fexecve"))
		fexecve(fd, program, environ);
	else if (!strcmp(how, "syscall"))
		syscall(SYS_execve, program[0], program, environ);
	else if (!strcmp(how, "thread") && pthread_create(&thread, NULL, in_thread, NULL) == 0)
		pthread_join(thread, NULL);
	fail("%s: %s", how, strerror(errno));
}

static int spawn(void)
{
	pid_t child;

	EXPECT(posix_spawn(&child, program[0], NULL, NULL, program, environ) == 0);
	return status_of(child);
}

static int start_by_vfork(void)
{
	pid_t child = vfork();

	if (!child) {
		execve(program[0], program, environ);
		_exit(127);
	}
	return status_of(child);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		fail("usage: starter HOW PROGRAM [ARGUMENT...]");
	program = argv + 2;
	if (!strcmp(argv[1], "spawn"))
		return spawn();
	if (!strcmp(argv[1], "vfork"))
		return start_by_vfork();
	execute(argv[1]);
	return 1;
}

/* tests/native/prog/orphan.c - orphan [raw]
 *
 * Makes an orphan, which waits until its parent is another than the one that made it, and prints
 * the PID of that one, by getppid(2) and by syscall(2), which agree; raw: it is made by clone(2).
 * A daemon waits so until its parent is 1.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

static pid_t make(bool raw)
{
	return raw ? (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l) : fork();
}

int main(int argc, char **argv)
{
	bool raw = argc > 1 && !strcmp(argv[1], "raw");
	pid_t said[2] = { 0 };
	int fd[2];

	EXPECT(pipe(fd) == 0);
	if (!make(raw)) {
		pid_t parent = getpid();

		if (!make(raw)) {
			for (int i = 0; i < 60000 && getppid() == parent; i++)
				usleep(1000);
			said[0] = getppid();
			said[1] = (pid_t)(raw ? getppid() : syscall(SYS_getppid));
			EXPECT(write(fd[1], said, sizeof(said)) == sizeof(said));
		}
		_exit(0);
	}
	close(fd[1]);
	EXPECT(read(fd[0], said, sizeof(said)) == sizeof(said));
	while (wait(NULL) > 0)
		;
	EXPECT(said[0] == said[1]);
	return ok("parent %d", (int)said[0]);
}

/* serve/process/heir.c - which process gets the orphans that umemcg takes as a subreaper.
 *
 * The kernel gives an orphan to the nearest subreaper above it, else to process 1 of its PID
 * namespace. Whether a process is a subreaper is not visible from outside; so this makes an orphan
 * and asks it.
 *
 * Locks: none; runs before umemcg is a subreaper and has threads.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/proc.h"
#include "serve/serve.h"

#define WAIT_MS 2000

/* In the grandchild: wait until its parent is gone, and report its successor. */
static _Noreturn void tell_heir(pid_t parent, int parent_fd, int out)
{
	struct pollfd p = { .fd = parent_fd, .events = POLLIN };
	pid_t heir = 0;

	if (parent_fd >= 0 && poll(&p, 1, WAIT_MS) == 1)
		heir = getppid();
	/* Exited, but not reparented yet. */
	for (int i = 0; heir == parent && i < WAIT_MS; i++) {
		(void)usleep(1000);
		heir = getppid();
	}
	_exit(heir == parent || write(out, &heir, sizeof(heir)) != sizeof(heir));
}

pid_t heir_of_orphans(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL }, saved;
	pid_t heir = 0, child;
	int out[2];

	VM_ASSERT(proc_single_threaded());
	if (pipe(out) != 0)
		return 0;
	sigaction(SIGCHLD, &plain, &saved);
	child = fork();
	if (child == 0) {
		pid_t self = getpid();
		int fd = (int)syscall(SYS_pidfd_open, self, 0);

		if (fork() == 0)
			tell_heir(self, fd, out[1]);
		_exit(0);
	}
	close(out[1]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	sigaction(SIGCHLD, &saved, NULL);
	if (read(out[0], &heir, sizeof(heir)) != sizeof(heir))
		heir = 0;
	close(out[0]);
	return heir;
}

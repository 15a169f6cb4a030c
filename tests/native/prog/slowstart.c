/* tests/native/prog/slowstart.c - slowstart MS PROGRAM [ARGUMENT...]
 *
 * Start PROGRAM as a machine does that is too busy to let it run: it has been executed, and stands
 * before its first instruction for MS milliseconds. Ends with its exit code.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "prog.h"

int main(int argc, char **argv)
{
	unsigned long ms = arg_number(argc, argv, 1, 1000);
	int status;
	pid_t pid;

	if (argc < 3)
		fail("usage: slowstart MS PROGRAM [ARGUMENT...]");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(77);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	usleep((useconds_t)ms * 1000);
	EXPECT(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
	EXPECT(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

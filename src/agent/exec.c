/* agent/exec.c - a program is about to be executed: the supervisor is told, for it has room to make.
 *
 * Before its HELLO a program touches memory that nobody manages, and one that cannot be managed says none: it would
 * be met at the next walk of the process tree. Told before, the supervisor sees it from its first page on.
 *
 * Only libc's own execve is redirected (hook.c), by which all the others go; the symbol is not replaced, so that
 * other libraries' wrappers are called as ever. Runs in children of vfork, too, on the memory of their parents:
 * nothing is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"

int hook_execve(const char *path, char *const *argv, char *const *env)
{
	long err;

	/* Most failures are of a search through $PATH. */
	if (agent_managed() && !sys_call3(SYS_faccessat, AT_FDCWD, path, X_OK))
		channel_call(CALL_EXEC, 0, 0);
	err = sys_call3(SYS_execve, path, argv, env);
	errno = (int)-err;
	return -1;
}

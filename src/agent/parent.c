/* agent/parent.c - shows an orphan the parent that it would have without umemcg.
 *
 * umemcg is a subreaper, so that it loses track of no process: orphans become its children. A
 * daemon waits until getppid(2) is 1. So where the kernel reports the supervisor, the answer is the
 * process that would have adopted the orphan instead (the heir), which the supervisor determined
 * before it became a subreaper. The root process really is a child of umemcg, and sees that.
 *
 * Static, and not in the wiped page: a child that the agent has not prepared (raw clone(2)) keeps
 * it. In another PID namespace the supervisor's number belongs to a different process: nothing is
 * changed there.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"

static struct {
	int32_t supervisor, heir, root; /* 0: nothing to change */
	uint64_t pid_namespace;         /* inode */
} known;

static uint64_t own_pid_namespace(void)
{
	struct stat st;

#if defined(__x86_64__)
	return sys_call4(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &st, 0) == 0 ? st.st_ino
										     : 0;
#else
	return sys_call4(SYS_fstatat, AT_FDCWD, "/proc/self/ns/pid", &st, 0) == 0 ? st.st_ino : 0;
#endif
}

void parent_set(const struct msg_ready *m)
{
	known.supervisor = m->supervisor;
	known.heir = m->heir;
	known.root = m->root;
	known.pid_namespace = m->pid_namespace;
}

pid_t hook_getppid(void)
{
	pid_t parent = (pid_t)sys_call0(SYS_getppid);

	if (!known.heir || parent != known.supervisor || sys_getpid() == known.root ||
	    own_pid_namespace() != known.pid_namespace)
		return parent;
	return known.heir;
}

AGENT_EXPORT extern __typeof__(getppid) getppid __attribute__((alias("hook_getppid")));

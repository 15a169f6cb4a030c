/* serve/process/kill.c - kills what is left of the program tree.
 *
 * Locks: none.
 */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/process.h"

#define KILL_WAIT_NS (5 * 1000000000ull) /* in which not one of them ends */

struct kill_walk {
	pid_t except;
	bool spare; /* count them only */
	unsigned left;
};

static void kill_one(pid_t pid, pid_t parent, void *arg)
{
	struct kill_walk *k = arg;
	struct pollfd p;
	pid_t now;

	VM_ASSERT(pid > 0 && pid != getpid());
	if (pid == k->except)
		return;
	/* The pid may have been reused since it was listed: kill only what is still ours. Orphans
	 * are our own children. A zombie waits for its parent to reap it; nothing to kill. */
	p = (struct pollfd){ .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	if (p.fd < 0)
		return;
	now = proc_parent(pid);
	if ((now == parent || now == getpid()) && poll(&p, 1, 0) == 0 &&
	    (k->spare || syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0) == 0))
		k->left++;
	close(p.fd);
}

unsigned tree_count(pid_t except)
{
	struct kill_walk k = { .except = except, .spare = true };

	proc_descendants(getpid(), kill_one, &k);
	return k.left;
}

unsigned tree_kill(pid_t except)
{
	uint64_t until = plat_now_ns() + KILL_WAIT_NS;
	struct kill_walk k = { .except = except };
	unsigned least = UINT_MAX;

	VM_ASSERT(except >= 0);
	do {
		k.left = 0;
		proc_descendants(getpid(), kill_one, &k);
		if (k.left < least) {
			least = k.left;
			until = plat_now_ns() + KILL_WAIT_NS;
		}
		if (k.left)
			plat_sleep_ns(2 * 1000000);
	} while (k.left && plat_now_ns() < until);
	return k.left;
}

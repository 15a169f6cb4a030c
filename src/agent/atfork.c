/* agent/atfork.c - forks that the kernel reports to the supervisor: what libc's handlers around a
 * fork do (pthread_atfork). Forks that it does not report: fork.c.
 *
 * Locks: maplock, for a moment.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "agent/fork.h"
#include "agent/sys.h"

/* State passed from fork's prepare handler to the other two, in the forking thread. */
static __thread struct {
	bool prepared;
	int call; /* open until fork has returned in the parent; -1 */
	int uffd; /* the parent's, by its number in the child's table */
	uint64_t cookie;
	uint64_t mask;
} forking __attribute__((tls_model("initial-exec")));

/* Signals stay blocked across the fork, so that a handler that forks cannot intervene. */
void agent_fork_prepare(void)
{
	forking.prepared = false;
	if (!agent_managed() || agent->own_forks || filter_forbids(FILTER_JOIN))
		return;
	sys_block_signals(&forking.mask);
	memfd_forks();
	forking.prepared = true;
	forking.cookie = 0;
	forking.uffd = agent->uffd;
	/* The supervisor makes room for the child, also from our own pages, and then stops moving
	 * pages. */
	forking.call = channel_call_open(CALL_FORK, 0, 0, &forking.cookie);
	__atomic_fetch_add(&agent->forking, 1, __ATOMIC_ACQ_REL);
	maplock_lock(); /* wait for a move that the supervisor has abandoned */
	maplock_unlock();
}

void agent_fork_parent(void)
{
	if (!forking.prepared)
		return;
	/* The supervisor takes the end of the connection as the end of the fork, so the helper must
	 * be willing before it. Shut down, not only closed: a child forked by another thread since
	 * may hold a copy. */
	__atomic_fetch_sub(&agent->forking, 1, __ATOMIC_ACQ_REL);
	if (forking.call >= 0) {
		sys_call2(SYS_shutdown, forking.call, SHUT_RDWR);
		sys_close(forking.call);
	}
	sys_restore_signals(&forking.mask);
}

/* The parent's swapped-out pages are then lost to the child too, and no helper watches over it. */
static bool supervisor_lost(int err)
{
	return err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE || err == -EPROTO;
}

/* The parent's descriptor refers to the parent's memory. */
void agent_fork_child(bool same_network)
{
	int err = forking.call < 0 ? forking.call : -EPROTO;

	memfd_forked();
	if (!forking.prepared)
		return;
	if (forking.call >= 0)
		sys_close(forking.call);
	if (forking.uffd >= 0)
		sys_close(forking.uffd);
	if (forking.call >= 0 && forking.cookie)
		err = agent_attach(forking.cookie, NULL);
	if (err)
		agent_debug("umemcg: the child of a fork is not managed:", err);
	/* If the supervisor could not be reached before the fork, the parent is in a network
	 * namespace of its own, or is dying together with all others. */
	if (forking.call >= 0 && same_network && supervisor_lost(err))
		sys_call2(SYS_kill, sys_getpid(), SIGKILL);
	sys_restore_signals(&forking.mask);
}

void atfork_child(void)
{
	agent_fork_child(true);
}

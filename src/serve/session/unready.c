/* serve/session/unready.c - clients whose helper channel closes before their helper has sent
 * STARTED.
 *
 * In one case the process executes another program or ends, and its address space with it: that
 * shows at once (uffd_dead). In the other its agent has given up because READY did not come in
 * time. Then the process lives on and sends no requests. Until that is known the client stays as it
 * is: served, measured, and a possible OOM victim.
 *
 * After an exec none of its pages has left its memory yet. So the client ends, with its
 * userfaultfd, the kernel serves the process itself again, and the watcher finds it as an unmanaged
 * process. A fork's child may have pages that only we have, and so may a client that had another
 * helper before: it is served as long as it lives.
 *
 * Locks: none. Control thread only.
 */
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/session/conn.h"

#define GIVEN_UP_NS (200 * 1000000ull) /* if it has not ended by then, it lives on */

void unready_begin(struct conn *conn)
{
	struct client *c = conn->client;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(!conn->started);
	(void)client_set_state(c, CLIENT_UNREADY);
	host_helper_gone(&c->s->mmu, &c->host);
	client_let_go(c);
	conn->deadline_ns = plat_now_ns() + GIVEN_UP_NS;
}

/* From now on its memory is measured instead of booked. */
static void leave_to_kernel(struct client *c)
{
	struct supervisor *s = c->s;
	pid_t pid = c->host.pid;
	struct client *unmanaged;

	assert_thread(THREAD_CONTROL);
	client_end(c);
	a64_add(&s->total_clients, -1);
	starting_found(s, pid);
	unmanaged = client_unmanaged(s, pid);
	if (!unmanaged)
		return;
	measure_waiting(unmanaged);
	client_put(unmanaged);
}

bool unready_waits(struct conn *conn)
{
	struct client *c = conn->client;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_CLOSING);
	if (conn->started || client_state(c) != CLIENT_UNREADY || conn->deadline_ns == UINT64_MAX)
		return conn->deadline_ns != UINT64_MAX;
	if (plat_now_ns() < conn->deadline_ns || client_exited(c))
		return true;
	conn->deadline_ns = UINT64_MAX;
	supervisor_notice(c->s,
			  "%s (%d) was not answered in time and is not managed: its memory is "
			  "counted, and not swapped",
			  c->comm, (int)c->host.pid);
	if (!c->keeps_us)
		leave_to_kernel(c);
	return false;
}

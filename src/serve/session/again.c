/* serve/session/again.c - a client's helper ends and another takes its place, because the program
 * makes a call that needs a process of one thread (agent/alone.c).
 *
 * The new channel takes the old one's place at once; nothing is asked of it before its helper has
 * sent STARTED. Until then the client is JOINING. If that helper never comes the client is served
 * without one, for we have pages of it (unready.c).
 *
 * Locks: batch_lock of the client while the channels change: no request is under way. Control
 * thread only.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "serve/process/proc.h"
#include "serve/session/conn.h"

/* A helper that has not answered keeps its channel. */
static bool is_idle(struct client *c)
{
	lockdep_assert_held(&c->host.batch_lock);
	return !a32_load(&c->host.is_late) && !a32_load(&c->host.fill_late);
}

/* The old channel, for the last time. */
static void retire(struct client *c)
{
	struct msg_head m = { PROTO_MAGIC, MSG_RETIRE, 0 };

	lockdep_assert_held(&c->host.batch_lock);
	(void)msg_send(c->sock, &m, sizeof(m), -1);
}

/* Swap the channels: 0 or -EBUSY. */
static int change(struct client *c, struct conn *conn, const struct msg_hello *m)
{
	struct timeval tv = { .tv_usec = EVICT_TIMEOUT_US };
	int err = -EBUSY;

	assert_thread(THREAD_CONTROL);
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	spin_lock(&c->host.batch_lock);
	if (is_idle(c) && m->staging == c->host.staging) {
		a32_store(&c->host.can_evict, 0);
		retire(c);
		c->sock = conn->fd;
		c->host.serve = conn;
		host_helper_replaced(&c->s->mmu, &c->host, conn->pid, m->staging);
		err = 0;
	}
	spin_unlock(&c->host.batch_lock);
	return err;
}

static void drop(struct supervisor *s, struct conn *old)
{
	assert_thread(THREAD_CONTROL);
	(void)epoll_ctl(s->control_ep, EPOLL_CTL_DEL, old->fd, NULL);
	close(old->fd);
	list_del(&old->link);
	client_put(old->client);
	plat_free(old);
}

bool again_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m)
{
	struct msg_ready r = { .h = { PROTO_MAGIC, MSG_READY, m->h.seq }, .error = -EBUSY };
	struct client *c = hello_sane(m) ? client_managed(s, conn->pid) : NULL;
	struct conn *old = c ? c->host.serve : NULL;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_NEW && !conn->client);
	if (old && old->kind == CONN_HELPER && old->started)
		r.error = change(c, conn, m);
	if (!r.error) {
		conn->kind = CONN_HELPER;
		conn->again = true;
		conn->client = c;
		client_ref(c);
		drop(s, old);
		(void)client_set_state(c, CLIENT_JOINING);
		c->keeps_us = true;
		a32_store(&c->task_changed, 1);
	}
	(void)msg_send(conn->fd, &r, sizeof(r), -1);
	if (c)
		client_put(c);
	return !r.error;
}

void again_started(struct client *c, uint32_t tid)
{
	pid_t task = proc_thread(c->host.pid, (pid_t)tid);

	assert_thread(THREAD_CONTROL);
	spin_lock(&c->host.batch_lock);
	c->helper_tid = tid;
	if (task)
		c->host.task = task;
	spin_unlock(&c->host.batch_lock);
	if (task && task != c->host.pid)
		follow_helper(c->s, task);
	a32_store(&c->task_changed, 1);
}

/* serve/session/standby.c - address spaces that outlive the process they began with: the next
 * helper (agent/standby.c).
 *
 * A process that shares a client's memory but is not a thread of it has a helper of its own, which
 * says HELLO_STANDBY. It is identified by the userfaultfd that it sends: no other client has that
 * one. It gets no requests until the client's helper ends. If the address space lives on, the
 * standby helper then takes over channel, staging area, task and process (take_over). A request
 * that was in progress was either done or not: the content of the old staging area tells
 * (host_helper_replaced; withdraw.c for one that is not late).
 *
 * I1  Only the control thread uses c->standby[]. c->host.spare_task names one of them, for
 *     withdrawals.
 *
 * Locks: batch_lock of the client while its helper is replaced: a withdrawal sees either the old or
 * the new one.
 */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/process/proc.h"
#include "serve/session/conn.h"

static bool same_file(int a, int b)
{
	return a >= 0 && syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

/* Returns a reference; NULL: none. */
static struct client *client_of(struct supervisor *s, int uffd)
{
	struct client *c = NULL;

	assert_thread(THREAD_CONTROL);
	while ((c = client_next(s, c)))
		if (!c->unmanaged && !client_has_ended(c) && same_file(c->host.uffd, uffd))
			return c;
	return NULL;
}

struct client *standby_client(struct supervisor *s, pid_t pid)
{
	struct client *c = NULL;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(pid > 0);
	if (!s->control->nr_standbys)
		return NULL;
	while ((c = client_next(s, c)))
		for (int i = 0; i < STANDBYS_MAX; i++)
			if (c->standby[i].conn && c->standby[i].pid == pid && !client_is_leaving(c))
				return c;
	return NULL;
}

static struct standby *slot_of(struct client *c, const struct conn *conn)
{
	assert_thread(THREAD_CONTROL);
	for (int i = 0; i < STANDBYS_MAX; i++)
		if (c->standby[i].conn == conn)
			return &c->standby[i];
	return NULL;
}

static void forget(struct client *c, struct standby *slot)
{
	assert_thread(THREAD_CONTROL);
	VM_ASSERT(c->s->control->nr_standbys > 0);
	*slot = (struct standby){ 0 };
	c->s->control->nr_standbys--;
}

static void choose_spare(struct client *c)
{
	pid_t task = 0;

	assert_thread(THREAD_CONTROL);
	for (int i = 0; i < STANDBYS_MAX && !task; i++)
		if (c->standby[i].conn)
			task = c->standby[i].task;
	a32_store(&c->host.spare_task, (uint32_t)task);
}

/* All standby helpers share one area, known from the first. False: it differs. */
static bool set_area(struct client *c, const struct msg_hello *m)
{
	uint64_t *start = &c->private_start[PRIVATE_RANGES - 1],
		 *end = &c->private_end[PRIVATE_RANGES - 1];

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(m->private_start[0] <= m->private_end[0]);
	if (*end)
		return *start == m->private_start[0] && *end == m->private_end[0];
	/* In this order: a reader that sees an end also finds its start (private_range). */
	__atomic_store_n(start, m->private_start[0], __ATOMIC_RELAXED);
	__atomic_store_n(end, m->private_end[0], __ATOMIC_RELEASE);
	return true;
}

static int enter(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int uffd)
{
	struct client *c = client_of(s, uffd);
	struct standby *slot = c ? slot_of(c, NULL) : NULL;
	pid_t task = proc_thread(conn->pid, (pid_t)m->helper_tid);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_NEW);
	if (!slot || !task || !set_area(c, m)) {
		if (c)
			client_put(c);
		return c ? -EBUSY : -ENOENT;
	}
	*slot = (struct standby){
		.conn = conn,
		.pid = conn->pid,
		.task = task,
		.tid = m->helper_tid,
		.staging = m->staging,
	};
	s->control->nr_standbys++;
	a32_store(&c->several, 1);
	conn->kind = CONN_STANDBY;
	conn->client = c;
	choose_spare(c);
	return 0;
}

bool standby_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int uffd)
{
	struct msg_ready r = { .h = { PROTO_MAGIC, MSG_READY, m->h.seq } };

	assert_thread(THREAD_CONTROL);
	r.error = hello_sane(m) ? enter(s, conn, m, uffd) : -EINVAL;
	(void)msg_send(conn->fd, &r, sizeof(r), -1);
	return !r.error;
}

bool standby_event(struct conn *conn, bool readable)
{
	struct client *c = conn->client;
	struct standby *slot = slot_of(c, conn);
	struct msg_started m;
	int fd = -1;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_STANDBY && conn->client);
	if (readable && slot && !conn->started) {
		ssize_t n = msg_recv(conn->fd, &m, sizeof(m), 0, &fd);

		if (fd >= 0)
			close(fd);
		conn->started = head_valid(&m.h, n, MSG_STARTED, sizeof(m));
		if (conn->started)
			return true;
	}
	if (slot)
		forget(c, slot);
	choose_spare(c);
	return false;
}

static void take_over(struct client *c, struct standby *slot)
{
	struct timeval tv = { .tv_usec = EVICT_TIMEOUT_US };
	int old;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(slot->conn && slot->conn->client == c);
	(void)setsockopt(slot->conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	spin_lock(&c->host.batch_lock);
	old = c->sock;
	c->sock = slot->conn->fd;
	c->host.serve = slot->conn;
	c->helper_tid = slot->tid;
	host_helper_replaced(&c->s->mmu, &c->host, slot->task, slot->staging);
	a32_store(&c->host.can_evict, slot->conn->started);
	spin_unlock(&c->host.batch_lock);
	host_helper_settled(&c->s->mmu, &c->host);
	follow_helper(c->s, slot->task);
	client_change_pid(c, slot->pid);
	if (client_lives_on(c, slot->conn->started))
		starting_over(c->s, c->host.pid); /* it may have been found as unmanaged by now */
	a32_store(&c->task_changed, 1);
	(void)epoll_ctl(c->s->control_ep, EPOLL_CTL_DEL, old, NULL);
	close(old);
	slot->conn->kind = CONN_HELPER;
	forget(c, slot);
	choose_spare(c);
	/* The kill was aimed at this memory, so kill its new process, too. */
	if (a32_load(&c->host.mm->dying))
		client_kill(c, SIGKILL);
}

struct conn *standby_take_over(struct client *c)
{
	assert_thread(THREAD_CONTROL);
	if (uffd_dead(c->host.uffd))
		return NULL;
	for (int i = 0; i < STANDBYS_MAX; i++) {
		struct conn *conn = c->standby[i].conn;

		if (!conn)
			continue;
		take_over(c, &c->standby[i]);
		return conn;
	}
	return NULL;
}

/* serve/session/control.c - the control thread: connections, first messages, ends of clients, late
 * answers.
 *
 * It never blocks for long: requests that may block (fork, mlock, read-ahead) go to the call
 * threads. A connection with a malformed message is closed; if it was a client's helper channel the
 * client is killed.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/client/lineage.h"
#include "serve/process/proc.h"
#include "serve/session/conn.h"

#define TICK_MS    500
#define CLOSING_MS 1

union any_msg {
	struct msg_head h;
	struct msg_hello hello;
	struct msg_call call;
	struct msg_evicted evicted;
};

void conn_watch(struct supervisor *s, struct conn *conn, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = conn };

	(void)epoll_ctl(s->control_ep, op, conn->fd, &ev);
}

/* Drop a connection. A helper channel's descriptor belongs to its client. */
static void conn_close(struct supervisor *s, struct conn *conn)
{
	assert_thread(THREAD_CONTROL);
	(void)epoll_ctl(s->control_ep, EPOLL_CTL_DEL, conn->fd, NULL);
	list_del(&conn->link);
	if (conn->kind != CONN_HELPER)
		close(conn->fd);
	if (conn->client)
		client_put(conn->client);
	plat_free(conn);
}

static void first_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int fd)
{
	struct client *c;
	bool again;

	assert_thread(THREAD_CONTROL);
	if (m->flags & HELLO_STANDBY) {
		if (standby_hello(s, conn, m, fd)) {
			conn_watch(s, conn, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_MOD);
			/* Its predecessor has ended already. */
			if (client_state(conn->client) == CLIENT_CLOSING &&
			    conn->client->host.serve)
				(void)helper_replace(conn->client->host.serve);
		} else {
			conn_close(s, conn);
		}
		if (fd >= 0)
			close(fd);
		return;
	}
	if (m->flags & HELLO_AGAIN) {
		if (again_hello(s, conn, m))
			conn_watch(s, conn, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_MOD);
		else
			conn_close(s, conn);
		if (fd >= 0)
			close(fd);
		return;
	}
	c = hello(s, conn, m, fd, &again);
	if (c) {
		conn->kind = CONN_HELPER;
		conn->client = c;
		conn_watch(s, conn, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_MOD);
	} else if (!again) {
		conn_close(s, conn);
	}
}

/* Only the child that inherits the cookie may know it. */
static uint64_t fork_cookie(void)
{
	uint64_t cookie = 0;

	while (!cookie)
		if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie))
			cookie = 0;
	return cookie;
}

static bool call_sane(const struct msg_call *m)
{
	if (m->op == 0 || m->op >= NR_CALLS)
		return false;
	return !call_has_range(m) || m->op == CALL_PIPE || !((m->start | m->len) & ~PAGE_MASK);
}

static void refuse_call(struct supervisor *s, struct conn *conn, const struct msg_call *m,
			int error)
{
	struct msg_call_reply r = { .h = { PROTO_MAGIC, MSG_CALL_REPLY, m->h.seq },
				    .error = error };

	assert_thread(THREAD_CONTROL);
	(void)msg_send(conn->fd, &r, sizeof(r), -1);
	conn_close(s, conn);
}

/* A vfork child, which is not a client, announces its own exec. A child that was forked past libc
 * is none, but has its parents' descriptors. */
static struct client *caller(struct supervisor *s, const struct conn *conn,
			     const struct msg_call *m)
{
	struct client *c = client_managed(s, conn->pid);
	pid_t pid = conn->pid;

	assert_thread(THREAD_CONTROL);
	if (!c)
		c = standby_client(s, conn->pid);
	if (!c && m->op == CALL_EXEC)
		return client_managed(s, proc_parent(conn->pid));
	while (!c && m->op >= CALL_MEMFD && pid > 1) {
		pid = proc_parent(pid);
		c = client_managed(s, pid);
	}
	return c;
}

static void first_call(struct supervisor *s, struct conn *conn, const struct msg_call *m)
{
	struct client *c = caller(s, conn, m);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_NEW);
	if (!c || !call_sane(m)) {
		refuse_call(s, conn, m, -EINVAL);
		if (c)
			client_put(c);
		return;
	}
	conn->kind = CONN_CALL;
	if (m->op == CALL_FORK) {
		conn->client = c;
		client_ref(c);
		conn->cookie = fork_cookie();
	}
	conn_watch(s, conn, EPOLLRDHUP, EPOLL_CTL_MOD);
	if (!call_queue(s, c, conn->fd, m, conn->cookie, conn->pid))
		refuse_call(s, conn, m, -ENOMEM); /* the caller waits for one, or for nothing */
	client_put(c);
}

static void first_message(struct supervisor *s, struct conn *conn)
{
	union any_msg m;
	int fd;
	ssize_t n = msg_recv(conn->fd, &m, sizeof(m), 0, &fd);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_NEW);
	if (head_valid(&m.h, n, MSG_HELLO, sizeof(m.hello))) {
		first_hello(s, conn, &m.hello, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (head_valid(&m.h, n, MSG_CALL, sizeof(m.call)))
		first_call(s, conn, &m.call);
	else
		conn_close(s, conn);
}

/* The first message of a helper. Its program thread has finished HELLO: nothing of the client is
 * out of reach any more. */
static void helper_started(struct supervisor *s, struct conn *conn)
{
	struct client *c = conn->client;
	struct msg_started m;
	int fd;
	ssize_t n = msg_recv(conn->fd, &m, sizeof(m), 0, &fd);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_HELPER && !conn->started);
	if (fd >= 0)
		close(fd);
	if (!head_valid(&m.h, n, MSG_STARTED, sizeof(m))) {
		client_kill(c, SIGKILL);
		return;
	}
	conn->started = true;
	if (conn->again)
		again_started(c, m.helper_tid);
	(void)client_set_state(c, CLIENT_SERVED);
	a32_store(&c->host.can_evict, 1);
	client_entered(c);
	conn_watch(s, conn, EPOLLRDHUP, EPOLL_CTL_MOD);
}

void control_forked(struct supervisor *s, uint64_t cookie)
{
	struct msg_call_reply r = { .h = { PROTO_MAGIC, MSG_CALL_REPLY, 2 } };

	assert_thread(THREAD_CONTROL);
	if (!serve_mode_own_forks(s->mode))
		return;
	list_for_each(conn, &s->control->conns, struct conn, link)
		if (conn->kind == CONN_CALL && conn->cookie == cookie)
			(void)msg_send(conn->fd, &r, sizeof(r), -1);
}

bool helper_replace(struct conn *conn)
{
	struct client *c = conn->client;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->client);
	if (!standby_take_over(c))
		return false;
	list_del(&conn->link);
	plat_free(conn);
	client_put(c);
	return true;
}

/* The first message, a late answer, or the end. */
static void helper_event(struct supervisor *s, struct conn *conn, uint32_t events)
{
	struct client *c = conn->client;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->kind == CONN_HELPER && conn->client);
	if (events & EPOLLIN && !(events & (EPOLLRDHUP | EPOLLHUP)) && !conn->started) {
		helper_started(s, conn);
		return;
	}
	if (events & EPOLLIN && !(events & (EPOLLRDHUP | EPOLLHUP))) {
		struct msg_evicted m;
		int fd;
		ssize_t n = msg_recv(conn->fd, &m, sizeof(m), 0, &fd);

		if (fd >= 0)
			close(fd);
		conn_watch(s, conn, EPOLLRDHUP, EPOLL_CTL_MOD);
		if (n > 0 && m.n <= EVICT_PAGES_MAX &&
		    head_valid(&m.h, n, MSG_EVICTED, offsetof(struct msg_evicted, status) + m.n))
			host_late_done(&s->mmu, &c->host, m.status, m.n);
		else
			client_kill(c, SIGKILL);
		return;
	}
	if (helper_replace(conn))
		return;
	(void)epoll_ctl(s->control_ep, EPOLL_CTL_DEL, conn->fd, NULL);
	/* exec and exit end the helper first, and the kernel still reads the old memory after that
	 * (for example the robust futex list): keep serving its faults until the address space is
	 * gone. */
	if (conn->started) {
		client_closing(c);
		host_helper_gone(&s->mmu, &c->host);
		client_let_go(c);
		lineage_note(s, c->host.pid);
	} else {
		unready_begin(conn);
	}
	conn->kind = CONN_CLOSING;
	list_del(&conn->link);
	list_add_tail(&conn->link, &s->control->closing);
}

/* End the clients whose address spaces are gone by now. True: some will be soon. */
static bool end_closing(struct supervisor *s, bool all)
{
	bool soon = false;

	assert_thread(THREAD_CONTROL);
	list_for_each_safe(conn, tmp, &s->control->closing, struct conn, link) {
		if (!all && !client_has_ended(conn->client) &&
		    !uffd_dead(conn->client->host.uffd)) {
			soon |= unready_waits(conn);
			continue;
		}
		client_end(conn->client);
		list_del(&conn->link);
		client_put(conn->client);
		plat_free(conn);
	}
	return soon;
}

static void conn_event(struct supervisor *s, struct conn *conn, uint32_t events)
{
	assert_thread(THREAD_CONTROL);
	switch (conn->kind) {
	case CONN_LISTEN:
		accept_one(s, conn->fd);
		break;
	case CONN_DOOR:
		accept_at_door(s, conn);
		break;
	case CONN_STOP:
		break;
	case CONN_NEW:
		if (events & EPOLLIN)
			first_message(s, conn);
		else
			conn_close(s, conn);
		break;
	case CONN_HELPER:
		helper_event(s, conn, events);
		break;
	case CONN_STANDBY:
		if (standby_event(conn, events & EPOLLIN && !(events & (EPOLLRDHUP | EPOLLHUP))))
			conn_watch(s, conn, EPOLLRDHUP, EPOLL_CTL_MOD);
		else
			conn_close(s, conn);
		break;
	case CONN_CLOSING:
		break;
	case CONN_CALL:
		/* In this order: a call thread about to announce the fork finds the connection
		 * closed. */
		(void)shutdown(conn->fd, SHUT_RDWR);
		if (conn->client)
			fork_over(conn->client, conn->cookie);
		conn_close(s, conn);
		break;
	}
}

static void close_silent(struct supervisor *s, bool all)
{
	uint64_t now = plat_now_ns();

	assert_thread(THREAD_CONTROL);
	list_for_each_safe(conn, tmp, &s->control->conns, struct conn, link) {
		if (all && conn->client && conn->kind == CONN_HELPER)
			client_end(conn->client);
		if (all || (conn->kind == CONN_NEW && now > conn->deadline_ns))
			conn_close(s, conn);
	}
}

static void control_main(void *arg)
{
	struct supervisor *s = arg;
	bool soon = false;

	thread_begin(THREAD_CONTROL);
	while (!a32_load(&s->stopping)) {
		struct epoll_event ev;
		int n = epoll_wait(s->control_ep, &ev, 1, soon ? CLOSING_MS : TICK_MS);

		if (n == 1)
			conn_event(s, ev.data.ptr, ev.events);
		soon = end_closing(s, false);
		close_silent(s, false);
	}
	(void)end_closing(s, true);
	close_silent(s, true);
}

/* ---- begin and end ---- */

int control_init(struct supervisor *s)
{
	struct control *c;

	if (supervisor_part(&s->control, sizeof(*c)))
		return -ENOMEM;
	c = s->control;
	c->listen_fd = c->door.fd = c->door.out = c->door.listen_fd = -1;
	list_init(&c->conns);
	list_init(&c->closing);
	return 0;
}

int control_open(struct supervisor *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct control *c = s->control;

	assert_thread(THREAD_MAIN);
	memcpy(a.sun_path + 1, s->socket_name, strlen(s->socket_name));
	c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listen_fd < 0 ||
	    bind(c->listen_fd, (struct sockaddr *)&a,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     strlen(s->socket_name))) != 0 ||
	    listen(c->listen_fd, 1024) != 0)
		return -errno;
	door_place(&c->door, s->socket_name);
	return 0;
}

int control_start(struct supervisor *s)
{
	struct control *c = s->control;
	struct epoll_event listen_ev = { .events = EPOLLIN, .data.ptr = &c->listen_conn };
	struct epoll_event path_ev = { .events = EPOLLIN, .data.ptr = &c->path_conn };
	struct epoll_event door_ev = { .events = EPOLLIN, .data.ptr = &c->door_conn };
	struct epoll_event stop_ev = { .events = EPOLLIN, .data.ptr = &c->stop_conn };

	assert_thread(THREAD_MAIN);
	c->listen_conn = (struct conn){ .kind = CONN_LISTEN, .fd = c->listen_fd };
	door_open(&c->door);
	c->path_conn = (struct conn){ .kind = CONN_LISTEN, .fd = c->door.listen_fd };
	c->door_conn = (struct conn){ .kind = CONN_DOOR, .fd = c->door.fd };
	c->stop_conn = (struct conn){ .kind = CONN_STOP, .fd = s->stop_fd };
	if (epoll_ctl(s->control_ep, EPOLL_CTL_ADD, c->listen_fd, &listen_ev) != 0 ||
	    (c->door.listen_fd >= 0 &&
	     epoll_ctl(s->control_ep, EPOLL_CTL_ADD, c->door.listen_fd, &path_ev) != 0) ||
	    (c->door.fd >= 0 &&
	     epoll_ctl(s->control_ep, EPOLL_CTL_ADD, c->door.fd, &door_ev) != 0) ||
	    epoll_ctl(s->control_ep, EPOLL_CTL_ADD, s->stop_fd, &stop_ev) != 0)
		return -errno;
	return plat_thread_start(&c->thread, "umemcg-control", control_main, s);
}

const char *control_door_dir(const struct supervisor *s)
{
	return s->control->door.dir;
}

int control_door(const struct supervisor *s)
{
	int fd = fcntl(s->control->door.out, F_DUPFD_CLOEXEC, 0);

	assert_thread(THREAD_CALL);
	return fd < 0 ? -errno : fd;
}

void control_hand_down(const struct supervisor *s)
{
	door_hand_down(&s->control->door);
}

void control_join(struct supervisor *s)
{
	plat_thread_join(&s->control->thread);
}

void control_close(struct supervisor *s)
{
	close(s->control->listen_fd);
	door_close(&s->control->door);
	plat_free(s->control);
}

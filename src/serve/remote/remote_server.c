/* serve/remote/remote_server.c - the control socket's server: see remote.h.
 *
 * Locks: none; one thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "plat/plat.h"
#include "serve/remote/remote.h"

#define SILENT_NS  (REMOTE_SILENT_MS * 1000000ull)
#define TELL_NS    (200 * 1000000ull) /* between two progress reports */
#define LOOK_NS    (20 * 1000000ull)  /* between two polls of the connections, during a job */
#define NO_ROOM_NS (10 * 1000000ull)  /* no descriptor for a connection: pause before retrying */
#define TICK_MS    1000

union request {
	struct remote_head h;
	struct remote_who who;
	struct remote_migrate migrate;
	struct remote_ask ask;
};

int remote_listen(struct remote_server *r, const struct remote_ops *ops, void *arg)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, REMOTE_PREFIX "%d", (int)getpid());
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	*r = (struct remote_server){ .listen_fd = fd, .ops = ops, .arg = arg };
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0 &&
	    listen(fd, REMOTE_CONNS_MAX) == 0)
		return 0;
	err = -errno;
	remote_close(r);
	return err;
}

static bool tell(int fd, const void *msg, size_t size)
{
	return send(fd, msg, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

static void refuse(int fd, int error)
{
	struct remote_refused m = { .h = { REMOTE_MAGIC, REMOTE_REFUSED }, .error = error };

	(void)tell(fd, &m, sizeof(m));
}

/* Stop the job where it is. */
static void give_up(struct remote_server *r)
{
	if (r->asker && !r->writes)
		r->ops->end(r->arg);
	r->asker = NULL;
	r->writes = false;
}

static void conn_close(struct remote_server *r, struct remote_conn *c)
{
	if (r->asker == c)
		give_up(r);
	close(c->fd);
	c->fd = 0;
}

/* A free slot, or the slot silent for longest; but not the asker's. */
static struct remote_conn *place(struct remote_server *r)
{
	struct remote_conn *oldest = NULL;

	for (struct remote_conn *c = r->conn; c < r->conn + REMOTE_CONNS_MAX; c++) {
		if (!c->fd)
			return c;
		if (c != r->asker && (!oldest || c->heard_ns < oldest->heard_ns))
			oldest = c;
	}
	conn_close(r, oldest);
	return oldest;
}

static void accept_one(struct remote_server *r)
{
	int fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct remote_conn *c;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			plat_sleep_ns(NO_ROOM_NS);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 ||
	    (cred.uid != 0 && cred.uid != geteuid())) {
		refuse(fd, -EACCES);
		close(fd);
		return;
	}
	c = place(r);
	c->fd = fd;
	c->heard_ns = plat_now_ns();
}

static bool is_ask(const struct remote_ask *m)
{
	return memchr(m->name, '\0', sizeof(m->name)) && memchr(m->value, '\0', sizeof(m->value));
}

static bool is(const union request *q, ssize_t n, uint32_t type, size_t size)
{
	return q->h.type == type && n == (ssize_t)size;
}

/* Report progress to the asker. Progress is sent only after the last report was read, so that there
 * is room for the final one. */
static void report(struct remote_server *r, uint32_t type)
{
	int unread = 0;

	r->told_ns = plat_now_ns();
	if (type == REMOTE_PROGRESS && (ioctl(r->asker->fd, SIOCOUTQ, &unread) != 0 || unread))
		return;
	r->moved.h = (struct remote_head){ REMOTE_MAGIC, type };
	if (!tell(r->asker->fd, &r->moved, sizeof(r->moved)))
		conn_close(r, r->asker);
}

static void migrate(struct remote_server *r, struct remote_conn *c, const struct remote_migrate *m)
{
	struct remote_moved first = { .h = { REMOTE_MAGIC, REMOTE_DONE } };

	if (r->asker) {
		first.error = -EBUSY;
	} else if (r->ops->migrate(r->arg, m, &first)) {
		r->asker = c;
		r->moved = first;
		r->told_ns = plat_now_ns();
		return;
	}
	if (!tell(c->fd, &first, sizeof(first)))
		conn_close(r, c);
}

static void who(struct remote_server *r, struct remote_conn *c, const struct remote_who *m)
{
	struct remote_is out = { .h = { REMOTE_MAGIC, REMOTE_IS } };

	r->ops->who(r->arg, m->pid, &out);
	if (!tell(c->fd, &out, sizeof(out)))
		conn_close(r, c);
}

static void answer_file(struct remote_server *r, struct remote_conn *c, struct remote_file *f)
{
	f->h = (struct remote_head){ REMOTE_MAGIC, REMOTE_FILE };
	if (!tell(c->fd, f, sizeof(*f)))
		conn_close(r, c);
}

static void read_file(struct remote_server *r, struct remote_conn *c, const struct remote_ask *m)
{
	struct remote_file f = { 0 };

	r->ops->read(r->arg, m, &f);
	answer_file(r, c, &f);
}

static void write_file(struct remote_server *r, struct remote_conn *c, const struct remote_ask *m)
{
	struct remote_file f = { 0 };

	if (r->asker) {
		f.error = -EINPROGRESS;
	} else if (r->ops->write(r->arg, m, &f)) {
		r->asker = c;
		r->writes = true;
		return;
	}
	answer_file(r, c, &f);
}

static void conn_event(struct remote_server *r, struct remote_conn *c)
{
	union request q;
	ssize_t n = recv(c->fd, &q, sizeof(q), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->heard_ns = plat_now_ns();
	if (n < (ssize_t)sizeof(q.h) || q.h.magic != REMOTE_MAGIC || r->asker == c)
		conn_close(r, c); /* end of file, nonsense, or a message while we work for it */
	else if (is(&q, n, REMOTE_WHO, sizeof(q.who)))
		who(r, c, &q.who);
	else if (is(&q, n, REMOTE_MIGRATE, sizeof(q.migrate)))
		migrate(r, c, &q.migrate);
	else if (is(&q, n, REMOTE_READ, sizeof(q.ask)) && is_ask(&q.ask))
		read_file(r, c, &q.ask);
	else if (is(&q, n, REMOTE_WRITE, sizeof(q.ask)) && is_ask(&q.ask))
		write_file(r, c, &q.ask);
	else if (q.h.type == REMOTE_WHO || q.h.type == REMOTE_MIGRATE || q.h.type == REMOTE_READ ||
		 q.h.type == REMOTE_WRITE)
		conn_close(r, c);
	else
		refuse(c->fd, -ENOSYS);
}

static void close_silent(struct remote_server *r)
{
	uint64_t now = plat_now_ns();

	for (struct remote_conn *c = r->conn; c < r->conn + REMOTE_CONNS_MAX; c++)
		if (c->fd && c != r->asker && now - c->heard_ns > SILENT_NS)
			conn_close(r, c);
}

static void work_on_write(struct remote_server *r)
{
	struct remote_file f = { 0 };
	struct remote_conn *c = r->asker;

	if (r->ops->written(r->arg, &f))
		return;
	give_up(r);
	c->heard_ns = plat_now_ns();
	answer_file(r, c, &f);
}

static void work(struct remote_server *r)
{
	uint64_t start = plat_now_ns();
	bool more = true;

	while (more && plat_now_ns() - start < LOOK_NS)
		more = r->ops->step(r->arg, &r->moved);
	if (more) {
		if (plat_now_ns() - r->told_ns > TELL_NS)
			report(r, REMOTE_PROGRESS);
		return;
	}
	r->asker->heard_ns = plat_now_ns();
	report(r, REMOTE_DONE);
	give_up(r);
}

void remote_serve(struct remote_server *r, int stop_fd)
{
	struct pollfd p[REMOTE_CONNS_MAX + 2];

	while (r->listen_fd >= 0) {
		p[0] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = r->listen_fd, .events = POLLIN };
		for (unsigned i = 0; i < REMOTE_CONNS_MAX; i++)
			p[i + 2] = (struct pollfd){ .fd = r->conn[i].fd ? r->conn[i].fd : -1,
						    .events = POLLIN };
		(void)poll(p, REMOTE_CONNS_MAX + 2, r->asker ? 0 : TICK_MS);
		if (p[0].revents)
			break;
		for (unsigned i = 0; i < REMOTE_CONNS_MAX; i++)
			if (p[i + 2].revents && r->conn[i].fd)
				conn_event(r, &r->conn[i]);
		close_silent(r);
		if (p[1].revents)
			accept_one(r);
		if (r->asker && r->writes)
			work_on_write(r);
		else if (r->asker)
			work(r);
	}
	give_up(r);
}

void remote_close(struct remote_server *r)
{
	for (unsigned i = 0; i < REMOTE_CONNS_MAX; i++)
		if (r->conn[i].fd)
			conn_close(r, &r->conn[i]);
	if (r->listen_fd >= 0)
		close(r->listen_fd);
	r->listen_fd = -1;
}

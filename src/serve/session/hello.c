/* serve/session/hello.c - a client introduces itself. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/process/proc.h"
#include "serve/session/conn.h"

#define GONE_TRIES 20 /* x 1 ms */

static void reply_ready(const struct supervisor *s, int sock, uint64_t seq, int error, int fd)
{
	struct msg_ready m = {
		.h = { PROTO_MAGIC, MSG_READY, seq },
		.error = error,
		.register_mode = UFFDIO_REGISTER_MODE_MISSING,
		.supervisor = (int32_t)getpid(),
		.heir = s->pid_namespace ? (int32_t)s->config.heir : 0,
		.root = (int32_t)a32_load(&s->root_pid),
		.pid_namespace = s->pid_namespace,
		/* Forks without events know nothing of stubs. */
		.kernel_memfd = s->config.kernel_memfd || serve_mode_own_forks(s->mode),
		.own_forks = serve_mode_own_forks(s->mode),
		.user_mode = s->mode == SERVE_MODE_USER,
	};

	(void)msg_send(sock, &m, sizeof(m), fd);
}

/* Ranges a client reports about itself: wrong ones can only hurt itself, but they must be
 * ranges. */
bool hello_sane(const struct msg_hello *m)
{
	if (m->staging & ~PAGE_MASK || m->staging > UINT64_MAX - EVICT_PAGES_MAX * PAGE_SIZE)
		return false;
	for (int i = 0; i < PRIVATE_RANGES; i++)
		if (m->private_start[i] > m->private_end[i] ||
		    (m->private_start[i] | m->private_end[i]) & ~PAGE_MASK)
			return false;
	return true;
}

/* From now on the client can be asked to evict. */
static void attach(struct client *c, struct conn *conn, const struct msg_hello *m)
{
	struct timeval tv = { .tv_usec = EVICT_TIMEOUT_US };
	pid_t task = proc_thread(conn->pid, (pid_t)m->helper_tid);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(conn->client == NULL);
	memcpy(c->private_start, m->private_start, sizeof(c->private_start));
	memcpy(c->private_end, m->private_end, sizeof(c->private_end));
	c->mark_va = c->private_end[0] ? c->private_start[0] + PAGE_SIZE : 0;
	c->helper_tid = m->helper_tid;
	if (task)
		c->host.task = task;
	if (task && task != conn->pid)
		follow_helper(c->s, task);
	c->host.staging = m->staging;
	c->hooked = m->flags & HELLO_HOOKED;
	c->host.serve = conn;
	c->sock = conn->fd;
	(void)client_set_state(c, CLIENT_JOINING);
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/* A process that already is a client says HELLO again. After exec its old address space is gone,
 * and only the end of its channel was not seen yet. If it is not gone, the process violates the
 * protocol: no worker would serve its faults. False: it was killed. */
static bool detach_old(struct supervisor *s, pid_t pid, const struct client *now)
{
	struct client *old = client_managed(s, pid);
	struct conn *conn = old ? old->host.serve : NULL;
	bool gone = true;

	assert_thread(THREAD_CONTROL);
	if (old && old == now) {
		client_put(old); /* an asker (find.c) identified the process first */
		return true;
	}
	if (!old)
		return true;
	/* Its memory may live on in another process. A child of raw clone(2) had no helper before
	 * it executed a program. */
	if (conn ? helper_replace(conn) : client_left(old)) {
		client_put(old);
		return true;
	}
	/* Its channel ended before its helper had spoken (unready.c): the control thread waits for
	 * the end of its memory. */
	if (conn && conn->kind == CONN_CLOSING) {
		client_closing(old);
		client_put(old);
		return true;
	}
	for (int i = 0; i < GONE_TRIES; i++) {
		gone = uffd_dead(old->host.uffd);
		if (gone)
			break;
		plat_sleep_ns(1000 * 1000); /* another process may be reading it in /proc */
	}
	if (gone) {
		client_end(old);
	} else {
		supervisor_notice(s, "%s (%d) said hello twice and was killed", old->comm,
				  (int)pid);
		client_kill(old, SIGKILL);
	}
	client_put(old);
	return gone;
}

static struct client *hello_exec(struct supervisor *s, struct conn *conn, const struct msg_hello *m,
				 int fd)
{
	struct client *c;
	/* A blocking read would make a worker wait for ever. */
	int err = fcntl(fd, F_SETFL, O_NONBLOCK) != 0
			  ? -errno
			  : uffd_api(fd, s->mode == SERVE_MODE_KERNEL_FORK);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(fd >= 0);
	if (err) {
		supervisor_notice(s, "process %d runs unmanaged: its userfaultfd was refused: %s",
				  (int)conn->pid, strerror(-err));
		reply_ready(s, conn->fd, m->h.seq, err, -1);
		close(fd);
		return NULL;
	}
	if (!detach_old(s, conn->pid, NULL)) {
		close(fd);
		return NULL;
	}
	c = client_create(s, fd, CLIENT_JOINING);
	if (!c) {
		reply_ready(s, conn->fd, m->h.seq, -ENOMEM, -1);
		close(fd);
		return NULL;
	}
	/* Its channel before its pid: a client with a pid and without a channel is taken for one
	 * that never speaks (client_left). */
	c->sock = conn->fd;
	client_enter(c);
	client_set_pid(c, conn->pid);
	attach(c, conn, m);
	if (client_listen(c) != 0 || adopt_all(c) != 0) {
		/* Registered areas without records: no process is better than a wrong one. */
		client_kill(c, SIGKILL);
	}
	measure_waiting(c);
	starting_over(s, conn->pid);
	reply_ready(s, conn->fd, m->h.seq, 0, -1);
	return c;
}

static struct client *hello_fork(struct supervisor *s, struct conn *conn, const struct msg_hello *m)
{
	struct client *parent = client_forking(s, m->fork_cookie), *c;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(m->fork_cookie);
	/* The parent's thread was released when the event was read; it may still be being
	 * applied. */
	if (parent) {
		client_events_applied(parent);
		client_put(parent);
	}
	c = client_by_cookie(s, m->fork_cookie);
	if (!c || !a64_cas(&c->awaits_cookie, (int64_t)m->fork_cookie, 0)) {
		reply_ready(s, conn->fd, m->h.seq, -ENOENT, -1);
		if (c)
			client_put(c);
		return NULL;
	}
	detach_old(s, conn->pid, c);
	starting_over(s, conn->pid); /* it may have been found as unmanaged by now */
	client_set_pid(c, conn->pid);
	if (a32_load(&c->host.dead) || a32_load(&c->host.mm->dying)) {
		/* Its memory could not be followed, or the OOM killer chose it before it had a
		 * pid. */
		client_kill(c, SIGKILL);
		client_put(c);
		return NULL;
	}
	c->keeps_us = true;
	attach(c, conn, m);
	/* No part of it has run, and none will before READY. */
	if (serve_mode_own_forks(s->mode) && adopt_forked(c) != 0) {
		if (!uffd_dead(c->host.uffd) && !client_exited(c))
			supervisor_notice(s,
					  "cannot follow a fork of %s (%d): its memory changed "
					  "meanwhile: its child is killed",
					  c->comm, (int)c->forked_by);
		client_kill(c, SIGKILL);
	}
	measure_waiting(c);
	reply_ready(s, conn->fd, m->h.seq, 0, serve_mode_own_forks(s->mode) ? -1 : c->host.uffd);
	control_forked(s, m->fork_cookie);
	return c;
}

/* The child of a fork that was not reported. 0: hello_fork finds it. Takes @fd. */
static int hello_own_fork(struct supervisor *s, struct conn *conn, const struct msg_hello *m,
			  int fd)
{
	int err = fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ? -errno : uffd_api(fd, false);

	assert_thread(THREAD_CONTROL);
	if (!err && !(err = fork_child(s, m->fork_cookie, fd)))
		return 0;
	if (err != -EBUSY)
		close(fd);
	reply_ready(s, conn->fd, m->h.seq, err, -1);
	return err;
}

static void send_device(struct supervisor *s, struct conn *conn, uint64_t seq)
{
	const bool user_only = s->mode == SERVE_MODE_USER;
	struct msg_device m = { .h = { PROTO_MAGIC, MSG_DEVICE, seq },
				.error = !user_only && s->device_fd < 0 ? -EPERM : 0,
				.user_only = user_only };

	assert_thread(THREAD_CONTROL);
	(void)msg_send(conn->fd, &m, sizeof(m), user_only ? -1 : s->device_fd);
}

struct client *hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int fd,
		     bool *again)
{
	struct client *c = NULL;

	assert_thread(THREAD_CONTROL);
	*again = false;
	if (!hello_sane(m)) {
		supervisor_notice(s, "process %d spoke nonsense to the supervisor: disconnected",
				  (int)conn->pid);
	} else if (m->flags & HELLO_NEED_DEVICE && fd < 0) {
		send_device(s, conn, m->h.seq);
		*again = s->mode == SERVE_MODE_USER || s->device_fd >= 0;
	} else if (m->fork_cookie && serve_mode_own_forks(s->mode)) {
		if (fd >= 0 && hello_own_fork(s, conn, m, fd) == 0)
			c = hello_fork(s, conn, m);
		return c;
	} else if (m->fork_cookie) {
		c = hello_fork(s, conn, m);
	} else if (fd >= 0) {
		return hello_exec(s, conn, m, fd);
	}
	if (fd >= 0)
		close(fd);
	return c;
}

/* tests/agent/agent_peer.c - a minimal supervisor, to test the preloaded agent against.
 *
 *     agent_peer [-v] [-d] [-i interval_us] [-n pages] AGENT.so PROGRAM [ARGS...]
 *
 * Runs PROGRAM with the agent, takes random pages away every interval and puts them back on fault.
 * The program's own result shows whether memory was kept. Exits with the program's status, or 99
 * when the agent broke a rule. -d refuses to let the agent have EVICT (only faults and events);
 * -v prints what happened.
 *
 * Pages are taken from a client by its own processor time, not by the clock: see evict_due().
 *
 * One thread. EVICT is a blocking round trip: faults and events wait meanwhile, so a helper that
 * needed either to answer would be found out as a time-out.
 *
 * The end of a client's channel is not yet the end of its memory: exec ends the helper first, and
 * may then read the robust futex list from the old memory. So its faults are served until there is
 * no memory to put a page in.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent_peer.h"

#define NR_CALLS_MAX 64

struct call_conn {
	int fd;
	struct client *forking;  /* the reply was sent, the fork goes on */
	struct msg_call waiting; /* op != 0: waits for another fork of the same client */
};

struct counts count;
bool verbose;

static struct call_conn calls[NR_CALLS_MAX];
static int listener;
static bool no_evict;
static uint64_t next_cookie = 1;

void fail(const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	fprintf(stderr, "agent_peer: ");
	vfprintf(stderr, what, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	count.failures++;
}

int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) ? -1 : t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Messages. */

int packet_send(int fd, const void *msg, size_t n, int attach)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { (void *)msg, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (attach >= 0) {
		m.msg_control = &u;
		m.msg_controllen = sizeof u;
		u.head = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&u.head), &attach, sizeof attach);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

ssize_t packet_recv(int fd, void *msg, size_t n, int *attached)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { msg, n };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u
	};
	ssize_t k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	*attached = -1;
	if (k > 0 && m.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(attached, CMSG_DATA(&u.head), sizeof(int));
	return k;
}

/* Connections. */

/* @c goes: its fork will not be heard of again. */
void call_forget(struct client *c)
{
	size_t i;

	for (i = 0; i < NR_CALLS_MAX; i++) {
		if (calls[i].forking == c)
			calls[i].forking = NULL;
	}
}

static void ready(struct client *c, int attach)
{
	struct msg_ready r = { .h = { PROTO_MAGIC, MSG_READY, 2 },
			       .register_mode = UFFDIO_REGISTER_MODE_MISSING };

	packet_send(c->channel, &r, sizeof r, attach);
}

static void hello(int fd, const struct msg_hello *m, int uffd, pid_t pid)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
					      UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
					      UFFD_FEATURE_THREAD_ID };
	struct client *c = m->fork_cookie ? client_of(0, m->fork_cookie) : NULL;

	if (m->fork_cookie ? !c || uffd >= 0 : uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		fail("%d: bad HELLO: %m", pid);
		close(fd);
		return;
	}
	if (!c)
		c = client_add(uffd, pid);
	c->pid = pid;
	c->channel = fd;
	c->wants_move = (m->flags & HELLO_CAN_MOVE) && !no_evict;
	c->can_move = false; /* until STARTED */
	c->staging = m->staging;
	memcpy(c->private_start, m->private_start, sizeof m->private_start);
	memcpy(c->private_end, m->private_end, sizeof m->private_end);
	c->private_start[4] = m->staging;
	c->private_end[4] = m->staging + EVICT_PAGES_MAX * PAGE;
	if (!(m->flags & HELLO_HOOKED))
		fail("%d: libc was not redirected", pid);
	if (!m->fork_cookie)
		adopt(c, 0, ~0ull);
	ready(c, m->fork_cookie ? c->uffd : -1);
}

static void device(int fd)
{
	struct msg_device m = { .h = { PROTO_MAGIC, MSG_DEVICE, 1 } };
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	m.error = dev < 0 ? -errno : 0;
	packet_send(fd, &m, sizeof m, dev);
	if (dev >= 0)
		close(dev);
}

static void call_answer(struct call_conn *conn, const struct msg_call *m, pid_t pid)
{
	struct msg_call_reply r = { .h = { PROTO_MAGIC, MSG_CALL_REPLY, m->h.seq } };
	struct client *c = client_of(pid, 0);

	if (m->op < NR_CALLS)
		count.ops[m->op]++;
	if (c && m->op == CALL_FORK) {
		conn->waiting = *m;
		if (c->fork_cookie)
			return;
		conn->waiting.op = 0;
		conn->forking = c;
		r.value = c->fork_cookie = next_cookie++;
	} else if (c && m->op == CALL_ADOPT) {
		adopt(c, m->start, m->start + m->len);
	}
	packet_send(conn->fd, &r, sizeof r, -1);
}

static pid_t peer_pid(int fd)
{
	struct ucred cred = { 0 };
	socklen_t n = sizeof cred;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n);
	return cred.pid;
}

static void call_close(struct call_conn *conn)
{
	struct client *c = conn->forking;
	size_t i;

	close(conn->fd);
	memset(conn, 0, sizeof *conn);
	conn->fd = -1;
	if (!c)
		return;
	c->fork_cookie = 0;
	for (i = 0; i < NR_CALLS_MAX; i++) {
		if (calls[i].fd >= 0 && calls[i].waiting.op && peer_pid(calls[i].fd) == c->pid) {
			count.ops[CALL_FORK]--;
			call_answer(&calls[i], &calls[i].waiting, c->pid);
			return;
		}
	}
}

static void conn_read(struct call_conn *conn)
{
	union {
		struct msg_head h;
		struct msg_hello hello;
		struct msg_call call;
	} m;
	int fd;
	ssize_t n = packet_recv(conn->fd, &m, sizeof m, &fd);

	if (n <= 0) {
		call_close(conn);
	} else if (n == sizeof m.hello && m.h.type == MSG_HELLO) {
		if (m.hello.flags & HELLO_NEED_DEVICE) {
			device(conn->fd);
			return;
		}
		hello(conn->fd, &m.hello, fd, peer_pid(conn->fd));
		conn->fd = -1;
	} else if (n == sizeof m.call && m.h.type == MSG_CALL) {
		call_answer(conn, &m.call, peer_pid(conn->fd));
	} else {
		fail("bad message, %zd bytes, type %u", n, m.h.type);
		call_close(conn);
	}
}

static void conn_accept(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	size_t i;

	for (i = 0; i < NR_CALLS_MAX; i++) {
		if (calls[i].fd < 0) {
			calls[i].fd = fd;
			return;
		}
	}
	close(fd);
}

/* One round: events and faults before anything else. */
static void round_trip(const struct timespec *limit)
{
	static struct pollfd p[1 + NR_CALLS_MAX + 2 * NR_CLIENTS];
	static void *who[1 + NR_CALLS_MAX + 2 * NR_CLIENTS];
	struct timespec now = { 0 };
	size_t i, n = 0;

	p[n++] = (struct pollfd){ listener, POLLIN, 0 };
	for (i = 0; i < NR_CALLS_MAX; i++) {
		who[n] = &calls[i];
		p[n++] = (struct pollfd){ calls[i].waiting.op ? -1 : calls[i].fd, POLLIN, 0 };
	}
	for (i = 0; i < NR_CLIENTS; i++) {
		if (!clients[i])
			continue;
		if (clients[i]->nr_faults)
			limit = &now;
		who[n] = who[n + 1] = clients[i];
		p[n++] = (struct pollfd){ clients[i]->uffd, POLLIN, 0 };
		p[n++] = (struct pollfd){ clients[i]->channel, POLLIN, 0 };
	}
	ppoll(p, n, limit, NULL);
	for (i = 1 + NR_CALLS_MAX; i < n; i += 2) {
		struct client *c = who[i];

		if ((p[i].revents & POLLIN) || c->nr_faults)
			uffd_read(c);
		if (p[i + 1].revents && !channel_started(c))
			channel_ended(c);
		if (c->ending && client_gone(c))
			client_drop(c);
	}
	for (i = 1; i <= NR_CALLS_MAX; i++) {
		if (p[i].revents)
			conn_read(who[i]);
	}
	if (p[0].revents)
		conn_accept();
}

static pid_t start(char **argv, const char *name)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setenv("LD_PRELOAD", argv[0], 1);
	setenv(PROTO_ENV, name, 1);
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	_exit(127);
}

static void report(void)
{
	const unsigned long *st = count.status, *op = count.ops;

	fprintf(stderr,
		"agent_peer: clients %lu, forks %lu, faults %lu, restored %lu; moved %lu "
		"gone %lu pinned %lu refused %lu busy %lu; calls fork %lu mlock %lu munlock %lu "
		"willneed %lu adopt %lu\n",
		count.clients, count.forks, count.faults, count.restored, st[EVICT_MOVED],
		st[EVICT_GONE], st[EVICT_PINNED], st[EVICT_REFUSED], st[EVICT_BUSY], op[CALL_FORK],
		op[CALL_MLOCK], op[CALL_MUNLOCK], op[CALL_WILLNEED], op[CALL_ADOPT]);
}

static int listen_on(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path + 1, name, strlen(name));
	if (bind(fd, (struct sockaddr *)&a, n) || listen(fd, 128)) {
		perror("agent_peer: socket");
		exit(99);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct timespec limit;
	int64_t now, last = 0;
	char name[64];
	int opt, status;
	size_t i;
	pid_t pid;

	while ((opt = getopt(argc, argv, "+vdi:n:")) != -1) {
		if (opt == 'v')
			verbose = true;
		else if (opt == 'd')
			no_evict = true;
		else if (opt == 'i')
			evict_interval = atoll(optarg) * 1000;
		else if (opt == 'n')
			evict_pages = (unsigned int)atoi(optarg) % (EVICT_PAGES_MAX + 1);
	}
	if (argc - optind < 2) {
		fprintf(stderr,
			"usage: agent_peer [-v] [-d] [-i us] [-n pages] AGENT PROGRAM...\n");
		return 99;
	}
	for (i = 0; i < NR_CALLS_MAX; i++)
		calls[i].fd = -1;
	snprintf(name, sizeof name, "umemcg-peer-%d", getpid());
	listener = listen_on(name);
	pid = start(argv + optind, name);
	limit = (struct timespec){ evict_interval / 1000000000, evict_interval % 1000000000 };
	do {
		round_trip(&limit);
		now = clock_ns(CLOCK_MONOTONIC);
		if (now - last >= evict_interval) {
			last = now;
			evict_somebody(now);
		}
	} while (waitpid(pid, &status, WNOHANG) == 0);
	if (verbose)
		report();
	if (count.failures)
		return 99;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* tests/agent_peer.c - a minimal supervisor, to test the preloaded agent against.
 *
 *     agent_peer [-v] [-d] [-i interval_us] [-n pages] AGENT.so PROGRAM [ARGS...]
 *
 * Runs PROGRAM with the agent, takes random pages away every interval and puts them back on fault.
 * The program's own result shows whether memory was kept. Exits with the program's status, or 99
 * when the agent broke a rule. -d refuses to let the agent have EVICT (only faults and events);
 * -v prints what happened.
 *
 * One thread. EVICT is a blocking round trip: faults and events wait meanwhile, so a helper that
 * needed either to answer would be found out as a time-out.
 *
 * A page is in the table when its content was ever seen: data NULL = present in the client.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve/proto.h"

#define PAGE        4096ul
#define NR_CLIENTS  512
#define NR_CALLS_MAX 64
#define EVICT_TIMEOUT_MS 5000

struct pg {
	uint64_t addr;      /* 0 = never used, 1 = deleted */
	char *data;
};

struct client {
	int uffd, channel;
	pid_t pid;
	uint64_t cookie;            /* what the child of a fork will say */
	uint64_t fork_cookie;       /* of the fork under way in this client, 0 = none */
	bool can_move;
	uint64_t staging, private_start[5], private_end[5];
	struct pg *pg;
	size_t size, used;          /* size is a power of two */
	uint64_t fault[64];         /* to be served again: events came first */
	unsigned int nr_faults;
};

struct call_conn {
	int fd;
	struct client *forking;     /* the reply was sent, the fork goes on */
	struct msg_call waiting;    /* op != 0: waits for another fork of the same client */
};

static struct client *clients[NR_CLIENTS];
static struct call_conn calls[NR_CALLS_MAX];
static int listener;
static bool verbose, no_evict;
static unsigned int evict_pages = 32;
static uint64_t next_cookie = 1, rng = 88172645463325252ull;
static unsigned long nr_clients, nr_forks, nr_faults, nr_restored, nr_status[8], nr_ops[NR_CALLS];
static int failures;

static void fail(const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	fprintf(stderr, "agent_peer: ");
	vfprintf(stderr, what, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	failures++;
}

static uint64_t random64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	return rng ^= rng << 17;
}

/* The table of pages. */

static struct pg *pg_find(struct client *c, uint64_t addr)
{
	size_t i;

	for (i = (addr / PAGE * 0x9e3779b97f4a7c15ull) >> 20; c->size; i++) {
		struct pg *p = &c->pg[i & (c->size - 1)];

		if (p->addr == addr)
			return p;
		if (!p->addr)
			return NULL;
	}
	return NULL;
}

static void pg_set(struct client *c, uint64_t addr, char *data);

static void pg_grow(struct client *c)
{
	struct pg *old = c->pg;
	size_t i, n = c->size, live = 0;

	for (i = 0; i < n; i++)
		live += old[i].addr > 1;
	c->size = 64;
	while (c->size < live * 4)
		c->size *= 2;
	c->used = 0;
	c->pg = calloc(c->size, sizeof *c->pg);
	for (i = 0; i < n; i++) {
		if (old[i].addr > 1)
			pg_set(c, old[i].addr, old[i].data);
	}
	free(old);
}

static void pg_set(struct client *c, uint64_t addr, char *data)
{
	struct pg *p = pg_find(c, addr);
	size_t i;

	if (p) {
		free(p->data);
		p->data = data;
		return;
	}
	if (c->used * 2 >= c->size)
		pg_grow(c);
	i = (addr / PAGE * 0x9e3779b97f4a7c15ull) >> 20;
	while (c->pg[i & (c->size - 1)].addr)
		i++;
	c->pg[i & (c->size - 1)] = (struct pg){ addr, data };
	c->used++;
}

static void pg_delete(struct pg *p)
{
	free(p->data);
	*p = (struct pg){ 1, NULL };
}

/* Forget [start, end), or move it to @to. */
static void pg_range(struct client *c, uint64_t start, uint64_t end, uint64_t to)
{
	struct pg *moved = NULL;
	size_t i, n = 0;

	for (i = 0; i < c->size; i++) {
		struct pg *p = &c->pg[i];

		if (p->addr < 2 || p->addr < start || p->addr >= end)
			continue;
		if (to) {
			moved = realloc(moved, (n + 1) * sizeof *moved);
			moved[n].addr = p->addr - start + to;
			moved[n++].data = p->data;
			p->data = NULL;
		}
		pg_delete(p);
	}
	for (i = 0; i < n; i++)
		pg_set(c, moved[i].addr, moved[i].data);
	free(moved);
}

/* Messages. */

static int packet_send(int fd, const void *msg, size_t n, int attach)
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

static ssize_t packet_recv(int fd, void *msg, size_t n, int *attached)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { msg, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u,
			    .msg_controllen = sizeof u };
	ssize_t k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	*attached = -1;
	if (k > 0 && m.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(attached, CMSG_DATA(&u.head), sizeof(int));
	return k;
}

/* Clients. */

static struct client *client_add(int uffd, pid_t pid)
{
	size_t i;

	for (i = 0; i < NR_CLIENTS && clients[i]; i++)
		;
	if (i == NR_CLIENTS) {
		fail("too many clients");
		exit(99);
	}
	clients[i] = calloc(1, sizeof *clients[i]);
	clients[i]->uffd = uffd;
	clients[i]->channel = -1;
	clients[i]->pid = pid;
	nr_clients++;
	return clients[i];
}

static void client_drop(struct client *c)
{
	size_t i;

	for (i = 0; i < NR_CALLS_MAX; i++) {
		if (calls[i].forking == c)
			calls[i].forking = NULL;
	}
	for (i = 0; i < NR_CLIENTS; i++) {
		if (clients[i] == c)
			clients[i] = NULL;
	}
	for (i = 0; i < c->size; i++)
		free(c->pg[i].data);
	free(c->pg);
	close(c->uffd);
	if (c->channel >= 0)
		close(c->channel);
	free(c);
}

static struct client *client_of(pid_t pid, uint64_t cookie)
{
	size_t i;

	for (i = 0; i < NR_CLIENTS; i++) {
		if (clients[i] && (cookie ? clients[i]->cookie == cookie : clients[i]->pid == pid))
			return clients[i];
	}
	return NULL;
}

static void adopt_present(struct client *c, uint64_t start, uint64_t end)
{
	char path[64];
	uint64_t entry;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/pagemap", c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* Sparse reservations: what is not looked at is only never evicted. */
	if (end - start > 1ull << 30)
		end = start + (1ull << 30);
	for (; start < end; start += PAGE) {
		if (pread(fd, &entry, sizeof entry, (off_t)(start / PAGE * 8)) == sizeof entry &&
		    entry >> 63 && !pg_find(c, start))
			pg_set(c, start, NULL);
	}
	close(fd);
}

/* Register [start, end) but for the agent's own ranges from the @i-th on. */
static void adopt_range(struct client *c, uint64_t start, uint64_t end, int i)
{
	struct uffdio_register r = { .range = { start, end - start },
				     .mode = UFFDIO_REGISTER_MODE_MISSING };

	for (; i < 5; i++) {
		uint64_t s = c->private_start[i], e = c->private_end[i];

		if (s >= end || e <= start)
			continue;
		if (start < s)
			adopt_range(c, start, s, i + 1);
		if (e < end)
			adopt_range(c, e, end, i + 1);
		return;
	}
	if (!ioctl(c->uffd, UFFDIO_REGISTER, &r))
		adopt_present(c, start, end);
	else if (verbose)
		fprintf(stderr, "agent_peer: %d: %llx-%llx not registered: %m\n", c->pid,
			(unsigned long long)start, (unsigned long long)end);
}

/* Adopt the private anonymous mappings within [from, to). */
static void adopt(struct client *c, uint64_t from, uint64_t to)
{
	char path[64], line[512], perms[8], name[256];
	unsigned long long start, end, inode;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", c->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		name[0] = 0;
		if (sscanf(line, "%llx-%llx %7s %*s %*s %llu %255s", &start, &end, perms, &inode,
			   name) < 4 || inode || perms[3] != 'p' || name[0] == '/' ||
		    !strncmp(name, "[v", 2))
			continue;
		start = start < from ? from : start;
		end = end > to ? to : end;
		if (start < end)
			adopt_range(c, start, end, 0);
	}
	if (f)
		fclose(f);
}

/* Faults. */

/* Put the page at @addr there. False if events have to be read first. */
static bool serve(struct client *c, uint64_t addr)
{
	static char zeros[PAGE] __attribute__((aligned(4096)));
	struct pg *p = pg_find(c, addr);
	struct uffdio_copy copy = { .dst = addr, .len = PAGE };
	struct uffdio_range range = { addr, PAGE };

	copy.src = (uintptr_t)(p && p->data ? p->data : zeros);
	if (!ioctl(c->uffd, UFFDIO_COPY, &copy)) {
		nr_restored += p && p->data;
		pg_set(c, addr, NULL);
		return true;
	}
	if (errno == EAGAIN)
		return false;
	if (errno == EEXIST)
		ioctl(c->uffd, UFFDIO_WAKE, &range);
	else if (errno != ENOENT && errno != ESRCH)
		fail("%d: copy to %llx: %m", c->pid, (unsigned long long)addr);
	return true;
}

static void serve_again(struct client *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr_faults; i++) {
		if (!serve(c, c->fault[i]))
			c->fault[n++] = c->fault[i];
	}
	c->nr_faults = n;
}

static void forked(struct client *c, int uffd)
{
	struct client *child = client_add(uffd, 0);
	size_t i;

	nr_forks++;
	child->cookie = c->fork_cookie;
	for (i = 0; i < c->size; i++) {
		char *data = NULL;

		if (c->pg[i].addr < 2)
			continue;
		if (c->pg[i].data)
			data = memcpy(malloc(PAGE), c->pg[i].data, PAGE);
		pg_set(child, c->pg[i].addr, data);
	}
}

static void uffd_read(struct client *c)
{
	struct uffd_msg m;

	while (read(c->uffd, &m, sizeof m) == sizeof m) {
		uint64_t addr = m.arg.pagefault.address & ~(PAGE - 1);

		switch (m.event) {
		case UFFD_EVENT_PAGEFAULT:
			nr_faults++;
			if (c->nr_faults < 64)
				c->fault[c->nr_faults++] = addr;
			break;
		case UFFD_EVENT_FORK:
			forked(c, (int)m.arg.fork.ufd);
			break;
		case UFFD_EVENT_REMAP:
			pg_range(c, m.arg.remap.from, m.arg.remap.from + m.arg.remap.len,
				 m.arg.remap.to);
			break;
		case UFFD_EVENT_REMOVE:
		case UFFD_EVENT_UNMAP:
			pg_range(c, m.arg.remove.start, m.arg.remove.end, 0);
			break;
		default:
			fail("%d: event %x", c->pid, m.event);
		}
		if (c->nr_faults == 64)
			serve_again(c);
	}
	serve_again(c);
}

/* Eviction. */

static void evicted(struct client *c, const uint64_t *addr, const struct msg_evicted *m)
{
	struct msg_zap zap = { .h = { PROTO_MAGIC, MSG_ZAP, m->h.seq }, .n = m->n };
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		struct pg *p = pg_find(c, addr[i]);
		struct iovec local, remote = { (void *)(c->staging + i * PAGE), PAGE };

		nr_status[m->status[i] & 7]++;
		if (m->status[i] == EVICT_GONE && p)
			pg_delete(p);
		if (m->status[i] != EVICT_MOVED)
			continue;
		local = (struct iovec){ malloc(PAGE), PAGE };
		if (process_vm_readv(c->pid, &local, 1, &remote, 1, 0) != (ssize_t)PAGE &&
		    errno != ESRCH)
			fail("%d: read of staging: %m", c->pid);
		pg_set(c, addr[i], local.iov_base);
	}
	packet_send(c->channel, &zap, sizeof zap, -1);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void evict(struct client *c)
{
	struct pollfd p = { .fd = c->channel, .events = POLLIN };
	struct msg_evict m = { .h = { PROTO_MAGIC, MSG_EVICT, random64() } };
	struct msg_evicted reply;
	uint64_t addr[EVICT_PAGES_MAX];
	size_t i, at = random64(), n = 0, size;
	int fd;

	for (i = 0; i < c->size && n < evict_pages; i++) {
		struct pg *g = &c->pg[(at + i) & (c->size - 1)];

		if (g->addr > 1 && !g->data)
			addr[n++] = g->addr;
	}
	if (!n)
		return;
	qsort(addr, n, sizeof addr[0], compare);
	for (i = 0; i < n; i++) {
		struct evict_range *r = &m.range[m.n - !!m.n];

		if (m.n && r->start + r->npages * PAGE == addr[i])
			r->npages++;
		else
			m.range[m.n++] = (struct evict_range){ addr[i], 1 };
	}
	size = offsetof(struct msg_evict, range) + m.n * sizeof m.range[0];
	if (packet_send(c->channel, &m, size, -1))
		return;
	if (poll(&p, 1, EVICT_TIMEOUT_MS) != 1) {
		fail("%d: no answer to EVICT", c->pid);
		return;
	}
	size = (size_t)packet_recv(c->channel, &reply, sizeof reply, &fd);
	if ((ssize_t)size <= 0)
		return; /* the next poll sees the end */
	if (size != offsetof(struct msg_evicted, status) + n || reply.n != n ||
	    reply.h.type != MSG_EVICTED || reply.h.seq != m.h.seq)
		fail("%d: bad answer to EVICT", c->pid);
	else
		evicted(c, addr, &reply);
}

static void evict_somebody(void)
{
	struct client *c = clients[random64() % NR_CLIENTS];
	size_t i, at = random64();

	for (i = 0; i < NR_CLIENTS; i++) {
		c = clients[(at + i) % NR_CLIENTS];
		if (c && c->can_move && !c->fork_cookie) {
			evict(c);
			return;
		}
	}
}

/* Connections. */

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
	c->can_move = (m->flags & HELLO_CAN_MOVE) && !no_evict;
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
		nr_ops[m->op]++;
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
			nr_ops[CALL_FORK]--;
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
		if (p[i + 1].revents)
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
	fprintf(stderr, "agent_peer: clients %lu, forks %lu, faults %lu, restored %lu; moved %lu "
		"gone %lu pinned %lu refused %lu busy %lu; calls fork %lu mlock %lu munlock %lu "
		"willneed %lu adopt %lu\n",
		nr_clients, nr_forks, nr_faults, nr_restored, nr_status[EVICT_MOVED],
		nr_status[EVICT_GONE], nr_status[EVICT_PINNED], nr_status[EVICT_REFUSED],
		nr_status[EVICT_BUSY], nr_ops[CALL_FORK], nr_ops[CALL_MLOCK], nr_ops[CALL_MUNLOCK],
		nr_ops[CALL_WILLNEED], nr_ops[CALL_ADOPT]);
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
	struct timespec limit = { 0, 500000 };
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
			limit.tv_nsec = atol(optarg) * 1000;
		else if (opt == 'n' && (evict_pages = (unsigned int)atoi(optarg)) > EVICT_PAGES_MAX)
			evict_pages = EVICT_PAGES_MAX;
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: agent_peer [-v] [-d] [-i us] [-n pages] AGENT PROGRAM...\n");
		return 99;
	}
	for (i = 0; i < NR_CALLS_MAX; i++)
		calls[i].fd = -1;
	snprintf(name, sizeof name, "umemcg-peer-%d", getpid());
	listener = listen_on(name);
	pid = start(argv + optind, name);
	do {
		struct timespec t0, t1;
		static long last;

		round_trip(&limit);
		clock_gettime(CLOCK_MONOTONIC, &t0);
		t1 = t0;
		if ((t1.tv_sec * 1000000000L + t1.tv_nsec) - last >= limit.tv_nsec) {
			last = t1.tv_sec * 1000000000L + t1.tv_nsec;
			evict_somebody();
		}
	} while (waitpid(pid, &status, WNOHANG) == 0);
	if (verbose)
		report();
	if (failures)
		return 99;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

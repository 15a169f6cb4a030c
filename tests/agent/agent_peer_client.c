/* tests/agent/agent_peer_client.c - agent_peer's clients: adopting, faults, events, eviction. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent_peer.h"

#define EVICT_TIMEOUT_MS 60000 /* no answer comes at all */
#define IDLE_NS          5000000ll
#define IDLE_MAX         8

struct client *clients[NR_CLIENTS];
unsigned int evict_pages = 32;
int64_t evict_interval = 250000;

static uint64_t rng = 88172645463325252ull;

static uint64_t random64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	return rng ^= rng << 17;
}

struct client *client_add(int uffd, pid_t pid)
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
	count.clients++;
	return clients[i];
}

void client_drop(struct client *c)
{
	size_t i;

	call_forget(c);
	for (i = 0; i < NR_CLIENTS; i++) {
		if (clients[i] == c)
			clients[i] = NULL;
	}
	for (i = 0; i < c->pages.size; i++)
		free(c->pages.pg[i].data);
	free(c->pages.pg);
	close(c->uffd);
	if (c->channel >= 0)
		close(c->channel);
	free(c);
}

struct client *client_of(pid_t pid, uint64_t cookie)
{
	size_t i;

	for (i = 0; i < NR_CLIENTS; i++) {
		if (clients[i] && (cookie ? clients[i]->cookie == cookie : clients[i]->pid == pid))
			return clients[i];
	}
	return NULL;
}

/* The channel has ended: true when the memory has, too. */
bool client_gone(struct client *c)
{
	static char page[PAGE] __attribute__((aligned(4096)));
	struct uffdio_copy probe = { .dst = c->private_start[0],
				     .src = (uintptr_t)page,
				     .len = PAGE };

	return ioctl(c->uffd, UFFDIO_COPY, &probe) && errno == ESRCH;
}

bool channel_started(struct client *c)
{
	struct msg_started m;
	int fd;

	if (packet_recv(c->channel, &m, sizeof m, &fd) != sizeof m || m.h.type != MSG_STARTED)
		return false;
	c->can_move = c->wants_move;
	return true;
}

void channel_ended(struct client *c)
{
	close(c->channel);
	c->channel = -1;
	c->can_move = false;
	c->pid = 0;
	c->ending = true;
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
		    entry >> 63 && !pg_find(&c->pages, start))
			pg_set(&c->pages, start, NULL);
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
void adopt(struct client *c, uint64_t from, uint64_t to)
{
	char path[64], line[512], perms[8], name[256];
	unsigned long long start, end, inode;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", c->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		name[0] = 0;
		if (sscanf(line, "%llx-%llx %7s %*s %*s %llu %255s", &start, &end, perms, &inode,
			   name) < 4 ||
		    inode || perms[3] != 'p' || name[0] == '/' || !strncmp(name, "[v", 2))
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
	struct pg *p = pg_find(&c->pages, addr);
	struct uffdio_copy copy = { .dst = addr, .len = PAGE };
	struct uffdio_range range = { addr, PAGE };

	copy.src = (uintptr_t)(p && p->data ? p->data : zeros);
	if (!ioctl(c->uffd, UFFDIO_COPY, &copy)) {
		count.restored += p && p->data;
		pg_set(&c->pages, addr, NULL);
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

	count.forks++;
	child->cookie = c->fork_cookie;
	for (i = 0; i < c->pages.size; i++) {
		char *data = NULL;

		if (c->pages.pg[i].addr < 2)
			continue;
		if (c->pages.pg[i].data)
			data = memcpy(malloc(PAGE), c->pages.pg[i].data, PAGE);
		pg_set(&child->pages, c->pages.pg[i].addr, data);
	}
}

static void message(struct client *c, const struct uffd_msg *m)
{
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		count.faults++;
		if (c->nr_faults < NR_FAULTS_MAX)
			c->fault[c->nr_faults++] = m->arg.pagefault.address & ~(PAGE - 1);
		break;
	case UFFD_EVENT_FORK:
		forked(c, (int)m->arg.fork.ufd);
		break;
	case UFFD_EVENT_REMAP:
		pg_range(&c->pages, m->arg.remap.from, m->arg.remap.from + m->arg.remap.len,
			 m->arg.remap.to);
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		pg_range(&c->pages, m->arg.remove.start, m->arg.remove.end, 0);
		break;
	default:
		fail("%d: event %x", c->pid, m->event);
	}
	if (c->nr_faults == NR_FAULTS_MAX)
		serve_again(c);
}

void uffd_read(struct client *c)
{
	struct uffd_msg m;

	while (read(c->uffd, &m, sizeof m) == sizeof m)
		message(c, &m);
	serve_again(c);
}

/* Eviction. */

/* The memory that was spoken of is not there any more because the program ended, or became another
 * one: then the channel is closed, if a moment later. */
static bool has_ended(const struct client *c)
{
	struct pollfd p = { .fd = c->channel };

	return errno == ESRCH || (errno == EFAULT && poll(&p, 1, EVICT_TIMEOUT_MS) > 0);
}

static void evicted(struct client *c, const uint64_t *addr, const struct msg_evicted *m)
{
	struct msg_zap zap = { .h = { PROTO_MAGIC, MSG_ZAP, m->h.seq }, .n = m->n };
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		struct pg *p = pg_find(&c->pages, addr[i]);
		struct iovec local, remote = { (void *)(c->staging + i * PAGE), PAGE };

		count.status[m->status[i] & 7]++;
		if (m->status[i] == EVICT_GONE && p)
			pg_delete(p);
		if (m->status[i] != EVICT_MOVED)
			continue;
		local = (struct iovec){ malloc(PAGE), PAGE };
		if (process_vm_readv(c->pid, &local, 1, &remote, 1, 0) != (ssize_t)PAGE &&
		    !has_ended(c))
			fail("%d: read of staging: %m", c->pid);
		pg_set(&c->pages, addr[i], local.iov_base);
	}
	packet_send(c->channel, &zap, sizeof zap, -1);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Messages read while an EVICT was under way: dealt with after its answer. */
struct later {
	struct uffd_msg m[64];
	unsigned int n;
};

/* The helper takes out pages that are not writable by mremap, and waits until we have read that
 * event; so messages are read before the answer is there. The others must wait: what they are about
 * is known only after the answer. */
static bool await_answer(struct client *c, struct later *later)
{
	struct pollfd p[2] = {
		{ .fd = c->channel, .events = POLLIN },
		{ .fd = c->uffd, .events = POLLIN },
	};

	while (poll(p, later->n < 64 ? 2 : 1, EVICT_TIMEOUT_MS) > 0) {
		struct uffd_msg *m = &later->m[later->n];

		if (p[0].revents)
			return true;
		if (read(c->uffd, m, sizeof *m) == sizeof *m)
			later->n += m->event != UFFD_EVENT_REMAP ||
				    m->arg.remap.to - c->staging >= EVICT_PAGES_MAX * PAGE;
	}
	return false;
}

static void evict(struct client *c)
{
	struct later later = { .n = 0 };
	struct msg_evict m = { .h = { PROTO_MAGIC, MSG_EVICT, random64() } };
	struct msg_evicted reply;
	uint64_t addr[EVICT_PAGES_MAX];
	size_t i, at = random64(), n = 0, size;
	int fd;

	for (i = 0; i < c->pages.size && n < evict_pages; i++) {
		struct pg *g = &c->pages.pg[(at + i) & (c->pages.size - 1)];

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
	if (!await_answer(c, &later)) {
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
	for (i = 0; i < later.n; i++)
		message(c, &later.m[i]);
	serve_again(c);
}

/* By the clock alone, a client that gets no processor loses pages faster than it can touch them
 * again: on a loaded machine a program of a fraction of a second took minutes. So an eviction is
 * earned with processor time, whoever else runs. A client that only waits gets some for nothing, at
 * twice the distance each time. */
static bool evict_due(struct client *c, int64_t now)
{
	clockid_t clock;
	int64_t cpu;

	if (clock_getcpuclockid(c->pid, &clock))
		return false;
	cpu = clock_ns(clock);
	if (cpu - c->evicted_cpu >= evict_interval) {
		c->evicted_cpu = cpu;
		c->evicted_idle = 0;
	} else if (c->evicted_idle < IDLE_MAX &&
		   now - c->evicted_at >= IDLE_NS << c->evicted_idle) {
		c->evicted_idle++;
	} else {
		return false;
	}
	c->evicted_at = now;
	return true;
}

void evict_somebody(int64_t now)
{
	struct client *c = clients[random64() % NR_CLIENTS];
	size_t i, at = random64();

	for (i = 0; i < NR_CLIENTS; i++) {
		c = clients[(at + i) % NR_CLIENTS];
		if (c && c->can_move && !c->fork_cookie && evict_due(c, now)) {
			evict(c);
			return;
		}
	}
}

/* serve/channel/transport.c - packets, and the helper channel that the host MMU uses. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/size.h"
#include "mm/fault.h"
#include "serve/watch/finder.h"
#include "serve/internal.h"

#define WHY_MAX 128

int msg_send(int sock, const void *msg, size_t size, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)msg, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.buf;
		m.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Keep the first descriptor of a packet, close any others. */
static void take_fds(struct msghdr *m, int *fd)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (*fd < 0)
				*fd = got;
			else
				close(got);
		}
	}
}

ssize_t msg_recv(int sock, void *buf, size_t size, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { buf, size };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(&m, fd);
	return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

bool head_valid(const struct msg_head *h, ssize_t got, uint32_t type, size_t want)
{
	return got == (ssize_t)want && h->magic == PROTO_MAGIC && h->type == type;
}

static void protocol_error(struct client *c)
{
	supervisor_notice(c->s, "%s (%d) broke the agent protocol and was killed", c->comm, (int)c->host.pid);
	client_kill(c, SIGKILL);
}

/* Receive the reply to EVICT @seq, which must cover @npages. */
static int read_evicted(struct client *c, uint64_t seq, uint8_t *status, unsigned npages)
{
	struct msg_evicted m;
	ssize_t n;
	int fd;

	n = msg_recv(c->sock, &m, sizeof(m), &fd);
	if (fd >= 0)
		close(fd);
	if (n == -EAGAIN || n == -EWOULDBLOCK)
		return -ETIMEDOUT;
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	if (n < 0 || !head_valid(&m.h, n, MSG_EVICTED, offsetof(struct msg_evicted, status) + npages) ||
	    m.h.seq != seq || m.n != npages) {
		protocol_error(c);
		return -EPROTO;
	}
	for (unsigned i = 0; i < npages; i++)
		if (m.status[i] > EVICT_BUSY) {
			protocol_error(c);
			return -EPROTO;
		}
	memcpy(status, m.status, npages);
	return 0;
}

_Static_assert((int)HOST_MOVED == EVICT_MOVED && (int)HOST_GONE == EVICT_GONE && (int)HOST_PINNED == EVICT_PINNED &&
	       (int)HOST_REFUSED == EVICT_REFUSED && (int)HOST_BUSY == EVICT_BUSY, "the same words on both sides");
_Static_assert(EVICT_PAGES_MAX == MMU_BATCH_MAX, "one withdrawal is one message");

static int transport_evict(struct host_client *hc, const struct host_range *r, unsigned n, uint8_t *status,
			   unsigned npages)
{
	struct client *c = (struct client *)hc;
	struct msg_evict m = { .h = { PROTO_MAGIC, MSG_EVICT, ++c->seq }, .n = n };
	int err;

	for (unsigned i = 0; i < n; i++)
		m.range[i] = (struct evict_range){ r[i].start, r[i].npages };
	err = msg_send(c->sock, &m, offsetof(struct msg_evict, range) + n * sizeof(m.range[0]), -1);
	if (err == -EPIPE || err == -ECONNRESET)
		return -EPIPE;
	if (err) {
		/* The request was not sent: no room in the socket, or no memory. */
		memset(status, HOST_BUSY, npages);
		return 0;
	}
	return read_evicted(c, c->seq, status, npages);
}

static int transport_fill(struct host_client *hc, uint64_t start)
{
	struct client *c = (struct client *)hc;
	struct msg_fill m = { .h = { PROTO_MAGIC, MSG_FILL, ++c->seq }, .start = start };
	uint8_t status;
	int err;

	if (huge_unwanted(c))
		return HOST_REFUSED;
	err = msg_send(c->sock, &m, sizeof(m), -1);
	if (err)
		return err == -EPIPE || err == -ECONNRESET ? -EPIPE : HOST_BUSY;
	err = read_evicted(c, c->seq, &status, 1);
	return err ? err : status;
}

static void transport_adopt(struct host_client *hc, uint64_t va)
{
	(void)fault_adopt(hc->mm, va);
}

/* exec and exit close the helper's end before anything else of the address space goes. */
static bool helper_gone(const struct client *c)
{
	struct pollfd p = { .fd = c->sock, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP);
}

static void transport_lost(struct host_client *hc)
{
	struct client *c = (struct client *)hc;

	if (helper_gone(c))
		return;
	supervisor_notice(c->s, "the memory of %s (%d) cannot be read: killed", c->comm, (int)hc->pid);
	client_kill(c, SIGKILL);
}

static void transport_zap(struct host_client *hc, unsigned n)
{
	struct client *c = (struct client *)hc;
	struct msg_zap m = { .h = { PROTO_MAGIC, MSG_ZAP, c->seq }, .n = n };
	int err = msg_send(c->sock, &m, sizeof(m), -1);

	/* A channel that is closing refuses packets before poll reports it closed: exec or exit. */
	if (err && err != -EPIPE && err != -ECONNRESET)
		transport_lost(hc);  /* otherwise the staging area would stay full */
}

/* From now on the control thread waits for the reply. */
static void transport_late(struct host_client *hc)
{
	struct client *c = (struct client *)hc;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c->host.serve };

	(void)epoll_ctl(c->s->control_ep, EPOLL_CTL_MOD, c->sock, &ev);
}

static int64_t less(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Pages in the books that cannot be reclaimed: of processes forked past libc, which have no
 * helper. */
static int64_t forked_pages(struct supervisor *s)
{
	struct client *c = NULL;
	int64_t pages = 0;

	while ((c = client_next(s, c)))
		if (!c->foreign && c->sock < 0 && !a64_load(&c->awaits_cookie) &&
		    !a32_load(&c->ended))
			pages += a64_load(&c->host.mm->rss);
	return pages;
}

/* How much memory was in use, and how much of it could not be reclaimed. A part never exceeds the
 * whole, even if values change while they are read. */
static void look_at_memory(struct supervisor *s, struct serve_snapshot *now)
{
	const int64_t page = PAGE_SIZE, *stat = now->stat;

	supervisor_snapshot(s, now);
	now->oom_unmanaged = less(stat[STAT_UNMANAGED] * page, now->memory_current);
	now->oom_tables = less((stat[STAT_PAGETABLES] + stat[STAT_OWN_TABLES]) * page,
			       now->oom_unmanaged);
	now->oom_forked = less(forked_pages(s) * page, now->memory_current - now->oom_unmanaged);
}

/* Why swap did not help, if it did not; "" otherwise. */
static void why_not_swapped(char *text, size_t size, const struct serve_snapshot *now)
{
	char part[SIZE_TEXT_MAX];

	text[0] = '\0';
	if (now->oom_tables > now->memory_max / 2)
		snprintf(text, size, "; page tables take %s", size_format(part, now->oom_tables));
	else if (now->oom_unmanaged + now->oom_forked <= now->memory_max / 2)
		return;
	else if (now->oom_forked > now->oom_unmanaged)
		snprintf(text, size, "; %s are of processes forked past libc, and cannot be "
			 "swapped", size_format(part, now->oom_forked));
	else
		snprintf(text, size, "; %s are not managed and cannot be swapped",
			 size_format(part, now->oom_unmanaged));
}

static void transport_killed(struct host_client *hc)
{
	struct client *c = (struct client *)hc;
	char memory[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX], swap[SIZE_TEXT_MAX], swap_max[SIZE_TEXT_MAX];
	char more[WHY_MAX], victim[WHY_MAX];
	struct serve_snapshot now;
	int64_t forked;

	look_at_memory(c->s, &now);
	if (c->host.pid && (uint32_t)c->host.pid == a32_load(&c->s->root_pid)) {
		a64_store(&c->s->oom_memory, now.memory_current);
		a64_store(&c->s->oom_swap, now.swap_current);
		a64_store(&c->s->oom_unmanaged, now.oom_unmanaged);
		a64_store(&c->s->oom_tables, now.oom_tables);
		a64_store(&c->s->oom_forked, now.oom_forked);
		a32_store(&c->s->root_oom_killed, 1);
		kinds_at_kill(c, now.oom_unmanaged);
		return;  /* the final message of the run says it */
	}
	kinds_at_kill(c, now.oom_unmanaged);
	spin_lock(&c->s->names_lock);
	forked = c->s->unmanaged_oom.kind[SERVE_KIND_FORKED];
	spin_unlock(&c->s->names_lock);
	now.oom_forked += forked;
	now.oom_unmanaged -= forked;
	why_not_swapped(more, sizeof(more), &now);
	/* The process of a forked child may not be known yet. */
	if (c->host.pid)
		snprintf(victim, sizeof(victim), "%s (%d)", c->comm, (int)c->host.pid);
	else
		snprintf(victim, sizeof(victim), "a child of process %d that was just forked",
			 (int)c->forked_by);
	supervisor_notice(c->s, "out of memory and swap (memory %s of %s, swap %s of %s): killed %s, "
			  "the largest%s",
			  size_format(memory, now.memory_current), size_format(max, now.memory_max),
			  size_format(swap, now.swap_current), size_format(swap_max, now.swap_max),
			  victim, more);
}

static bool transport_search(struct mmu_host *h, bool wait)
{
	return search_room((struct supervisor *)((char *)h - offsetof(struct supervisor, mmu)), wait);
}

static void transport_blocking(struct host_client *hc)
{
	client_rearm((struct client *)hc);
}

static void transport_release(struct host_client *hc)
{
	client_free((struct client *)hc);
}

const struct host_transport serve_transport = {
	.evict = transport_evict,
	.fill = transport_fill,
	.adopt = transport_adopt,
	.zap = transport_zap,
	.late = transport_late,
	.lost = transport_lost,
	.blocking = transport_blocking,
	.release = transport_release,
	.search = transport_search,
	.killed = transport_killed,
};

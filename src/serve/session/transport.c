/* serve/session/transport.c - requests to a client's helper, for the host MMU.
 *
 * Locks: batch_lock of the client, held by the caller: one request at a time.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/size.h"
#include "mm/fault.h"
#include "serve/account/account.h"
#include "serve/channel/channel.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"

static void protocol_error(struct client *c)
{
	supervisor_notice(c->s, "%s (%d) broke the agent protocol and was killed", c->comm,
			  (int)c->host.pid);
	client_kill(c, SIGKILL);
}

/* Receive the reply to EVICT @seq, which must cover @npages. */
static int read_evicted(struct client *c, uint64_t seq, uint8_t *status, unsigned npages)
{
	struct msg_evicted m;
	ssize_t n;
	int fd;

	lockdep_assert_held(&c->host.batch_lock);
	n = msg_recv(c->sock, &m, sizeof(m), 0, &fd);
	if (fd >= 0)
		close(fd);
	if (n == -EAGAIN || n == -EWOULDBLOCK)
		return -ETIMEDOUT;
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	if (n < 0 ||
	    !head_valid(&m.h, n, MSG_EVICTED, offsetof(struct msg_evicted, status) + npages) ||
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

_Static_assert((int)HOST_MOVED == EVICT_MOVED && (int)HOST_GONE == EVICT_GONE &&
		       (int)HOST_PINNED == EVICT_PINNED && (int)HOST_REFUSED == EVICT_REFUSED &&
		       (int)HOST_BUSY == EVICT_BUSY,
	       "the same words on both sides");
_Static_assert(EVICT_PAGES_MAX == MMU_BATCH_MAX, "one withdrawal is one message");

/* The areas that the pages leave, as the kernel maps them: a child that is made past the agent must
 * not have them (agent/fork.c). They are named each time: only the kernel knows what is there now.
 * 0 or -errno. */
static int list_guards(struct client *c, const struct host_range *r, unsigned n,
		       struct msg_guard *m)
{
	uint64_t done = 0;

	lockdep_assert_held(&c->host.batch_lock);
	for (unsigned i = 0; i < n; i++) {
		uint64_t end = r[i].start + r[i].npages * PAGE_SIZE;

		while (done < end) {
			uint64_t at = done > r[i].start ? done : r[i].start;
			struct proc_area a;
			int err = proc_area_at(c->host.task, &c->guard_fd, at, &a);

			if (err)
				return err;
			done = a.end > at ? a.end : at + PAGE_SIZE;
			if (at < a.start || at >= a.end)
				continue; /* unmapped: the helper finds nothing there */
			m->range[m->n++] =
				(struct evict_range){ a.start, (a.end - a.start) >> PAGE_SHIFT };
		}
	}
	return 0;
}

/* The helper takes its messages in order: this comes before the EVICT. */
static int send_guards(struct client *c, const struct host_range *r, unsigned n)
{
	struct msg_guard m = { .h = { PROTO_MAGIC, MSG_GUARD, c->seq } };
	int err;

	if (!serve_mode_own_forks(c->s->mode))
		return 0;
	err = list_guards(c, r, n, &m);
	return err ? err
		   : msg_send(c->sock, &m,
			      offsetof(struct msg_guard, range) + m.n * sizeof(m.range[0]), -1);
}

int transport_evict(struct host_client *hc, const struct host_range *r, unsigned n, uint8_t *status,
		    unsigned npages)
{
	struct client *c = (struct client *)hc;
	struct msg_evict m = { .h = { PROTO_MAGIC, MSG_EVICT, ++c->seq }, .n = n };
	int err;

	lockdep_assert_held(&hc->batch_lock);
	VM_ASSERT(n > 0 && n <= npages && npages <= EVICT_PAGES_MAX);
	for (unsigned i = 0; i < n; i++)
		m.range[i] = (struct evict_range){ r[i].start, r[i].npages };
	err = send_guards(c, r, n);
	if (!err)
		err = msg_send(c->sock, &m,
			       offsetof(struct msg_evict, range) + n * sizeof(m.range[0]), -1);
	if (err == -EPIPE || err == -ECONNRESET)
		return -EPIPE;
	if (err) {
		/* The request was not sent: no room in the socket, or no memory. */
		memset(status, HOST_BUSY, npages);
		return 0;
	}
	return read_evicted(c, c->seq, status, npages);
}

int transport_fill(struct host_client *hc, uint64_t start)
{
	struct client *c = (struct client *)hc;
	struct msg_fill m = { .h = { PROTO_MAGIC, MSG_FILL, ++c->seq }, .start = start };
	uint8_t status;
	int err;

	lockdep_assert_held(&hc->batch_lock);
	VM_ASSERT(!(start & (PAGE_SIZE - 1)));
	if (huge_unwanted(c))
		return HOST_REFUSED;
	err = msg_send(c->sock, &m, sizeof(m), -1);
	if (err)
		return err == -EPIPE || err == -ECONNRESET ? -EPIPE : HOST_BUSY;
	err = read_evicted(c, c->seq, &status, 1);
	return err ? err : status;
}

void transport_adopt(struct host_client *hc, uint64_t va)
{
	(void)fault_adopt(hc->mm, va);
}

/* exec and exit close the helper's end before anything else of the address space goes. */
static bool helper_gone(const struct client *c)
{
	struct pollfd p = { .fd = c->sock, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP);
}

void transport_lost(struct host_client *hc)
{
	struct client *c = (struct client *)hc;

	if (helper_gone(c))
		return;
	supervisor_notice(c->s, "the memory of %s (%d) cannot be read: killed", c->comm,
			  (int)hc->pid);
	client_kill(c, SIGKILL);
}

void transport_zap(struct host_client *hc, unsigned n)
{
	struct client *c = (struct client *)hc;
	struct msg_zap m = { .h = { PROTO_MAGIC, MSG_ZAP, c->seq }, .n = n };
	int err = msg_send(c->sock, &m, sizeof(m), -1);

	lockdep_assert_held(&hc->batch_lock);
	/* A channel that is closing refuses packets before poll reports it closed: exec or exit. */
	if (err && err != -EPIPE && err != -ECONNRESET)
		transport_lost(hc); /* otherwise the staging area would stay full */
}

/* From now on the control thread waits for the reply. */
void transport_late(struct host_client *hc)
{
	struct client *c = (struct client *)hc;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c->host.serve };

	(void)epoll_ctl(c->s->control_ep, EPOLL_CTL_MOD, c->sock, &ev);
}

void transport_blocking(struct host_client *hc)
{
	client_rearm((struct client *)hc);
}

void transport_release(struct host_client *hc)
{
	client_free((struct client *)hc);
}

/* serve/call.c - requests of program threads, served by call threads because they may wait for reclaim.
 *
 * A fork in three steps. CALL_FORK: charge the child's pages ahead (the kernel doubles the parent's resident pages, and the limit must
 * hold at that instant), then keep reclaim away from the parent, then wait until what reclaim has under way there is
 * done. The fork event takes the charge for the child. The end of the connection is the end of the fork.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mm/fault.h"
#include "mm/mlock.h"
#include "mm/reclaim.h"
#include "mm/vma.h"
#include "serve/internal.h"

#define QUIESCE_TRIES 2000   /* x 1 ms */

void call_queue(struct supervisor *s, struct client *c, int fd, const struct msg_call *m)
{
	struct call *call = fd < 0 ? NULL : plat_alloc(sizeof(*call));

	if (!call) {
		if (fd >= 0)
			close(fd);
		return;  /* the caller sees its connection closed and goes on without us */
	}
	client_ref(c);
	call->client = c;
	call->fd = fd;
	call->msg = *m;
	spin_lock(&s->calls_lock);
	list_add_tail(&call->link, &s->calls);
	spin_unlock(&s->calls_lock);
	waitq_wake(&s->calls_wait);
}

static bool fork_announced(struct client *c)
{
	bool yes;

	spin_lock(&c->fork_lock);
	yes = c->fork_cookie != 0 && !a32_load(&c->ended);
	spin_unlock(&c->fork_lock);
	return yes;
}

static int call_fork(struct client *c, uint64_t *cookie)
{
	struct mm *mm = c->host.mm;
	int64_t n;
	int err;

	/* One fork at a time: the event that follows says nothing about which thread forked. */
	for (int i = 0; i < QUIESCE_TRIES && fork_announced(c); i++)
		plat_sleep_ns(500 * 1000);
	n = a64_load(&mm->rss);
	err = charge_pages(&c->s->engine, c->s->group, mm, n ? n : 1, CHARGE_NOOOM);

	if (err)
		n = 0;  /* the fork charges by force; what is over the limit is reclaimed at once after it */
	else if (!n)
		uncharge_pages(c->s->group, 1);
	a32_add(&mm->no_reclaim, 1);
	for (int i = 0; i < QUIESCE_TRIES && !host_client_quiesce(&c->host) && !a32_load(&c->ended); i++)
		plat_sleep_ns(1000 * 1000);
	*cookie = (uint64_t)a64_add(&c->s->next_cookie, 1);
	spin_lock(&c->fork_lock);
	c->fork_cookie = *cookie;
	c->fork_charged = n;
	spin_unlock(&c->fork_lock);
	if (a32_load(&c->ended))
		call_fork_over(c);  /* it ended while we made room: nobody else will */
	return 0;
}

void call_fork_over(struct client *c)
{
	uint64_t cookie;
	int64_t charged;

	spin_lock(&c->fork_lock);
	cookie = c->fork_cookie;
	charged = c->fork_charged;
	c->fork_cookie = 0;
	c->fork_charged = 0;
	spin_unlock(&c->fork_lock);
	if (!cookie)
		return;
	uncharge_pages(c->s->group, charged);  /* the fork failed, or had fewer pages */
	a32_add(&c->host.mm->no_reclaim, -1);
	kswapd_wake(&c->s->engine);
}

static int call_lock(struct client *c, uint64_t start, uint64_t len, bool lock)
{
	struct mm *mm = c->host.mm;
	int err;

	/* The kernel knows the areas; ours are made at the first fault. */
	for (uint64_t va = start; lock && va < start + len;) {
		struct proc_area a;

		if (proc_area_at(c->host.pid, &c->maps_fd, va, &a) != 0 || va < a.start)
			break;
		if (a.manageable)
			(void)adopt_at(c, va);
		va = a.end;
	}
	rw_wrlock(&mm->mmap_lock);
	err = lock ? mm_lock_locked(mm, start, start + len) : mm_unlock_locked(mm, start, start + len);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

static int do_call(struct client *c, const struct msg_call *m, uint64_t *value)
{
	uint64_t len = m->len;

	if (m->start > UINT64_MAX - len)
		return -EINVAL;
	switch (m->op) {
	case CALL_FORK:
		return call_fork(c, value);
	case CALL_MLOCK:
		return call_lock(c, m->start, len, true);
	case CALL_MUNLOCK:
		return call_lock(c, m->start, len, false);
	case CALL_MLOCKALL:
		return m->start & MCL_CURRENT ? call_lock(c, PAGE_SIZE, (1ull << 47) - 2 * PAGE_SIZE, true) : 0;
	case CALL_MUNLOCKALL:
		return call_lock(c, PAGE_SIZE, (1ull << 47) - 2 * PAGE_SIZE, false);
	case CALL_WILLNEED:
		fault_willneed(c->host.mm, m->start, m->start + len);
		return 0;
	case CALL_ADOPT:
		return adopt_range(c, m->start, len);
	default:
		return -EINVAL;
	}
}

static struct call *next_call(struct supervisor *s)
{
	struct call *call = NULL;

	spin_lock(&s->calls_lock);
	if (!list_empty(&s->calls)) {
		call = list_first(&s->calls, struct call, link);
		list_del(&call->link);
	}
	spin_unlock(&s->calls_lock);
	return call;
}

void call_main(void *arg)
{
	struct supervisor *s = arg;

	for (;;) {
		uint32_t ticket = waitq_prepare(&s->calls_wait);
		struct call *call = next_call(s);
		struct msg_call_reply r;

		if (!call) {
			if (a32_load(&s->stopping))
				return;
			waitq_sleep(&s->calls_wait, ticket, -1);
			continue;
		}
		r = (struct msg_call_reply){ .h = { PROTO_MAGIC, MSG_CALL_REPLY, call->msg.h.seq } };
		r.error = do_call(call->client, &call->msg, &r.value);
		/* If the caller is gone already its fork is over: the control thread has seen the end. */
		(void)msg_send(call->fd, &r, sizeof(r), -1);
		close(call->fd);
		client_put(call->client);
		plat_free(call);
	}
}

/* serve/session/fork.c - a fork of a client, in three steps.
 *
 * CALL_FORK: charge the child's pages ahead (the kernel doubles the parent's resident pages, and the
 * limit must hold at that instant), then keep reclaim away from the parent, then wait until what
 * reclaim has in progress there is done. The fork event, which a fault worker reads, takes the
 * charge for the child and copies the books. The end of the connection is the end of the fork.
 *
 * Locks: client->fork.lock, rank LEAF, for the announcement; mmap_lock of parent and child for the
 * books.
 */
#include <string.h>

#include "mm/charge.h"
#include "mm/fork.h"
#include "mm/reclaim.h"
#include "serve/account/account.h"
#include "serve/session/session.h"

#define QUIESCE_TRIES 20000  /* x 1 ms: a child cannot be followed when its parent's pages are on their way */
#define FORK_CHARGE_STEP 256 /* pages */
#define FORK_PATIENCE_NS 1000000000ull  /* for pages that are busy, and for others to end */
#define FORK_RETRY_NS 1000000

static bool fork_announce(struct client *c, uint64_t cookie)
{
	bool mine;

	assert_thread(THREAD_CALL);
	VM_ASSERT(cookie);
	spin_lock(&c->fork.lock);
	mine = !a64_load(&c->fork_cookie);
	if (mine)
		a64_store(&c->fork_cookie, (int64_t)cookie);
	spin_unlock(&c->fork.lock);
	return mine;
}

/* False: the caller went away meanwhile, and its fork was declared over. */
static bool fork_prepared(struct client *c, uint64_t cookie, int64_t charged, int64_t unmanaged)
{
	bool mine;

	assert_thread(THREAD_CALL);
	VM_ASSERT(charged >= 0 && unmanaged >= 0);
	spin_lock(&c->fork.lock);
	mine = (uint64_t)a64_load(&c->fork_cookie) == cookie;
	if (mine) {
		c->fork.charged = charged;
		c->fork.unmanaged = unmanaged;
		c->fork.held = true;
	}
	spin_unlock(&c->fork.lock);
	return mine;
}

/* Pages that the parent has in its books, and that will be doubled: shared memory is not. */
static int64_t booked(const struct client *c)
{
	return a64_load(&c->host.mm->rss) - a64_load(&c->host.mm->rss_shared);
}

/* As many pages as the parent has, in its books or not, in steps: making room for the child may take the parent's own,
 * and it is then fewer. What cannot be had is charged by force when the fork is seen, and reclaimed at once after it. */
static int64_t charge_child(struct client *c)
{
	struct mm *mm = c->host.mm;
	uint64_t start = plat_now_ns();
	int64_t n = 0, want;

	assert_thread(THREAD_CALL);
	while ((want = booked(c) + a64_load(&mm->unmanaged) - a64_load(&c->shared_pages) - n) > 0) {
		int err;

		if (want > FORK_CHARGE_STEP)
			want = FORK_CHARGE_STEP;
		err = charge_pages(&c->s->engine, c->s->group, mm, want, CHARGE_NOOOM);
		if (!err)
			n += want;
		else if (client_has_ended(c) || plat_now_ns() - start > FORK_PATIENCE_NS)
			break;
		else if (err == -ENOMEM)
			plat_sleep_ns(FORK_RETRY_NS);
	}
	return n;
}

int fork_call(struct client *c, uint64_t cookie)
{
	struct mm *mm = c->host.mm;
	int64_t n, unmanaged;

	assert_thread(THREAD_CALL);
	VM_ASSERT(cookie);
	assert_referenced(c);
	/* One fork at a time: the event that follows says nothing about which thread forked. Unannounced the child could
	 * never be managed, so its turn is waited for, in the queue, while others are served. */
	if (client_has_ended(c))
		return -EBUSY;
	if (!fork_announce(c, cookie))
		return -EAGAIN;
	n = charge_child(c);
	a32_add(&mm->held, 1);
	a32_add(&mm->no_reclaim, 1);
	for (int i = 0; i < QUIESCE_TRIES && !host_client_quiesce(&c->host) && !client_has_ended(c); i++)
		plat_sleep_ns(1000 * 1000);
	unmanaged = measure_for_fork(c);
	if (!fork_prepared(c, cookie, n, unmanaged)) {
		uncharge_pages(c->s->group, n);
		a32_add(&mm->no_reclaim, -1);
		a32_add(&mm->held, -1);
		return -ECONNRESET;
	}
	if (client_has_ended(c))
		fork_over(c, cookie);  /* it ended while we made room: nobody else will */
	return 0;
}

void fork_over(struct client *c, uint64_t cookie)
{
	int64_t charged = 0;
	bool mine, held = false;

	assert_referenced(c);
	client_events_applied(c);
	spin_lock(&c->fork.lock);
	mine = a64_load(&c->fork_cookie) && (!cookie || (uint64_t)a64_load(&c->fork_cookie) == cookie);
	if (mine) {
		charged = c->fork.charged;
		held = c->fork.held;
		a64_store(&c->fork_cookie, 0);
		c->fork.taken = false;
		c->fork.charged = 0;
		c->fork.held = false;
	}
	spin_unlock(&c->fork.lock);
	uncharge_pages(c->s->group, charged);  /* the fork failed, or had fewer pages */
	if (held) {
		a32_add(&c->host.mm->no_reclaim, -1);
		a32_add(&c->host.mm->held, -1);
	}
	if (mine)
		kswapd_wake(&c->s->engine);
}

/* ---- the event; the parent's mmap_lock held for writing ---- */

/* Two forks, one announcement: another thread forked past libc. Which child is the announced one cannot be told, so neither is
 * joined to a HELLO: the one that says it is refused, and ends itself. */
static void revoke_announcement(struct supervisor *s, uint64_t cookie)
{
	struct client *first = client_by_cookie(s, cookie);

	assert_thread(THREAD_FAULT);
	VM_ASSERT(cookie);
	if (!first)
		return;
	(void)a64_cas(&first->awaits_cookie, (int64_t)cookie, 0);
	client_entered(first);
	client_put(first);
}

/* What a fork announced, for the child: cookie, pages charged ahead, and how many it will have outside its books. */
static uint64_t take_announcement(struct client *parent, int64_t *charged, int64_t *unmanaged)
{
	uint64_t cookie;
	bool again;

	assert_thread(THREAD_FAULT);
	lockdep_assert_held(&parent->host.mm->mmap_lock);
	*unmanaged = a64_load(&parent->host.mm->unmanaged) - a64_load(&parent->shared_pages);

	spin_lock(&parent->fork.lock);
	cookie = (uint64_t)a64_load(&parent->fork_cookie);
	again = cookie && parent->fork.taken;
	parent->fork.taken = cookie != 0;
	*charged = parent->fork.charged;
	if (cookie)
		*unmanaged = parent->fork.unmanaged;
	parent->fork.charged = 0;
	spin_unlock(&parent->fork.lock);
	if (!again)
		return cookie;
	revoke_announcement(parent->s, cookie);
	return 0;
}

/* The child begins with what its parent has outside the books. It is paid from @charged, pages charged ahead; by force
 * where they are too few. Returns what of them is left for the pages in the books. */
static int64_t begin_unmanaged(const struct client *parent, struct client *child, int64_t charged, int64_t unmanaged)
{
	struct mm *from = parent->host.mm;
	struct supervisor *s = child->s;
	int64_t paid = charged - (a64_load(&from->rss) - a64_load(&from->rss_shared));

	assert_thread(THREAD_FAULT);
	lockdep_assert_held(&child->host.mm->mmap_lock);
	VM_ASSERT(charged >= 0);
	child->inherited = unmanaged - a64_load(&parent->tables);  /* tables are its own */
	if (child->inherited < 0)
		child->inherited = 0;
	if (paid > unmanaged)
		paid = unmanaged;
	if (paid > 0)
		charge_unmanaged_paid(s->group, paid);
	else
		paid = 0;
	if (unmanaged > 0) {
		charge_unmanaged(&s->engine, s->group, paid, unmanaged);
		a64_store(&child->host.mm->unmanaged, unmanaged);
	}
	if (unmanaged > paid) {
		a32_store(&s->unsettled, 1);
		watcher_wake(s);
	}
	return charged - paid;
}

/* @err: why the child cannot be followed; 0: it can. */
void fork_event(struct client *parent, int uffd, int err)
{
	struct supervisor *s = parent->s;
	int64_t charged, unmanaged;
	uint64_t cookie = take_announcement(parent, &charged, &unmanaged);
	struct client *child = client_create(s, uffd, CLIENT_FORKED);

	assert_thread(THREAD_FAULT);
	lockdep_assert_held(&parent->host.mm->mmap_lock);
	VM_ASSERT(uffd >= 0);
	if (!child) {
		uncharge_pages(s->group, charged);
		stray_add(s, uffd);
		err = -ENOMEM;
	} else {
		if (s->keeper)
			keeper_add_fd(s->keeper, child->key, uffd);
		rw_wrlock(&child->host.mm->mmap_lock);
		/* It may be gone again, and been found so: what was entered now would stay for ever. */
		if (err || client_has_ended(child)) {
			uncharge_pages(s->group, charged);
		} else {
			charged = begin_unmanaged(parent, child, charged, unmanaged);
			err = mm_fork_locked(parent->host.mm, child->host.mm, charged);
		}
		rw_wrunlock(&child->host.mm->mmap_lock);
		/* Pages whose place is not known now cannot be given to a child, nor those of one that was not followed. */
		if (!err && a32_load(&parent->host.is_late))
			err = -EBUSY;
		if (!err && a32_load(&parent->host.dead))
			err = -ESRCH;
	}
	if (err)
		supervisor_notice(s, "cannot follow a fork of %s (%d): %s; its child is killed when it misses a page",
				  parent->comm, (int)parent->host.pid, strerror(-err));
	if (!child)
		return;
	memcpy(child->comm, parent->comm, sizeof(child->comm));
	child->forked_by = parent->host.pid;
	child->mark_va = parent->private_end[0] ? parent->private_start[0] + PAGE_SIZE : parent->mark_va;
	a32_store(&child->host.dead, err != 0);
	/* Until its HELLO it has no helper. A child that nobody announced will never have one: no privilege for that. */
	if (cookie && !err)
		client_enter(child);
	a64_store(&child->awaits_cookie, (int64_t)cookie);
	(void)client_listen(child);
	client_put(child);
}

/* serve/session/fork.c - a fork of a client, in three steps.
 *
 * CALL_FORK: charge the child's pages ahead (the kernel doubles the parent's resident pages, and
 * the limit must hold at that instant), then keep reclaim away from the parent, then wait until
 * what reclaim has in progress there is done. The fork event, which a fault worker reads, takes the
 * charge for the child and copies the books. The end of the connection is the end of the fork.
 *
 * In mode kernel no event comes. The agent freezes its client before the system call (fork_freeze),
 * and the child's HELLO brings a userfaultfd of its own (fork_child), in place of the event.
 *
 * Locks: client->fork.lock, rank LEAF, for the announcement; mmap_lock of parent and child for the
 * books.
 */
#include <string.h>

#include "mm/charge.h"
#include "mm/fork.h"
#include "mm/reclaim.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/session/session.h"

/* x 1 ms: a child cannot be followed while pages of its parent are in transit */
#define QUIESCE_TRIES    20000
#define FORK_CHARGE_STEP 256           /* pages */
#define FORK_PATIENCE_NS 1000000000ull /* for busy pages, and for other processes to end */
#define FORK_RETRY_NS    1000000

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

/* False: the caller went away in between, and its fork was declared over. */
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
		c->fork.shielded = true;
	}
	spin_unlock(&c->fork.lock);
	return mine;
}

/* Pages in the books of the parent that will be doubled: all but shared memory. */
static int64_t booked(const struct client *c)
{
	return a64_load(&c->host.mm->rss) - a64_load(&c->host.mm->rss_shared);
}

/* Charge as many pages as the parent has, in its books or not, in steps: making room for the child
 * may reclaim the parent's own pages, so that fewer are needed. The rest is charged by force at the
 * fork event, and reclaimed right after. */
static int64_t charge_child(struct client *c)
{
	struct mm *mm = c->host.mm;
	uint64_t start = plat_now_ns();
	int64_t n = 0, want;

	assert_thread(THREAD_CALL);
	while ((want = booked(c) + copies_of_child(c) - n) > 0) {
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
	/* One fork at a time: the event does not tell which thread forked. An unannounced child
	 * could never be managed, so a fork waits for its turn in the queue, while others are
	 * served. */
	if (client_has_ended(c))
		return -EBUSY;
	if (!fork_announce(c, cookie))
		return -EAGAIN;
	n = charge_child(c);
	a32_add(&mm->held, 1);
	a32_add(&mm->no_reclaim, 1);
	for (int i = 0; i < QUIESCE_TRIES && !host_client_quiesce(&c->host) && !client_has_ended(c);
	     i++)
		plat_sleep_ns(1000 * 1000);
	unmanaged = measure_for_fork(c);
	if (!fork_prepared(c, cookie, n, unmanaged)) {
		uncharge_pages(c->s->group, n);
		a32_add(&mm->no_reclaim, -1);
		a32_add(&mm->held, -1);
		return -ECONNRESET;
	}
	if (client_has_ended(c))
		/* It ended while room was made: nothing else would end the fork. */
		fork_over(c, cookie);
	return 0;
}

void fork_over(struct client *c, uint64_t cookie)
{
	int64_t charged = 0;
	bool mine, shielded = false;

	assert_referenced(c);
	client_events_applied(c);
	spin_lock(&c->fork.lock);
	mine = a64_load(&c->fork_cookie) &&
	       (!cookie || (uint64_t)a64_load(&c->fork_cookie) == cookie);
	if (mine) {
		charged = c->fork.charged;
		shielded = c->fork.shielded;
		a64_store(&c->fork_cookie, 0);
		c->fork.taken = false;
		c->fork.charged = 0;
		c->fork.shielded = false;
	}
	spin_unlock(&c->fork.lock);
	uncharge_pages(c->s->group, charged); /* the fork failed, or had fewer pages */
	if (shielded) {
		a32_add(&c->host.mm->no_reclaim, -1);
		a32_add(&c->host.mm->held, -1);
	}
	if (mine) {
		fork_thaw(c);
		kswapd_wake(&c->s->engine);
	}
}

/* ---- a fork without an event ---- */

/* With mmap_lock: whoever maps a page holds it, and looks at @frozen. */
int fork_freeze(struct client *c)
{
	struct mm *mm = c->host.mm;
	int err = 0;

	assert_thread(THREAD_CALL);
	assert_referenced(c);
	rw_wrlock(&mm->mmap_lock);
	if (a32_load(&c->host.is_late) || !serve_mode_own_forks(c->s->mode))
		err = -EAGAIN;
	spin_lock(&c->fork.lock);
	if (!err && (!a64_load(&c->fork_cookie) || !c->fork.shielded))
		err = -EAGAIN;
	if (!err)
		a32_store(&c->host.frozen, 1);
	spin_unlock(&c->fork.lock);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

void fork_thaw(struct client *c)
{
	assert_referenced(c);
	if (a32_xchg(&c->host.frozen, 0))
		client_rearm(c);
}

int fork_child(struct supervisor *s, uint64_t cookie, int uffd)
{
	struct client *parent = client_forking(s, cookie);
	int err = 0;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(cookie && uffd >= 0);
	if (!parent || !a32_load(&parent->host.frozen)) {
		if (parent)
			client_put(parent);
		return -ENOENT;
	}
	rw_wrlock(&parent->host.mm->mmap_lock);
	/* Its hooks wait. A change of mappings past them is of unknown order with the fork. */
	if (uffd_changing(parent->host.uffd))
		err = -EBUSY;
	fork_event(parent, uffd, err);
	rw_wrunlock(&parent->host.mm->mmap_lock);
	fork_thaw(parent);
	client_put(parent);
	return err;
}

/* ---- the event; the parent's mmap_lock held for writing ---- */

/* Two forks, one announcement: another thread forked past libc. Either child may be the announced
 * one, so neither is matched with a HELLO: the child that says HELLO is refused and ends itself. */
static void revoke_announcement(const struct client *parent, uint64_t cookie)
{
	struct client *first = client_by_cookie(parent->s, cookie);

	VM_ASSERT(thread_is(THREAD_FAULT | THREAD_CONTROL));
	VM_ASSERT(cookie);
	if (!first)
		return;
	(void)a64_cas(&first->awaits_cookie, (int64_t)cookie, 0);
	client_entered(first);
	/* It may change what it shares before its process is known. */
	copies_forsake(first, copies_all(parent));
	client_put(first);
}

/* Take the announcement for the child: cookie, pages charged ahead, and the pages it will have
 * outside its books. */
static uint64_t take_announcement(struct client *parent, int64_t *charged, int64_t *unmanaged)
{
	uint64_t cookie;
	bool again;

	VM_ASSERT(thread_is(THREAD_FAULT | THREAD_CONTROL));
	lockdep_assert_held(&parent->host.mm->mmap_lock);
	*unmanaged = copies_all(parent);
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
	revoke_announcement(parent, cookie);
	return 0;
}

/* The child begins with the unmanaged RSS of its parent. Pay it from @charged, the pages charged
 * ahead, and by force beyond that. Returns the rest of them, for pages in the books. */
static int64_t begin_unmanaged(const struct client *parent, struct client *child, int64_t charged,
			       int64_t unmanaged)
{
	struct mm *from = parent->host.mm;
	struct supervisor *s = child->s;
	int64_t paid = charged - (a64_load(&from->rss) - a64_load(&from->rss_shared));

	VM_ASSERT(thread_is(THREAD_FAULT | THREAD_CONTROL));
	lockdep_assert_held(&child->host.mm->mmap_lock);
	VM_ASSERT(charged >= 0);
	child->inherited = unmanaged - a64_load(&parent->tables); /* its tables are its own */
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

	VM_ASSERT(thread_is(THREAD_FAULT | THREAD_CONTROL));
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
		/* It may have ended already, and been noticed: pages entered now would stay
		 * forever. */
		if (err || client_has_ended(child)) {
			uncharge_pages(s->group, charged);
		} else {
			if (!copies_join(parent, child, cookie))
				unmanaged = copies_all(parent);
			charged = begin_unmanaged(parent, child, charged, unmanaged);
			err = mm_fork_locked(parent->host.mm, child->host.mm, charged);
		}
		rw_wrunlock(&child->host.mm->mmap_lock);
		/* The place of some pages is unknown now, or always was: they cannot be given to a
		 * child. */
		if (!err && a32_load(&parent->host.is_late))
			err = -EBUSY;
		if (!err && a32_load(&parent->host.dead))
			err = -ESRCH;
	}
	if (err)
		supervisor_notice(s,
				  "cannot follow a fork of %s (%d): %s; its child is killed when "
				  "it misses a page",
				  parent->comm, (int)parent->host.pid, strerror(-err));
	if (!child)
		return;
	memcpy(child->comm, parent->comm, sizeof(child->comm));
	child->forked_by = parent->host.pid;
	child->mark_va =
		parent->private_end[0] ? parent->private_start[0] + PAGE_SIZE : parent->mark_va;
	a32_store(&child->host.dead, err != 0);
	/* It has no helper before its HELLO. An unannounced child never gets one: do not let it
	 * exceed the limit. */
	if (cookie && !err)
		client_enter(child);
	a64_store(&child->awaits_cookie, (int64_t)cookie);
	(void)client_listen(child);
	client_put(child);
}

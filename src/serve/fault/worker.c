/* serve/fault/worker.c - fault workers: read what a client's kernel reports, apply events, resolve faults.
 *
 * Order of events. Messages are read with the address space's mmap_lock held for writing, and events (unmap, remap,
 * discard, fork) are applied before it is dropped. Faults are resolved under the lock for reading. The kernel
 * refuses every copy while an event is unread, and we apply it in the same critical section in which we read it: so no
 * page is ever mapped by a decision that an event has overtaken.
 */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "mm/backing.h"
#include "mm/charge.h"
#include "mm/fault.h"
#include "mm/fork.h"
#include "mm/unmap.h"
#include "mmu/host/uffd.h"
#include "serve/internal.h"

#define READ_BATCH 16
#define QUEUE_MAX  128
#define STALL_TRIES 10000
#define HOLD_SHARE 8    /* margin below max / HOLD_SHARE: more than background reclaim keeps free */
#define ALL_START (16 * PAGE_SIZE)

struct fault_msg {
	uint64_t va;
	uint32_t tid;
	bool write;
};

struct queue {
	struct fault_msg q[QUEUE_MAX];
	unsigned head, n;
};

static void push(struct queue *q, struct fault_msg f)
{
	VM_BUG_ON(q->n == QUEUE_MAX);
	q->q[(q->head + q->n++) % QUEUE_MAX] = f;
}

static struct fault_msg pop(struct queue *q)
{
	struct fault_msg f = q->q[q->head];

	q->head = (q->head + 1) % QUEUE_MAX;
	q->n--;
	return f;
}

/* ---- events; mmap_lock held for writing ---- */

/* Two forks, one announcement: another thread forked past libc. Which child is the announced one cannot be told, so neither is
 * joined to a HELLO: the one that says it is refused, and ends itself. */
static void revoke_announcement(struct supervisor *s, uint64_t cookie)
{
	struct client *first = client_by_cookie(s, cookie);

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

	*unmanaged = a64_load(&parent->host.mm->unmanaged) - a64_load(&parent->shared_pages);

	spin_lock(&parent->fork_lock);
	cookie = (uint64_t)a64_load(&parent->fork_cookie);
	again = cookie && parent->fork_taken;
	parent->fork_taken = cookie != 0;
	*charged = parent->fork_charged;
	if (cookie)
		*unmanaged = parent->fork_unmanaged;
	parent->fork_charged = 0;
	spin_unlock(&parent->fork_lock);
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
static void event_fork(struct client *parent, int uffd, int err)
{
	struct supervisor *s = parent->s;
	int64_t charged, unmanaged;
	uint64_t cookie = take_announcement(parent, &charged, &unmanaged);
	struct client *child = client_create(s, uffd, false);

	if (!child) {
		uncharge_pages(s->group, charged);
		stray_add(s, uffd);
		err = -ENOMEM;
	} else {
		if (s->keeper)
			keeper_add_fd(s->keeper, child->key, uffd);
		rw_wrlock(&child->host.mm->mmap_lock);
		/* It may be gone again, and been found so: what was entered now would stay for ever. */
		if (err || a32_load(&child->ended)) {
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

static void event_remap(struct client *c, uint64_t from, uint64_t to, uint64_t len)
{
	bool awaits;
	int err;

	/* The helper takes out pages of a mapping that is not writable: a withdrawal, not a move. */
	if (to - c->host.staging < EVICT_PAGES_MAX * PAGE_SIZE)
		return;
	/* Shared memory mapped once more (mremap of length 0): nothing moves, and what is new is
	 * adopted at its first fault. */
	if (!len)
		return;
	/* Not while a withdrawal is under way: what it brings must be the content of the page it asked for. */
	spin_lock(&c->host.batch_lock);
	host_fill_event(&c->host, from, from + len);
	host_fill_event(&c->host, to, to + len);
	awaits = host_fill_awaits(&c->host, to, to + len);
	err = mm_remap_locked(c->host.mm, from, to, len);
	host_late_moved(&c->host, from, to, len);
	spin_unlock(&c->host.batch_lock);
	if (!err && !awaits)
		return;
	/* What was out has no place any more: it would read zeros there. */
	supervisor_notice(c->s, awaits ? "a page of %s (%d) moved to where zeros were on their way: killed" :
					 "no memory to follow a move of %s (%d): killed", c->comm, (int)c->host.pid);
	a32_store(&c->host.dead, 1);
	client_kill(c, SIGKILL);
}

static void apply_event(struct client *c, const struct uffd_msg *m, int err)
{
	struct mm *mm = c->host.mm;

	switch (m->event) {
	case UFFD_EVENT_FORK:
		event_fork(c, (int)m->arg.fork.ufd, err);
		break;
	case UFFD_EVENT_REMAP:
		event_remap(c, m->arg.remap.from, m->arg.remap.to, m->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
		host_fill_event(&c->host, m->arg.remove.start, m->arg.remove.end);
		mm_discard_locked(mm, m->arg.remove.start, m->arg.remove.end);
		break;
	case UFFD_EVENT_UNMAP:
		host_fill_event(&c->host, m->arg.remove.start, m->arg.remove.end);
		mm_unmap_locked(mm, m->arg.remove.start, m->arg.remove.end);
		break;
	default:
		return;
	}
	if (m->event != UFFD_EVENT_FORK && m->event != UFFD_EVENT_REMAP)
		a64_add(&c->host.event_seq, 1);
}

/* Read what is there; events are applied, faults queued. Returns messages read. */
static unsigned read_messages(struct client *c, struct queue *q)
{
	struct uffd_msg m[READ_BATCH];
	unsigned room = QUEUE_MAX - q->n, n = 0;
	ssize_t got;
	int err = 0;

	if (room == 0)
		return 0;
	if (room > READ_BATCH)
		room = READ_BATCH;
	rw_wrlock(&c->host.mm->mmap_lock);
	a32_add(&c->event_turn, 1);
	got = a32_load(&c->ended) ? -1 : read(c->host.uffd, m, room * sizeof(m[0]));
	while (got < 0 && !a32_load(&c->ended) && (errno == EMFILE || errno == ENFILE)) {
		/* A fork, and no descriptor for its child's userfaultfd. The event waits, and with it the parent. */
		err = -errno;
		if (!spare_drop(c->s)) {
			supervisor_notice(c->s, "no descriptor to follow a fork of %s (%d): killed", c->comm, (int)c->host.pid);
			client_kill(c, SIGKILL);
			break;
		}
		got = read(c->host.uffd, m, sizeof(m[0]));
	}
	n = got > 0 ? (unsigned)((size_t)got / sizeof(m[0])) : 0;
	for (unsigned i = 0; i < n; i++) {
		if (m[i].event != UFFD_EVENT_PAGEFAULT)
			apply_event(c, &m[i], i ? 0 : err);
		else
			push(q, (struct fault_msg){
				.va = m[i].arg.pagefault.address & PAGE_MASK,
				.tid = m[i].arg.pagefault.feat.ptid,
				.write = m[i].arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE,
			});
	}
	a32_add(&c->event_turn, 1);
	rw_wrunlock(&c->host.mm->mmap_lock);
	return n;
}

/* ---- faults ---- */

static void wake(struct client *c, uint64_t va)
{
	(void)uffd_wake(c->host.uffd, va, 1);
}

/* The helper un-shares a page and found nothing there: it was discarded, so zeros are right, or its file; and it must
 * not wait for reclaim, which waits for it. */
static void serve_helper(struct client *c, uint64_t va)
{
	char page[PAGE_SIZE] __attribute__((aligned(64)));
	const int err = a32_load(&c->host.mm->has_backing) ? backing_peek(c->host.mm, va, page) : -ENOENT;

	/* An error of its file is no content: the helper is refused the page, and so is the program. */
	if (err && err != -ENOENT && uffd_poison(c->host.uffd, va) == 0)
		return;
	if (uffd_copy(c->host.uffd, va, err ? c->s->mmu.zeros : page, 1) < 0)
		wake(c, va);
}

/* A client whose helper does not answer gives nothing back. It keeps what it has, but must not take the rest of the group's
 * memory, page by page, from those who do. */
static bool takes_too_much(struct client *c)
{
	struct page_counter *memory = &c->s->group->memory;

	return a32_load(&c->host.is_late) && !a32_load(&c->ended) && !a32_load(&c->beyond) &&
	       page_counter_margin(memory) < a64_load(&memory->max) / HOLD_SHARE;
}

static bool hold_back(struct client *c)
{
	if (!takes_too_much(c))
		return false;
	a32_store(&c->held_back, 1);
	return true;
}

void client_let_go(struct client *c)
{
	if (!a32_load(&c->held_back) || takes_too_much(c))
		return;
	a32_store(&c->held_back, 0);
	(void)uffd_wake(c->host.uffd, ALL_START, (proc_addresses_end() - PAGE_SIZE - ALL_START) / PAGE_SIZE);
}

/* A client that must not live on, and has not said which process it is. It waits for its page, and is killed when that has
 * been found out (find.c); where it cannot be, its fault may tell. */
static void kill_nameless(struct client *c, uint32_t tid)
{
	if (c->host.pid)
		return;
	a32_store(&c->host.dead, 1);
	if (a32_load(&c->mark) == MARK_FAILED)
		proc_kill_ours((pid_t)tid);
}

/* True: done with this fault. False: events come first, try again. */
static bool serve_fault(struct client *c, const struct fault_msg *f)
{
	int err;

	if (c->helper_tid && f->tid == c->helper_tid) {
		serve_helper(c, f->va);
		return true;
	}
	if (a32_load(&c->host.dead) || a32_load(&c->host.mm->dying))
		kill_nameless(c, f->tid);
	if (a32_load(&c->host.dead))
		return true;
	if (hold_back(c))
		return true;
	err = handle_fault(c->host.mm, f->va, f->write);
	if (err == -EFAULT) {
		err = adopt_at(c, f->va);
		if (err == 0)
			return false;
		wake(c, f->va);  /* no such area (any more): the program's own kernel decides */
		return true;
	}
	switch (err) {
	case -EAGAIN:
		return false;
	case -ETIME:
		a32_store(&c->held_back, 1);  /* no memory now: the watcher lets its threads try again */
		return true;
	case -ENOENT:
		wake(c, f->va);
		return true;
	case -ENOMEM:
		if (!a32_load(&c->host.mm->dying)) {
			supervisor_notice(c->s, "no memory for a page of %s (%d): killed", c->comm, (int)c->host.pid);
			client_kill(c, SIGKILL);
			kill_nameless(c, f->tid);
		}
		return true;
	default:
		return true;  /* resolved; or the client is gone, poisoned, or woken by whoever knows more */
	}
}

static void serve_client(struct client *c)
{
	struct queue q = { .n = 0 };
	unsigned stalled = 0;

	for (;;) {
		struct fault_msg f;
		unsigned n = read_messages(c, &q);

		if (q.n == 0) {
			if (n == 0)
				return;
			continue;
		}
		warm_note(c->s);
		if (q.n > 1)
			client_rearm(c);  /* several threads: the others need not wait for this one's page */
		f = pop(&q);
		if (a32_load(&c->ended) || serve_fault(c, &f)) {
			stalled = 0;
			continue;
		}
		push(&q, f);
		if (n == 0 && ++stalled % 16 == 0)
			plat_sleep_ns(50 * 1000);
		if (stalled > STALL_TRIES) {
			/* Start over: a woken thread that still misses its page reports it again. */
			while (q.n)
				wake(c, pop(&q).va);
			return;
		}
	}
}

void worker_main(void *arg)
{
	struct supervisor *s = arg;

	while (!a32_load(&s->stopping)) {
		struct epoll_event ev;
		struct client *c;

		if (epoll_wait(s->fault_ep, &ev, 1, -1) != 1 || ev.data.u64 == 0)
			continue;
		if (ev.data.u64 & STRAY_KEY) {
			stray_serve(s, (int)(ev.data.u64 & ~STRAY_KEY));
			continue;
		}
		c = client_get(s, ev.data.u64);
		if (!c)
			continue;
		a32_store(&c->armed, 0);
		serve_client(c);
		client_rearm(c);
		client_put(c);
	}
}

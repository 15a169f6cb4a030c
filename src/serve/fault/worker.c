/* serve/fault/worker.c - fault workers: read what the kernel reports of a client, apply events,
 * resolve faults.
 *
 * Order of events. Messages are read with the address space's mmap_lock held for writing, and
 * events (unmap, remap, discard, fork) are applied before it is dropped. Faults are resolved with
 * the lock held for reading. The kernel refuses every copy while an event is unread, and an event
 * is applied in the critical section that reads it. So no page is ever mapped by a decision that an
 * event has overtaken.
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
#include "serve/account/account.h"
#include "serve/fault/fault.h"
#include "serve/find/find.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"

#define READ_BATCH     16
#define QUEUE_MAX      128
#define NR_WORKERS_MAX 16
#define STALL_TRIES    10000

struct fault_threads {
	struct plat_thread worker[NR_WORKERS_MAX];
	unsigned nr;
};

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

	VM_ASSERT(q->n > 0);
	q->head = (q->head + 1) % QUEUE_MAX;
	q->n--;
	return f;
}

/* ---- events; mmap_lock held for writing ---- */

static void event_remap(struct client *c, uint64_t from, uint64_t to, uint64_t len)
{
	bool awaits;
	int err;

	assert_thread(THREAD_FAULT);
	lockdep_assert_held(&c->host.mm->mmap_lock);
	/* The helper moves out pages of a mapping that is not writable: a withdrawal, not a
	 * move. */
	if (to - c->host.staging < EVICT_PAGES_MAX * PAGE_SIZE)
		return;
	/* Shared memory mapped once more (mremap of length 0): nothing moves, and what is new is
	 * adopted at its first fault. */
	if (!len)
		return;
	/* Not during a withdrawal: what it brings must be the content of the page it asked for. */
	spin_lock(&c->host.batch_lock);
	host_fill_event(&c->host, from, from + len);
	host_fill_event(&c->host, to, to + len);
	awaits = host_fill_awaits(&c->host, to, to + len);
	err = mm_remap_locked(c->host.mm, from, to, len);
	host_late_moved(&c->host, from, to, len);
	spin_unlock(&c->host.batch_lock);
	if (!err && !awaits)
		return;
	/* Pages that are out have no place any more: the program would read zeros there. */
	supervisor_notice(
		c->s,
		awaits ? "a page of %s (%d) moved to where zeros were on their way: killed"
		       : "no memory to follow a move of %s (%d): killed",
		c->comm, (int)c->host.pid);
	a32_store(&c->host.dead, 1);
	client_kill(c, SIGKILL);
}

static void apply_event(struct client *c, const struct uffd_msg *m, int err)
{
	struct mm *mm = c->host.mm;

	assert_thread(THREAD_FAULT);
	lockdep_assert_held(&c->host.mm->mmap_lock);
	switch (m->event) {
	case UFFD_EVENT_FORK:
		fork_event(c, (int)m->arg.fork.ufd, err);
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

/* Read all messages that fit. Events are applied, faults queued. Returns the number of messages. */
static unsigned read_messages(struct client *c, struct queue *q)
{
	struct uffd_msg m[READ_BATCH];
	unsigned room = QUEUE_MAX - q->n, n = 0;
	ssize_t got;
	int err = 0;

	assert_thread(THREAD_FAULT);
	assert_referenced(c);
	VM_ASSERT(q->n <= QUEUE_MAX);
	if (room == 0)
		return 0;
	if (room > READ_BATCH)
		room = READ_BATCH;
	rw_wrlock(&c->host.mm->mmap_lock);
	a32_add(&c->event_turn, 1);
	got = client_has_ended(c) || a32_load(&c->host.frozen)
		      ? -1
		      : read(c->host.uffd, m, room * sizeof(m[0]));
	while (got < 0 && !client_has_ended(c) && (errno == EMFILE || errno == ENFILE)) {
		/* A fork, and no free descriptor for its child's userfaultfd. The event stays
		 * queued, and the parent in its fork. */
		err = -errno;
		if (!spare_drop(c->s)) {
			supervisor_notice(c->s, "no descriptor to follow a fork of %s (%d): killed",
					  c->comm, (int)c->host.pid);
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
			push(q,
			     (struct fault_msg){
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

/* The helper un-shares a page and found nothing there. The page was discarded, so zeros are right,
 * or it is the file's. The helper must not wait for reclaim, which waits for it. */
static void serve_helper(struct client *c, uint64_t va)
{
	char page[PAGE_SIZE] __attribute__((aligned(64)));
	const int err =
		a32_load(&c->host.mm->has_backing) ? backing_peek(c->host.mm, va, page) : -ENOENT;

	assert_thread(THREAD_FAULT);
	VM_ASSERT(!(va & (PAGE_SIZE - 1)));
	/* If the file cannot be read, refuse the page, to the helper and to the program. */
	if (err && err != -ENOENT && uffd_poison(c->host.uffd, va) == 0)
		return;
	if (uffd_copy(c->host.uffd, va, err ? c->s->mmu.zeros : page, 1) < 0)
		wake(c, va);
}

/* A client that must not live on, and whose process is not known. It waits for its page, and is
 * killed when find.c has identified it. If that is impossible its fault may identify it. */
static void kill_unidentified(struct client *c, uint32_t tid)
{
	assert_thread(THREAD_FAULT);
	if (c->host.pid)
		return;
	a32_store(&c->host.dead, 1);
	if (mark_failed(c))
		proc_kill_ours((pid_t)tid);
}

/* True: this fault is done. False: events come first, try again. */
static bool serve_fault(struct client *c, const struct fault_msg *f)
{
	int err;

	assert_thread(THREAD_FAULT);
	if (c->helper_tid && f->tid == c->helper_tid) {
		serve_helper(c, f->va);
		return true;
	}
	if (a32_load(&c->host.dead) || a32_load(&c->host.mm->dying))
		kill_unidentified(c, f->tid);
	if (a32_load(&c->host.dead))
		return true;
	if (client_must_wait(c))
		return true;
	err = handle_fault(c->host.mm, f->va, f->write);
	if (err == -EFAULT) {
		err = adopt_at(c, f->va);
		if (err == 0)
			return false;
		wake(c, f->va); /* no such area (any more): the kernel decides */
		return true;
	}
	switch (err) {
	case -EAGAIN:
		return false;
	case -ETIME:
		a32_store(&c->faults_wait, 1); /* no memory now: the watcher retries */
		return true;
	case -ENOENT:
		wake(c, f->va);
		return true;
	case -ENOMEM:
		if (!a32_load(&c->host.mm->dying)) {
			supervisor_notice(c->s, "no memory for a page of %s (%d): killed", c->comm,
					  (int)c->host.pid);
			client_kill(c, SIGKILL);
			kill_unidentified(c, f->tid);
		}
		return true;
	default:
		return true; /* resolved, or woken elsewhere */
	}
}

static void serve_client(struct client *c)
{
	struct queue q = { .n = 0 };
	unsigned stalled = 0;

	assert_thread(THREAD_FAULT);
	assert_referenced(c);
	for (;;) {
		struct fault_msg f;
		unsigned n = read_messages(c, &q);

		if (q.n == 0) {
			if (n == 0)
				return;
			continue;
		}
		spinners_note(c->s);
		if (q.n > 1)
			client_rearm(c); /* several threads: let other workers serve them */
		f = pop(&q);
		if (client_has_ended(c) || serve_fault(c, &f)) {
			stalled = 0;
			continue;
		}
		push(&q, f);
		if (n == 0 && ++stalled % 16 == 0)
			plat_sleep_ns(50 * 1000);
		if (stalled > STALL_TRIES) {
			/* Start over: a woken thread that still misses its page reports it
			 * again. */
			while (q.n)
				wake(c, pop(&q).va);
			return;
		}
	}
}

static void worker_main(void *arg)
{
	struct supervisor *s = arg;

	thread_begin(THREAD_FAULT);
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
		/* Its messages stay unread until fork_thaw, which rearms it. */
		if (!a32_load(&c->host.frozen))
			client_rearm(c);
		client_put(c);
	}
}

int fault_init(struct supervisor *s)
{
	return supervisor_part(&s->fault, sizeof(*s->fault));
}

int fault_start(struct supervisor *s, unsigned n)
{
	struct epoll_event stop = { .events = EPOLLIN, .data.u64 = 0 };
	int err = 0;

	assert_thread(THREAD_MAIN);
	if (n > NR_WORKERS_MAX)
		n = NR_WORKERS_MAX;
	if (epoll_ctl(s->fault_ep, EPOLL_CTL_ADD, s->stop_fd, &stop) != 0)
		return -errno;
	for (unsigned i = 0; !err && i < n; i++) {
		err = plat_thread_start(&s->fault->worker[i], "umemcg-fault", worker_main, s);
		s->fault->nr += !err;
	}
	return err;
}

void fault_stop(struct supervisor *s)
{
	for (unsigned i = 0; i < s->fault->nr; i++)
		plat_thread_join(&s->fault->worker[i]);
	s->fault->nr = 0;
}

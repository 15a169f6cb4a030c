/* serve/session/call.c - requests of program threads, served by call threads because they may wait
 * for reclaim.
 *
 * A fork may wait for as many pages as its parent has. An exec, which needs only a few, has a queue
 * and threads of its own: it would wait for all forks before it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/mlock.h"
#include "mm/reclaim.h"
#include "mm/vma.h"
#include "mmu/host/shared.h"
#include "serve/account/account.h"
#include "serve/process/proc.h"
#include "serve/session/conn.h"
#include "serve/shared/shared.h"

#define WILLNEED_MAX (1ull << 40) /* bytes examined at most */
#define TURN_NS      (500 * 1000) /* between two attempts of a fork that waits for another */

/* A request of a program thread, on its way to a call thread. */
struct call {
	struct list_head link; /* its queue's lock */
	struct client *client; /* referenced */
	int fd;                /* a duplicate: reply here */
	uint64_t cookie;       /* of a fork */
	pid_t pid;             /* the caller: the client, or a child of vfork */
	struct msg_call msg;
};

struct call_queue {
	struct supervisor *s;  /* (C) */
	struct spinlock lock;  /* rank LEAF */
	struct list_head list; /* lock; struct call */
	struct waitq wait;
};

struct calls {
	struct call_queue calls, execs;
	struct plat_thread call_thread[NR_CALL_THREADS], exec_thread[NR_EXEC_THREADS];
};

bool call_has_range(const struct msg_call *m)
{
	return (m->op < CALL_SHMGET && m->op != CALL_MLOCKALL) || m->op == CALL_SHM_MAPPED ||
	       m->op == CALL_MEMFD_MAPPED;
}

static void call_enqueue(struct call_queue *q, struct call *call)
{
	spin_lock(&q->lock);
	list_add_tail(&call->link, &q->list);
	spin_unlock(&q->lock);
	waitq_wake(&q->wait);
}

static void queue_init(struct call_queue *q, struct supervisor *s)
{
	q->s = s;
	spin_init(&q->lock, RANK_LEAF);
	list_init(&q->list);
	waitq_init(&q->wait);
}

bool call_queue(struct supervisor *s, struct client *c, int sock, const struct msg_call *m,
		uint64_t cookie, pid_t pid)
{
	int fd = fcntl(sock, F_DUPFD_CLOEXEC, 0);
	struct call *call = fd < 0 ? NULL : plat_alloc(sizeof(*call));

	assert_thread(THREAD_CONTROL);
	VM_ASSERT((m->op == CALL_FORK) == (cookie != 0));
	assert_referenced(c);
	if (!call) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	client_ref(c);
	call->client = c;
	call->fd = fd;
	call->cookie = cookie;
	call->pid = pid;
	call->msg = *m;
	call_enqueue(m->op == CALL_EXEC ? &s->calls->execs : &s->calls->calls, call);
	return true;
}

static int call_keep(struct client *c, uint64_t start, uint64_t len)
{
	struct mm *mm = c->host.mm;
	int err;

	assert_thread(THREAD_CALL);
	adopt_areas(c, start, len);
	rw_wrlock(&mm->mmap_lock);
	err = mm_lock_locked(mm, start, start + len);
	if (!err)
		err = vma_change_flags(mm, start, start + len, VM_KEPT, 0);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

static int call_lock(struct client *c, uint64_t start, uint64_t len, bool lock)
{
	struct mm *mm = c->host.mm;
	int err;

	assert_thread(THREAD_CALL);
	if (lock)
		adopt_areas(c, start, len);
	rw_wrlock(&mm->mmap_lock);
	err = lock ? mm_lock_locked(mm, start, start + len)
		   : mm_unlock_locked(mm, start, start + len);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* The flags that an advice sets and clears. False: it is not one that the agent reports. */
static bool advice_flags(uint32_t advice, uint32_t *set, uint32_t *clear)
{
	static const struct {
		uint32_t advice, set, clear;
	} t[] = {
		{ MADV_DONTFORK, VM_DONTFORK, 0 },
		{ MADV_DOFORK, 0, VM_DONTFORK },
		{ MADV_WIPEONFORK, VM_WIPEONFORK, 0 },
		{ MADV_KEEPONFORK, 0, VM_WIPEONFORK },
		{ MADV_HUGEPAGE, VM_HUGEPAGE, VM_NOHUGEPAGE },
		{ MADV_NOHUGEPAGE, VM_NOHUGEPAGE, VM_HUGEPAGE },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		*set = t[i].set;
		*clear = t[i].clear;
		if (t[i].advice == advice)
			return true;
	}
	return false;
}

static int call_advice(struct client *c, uint64_t start, uint64_t len, uint32_t advice)
{
	struct mm *mm = c->host.mm;
	uint32_t set, clear;
	int err;

	assert_thread(THREAD_CALL);
	if (!advice_flags(advice, &set, &clear))
		return -EINVAL;
	adopt_areas(c, start, len);
	rw_wrlock(&mm->mmap_lock);
	err = vma_change_flags(mm, start, start + len, set, clear);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

static void call_remove(struct client *c, uint64_t start, uint64_t end)
{
	struct mm *mm = c->host.mm;

	assert_thread(THREAD_CALL);
	VM_ASSERT(start <= end);
	adopt_areas(c, start, end - start);
	for (uint64_t va = start; va < end;) {
		struct address_space *as = NULL;
		uint64_t first = 0, n = 0;
		const struct vma *v;

		rw_rdlock(&mm->mmap_lock);
		v = vma_next(mm, va);
		if (v && v->start > va)
			va = v->start;
		if (v && va < end && v->file) {
			as = v->file;
			file_get(as);
			first = vma_page_index(v, va);
			n = ((v->end < end ? v->end : end) - va) >> PAGE_SHIFT;
		}
		va = v ? v->end : end;
		rw_rdunlock(&mm->mmap_lock);
		if (as) {
			host_shared_discard(as, first, n);
			file_put(as);
		}
	}
}

static bool same_object(const struct proc_area *a, const struct proc_area *b)
{
	return b->shared && a->dev == b->dev && a->ino == b->ino && a->flags == b->flags;
}

/* remap_file_pages(2) maps the object of a range at other pages: find the object, and check that
 * the range has no other. The caller closes *@fd. */
static int call_shared_at(struct client *c, uint64_t start, uint64_t end, uint64_t *value, int *fd)
{
	struct address_space *as = NULL;
	struct proc_area first, next;
	uint64_t covered;
	const struct vma *v;
	int err;

	assert_thread(THREAD_CALL);
	VM_ASSERT(start <= end);
	if (proc_area_at(c->host.task, &c->maps_fd, start, &first) == 0 && first.start <= start &&
	    first.shared)
		as = host_shared_find(&c->s->mmu, first.dev, first.ino);
	if (!as)
		return -EOPNOTSUPP;
	covered = first.end;
	while (covered < end && proc_area_at(c->host.task, &c->maps_fd, covered, &next) == 0 &&
	       next.start == covered && same_object(&first, &next))
		covered = next.end;
	*value = (first.flags & VM_READ ? PROT_READ : 0) |
		 (first.flags & VM_WRITE ? PROT_WRITE : 0) |
		 (first.flags & VM_EXEC ? PROT_EXEC : 0);
	rw_rdlock(&c->host.mm->mmap_lock);
	v = vma_find(c->host.mm, start);
	if (v && v->flags & VM_LOCKED)
		*value |= SHARED_AT_LOCKED;
	rw_rdunlock(&c->host.mm->mmap_lock);
	err = covered < end ? -EINVAL : 0;
	if (!err && (*fd = fcntl(host_shared_fd(as), F_DUPFD_CLOEXEC, 0)) < 0)
		err = -errno;
	file_put(as);
	return err;
}

/* More than could ever be locked: refuse before looking anything up. Programs retry with a page
 * less, thousands of times. */
static bool lock_hopeless(const struct client *c, uint64_t len)
{
	const struct mem_cgroup *g = c->s->group;

	return (int64_t)(len >> PAGE_SHIFT) >
	       mlock_limit(a64_load(&g->memory.max), stat_read_local(g, STAT_UNMANAGED));
}

/* The kernel has acted on the areas of the range already, and it may extend beyond all of them. */
static bool is_done(uint32_t op)
{
	return op == CALL_FORK_ADVICE || op == CALL_HUGE_ADVICE || op == CALL_REMOVE ||
	       op == CALL_WILLNEED;
}

/* Is the descriptor of its reply a duplicate, to be closed? */
static bool lends(uint32_t op)
{
	return op == CALL_SHARED_AT || op == CALL_FILE_AT || op >= CALL_MEMFD;
}

/* *@fd: sent with the reply. The caller closes it where it lends. */
static int do_call(const struct call *call, struct msg_call_reply *r, int *fd)
{
	const struct msg_call *m = &call->msg;
	struct client *c = call->client;
	uint64_t len = m->len, end = proc_addresses_end();

	assert_thread(THREAD_CALL);
	assert_referenced(call->client);
	if (is_done(m->op) && m->start < end && len > end - m->start)
		len = end - m->start;
	if (call_has_range(m) && (m->start > end || len > end - m->start))
		return -EINVAL;
	switch (m->op) {
	case CALL_FORK:
		r->value = call->cookie;
		return fork_call(c, call->cookie);
	case CALL_MLOCK:
		if (lock_hopeless(c, len))
			return -ENOMEM;
		return call_lock(c, m->start, len, true);
	case CALL_KEEP:
		return lock_hopeless(c, len) ? -ENOMEM : call_keep(c, m->start, len);
	case CALL_PIPE:
		return pipes_put(c, m->start, len, (int)m->arg);
	case CALL_PIPE_ON:
		return pipes_pass_on(c, (int)m->start, (int)len);
	case CALL_MUNLOCK:
		return call_lock(c, m->start, len, false);
	case CALL_MLOCKALL:
		return m->start & MCL_CURRENT ? call_lock(c, PAGE_SIZE, end - 2 * PAGE_SIZE, true)
					      : 0;
	case CALL_MUNLOCKALL:
		return call_lock(c, PAGE_SIZE, end - 2 * PAGE_SIZE, false);
	case CALL_WILLNEED:
		fault_willneed(c->host.mm, m->start,
			       m->start + (len < WILLNEED_MAX ? len : WILLNEED_MAX));
		return 0;
	case CALL_ADOPT:
		return adopt_range(c, m->start, len);
	case CALL_EXEC:
		return starting_announce(c, call->pid, m->arg);
	case CALL_FORK_ADVICE:
	case CALL_HUGE_ADVICE:
		return call_advice(c, m->start, len, m->arg);
	case CALL_REMOVE:
		call_remove(c, m->start, m->start + len);
		return 0;
	case CALL_SHARED_AT:
		return call_shared_at(c, m->start, m->start + len, &r->value, fd);
	case CALL_FILE:
		return backed_map(c, call->pid, m);
	case CALL_FILE_AT:
		return backed_at(c, m->start, m->start + len, r, fd);
	case CALL_DOOR:
		*fd = control_door(c->s);
		return *fd < 0 ? *fd : 0;
	case CALL_SHARED:
		return len ? host_shared_create(&c->s->mmu, len >> PAGE_SHIFT, c->key, fd)
			   : -EINVAL;
	default:
		if (m->op >= CALL_MEMFD)
			return memfd_call(c, call->pid, m, fd);
		return segment_call(c, call->fd, m, r, fd);
	}
}

static struct call *next_call(struct call_queue *q)
{
	struct call *call = NULL;

	assert_thread(THREAD_CALL);
	spin_lock(&q->lock);
	if (!list_empty(&q->list)) {
		call = list_first(&q->list, struct call, link);
		list_del(&call->link);
	}
	spin_unlock(&q->lock);
	return call;
}

/* If the caller has gone, the end of its fork's connection thaws the client. */
static void reply_areas(const struct call *call)
{
	struct msg_areas m = { .h = { PROTO_MAGIC, MSG_AREAS, call->msg.h.seq } };

	assert_thread(THREAD_CALL);
	m.error = areas_call(call->client, call->msg.start, call->msg.arg, &m);
	(void)msg_send(call->fd, &m, sizeof(m), -1);
}

static void call_main(void *arg)
{
	struct call_queue *q = arg;

	thread_begin(THREAD_CALL);
	for (;;) {
		uint32_t ticket = waitq_prepare(&q->wait);
		struct call *call = next_call(q);
		struct msg_call_reply r;
		int fd = -1;

		if (!call) {
			if (a32_load(&q->s->stopping))
				return;
			waitq_sleep(&q->wait, ticket, -1);
			continue;
		}
		if (call->msg.op == CALL_AREAS) {
			reply_areas(call);
			close(call->fd);
			client_put(call->client);
			plat_free(call);
			continue;
		}
		r = (struct msg_call_reply){ .h = { PROTO_MAGIC, MSG_CALL_REPLY,
						    call->msg.h.seq } };
		r.error = do_call(call, &r, &fd);
		if (r.error == -EAGAIN && call->cookie) {
			plat_sleep_ns(TURN_NS);
			call_enqueue(q, call);
			continue;
		}
		/* If the control thread saw the end of the connection first, there was no fork to
		 * end yet. */
		if (msg_send(call->fd, &r, sizeof(r), fd) != 0 && call->cookie)
			fork_over(call->client, call->cookie);
		if (lends(call->msg.op) && fd >= 0)
			close(fd);
		close(call->fd);
		client_put(call->client);
		plat_free(call);
	}
}

int calls_init(struct supervisor *s)
{
	if (supervisor_part(&s->calls, sizeof(*s->calls)))
		return -ENOMEM;
	queue_init(&s->calls->calls, s);
	queue_init(&s->calls->execs, s);
	return 0;
}

int calls_start(struct supervisor *s)
{
	struct calls *c = s->calls;
	int err = 0;

	for (unsigned i = 0; !err && i < NR_CALL_THREADS; i++)
		err = plat_thread_start(&c->call_thread[i], "umemcg-call", call_main, &c->calls);
	for (unsigned i = 0; !err && i < NR_EXEC_THREADS; i++)
		err = plat_thread_start(&c->exec_thread[i], "umemcg-exec", call_main, &c->execs);
	return err;
}

void calls_stop(struct supervisor *s)
{
	struct calls *c = s->calls;

	assert_thread(THREAD_MAIN);
	VM_ASSERT(a32_peek(&s->stopping));
	waitq_wake(&c->calls.wait);
	waitq_wake(&c->execs.wait);
	for (unsigned i = 0; i < NR_CALL_THREADS; i++)
		plat_thread_join(&c->call_thread[i]);
	for (unsigned i = 0; i < NR_EXEC_THREADS; i++)
		plat_thread_join(&c->exec_thread[i]);
	spin_fini(&c->calls.lock);
	spin_fini(&c->execs.lock);
	plat_free(c);
	s->calls = NULL;
}

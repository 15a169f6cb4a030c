/* serve/session/call.c - requests of program threads, served by call threads because they may wait for reclaim.
 *
 * A fork may wait for as much as its parent has. An exec, which needs a few pages, has a queue and threads of its own: behind forks
 * it would wait as long as all of them.
 *
 * A fork in three steps. CALL_FORK: charge the child's pages ahead (the kernel doubles the parent's resident pages, and the limit must
 * hold at that instant), then keep reclaim away from the parent, then wait until what reclaim has under way there is
 * done. The fork event takes the charge for the child. The end of the connection is the end of the fork.
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
#include "serve/internal.h"

#define WILLNEED_MAX (1ull << 40)  /* bytes looked at, at most */
#define TURN_NS (500 * 1000)    /* between two looks whether it is a fork's turn */
#define QUIESCE_TRIES 20000  /* x 1 ms: a child cannot be followed when its parent's pages are on their way */
#define FORK_CHARGE_STEP 256 /* pages */
#define FORK_PATIENCE_NS 1000000000ull  /* for pages that are busy, and for others to end */
#define FORK_RETRY_NS 1000000

static void call_enqueue(struct call_queue *q, struct call *call)
{
	spin_lock(&q->lock);
	list_add_tail(&call->link, &q->list);
	spin_unlock(&q->lock);
	waitq_wake(&q->wait);
}

void call_queue_init(struct call_queue *q, struct supervisor *s)
{
	q->s = s;
	spin_init(&q->lock, RANK_LEAF);
	list_init(&q->list);
	waitq_init(&q->wait);
}

bool call_queue(struct supervisor *s, struct client *c, int sock, const struct msg_call *m, uint64_t cookie,
		pid_t pid)
{
	int fd = fcntl(sock, F_DUPFD_CLOEXEC, 0);
	struct call *call = fd < 0 ? NULL : plat_alloc(sizeof(*call));

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
	call_enqueue(m->op == CALL_EXEC ? &s->execs : &s->calls, call);
	return true;
}

static bool fork_announce(struct client *c, uint64_t cookie)
{
	bool mine;

	spin_lock(&c->fork_lock);
	mine = !a64_load(&c->fork_cookie);
	if (mine)
		a64_store(&c->fork_cookie, (int64_t)cookie);
	spin_unlock(&c->fork_lock);
	return mine;
}

/* False: the caller went away meanwhile, and its fork was declared over. */
static bool fork_prepared(struct client *c, uint64_t cookie, int64_t charged, int64_t unmanaged)
{
	bool mine;

	spin_lock(&c->fork_lock);
	mine = (uint64_t)a64_load(&c->fork_cookie) == cookie;
	if (mine) {
		c->fork_charged = charged;
		c->fork_unmanaged = unmanaged;
		c->fork_held = true;
	}
	spin_unlock(&c->fork_lock);
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

	while ((want = booked(c) + a64_load(&mm->unmanaged) - a64_load(&c->shared_pages) - n) > 0) {
		int err;

		if (want > FORK_CHARGE_STEP)
			want = FORK_CHARGE_STEP;
		err = charge_pages(&c->s->engine, c->s->group, mm, want, CHARGE_NOOOM);
		if (!err)
			n += want;
		else if (a32_load(&c->ended) || plat_now_ns() - start > FORK_PATIENCE_NS)
			break;
		else if (err == -ENOMEM)
			plat_sleep_ns(FORK_RETRY_NS);
	}
	return n;
}

static int call_fork(struct client *c, uint64_t cookie)
{
	struct mm *mm = c->host.mm;
	int64_t n, unmanaged;

	/* One fork at a time: the event that follows says nothing about which thread forked. Unannounced the child could
	 * never be managed, so its turn is waited for, in the queue, while others are served. */
	if (a32_load(&c->ended))
		return -EBUSY;
	if (!fork_announce(c, cookie))
		return -EAGAIN;
	n = charge_child(c);
	a32_add(&mm->held, 1);
	a32_add(&mm->no_reclaim, 1);
	for (int i = 0; i < QUIESCE_TRIES && !host_client_quiesce(&c->host) && !a32_load(&c->ended); i++)
		plat_sleep_ns(1000 * 1000);
	unmanaged = measure_for_fork(c);
	if (!fork_prepared(c, cookie, n, unmanaged)) {
		uncharge_pages(c->s->group, n);
		a32_add(&mm->no_reclaim, -1);
		a32_add(&mm->held, -1);
		return -ECONNRESET;
	}
	if (a32_load(&c->ended))
		call_fork_over(c, cookie);  /* it ended while we made room: nobody else will */
	return 0;
}

/* The caller of fork goes on as soon as its event is read: let what was read be applied. */
void call_events_applied(struct client *c)
{
	uint32_t turn = a32_load(&c->event_turn);

	while (turn & 1 && a32_load(&c->event_turn) == turn)
		plat_sleep_ns(50 * 1000);
}

void call_fork_over(struct client *c, uint64_t cookie)
{
	int64_t charged = 0;
	bool mine, held = false;

	call_events_applied(c);
	spin_lock(&c->fork_lock);
	mine = a64_load(&c->fork_cookie) && (!cookie || (uint64_t)a64_load(&c->fork_cookie) == cookie);
	if (mine) {
		charged = c->fork_charged;
		held = c->fork_held;
		a64_store(&c->fork_cookie, 0);
		c->fork_taken = false;
		c->fork_charged = 0;
		c->fork_held = false;
	}
	spin_unlock(&c->fork_lock);
	uncharge_pages(c->s->group, charged);  /* the fork failed, or had fewer pages */
	if (held) {
		a32_add(&c->host.mm->no_reclaim, -1);
		a32_add(&c->host.mm->held, -1);
	}
	if (mine)
		kswapd_wake(&c->s->engine);
}

/* The kernel knows the areas; ours are made at the first fault. */
static void make_areas(struct client *c, uint64_t start, uint64_t len)
{
	for (uint64_t va = start; va < start + len;) {
		struct proc_area a;

		if (proc_area_at(c->host.task, &c->maps_fd, va, &a) != 0 || va < a.start)
			break;
		/* What nobody can touch yet is no memory: reserved for a heap of malloc's, or a runtime's. */
		if ((a.manageable && a.flags) || a.shared)
			(void)adopt_at(c, va);
		va = a.end;
	}
}

static int call_keep(struct client *c, uint64_t start, uint64_t len)
{
	struct mm *mm = c->host.mm;
	int err;

	make_areas(c, start, len);
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

	if (lock)
		make_areas(c, start, len);
	rw_wrlock(&mm->mmap_lock);
	err = lock ? mm_lock_locked(mm, start, start + len) : mm_unlock_locked(mm, start, start + len);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* What an advice sets and clears. False: it is none of those that are told. */
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

	if (!advice_flags(advice, &set, &clear))
		return -EINVAL;
	make_areas(c, start, len);
	rw_wrlock(&mm->mmap_lock);
	err = vma_change_flags(mm, start, start + len, set, clear);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

static void call_remove(struct client *c, uint64_t start, uint64_t end)
{
	struct mm *mm = c->host.mm;

	for (uint64_t va = start; va < end;) {
		struct address_space *as = NULL;
		uint64_t first = 0, n = 0;
		const struct vma *v;

		rw_rdlock(&mm->mmap_lock);
		v = vma_index(mm, va) < mm->nr_vmas ? mm->vmas[vma_index(mm, va)] : NULL;
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

/* What remap_file_pages(2) asks of a range before it maps the object that is there at other pages. *@fd is the caller's to close. */
static int call_shared_at(struct client *c, uint64_t start, uint64_t end, uint64_t *value, int *fd)
{
	struct address_space *as = NULL;
	struct proc_area first, next;
	uint64_t covered;
	const struct vma *v;
	int err;

	if (proc_area_at(c->host.task, &c->maps_fd, start, &first) == 0 && first.start <= start && first.shared)
		as = host_shared_find(&c->s->mmu, first.dev, first.ino);
	if (!as)
		return -EOPNOTSUPP;
	covered = first.end;
	while (covered < end && proc_area_at(c->host.task, &c->maps_fd, covered, &next) == 0 && next.start == covered &&
	       same_object(&first, &next))
		covered = next.end;
	*value = (first.flags & VM_READ ? PROT_READ : 0) | (first.flags & VM_WRITE ? PROT_WRITE : 0) |
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

/* More than could ever be locked: refused before anything is looked up. Programs try again with a page less, thousands of times. */
static bool lock_hopeless(const struct client *c, uint64_t len)
{
	const struct mem_cgroup *g = c->s->group;

	return (int64_t)(len >> PAGE_SHIFT) >
	       mlock_limit(a64_load(&g->memory.max), stat_read_local(g, STAT_UNMANAGED));
}

/* The kernel has acted on the areas of the range already, and it may extend beyond all of them. */
static bool is_done(uint32_t op)
{
	return op == CALL_FORK_ADVICE || op == CALL_HUGE_ADVICE || op == CALL_REMOVE || op == CALL_WILLNEED;
}

/* *@fd: to go with the reply; to be closed by the caller for CALL_SHARED_AT and CALL_FILE_AT only. */
static int do_call(const struct call *call, struct msg_call_reply *r, int *fd)
{
	const struct msg_call *m = &call->msg;
	struct client *c = call->client;
	uint64_t len = m->len, end = proc_addresses_end();

	if (is_done(m->op) && m->start < end && len > end - m->start)
		len = end - m->start;
	if (call_has_range(m) && (m->start > end || len > end - m->start))
		return -EINVAL;
	switch (m->op) {
	case CALL_FORK:
		r->value = call->cookie;
		return call_fork(c, call->cookie);
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
		return m->start & MCL_CURRENT ? call_lock(c, PAGE_SIZE, end - 2 * PAGE_SIZE, true) : 0;
	case CALL_MUNLOCKALL:
		return call_lock(c, PAGE_SIZE, end - 2 * PAGE_SIZE, false);
	case CALL_WILLNEED:
		fault_willneed(c->host.mm, m->start, m->start + (len < WILLNEED_MAX ? len : WILLNEED_MAX));
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
	case CALL_SHARED:
		return host_shared_create(&c->s->mmu, len >> PAGE_SHIFT, c->key, fd);
	default:
		return segment_call(c, call->fd, m, r, fd);
	}
}

static struct call *next_call(struct call_queue *q)
{
	struct call *call = NULL;

	spin_lock(&q->lock);
	if (!list_empty(&q->list)) {
		call = list_first(&q->list, struct call, link);
		list_del(&call->link);
	}
	spin_unlock(&q->lock);
	return call;
}

void call_main(void *arg)
{
	struct call_queue *q = arg;

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
		r = (struct msg_call_reply){ .h = { PROTO_MAGIC, MSG_CALL_REPLY, call->msg.h.seq } };
		r.error = do_call(call, &r, &fd);
		if (r.error == -EAGAIN && call->cookie) {
			plat_sleep_ns(TURN_NS);
			call_enqueue(q, call);
			continue;
		}
		/* The control thread may have seen the end of the connection before there was a fork to end. */
		if (msg_send(call->fd, &r, sizeof(r), fd) != 0 && call->cookie)
			call_fork_over(call->client, call->cookie);
		if ((call->msg.op == CALL_SHARED_AT || call->msg.op == CALL_FILE_AT) && fd >= 0)
			close(fd);
		close(call->fd);
		client_put(call->client);
		plat_free(call);
	}
}

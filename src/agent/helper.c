/* agent/helper.c - the helper thread: moves pages to the staging area at the supervisor's request.
 *
 * It has its own root and working directory: the kernel does not let a task that shares them enter
 * another mount namespace (setns). Its working directory is the root, so that the program's is not
 * kept busy. libc does not know the thread: it shares the memory, but has its own descriptor table
 * (the program may close everything without harm), no thread-local storage of its own and all
 * signals blocked. It touches only the region, never memory that can be evicted: it would wait for
 * its own fault.
 *
 * I1  Staging page k is empty whenever an EVICT arrives: every EVICT is followed by a ZAP.
 * I2  Pages are moved only under maplock and while no fork is in progress, so a move finds the
 *     mappings that the supervisor meant.
 * I3  When the supervisor is gone or violates the protocol, the process is killed: its missing
 *     pages would read as zeros, or never arrive.
 */
#include <errno.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "agent/agent.h"
#include "agent/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* Linux 5.13; also newer than those headers */
struct continue_args {
	uint64_t start, len, mode;
	int64_t mapped;
};
#define CONTINUE_IOCTL _IOWR(UFFDIO, 0x07, struct continue_args)

/* Linux 5.7 */
#define REMAP_DONTUNMAP 4

#define LOCK_TRIES  64
#define STANDBY_MS  100 /* between two checks whether its process is over */
#define AGAIN_TRIES 8

struct helper {
	struct helper_setup setup;
	bool remapped; /* part of the staging area was filled by mremap */
	struct msg_evicted reply;
	union {
		struct msg_head head;
		struct msg_ready ready;
		struct msg_evict evict;
		struct msg_zap zap;
		struct msg_fill fill;
		struct msg_leave leave;
	} in;
};

_Static_assert(sizeof(struct helper) <= HELPER_BYTES / 4, "the rest is the helper's stack");

static _Noreturn void die(void)
{
	for (;;)
		sys_call2(SYS_kill, sys_getpid(), SIGKILL);
}

static _Noreturn void leave(void)
{
	for (;;)
		sys_call1(SYS_exit, 0);
}

/* Are these pages of one registered mapping, as all managed ones are? A program that maps memory
 * with its own system call instructions, and ld.so, which does so too, may have mapped something
 * else there since the supervisor asked: that content is not ours to move. The kernel checks the
 * registration first, and then refuses private memory (EINVAL): nothing happens. In shared memory
 * it may map a page that already exists. EAGAIN: the mappings are changing. 0 or -errno. */
static long registered(const struct helper *h, uint64_t src, uint64_t n)
{
	struct continue_args c = { .start = src,
				   .len = n * agent_page,
				   .mode = 1 /* do not wake */ };
	long err = sys_ioctl(h->setup.uffd, CONTINUE_IOCTL, &c);

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(n > 0 && src % agent_page == 0);
	if (err == -EAGAIN)
		return c.mapped > 0 ? 0 : err;
	return err == -ENOENT ? err : 0;
}

/* Move up to @n pages; returns the number moved, or -errno for the first page. */
static long move(struct helper *h, uint64_t src, unsigned int slot, uint64_t n)
{
	struct move_args m = {
		.dst = (uintptr_t)h->setup.staging + slot * agent_page,
		.src = src,
		.len = n * agent_page,
		.mode = MOVE_MODE_DONTWAKE,
	};
	long err;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (h->setup.staging_uffd < 0)
		return -EINVAL; /* before Linux 6.8: everything goes by mremap */
	err = sys_ioctl(h->setup.staging_uffd, MOVE_IOCTL, &m);
	if (!err)
		return (long)n;
	return m.moved > 0 ? (long)((uint64_t)m.moved / agent_page) : err;
}

/* Restore a part of the staging area: what was remapped there is a different mapping. */
static long renew_staging(const struct helper *h, unsigned int slot, uint64_t n)
{
	char *start = h->setup.staging + slot * agent_page;
	const size_t len = n * agent_page;
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)start, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	long err = sys_mmap(start, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (err < 0)
		return err;
	/* Pages do not move between a locked mapping and an unlocked one. */
	if (__atomic_load_n(&agent->lock_future, __ATOMIC_RELAXED))
		sys_call2(SYS_munlock, start, len);
	sys_madvise(start, len, MADV_DONTFORK);
	sys_madvise(start, len, MADV_NOHUGEPAGE);
	return h->setup.staging_uffd < 0 ? 0
					 : sys_ioctl(h->setup.staging_uffd, UFFDIO_REGISTER, &reg);
}

/* UFFDIO_MOVE (Linux 6.8) takes pages of writable mappings only. Others (read-only, no access) go
 * by mremap, which leaves the mapping in place, empty and registered, and never makes it writable,
 * even briefly. The remapped range is unregistered from the program's userfaultfd, so that a page
 * that was missing reads as zeros, and made readable. 0 or -errno.
 *
 * By now the range may be shared memory, which mremap would take too. Its pages are not the
 * program's own: reading a hole would fill it for every user. Only private anonymous mappings can
 * be wiped on fork. What is refused leaves the staging area at once; the pages remain in their
 * object. */
static long remap(struct helper *h, uint64_t src, unsigned int slot, uint64_t n)
{
	char *dst = h->setup.staging + slot * agent_page;
	struct uffdio_range range = { .start = (uintptr_t)dst, .len = n * agent_page };
	long got = sys_call5(SYS_mremap, src, range.len, range.len,
			     MREMAP_MAYMOVE | MREMAP_FIXED | REMAP_DONTUNMAP, dst);
	long err;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (got != (long)(uintptr_t)dst)
		return got < 0 ? got : -EINVAL;
	sys_ioctl(h->setup.uffd, UFFDIO_UNREGISTER, &range);
	if (sys_madvise(dst, range.len, MADV_WIPEONFORK) < 0) {
		if (renew_staging(h, slot, n) < 0)
			die();
		return -EINVAL;
	}
	h->remapped = true;
	sys_madvise(dst, range.len, MADV_DONTFORK);
	err = sys_call3(SYS_mprotect, dst, range.len, PROT_READ | PROT_WRITE);
	huge_split(dst, range.len);
	return err;
}

/* Find why the single page at @src was not moved; retry once where that can help. */
static uint8_t move_failed(struct helper *h, uint64_t src, unsigned int slot, long err)
{
	int i;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(err < 0);
	/* Shared with a forked child, or pinned: copying the page resolves only the former. */
	if (err == -EBUSY) {
		huge_split((void *)src, agent_page);
		if (!sys_madvise((void *)src, agent_page, MADV_POPULATE_WRITE))
			err = move(h, src, slot, 1);
	}
	/* EINTR: the process is being stopped or continued. */
	for (i = 0; (err == -EAGAIN || err == -EINTR) && i < AGAIN_TRIES; i++) {
		sys_call0(SYS_sched_yield);
		err = move(h, src, slot, 1);
	}
	switch (err) {
	case 1:
		return EVICT_MOVED;
	case -ENOENT:
		return EVICT_GONE;
	case -EBUSY:
		return EVICT_PINNED;
	case -EAGAIN:
	case -EINTR:
	case -ENOMEM:
		return EVICT_BUSY;
	default:
		return EVICT_REFUSED;
	}
}

/* Move one range. Both ways refuse a range that spans mappings of different kinds as a whole, so
 * ask for half until the part before the seam goes through. */
static void evict_range(struct helper *h, uint64_t src, unsigned int slot, uint64_t npages)
{
	uint8_t *status = h->reply.status + slot;
	uint64_t i = 0, n = npages;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(npages > 0 && slot + npages <= EVICT_PAGES_MAX);
	while (i < npages) {
		long moved = registered(h, src + i * agent_page, n);

		if (moved == -ENOENT && n > 1) {
			n /= 2;
			continue;
		}
		if (moved) {
			status[i++] = EVICT_BUSY;
			n = npages - i;
			continue;
		}
		moved = move(h, src + i * agent_page, slot + (unsigned int)i, n);
		if (moved > 0) {
			for (; moved; moved--)
				status[i++] = EVICT_MOVED;
		} else if (moved == -EINVAL &&
			   !remap(h, src + i * agent_page, slot + (unsigned int)i, n)) {
			for (; n; n--)
				status[i++] = EVICT_MOVED;
		} else if (moved == -EINVAL && n > 1) {
			n /= 2;
			continue;
		} else {
			status[i] =
				move_failed(h, src + i * agent_page, slot + (unsigned int)i, moved);
			i++;
		}
		n = npages - i;
	}
}

/* The same without the records of living threads and without held pages. */
static void evict_movable(struct helper *h, uint64_t src, unsigned int slot, uint64_t npages)
{
	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + npages <= EVICT_PAGES_MAX);
	while (npages) {
		uint64_t n = hold_movable(src, thread_movable(src, npages));

		if (n) {
			evict_range(h, src, slot, n);
		} else {
			h->reply.status[slot] = EVICT_PINNED;
			n = 1;
		}
		src += n * agent_page;
		slot += (unsigned int)n;
		npages -= n;
	}
}

bool lock_for_moving(void)
{
	int i;

	AGENT_ASSERT(sys_signals_blocked());
	for (i = 0; i < LOCK_TRIES; i++) {
		if (maplock_trylock()) {
			if (!__atomic_load_n(&agent->forking, __ATOMIC_ACQUIRE))
				return true;
			maplock_unlock();
		}
		sys_call0(SYS_sched_yield);
	}
	if (maplock_inherit()) {
		if (!__atomic_load_n(&agent->forking, __ATOMIC_ACQUIRE))
			return true;
		maplock_unlock();
	}
	return false;
}

static uint32_t evict_pages(const struct msg_evict *m, int size)
{
	uint64_t pages = 0;
	uint32_t i;

	if (size < (int)offsetof(struct msg_evict, range) || m->n > EVICT_PAGES_MAX ||
	    (size_t)size != offsetof(struct msg_evict, range) + m->n * sizeof m->range[0])
		die();
	for (i = 0; i < m->n; i++) {
		if (m->range[i].start % agent_page || m->range[i].npages > EVICT_PAGES_MAX)
			die();
		pages += m->range[i].npages;
	}
	if (pages > EVICT_PAGES_MAX)
		die();
	return (uint32_t)pages;
}

static void evict(struct helper *h, int size)
{
	const struct msg_evict *m = &h->in.evict;
	uint32_t i, slot = 0, pages = evict_pages(m, size);

	for (i = 0; i < pages; i++)
		h->reply.status[i] = EVICT_BUSY;
	if (lock_for_moving()) {
		for (i = 0; i < m->n; i++) {
			evict_movable(h, m->range[i].start, slot, m->range[i].npages);
			slot += (uint32_t)m->range[i].npages;
		}
		maplock_unlock_moved();
	}
	msg_init(&h->reply.h, MSG_EVICTED, m->h.seq);
	h->reply.n = pages;
	if (channel_send(h->setup.channel, &h->reply, offsetof(struct msg_evicted, status) + pages,
			 -1) < 0)
		die();
}

static void fill(struct helper *h, int size)
{
	const struct msg_fill *m = &h->in.fill;

	if (size != sizeof *m || m->start % HUGE_BYTES)
		die();
	/* Without a staging userfaultfd the kernel cannot move. */
	h->reply.status[0] =
		h->setup.staging_uffd < 0 ? EVICT_REFUSED : huge_fill(h->setup.uffd, m->start);
	h->reply.n = 1;
	msg_init(&h->reply.h, MSG_EVICTED, m->h.seq);
	if (channel_send(h->setup.channel, &h->reply, offsetof(struct msg_evicted, status) + 1,
			 -1) < 0)
		die();
}

static void zap(struct helper *h, int size)
{
	const struct msg_zap *m = &h->in.zap;

	if (size != sizeof *m || m->n > EVICT_PAGES_MAX)
		die();
	if (h->remapped) {
		if (renew_staging(h, 0, EVICT_PAGES_MAX) < 0)
			die();
		h->remapped = false;
		return;
	}
	/* mlockall may be walking the region. */
	if (m->n && h->setup.staging_uffd >= 0 &&
	    sys_madvise(h->setup.staging, m->n * agent_page, MADV_DONTNEED_LOCKED) < 0)
		die();
}

static void close_range_or_each(unsigned int first, unsigned int last)
{
	struct rlimit64 limit = { .rlim_cur = 1024 };

	if (first > last || !sys_call3(SYS_close_range, first, last, 0))
		return;
	sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
	if (last >= limit.rlim_cur)
		last = (unsigned int)limit.rlim_cur - 1;
	for (; first <= last; first++)
		sys_close((int)first);
}

/* Close the descriptors copied from the program's table, except our own. The copy of the
 * userfaultfd stays open for the helper's life: as long as one is open, a page missing because the
 * supervisor died stays missing and never reads as zeros. */
static void close_others(const struct helper_setup *s)
{
	int keep[3] = { s->channel, s->uffd, s->staging_uffd };
	unsigned int first = 0;
	int i, j, t;

	for (i = 0; i < 3; i++) {
		for (j = i + 1; j < 3; j++) {
			if (keep[j] < keep[i]) {
				t = keep[i];
				keep[i] = keep[j];
				keep[j] = t;
			}
		}
		if (keep[i] < 0)
			continue;
		if (keep[i] > 0)
			close_range_or_each(first, (unsigned int)keep[i] - 1);
		first = (unsigned int)keep[i] + 1;
	}
	close_range_or_each(first, ~0u);
}

/* The program's thread only peeked at READY: taking it here gives this table its own copy of the
 * child's userfaultfd. */
static void take_ready(struct helper *h)
{
	int uffd;
	int n = channel_recv(h->setup.channel, &h->in, sizeof h->in, 0, &uffd);

	if (n != sizeof h->in.ready || !msg_is(&h->in.head, MSG_READY))
		die();
	if (uffd >= 0)
		h->setup.uffd = uffd;
}

/* A standby's process is over when its last other thread has ended; the standby must not keep
 * it. */
static int next_message(struct helper *h)
{
	int n;

	if (!h->setup.standby)
		return channel_recv(h->setup.channel, &h->in, sizeof h->in, 0, NULL);
	while ((n = channel_recv_timed(h->setup.channel, &h->in, sizeof h->in, 0, NULL,
				       STANDBY_MS)) == -ETIMEDOUT)
		standby_leave_if_last();
	return n;
}

static void run(void *arg)
{
	struct helper *h = arg;
	struct helper_state *state = h->setup.state;
	uint32_t order;
	int n;

	sys_call2(SYS_prctl, PR_SET_NAME, HELPER_NAME);
	sys_call1(SYS_chdir, "/");
	close_others(&h->setup);
	__atomic_store_n(&state->clean, 1, __ATOMIC_RELEASE);
	sys_futex_wake(&state->clean, 1);
	while ((order = __atomic_load_n(&state->order, __ATOMIC_ACQUIRE)) == HELPER_WAIT)
		sys_futex_wait(&state->order, HELPER_WAIT);
	if (order == HELPER_LEAVE)
		leave();
	take_ready(h);
	msg_init(&h->reply.h, MSG_STARTED, 0);
	if (channel_send(h->setup.channel, &h->reply.h, sizeof(struct msg_started), -1) < 0)
		die();
	for (;;) {
		n = next_message(h);
		if (n < (int)sizeof h->in.head)
			die();
		if (msg_is(&h->in.head, MSG_EVICT))
			evict(h, n);
		else if (msg_is(&h->in.head, MSG_ZAP))
			zap(h, n);
		else if (msg_is(&h->in.head, MSG_FILL))
			fill(h, n);
		else if (msg_is(&h->in.head, MSG_LEAVE) && n == sizeof h->in.leave)
			helper_end_process(h->in.leave.status);
		else
			die();
	}
}

/* A debugger that follows the program's threads would also stop the helper, at worst at each of its
 * system calls, and wait for what only the helper can free. But where a seccomp filter leaves calls
 * to the tracer, they fail without one. */
static unsigned long untraced(void)
{
	return sys_call1(SYS_prctl, PR_GET_SECCOMP) == 0 ? CLONE_UNTRACED : 0;
}

/* Start the helper in @area (HELPER_BYTES): its thread id, or -errno. It waits for helper_order().
 * Descriptors are copied here, so the caller may close its own at once. */
int helper_start(void *area, const struct helper_setup *setup)
{
	const unsigned long flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | untraced();
	struct helper *h = area;
	uint64_t mask;
	long tid;

	AGENT_ASSERT(setup->channel >= 0 && setup->staging && setup->state);
	h->setup = *setup;
	setup->state->clean = 0;
	setup->state->order = HELPER_WAIT;
	sys_block_signals(&mask);
	tid = sys_clone_thread(flags, (void **)((char *)area + HELPER_BYTES), &setup->state->tid,
			       run, h);
	sys_restore_signals(&mask);
	return (int)tid;
}

/* Let the helper work, or make it leave and wait until it has. Either way it no longer holds any of
 * the program's descriptors. */
void helper_order(struct helper_state *state, uint32_t order)
{
	uint32_t tid;

	AGENT_ASSERT(order != HELPER_WAIT);
	while (!__atomic_load_n(&state->clean, __ATOMIC_ACQUIRE))
		sys_futex_wait(&state->clean, 0);
	__atomic_store_n(&state->order, order, __ATOMIC_RELEASE);
	sys_futex_wake(&state->order, 1);
	if (order != HELPER_LEAVE)
		return;
	while ((tid = __atomic_load_n(&state->tid, __ATOMIC_ACQUIRE)))
		sys_futex_wait_shared(&state->tid, tid);
}

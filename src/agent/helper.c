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
 *     mappings that the supervisor meant (evict.c).
 * I3  When the supervisor is gone or violates the protocol, the process is killed: its missing
 *     pages would read as zeros, or never arrive.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "agent/evict.h"
#include "agent/fork.h"
#include "agent/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define STANDBY_MS 100 /* between two checks whether its process is over */

_Static_assert(sizeof(struct helper) <= HELPER_BYTES / 4, "the rest is the helper's stack");

_Noreturn void helper_die(void)
{
	for (;;)
		sys_call2(SYS_kill, sys_getpid(), SIGKILL);
}

static _Noreturn void leave(void)
{
	for (;;)
		sys_call1(SYS_exit, 0);
}

static uint32_t evict_pages(const struct msg_evict *m, int size)
{
	uint64_t pages = 0;
	uint32_t i;

	if (size < (int)offsetof(struct msg_evict, range) || m->n > EVICT_PAGES_MAX ||
	    (size_t)size != offsetof(struct msg_evict, range) + m->n * sizeof m->range[0])
		helper_die();
	for (i = 0; i < m->n; i++) {
		if (m->range[i].start % agent_page || m->range[i].npages > EVICT_PAGES_MAX)
			helper_die();
		pages += m->range[i].npages;
	}
	if (pages > EVICT_PAGES_MAX)
		helper_die();
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
		helper_die();
}

static void fill(struct helper *h, int size)
{
	const struct msg_fill *m = &h->in.fill;

	if (size != sizeof *m || m->start % HUGE_BYTES)
		helper_die();
	/* Without a staging userfaultfd the kernel cannot move. */
	h->reply.status[0] =
		h->setup.staging_uffd < 0 ? EVICT_REFUSED : huge_fill(h->setup.uffd, m->start);
	h->reply.n = 1;
	msg_init(&h->reply.h, MSG_EVICTED, m->h.seq);
	if (channel_send(h->setup.channel, &h->reply, offsetof(struct msg_evicted, status) + 1,
			 -1) < 0)
		helper_die();
}

static void guard(const struct helper *h, int size)
{
	const struct msg_guard *m = &h->in.guard;

	if (size < (int)offsetof(struct msg_guard, range) || m->n > EVICT_PAGES_MAX ||
	    (size_t)size != offsetof(struct msg_guard, range) + m->n * sizeof m->range[0])
		helper_die();
	__atomic_store_n(&agent->guarded, 1, __ATOMIC_RELEASE);
	guard_ranges(m->range, m->n, MADV_DONTFORK);
}

static void zap(struct helper *h, int size)
{
	const struct msg_zap *m = &h->in.zap;

	if (size != sizeof *m || m->n > EVICT_PAGES_MAX)
		helper_die();
	if (h->remapped) {
		if (evict_renew_staging(h, 0, EVICT_PAGES_MAX) < 0)
			helper_die();
		h->remapped = false;
		return;
	}
	/* mlockall may be walking the region. */
	if (m->n && h->setup.staging_uffd >= 0 &&
	    sys_madvise(h->setup.staging, m->n * agent_page, MADV_DONTNEED_LOCKED) < 0)
		helper_die();
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
		helper_die();
	if (uffd >= 0)
		h->setup.uffd = uffd;
}

static void say_started(const struct helper *h)
{
	struct msg_started m = { .helper_tid = (uint32_t)sys_call0(SYS_gettid) };

	msg_init(&m.h, MSG_STARTED, 0);
	if (channel_send(h->setup.channel, &m, sizeof m, -1) < 0)
		helper_die();
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
	say_started(h);
	for (;;) {
		n = next_message(h);
		if (n < (int)sizeof h->in.head)
			helper_die();
		if (msg_is(&h->in.head, MSG_EVICT))
			evict(h, n);
		else if (msg_is(&h->in.head, MSG_ZAP))
			zap(h, n);
		else if (msg_is(&h->in.head, MSG_GUARD))
			guard(h, n);
		else if (msg_is(&h->in.head, MSG_FILL))
			fill(h, n);
		else if (msg_is(&h->in.head, MSG_RETIRE))
			leave();
		else if (msg_is(&h->in.head, MSG_LEAVE) && n == sizeof h->in.leave)
			helper_end_process(h->in.leave.status);
		else
			helper_die();
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
	const unsigned long flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_PARENT_SETTID |
				    CLONE_CHILD_CLEARTID | untraced();
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

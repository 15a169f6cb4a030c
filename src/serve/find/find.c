/* serve/find/find.c - finds the processes of the program that did not introduce themselves, and
 * classifies them.
 *
 * Sources: the kernel reports forks and execs (listen.c), walk.c searches for them. The class
 * follows from what the kernel knows, without a guess:
 *
 *     it has executed a program itself             own memory, unmanaged: measured
 *     it has not, and shares a client's memory     part of that client (vfork, CLONE_VM)
 *     ... and has the mark of a client (mark.c)    that client: a fork child that says no HELLO;
 *                                                  or part of it, while another takes over
 *     ... and its parent is just forking           asked again: it may say HELLO (mode kernel)
 *     ... and no client is unidentified            a fork of an unmanaged process: measured
 *     ... and one is                               asked again for UNSURE_NS, then measured: its
 *                                                  pages may count twice, but are never missed
 *
 * Only the first can be decided without waiting. Comparing or reading address spaces takes locks
 * that their processes hold across an exec or a fork, and on a busy machine those may wait for a
 * CPU with the locks held. So the find thread decides what it can at once and leaves the rest to
 * askers, one of which may wait while the others go on. The watcher, which measures, does neither.
 *
 * Locks: find->lock, rank LEAF: the lists. A busy entry belongs to the asker that made it busy.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/client/lineage.h"
#include "serve/find/parts.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"

#define TICK_NS    (10 * 1000000ull)
#define UNSURE_NS  (60 * 1000000ull)
#define LATE_NS    (100 * 1000000ull)
#define SHARING_NS (50 * 1000000ull)
#define FRESH_MAX  64 /* at once */

static bool process_over(pid_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	bool over = p.fd < 0 || poll(&p, 1, 0) == 1;

	if (p.fd >= 0)
		close(p.fd);
	return over;
}

static void ask(struct find *f, pid_t pid, bool stranger, uint64_t told_ns)
{
	bool fresh;

	spin_lock(&f->lock);
	fresh = seen_add(f, &f->pending, pid, stranger, told_ns);
	spin_unlock(&f->lock);
	if (fresh)
		waitq_wake(&f->ask_wait);
}

void find_ask(struct find *f, pid_t pid, bool stranger)
{
	VM_ASSERT(pid > 0);
	ask(f, pid, stranger, plat_now_ns());
}

void find_took(struct find *f, uint64_t since_ns)
{
	uint64_t now = plat_now_ns(), took = now > since_ns ? now - since_ns : 0;
	atomic64_t *most = &f->s->found_late_ns;
	int64_t before;

	VM_ASSERT(since_ns);
	if (took <= LATE_NS)
		return;
	a64_add(&f->s->found_late_total, 1);
	do
		before = a64_load(most);
	while ((int64_t)took > before && !a64_cas(most, before, (int64_t)took));
}

static void note_sharing(struct find *f, pid_t pid)
{
	bool fresh;

	assert_thread(THREAD_ASKER);
	spin_lock(&f->lock);
	fresh = seen_add(f, &f->sharing, pid, false, 0);
	spin_unlock(&f->lock);
	if (fresh)
		census_shared(f->s, pid);
}

/* Iterate over processes that share memory; 0: no more. Those that are gone or have executed a
 * program share none. */
static pid_t next_sharing(struct find *f, unsigned *i)
{
	pid_t pid = 0;

	assert_thread(THREAD_FIND);
	spin_lock(&f->lock);
	if (*i < f->sharing.n)
		pid = f->sharing.e[(*i)++].pid;
	spin_unlock(&f->lock);
	return pid;
}

static void forget_sharing(struct find *f, pid_t pid)
{
	struct seen *e;

	assert_thread(THREAD_FIND);
	spin_lock(&f->lock);
	e = seen_find(f, &f->sharing, pid);
	if (e)
		seen_drop(f, &f->sharing, e);
	spin_unlock(&f->lock);
}

/* Does @pid already have a client that is still its own? */
static bool has_client(struct supervisor *s, pid_t pid)
{
	struct client *c = client_managed(s, pid);
	bool yes = c && !client_left(c);

	if (c)
		client_put(c);
	if (yes)
		return true;
	c = client_unmanaged(s, pid);
	if (c)
		client_put(c);
	return c != NULL;
}

/* It is exiting while a client still holds its memory: freeing that takes time, and some of its
 * threads may still exist. Measured as an unknown process, it would be charged twice and named as
 * not managed. */
static bool ends_as_client(struct supervisor *s, pid_t pid, const struct proc_stat *st)
{
	struct client *c = st->flags & PROC_ENDING ? client_closed(s, pid) : NULL;
	bool yes = c && !uffd_dead(c->host.uffd);

	if (c)
		client_put(c);
	return yes;
}

/* True: it is classified. */
static bool tell(struct find *f, pid_t pid)
{
	struct proc_stat st;

	VM_ASSERT(thread_is(THREAD_FIND | THREAD_ASKER));
	if (!proc_stat(pid, &st) || has_client(f->s, pid) || proc_over(pid, &st) ||
	    ends_as_client(f->s, pid, &st))
		return true;
	if (st.flags & PROC_FORKED)
		return false;
	starting_found(f->s, pid);
	return true;
}

static bool is_own(const struct supervisor *s, pid_t pid)
{
	return pid == getpid() || (s->keeper && pid == s->keeper->pid) || !a32_load(&s->root_pid);
}

static void meet(struct find *f, pid_t pid, uint64_t since_ns)
{
	assert_thread(THREAD_FIND);
	if (is_own(f->s, pid))
		return;
	lineage_add(f->s, pid);
	if (tell(f, pid))
		find_took(f, since_ns);
	else
		ask(f, pid, false, since_ns);
}

void find_met(pid_t pid, pid_t parent, void *find)
{
	assert_thread(THREAD_FIND);
	VM_ASSERT(pid > 0);
	(void)parent;
	meet(find, pid, plat_now_ns());
}

/* ---- what must be asked ---- */

static bool same_sizes(pid_t a, pid_t b)
{
	struct proc_sizes x, y;

	return proc_sizes(a, &x) && proc_sizes(b, &y) && !memcmp(&x, &y, sizeof(x));
}

/* Sizes first: they are read without a lock and are equal if the address space is the same. Twice,
 * as it may be growing. */
static bool shares_with(pid_t pid, pid_t other)
{
	return (same_sizes(pid, other) || same_sizes(pid, other)) && proc_shares_memory(pid, other);
}

static bool shares_memory(struct supervisor *s, pid_t pid, pid_t parent)
{
	struct client *c = NULL;

	assert_thread(THREAD_ASKER);
	if (parent > 0 && parent != getpid() && shares_with(pid, parent))
		return true;
	/* Its parent is gone or shares no memory itself: a child of CLONE_VM may outlive all
	 * others. */
	while ((c = client_next(s, c)))
		if (c->host.pid && shares_with(pid, c->host.pid)) {
			client_put(c);
			return true;
		}
	return false;
}

/* The same without the sizes, which differ if it grows between the two reads. */
static bool shares_for_sure(struct supervisor *s, pid_t pid)
{
	struct client *c = NULL;

	assert_thread(THREAD_ASKER);
	while ((c = client_next(s, c)))
		if (c->host.pid && c->host.pid != pid && proc_shares_memory(pid, c->host.pid)) {
			client_put(c);
			return true;
		}
	return false;
}

/* @pid turned out to be the process of @c. */
static void give_pid(struct client *c, pid_t pid)
{
	assert_thread(THREAD_ASKER);
	assert_referenced(c);
	client_set_pid(c, pid);
	client_entered(c); /* nothing can be reclaimed from it: no privilege for that */
	/* Its memory could not be followed, or the OOM killer chose it before it had a pid. */
	if (a32_load(&c->host.dead) || a32_load(&c->host.mm->dying))
		client_kill(c, SIGKILL);
}

/* True: it is classified now. */
static bool identify(struct find *f, pid_t pid, uint64_t since_ns)
{
	struct supervisor *s = f->s;
	struct proc_stat st;
	struct client *c;
	bool unsure;

	assert_thread(THREAD_ASKER);
	VM_ASSERT(pid > 0);
	if (tell(f, pid) || !proc_stat(pid, &st))
		return true;
	if (shares_memory(s, pid, st.parent)) {
		note_sharing(f, pid);
		return true;
	}
	c = mark_find(s, pid, st.parent, since_ns, &unsure);
	if (c) {
		if (c->host.pid && c->host.pid != pid)
			note_sharing(f, pid);
		else
			give_pid(c, pid);
		client_put(c);
		return true;
	}
	if (unsure && plat_now_ns() - since_ns < UNSURE_NS)
		return false;
	if (past_may_speak(s, st.parent))
		return false;
	if (shares_for_sure(s, pid)) {
		note_sharing(f, pid);
		return true;
	}
	/* It may have said HELLO or executed a program in the meantime. */
	if (!tell(f, pid) && !process_over(pid)) {
		past_tell(s, pid, st.parent);
		starting_found(s, pid);
	}
	return true;
}

/* ---- askers ---- */

/* False: none is due now; *@more: but one will be later. */
static bool take_pending(struct find *f, struct seen *out, bool *more)
{
	uint64_t now = plat_now_ns();
	bool found = false;

	assert_thread(THREAD_ASKER);
	*more = false;
	spin_lock(&f->lock);
	for (unsigned i = 0; i < f->pending.n && !found; i++) {
		struct seen *e = &f->pending.e[i];

		*more |= !e->busy;
		if (e->busy || e->due_ns > now)
			continue;
		e->busy = found = true;
		*out = *e;
	}
	spin_unlock(&f->lock);
	return found;
}

/* Unless @done, it is asked again: what it is, since it is the program's. */
static void put_back(struct find *f, pid_t pid, bool done)
{
	struct seen *e;

	assert_thread(THREAD_ASKER);
	spin_lock(&f->lock);
	e = seen_find(f, &f->pending, pid);
	VM_BUG_ON(!e || !e->busy);
	if (done) {
		seen_drop(f, &f->pending, e);
	} else {
		e->due_ns = e->stranger ? 0 : plat_now_ns() + TICK_NS;
		e->busy = e->stranger = false;
	}
	spin_unlock(&f->lock);
}

static void asker_main(void *arg)
{
	struct find *f = arg;

	thread_begin(THREAD_ASKER);
	thread_hurry();
	while (!a32_load(&f->s->stopping)) {
		uint32_t ticket = waitq_prepare(&f->ask_wait);
		struct seen e;
		bool more;

		if (!take_pending(f, &e, &more)) {
			waitq_sleep(&f->ask_wait, ticket, more ? (int64_t)TICK_NS : -1);
			continue;
		}
		if (!e.stranger) {
			bool done = identify(f, e.pid, e.since_ns);

			if (done)
				find_took(f, e.told_ns);
			put_back(f, e.pid, done);
		} else {
			bool ours = walk_is_ours(f->s, e.pid);

			if (ours)
				lineage_add(f->s, e.pid);
			put_back(f, e.pid, !ours);
		}
	}
}

/* ---- the find thread ---- */

static void look_at_fresh(struct find *f, bool *lost)
{
	struct fresh fresh[FRESH_MAX];
	unsigned n;
	bool more;

	assert_thread(THREAD_FIND);
	*lost = false;
	do {
		n = lineage_take(f->s, fresh, FRESH_MAX, &more);
		*lost |= more;
		for (unsigned i = 0; i < n; i++)
			meet(f, fresh[i].pid, fresh[i].since_ns);
	} while (n == FRESH_MAX);
}

/* The owner of the memory may be gone: ask again from time to time. */
static void look_at_sharing(struct find *f)
{
	uint64_t now = plat_now_ns();
	bool again = now >= f->next_sharing_ns;
	struct proc_stat st;
	unsigned i = 0;
	pid_t pid;

	assert_thread(THREAD_FIND);
	while ((pid = next_sharing(f, &i)))
		if (!proc_stat(pid, &st) || !(st.flags & PROC_FORKED) || proc_over(pid, &st)) {
			forget_sharing(f, pid);
			(void)tell(f, pid);
		} else if (again) {
			find_ask(f, pid, false);
		}
	if (again)
		f->next_sharing_ns = now + SHARING_NS;
}

static void find_main(void *arg)
{
	struct find *f = arg;
	uint64_t next_tick = 0;

	thread_begin(THREAD_FIND);
	thread_hurry();
	while (!a32_load(&f->s->stopping)) {
		uint32_t ticket = waitq_prepare(&f->s->wake.find);
		uint64_t now = plat_now_ns();
		bool due = now >= next_tick, lost;

		look_at_fresh(f, &lost);
		if (due) {
			look_at_sharing(f);
			next_tick = now + TICK_NS;
		}
		walk_if_due(f, due, lost);
		waitq_sleep(&f->s->wake.find, ticket, (int64_t)TICK_NS);
	}
}

int find_init(struct supervisor *s)
{
	struct find *f;

	if (supervisor_part(&s->find, sizeof(*f)))
		return -ENOMEM;
	f = s->find;
	f->s = s;
	f->sock = -1;
	spin_init_urgent(&f->lock, RANK_LEAF);
	waitq_init(&f->ask_wait);
	return 0;
}

int find_start(struct supervisor *s)
{
	struct find *f = s->find;
	int err = listen_start(f);

	assert_thread(THREAD_MAIN);
	if (!err)
		err = plat_thread_start(&f->thread, "umemcg-find", find_main, f);
	for (unsigned i = 0; !err && i < NR_ASKERS; i++)
		err = plat_thread_start(&f->asker[i], "umemcg-asker", asker_main, f);
	return err;
}

void find_stop(struct supervisor *s)
{
	struct find *f = s->find;

	assert_thread(THREAD_MAIN);
	VM_ASSERT(a32_peek(&f->s->stopping));
	find_wake(s);
	waitq_wake(&f->ask_wait);
	plat_thread_join(&f->thread);
	for (unsigned i = 0; i < NR_ASKERS; i++)
		plat_thread_join(&f->asker[i]);
	listen_stop(f);
	plat_free(f->pending.e);
	plat_free(f->sharing.e);
	walk_end(f);
	spin_fini(&f->lock);
	plat_free(f);
	s->find = NULL;
}

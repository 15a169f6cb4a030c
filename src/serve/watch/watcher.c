/* serve/watch/watcher.c - the watcher thread: measures unmanaged RSS, gives up on processes that
 * say no HELLO, and notices ends that no channel reports.
 *
 * It looks every TICK_NS. Clients that may be growing fast - young ones, those that have just
 * grown, unmanaged ones, running ones - are measured more often while the group is so full that the
 * rest of the limit could be used up within a tick; for at most 1 / SHARE of its time. Making room
 * takes longer, so the settler does that.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mm/lru.h"
#include "mm/reclaim.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/client/lineage.h"
#include "serve/process/process.h"
#include "serve/session/session.h"
#include "serve/shared/shared.h"
#include "serve/watch/parts.h"

#define TICK_NS      WATCH_TICK_NS
#define TICK_MIN_NS  (1000000ull)
#define TICK_FAST_NS (250000ull)
#define SHARE        8
#define SHARE_FULL   2  /* ... while it is full and somebody takes more */
#define GROWN_PAGES  16 /* pages per round that stop a process while there is no room */
#define GROWN_MAX    32
/* The clock of the CPU time of its threads; clock_getcpuclockid. */
#define CLOCK_OF(pid)    ((clockid_t)(~(unsigned)(pid) << 3 | 2))
#define STOPPED_NS       (500 * 1000000ull)   /* at most; */
#define STOPPED_LOW_NS   (30 * 1000000ull)    /* ... while the limit is kept; */
#define STOPPED_GIVER_NS (5 * 1000000ull)     /* ... if it has pages to reclaim */
#define RESERVES_FREE    4                    /* full: this many reserves or less are free */
#define RUNS_NS          (TICK_NS / 10)       /* of CPU per tick: it runs */
#define AGAIN_MAX        256                  /* clients measured twice per round */
#define CLIENTS_A_TICK   24                   /* measured at most, in turn */
#define GRACE_NS         (300 * 1000000ull)   /* for a process to say HELLO */
#define STATIC_NS        (10 * 1000000ull)    /* ... for one that seems unable to */
#define START_NS         (10 * 1000000000ull) /* the agent waits this long for READY */

struct watch {
	struct supervisor *s;
	struct shmem_watch shmem;
	struct own_tables own_tables;
	uint64_t huge_next_ns;
	int64_t beyond;                  /* pages that the limit was raised by (late.c) */
	uint64_t turn;                   /* key of the client measured last */
	unsigned nr_hot;                 /* clients that may be growing fast; */
	unsigned nr_fast;                /* ... and probably do, without asking */
	struct client *again[AGAIN_MAX]; /* referenced */
	int64_t before[AGAIN_MAX];       /* unmanaged RSS of each before */
	unsigned nr_again;
	struct client *grown[GROWN_MAX]; /* those that have grown in this round; referenced */
	unsigned nr_grown;
	struct client *stopped[GROWN_MAX]; /* those that are stopped; referenced */
	unsigned nr_stopped;
	int64_t need;                  /* pages they have taken in this round */
	int64_t copies, copies_before; /* pages that families share: so far, in the last round */
	struct pause pause;
};

/* A client whose helper does not start in time may not exceed the limit any longer. */
static void end_privilege(struct client *c)
{
	assert_thread(THREAD_WATCHER);
	if (plat_now_ns() - c->created_ns > START_NS)
		client_entered(c);
}

/* It announced its exec while the process tree was walked: there are two clients of it. */
static bool met_twice(const struct client *c)
{
	struct client *first = client_unmanaged(c->s, c->host.pid);
	bool twice = first && first != c;

	assert_thread(THREAD_WATCHER);
	if (first)
		client_put(first);
	return twice;
}

/* True: it is no process of its own. Check before its first measurement as well: whoever met it may
 * have been interrupted before entering it, and it has said HELLO since; all its memory would be
 * charged twice until the next tick. */
static bool name_or_end(struct client *c, bool tick)
{
	struct proc_stat st;
	uint64_t age_ns;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(c->unmanaged);
	if ((!tick && a64_load(&c->host.mm->unmanaged)) || !c->host.pid)
		return false;
	if (!starting_has_executed(c)) {
		if (starting_failed(c))
			client_end(c);
		return starting_failed(c);
	}
	if (starting_said_hello(c) || met_twice(c)) {
		c->introduced = true;
		client_end(c);
		return true;
	}
	age_ns = plat_now_ns() - (uint64_t)a64_load(&c->since_ns);
	if (age_ns <= GRACE_NS &&
	    (age_ns <= STATIC_NS || (!a32_load(&c->unable) && !proc_is_static(c->host.pid))))
		return false;
	/* Met at its end, which may take long: the first of a PID namespace stays until all others
	 * are gone, and a busy machine lets threads wait. */
	if (proc_stat(c->host.pid, &st) &&
	    (proc_over(c->host.pid, &st) ||
	     (st.flags & PROC_ENDING && !a64_load(&c->host.mm->unmanaged)))) {
		client_end(c);
		return true;
	}
	unmanaged_give_name(c);
	return false;
}

static void keep_client(struct client **list, unsigned *nr, struct client *c)
{
	assert_thread(THREAD_WATCHER);
	VM_ASSERT(*nr <= GROWN_MAX);
	if (*nr == GROWN_MAX)
		return;
	client_ref(c);
	list[(*nr)++] = c;
}

/* @grown pages more than at the last look. A static program is watched from its first page on. */
static void look_at_growth(struct watch *w, struct client *c, int64_t grown, uint64_t now)
{
	bool first = c->unmanaged && client_state(c) != CLIENT_EXECUTING && !c->watched.executed;

	assert_thread(THREAD_WATCHER);
	if (first) {
		c->watched.executed = true;
		c->is_static = proc_is_static(c->host.pid);
	}
	if (grown >= GROWN_PAGES || (first && c->is_static)) {
		keep_client(w->grown, &w->nr_grown, c);
		w->need += grown;
	} else if (a64_load(&c->reserve_want) && !measure_hot(c, now) &&
		   client_state(c) != CLIENT_EXECUTING) {
		reserve_end(c);
	}
}

/* Does its process run? A growing stack takes memory without asking, and only CPU time hints at
 * it. */
static bool runs(struct client *c, bool tick)
{
	struct timespec t;

	assert_thread(THREAD_WATCHER);
	if (tick && c->host.pid && clock_gettime(CLOCK_OF(c->host.pid), &t) == 0) {
		uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;

		c->watched.runs = now - c->watched.cpu_ns > RUNS_NS;
		c->watched.cpu_ns = now;
	}
	return c->watched.runs;
}

/* Pages of its own that it may have at any moment, where it shares them now, and there may be no
 * room for all such. */
static bool may_copy(struct watch *w, const struct client *c)
{
	int64_t shared = copies_shared(c);

	w->copies += shared;
	return shared >= GROWN_PAGES &&
	       w->copies_before > page_counter_margin(&w->s->group->memory);
}

static bool nearly_full(const struct supervisor *s)
{
	return page_counter_margin(&s->group->memory) < RESERVES_FREE * reserve_size(s, 1);
}

/* After exec the pid is another address space's. */
static bool is_measurable(struct client *c)
{
	assert_thread(THREAD_WATCHER);
	return c->host.pid && !client_is_leaving(c) && (!c->unmanaged || starting_has_executed(c));
}

/* Measure a client, in turn; every time if it may be growing fast. */
static void look_at_client(struct watch *w, struct client *c, uint64_t now, bool tick,
			   unsigned *looked, uint64_t *last)
{
	bool alone = c->unmanaged || client_mute(c), growing = measure_hot(c, now);
	bool copies = may_copy(w, c), copying = copies && copies_may_go_on(c);
	bool hot = alone || growing || copying || (runs(c, tick) && nearly_full(w->s));
	int64_t rss;

	assert_thread(THREAD_WATCHER);
	assert_referenced(c);
	w->nr_hot += hot || copies;
	w->nr_fast += copying || (growing && (alone || a64_load(&c->grown_ns)));
	if (!hot) {
		if (!tick || c->key <= w->turn || *looked == CLIENTS_A_TICK)
			return;
		++*looked;
		*last = c->key;
	}
	if (tick && !c->unmanaged)
		leave_look(c);
	end_privilege(c);
	if (client_may_register(c) && name_or_end(c, tick))
		return;
	rss = a64_load(&c->host.mm->unmanaged);
	if (w->nr_again < AGAIN_MAX && is_measurable(c) && measure(c)) {
		client_ref(c);
		w->before[w->nr_again] = rss;
		w->again[w->nr_again++] = c;
	} else {
		look_at_growth(w, c, a64_load(&c->host.mm->unmanaged) - rss, now);
	}
	census_peak(c);
}

static void look_again(struct watch *w)
{
	assert_thread(THREAD_WATCHER);
	if (w->nr_again)
		measure_pause();
	while (w->nr_again) {
		struct client *c = w->again[--w->nr_again];

		measure_again(c);
		look_at_growth(w, c, a64_load(&c->host.mm->unmanaged) - w->before[w->nr_again],
			       plat_now_ns());
		client_put(c);
	}
}

/* Ends that no channel reports: of unmanaged processes, and of children that never said HELLO. */
static bool ended_silently(struct client *c)
{
	assert_thread(THREAD_WATCHER);
	/* The end of a helper channel is the control thread's. */
	return c->sock < 0 && client_exited(c);
}

/* @pages are shared by several processes and counted in each. memory.max is enforced on the sum of
 * the counts, which is all that can be seen. For memory.high they count once: reclaim above it
 * would never end, and make no room, as long as the sum of the copies is above it. */
static void adjust_high(struct supervisor *s, int64_t pages)
{
	assert_thread(THREAD_WATCHER);
	bounds_several(&s->bounds, s->group, pages);
}

static int64_t inherited(const struct client *c)
{
	int64_t rss = a64_load(&c->host.mm->unmanaged);

	return rss < c->inherited ? rss : c->inherited;
}

static void look_at_clients(struct watch *w, bool tick)
{
	uint64_t now = plat_now_ns(), last = 0;
	int64_t several = 0, beyond = 0;
	unsigned looked = 0;
	struct client *c = NULL;

	assert_thread(THREAD_WATCHER);
	w->nr_hot = tables_measure_own(w->s, &w->own_tables);
	w->nr_fast = 0;
	w->copies_before = w->copies;
	w->copies = 0;
	while ((c = client_next(w->s, c))) {
		if (ended_silently(c)) {
			client_end(c);
			/* Its memory has ended; it may have executed a program. */
			lineage_note(w->s, c->host.pid);
			continue;
		}
		beyond += late_look(c, now);
		client_let_go(c);
		several += inherited(c);
		look_at_client(w, c, now, tick, &looked, &last);
	}
	if (tick)
		w->turn = looked == CLIENTS_A_TICK ? last : 0;
	adjust_high(w->s, several);
	late_adjust(w->s, w->beyond, beyond);
	w->beyond = beyond;
	look_again(w);
}

static void raise_peak(atomic64_t *peak, int64_t now)
{
	if (now > a64_load(peak))
		a64_store(peak, now);
}

/* How long to sleep after a round that took @cost ns of CPU. */
static uint64_t sleep_ns(const struct watch *w, uint64_t cost)
{
	uint64_t ns = w->pause.n  ? 0
		      : w->nr_hot ? limit_lasts_ns(w->s)
				  : TICK_NS,
		 least = w->nr_fast ? TICK_FAST_NS : TICK_MIN_NS, share = SHARE;

	assert_thread(THREAD_WATCHER);
	/* What several take without asking takes as long to see. */
	if (w->nr_fast && page_counter_margin(&w->s->group->memory) <= reserve_size(w->s, 1))
		share = SHARE_FULL;
	if (ns < cost * (share - 1))
		ns = cost * (share - 1);
	if (ns < least)
		ns = least;
	return ns < TICK_NS ? ns : TICK_NS;
}

static void tick(struct watch *w)
{
	assert_thread(THREAD_WATCHER);
	raise_peak(&w->s->metadata_peak, engine_metadata_bytes(&w->s->engine));
	shmem_measure(w->s, &w->shmem);
	memfds_look(w->s);
	spare_fill(w->s);
	huge_look(w->s, &w->huge_next_ns);
	pipes_look(w->s);
}

/* Pages that are free, or in reserve for @c. */
static int64_t runway(const struct supervisor *s, const struct client *c)
{
	return a64_load(&s->group->memory.max) - page_counter_read(&s->group->memory) +
	       a64_load(&c->reserve);
}

/* Can pages be reclaimed from it? Not while it is stopped in the middle of a mapping change. */
static bool gives_pages(const struct client *c)
{
	return !c->unmanaged && !client_mute(c);
}

/* Is reclaim kept away from it, perhaps not for long: does it fork? */
static bool is_kept_whole(const struct client *c)
{
	return gives_pages(c) && a32_load(&c->host.mm->no_reclaim) > 0;
}

/* Pages that can be reclaimed. */
static int64_t managed_pages(const struct supervisor *s)
{
	return page_counter_read(&s->group->memory) - stat_read_local(s->group, STAT_UNMANAGED) -
	       a64_load(&memcg_lists(s->group)->aside);
}

/* Is there room for what the stopped processes take until the next look? */
static bool may_go_on(const struct watch *w)
{
	int64_t size = reserve_size(w->s, w->nr_stopped);
	uint64_t stopped_ns = plat_now_ns() - w->pause.since_ns, most = STOPPED_LOW_NS;
	bool yes = true, gives = false;

	assert_thread(THREAD_WATCHER);
	for (unsigned i = 0; i < w->nr_stopped; i++) {
		struct client *c = w->stopped[i];
		int64_t has = runway(w->s, c);

		if (client_has_ended(c))
			continue;
		yes &= has >= size;
		if (has < 0)
			most = STOPPED_NS;
		gives |= gives_pages(c);
		if (is_kept_whole(c))
			return true;
	}
	/* ... if there is anything to be taken from it. */
	if (gives && most > STOPPED_GIVER_NS && managed_pages(w->s) > size)
		most = STOPPED_GIVER_NS;
	return yes || stopped_ns > most;
}

static void let_all_go(struct watch *w)
{
	assert_thread(THREAD_WATCHER);
	pause_end(&w->pause);
	if (w->pause.n)
		return;
	while (w->nr_stopped)
		client_put(w->stopped[--w->nr_stopped]);
}

/* @c has taken memory. In a full group it needs a reserve, and waits while it has none. */
static void has_grown(struct watch *w, struct client *c)
{
	struct supervisor *s = w->s;
	int64_t size = reserve_size(s, w->nr_grown), left = runway(s, c), least = size / 2;

	assert_thread(THREAD_WATCHER);
	if (left < RESERVES_FREE * size && a64_load(&c->reserve) < size) {
		a64_store(&c->reserve_want, size);
		a32_store(&s->reserves_wanted, 1);
	}
	if (least < w->need)
		least = w->need;
	/* If there is nothing to reclaim, it waits only above the limit: most likely for its
	 * end. */
	if (left >= least || (left > 0 && managed_pages(s) < least) || is_kept_whole(c))
		return;
	/* The fork of a child that has not said HELLO may charge it between two looks. */
	if (!c->host.pid)
		return;
	w->pause.root = (pid_t)a32_load(&s->root_pid);
	pause_process(&w->pause, c->host.pid, c->helper_tid);
	if (w->pause.refused && left < 0)
		a32_store(&s->unstopped, 1);
	keep_client(w->stopped, &w->nr_stopped, c);
}

/* Wake the settler if memory was taken without a charge. Those who took it wait until there is
 * room. */
static void unsettled(struct watch *w)
{
	struct supervisor *s = w->s;

	assert_thread(THREAD_WATCHER);
	for (unsigned i = 0; i < w->nr_grown; i++)
		has_grown(w, w->grown[i]);
	while (w->nr_grown)
		client_put(w->grown[--w->nr_grown]);
	if (a32_load(&s->unsettled) || a32_load(&s->reserves_wanted))
		waitq_wake(&s->wake.settler);
	if (!w->pause.n || may_go_on(w))
		let_all_go(w);
	w->need = 0;
}

static uint64_t spent_ns(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void watcher_main(void *arg)
{
	struct watch w = { .s = arg };
	uint64_t next_tick = 0, cost;

	thread_begin(THREAD_WATCHER);
	thread_hurry();

	while (!a32_load(&w.s->stopping)) {
		uint32_t ticket = waitq_prepare(&w.s->wake.watcher);
		uint64_t start = plat_now_ns(), spent = spent_ns();
		bool due = start >= next_tick;

		if (due) {
			tick(&w);
			next_tick = start + TICK_NS;
		}
		look_at_clients(&w, due);
		raise_peak(&w.s->unmanaged_peak, stat_read(w.s->group, STAT_UNMANAGED));
		raise_peak(&w.s->tables_peak, stat_read(w.s->group, STAT_PAGETABLES) +
						      stat_read(w.s->group, STAT_OWN_TABLES));
		kinds_wake(w.s);
		copies_wake(w.s);
		unsettled(&w);
		cost = spent_ns() - spent;
		waitq_sleep(&w.s->wake.watcher, ticket, (int64_t)sleep_ns(&w, cost));
	}
	tables_forget_own(w.s, &w.own_tables);
	let_all_go(&w);
	while (w.nr_stopped)
		client_put(w.stopped[--w.nr_stopped]);
}

/* mm/charge.c - the order of a charge (Linux memcontrol.c try_charge, facts of the controller):
 *   this CPU's stock -> memory+swap -> memory -> reclaim below whichever was full
 *   -> drain the stocks once -> OOM.
 *
 * Progress: a charge retries as long as reclaim frees something, or, for a bounded time, as long as
 * reclaimable pages are only busy (pinned by I/O, a client in the middle of a system call). Before
 * an OOM kill it waits, for the same time, for pages that are charged and on no list: a page being
 * read, or isolated by another reclaimer, which reclaim could not see. It also waits for pages that
 * reclaim saw but could not free, as a fault is about to map them. A charge that may fail waits for
 * neither, and one that holds such a page itself (HOLDS) does not wait for the latter.
 *
 * The time is over ("stuck") when nothing at all, background reclaim included, has made room for
 * that long. Charges that come after that need not wait again.
 */
#include "mm/charge.h"

#include "mm/lru.h"
#include "mm/oom.h"
#include "mm/reclaim.h"

#define CHARGE_RETRIES   16
#define ROUNDS_MIN       2                   /* before a kill: the second after a wait */
#define BUSY_WAIT_NS     (200 * 1000)        /* between tries when all is busy: doubled, */
#define BUSY_DOUBLE_MAX  5                   /* this many times */
#define BUSY_TIME_MAX_NS (5 * 1000000000ull) /* no progress for this long: not busy but stuck */
#define BUSY_PAUSE_NS    (1000000000ull)     /* no wait for this long: restart the clock */
#define OPTIONAL_TIME_NS (20 * 1000000ull)   /* NOOOM: pages the caller can do without */
#define PARK_TIME_NS     (50 * 1000000ull)   /* PARK */

enum room { ROOM_NONE, ROOM_AGAIN, ROOM_SOON /* again, but let others run first */, ROOM_BUSY };

/* Charge both counters. On failure *@full is the counter that was full. */
static bool charge_counters(struct mem_cgroup *memcg, int64_t n, struct page_counter **full)
{
	VM_ASSERT(n > 0);
	if (!page_counter_try_charge(&memcg->memsw, n, full))
		return false;
	if (page_counter_try_charge(&memcg->memory, n, full))
		return true;
	page_counter_uncharge(&memcg->memsw, n);
	return false;
}

static bool try_charge(struct mem_cgroup *memcg, int64_t n, struct page_counter **full)
{
	if (stock_consume(memcg, n))
		return true;
	return charge_counters(memcg, n, full);
}

/* The group that a full counter belongs to. */
static struct mem_cgroup *counter_group(struct mem_cgroup *memcg, struct page_counter *full,
					bool *memsw)
{
	for (; memcg; memcg = memcg->parent) {
		*memsw = full == &memcg->memsw;
		if (*memsw || full == &memcg->memory)
			return memcg;
	}
	VM_BUG_ON("a counter of no group");
	return NULL;
}

void uncharge_pages(struct mem_cgroup *memcg, int64_t n)
{
	VM_ASSERT(n >= 0);
	if (n > 0)
		stock_refill(memcg, n);
}

#define HIGH_SHARE    32         /* least pages a charge over memory.high reclaims */
#define HIGH_PAY_MAX  256        /* most pages a fault reclaims; the rest is left to later ones */
#define HIGH_OWED_MAX (1u << 20) /* debt beyond this is forgotten */

static bool over_high(const struct mem_cgroup *g)
{
	return page_counter_read(&g->memory) > a64_load(&g->memory.high);
}

static void reclaim_share(struct engine *e, struct mem_cgroup *g, int64_t n)
{
	struct reclaim_result r;

	reclaim_group(e, g, n > HIGH_SHARE ? n : HIGH_SHARE, 0, &r);
}

/* The caller works for @mm and may block: other threads must serve @mm's other threads. */
static void about_to_wait(struct engine *e, struct mm *mm)
{
	if (mm && e->mmu->ops->blocking)
		e->mmu->ops->blocking(e->mmu, mm);
}

static void owe_high(struct mm *mm, int64_t n)
{
	VM_ASSERT(n > 0);
	if (a32_load(&mm->over_high) < HIGH_OWED_MAX)
		a32_acc(&mm->over_high, n < HIGH_OWED_MAX ? (int32_t)n : (int32_t)HIGH_OWED_MAX);
}

void charge_pay_high(struct mm *mm, struct mem_cgroup *memcg)
{
	int64_t owed = a32_load(&mm->over_high) ? a32_xchg(&mm->over_high, 0) : 0;
	int64_t pay = owed < HIGH_PAY_MAX ? owed : HIGH_PAY_MAX;
	bool still = false;

	for (struct mem_cgroup *g = memcg; g && owed; g = g->parent) {
		if (!over_high(g))
			continue;
		about_to_wait(mm->engine, mm);
		reclaim_share(mm->engine, g, pay);
		still |= over_high(g);
	}
	if (still && owed > pay)
		owe_high(mm, owed - pay);
}

/* Over memory.high or close to max: wake background reclaim; over high, do a share of the work,
 * too. Not during a fault: the pages it holds may be all there is to reclaim, and it would restart
 * forever (charge_pay_high). */
static void charge_after(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n,
			 unsigned flags)
{
	bool owe = false;

	for (struct mem_cgroup *g = memcg; g; g = g->parent) {
		if (over_high(g)) {
			event_add(g, EVENT_HIGH, 1);
			kswapd_wake(e);
			if (flags & CHARGE_NORECLAIM)
				continue;
			if (mm && !bug_on(HIGH_PAID_IN_THE_FAULT))
				owe = true;
			else
				reclaim_share(e, g, n);
		} else if (kswapd_wanted(g)) {
			kswapd_wake(e);
		}
	}
	if (owe)
		owe_high(mm, n);
}

static void charge_force(struct mem_cgroup *memcg, int64_t n)
{
	VM_ASSERT(n > 0);
	page_counter_charge(&memcg->memsw, n);
	page_counter_charge(&memcg->memory, n);
}

int64_t stuck_start(int64_t since, int64_t last, int64_t now)
{
	return !since || now - last > (int64_t)BUSY_PAUSE_NS ? now : since;
}

/* Was no room made below @g for a long time, although charges waited all the time? */
static bool stuck(struct mem_cgroup *g)
{
	struct group_lists *l = memcg_lists(g);
	int64_t now = (int64_t)plat_now_ns(), since = a64_load(&l->stuck_since);
	int64_t start = stuck_start(since, a64_load(&l->stuck_last), now);

	a64_store(&l->stuck_last, now);
	if (start != since)
		(void)a64_cas(&l->stuck_since, since, start);
	return now - start > (int64_t)BUSY_TIME_MAX_NS;
}

/* Is any page below @g charged but on no list? Reads the lists before the counter: a page added to
 * a list in between counts as on none, which costs a needless wait; a page taken off one is freed,
 * which makes room, or isolated by another thread. Stocks were drained. */
static bool on_its_way(struct mem_cgroup *g)
{
	int64_t known = 0;

	rcu_rd_lock();
	for (struct mem_cgroup *m = memcg_next(g, NULL); m; m = memcg_next(g, m)) {
		known += stat_read_local(m, STAT_UNMANAGED) + a64_load(&memcg_lists(m)->aside);
		for (enum lru_list i = 0; i < NR_LRU_LISTS; i++)
			known += group_list_size(m, i);
	}
	rcu_rd_unlock();
	return page_counter_read(&g->memory) > known;
}

/* Room that is wanted below a group. */
struct room_wanted {
	struct engine *e;
	struct mem_cgroup *g; /* is full */
	int64_t n;            /* pages, > 0 */
	bool memsw;           /* its memory+swap is full, else its memory */
	unsigned flags;       /* CHARGE_ */
	int retries;          /* rounds left that may free nothing */
};

/* One round of making room. */
static enum room make_room(struct room_wanted *w)
{
	bool optional = w->flags & CHARGE_NOOOM,
	     waits = !(w->flags & (CHARGE_NOOOM | CHARGE_HOLDS)) && !bug_on(OOM_HELD_IS_NOTHING);
	struct mem_cgroup *g = w->g;
	struct reclaim_result r;

	VM_ASSERT(w->n > 0);
	reclaim_group(w->e, g, w->n > 32 ? w->n : 32, w->memsw ? RECLAIM_NOSWAP : 0, &r);
	if (r.reclaimed > 0 || page_counter_margin(w->memsw ? &g->memsw : &g->memory) >= w->n ||
	    stock_drain_tree(g) > 0) {
		reclaim_got_on(g);
		return ROOM_AGAIN;
	}
	if ((r.busy > 0 || (r.held > 0 && waits)) && !stuck(g))
		return ROOM_BUSY;
	if (optional)
		return --w->retries > 0 && r.scanned > 0 ? ROOM_AGAIN : ROOM_NONE;
	if (!recheck(!on_its_way(g)) && !stuck(g)) {
		w->retries = CHARGE_RETRIES;
		return ROOM_BUSY;
	}
	/* Pages that were on no list during this round may be on one now: another round sees
	 * them. */
	if (r.scanned == 0 && w->retries > ROUNDS_MIN)
		w->retries = ROUNDS_MIN;
	if (--w->retries <= 0 || (r.held > 0 && stuck(g)))
		return ROOM_NONE;
	return r.held > 0 || r.scanned == 0 || w->retries == 1 ? ROOM_SOON : ROOM_AGAIN;
}

/* Reclaimable pages are busy. True: waited, try again. False: do not wait, the caller should do
 * something else. */
static bool wait_busy(struct engine *e, const struct mm *mm, uint64_t start, unsigned flags,
		      unsigned *doubled)
{
	uint64_t waited = plat_now_ns() - start;
	uint32_t t;

	if (flags & CHARGE_NOOOM && (waited > OPTIONAL_TIME_NS || (mm && a32_load(&mm->held))))
		return false;
	if (flags & CHARGE_PARK && waited > PARK_TIME_NS)
		return false;
	t = waitq_prepare(&e->progress);
	waitq_sleep(&e->progress, t, BUSY_WAIT_NS << *doubled);
	*doubled += *doubled < BUSY_DOUBLE_MAX;
	return true;
}

/* Is there memory that is charged but not tracked, and could be tracked? */
static bool search(struct engine *e, bool wait)
{
	const struct mmu_ops *ops = e->mmu->ops;

	return ops->search && ops->search(e->mmu, wait);
}

int charge_pages(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n,
		 unsigned flags)
{
	struct mem_cgroup *busy = NULL;
	struct room_wanted want = { .e = e, .n = n, .flags = flags, .retries = CHARGE_RETRIES };
	unsigned doubled = 0;
	uint64_t start = 0;

	VM_ASSERT(n >= 0);
	for (;;) {
		struct page_counter *full;
		enum room room;

		if (try_charge(memcg, n, &full))
			break;
		if (flags & CHARGE_NORECLAIM && !(flags & CHARGE_FORCE))
			return -ENOMEM;
		/* It frees everything soon, but its kernel may need a page to get there (exec reads
		 * the robust futex list). */
		if (mm && a32_load(&mm->dying)) {
			if (n > 1)
				return -ENOMEM;
			charge_force(memcg, n);
			return 0;
		}
		want.g = counter_group(memcg, full, &want.memsw);
		if (!start) {
			start = plat_now_ns();
			event_add(want.g, EVENT_MAX, 1);
			about_to_wait(e, mm);
		}
		room = flags & CHARGE_NORECLAIM ? ROOM_NONE : make_room(&want);
		/* All memory may be its own, which cannot be reclaimed until the fork is done, and
		 * the fork waits for this page. */
		if (mm && n == 1 && a32_load(&mm->held)) {
			if (!try_charge(memcg, n, &full))
				charge_force(memcg, n);
			break;
		}
		busy = room == ROOM_BUSY ? want.g : NULL;
		if (room == ROOM_AGAIN ||
		    (room != ROOM_NONE && wait_busy(e, mm, start, flags, &doubled)))
			continue;
		if (flags & CHARGE_FORCE) {
			charge_force(memcg, n);
			break;
		}
		if (room != ROOM_NONE)
			return -ETIME;
		if (!(flags & CHARGE_NOOOM) && search(e, !(flags & CHARGE_PARK))) {
			if (flags & CHARGE_PARK)
				return -ETIME;
			want.retries = CHARGE_RETRIES;
			continue;
		}
		if (flags & CHARGE_NOOOM || !oom_kill(e, want.g, mm, n, !(flags & CHARGE_PARK)))
			return -ENOMEM;
		if (flags & CHARGE_PARK)
			return -ETIME;
		want.retries = CHARGE_RETRIES;
	}
	if (busy)
		reclaim_got_on(busy); /* others made the room */
	if (start)
		stat_add(memcg, STAT_STALL_US, (int64_t)((plat_now_ns() - start) / 1000));
	charge_after(e, memcg, mm, n, flags);
	return 0;
}

void charge_set_aside(struct mem_cgroup *memcg, int64_t n)
{
	a64_acc(&memcg_lists(memcg)->aside, n);
}

void charge_unmanaged(struct engine *e, struct mem_cgroup *memcg, int64_t old, int64_t now)
{
	int64_t d = now - old;

	VM_ASSERT(old >= 0 && now >= 0);
	/* The statistic never exceeds the charge, at any instant (on_its_way). */
	if (d > 0)
		charge_force(memcg, d);
	stat_add(memcg, STAT_UNMANAGED, d);
	if (d > 0) {
		if (kswapd_wanted(memcg))
			kswapd_wake(e);
	} else if (d < 0) {
		page_counter_uncharge(&memcg->memory, -d);
		page_counter_uncharge(&memcg->memsw, -d);
		waitq_wake(&e->progress);
	}
}

void charge_unmanaged_paid(struct mem_cgroup *memcg, int64_t n)
{
	stat_add(memcg, STAT_UNMANAGED, n);
}

/* The thread that takes over the value uncharges what it says. So charge an increase before
 * publishing it; uncharge a decrease after. */
bool charge_unmanaged_publish(struct engine *e, struct mem_cgroup *memcg, atomic64_t *rss,
			      int64_t old, int64_t now)
{
	bool won;

	VM_ASSERT(old >= 0 && now >= 0);
	if (now > old)
		charge_unmanaged(e, memcg, old, now);
	won = a64_cas(rss, old, now);
	if (won && now < old)
		charge_unmanaged(e, memcg, old, now);
	else if (!won && now > old)
		charge_unmanaged(e, memcg, now, old);
	return won;
}

static int64_t overage(const struct page_counter *c)
{
	return page_counter_read(c) - a64_load(&c->max);
}

/* Unmanaged memory alone exceeds the limit. Reclaiming managed pages that are faulted back at once
 * would make no room, and could go on forever. */
static bool beyond_reclaim(const struct mem_cgroup *memcg)
{
	return stat_read_local(memcg, STAT_UNMANAGED) > a64_load(&memcg->memory.max);
}

static bool settle(struct engine *e, struct mem_cgroup *memcg, bool kill)
{
	struct room_wanted want = { .e = e, .g = memcg, .retries = CHARGE_RETRIES };

	for (;;) {
		int64_t over = overage(&memcg->memory), over_memsw = overage(&memcg->memsw);

		if (over <= 0 && over_memsw <= 0)
			return true;
		want.memsw = over <= 0;
		want.n = want.memsw ? over_memsw : over;
		want.flags = kill ? 0 : CHARGE_NOOOM;
		switch (beyond_reclaim(memcg) ? ROOM_NONE : make_room(&want)) {
		case ROOM_AGAIN:
			break;
		case ROOM_SOON:
			plat_sleep_ns(BUSY_WAIT_NS);
			break;
		case ROOM_BUSY:
			return false;
		case ROOM_NONE:
			if (!kill)
				return false;
			if (search(e, true)) {
				want.retries = CHARGE_RETRIES;
				break;
			}
			(void)oom_kill(e, memcg, NULL, 0, false);
			kill = false;
			break;
		}
	}
}

bool charge_settle(struct engine *e, struct mem_cgroup *memcg)
{
	return settle(e, memcg, true);
}

bool charge_try_settle(struct engine *e, struct mem_cgroup *memcg)
{
	return settle(e, memcg, false);
}

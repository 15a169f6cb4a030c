/* mm/charge.c - the order of a charge (Linux memcontrol.c try_charge, facts of the controller):
 *   this CPU's stock -> memory+swap -> memory -> reclaim below whichever was full -> drain the stocks once -> OOM.
 *
 * Progress: a charge retries as long as reclaim frees something or something that could be freed is only busy right
 * now (pinned by I/O, a client in the middle of a system call), the latter for a bounded time. Before somebody is killed it
 * waits, as long, for what is charged and on no list: a page that is being read, or is in the hands of another who
 * reclaims; reclaim could not see it. And for what it saw and could not have, as a fault is about to map it. A charge
 * that may fail waits for neither, and one that has such a page itself (HOLDS) not for the latter.
 *
 * That time is over ("stuck") when nobody at all has made any room for so long, background reclaim included; who comes then need not wait
 * again.
 */
#include "mm/charge.h"

#include "mm/lru.h"
#include "mm/oom.h"
#include "mm/reclaim.h"

#define CHARGE_RETRIES     16
#define ROUNDS_MIN         2                     /* before a kill: the second after a wait */
#define BUSY_WAIT_NS       (200 * 1000)          /* between two tries when everything is busy: doubled each time, */
#define BUSY_DOUBLE_MAX    5                     /* so often */
#define BUSY_TIME_MAX_NS   (5 * 1000000000ull)   /* nobody got on for so long: it is not busy but stuck */
#define BUSY_PAUSE_NS      (1000000000ull)       /* nobody waited for so long: what was before does not count */
#define OPTIONAL_TIME_NS   (20 * 1000000ull)     /* NOOOM: for what the caller can do without */
#define PARK_TIME_NS       (50 * 1000000ull)     /* PARK */

enum room { ROOM_NONE, ROOM_AGAIN, ROOM_SOON /* again, but let others get on first */, ROOM_BUSY };

/* Both counters. On failure *@full is the counter that was full. */
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

/* Which group a full counter belongs to. */
static struct mem_cgroup *counter_group(struct mem_cgroup *memcg, struct page_counter *full, bool *memsw)
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

#define HIGH_SHARE    32         /* pages that a charge over memory.high makes its group reclaim, at least */
#define HIGH_PAY_MAX  256        /* and a fault, at most: the rest is left to the next ones */
#define HIGH_OWED_MAX (1u << 20) /* what is charged beyond that is forgotten */

static bool over_high(const struct mem_cgroup *g)
{
	return page_counter_read(&g->memory) > a64_load(&g->memory.high);
}

static void reclaim_share(struct engine *e, struct mem_cgroup *g, int64_t n)
{
	struct reclaim_result r;

	reclaim_group(e, g, n > HIGH_SHARE ? n : HIGH_SHARE, 0, &r);
}

/* The caller works for @mm and may have to wait: others are to serve its other threads. */
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

/* Over memory.high, or close to max: let background reclaim know; over high, do a share of the work. For a fault not now:
 * the pages in its hands may be all there is to take, and it would begin again for ever (charge_pay_high). */
static void charge_after(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n, unsigned flags)
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

/* Has nobody made any room below @g for a long time, though it was wanted all the while? */
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

/* Is something below @g charged that is on no list? The lists come first: what goes on one meanwhile counts as on none, and is
 * waited for in vain; what goes off one is freed, which makes room, or is somebody else's. Stocks were drained. */
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

/* One round of making room below @g. */
static enum room make_room(struct engine *e, struct mem_cgroup *g, int64_t n, bool memsw, unsigned flags, int *retries)
{
	bool optional = flags & CHARGE_NOOOM, waits = !(flags & (CHARGE_NOOOM | CHARGE_HOLDS)) && !bug_on(OOM_HELD_IS_NOTHING);
	struct reclaim_result r;

	reclaim_group(e, g, n > 32 ? n : 32, memsw ? RECLAIM_NOSWAP : 0, &r);
	if (r.reclaimed > 0 || page_counter_margin(memsw ? &g->memsw : &g->memory) >= n || stock_drain_tree(g) > 0) {
		reclaim_got_on(g);
		return ROOM_AGAIN;
	}
	if ((r.busy > 0 || (r.held > 0 && waits)) && !stuck(g))
		return ROOM_BUSY;
	if (optional)
		return --*retries > 0 && r.scanned > 0 ? ROOM_AGAIN : ROOM_NONE;
	if (!recheck(!on_its_way(g)) && !stuck(g)) {
		*retries = CHARGE_RETRIES;
		return ROOM_BUSY;
	}
	/* What was on its way during this round is not any more: another round sees it. */
	if (r.scanned == 0 && *retries > ROUNDS_MIN)
		*retries = ROUNDS_MIN;
	if (--*retries <= 0 || (r.held > 0 && stuck(g)))
		return ROOM_NONE;
	return r.held > 0 || r.scanned == 0 || *retries == 1 ? ROOM_SOON : ROOM_AGAIN;
}

/* What could be freed is busy. True: try again, having waited. False: the caller had better do something else. */
static bool wait_busy(struct engine *e, const struct mm *mm, uint64_t start, unsigned flags, unsigned *doubled)
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

/* Is there memory that is charged without being in the books, and could be? */
static bool search(struct engine *e, bool wait)
{
	const struct mmu_ops *ops = e->mmu->ops;

	return ops->search && ops->search(e->mmu, wait);
}

int charge_pages(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n, unsigned flags)
{
	struct mem_cgroup *busy = NULL;
	int retries = CHARGE_RETRIES;
	unsigned doubled = 0;
	uint64_t start = 0;

	VM_ASSERT(n >= 0);
	for (;;) {
		struct page_counter *full;
		struct mem_cgroup *g;
		enum room room;
		bool memsw;

		if (try_charge(memcg, n, &full))
			break;
		if (flags & CHARGE_NORECLAIM && !(flags & CHARGE_FORCE))
			return -ENOMEM;
		/* It gives everything back soon, but its kernel may need a page to get there (exec reads the list of robust
		 * futexes). */
		if (mm && a32_load(&mm->dying)) {
			if (n > 1)
				return -ENOMEM;
			charge_force(memcg, n);
			return 0;
		}
		g = counter_group(memcg, full, &memsw);
		if (!start) {
			start = plat_now_ns();
			event_add(g, EVENT_MAX, 1);
			about_to_wait(e, mm);
		}
		room = flags & CHARGE_NORECLAIM ? ROOM_NONE : make_room(e, g, n, memsw, flags, &retries);
		/* What is in memory may be all its own, out of reach until the fork is through, and the fork waits for this page. */
		if (mm && n == 1 && a32_load(&mm->held)) {
			if (!try_charge(memcg, n, &full))
				charge_force(memcg, n);
			break;
		}
		busy = room == ROOM_BUSY ? g : NULL;
		if (room == ROOM_AGAIN || (room != ROOM_NONE && wait_busy(e, mm, start, flags, &doubled)))
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
			retries = CHARGE_RETRIES;
			continue;
		}
		if (flags & CHARGE_NOOOM || !oom_kill(e, g, mm, n, !(flags & CHARGE_PARK)))
			return -ENOMEM;
		if (flags & CHARGE_PARK)
			return -ETIME;
		retries = CHARGE_RETRIES;
	}
	if (busy)
		reclaim_got_on(busy);  /* others have made the room */
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
	/* The statistic says no more than is charged, at every instant (on_its_way). */
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

/* Who takes the figure gives back what it says: what is new is charged before it stands there, what is not is given back after. */
bool charge_unmanaged_figure(struct engine *e, struct mem_cgroup *memcg, atomic64_t *figure, int64_t old, int64_t now)
{
	bool won;

	VM_ASSERT(old >= 0 && now >= 0);
	if (now > old)
		charge_unmanaged(e, memcg, old, now);
	won = a64_cas(figure, old, now);
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

/* What cannot be managed is more than the limit. To take from the rest what it brings back at once would make no room, and could
 * go on for ever. */
static bool beyond_reclaim(const struct mem_cgroup *memcg)
{
	return stat_read_local(memcg, STAT_UNMANAGED) > a64_load(&memcg->memory.max);
}

static bool settle(struct engine *e, struct mem_cgroup *memcg, bool kill)
{
	int retries = CHARGE_RETRIES;

	for (;;) {
		int64_t over = overage(&memcg->memory), over_memsw = overage(&memcg->memsw);
		bool memsw = over <= 0;

		if (over <= 0 && over_memsw <= 0)
			return true;
		switch (beyond_reclaim(memcg) ? ROOM_NONE :
			make_room(e, memcg, memsw ? over_memsw : over, memsw, kill ? 0 : CHARGE_NOOOM, &retries)) {
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
				retries = CHARGE_RETRIES;
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

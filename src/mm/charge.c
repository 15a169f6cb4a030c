/* mm/charge.c - the order of a charge (Linux memcontrol.c try_charge, facts of the controller):
 *   this CPU's stock -> memory+swap -> memory -> reclaim below whichever was full -> drain the stocks once -> OOM.
 *
 * Progress: a charge retries as long as reclaim frees something or something that could be freed is only busy right
 * now (pinned by I/O, a client in the middle of a system call), the latter for a bounded time.
 */
#include "mm/charge.h"

#include "mm/oom.h"
#include "mm/reclaim.h"

#define CHARGE_RETRIES     16
#define BUSY_WAIT_NS       (200 * 1000)          /* between two tries when everything is busy */
#define BUSY_TIME_MAX_NS   (5 * 1000000000ull)   /* then it is not busy but stuck */

/* Both counters. On failure *@full is the counter that was full. */
static bool charge_counters(struct mem_cgroup *memcg, int64_t n, struct page_counter **full)
{
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
	if (n > 0)
		stock_refill(memcg, n);
}

/* Over memory.high, or close to max: let background reclaim know; over high, do a share of the work. */
static void charge_after(struct engine *e, struct mem_cgroup *memcg, int64_t n, unsigned flags)
{
	for (struct mem_cgroup *g = memcg; g; g = g->parent) {
		struct reclaim_result r;

		if (page_counter_read(&g->memory) > a64_load(&g->memory.high)) {
			event_add(g, EVENT_HIGH, 1);
			kswapd_wake(e);
			if (!(flags & CHARGE_NORECLAIM))
				reclaim_group(e, g, n > 32 ? n : 32, 0, &r);
		} else if (kswapd_wanted(g)) {
			kswapd_wake(e);
		}
	}
}

static void charge_force(struct mem_cgroup *memcg, int64_t n)
{
	page_counter_charge(&memcg->memsw, n);
	page_counter_charge(&memcg->memory, n);
}

/* One round of making room below @g. True: try the charge again. */
static bool make_room(struct engine *e, struct mem_cgroup *g, int64_t n, bool memsw, int *retries, uint64_t busy_since)
{
	struct reclaim_result r;

	reclaim_group(e, g, n > 32 ? n : 32, memsw ? RECLAIM_NOSWAP : 0, &r);
	if (r.reclaimed > 0 || page_counter_margin(memsw ? &g->memsw : &g->memory) >= n)
		return true;
	if (stock_drain_tree(g) > 0)
		return true;
	if (r.busy > 0 && plat_now_ns() - busy_since < BUSY_TIME_MAX_NS) {
		uint32_t t = waitq_prepare(&e->progress);

		waitq_sleep(&e->progress, t, BUSY_WAIT_NS);
		return true;
	}
	return --*retries > 0 && r.scanned > 0;
}

int charge_pages(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n, unsigned flags)
{
	int retries = CHARGE_RETRIES;
	uint64_t start = 0;

	for (;;) {
		struct page_counter *full;
		struct mem_cgroup *g;
		bool memsw, again;

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
			if (mm && e->mmu->ops->blocking)
				e->mmu->ops->blocking(e->mmu, mm);
		}
		again = !(flags & CHARGE_NORECLAIM) && make_room(e, g, n, memsw, &retries, start);
		/* What is in memory may be all its own, out of reach until the fork is through, and the fork waits for this page. */
		if (mm && n == 1 && a32_load(&mm->held)) {
			if (!try_charge(memcg, n, &full))
				charge_force(memcg, n);
			break;
		}
		if (again)
			continue;
		if (flags & CHARGE_FORCE) {
			charge_force(memcg, n);
			break;
		}
		if (flags & CHARGE_NOOOM)
			return -ENOMEM;
		if (!oom_kill(e, g, mm))
			return -ENOMEM;
		retries = CHARGE_RETRIES;
	}
	if (start)
		stat_add(memcg, STAT_STALL_US, (int64_t)((plat_now_ns() - start) / 1000));
	charge_after(e, memcg, n, flags);
	return 0;
}

void charge_unmanaged(struct engine *e, struct mem_cgroup *memcg, int64_t old, int64_t now)
{
	int64_t d = now - old;

	stat_add(memcg, STAT_UNMANAGED, d);
	if (d > 0) {
		charge_force(memcg, d);
		if (kswapd_wanted(memcg))
			kswapd_wake(e);
	} else if (d < 0) {
		page_counter_uncharge(&memcg->memory, -d);
		page_counter_uncharge(&memcg->memsw, -d);
		waitq_wake(&e->progress);
	}
}

/* Who takes the figure gives back what it says: what is new is charged before it stands there, what is not is given back after. */
bool charge_unmanaged_figure(struct engine *e, struct mem_cgroup *memcg, atomic64_t *figure, int64_t old, int64_t now)
{
	bool won;

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

void charge_settle(struct engine *e, struct mem_cgroup *memcg)
{
	int retries = CHARGE_RETRIES;
	uint64_t start = plat_now_ns();

	for (;;) {
		int64_t over = overage(&memcg->memory), over_memsw = overage(&memcg->memsw);
		bool memsw = over <= 0;

		if (over <= 0 && over_memsw <= 0)
			return;
		if (make_room(e, memcg, memsw ? over_memsw : over, memsw, &retries, start))
			continue;
		if (!oom_kill(e, memcg, NULL))
			return;
		retries = CHARGE_RETRIES;
	}
}

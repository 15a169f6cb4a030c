/* memcg/stock.c - pages charged in advance. The rules: stock.h.
 *
 * I1  A stocked page is charged to memory and memsw of its group; the thread that takes it out of
 *     the stock (consume, drain) owns that charge; only one can.
 * I2  0 <= nr <= STOCK_BATCH at all times.
 * I3  A group that is freed has empty stocks (the offline protocol of stock.h; checked in tree.c).
 * memsw is uncharged after memory, so memory <= memsw holds at all times.
 * Locks: none.
 */
#include "memcg/tree.h"

static void uncharge(struct mem_cgroup *memcg, int64_t n)
{
	VM_ASSERT(n > 0);
	page_counter_uncharge(&memcg->memory, n);
	page_counter_uncharge(&memcg->memsw, n);
}

bool stock_consume(struct mem_cgroup *memcg, int64_t n)
{
	atomic64_t *nr = &memcg->stock.cpu[plat_cpu()].nr;
	int64_t have;

	VM_BUG_ON(n <= 0);
	do {
		have = a64_load(nr);
		if (have < n)
			return false;
	} while (!a64_cas(nr, have, have - n));
	return true;
}

void stock_refill(struct mem_cgroup *memcg, int64_t n)
{
	atomic64_t *nr = &memcg->stock.cpu[plat_cpu()].nr;
	int64_t have, keep;

	VM_BUG_ON(n <= 0);
	do {
		have = a64_load(nr);
		keep = have + n;
		/* Overfull: keep half a stock, so a run of uncharges walks the counters once per
		 * STOCK_BATCH / 2 pages, and a later charge finds some. */
		if (keep > STOCK_BATCH)
			keep = STOCK_BATCH / 2;
	} while (!a64_cas(nr, have, keep));
	if (have + n > keep)
		uncharge(memcg, have + n - keep);
	if (bug_on(STOCK_DRAINED_AGAINST_REMOVAL))
		return; /* removal drained just before: these pages are never uncharged */
	if (memcg_is_offline(memcg))
		sync_step(stock_drain(memcg));
}

int64_t stock_drain(struct mem_cgroup *memcg)
{
	int64_t n = 0;

	for (unsigned cpu = 0; cpu < PLAT_NR_CPUS; cpu++)
		n += a64_xchg(&memcg->stock.cpu[cpu].nr, 0);
	if (n)
		uncharge(memcg, n);
	return n;
}

int64_t stock_drain_tree(struct mem_cgroup *memcg)
{
	int64_t n = 0;

	rcu_rd_lock();
	for (struct mem_cgroup *pos = memcg; pos; pos = memcg_next(memcg, pos))
		n += stock_drain(pos);
	rcu_rd_unlock();
	return n;
}

int64_t stock_read(const struct mem_cgroup *memcg)
{
	int64_t n = 0;

	for (unsigned cpu = 0; cpu < PLAT_NR_CPUS; cpu++)
		n += a64_load(&memcg->stock.cpu[cpu].nr);
	return n;
}

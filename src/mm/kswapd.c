/* mm/kswapd.c - background reclaim.
 *
 * Keeps a margin free below every limit, so that a charge seldom waits, and on every node that has
 * a slower one to move pages to, so that new pages are allocated where they are used. One thread
 * per engine, two if writes wait for a device; they sleep until kswapd_wake. */
#include "mm/page.h"
#include "mm/reclaim.h"

#define MARGIN_MIN 32 /* pages */
#define MARGIN_MAX 512

int64_t kswapd_margin(int64_t max)
{
	int64_t m = max / 32;

	if (m < MARGIN_MIN)
		m = MARGIN_MIN;
	return m > MARGIN_MAX ? MARGIN_MAX : m;
}

/* Pages to free to be well below the limits again; 0: none. */
static int64_t kswapd_target(const struct mem_cgroup *memcg)
{
	int64_t max = a64_load(&memcg->memory.max), high = a64_load(&memcg->memory.high);
	int64_t usage = page_counter_read(&memcg->memory), want = 0;

	if (max < PAGE_COUNTER_MAX && max - usage < kswapd_margin(max))
		want = usage - max + 2 * kswapd_margin(max);
	if (high < PAGE_COUNTER_MAX && usage > high - kswapd_margin(high) &&
	    usage - high + kswapd_margin(high) > want)
		want = usage - high + kswapd_margin(high);
	return want;
}

bool kswapd_wanted(const struct mem_cgroup *memcg)
{
	return kswapd_target(memcg) > 0;
}

void kswapd_wake(struct engine *e)
{
	waitq_wake(&e->kswapd_wait);
}

/* One round over all nodes. True: freed something and more is needed. */
static bool balance_nodes(struct engine *e)
{
	bool again = false;

	for (unsigned node = 0; node < e->nr_nodes; node++) {
		struct reclaim_result r;
		int64_t want;

		if (e->node[node].demote_to < 0 || (want = frames_wanted(e, node)) == 0)
			continue;
		reclaim_node(e, node, want, RECLAIM_KSWAPD, &r);
		again |= r.reclaimed + r.demoted > 0 && frames_wanted(e, node) > 0;
	}
	return again;
}

/* One round over all groups. True: freed something and more is needed. */
static bool balance_groups(struct engine *e)
{
	struct mem_cgroup *m = NULL, *next;
	bool again = false;

	for (;;) {
		struct reclaim_result r;
		int64_t want;

		rcu_rd_lock();
		next = m;
		do
			next = memcg_next(e->tree.root, next);
		while (next && !memcg_tryget(next));
		rcu_rd_unlock();
		if (m)
			memcg_put(m);
		m = next;
		if (!m)
			return again;
		want = kswapd_target(m);
		if (want <= 0)
			continue;
		reclaim_group(e, m, want, RECLAIM_KSWAPD, &r);
		again |= r.reclaimed > 0 && kswapd_wanted(m);
	}
}

void kswapd_main(void *arg)
{
	struct engine *e = arg;

	while (!a32_load(&e->kswapd_stop)) {
		uint32_t ticket = waitq_prepare(&e->kswapd_wait);

		bool again = balance_groups(e);

		again |= balance_nodes(e);
		if (again || a32_load(&e->kswapd_stop))
			continue;
		waitq_sleep(&e->kswapd_wait, ticket, 100 * 1000000ll);
	}
}

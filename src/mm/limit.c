/* mm/limit.c - what a new limit of a group asks of its memory, and reclaim that a user asks for. */
#include "mm/limit.h"

#include "mm/charge.h"
#include "mm/reclaim.h"

#define FRUITLESS_MAX 16                   /* passes that free nothing, in a row */
#define PASS_PAGES    1024                 /* pages a pass asks for: usage is looked at between */
#define BUSY_WAIT_NS  (1 * 1000000ull)     /* what was busy may be free again */
#define ENFORCE_NS    (10 * 1000000000ull) /* one call of group_enforce_max */

/* One pass for at most @n pages. *@fruitless counts those in a row that freed nothing. Returns the
 * pages freed. */
static int64_t pass(struct engine *e, struct mem_cgroup *memcg, int64_t n, unsigned flags,
		    unsigned *fruitless)
{
	struct reclaim_result r = { 0 };

	VM_ASSERT(n > 0);
	reclaim_group(e, memcg, n < PASS_PAGES ? n : PASS_PAGES, flags, &r);
	*fruitless = r.reclaimed ? 0 : *fruitless + 1;
	if (!r.reclaimed && (r.busy || r.held))
		plat_sleep_ns(BUSY_WAIT_NS);
	return r.reclaimed;
}

int group_try_max(struct engine *e, struct mem_cgroup *memcg, struct page_counter *c, int64_t max)
{
	unsigned fruitless = 0;

	VM_ASSERT(max >= 0 && (c == &memcg->memory || c == &memcg->memsw));
	/* Swapping out does not lower memory+swap. */
	while (page_counter_set_max(c, max) != 0) {
		int64_t over;

		stock_drain_tree(memcg);
		over = page_counter_read(c) - max;
		if (over <= 0)
			continue;
		if (fruitless >= FRUITLESS_MAX)
			return -EBUSY;
		(void)pass(e, memcg, over, c == &memcg->memsw ? RECLAIM_NOSWAP : 0, &fruitless);
	}
	return 0;
}

void group_enforce_max(struct engine *e, struct mem_cgroup *memcg)
{
	uint64_t start = plat_now_ns();

	stock_drain_tree(memcg);
	while (!charge_settle(e, memcg) && plat_now_ns() - start < ENFORCE_NS)
		plat_sleep_ns(BUSY_WAIT_NS);
}

int group_shrink(struct engine *e, struct mem_cgroup *memcg, int64_t usage)
{
	unsigned fruitless = 0;

	VM_ASSERT(usage >= 0);
	for (;;) {
		int64_t over = page_counter_read(&memcg->memory) - usage;

		if (over <= 0)
			return 0;
		stock_drain_tree(memcg);
		over = page_counter_read(&memcg->memory) - usage;
		if (over <= 0)
			return 0;
		if (fruitless >= FRUITLESS_MAX)
			return -EAGAIN;
		(void)pass(e, memcg, over, 0, &fruitless);
	}
}

int group_reclaim(struct engine *e, struct mem_cgroup *memcg, int64_t n)
{
	unsigned fruitless = 0;
	int64_t freed = 0;

	VM_ASSERT(n >= 0);
	while (freed < n) {
		if (fruitless >= FRUITLESS_MAX)
			return -EAGAIN;
		freed += pass(e, memcg, n - freed, 0, &fruitless);
	}
	return 0;
}

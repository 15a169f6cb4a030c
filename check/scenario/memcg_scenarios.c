/* check/scenario/memcg_scenarios.c - the charge word, counters and stocks, without pages around
 * them (seed 1). */
#include "scenario/groups.h"

static struct mem_cgroup *a, *b;
static atomic64_t *page;

/* ---- tasks ---- */

static void uncharge(void *word)
{
	groups_uncharge(word);
}

/* A page is charged and uncharged on this CPU: through its stock if it has one. */
static void charge_and_uncharge(void *arg)
{
	struct page_counter *full;
	bool mine = stock_consume(a, 1);

	(void)arg;
	if (!mine && page_counter_try_charge(&a->memsw, 1, &full)) {
		mine = page_counter_try_charge(&a->memory, 1, &full);
		if (!mine)
			page_counter_uncharge(&a->memsw, 1);
	}
	if (mine)
		stock_refill(a, 1);
}

static void drain(void *arg)
{
	(void)arg;
	stock_drain_tree(ROOT);
}

/* ---- the word ---- */

static void one_page(void)
{
	groups_up();
	a = groups_make(ROOT, "A");
	page = groups_page(a);
}

static void uncharge_twice_setup(void)
{
	one_page();
	sim_task("force_empty", uncharge, page, 0, 0);
	sim_task("last unmap", uncharge, page, 1, 0);
}

DEFINE_SCENARIO(uncharge_twice, "uncharge-twice", uncharge_twice_setup, groups_end,
		"two ends of one charge: force_empty and the last unmap");

static void move_charge(void *arg)
{
	(void)arg;
	if (!page_cgroup_transfer(page, a->handle, b->handle))
		return;
	page_counter_charge(&b->memsw, 1);
	page_counter_charge(&b->memory, 1);
	page_counter_uncharge(&a->memory, 1);
	page_counter_uncharge(&a->memsw, 1);
}

static void transfer_and_uncharge_setup(void)
{
	one_page();
	b = groups_make(ROOT, "B");
	/* Precharged, as by a mover: the uncharge may find the page moved before the counters
	 * are. */
	page_counter_charge(&b->memsw, 1);
	page_counter_charge(&b->memory, 1);
	a64_store(&b->stock.cpu[0].nr, 1);
	sim_task("move", move_charge, NULL, 0, 0);
	sim_task("last unmap", uncharge, page, 1, 0);
}

DEFINE_SCENARIO(transfer_and_uncharge, "transfer-and-uncharge", transfer_and_uncharge_setup,
		groups_end, "a charge is handed to another group while it ends");

/* ---- limits ---- */

struct limit_result {
	int err;
	bool charged;
};

static struct limit_result *result;

static void set_limit(void *arg)
{
	(void)arg;
	result->err = page_counter_set_max(&a->memory, 4);
}

static void charge_three(void *arg)
{
	struct page_counter *full;

	(void)arg;
	result->charged = page_counter_try_charge(&a->memory, 3, &full);
}

static void limit_and_charge_setup(void)
{
	groups_up();
	a = groups_make(ROOT, "A");
	result = plat_alloc(sizeof(*result));
	page_counter_charge(&a->memory, 3);
	page_counter_force_max(&a->memory, 10);
	sim_task("set_max", set_limit, NULL, 0, 0);
	sim_task("charge", charge_three, NULL, 1, 0);
}

static void limit_and_charge_end(void)
{
	int64_t usage = page_counter_read(&a->memory), max = a64_load(&a->memory.max);

	if (usage > max)
		sim_fail(SIM_WRONG, NULL, 0, "I6: usage %lld is above max %lld", (long long)usage,
			 (long long)max);
	expect_is("usage", usage, result->charged ? 6 : 3);
	expect_is("max after the result of set_max", max, result->err == 0 ? 4 : 10);
	page_counter_uncharge(&a->memory, usage);
	groups_end();
}

DEFINE_SCENARIO(limit_and_charge, "limit-and-charge", limit_and_charge_setup, limit_and_charge_end,
		"the limit is lowered while a charge comes in");

static void charge_child(void *arg)
{
	struct page_counter *full = NULL;

	(void)arg;
	result->charged = page_counter_try_charge(&a->memory, 2, &full);
	if (!result->charged && full != &ROOT->memory)
		sim_fail(SIM_WRONG, NULL, 0, "the counter that was full is another one");
}

static void uncharge_other(void *arg)
{
	(void)arg;
	page_counter_uncharge(&b->memory, 1);
}

static void parent_full_setup(void)
{
	groups_up();
	a = groups_make(ROOT, "A");
	b = groups_make(ROOT, "B");
	result = plat_alloc(sizeof(*result));
	page_counter_charge(&b->memory, 2);
	page_counter_force_max(&ROOT->memory, 3);
	sim_task("charge", charge_child, NULL, 0, 0);
	sim_task("uncharge", uncharge_other, NULL, 1, 0);
}

static void parent_full_end(void)
{
	expect_is("A's memory", page_counter_read(&a->memory), result->charged ? 2 : 0);
	expect_is("the root's memory", page_counter_read(&ROOT->memory), result->charged ? 3 : 1);
	expect_is("charges that met the root's max", a64_load(&ROOT->memory.failcnt),
		  !result->charged);
	expect_is("A's watermark", a64_load(&a->memory.watermark), result->charged ? 2 : 0);
	if (a64_load(&ROOT->memory.watermark) > 3)
		sim_fail(SIM_WRONG, NULL, 0, "a charge that failed is in the watermark");
	if (result->charged)
		page_counter_uncharge(&a->memory, 2);
	page_counter_uncharge(&b->memory, 1);
	groups_end();
}

DEFINE_SCENARIO(parent_full, "parent-full", parent_full_setup, parent_full_end,
		"a charge fails at the parent, and takes itself back, while a sibling uncharges");

static void charge_one(void *arg)
{
	struct page_counter *full;

	(void)arg;
	if (!page_counter_try_charge(&a->memory, 1, &full))
		sim_fail(SIM_WRONG, NULL, 0, "there is no limit, but the charge failed");
}

static void uncharge_one(void *arg)
{
	(void)arg;
	page_counter_uncharge(&a->memory, 1);
}

static void watermark_setup(void)
{
	groups_up();
	a = groups_make(ROOT, "A");
	page_counter_charge(&a->memory, 1);
	sim_task("charge 1", charge_one, NULL, 0, 1);
	sim_task("charge 2", charge_one, NULL, 0, 1);
	sim_task("uncharge", uncharge_one, NULL, 1, 0);
}

static void watermark_end(void)
{
	int64_t mark = a64_load(&a->memory.watermark);

	/* Two are charged at the end: the second to come has seen at least two. */
	if (mark < 2 || mark > 3)
		sim_fail(SIM_WRONG, NULL, 0, "the watermark is %lld", (long long)mark);
	expect_is("A's memory", page_counter_read(&a->memory), 2);
	page_counter_uncharge(&a->memory, 2);
	groups_end();
}

DEFINE_SCENARIO(watermark, "watermark", watermark_setup, watermark_end,
		"two charges raise the watermark while an uncharge lowers usage");

static void charge_two(void *arg)
{
	struct page_counter *full;

	(void)arg;
	if (!page_counter_try_charge(&a->memory, 2, &full))
		sim_fail(SIM_WRONG, NULL, 0, "there is no limit, but the charge failed");
}

static void force_one(void *arg)
{
	(void)arg;
	page_counter_charge(&a->memory, 1);
}

static void watermark_raised_setup(void)
{
	groups_up();
	a = groups_make(ROOT, "A");
	sim_task("charge 1", charge_one, NULL, 0, 0);
	sim_task("charge 2", charge_two, NULL, 1, 0);
	sim_task("charge by force", force_one, NULL, 0, 0);
}

/* Usage only grew: a task that raises the watermark to less must not undo the other's raise. */
static void watermark_raised_end(void)
{
	expect_is("A's watermark", a64_load(&a->memory.watermark), 4);
	expect_is("the root's watermark", a64_load(&ROOT->memory.watermark), 4);
	page_counter_uncharge(&a->memory, 4);
	groups_end();
}

DEFINE_SCENARIO(watermark_raised, "watermark-raised", watermark_raised_setup, watermark_raised_end,
		"charges of different sizes raise the watermark: the highest one stays");

/* ---- stocks ---- */

static void stocked(int64_t n)
{
	groups_up();
	a = groups_make(ROOT, "A");
	page_counter_charge(&a->memsw, n);
	page_counter_charge(&a->memory, n);
	a64_store(&a->stock.cpu[0].nr, n);
}

static void stocks_and_drain_setup(void)
{
	stocked(1);
	sim_task("CPU 0", charge_and_uncharge, NULL, 0, 0);
	sim_task("CPU 1", charge_and_uncharge, NULL, 1, 0);
	sim_task("drain", drain, NULL, 0, 0);
}

DEFINE_SCENARIO(stocks_and_drain, "stocks-and-drain", stocks_and_drain_setup, groups_end,
		"pages come and go through the stocks of two CPUs while the stocks are drained");

static void stock_full_setup(void)
{
	stocked(STOCK_BATCH);
	sim_task("first", charge_and_uncharge, NULL, 0, 0);
	sim_task("drain", drain, NULL, 1, 0);
	page = groups_page(a);
	sim_task("second", uncharge, page, 0, 0);
}

DEFINE_SCENARIO(stock_full, "stock-full", stock_full_setup, groups_end,
		"a full stock is refilled by two threads of one CPU while it is drained");

static void stock_and_removal_setup(void)
{
	one_page();
	sim_task("last unmap", uncharge, page, 0, 0);
	sim_task("rmdir", groups_remove_task, a, 1, 0);
}

DEFINE_SCENARIO(stock_and_removal, "stock-and-removal", stock_and_removal_setup, groups_end,
		"an uncharge puts its page into the stock of a group that is removed");

/* check/scenario/charge_scenarios.c - charges at a limit, the OOM killer and background reclaim:
 * who waits, who wakes. In those with no_time a wait does not time out: a lost wake-up is a
 * deadlock. */
#include "scenario/tasks.h"
#include "mm/charge.h"
#include "mm/oom.h"

static struct mem_cgroup *a, *b;
static struct mm *mm, *other, *third;
static bool *charged; /* in the arena; one per task */

/* ---- tasks ---- */

static void charge_one(void *result)
{
	*(bool *)result = charge_pages(&fx->e, a, NULL, 1, CHARGE_NORECLAIM) == 0;
}

static void charge_reclaiming(void *result)
{
	*(bool *)result = charge_pages(&fx->e, a, NULL, 1, CHARGE_NOOOM) == 0;
}

static void give_back(void *arg)
{
	(void)arg;
	uncharge_pages(a, 1);
}

/* The limit was hit and nothing could be reclaimed. */
static void wait_for_victim(void *arg)
{
	(void)arg;
	if (!oom_kill(&fx->e, a, mm, 1, true) || a32_load(&mm->dying))
		sim_fail(SIM_WRONG, NULL, 0,
			 "a process is killed though another one's end makes room");
}

static void kill_one(void *arg)
{
	(void)arg;
	oom_kill(&fx->e, a, NULL, 1, false);
}

static void kswapd(void *arg)
{
	(void)arg;
	kswapd_main(&fx->e);
}

/* ---- a limit ---- */

static void full_group(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	charged = plat_alloc(2 * sizeof(*charged));
	page_counter_charge(&a->memsw, 1);
	page_counter_charge(&a->memory, 1);
	page_counter_force_max(&a->memory, 1);
}

static void charged_end(void)
{
	int64_t n = charged[0] + charged[1];

	expect_is("A's memory, less its stocks", page_counter_read(&a->memory) - stock_read(a), n);
	if (n > 1)
		sim_fail(SIM_WRONG, NULL, 0, "I6: %lld pages are charged, the limit is 1",
			 (long long)n);
	if (n)
		uncharge_pages(a, n);
	fx_down();
}

static void limit_by_two_setup(void)
{
	full_group();
	sim_task("charge 1", charge_one, &charged[0], 0, 0);
	sim_task("charge 2", charge_one, &charged[1], 0, 0);
	sim_task("uncharge", give_back, NULL, 1, 0);
}

DEFINE_SCENARIO(limit_by_two, "limit-by-two", limit_by_two_setup, charged_end,
		"two charges at the limit while a third task gives a page back");

static void limit_and_uncharge_setup(void)
{
	full_group();
	sim_task("charge", charge_reclaiming, &charged[0], 0, 0);
	sim_task("uncharge", give_back, NULL, 1, 0);
}

DEFINE_SCENARIO(limit_and_uncharge, "limit-and-uncharge", limit_and_uncharge_setup, charged_end,
		"a charge at the limit looks for room while an uncharge puts it into a stock");

static void charge_at(void *arg)
{
	struct mem_cgroup *group = arg;

	if (charge_pages(&fx->e, group, NULL, 1, CHARGE_NORECLAIM) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "a charge failed below its limit");
}

/* memory+swap goes up first and down last. While it goes up, a task that reads memory first sees no
 * more of it than of both; while it goes down, one that reads memory last does. */
static void look(void *arg)
{
	int64_t up = page_counter_read(&a->memory), both = page_counter_read(&a->memsw), sum, part;

	(void)arg;
	if (up > both)
		sim_fail(SIM_WRONG, NULL, 0, "I6: memory %lld is above memory+swap %lld",
			 (long long)up, (long long)both);
	sum = page_counter_read(&b->memsw);
	part = page_counter_read(&b->memory);
	if (part > sum)
		sim_fail(SIM_WRONG, NULL, 0, "I6: memory %lld is above memory+swap %lld",
			 (long long)part, (long long)sum);
}

static void charge_and_drain(void *arg)
{
	(void)arg;
	charge_at(a);
	stock_drain(b);
}

static void memsw_order_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	b = fx_group("B", 1);
	sim_task("charge, uncharge", charge_and_drain, NULL, 0, 0);
	sim_task("reader", look, NULL, 1, 0);
}

static void memsw_order_end(void)
{
	uncharge_pages(a, 1);
	fx_down();
}

DEFINE_SCENARIO(memsw_order, "memsw-order", memsw_order_setup, memsw_order_end,
		"memory is never above memory+swap, not for an instant");

/* ---- out of memory ---- */

static void full(void)
{
	stock_drain(a);
	page_counter_force_max(&a->memory, page_counter_read(&a->memory));
}

/* The victim was told to exit; the other process is at the limit. */
static void oom_and_exit_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 2);
	mm = fx_mm(a, "survivor", 1);
	other = fx_mm(a, "victim", 1);
	fx_fill(other, 0);
	full();
	a32_store(&other->dying, 1);
	sim_task("charge", wait_for_victim, NULL, 0, 0);
	sim_task("exit", task_exit, other, 1, 0);
}

DEFINE_SCENARIO(oom_and_exit, "oom-and-exit", oom_and_exit_setup, fx_down,
		"a charge waits for a victim that is on its way out", .no_time = true);

/* The victim has not exited, and the room comes from elsewhere. */
static void oom_and_room_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 3);
	mm = fx_mm(a, "survivor", 1);
	other = fx_mm(a, "victim", 1);
	third = fx_mm(a, "third", 1);
	fx_fill(third, 0);
	full();
	a32_store(&other->dying, 1);
	sim_task("charge", wait_for_victim, NULL, 0, 0);
	sim_task("madvise", task_zap, third, 1, 0);
}

DEFINE_SCENARIO(oom_and_room, "oom-and-room", oom_and_room_setup, fx_down,
		"a charge does not wait for a victim when there is room", .no_time = true);

static void oom_by_two_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 2);
	mm = fx_mm(a, "one", 1);
	other = fx_mm(a, "another", 1);
	fx_fill(mm, 0);
	fx_fill(other, 0);
	full();
	sim_task("charge 1", kill_one, NULL, 0, 0);
	sim_task("charge 2", kill_one, NULL, 1, 0);
}

static void oom_by_two_end(void)
{
	expect_is("processes killed", event_read(a, EVENT_OOM_KILL), 1);
	fx_down();
}

DEFINE_SCENARIO(oom_by_two, "oom-by-two", oom_by_two_setup, oom_by_two_end,
		"two charges are out of memory at once: one process is killed");

/* ---- out of memory, and room is only on its way ---- */

static void charge_for_a_while(void *arg)
{
	int err = charge_pages(&fx->e, a, NULL, 1, 0);

	(void)arg;
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the charge failed: %d", err);
	uncharge_pages(a, 1);
}

static void nobody_killed_end(void)
{
	expect_is("processes killed", event_read(a, EVENT_OOM_KILL), 0);
	fx_down();
}

static void read_ahead(void *arg)
{
	(void)arg;
	fault_read_ahead(mm, FX_VA(0), 1);
}

/* One page may be charged. The second task waits for the first, or takes what the first is done
 * with. */
static void oom_and_read_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	stock_drain(a);
	page_counter_force_max(&a->memory, 1);
	sim_task("read-ahead", read_ahead, NULL, 0, 0);
	sim_task("charge", charge_for_a_while, NULL, 1, 0);
}

DEFINE_SCENARIO(oom_and_read, "oom-and-read", oom_and_read_setup, nobody_killed_end,
		"a limit is met, and all that is charged is a page that is being read from swap");

/* At once, because what follows a kill is not the point. */
static void nobody_killed_look(void)
{
	expect_is("processes killed", event_read(a, EVENT_OOM_KILL), 0);
}

/* Other charges have waited past the limit of waiting, and background reclaim made progress just
 * now. What is left cannot be reclaimed yet: its process is forking. */
static void end_fork(void *arg)
{
	plat_sleep_ns(300 * 1000000ull);
	a32_acc(&((struct mm *)arg)->no_reclaim, -1);
}

static void oom_and_fork_setup(void)
{
	struct reclaim_result r;

	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	mm = fx_mm(a, "forking", 1);
	other = fx_mm(a, "other", 1);
	fx_fill(mm, 0);
	fx_fill(other, 0);
	a32_acc(&mm->no_reclaim, 1);
	a64_store(&memcg_lists(a)->stuck_last, (int64_t)plat_now_ns());
	a64_store(&memcg_lists(a)->stuck_since, (int64_t)plat_now_ns() - 60 * 1000000000ll);
	reclaim_group(&fx->e, a, 1, RECLAIM_KSWAPD, &r);
	full();
	sim_task("fork", end_fork, mm, 0, 0);
	sim_task("charge", charge_for_a_while, NULL, 1, 0);
}

DEFINE_SCENARIO(
	oom_and_fork, "oom-and-fork", oom_and_fork_setup, nobody_killed_end,
	"a limit is met while the only process that has pages forks; others have waited before",
	.look = nobody_killed_look);

/* It has found the page in the swap cache, and is not scheduled. */
static void let_go(void *page)
{
	plat_sleep_ns(300 * 1000000ull);
	page_put(&fx->e, page);
}

static void oom_and_held_setup(void)
{
	struct page *p;

	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
	fx_push_to_cache(mm, 0, false);
	p = swapcache_get(&fx->e, pte_entry(fx_pte(mm, 0)));
	full();
	sim_task("fault", let_go, p, 0, 0);
	sim_task("charge", charge_for_a_while, NULL, 1, 0);
}

DEFINE_SCENARIO(oom_and_held, "oom-and-held", oom_and_held_setup, nobody_killed_end,
		"a limit is met, and all that is charged is a page that a fault refers to, and is "
		"slow about it",
		.look = nobody_killed_look);

/* ---- above memory.high ---- */

/* Swap is full: the only reclaimable page is the one that was just read, because it has a slot. */
static void high_and_fork_of_swapped_setup(void)
{
	fx_up(1);
	a = fx_group("A", 0);
	mm = fx_mm(a, "parent", 1);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	other = fx_fork(mm, "child");
	a64_store(&a->memory.high, 0);
	sim_task("write", task_write, other, 0, 0);
}

DEFINE_SCENARIO(high_and_fork_of_swapped, "high-and-fork-of-swapped",
		high_and_fork_of_swapped_setup, fx_down,
		"above memory.high a child writes to a page that is out, and swap is full");

/* The same at memory.max, which has room for the page or its copy. A process is killed; nothing
 * else would help. */
static void write_or_be_killed(void *arg)
{
	int err = fx_fault(arg, 0, true);

	if (err != 0 && err != -ENOMEM && err != -ESRCH)
		sim_fail(SIM_WRONG, NULL, 0, "the store ends with %d", err);
}

static void max_and_fork_of_swapped_setup(void)
{
	fx_up(1);
	a = fx_group("A", 0);
	mm = fx_mm(a, "parent", 1);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	other = fx_fork(mm, "child");
	page_counter_force_max(&a->memory, 1);
	sim_task("write", write_or_be_killed, other, 0, 0);
}

DEFINE_SCENARIO(max_and_fork_of_swapped, "max-and-fork-of-swapped", max_and_fork_of_swapped_setup,
		fx_down, "at memory.max a child writes to a page that is out, and swap is full");

/* ---- background reclaim ---- */

/* Wakes it, and waits for the pages it frees. */
static void wake_and_wait(void *arg)
{
	uint32_t ticket = waitq_prepare(&fx->e.progress);

	(void)arg;
	page_counter_charge(&a->memsw, 1);
	page_counter_charge(&a->memory, 1);
	if (kswapd_wanted(a))
		kswapd_wake(&fx->e);
	waitq_sleep(&fx->e.progress, ticket, -1);
	a32_store(&fx->e.kswapd_stop, 1);
	kswapd_wake(&fx->e);
	page_counter_uncharge(&a->memory, 1);
	page_counter_uncharge(&a->memsw, 1);
}

/* One page less than the margin is free after the charge, and one page is reclaimable. */
static void kswapd_and_wake_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 2);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
	stock_drain(a);
	page_counter_force_max(&a->memory, 1 + kswapd_margin(1));
	sim_task("kswapd", kswapd, NULL, 0, 0);
	sim_task("charge", wake_and_wait, NULL, 1, 0);
}

DEFINE_SCENARIO(kswapd_and_wake, "kswapd-and-wake", kswapd_and_wake_setup, fx_down,
		"background reclaim goes to sleep while a charge wakes it", .no_time = true);

static void rmdir_and_stop(void *arg)
{
	fx_ungroup(arg);
	a32_store(&fx->e.kswapd_stop, 1);
	kswapd_wake(&fx->e);
}

static void kswapd_and_removal_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	sim_task("kswapd", kswapd, NULL, 0, 0);
	sim_task("rmdir", rmdir_and_stop, a, 1, 0);
}

DEFINE_SCENARIO(kswapd_and_removal, "kswapd-and-removal", kswapd_and_removal_setup, fx_down,
		"background reclaim walks the tree while a group is removed", .no_time = true);

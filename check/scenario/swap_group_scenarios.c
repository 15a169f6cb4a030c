/* check/scenario/swap_group_scenarios.c - swap slots of a group that is removed while they are
 * read, freed, shared or written. All of them require: the slots' swap and memory+swap belong to
 * the parent afterwards, exactly; the group is gone at once, its charge record with the last slot
 * that names it, and a new group of the same name inherits nothing. */
#include "scenario/tasks.h"

static struct mem_cgroup *a, *b;
static struct mm *mm, *child;
static struct page *victim;
static uint32_t *old_id; /* in the arena: restored before each execution */

/* ---- tasks ---- */

static void fork_and_zap_both(void *arg)
{
	(void)arg;
	fx_fork_into(mm, child);
	fx_discard(mm, 0, 1);
	fx_discard(child, 0, 1);
}

/* The same name again: it leads to nothing of the old group. */
static void rmdir_and_mkdir(void *arg)
{
	int err;

	(void)arg;
	fx_ungroup(a);
	fx->group[0] = group_create(&fx->e, NULL, "A", &err);
	if (!fx->group[0])
		sim_fail(SIM_WRONG, NULL, 0, "mkdir failed: %d", err);
}

/* ---- set-up ---- */

/* mm lives in B; its page 0 is charged to A. */
static void space(unsigned nr_slots)
{
	fx_up(nr_slots);
	a = fx_group("A", 8);
	b = fx_group("B", 8);
	mm = fx_mm(a, "mm", 2);
	fx_fill(mm, 0);
}

static void left_behind(void)
{
	stock_drain(a); /* removal would: less to explore */
	fx_move(mm, b);
}

/* In swap. */
static void out(void)
{
	space(FX_SLOTS);
	fx_push_out(mm, 0);
	left_behind();
}

/* In swap and in the swap cache, isolated by reclaim. */
static void cached(bool dirty)
{
	space(FX_SLOTS);
	fx_push_to_cache(mm, 0, dirty);
	victim = fx_isolate(mm, 0);
	left_behind();
}

/* ---- at the end ---- */

/* Before fx_down tears everything down: who owns the slots? */
static void expect_no_old_handles(void)
{
	struct swap_device *d = fx->e.swap;

	rcu_flush();
	for (uint32_t i = 0; i < d->nr_slots; i++) {
		const struct mem_cgroup *owner = d->owner[i] ? handle_memcg(d->owner[i]) : NULL;

		if (owner && owner != b && owner != fx->e.tree.root)
			sim_fail(SIM_WRONG, NULL, 0,
				 "slot %u is charged to a group that never had it", i);
	}
}

static void group_end(void)
{
	expect_no_old_handles();
	fx_down();
}

static void anew_end(void)
{
	struct mem_cgroup *g = fx->group[0];

	expect_no_old_handles();
	expect_is("the new group has another id", g->id != *old_id, 1);
	expect_is("swap of the new group", page_counter_read(&g->swap), 0);
	expect_is("memory+swap of the new group", page_counter_read(&g->memsw), 0);
	fx_down();
}

/* ---- the slot is used ---- */

static void in_and_rmdir_setup(void)
{
	out();
	sim_task("fault", task_fault, mm, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(swap_in_and_rmdir, "swap-in-and-rmdir", in_and_rmdir_setup, group_end,
		"a page is read from a slot whose group is removed");

static void zap_and_rmdir_setup(void)
{
	out();
	sim_task("zap", task_zap, mm, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(
	swap_zap_and_rmdir, "swap-zap-and-rmdir", zap_and_rmdir_setup, group_end,
	"a slot is freed while its group, and with the slot the record of its charges, goes");

static void fork_and_rmdir_setup(void)
{
	out();
	child = fx_empty_mm(b, "child");
	sim_task("fork, zaps", fork_and_zap_both, NULL, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(swap_fork_and_rmdir, "swap-fork-and-rmdir", fork_and_rmdir_setup, group_end,
		"a slot gets another user, and loses both, while its group is removed");

static void name_anew_setup(void)
{
	out();
	old_id = plat_alloc(sizeof(*old_id));
	*old_id = a->id;
	sim_task("zap", task_zap, mm, 0, 0);
	sim_task("rmdir, mkdir", rmdir_and_mkdir, NULL, 1, 0);
}
DEFINE_SCENARIO(
	swap_name_anew, "swap-name-anew", name_anew_setup, anew_end,
	"a slot outlives its group, whose name is given to another: that one is charged nothing");

/* ---- the slot is made, or kept ---- */

static void drop_and_rmdir_setup(void)
{
	cached(false);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(swap_drop_and_rmdir, "swap-drop-and-rmdir", drop_and_rmdir_setup, group_end,
		"a page leaves the swap cache, its slot is charged for memory+swap, and their "
		"group is removed");

static void write_and_rmdir_setup(void)
{
	cached(true);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(swap_write_and_rmdir, "swap-write-and-rmdir", write_and_rmdir_setup, group_end,
		"a page is written to its slot, then dropped, while their group is removed");

static void full_and_rmdir_setup(void)
{
	space(1);
	fx_push_out(mm, 0);
	fx_fill(mm, 1);
	victim = fx_isolate(mm, 1);
	left_behind();
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(swap_full_and_rmdir, "swap-full-and-rmdir", full_and_rmdir_setup, group_end,
		"reclaim charges a group for a slot, finds none, and gives the charge back: the "
		"group goes in between");

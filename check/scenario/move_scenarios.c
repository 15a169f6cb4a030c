/* check/scenario/move_scenarios.c - charges that move from group to group while their pages are
 * used (seed 4, invariant A). All of them require: a page's owner is charged for it and has it in
 * its statistics, whoever ran in between. */
#include "scenario/tasks.h"
#include "mm/migrate.h"
#include "mm/move.h"

static struct mem_cgroup *from, *to, *third;
static struct mm *mm;
static struct page *victim;

/* ---- tasks ---- */

static void move(void *arg)
{
	int err = mm_move_group(mm, to, MOVE_ANON);

	(void)arg;
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the move failed: %d", err);
}

static void fault_0(void *arg)
{
	(void)arg;
	fx_fault(mm, 0, false);
}

/* ---- set-up ---- */

static void space(void)
{
	fx_up(FX_SLOTS);
	from = fx_group("A", 8);
	to = fx_group("B", 8);
	mm = fx_mm(from, "mm", 1);
	fx_fill(mm, 0);
	sim_task("move", move, NULL, 0, 0);
}

/* A reference for a task that will try to isolate page 0. */
static void wanted(void)
{
	victim = fx_isolate(mm, 0);
	lru_add(victim);
}

static void and_unmap_setup(void)
{
	space();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(move_and_unmap, "move-and-unmap", and_unmap_setup, fx_down,
		"a page changes its group while its last mapping goes (seed 4)");

/* A store redirects the entry to a copy: the page stays behind, in the swap cache for the child.
 * Copy-on-write unmaps with mmap_lock held for reading, as the mover walks. */
static void fault_to_store(void *arg)
{
	(void)arg;
	fx_fault(mm, 0, true);
}

static void and_cow_setup(void)
{
	space();
	fx_fork(mm, "child");
	fx_push_to_cache(mm, 0, false);
	fx_fault(mm, 0, false);
	sim_task("store", fault_to_store, NULL, 1, 0);
}
DEFINE_SCENARIO(
	move_and_cow, "move-and-cow", and_cow_setup, fx_down,
	"a page changes its group while a copy takes its place: the drawn interleaving of seed 4");

static void and_fault_setup(void)
{
	space();
	fx_discard(mm, 0, 1);
	sim_task("fault", fault_0, NULL, 1, 0);
}
DEFINE_SCENARIO(move_and_fault, "move-and-fault", and_fault_setup, fx_down,
		"an address space changes its group while a fault charges a page");

static void cached_and_reclaim_setup(void)
{
	space();
	fx_push_to_cache(mm, 0, false);
	victim = swapcache_get(&fx->e, pte_entry(fx_pte(mm, 0)));
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(move_cached_and_reclaim, "move-cached-and-reclaim", cached_and_reclaim_setup,
		fx_down, "a page of the swap cache changes its group while reclaim drops it");

static void and_migrate_setup(void)
{
	space();
	wanted();
	sim_task("migrate", task_migrate_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(move_and_migrate, "move-and-migrate", and_migrate_setup, fx_down,
		"a page changes its group while it changes its frame");

static void swapped_and_zap_setup(void)
{
	space();
	fx_push_out(mm, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(move_swapped_and_zap, "move-swapped-and-zap", swapped_and_zap_setup, fx_down,
		"a swap entry changes its group while it goes");

static void swapped_and_fault_setup(void)
{
	space();
	fx_push_out(mm, 0);
	sim_task("fault", fault_0, NULL, 1, 0);
}
DEFINE_SCENARIO(move_swapped_and_fault, "move-swapped-and-fault", swapped_and_fault_setup, fx_down,
		"a swap entry changes its group while its page is brought back");

static void cached_and_zap_setup(void)
{
	space();
	fx_push_to_cache(mm, 0, false);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(move_cached_and_zap, "move-cached-and-zap", cached_and_zap_setup, fx_down,
		"a page of the swap cache changes its group while its entry goes");

/* The child, which stays, unmaps the page at whose slot the mover's entry points: by the map count
 * at that time only that entry refers to it; its end as a mapped page is not counted yet. */
static struct mm *child;

static void cached_and_unmap_setup(void)
{
	space();
	child = fx_fork(mm, "child");
	fx_push_to_cache(mm, 0, false);
	fx_fault(child, 0, false);
	sim_task("zap", task_zap, child, 1, 0);
}
DEFINE_SCENARIO(move_cached_and_unmap, "move-cached-and-unmap", cached_and_unmap_setup, fx_down,
		"a page of the swap cache changes its group while another address space unmaps it "
		"(seed 4)");

/* A page of a file: its last mapping ends in the other address space, the mover's begins and moves.
 * The three share no lock. */

static void move_file(void *arg)
{
	int err = mm_move_group(mm, to, MOVE_FILE);

	(void)arg;
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the move failed: %d", err);
}

static void file_mapped_anew_setup(void)
{
	struct address_space *as;
	struct mm *other;

	fx_up(FX_SLOTS);
	from = fx_group("A", 8);
	to = fx_group("B", 8);
	as = fx_file(1);
	mm = fx_file_mm(from, "mm", as);
	other = fx_file_mm(from, "other", as);
	fx_fault(other, 0, false);
	sim_task("zap", task_zap, other, 1, 0);
	sim_task("fault", fault_0, NULL, 0, 0);
	sim_task("move", move_file, NULL, 1, 0);
}
DEFINE_SCENARIO(move_file_mapped_anew, "move-file-mapped-anew", file_mapped_anew_setup, fx_down,
		"a page of a file changes its group while one mapping ends and another begins");

/* The group it leaves is removed as soon as it has no address space. */
static void remove_from(void *arg)
{
	(void)arg;
	if (aptr_load(&mm->memcg) == to && group_remove(&fx->e, from) == 0) {
		memcg_put(from);
		fx->group[0] = to;
		fx->nr_groups = 1;
	}
}

static void and_removal_setup(void)
{
	space();
	sim_task("rmdir A", remove_from, NULL, 1, 0);
}
DEFINE_SCENARIO(move_and_removal, "move-and-removal", and_removal_setup, fx_down,
		"charges move out of a group that is being removed");

static void and_munmap_setup(void)
{
	space();
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(move_and_munmap, "move-and-munmap", and_munmap_setup, fx_down,
		"the mover walks areas that are unmapped");

static void remove_source(void *arg)
{
	int err = group_remove(&fx->e, from);

	(void)arg;
	if (err && err != -EBUSY)
		sim_fail(SIM_WRONG, NULL, 0, "rmdir failed: %d", err);
	if (err)
		return;
	memcg_put(from);
	fx->group[0] = NULL;
}

static void and_rmdir_setup(void)
{
	space();
	sim_task("rmdir", remove_source, NULL, 1, 0);
}
DEFINE_SCENARIO(move_and_rmdir, "move-and-rmdir", and_rmdir_setup, fx_down,
		"a group is removed while its last address space moves away");

/* Where it ends up depends on who is last; its charge is there, or with the one before. */
static void move_to_third(void *arg)
{
	int err = mm_move_group(mm, third, MOVE_ANON);

	(void)arg;
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the move failed: %d", err);
}

static void twice_setup(void)
{
	space();
	third = fx_group("C", 8);
	sim_task("move to C", move_to_third, NULL, 1, 0);
}
DEFINE_SCENARIO(move_twice, "move-twice", twice_setup, fx_down,
		"an address space moves to two groups at once");

/* Its page is charged to a third group, which it has left before. */
static void remove_third(void *arg)
{
	(void)arg;
	fx_ungroup(third);
}

static void and_rmdir_owner_setup(void)
{
	fx_up(FX_SLOTS);
	from = fx_group("A", 8);
	to = fx_group("B", 8);
	third = fx_group("C", 8);
	mm = fx_mm(third, "mm", 1);
	fx_fill(mm, 0);
	fx_move(mm, from);
	sim_task("move", move, NULL, 0, 0);
	sim_task("rmdir C", remove_third, NULL, 1, 0);
}
DEFINE_SCENARIO(move_and_rmdir_owner, "move-and-rmdir-owner", and_rmdir_owner_setup, fx_down,
		"the mover looks at a page whose owner, a third group, is removed");

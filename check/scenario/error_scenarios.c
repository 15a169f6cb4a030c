/* check/scenario/error_scenarios.c - failures under concurrency: a read of swap, memory for a move.
 * All of them require: no task gets wrong words, a refused caller is told so, nothing is left
 * behind. */
#include "mm/migrate.h"
#include "mm/swap_io.h"
#include "scenario/tasks.h"

#define FAR 512u /* a page of the next leaf */

static struct mm *mm, *child;
static struct page *victim;

/* ---- tasks ---- */

/* Until the access succeeds, or fails with SIGBUS: the content is lost. */
static void fault_or_lost(void *arg)
{
	int err = fx_fault(arg, 0, false);

	if (err && err != -EIO)
		sim_fail(SIM_WRONG, NULL, 0, "the fault failed: %d", err);
}

static void store_or_lost(void *arg)
{
	int err = fx_fault(arg, 0, true);

	if (err && err != -EIO)
		sim_fail(SIM_WRONG, NULL, 0, "the store failed: %d", err);
}

static void migrate(void *arg)
{
	struct migrate_result r;

	(void)arg;
	migrate_pages(&fx->e, &victim, 1, 0, MIGRATE_COMPACTION, &r);
}

static void mremap_or_not(void *arg)
{
	int err;

	(void)arg;
	rw_wrlock(&mm->mmap_lock);
	err = mm_remap_locked(mm, FX_VA(0), FX_VA(FAR), PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
	if (err && err != -ENOMEM)
		sim_fail(SIM_WRONG, NULL, 0, "mremap: %d", err);
}

/* ---- reading ---- */

/* Page 0 is out, and its next read fails. */
static void out_and_bad(void)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	fault_arm(FAULT_READ, 1);
}

/* The words that were written, or SIGBUS permanently. */
static void look_at(struct mm *space)
{
	if (!pte_is_poison(fx_pte(space, 0)))
		fx_read(space, 0, 0);
	else if (fx_fault(space, 0, false) != -EIO)
		sim_fail(SIM_WRONG, NULL, 0, "a lost page was found again");
}

static void read_end(void)
{
	look_at(mm);
	fx_down();
}

static void read_fails_and_zap_setup(void)
{
	out_and_bad();
	sim_task("fault", fault_or_lost, mm, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(read_fails_and_zap, "read-fails-and-zap", read_fails_and_zap_setup, fx_down,
		"a page that cannot be read is given up while it is");

static void read_fails_and_exit_setup(void)
{
	out_and_bad();
	child = fx_fork(mm, "child");
	sim_task("fault", store_or_lost, mm, 0, 0);
	sim_task("exit", task_exit, child, 1, 0);
}

DEFINE_SCENARIO(read_fails_and_exit, "read-fails-and-exit", read_fails_and_exit_setup, read_end,
		"a page that cannot be read loses its other user");

/* The first loses it; the other finds what the first left, or reads it successfully. */
static void read_fails_for_child_setup(void)
{
	out_and_bad();
	child = fx_fork(mm, "child");
	sim_task("parent", fault_or_lost, mm, 0, 0);
	sim_task("child", fault_or_lost, child, 1, 0);
}

static void read_fails_for_child_end(void)
{
	look_at(child);
	read_end();
}

DEFINE_SCENARIO(read_fails_for_child, "read-fails-for-child", read_fails_for_child_setup,
		read_fails_for_child_end, "parent and child fault on a page that cannot be read",
		.slow = true);

/* ---- memory ---- */

/* A leaf at the new place must be made, and a frame. */
static void remap_fails_and_migrate_setup(void)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	fx_fill(mm, 0);
	victim = fx_isolate(mm, 0);
	fault_arm(FAULT_ALLOC, 1);
	sim_task("mremap", mremap_or_not, NULL, 1, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

DEFINE_SCENARIO(remap_fails_and_migrate, "remap-fails-and-migrate", remap_fails_and_migrate_setup,
		fx_down,
		"there is memory for one of two: a page that moves to another frame, and its area "
		"to another place");

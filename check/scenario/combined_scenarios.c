/* check/scenario/combined_scenarios.c - three things at once, each of which has scenarios of its
 * own: pages change frames and groups, groups are removed or shrunk, processes fork and exit. All
 * of them require: an accepted limit holds; the books agree at the end. */
#include "mm/move.h"
#include "mm/node.h"
#include "mm/oom.h"
#include "scenario/tasks.h"

static struct mem_cgroup *a, *b, *c;
static struct mm *mm, *child;
static struct address_space *file;
static struct page *victim;
static int *lowered; /* in the arena: the outcome of setting the limit */

/* ---- tasks ---- */

static void move_to_b(void *arg)
{
	int err = mm_move_group(arg, b, MOVE_ANON | MOVE_FILE);

	if (err && err != -ENOMEM)
		sim_fail(SIM_WRONG, NULL, 0, "the move failed: %d", err);
}

static void fork_mm(void *arg)
{
	fx_fork_into(arg, child);
}

static void lower(void *counter)
{
	*lowered = page_counter_set_max(counter, 1);
}

/* There may be no room for it. */
static void touch(void *arg)
{
	int err = fx_fault(arg, 0, false);

	if (err && err != -ENOMEM && err != -ESRCH)
		sim_fail(SIM_WRONG, NULL, 0, "the fault ends with %d", err);
}

/* ---- set-up ---- */

static void two_groups(int64_t stock)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", stock);
	b = fx_group("B", stock);
	lowered = plat_alloc(sizeof(*lowered));
}

static void page_in_a(int64_t stock)
{
	two_groups(stock);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
}

/* Two tasks will try to take it off its list. */
static void listed(void)
{
	victim = fx_isolate(mm, 0);
	lru_add(victim);
}

static void below_max(const char *what, struct page_counter *counter)
{
	int64_t usage = page_counter_read(counter), max = a64_load(&counter->max);

	if (*lowered == 0 && usage > max)
		sim_fail(SIM_WRONG, NULL, 0, "I6: %s is %lld, and its limit was accepted as %lld",
			 what, (long long)usage, (long long)max);
}

/* ---- groups and forks ---- */

static void move_and_fork_setup(void)
{
	page_in_a(8);
	child = fx_empty_mm(a, "child");
	sim_task("move", move_to_b, mm, 0, 0);
	sim_task("fork", fork_mm, mm, 1, 0);
}

static void fork_end(void)
{
	fx_read(mm, 0, 0);
	fx_read(child, 0, 0);
	fx_down();
}
DEFINE_SCENARIO(
	move_and_fork, "move-and-fork", move_and_fork_setup, fork_end,
	"an address space changes its group while it forks: its page is its own or shared by then");

static void move_both_setup(void)
{
	page_in_a(8);
	child = fx_fork(mm, "child");
	sim_task("move", move_to_b, mm, 0, 0);
	sim_task("child's move", move_to_b, child, 1, 0);
	sim_task("child's zap", task_zap, child, 0, 0);
}
DEFINE_SCENARIO(
	move_both, "move-both", move_both_setup, fx_down,
	"two address spaces that share a page change their group, and one of them gives it up");

/* ---- lowered limits ---- */

/* mm has left A, whose slot it reads. */
static void swap_in_rmdir_limit_setup(void)
{
	page_in_a(0);
	fx_push_out(mm, 0);
	stock_drain(a);
	fx_move(mm, b);
	sim_task("fault", touch, mm, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
	sim_task("lower B's memory", lower, &b->memory, 1, 0);
}

static void swap_in_rmdir_limit_end(void)
{
	below_max("B's memory", &b->memory);
	fx_down();
}
DEFINE_SCENARIO(swap_in_rmdir_limit, "swap-in-rmdir-limit", swap_in_rmdir_limit_setup,
		swap_in_rmdir_limit_end,
		"a page is read from the slot of a group that is removed while the reader's own "
		"group gets a limit");

/* The page carries the memory+swap charge: its slot carries none. */
static void move_cached_limit_setup(void)
{
	page_in_a(0);
	fx_push_to_cache(mm, 0, false);
	stock_drain(a);
	sim_task("move", move_to_b, mm, 0, 0);
	sim_task("lower B's memory+swap", lower, &b->memsw, 1, 0);
}

static void move_cached_limit_end(void)
{
	below_max("B's memory+swap", &b->memsw);
	fx_down();
}
DEFINE_SCENARIO(move_cached_limit, "move-cached-limit", move_cached_limit_setup,
		move_cached_limit_end,
		"a page of the swap cache changes its group, which gets a limit for memory+swap");

/* ---- files ---- */

static void file_in_a(struct address_space *as)
{
	file = as;
	mm = fx_file_mm(a, "mm", file);
	fx_fill(mm, 0);
}

static void move_and_writeback_setup(void)
{
	two_groups(8);
	file_in_a(fx_file(1));
	sim_task("move", move_to_b, mm, 0, 0);
	sim_task("write-back", task_write_back, file, 1, 0);
}
DEFINE_SCENARIO(move_and_writeback, "move-and-writeback", move_and_writeback_setup, fx_down,
		"a dirty page of a file changes its group while it is written back");

static void migrate_move_shmem_setup(void)
{
	two_groups(8);
	file_in_a(fx_shmem(1));
	listed();
	sim_task("migrate", task_migrate_if_listed, victim, 0, 0);
	sim_task("move", move_to_b, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_move_shmem, "migrate-move-shmem", migrate_move_shmem_setup, fx_down,
		"a page of shared memory changes its frame and its group");

/* ---- out of memory at two levels ---- */

/* A, B inside it, and C inside that; C's process is exiting. */
static void oom_levels_setup(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 0);
	b = fx_subgroup(a, "B", 0);
	c = fx_subgroup(b, "C", 2);
	mm = fx_mm(a, "survivor", 1);
	child = fx_mm(c, "on its way", 1);
	fx_fill(child, 0);
	stock_drain(c);
	page_counter_force_max(&a->memory, page_counter_read(&a->memory));
	page_counter_force_max(&b->memory, page_counter_read(&b->memory));
	a32_store(&child->dying, 1);
}

static void wait_in(void *group)
{
	if (!oom_kill(&fx->e, group, mm, 1, true) || a32_load(&mm->dying))
		sim_fail(SIM_WRONG, NULL, 0,
			 "a process is killed though another one's end makes room");
}

static void oom_at_two_levels_setup(void)
{
	oom_levels_setup();
	sim_task("charge to A", wait_in, a, 0, 0);
	sim_task("charge to C", wait_in, c, 1, 0);
	sim_task("exit", task_exit, child, 1, 0);
}
DEFINE_SCENARIO(oom_at_two_levels, "oom-at-two-levels", oom_at_two_levels_setup, fx_down,
		"two levels of a tree are out of memory and wait for one process, which ends",
		.no_time = true);

/* ---- frames that do not exist yet ---- */

static struct node_resize_result *resized;

static void shrink_node(void *arg)
{
	(void)arg;
	node_resize(&fx->e, 0, 1, 2, resized);
}

static void resize_and_first_frames_setup(void)
{
	two_groups(8);
	resized = plat_alloc(sizeof(*resized));
	mm = fx_mm(a, "mm", 1);
	sim_task("resize", shrink_node, NULL, 0, 0);
	sim_task("fault", task_fault, mm, 1, 0);
}

static void resize_and_first_frames_end(void)
{
	expect_is("frames it may have", fx->e.node[0].max, resized->frames);
	fx_down();
}
DEFINE_SCENARIO(resize_and_first_frames, "resize-and-first-frames", resize_and_first_frames_setup,
		resize_and_first_frames_end,
		"a node becomes smaller while a fault makes the first of its frames");

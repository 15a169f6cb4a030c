/* check/scenario/backing_scenarios.c - private memory that is filled from a file (mm/backing.h), on
 * an MMU that shares no pages and withdraws, as the one for real processes does. All of them
 * require: no page means the file's content and nothing else does; zeroed pages stay zero; where
 * the area is gone, no content of the file appears.
 */
#include "scenario/tasks.h"

static struct mm *mm, *child;

/* ---- tasks ---- */

/* mmap with MAP_FIXED of anonymous memory. */
static void replace(void *arg)
{
	struct mm *m = arg;

	rw_wrlock(&m->mmap_lock);
	soft_client_discard(&fx->soft, m, FX_VA(0), FX_VA(1));
	mm_unmap_locked(m, FX_VA(0), FX_VA(1));
	if (vma_insert(m, FX_VA(0), FX_VA(1), VM_READ | VM_WRITE) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mmap failed");
	rw_wrunlock(&m->mmap_lock);
}

/* mremap with MREMAP_FIXED of the area at FX_VA(4). */
static void move_over(void *arg)
{
	struct mm *m = arg;

	rw_wrlock(&m->mmap_lock);
	soft_client_discard(&fx->soft, m, FX_VA(0), FX_VA(1));
	mm_unmap_locked(m, FX_VA(0), FX_VA(1));
	if (mm_remap_locked(m, FX_VA(4), FX_VA(0), PAGE_SIZE) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mremap failed");
	rw_wrunlock(&m->mmap_lock);
}

static void expect_zeros(struct mm *m)
{
	uint64_t word = 1;

	if (soft_read(&fx->soft, m, plat_cpu(), FX_VA(0), &word, sizeof(word)) != 0 || word != 0)
		sim_fail(SIM_WRONG, NULL, 0, "page 0 holds something else than zeros");
}

static void read_zeros(void *arg)
{
	expect_zeros(arg);
}

/* ---- set-up ---- */

static void untouched(void)
{
	fx_up_withdrawing(FX_SLOTS);
	mm = fx_backed_mm(fx_group("A", 8), "mm", 1);
}

/* Page 0 was changed, and reclaim has it. */
static void in_hand(void)
{
	untouched();
	fx_fill(mm, 0);
	fx_write(mm, 0, 1);
}

static void take_out(void)
{
	sim_task("reclaim", task_reclaim, fx_isolate(mm, 0), 0, 0);
}

static void file_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}

/* ---- scenarios ---- */

static void by_two_setup(void)
{
	untouched();
	sim_task("read A", task_read, mm, 0, 0);
	sim_task("read B", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(backed_touch_by_two, "backed-touch-by-two", by_two_setup, file_end,
		"two threads touch a page that is filled from a file: both find it, and it is "
		"charged once");

static void and_replace_setup(void)
{
	untouched();
	sim_task("touch", task_fault, mm, 0, 0);
	sim_task("replace", replace, mm, 1, 0);
}

static void and_replace_end(void)
{
	expect_zeros(mm);
	fx_down();
}
DEFINE_SCENARIO(backed_touch_and_replace, "backed-touch-and-replace", and_replace_setup,
		and_replace_end,
		"a page is read from a file while something else is mapped there: nothing of the "
		"file appears");

static void and_fork_setup(void)
{
	untouched();
	child = fx_empty_mm(mm_memcg(mm), "child");
	sim_task("touch", task_read, mm, 0, 0);
	sim_task("fork", task_client_fork, mm, 1, 0);
}

static void and_fork_end(void)
{
	fx_read(child, 0, 0);
	file_end();
}
DEFINE_SCENARIO(
	backed_touch_and_fork, "backed-touch-and-fork", and_fork_setup, and_fork_end,
	"a process forks while it touches a page that is filled from a file: both find the file's");

/* FX_VA(4) has the same page of the file, changed and in swap; FX_VA(0) was never touched. */
static void and_move_setup(void)
{
	in_hand();
	fx_push_out(mm, 0);
	rw_wrlock(&mm->mmap_lock);
	if (mm_remap_locked(mm, FX_VA(0), FX_VA(4), PAGE_SIZE) != 0 ||
	    vma_insert_backed(mm, FX_VA(0), FX_VA(1), VM_READ | VM_WRITE, &fx->backing, 0) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "no second area");
	rw_wrunlock(&mm->mmap_lock);
	sim_task("touch", task_fault, mm, 0, 0);
	sim_task("move", move_over, mm, 1, 0);
}

static void and_move_end(void)
{
	fx_read(mm, 0, 1);
	fx_down();
}
DEFINE_SCENARIO(backed_touch_and_move, "backed-touch-and-move", and_move_setup, and_move_end,
		"a page is read from a file while a changed one of the same place in it is moved "
		"there: the change is what is left");

static void zeros_out_setup(void)
{
	static const char zeros[PAGE_SIZE];

	in_hand();
	if (soft_write(&fx->soft, mm, 0, FX_VA(0), zeros, sizeof(zeros)) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "no page");
	take_out();
	sim_task("read", read_zeros, mm, 1, 0);
}

static void zeros_out_end(void)
{
	expect_zeros(mm);
	fx_down();
}
DEFINE_SCENARIO(backed_zeros_out, "backed-zeros-out", zeros_out_setup, zeros_out_end,
		"a page that a program has set to zero is taken out, and read: it is zeros, and "
		"not the file's");

static void and_discard_setup(void)
{
	in_hand();
	take_out();
	sim_task("discard", task_client_discard, mm, 1, 0);
}
DEFINE_SCENARIO(
	backed_out_and_discard, "backed-out-and-discard", and_discard_setup, file_end,
	"a changed page is taken out of a process that throws it away: the file's is there again");

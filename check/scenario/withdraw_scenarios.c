/* check/scenario/withdraw_scenarios.c - reclaim on an MMU that shares no pages and withdraws, as
 * the one for real processes does: pages are in the memory of one process, which reports what it
 * has done to it (fork, unmap) afterwards. All of them require: what is discarded stays discarded,
 * everything else is present; a page is charged once. */
#include "scenario/tasks.h"

static struct mm *mm, *child;
static struct page *victim;

/* ---- tasks ---- */

static void munmap(void *arg)
{
	struct mm *m = arg;

	rw_wrlock(&m->mmap_lock);
	soft_client_discard(&fx->soft, m, FX_VA(0), FX_VA(1));
	mm_unmap_locked(m, FX_VA(0), FX_VA(1));
	rw_wrunlock(&m->mmap_lock);
}

static void mremap(void *arg)
{
	struct mm *m = arg;

	rw_wrlock(&m->mmap_lock);
	soft_client_move(&fx->soft, m, FX_VA(0), FX_VA(4), PAGE_SIZE);
	if (mm_remap_locked(m, FX_VA(0), FX_VA(4), PAGE_SIZE) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mremap failed");
	rw_wrunlock(&m->mmap_lock);
}

/* All of its memory. */
static void exit_mm(void *arg)
{
	soft_client_discard(&fx->soft, arg, FX_VA(0), FX_VA(1));
	fx_exit(arg);
}

/* ---- set-up ---- */

static void in_hand(void)
{
	fx_up_withdrawing(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	fx_fill(mm, 0);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void same_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}

/* ---- scenarios ---- */

static void and_read_setup(void)
{
	in_hand();
	sim_task("read", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(withdraw_and_read, "withdraw-and-read", and_read_setup, same_end,
		"a page is taken out of a process that reads it");

static void and_write_setup(void)
{
	in_hand();
	sim_task("write", task_write, mm, 1, 0);
}

static void and_write_end(void)
{
	fx_read(mm, 0, 1);
	fx_down();
}
DEFINE_SCENARIO(withdraw_and_write, "withdraw-and-write", and_write_setup, and_write_end,
		"a page is taken out of a process that writes to it: the store is in what was "
		"taken, or it is still there");

static void and_discard_setup(void)
{
	in_hand();
	sim_task("discard", task_client_discard, mm, 1, 0);
}

/* Zeros: a thread that resumed with older ones must leave no trace. */
static void and_discard_end(void)
{
	uint64_t word = 1;

	if (soft_read(&fx->soft, mm, 0, FX_VA(0), &word, sizeof(word)) != 0 || word != 0)
		sim_fail(SIM_WRONG, NULL, 0, "what was thrown away is back");
	fx_down();
}
DEFINE_SCENARIO(withdraw_and_discard, "withdraw-and-discard", and_discard_setup, and_discard_end,
		"a page is taken out of a process that throws it away: it stays away");

static void and_munmap_setup(void)
{
	in_hand();
	sim_task("munmap", munmap, mm, 1, 0);
}
DEFINE_SCENARIO(withdraw_and_munmap, "withdraw-and-munmap", and_munmap_setup, fx_down,
		"a page is taken out of a process that unmaps its area", .slow = true);

static void and_mremap_setup(void)
{
	in_hand();
	sim_task("mremap", mremap, mm, 1, 0);
}
DEFINE_SCENARIO(withdraw_and_mremap, "withdraw-and-mremap", and_mremap_setup, fx_down,
		"a page is taken out of a process that moves its area");

static void and_fork_setup(void)
{
	in_hand();
	child = fx_empty_mm(mm_memcg(mm), "child");
	sim_task("fork", task_client_fork, mm, 1, 0);
}

static void and_fork_end(void)
{
	fx_read(child, 0, 0);
	same_end();
}
DEFINE_SCENARIO(withdraw_and_fork, "withdraw-and-fork", and_fork_setup, and_fork_end,
		"a page is taken out of a process that forks: both have it");

/* ---- a fork that is not reported (serve/session/fork.c) ---- */

/* The system call itself comes between the freeze and the copy of the books. */
static void fork_alone(void *arg)
{
	struct mm *m = arg;

	soft_freeze(&fx->soft, m);
	if (soft_client_fork(&fx->soft, m, child) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed");
	rw_wrlock(&m->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	if (mm_fork_locked(m, child, 0) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed");
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&m->mmap_lock);
	soft_thaw(&fx->soft);
}

/* Nothing is withdrawn from a process that forks: reclaim is kept away before. */
static void fork_and_swapin_setup(void)
{
	fx_up_withdrawing(FX_SLOTS);
	fx->soft.freezes = true;
	waitq_init(&fx->soft.thawed);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	child = fx_empty_mm(mm_memcg(mm), "child");
	sim_task("fork", fork_alone, mm, 0, 0);
	sim_task("read", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(fork_and_swapin, "fork-unreported-and-swapin", fork_and_swapin_setup, and_fork_end,
		"a process forks unreported, and a page of it comes in: both have it");

static void and_exit_setup(void)
{
	in_hand();
	sim_task("exit", exit_mm, mm, 1, 0);
}
DEFINE_SCENARIO(withdraw_and_exit, "withdraw-and-exit", and_exit_setup, fx_down,
		"a page is taken out of a process that ends", .slow = true);

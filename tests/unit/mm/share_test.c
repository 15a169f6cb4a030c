/* tests/unit/mm/share_test.c - slots shared by related processes (mm/swap_share.h), on an MMU that
 * does not share pages: what processes have in common since a fork is written once, and each finds
 * its own content again. */
#include "soft_fixture.h"
#include "mm/swap_share.h"

#define N 48

static struct soft_fixture fx;
static struct mem_cgroup *g;
static struct mm *parent, *child;

static void up(void)
{
	fx_up(&fx, SOFT_EXCLUSIVE, 4096, 512);
	g = fx_group(&fx, NULL, "a", 0);
	parent = fx_mapped_mm(&fx, g, N);
	fx_fill_run(&fx, parent, FX_BASE, N, 1);
}

static void up_with_child(void)
{
	up();
	child = fx_fork(&fx, parent, g);
	assert_non_null(child);
}

static void down(void)
{
	fx_audit(&fx, 0);
	fx_exit(&fx, child);
	fx_exit(&fx, parent);
	assert_int_equal(a64_load(&fx.e.swap->index.nr), 0);
	fx_ungroup(&fx, g);
	fx_down(&fx);
}

static int64_t slots(void)
{
	return page_counter_read(&g->swap);
}

/* Push out everything present. */
static void all_out(void)
{
	while (fx_reclaim(&fx, g, 1024) > 0)
		;
	assert_int_equal(a64_load(&parent->rss), 0);
}

/* A batch has pages of several of them, so the first copy is not written yet when the second is
 * looked up. */
TEST(what_a_family_has_in_common_is_written_once)
{
	struct mm *more[6];

	up_with_child();
	for (unsigned i = 0; i < 6; i++)
		assert_non_null(more[i] = fx_fork(&fx, i % 2 ? child : parent, g));
	all_out();
	assert_int_equal(slots(), N);
	assert_int_equal(a64_load(&fx.store->nr_writes), N);
	assert_int_equal(stat_read(g, STAT_SWPOUT_SHARED), 7 * N);
	assert_int_equal(page_counter_read(&g->memsw) - stock_read(g), N);
	fx_audit(&fx, 0);
	/* It comes back and goes again, in any order: one write is enough. */
	for (unsigned i = 0; i < 6; i++) {
		fx_check_run(&fx, more[i], FX_BASE, N, 1);
		if (i % 2)
			all_out();
		fx_check_run(&fx, parent, FX_BASE, N, 1);
	}
	all_out();
	assert_int_equal(slots(), N);
	assert_int_equal(a64_load(&fx.store->nr_writes), N);
	for (unsigned i = 0; i < 6; i++)
		fx_exit(&fx, more[i]);
	fx_check_run(&fx, child, FX_BASE, N, 1);
	down();
}

TEST(what_one_of_them_changes_gets_a_slot_of_its_own)
{
	up_with_child();
	fx_fill_run(&fx, child, FX_BASE, 10, 2);
	fx_fill_run(&fx, parent, FX_BASE + 5 * PAGE_SIZE, 10, 3);
	all_out();
	assert_int_equal(slots(), N + 15);
	fx_audit(&fx, 0);
	fx_check_run(&fx, child, FX_BASE, 10, 2);
	fx_check_run(&fx, child, FX_BASE + 10 * PAGE_SIZE, N - 10, 1);
	fx_check_run(&fx, parent, FX_BASE, 5, 1);
	fx_check_run(&fx, parent, FX_BASE + 5 * PAGE_SIZE, 10, 3);
	fx_check_run(&fx, parent, FX_BASE + 15 * PAGE_SIZE, N - 15, 1);
	down();
}

/* Written before the fork: their slots are found once one of them has read its page. */
TEST(what_was_in_swap_before_the_fork_keeps_its_slot)
{
	up();
	all_out();
	child = fx_fork(&fx, parent, g);
	for (unsigned i = 0; i < 4; i++) {
		fx_check_run(&fx, i % 2 ? parent : child, FX_BASE, N, 1);
		all_out();
		assert_int_equal(slots(), N);
	}
	assert_int_equal(a64_load(&fx.store->nr_writes), N);
	fx_check_run(&fx, parent, FX_BASE, N, 1);
	down();
}

/* After the child has read it only the child uses the slot, and may write new content there. */
TEST(a_slot_whose_last_user_has_it_in_memory_gets_no_other)
{
	up_with_child();
	a32_store(&parent->no_reclaim, 1);
	fx_reclaim(&fx, g, N);
	a32_store(&parent->no_reclaim, 0);
	assert_int_equal(slots(), N);
	fx_check_run(&fx, child, FX_BASE, N, 1);
	fx_fill_run(&fx, child, FX_BASE, N, 2);
	a32_store(&child->no_reclaim, 1);
	fx_reclaim(&fx, g, N);
	a32_store(&child->no_reclaim, 0);
	assert_int_equal(a64_load(&parent->swapents), N);
	assert_int_equal(stat_read(g, STAT_SWPOUT_SHARED), 0);
	fx_audit(&fx, 0);
	all_out();
	assert_int_equal(slots(), 2 * N);
	fx_check_run(&fx, parent, FX_BASE, N, 1);
	fx_check_run(&fx, child, FX_BASE, N, 2);
	down();
}

/* They refer to a slot that is being written; then the write fails, and they refer to the page that
 * stays in memory. */
TEST(a_write_that_fails_loses_nobodys_page)
{
	up_with_child();
	a32_store(&fx.store->write_errno, EIO);
	fx_reclaim(&fx, g, 1024);
	assert_true(stat_read(g, STAT_SWPOUT_SHARED) > 0);
	fx_audit(&fx, 0);
	fx_fill_run(&fx, child, FX_BASE, N / 2, 2);
	fx_fill_run(&fx, parent, FX_BASE + N / 2 * PAGE_SIZE, N / 2, 3);
	fx_reclaim(&fx, g, 1024);
	fx_audit(&fx, 0);
	a32_store(&fx.store->write_errno, 0);
	all_out();
	fx_audit(&fx, 0);
	fx_check_run(&fx, child, FX_BASE, N / 2, 2);
	fx_check_run(&fx, child, FX_BASE + N / 2 * PAGE_SIZE, N / 2, 1);
	fx_check_run(&fx, parent, FX_BASE, N / 2, 1);
	fx_check_run(&fx, parent, FX_BASE + N / 2 * PAGE_SIZE, N / 2, 3);
	down();
}

/* A lost slot is lost for all its users; no new user is added. */
TEST(a_slot_that_cannot_be_read_is_shared_no_more)
{
	up_with_child();
	a32_store(&parent->no_reclaim, 1);
	fx_reclaim(&fx, g, N);
	a32_store(&parent->no_reclaim, 0);
	a32_store(&fx.store->read_errno, EIO);
	assert_int_equal(fx_check(&fx, child, FX_BASE, 1), -EIO);
	a32_store(&fx.store->read_errno, 0);
	all_out();
	fx_check_run(&fx, parent, FX_BASE, N, 1);
	down();
}

TEST(a_group_refers_to_no_slot_of_another)
{
	struct mem_cgroup *h;

	up();
	h = fx_group(&fx, NULL, "b", 0);
	child = fx_fork(&fx, parent, h);
	all_out();
	fx_reclaim(&fx, h, 1024);
	assert_int_equal(slots(), N);
	assert_int_equal(page_counter_read(&h->swap), N);
	fx_check_run(&fx, child, FX_BASE, N, 1);
	fx_exit(&fx, child);
	child = fx_mm(&fx, g);
	fx_ungroup(&fx, h);
	down();
}

/* As after mremap in one of them: streams are read with their neighbours, which must not be the
 * same slot repeatedly. */
TEST(a_page_elsewhere_gets_a_slot_of_its_own)
{
	up_with_child();
	assert_int_equal(fx_remap(&fx, child, FX_BASE, FX_BASE + 4 * N * PAGE_SIZE, N), 0);
	all_out();
	assert_int_equal(slots(), 2 * N);
	fx_check_run(&fx, parent, FX_BASE, N, 1);
	fx_check_moved(&fx, child, FX_BASE + 4 * N * PAGE_SIZE, FX_BASE, N, 1);
	down();
}

/* Fork adds references without limit, up to the number of processes: sharing leaves room for
 * them. */
TEST(a_slot_with_many_references_gets_no_more)
{
	uint32_t entry;

	up_with_child();
	a32_store(&parent->no_reclaim, 1);
	fx_reclaim(&fx, g, N);
	a32_store(&parent->no_reclaim, 0);
	entry = pte_entry(fx_pte(child, FX_BASE));
	for (unsigned i = 1; i < SWAP_SHARE_MAX; i++)
		swap_dup(&fx.e, entry);
	all_out();
	assert_int_equal(slots(), N + 1);
	assert_int_not_equal(pte_entry(fx_pte(parent, FX_BASE)), entry);
	for (unsigned i = 1; i < SWAP_SHARE_MAX; i++)
		swap_put(&fx.e, entry);
	down();
}

TEST(whoever_has_never_forked_pays_nothing)
{
	up();
	all_out();
	assert_int_equal(a64_load(&fx.e.swap->index.nr), 0);
	child = fx_mm(&fx, g);
	down();
}

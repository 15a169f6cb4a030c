/* tests/unit/mm/mlock_test.c - locked pages stay, and pages that are no longer locked can go. */
#include "soft_fixture.h"

static struct soft_fixture fx;

TEST_EACH_KIND(locked_pages_stay_in_memory_until_they_are_unlocked)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 512);
	g = fx_group(&fx, NULL, "a", 100);
	mm = fx_mapped_mm(&fx, g, 400);
	assert_int_equal(fx_mlock(mm, FX_BASE, 89), -ENOMEM);
	fx_fill_run(&fx, mm, FX_BASE, 20, 1);
	assert_int_equal(fx_mlock(mm, FX_BASE, 40), 0);
	fx_fill_run(&fx, mm, FX_BASE, 40, 2);
	fx_fill_run(&fx, mm, FX_BASE + 40 * PAGE_SIZE, 200, 3);
	for (uint64_t i = 0; i < 40; i++)
		assert_true(pte_present(fx_pte(mm, FX_BASE + i * PAGE_SIZE)));
	fx_audit(&fx, 0);
	assert_true(stat_read(g, STAT_UNEVICTABLE) >= 20);
	assert_int_equal(fx_munlock(mm, FX_BASE, 40), 0);
	assert_int_equal(stat_read(g, STAT_UNEVICTABLE), 0);
	assert_int_equal(a64_load(&mm->locked), 0);
	fx_audit(&fx, 0);
	fx_reclaim(&fx, g, 100);
	assert_int_equal(a64_load(&mm->rss), 0);
	fx_check_run(&fx, mm, FX_BASE, 40, 2);
	fx_check_run(&fx, mm, FX_BASE + 40 * PAGE_SIZE, 200, 3);
}

static struct mm *unlock_mm;

static void unlock(void *arg)
{
	(void)arg;
	VM_BUG_ON(fx_munlock(unlock_mm, FX_BASE, 10) != 0);
}

static void unlock_while_isolated(void *arg, struct mmu_req *reqs, unsigned n)
{
	struct plat_thread t;

	(void)arg, (void)reqs, (void)n;
	fx.soft.withdrawn = NULL;
	assert_int_equal(plat_thread_start(&t, "unlock", unlock, NULL), 0);
	plat_thread_join(&t);
}

/* Reclaim has seen that the pages are locked, and has them isolated when they are unlocked. */
TEST(pages_unlocked_while_reclaim_holds_them_become_evictable)
{
	fx_up(&fx, SOFT_SHARED, 1024, 64);
	unlock_mm = fx_mapped_mm(&fx, NULL, 20);
	fx_fill_run(&fx, unlock_mm, FX_BASE, 20, 1);
	assert_int_equal(fx_mlock(unlock_mm, FX_BASE, 10), 0);
	for (uint64_t i = 0; i < 20; i++) { /* so that the first pass reaches the withdrawal */
		struct leaf *l = leaf_find(unlock_mm, FX_BASE);

		spin_lock(&l->lock);
		pte_set(l, FX_BASE + i * PAGE_SIZE,
			pte_read(l, FX_BASE + i * PAGE_SIZE) & ~(pte_t)PTE_YOUNG);
		spin_unlock(&l->lock);
	}
	fx.soft.withdrawn = unlock_while_isolated;
	fx_reclaim(&fx, fx.e.tree.root, 20);
	assert_int_equal(a64_load(&unlock_mm->rss), 0);
	assert_int_equal(stat_read(fx.e.tree.root, STAT_UNEVICTABLE), 0);
	fx_audit(&fx, 0);
}

TEST(a_page_locked_by_a_process_that_ended_is_evictable_from_the_others)
{
	struct mm *a, *b;

	fx_up(&fx, SOFT_SHARED, 1024, 64);
	a = fx_mapped_mm(&fx, NULL, 10);
	assert_int_equal(fx_mlock(a, FX_BASE, 10), 0);
	fx_fill_run(&fx, a, FX_BASE, 10, 1);
	assert_int_equal(stat_read(fx.e.tree.root, STAT_UNEVICTABLE), 10);
	b = fx_fork(&fx, a, NULL);
	assert_int_equal(a64_load(&b->locked), 0);
	fx_exit(&fx, a);
	assert_int_equal(stat_read(fx.e.tree.root, STAT_UNEVICTABLE), 0);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 10), 10);
	fx_check_run(&fx, b, FX_BASE, 10, 1);
}

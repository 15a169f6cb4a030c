/* tests/unit/mm/keep_test.c - memory that stays present, whatever is unlocked (VM_KEPT). */
#include "soft_fixture.h"

static struct soft_fixture fx;

static int keep(struct mm *mm, uint64_t va, uint64_t npages)
{
	int err = fx_mlock(mm, va, npages);

	rw_wrlock(&mm->mmap_lock);
	if (!err)
		err = vma_change_flags(mm, va, va + npages * PAGE_SIZE, VM_KEPT, 0);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* Memory that the kernel needs when it cannot fault stays present. */
TEST_EACH_KIND(what_is_kept_stays_locked_in_children_and_whatever_is_unlocked)
{
	struct mm *parent, *child;
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 256);
	g = fx_group(&fx, NULL, "a", 200);
	parent = fx_mapped_mm(&fx, g, 30);
	assert_int_equal(fx_mlock(parent, FX_BASE, 20), 0);
	assert_int_equal(keep(parent, FX_BASE + 10 * PAGE_SIZE, 4), 0);
	assert_int_equal(fx_munlock(parent, FX_BASE, 30), 0);
	assert_int_equal(a64_load(&parent->locked), 4);
	fx_fill_run(&fx, parent, FX_BASE, 30, 1);
	child = fx_fork(&fx, parent, g);
	assert_non_null(child);
	assert_int_equal(a64_load(&child->locked), 4);
	(void)fx_reclaim(&fx, g, 60);
	for (unsigned i = 0; i < 30; i++) {
		bool stays = i >= 10 && i < 14;

		assert_true(pte_present(fx_pte(parent, FX_BASE + i * PAGE_SIZE)) == stays);
		assert_true(pte_present(fx_pte(child, FX_BASE + i * PAGE_SIZE)) == stays);
	}
	fx_check_run(&fx, child, FX_BASE, 30, 1);
	fx_audit(&fx, 0);
}

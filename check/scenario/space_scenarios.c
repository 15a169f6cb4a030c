/* check/scenario/space_scenarios.c - one address space and its threads: first touches, areas mapped
 * and unmapped, copy-on-write, fork, mremap and mlock, and reclaim against each. All of them
 * require: a store is never lost, nothing is mapped twice, nothing is used after free. */
#include "scenario/tasks.h"
#include "mm/mlock.h"

#define STORED_AT 512 /* within page 0: where the tasks store, away from fx_fill's words */

static struct mm *mm, *child;
static struct page *victim;

/* ---- tasks ---- */

static void touch(void *arg)
{
	int err = fx_fault(mm, (unsigned)(uintptr_t)arg, true);

	if (err && err != -EFAULT)
		sim_fail(SIM_WRONG, NULL, 0, "the fault failed: %d", err);
}

static void unmap_area(void *arg)
{
	(void)arg;
	fx_unmap(mm, 0, 2);
}

/* A thread stores through whatever translation its CPU has. */
static void store_in(struct mm *space, uint64_t value)
{
	int err = soft_write(&fx->soft, space, plat_cpu(), FX_VA(0) + STORED_AT, &value,
			     sizeof(value));

	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the store failed: %d", err);
}

static void store(void *arg)
{
	store_in(mm, (uintptr_t)arg);
}
static void store_in_child(void *arg)
{
	store_in(child, (uintptr_t)arg);
}

static void fork_mm(void *arg)
{
	(void)arg;
	fx_fork_into(mm, child);
}

/* As mlock does: afterwards every page is faulted in. */
static void lock_area(void *arg)
{
	(void)arg;
	rw_wrlock(&mm->mmap_lock);
	if (mm_lock_locked(mm, FX_VA(0), FX_VA(1)) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mlock failed");
	rw_wrunlock(&mm->mmap_lock);
	touch((void *)0);
}

/* ---- checks at the end ---- */

static uint64_t stored(struct mm *space, unsigned page)
{
	uint64_t value = 0;
	int err = soft_read(&fx->soft, space, 0, FX_VA(page) + STORED_AT, &value, sizeof(value));

	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "page %u cannot be read: %d", page, err);
	return value;
}

static void expect(const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		sim_fail(SIM_WRONG, NULL, 0, "%s is %llu, not %llu: a store was lost", what,
			 (unsigned long long)is, (unsigned long long)should);
}

static void end_with_store(void)
{
	expect("the stored word", stored(mm, 0), 7);
	fx_down();
}

/* ---- set-up ---- */

/* One area with nothing behind it yet: no leaf, no anon_vma. */
static void bare_space(unsigned npages)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", npages);
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, FX_VA(0), FX_VA(npages));
	vma_insert(mm, FX_VA(0), FX_VA(npages), VM_READ | VM_WRITE);
	rw_wrunlock(&mm->mmap_lock);
}

/* Page 0 is present, and CPU 1 may store to it without a fault. */
static void one_page(void)
{
	uint64_t zero = 0;

	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	fx_fill(mm, 0);
	soft_write(&fx->soft, mm, 1, FX_VA(0) + STORED_AT, &zero, sizeof(zero));
	fx_set_young(mm, 0, false);
}

static void touch_by_two_setup(void)
{
	bare_space(1);
	sim_task("touch 1", touch, (void *)0, 0, 0);
	sim_task("touch 2", touch, (void *)0, 1, 0);
}

DEFINE_SCENARIO(touch_by_two, "touch-by-two", touch_by_two_setup, fx_down,
		"two threads touch the first page of an area: one page, one anon_vma, one leaf");

static void one_page(void);

static void willneed(void *arg)
{
	(void)arg;
	fault_willneed(mm, FX_VA(0), FX_VA(2));
}

static void out_and_unmap_setup(void)
{
	one_page();
	fx_push_out(mm, 0);
	sim_task("fault", touch, (void *)0, 0, 0);
	sim_task("munmap", unmap_area, NULL, 1, 0);
}

DEFINE_SCENARIO(swap_in_and_munmap, "swap-in-and-munmap", out_and_unmap_setup, fx_down,
		"a page comes back from swap while its area is unmapped");

static void willneed_and_unmap_setup(void)
{
	one_page();
	fx_push_out(mm, 0);
	sim_task("willneed", willneed, NULL, 0, 0);
	sim_task("munmap", unmap_area, NULL, 1, 0);
}

DEFINE_SCENARIO(willneed_and_munmap, "willneed-and-munmap", willneed_and_unmap_setup, fx_down,
		"a page is read ahead of use while its area is unmapped");

static void fault_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("fault", touch, (void *)0, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

DEFINE_SCENARIO(fault_and_reclaim, "fault-and-reclaim", fault_and_reclaim_setup, fx_down,
		"a fault looks at an entry while its page goes to swap");

static void touch_and_unmap_setup(void)
{
	bare_space(2);
	sim_task("touch", touch, (void *)1, 0, 0);
	sim_task("munmap", unmap_area, NULL, 1, 0);
}

DEFINE_SCENARIO(touch_and_unmap, "touch-and-unmap", touch_and_unmap_setup, fx_down,
		"a page is touched while its area is unmapped");

static void store_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

DEFINE_SCENARIO(store_and_reclaim, "store-and-reclaim", store_and_reclaim_setup, end_with_store,
		"a thread stores through its translation while the page goes to swap");

static void store_and_zap_setup(void)
{
	one_page();
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("zap", task_zap, mm, 0, 0);
}

DEFINE_SCENARIO(store_and_zap, "store-and-zap", store_and_zap_setup, fx_down,
		"a thread stores through its translation while the page is given back");

static void cow_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("store of the child", store_in_child, (void *)8, 0, 0);
}

static void cow_end(void)
{
	expect("the parent's word", stored(mm, 0), 7);
	expect("the child's word", stored(child, 0), 8);
	fx_down();
}

DEFINE_SCENARIO(cow_by_two, "cow-by-two", cow_setup, cow_end,
		"parent and child write to a page they share: each has its own store");

static void store_next(void *arg)
{
	uint64_t value = (uintptr_t)arg;
	int err = soft_write(&fx->soft, mm, plat_cpu(), FX_VA(0) + STORED_AT + 8, &value,
			     sizeof(value));

	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the store failed: %d", err);
}

static void cow_threads_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	sim_task("store 1", store, (void *)7, 1, 0);
	sim_task("store 2", store_next, (void *)9, 0, 0);
}

static void cow_threads_end(void)
{
	uint64_t next = 0;

	expect("the first thread's word", stored(mm, 0), 7);
	soft_read(&fx->soft, mm, 0, FX_VA(0) + STORED_AT + 8, &next, sizeof(next));
	expect("the second thread's word", next, 9);
	expect("the child's word", stored(child, 0), 0);
	fx_down();
}

DEFINE_SCENARIO(cow_by_threads, "cow-by-threads", cow_threads_setup, cow_threads_end,
		"two threads write to a page that a child shares: one copy, both stores in it",
		.slow = true);

static void cow_and_reclaim_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	victim = fx_isolate(mm, 0);
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void cow_and_reclaim_end(void)
{
	expect("the parent's word", stored(mm, 0), 7);
	expect("the child's word", stored(child, 0), 0);
	fx_down();
}

DEFINE_SCENARIO(cow_and_reclaim, "cow-and-reclaim", cow_and_reclaim_setup, cow_and_reclaim_end,
		"a page is copied for a writer while it goes to swap", .slow = true);

static void cow_and_unmap_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	sim_task("write fault", touch, (void *)0, 1, 0);
	sim_task("munmap", unmap_area, NULL, 0, 0);
}

DEFINE_SCENARIO(cow_and_munmap, "cow-and-munmap", cow_and_unmap_setup, fx_down,
		"a page is copied for a writer while its area is unmapped");

static void exit_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("exit", task_exit, mm, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

DEFINE_SCENARIO(exit_and_reclaim, "exit-and-reclaim", exit_and_reclaim_setup, fx_down,
		"reclaim walks from a page to an address space that ends");

static void fault_and_exit_setup(void)
{
	one_page();
	fx_push_out(mm, 0);
	sim_task("fault", touch, (void *)0, 0, 0);
	sim_task("exit", task_exit, mm, 1, 0);
}

DEFINE_SCENARIO(fault_and_exit, "fault-and-exit", fault_and_exit_setup, fx_down,
		"a page comes back from swap while its address space ends");

static void mlock_and_exit_setup(void)
{
	one_page();
	child = fx_mm(mm_memcg(mm), "other", 1);
	sim_task("mlock", lock_area, NULL, 0, 0);
	sim_task("exit of another", task_exit, child, 1, 0);
}

DEFINE_SCENARIO(mlock_and_exit, "mlock-and-exit", mlock_and_exit_setup, fx_down,
		"mlock adds up what a group has locked while one of its address spaces ends");

static void remove_other(void *arg)
{
	int err = group_remove(&fx->e, arg);

	if (err && err != -EBUSY)
		sim_fail(SIM_WRONG, NULL, 0, "rmdir failed: %d", err);
	if (err == 0) {
		memcg_put(arg);
		fx->group[1] = NULL;
	}
}

static void exit_and_removal_setup(void)
{
	struct mem_cgroup *b;

	one_page();
	b = fx_group("B", 0);
	child = fx_mm(b, "other", 1);
	sim_task("rmdir", remove_other, b, 0, 0);
	sim_task("exit", task_exit, child, 1, 0);
}

DEFINE_SCENARIO(exit_and_removal, "exit-and-removal", exit_and_removal_setup, fx_down,
		"a group is removed while its last address space ends");

static void fork_and_reclaim_setup(void)
{
	one_page();
	child = mm_create(&fx->e, mm_memcg(mm), NULL);
	fx->mm[fx->nr_mms++] = child;
	sim_name(child, sizeof(*child), "child");
	victim = fx_isolate(mm, 0);
	sim_task("fork", fork_mm, NULL, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void fork_and_reclaim_end(void)
{
	fx_read(child, 0, 0);
	fx_read(mm, 0, 0);
	fx_down();
}

DEFINE_SCENARIO(fork_and_reclaim, "fork-and-reclaim", fork_and_reclaim_setup, fork_and_reclaim_end,
		"a page goes to swap while its address space forks");

static void remap_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("mremap", task_mremap, mm, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void remap_end(void)
{
	expect("the word at its new place", stored(mm, 4), 0);
	fx_down();
}

DEFINE_SCENARIO(remap_and_reclaim, "remap-and-reclaim", remap_and_reclaim_setup, remap_end,
		"a page goes to swap while its area is moved");

static void mlock_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("mlock", lock_area, NULL, 1, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void mlock_end(void)
{
	if (!pte_present(fx_pte(mm, 0)))
		sim_fail(SIM_WRONG, NULL, 0, "a locked page is not in memory");
	fx_down();
}

DEFINE_SCENARIO(mlock_and_reclaim, "mlock-and-reclaim", mlock_and_reclaim_setup, mlock_end,
		"a page is locked into memory while reclaim has it");

/* check/space_scenarios.c - one address space and its threads: first touches, areas that come and go, copy-on-write,
 * fork, mremap and mlock, and reclaim against each. What must hold in all of them: a store is never lost, nothing is
 * mapped twice, nothing is used after it was freed. */
#include "fixture.h"
#include "mm/mlock.h"

#define STORED_AT 512     /* within page 0: where the tasks' stores go, away from fx_fill's words */

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
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, FX_VA(0), FX_VA(2));
	rw_wrunlock(&mm->mmap_lock);
}

static void reclaim(void *arg)
{
	struct reclaim_result r = { 0 };

	(void)arg;
	shrink_pages(&fx->e, &victim, 1, 0, &r);
}

/* A thread stores through whatever its CPU has. */
static void store_in(struct mm *space, uint64_t value)
{
	int err = soft_write(&fx->soft, space, plat_cpu(), FX_VA(0) + STORED_AT, &value, sizeof(value));

	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the store failed: %d", err);
}

static void store(void *arg) { store_in(mm, (uintptr_t)arg); }
static void store_in_child(void *arg) { store_in(child, (uintptr_t)arg); }

static void zap(void *arg)
{
	(void)arg;
	fx_zap(mm, 0, 1);
}

static void exit_mm(void *arg)
{
	(void)arg;
	fx_exit(mm);
}

static void fork_mm(void *arg)
{
	(void)arg;
	rw_wrlock(&mm->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	if (mm_fork_locked(mm, child, 0) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed");
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&mm->mmap_lock);
}

static void remap_area(void *arg)
{
	(void)arg;
	rw_wrlock(&mm->mmap_lock);
	if (mm_remap_locked(mm, FX_VA(0), FX_VA(4), PAGE_SIZE) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mremap failed");
	rw_wrunlock(&mm->mmap_lock);
}

/* As mlock does: then every page is brought. */
static void lock_area(void *arg)
{
	(void)arg;
	rw_wrlock(&mm->mmap_lock);
	if (mm_lock_locked(mm, FX_VA(0), FX_VA(1)) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "mlock failed");
	rw_wrunlock(&mm->mmap_lock);
	touch((void *)0);
}

/* ---- looks at the end ---- */

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
		sim_fail(SIM_WRONG, NULL, 0, "%s is %llu, not %llu: a store was lost", what, (unsigned long long)is,
			 (unsigned long long)should);
}

static void end_with_store(void)
{
	expect("the stored word", stored(mm, 0), 7);
	fx_end();
}

/* ---- set-up ---- */

/* One area, nothing behind it yet: no leaf, no anon_vma. */
static void bare_space(unsigned npages)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", npages);
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, FX_VA(0), FX_VA(npages));
	vma_insert(mm, FX_VA(0), FX_VA(npages), VM_READ | VM_WRITE);
	rw_wrunlock(&mm->mmap_lock);
}

/* Page 0 is present, and CPU 1 may store to it without asking. */
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

const struct scenario scenario_touch_by_two = {
	.name = "touch-by-two",
	.text = "two threads touch the first page of an area: one page, one anon_vma, one leaf",
	.setup = touch_by_two_setup,
	.end = fx_end,
};

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

const struct scenario scenario_swap_in_and_munmap = {
	.name = "swap-in-and-munmap",
	.text = "a page comes back from swap while its area is unmapped",
	.setup = out_and_unmap_setup,
	.end = fx_end,
};

static void willneed_and_unmap_setup(void)
{
	one_page();
	fx_push_out(mm, 0);
	sim_task("willneed", willneed, NULL, 0, 0);
	sim_task("munmap", unmap_area, NULL, 1, 0);
}

const struct scenario scenario_willneed_and_munmap = {
	.name = "willneed-and-munmap",
	.text = "a page is read ahead of use while its area is unmapped",
	.setup = willneed_and_unmap_setup,
	.end = fx_end,
};

static void fault_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("fault", touch, (void *)0, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

const struct scenario scenario_fault_and_reclaim = {
	.name = "fault-and-reclaim",
	.text = "a fault looks at an entry while its page goes to swap",
	.setup = fault_and_reclaim_setup,
	.end = fx_end,
};

static void touch_and_unmap_setup(void)
{
	bare_space(2);
	sim_task("touch", touch, (void *)1, 0, 0);
	sim_task("munmap", unmap_area, NULL, 1, 0);
}

const struct scenario scenario_touch_and_unmap = {
	.name = "touch-and-unmap",
	.text = "a page is touched while its area is unmapped",
	.setup = touch_and_unmap_setup,
	.end = fx_end,
};

static void store_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

const struct scenario scenario_store_and_reclaim = {
	.name = "store-and-reclaim",
	.text = "a thread stores through its translation while the page goes to swap",
	.setup = store_and_reclaim_setup,
	.end = end_with_store,
};

static void store_and_zap_setup(void)
{
	one_page();
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("zap", zap, NULL, 0, 0);
}

const struct scenario scenario_store_and_zap = {
	.name = "store-and-zap",
	.text = "a thread stores through its translation while the page is given back",
	.setup = store_and_zap_setup,
	.end = fx_end,
};

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
	fx_end();
}

const struct scenario scenario_cow_by_two = {
	.name = "cow-by-two",
	.text = "parent and child write to a page they share: each has its own store",
	.setup = cow_setup,
	.end = cow_end,
};

static void store_next(void *arg)
{
	uint64_t value = (uintptr_t)arg;
	int err = soft_write(&fx->soft, mm, plat_cpu(), FX_VA(0) + STORED_AT + 8, &value, sizeof(value));

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
	fx_end();
}

const struct scenario scenario_cow_by_threads = {
	.name = "cow-by-threads",
	.text = "two threads write to a page that a child shares: one copy, both stores in it",
	.setup = cow_threads_setup,
	.end = cow_threads_end,
	.slow = true,
};

static void cow_and_reclaim_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	victim = fx_isolate(mm, 0);
	sim_task("store", store, (void *)7, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

static void cow_and_reclaim_end(void)
{
	expect("the parent's word", stored(mm, 0), 7);
	expect("the child's word", stored(child, 0), 0);
	fx_end();
}

const struct scenario scenario_cow_and_reclaim = {
	.name = "cow-and-reclaim",
	.text = "a page is copied for a writer while it goes to swap",
	.setup = cow_and_reclaim_setup,
	.end = cow_and_reclaim_end,
	.slow = true,
};

static void cow_and_unmap_setup(void)
{
	one_page();
	child = fx_fork(mm, "child");
	sim_task("write fault", touch, (void *)0, 1, 0);
	sim_task("munmap", unmap_area, NULL, 0, 0);
}

const struct scenario scenario_cow_and_munmap = {
	.name = "cow-and-munmap",
	.text = "a page is copied for a writer while its area is unmapped",
	.setup = cow_and_unmap_setup,
	.end = fx_end,
};

static void exit_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("exit", exit_mm, NULL, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

const struct scenario scenario_exit_and_reclaim = {
	.name = "exit-and-reclaim",
	.text = "reclaim walks from a page to an address space that ends",
	.setup = exit_and_reclaim_setup,
	.end = fx_end,
};

static void fault_and_exit_setup(void)
{
	one_page();
	fx_push_out(mm, 0);
	sim_task("fault", touch, (void *)0, 0, 0);
	sim_task("exit", exit_mm, NULL, 1, 0);
}

const struct scenario scenario_fault_and_exit = {
	.name = "fault-and-exit",
	.text = "a page comes back from swap while its address space ends",
	.setup = fault_and_exit_setup,
	.end = fx_end,
};

static void exit_child(void *arg)
{
	(void)arg;
	fx_exit(child);
}

static void mlock_and_exit_setup(void)
{
	one_page();
	child = fx_mm(mm_memcg(mm), "other", 1);
	sim_task("mlock", lock_area, NULL, 0, 0);
	sim_task("exit of another", exit_child, NULL, 1, 0);
}

const struct scenario scenario_mlock_and_exit = {
	.name = "mlock-and-exit",
	.text = "mlock adds up what a group has locked while one of its address spaces ends",
	.setup = mlock_and_exit_setup,
	.end = fx_end,
};

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
	sim_task("exit", exit_child, NULL, 1, 0);
}

const struct scenario scenario_exit_and_removal = {
	.name = "exit-and-removal",
	.text = "a group is removed while its last address space ends",
	.setup = exit_and_removal_setup,
	.end = fx_end,
};

static void fork_and_reclaim_setup(void)
{
	one_page();
	child = mm_create(&fx->e, mm_memcg(mm), NULL);
	fx->mm[fx->nr_mms++] = child;
	sim_name(child, sizeof(*child), "child");
	victim = fx_isolate(mm, 0);
	sim_task("fork", fork_mm, NULL, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

static void fork_and_reclaim_end(void)
{
	fx_read(child, 0, 0);
	fx_read(mm, 0, 0);
	fx_end();
}

const struct scenario scenario_fork_and_reclaim = {
	.name = "fork-and-reclaim",
	.text = "a page goes to swap while its address space forks",
	.setup = fork_and_reclaim_setup,
	.end = fork_and_reclaim_end,
};

static void remap_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("mremap", remap_area, NULL, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

static void remap_end(void)
{
	expect("the word at its new place", stored(mm, 4), 0);
	fx_end();
}

const struct scenario scenario_remap_and_reclaim = {
	.name = "remap-and-reclaim",
	.text = "a page goes to swap while its area is moved",
	.setup = remap_and_reclaim_setup,
	.end = remap_end,
};

static void mlock_and_reclaim_setup(void)
{
	one_page();
	victim = fx_isolate(mm, 0);
	sim_task("mlock", lock_area, NULL, 1, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
}

static void mlock_end(void)
{
	if (!pte_present(fx_pte(mm, 0)))
		sim_fail(SIM_WRONG, NULL, 0, "a locked page is not in memory");
	fx_end();
}

const struct scenario scenario_mlock_and_reclaim = {
	.name = "mlock-and-reclaim",
	.text = "a page is locked into memory while reclaim has it",
	.setup = mlock_and_reclaim_setup,
	.end = mlock_end,
};

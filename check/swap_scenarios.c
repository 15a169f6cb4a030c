/* check/swap_scenarios.c - swap entries between faults, reclaim, their I/O and unmapping (seed 2). What must
 * hold in all of them: an entry that no page table refers to is freed, whoever was in its way; a reader finds
 * what was written. */
#include "fixture.h"
#include "mm/swap_io.h"

static struct mm *mm, *child, *grandchild;
static struct page *victim;

/* ---- tasks ---- */

static void zap_0(void *arg) { (void)arg; fx_zap(mm, 0, 1); }
static void zap_both(void *arg) { (void)arg; fx_zap(mm, 0, 2); }
static void exit_mm(void *arg) { fx_exit(arg); }

static void willneed(void *arg)
{
	(void)arg;
	fault_willneed(mm, FX_VA(0), FX_VA(2));
}

static void reader(void *arg) { fx_read(arg, 0, 0); }
static void store(void *arg) { (void)arg; fx_write(mm, 0, 1); }

static void store_and_restore(void *arg)
{
	(void)arg;
	fx_write(mm, 0, 1);
	fx_write(mm, 0, 0);
}

/* What a thread's access does until it can go on, where the content is not the point. */
static void fault_in(void *arg)
{
	int err = fx_fault(arg, 0, false);

	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the fault failed: %d", err);
}

static void reclaim(void *arg)
{
	struct reclaim_result r = { 0 };

	(void)arg;
	shrink_pages(&fx->e, &victim, 1, 0, &r);
}

/* ---- set-up ---- */

static void new_space(unsigned npages)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", npages);
	for (unsigned i = 0; i < npages; i++)
		fx_fill(mm, i);
}

/* Page 0 is in the swap cache and isolated, as reclaim has it. */
static void cached_victim(bool dirty)
{
	new_space(1);
	fx_push_to_cache(mm, 0, dirty);
	victim = fx_isolate(mm, 0);
}

/* ---- read-ahead ---- */

static void two_out(void)
{
	new_space(2);
	fx_push_out(mm, 0);
	fx_push_out(mm, 1);
	sim_task("swap-in", willneed, NULL, 0, 0);
}

static void readahead_and_zap_setup(void)
{
	two_out();
	sim_task("zap", zap_both, NULL, 1, 0);
}

const struct scenario scenario_swap_readahead_and_zap = {
	.name = "swap-readahead-and-zap",
	.text = "read-ahead brings pages whose only entries are zapped meanwhile (seed 2, type 1)",
	.setup = readahead_and_zap_setup,
	.end = fx_end,
};

static void readahead_and_exit_setup(void)
{
	two_out();
	sim_task("exit", exit_mm, mm, 1, 0);
}

const struct scenario scenario_swap_readahead_and_exit = {
	.name = "swap-readahead-and-exit",
	.text = "read-ahead works for an address space that ends meanwhile",
	.setup = readahead_and_exit_setup,
	.end = fx_end,
};

/* The area has no leaf yet. */
static void touch(void *arg)
{
	(void)arg;
	if (fx_fault(mm, 0, true) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "the fault failed");
}

static void willneed_and_touch_setup(void)
{
	fx_up(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 1);
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, FX_VA(0), FX_VA(1));
	pgtable_fini(mm);
	vma_insert(mm, FX_VA(0), FX_VA(1), VM_READ | VM_WRITE);
	rw_wrunlock(&mm->mmap_lock);
	rcu_flush();
	sim_task("willneed", willneed, NULL, 0, 0);
	sim_task("touch", touch, NULL, 1, 0);
}

const struct scenario scenario_willneed_and_touch = {
	.name = "willneed-and-touch",
	.text = "the leaves of a range are walked while the first is made",
	.setup = willneed_and_touch_setup,
	.end = fx_end,
};

static void read_ahead(void *arg)
{
	(void)arg;
	fault_read_ahead(mm, FX_VA(0), 2);
	mm_put(mm);
}

static void ahead_setup(unsigned npages)
{
	new_space(npages);
	for (unsigned i = 0; i < npages; i++)
		fx_push_out(mm, i);
	mm_get(mm);
	sim_task("read-ahead", read_ahead, NULL, 0, 0);
}

static void ahead_and_zap_setup(void)
{
	ahead_setup(1);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_ahead_and_zap = {
	.name = "swap-ahead-and-zap",
	.text = "a page is read ahead for an entry that is zapped meanwhile, so that nobody will want it",
	.setup = ahead_and_zap_setup,
	.end = fx_end,
};

static void ahead_and_fault_setup(void)
{
	ahead_setup(1);
	sim_task("fault", fault_in, mm, 1, 0);
}

const struct scenario scenario_swap_ahead_and_fault = {
	.name = "swap-ahead-and-fault",
	.text = "a page is read ahead while its fault comes: one of the two reads it, and the other finds it",
	.setup = ahead_and_fault_setup,
	.end = fx_end,
};

static void ahead_and_exit_setup(void)
{
	ahead_setup(1);
	sim_task("exit", exit_mm, mm, 1, 0);
}

const struct scenario scenario_swap_ahead_and_exit = {
	.name = "swap-ahead-and-exit",
	.text = "who reads ahead has the last reference of an address space that ends meanwhile",
	.setup = ahead_and_exit_setup,
	.end = fx_end,
};

/* ---- faults ---- */

static void in_and_zap_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	sim_task("fault", fault_in, mm, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_in_and_zap = {
	.name = "swap-in-and-zap",
	.text = "a fault has read a page and finds its entry changed",
	.setup = in_and_zap_setup,
	.end = fx_end,
};

static void cached_in_and_zap_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	sim_task("fault", fault_in, mm, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_cached_in_and_zap = {
	.name = "swap-cached-in-and-zap",
	.text = "a fault finds its page in the swap cache, locks it, and its entry changed",
	.setup = cached_in_and_zap_setup,
	.end = fx_end,
};

static void in_by_two_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	sim_task("fault 1", fault_in, mm, 0, 0);
	sim_task("fault 2", fault_in, mm, 1, 0);
}

const struct scenario scenario_swap_in_by_two = {
	.name = "swap-in-by-two",
	.text = "two threads fault on one entry",
	.setup = in_by_two_setup,
	.end = fx_end,
};

static void shared_in_and_zap_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	child = fx_fork(mm, "child");
	sim_task("child's fault", fault_in, child, 0, 0);
	sim_task("parent's zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_shared_in_and_zap = {
	.name = "swap-shared-in-and-zap",
	.text = "of two address spaces that share an entry one reads it, the other drops it",
	.setup = shared_in_and_zap_setup,
	.end = fx_end,
};

static void shared_by_two_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	child = fx_fork(mm, "child");
	sim_task("parent", reader, mm, 0, 0);
	sim_task("child", reader, child, 1, 0);
}

const struct scenario scenario_swap_shared_by_two = {
	.name = "swap-shared-by-two",
	.text = "two address spaces that share an entry read it at once: one page, or two that hold the same",
	.setup = shared_by_two_setup,
	.end = fx_end,
};

static void shared_by_three_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	child = fx_fork(mm, "child");
	grandchild = fx_fork(mm, "grandchild");
	sim_task("parent's zap", zap_0, NULL, 1, 0);
	sim_task("child's fault", fault_in, child, 0, 0);
	sim_task("grandchild's exit", exit_mm, grandchild, 1, 0);
}

const struct scenario scenario_swap_shared_by_three = {
	.name = "swap-shared-by-three",
	.text = "of three address spaces that share an entry one reads it, one drops it, one ends",
	.setup = shared_by_three_setup,
	.end = fx_end,
};

/* ---- reclaim ---- */

static void out_and_store_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("store", store, NULL, 1, 0);
}

static void out_and_store_end(void)
{
	fx_read(mm, 0, 1);
	fx_end();
}

const struct scenario scenario_swap_out_and_store = {
	.name = "swap-out-and-store",
	.text = "a page is swapped out while a thread stores to it: the store is in the page, or in the slot",
	.setup = out_and_store_setup,
	.end = out_and_store_end,
};

static void out_and_restore_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("store twice", store_and_restore, NULL, 1, 0);
}

/* The page has the checksum it had when it was written. Now it goes out again, and comes back. */
static void out_and_restore_end(void)
{
	fx_read(mm, 0, 0);
	fx_set_young(mm, 0, false);
	fx_push_out(mm, 0);
	fx_read(mm, 0, 0);
	fx_end();
}

const struct scenario scenario_swap_out_and_restore = {
	.name = "swap-out-and-restore",
	.text = "a page is written out while it is changed and changed back: what is in the slot is not taken for clean",
	.setup = out_and_restore_setup,
	.end = out_and_restore_end,
};

static void shared_out_and_exit_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	child = fx_fork(mm, "child");
	fx_read(mm, 0, 0); /* a write would make a copy */
	fx_set_young(mm, 0, false);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("child's exit", exit_mm, child, 1, 0);
}

const struct scenario scenario_swap_shared_out_and_exit = {
	.name = "swap-shared-out-and-exit",
	.text = "reclaim takes a reference of a slot while another address space drops its own",
	.setup = shared_out_and_exit_setup,
	.end = fx_end,
};

static void zap_0_then_reclaim(void *arg)
{
	fx_zap(mm, 0, 1);
	reclaim(arg);
}

static void slot_reused_setup(void)
{
	fx_up(1);
	mm = fx_mm(fx_group("A", 8), "mm", 2);
	fx_fill(mm, 0);
	fx_push_out(mm, 0);
	fx_fill(mm, 1);
	victim = fx_isolate(mm, 1);
	sim_task("fault", fault_in, mm, 0, 0);
	sim_task("zap, reclaim", zap_0_then_reclaim, NULL, 1, 0);
}

static void slot_reused_end(void)
{
	fx_read(mm, 1, 0);
	fx_end();
}

const struct scenario scenario_swap_slot_reused = {
	.name = "swap-slot-reused",
	.text = "a fault works with an entry whose slot is given to another page meanwhile",
	.setup = slot_reused_setup,
	.end = slot_reused_end,
};

static void out_and_exit_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("exit", exit_mm, mm, 1, 0);
}

const struct scenario scenario_swap_out_and_exit = {
	.name = "swap-out-and-exit",
	.text = "reclaim follows a page's mappings into an address space that ends",
	.setup = out_and_exit_setup,
	.end = fx_end,
};

static void out_and_zap_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_out_and_zap = {
	.name = "swap-out-and-zap",
	.text = "reclaim gives a slot to a page that loses its last mapping (seed 2, type 2)",
	.setup = out_and_zap_setup,
	.end = fx_end,
};

static void writer(void *arg)
{
	(void)arg;
	page_lock(victim);
	if (page_test(victim, PG_swapcache)) /* the zap may have been first */
		swap_write_pages(&fx->e, &victim, NULL, 1);
	else
		page_unlock(&fx->e, victim);
	lru_add(victim);
	page_put(&fx->e, victim);
}

static void write_and_zap_setup(void)
{
	cached_victim(true);
	sim_task("writer", writer, NULL, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_write_and_zap = {
	.name = "swap-write-and-zap",
	.text = "the last entry goes while its page is under writeback",
	.setup = write_and_zap_setup,
	.end = fx_end,
};

static void reclaim_cached_and_zap_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_reclaim_cached_and_zap = {
	.name = "swap-reclaim-cached-and-zap",
	.text = "reclaim writes a page of the swap cache and drops it while its last entry goes",
	.setup = reclaim_cached_and_zap_setup,
	.end = fx_end,
};

static void keep_and_zap_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	fx_fill(mm, 0);
	victim = fx_isolate(mm, 0);
	fx_set_young(mm, 0, true);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_keep_and_zap = {
	.name = "swap-keep-and-zap",
	.text = "reclaim locks a mapped page of the swap cache and keeps it; its last mapping goes",
	.setup = keep_and_zap_setup,
	.end = fx_end,
};

static void write_error_and_zap_setup(void)
{
	reclaim_cached_and_zap_setup();
	fault_arm(FAULT_WRITE, 1);
}

const struct scenario scenario_swap_write_error_and_zap = {
	.name = "swap-write-error-and-zap",
	.text = "the last entry goes while its page is under a write that fails",
	.setup = write_error_and_zap_setup,
	.end = fx_end,
};

static void drop_and_zap_setup(void)
{
	cached_victim(false);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("zap", zap_0, NULL, 1, 0);
}

const struct scenario scenario_swap_drop_and_zap = {
	.name = "swap-drop-and-zap",
	.text = "reclaim would drop a clean page, finds it referenced, and keeps it while its last entry goes",
	.setup = drop_and_zap_setup,
	.end = fx_end,
};

static void out_and_in_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("reader", reader, mm, 1, 0);
}

const struct scenario scenario_swap_out_and_in = {
	.name = "swap-out-and-in",
	.text = "a page is written out and faulted in at once",
	.setup = out_and_in_setup,
	.end = fx_end,
};

static void full_and_in_setup(void)
{
	fx_up(1);
	mm = fx_mm(fx_group("A", 8), "mm", 2);
	fx_fill(mm, 0);
	fx_push_to_cache(mm, 0, false);
	fx_fill(mm, 1);
	victim = fx_isolate(mm, 1);
	sim_task("reclaim", reclaim, NULL, 0, 0);
	sim_task("fault", fault_in, mm, 1, 0);
}

const struct scenario scenario_swap_full_and_in = {
	.name = "swap-full-and-in",
	.text = "reclaim finds every slot used while a fault gives one back",
	.setup = full_and_in_setup,
	.end = fx_end,
};

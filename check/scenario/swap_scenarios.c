/* check/scenario/swap_scenarios.c - swap entries between faults, reclaim, their I/O and unmapping
 * (seed 2). All of them require: an entry that no page table refers to is freed, whoever was in its
 * way; a reader finds what was written. */
#include "scenario/tasks.h"
#include "mm/swap_io.h"

static struct mm *mm, *child, *grandchild;
static struct page *victim;

/* ---- tasks ---- */

static void zap_both(void *arg)
{
	(void)arg;
	fx_discard(mm, 0, 2);
}

static void willneed(void *arg)
{
	(void)arg;
	fault_willneed(mm, FX_VA(0), FX_VA(2));
}

static void store_and_restore(void *arg)
{
	(void)arg;
	fx_write(mm, 0, 1);
	fx_write(mm, 0, 0);
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

DEFINE_SCENARIO(swap_readahead_and_zap, "swap-readahead-and-zap", readahead_and_zap_setup, fx_down,
		"read-ahead brings pages whose only entries are zapped meanwhile (seed 2, type 1)");

static void readahead_and_exit_setup(void)
{
	two_out();
	sim_task("exit", task_exit, mm, 1, 0);
}

DEFINE_SCENARIO(swap_readahead_and_exit, "swap-readahead-and-exit", readahead_and_exit_setup,
		fx_down, "read-ahead works for an address space that ends meanwhile");

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

DEFINE_SCENARIO(willneed_and_touch, "willneed-and-touch", willneed_and_touch_setup, fx_down,
		"the leaves of a range are walked while the first is made");

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
	sim_task("zap", task_zap, mm, 1, 0);
}

const struct scenario scenario_swap_ahead_and_zap = {
	.name = "swap-ahead-and-zap",
	.text = "a page is read ahead for an entry that is zapped meanwhile, so that nobody will "
		"want it",
	.setup = ahead_and_zap_setup,
	.end = fx_down,
};

static void ahead_and_fault_setup(void)
{
	ahead_setup(1);
	sim_task("fault", task_fault, mm, 1, 0);
}

const struct scenario scenario_swap_ahead_and_fault = {
	.name = "swap-ahead-and-fault",
	.text = "a page is read ahead while its fault comes: one of the two reads it, and the "
		"other finds it",
	.setup = ahead_and_fault_setup,
	.end = fx_down,
};

static void ahead_and_exit_setup(void)
{
	ahead_setup(1);
	sim_task("exit", task_exit, mm, 1, 0);
}

const struct scenario scenario_swap_ahead_and_exit = {
	.name = "swap-ahead-and-exit",
	.text = "who reads ahead has the last reference of an address space that ends meanwhile",
	.setup = ahead_and_exit_setup,
	.end = fx_down,
};

/* ---- faults ---- */

static void in_and_zap_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	sim_task("fault", task_fault, mm, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_in_and_zap, "swap-in-and-zap", in_and_zap_setup, fx_down,
		"a fault has read a page and finds its entry changed");

static void cached_in_and_zap_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	sim_task("fault", task_fault, mm, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_cached_in_and_zap, "swap-cached-in-and-zap", cached_in_and_zap_setup, fx_down,
		"a fault finds its page in the swap cache, locks it, and its entry changed");

static void in_by_two_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	sim_task("fault 1", task_fault, mm, 0, 0);
	sim_task("fault 2", task_fault, mm, 1, 0);
}

DEFINE_SCENARIO(swap_in_by_two, "swap-in-by-two", in_by_two_setup, fx_down,
		"two threads fault on one entry");

static void shared_in_and_zap_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	child = fx_fork(mm, "child");
	sim_task("child's fault", task_fault, child, 0, 0);
	sim_task("parent's zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_shared_in_and_zap, "swap-shared-in-and-zap", shared_in_and_zap_setup, fx_down,
		"of two address spaces that share an entry one reads it, the other drops it");

static void shared_by_two_setup(void)
{
	new_space(1);
	fx_push_out(mm, 0);
	child = fx_fork(mm, "child");
	sim_task("parent", task_read, mm, 0, 0);
	sim_task("child", task_read, child, 1, 0);
}

DEFINE_SCENARIO(swap_shared_by_two, "swap-shared-by-two", shared_by_two_setup, fx_down,
		"two address spaces that share an entry read it at once: one page, or two that "
		"hold the same");

static void shared_by_three_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	child = fx_fork(mm, "child");
	grandchild = fx_fork(mm, "grandchild");
	sim_task("parent's zap", task_zap, mm, 1, 0);
	sim_task("child's fault", task_fault, child, 0, 0);
	sim_task("grandchild's exit", task_exit, grandchild, 1, 0);
}

DEFINE_SCENARIO(swap_shared_by_three, "swap-shared-by-three", shared_by_three_setup, fx_down,
		"of three address spaces that share an entry one reads it, one drops it, one ends");

/* ---- reclaim ---- */

static void out_and_store_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("store", task_write, mm, 1, 0);
}

static void out_and_store_end(void)
{
	fx_read(mm, 0, 1);
	fx_down();
}

DEFINE_SCENARIO(swap_out_and_store, "swap-out-and-store", out_and_store_setup, out_and_store_end,
		"a page is swapped out while a thread stores to it: the store is in the page, or "
		"in the slot");

static void out_and_restore_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("store twice", store_and_restore, NULL, 1, 0);
}

/* The page has the checksum of its last write. Now it goes out again, and comes back. */
static void out_and_restore_end(void)
{
	fx_read(mm, 0, 0);
	fx_set_young(mm, 0, false);
	fx_push_out(mm, 0);
	fx_read(mm, 0, 0);
	fx_down();
}

DEFINE_SCENARIO(swap_out_and_restore, "swap-out-and-restore", out_and_restore_setup,
		out_and_restore_end,
		"a page is written out while it is changed and changed back: what is in the slot "
		"is not taken for clean");

static void shared_out_and_exit_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	child = fx_fork(mm, "child");
	fx_read(mm, 0, 0); /* a write would make a copy */
	fx_set_young(mm, 0, false);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("child's exit", task_exit, child, 1, 0);
}

DEFINE_SCENARIO(swap_shared_out_and_exit, "swap-shared-out-and-exit", shared_out_and_exit_setup,
		fx_down,
		"reclaim takes a reference of a slot while another address space drops its own");

static void zap_0_then_reclaim(void *arg)
{
	fx_discard(mm, 0, 1);
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
	sim_task("fault", task_fault, mm, 0, 0);
	sim_task("zap, reclaim", zap_0_then_reclaim, NULL, 1, 0);
}

static void slot_reused_end(void)
{
	fx_read(mm, 1, 0);
	fx_down();
}

DEFINE_SCENARIO(swap_slot_reused, "swap-slot-reused", slot_reused_setup, slot_reused_end,
		"a fault works with an entry whose slot is given to another page meanwhile");

static void out_and_exit_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("exit", task_exit, mm, 1, 0);
}

DEFINE_SCENARIO(swap_out_and_exit, "swap-out-and-exit", out_and_exit_setup, fx_down,
		"reclaim follows a page's mappings into an address space that ends");

static void out_and_zap_setup(void)
{
	new_space(1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_out_and_zap, "swap-out-and-zap", out_and_zap_setup, fx_down,
		"reclaim gives a slot to a page that loses its last mapping (seed 2, type 2)");

static void writer(void *arg)
{
	(void)arg;
	page_lock(victim);
	if (page_test(victim, PG_swapcache)) /* the zap may have run first */
		swap_write_pages(&fx->e, &victim, NULL, 1, false);
	else
		page_unlock(&fx->e, victim);
	lru_add(victim);
	page_put(&fx->e, victim);
}

static void write_and_zap_setup(void)
{
	cached_victim(true);
	sim_task("writer", writer, NULL, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_write_and_zap, "swap-write-and-zap", write_and_zap_setup, fx_down,
		"the last entry goes while its page is under writeback");

static void reclaim_cached_and_zap_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_reclaim_cached_and_zap, "swap-reclaim-cached-and-zap",
		reclaim_cached_and_zap_setup, fx_down,
		"reclaim writes a page of the swap cache and drops it while its last entry goes");

static void keep_and_zap_setup(void)
{
	new_space(1);
	fx_push_to_cache(mm, 0, false);
	fx_fill(mm, 0);
	victim = fx_isolate(mm, 0);
	fx_set_young(mm, 0, true);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(
	swap_keep_and_zap, "swap-keep-and-zap", keep_and_zap_setup, fx_down,
	"reclaim locks a mapped page of the swap cache and keeps it; its last mapping goes");

static void write_error_and_zap_setup(void)
{
	reclaim_cached_and_zap_setup();
	fault_arm(FAULT_WRITE, 1);
}

DEFINE_SCENARIO(swap_write_error_and_zap, "swap-write-error-and-zap", write_error_and_zap_setup,
		fx_down, "the last entry goes while its page is under a write that fails");

static void drop_and_zap_setup(void)
{
	cached_victim(false);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(swap_drop_and_zap, "swap-drop-and-zap", drop_and_zap_setup, fx_down,
		"reclaim would drop a clean page, finds it referenced, and keeps it while its last "
		"entry goes");

/* A caller that finds no room is told that some is coming. */
static void reclaim_or_told(void *arg)
{
	struct reclaim_result r = { 0 };

	(void)arg;
	shrink_pages(&fx->e, &victim, 1, 0, &r);
	if (!r.reclaimed && !r.busy && !r.held && !pte_present(fx_pte(mm, 0)))
		sim_fail(SIM_WRONG, NULL, 0,
			 "a page that somebody is about to map is not there for reclaim");
}

static void drop_and_map_setup(void)
{
	cached_victim(false);
	sim_task("reclaim", reclaim_or_told, NULL, 0, 0);
	sim_task("fault", task_fault, mm, 1, 0);
}

DEFINE_SCENARIO(swap_drop_and_map, "swap-drop-and-map", drop_and_map_setup, fx_down,
		"reclaim would drop a clean page that a fault is about to map");

static void out_and_in_setup(void)
{
	cached_victim(true);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("reader", task_read, mm, 1, 0);
}

DEFINE_SCENARIO(swap_out_and_in, "swap-out-and-in", out_and_in_setup, fx_down,
		"a page is written out and faulted in at once");

static void full_and_in_setup(void)
{
	fx_up(1);
	mm = fx_mm(fx_group("A", 8), "mm", 2);
	fx_fill(mm, 0);
	fx_push_to_cache(mm, 0, false);
	fx_fill(mm, 1);
	victim = fx_isolate(mm, 1);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("fault", task_fault, mm, 1, 0);
}

DEFINE_SCENARIO(swap_full_and_in, "swap-full-and-in", full_and_in_setup, fx_down,
		"reclaim finds every slot used while a fault gives one back");

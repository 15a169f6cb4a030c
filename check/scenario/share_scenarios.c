/* check/scenario/share_scenarios.c - two processes related by fork have the same page, each with
 * its own record: the second that goes to swap refers to the slot of the first (mm/swap_share.h).
 * All of them require: whatever happens to that slot in the meantime, each process finds in its
 * memory what it left there. */
#include "mm/swap_io.h"
#include "mm/swap_share.h"
#include "mm/swap_slot.h"
#include "scenario/tasks.h"

static struct mm *mm, *child;
static struct page *victim, *other;
static struct swap_hash first; /* of page 0 */

/* ---- set-up ---- */

/* Two processes with the same two pages. */
static void relatives(void)
{
	fx_up_withdrawing(FX_SLOTS);
	mm = fx_mm(fx_group("A", 8), "mm", 2);
	fx_fill(mm, 0);
	fx_fill(mm, 1);
	child = fx_empty_mm(mm_memcg(mm), "child");
	rw_wrlock(&mm->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	if (soft_client_fork(&fx->soft, mm, child) != 0 || mm_fork_locked(mm, child, 0) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed");
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&mm->mmap_lock);
}

static void discard_first(struct mm *m)
{
	rw_wrlock(&m->mmap_lock);
	soft_client_discard(&fx->soft, m, FX_VA(0), FX_VA(1));
	mm_discard_locked(m, FX_VA(0), FX_VA(1));
	rw_wrunlock(&m->mmap_lock);
}

/* ---- the parent's page goes out to the slot of the child's ---- */

static void discard(void *arg)
{
	discard_first(arg);
}

static void one_out(void)
{
	relatives();
	fx_push_out(child, 0);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
}

static void and_discard_setup(void)
{
	one_out();
	sim_task("discard", discard, child, 1, 0);
}

static void and_discard_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}
DEFINE_SCENARIO(share_slot_and_discard, "share-slot-and-discard", and_discard_setup,
		and_discard_end,
		"a page is to share the slot of a relative's, whose last reference goes");

static void and_read_setup(void)
{
	one_out();
	sim_task("read", task_read, child, 1, 0);
}

static void and_read_end(void)
{
	fx_read(mm, 0, 0);
	fx_read(child, 0, 0);
	fx_down();
}
DEFINE_SCENARIO(share_slot_and_read, "share-slot-and-read", and_read_setup, and_read_end,
		"a page is to share the slot of a relative's, which is read from it");

/* ---- what happens to the slot that was found: these take only the reference ---- */

/* As reclaim has a withdrawn page. */
static void begin_out(struct page *p)
{
	uint32_t near = 0;

	if (!page_trylock(p) || swap_add_page(&fx->e, p, &near) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "no slot");
}

static void end_out(struct page *p)
{
	page_unlock(&fx->e, p);
	lru_add(p);
	page_put(&fx->e, p);
}

/* The slot has the content that was searched for, or it is in a page that cannot be changed. Its
 * lock is held. */
static bool has_first(const struct swap_device *d, uint32_t slot)
{
	const struct page *cached =
		a32_load(&d->map[slot]) & SLOT_CACHE ? aptr_load(&d->cache[slot]) : NULL;

	return hash_equal(d->hash[slot], first) &&
	       (a32_load(&d->map[slot]) & SLOT_VALID ||
		(cached &&
		 (page_locked(cached) || page_test(cached, PG_writeback) || !page_mapped(cached))));
}

/* The reference is dropped again, as where the page's entry has changed by then. */
static void find_shared(void *arg)
{
	struct swap_device *d = fx->e.swap;
	uint32_t entry;

	page_lock(arg);
	entry = swap_share(&fx->e, arg, FX_VA(0), first);
	if (entry) {
		spin_lock(swap_slot_lock(d, entry_slot(entry)));
		if (!has_first(d, entry_slot(entry)))
			sim_fail(SIM_WRONG, NULL, 0, "slot %u is another page's",
				 entry_slot(entry));
		spin_unlock(swap_slot_lock(d, entry_slot(entry)));
		swap_put(&fx->e, entry);
	}
	end_out(arg);
}

/* Reclaim has isolated the parent's page. The child's is in swap, or in memory with its own
 * slot. */
static void looked_for(bool out)
{
	relatives();
	fx_push_out(child, 0);
	first = fx->e.swap->hash[entry_slot(pte_entry(fx_pte(child, 0)))];
	if (!out)
		fx_read(child, 0, 0);
	victim = fx_isolate(mm, 0);
	begin_out(victim);
	page_unlock(&fx->e, victim);
	sim_task("find", find_shared, victim, 0, 0);
}

/* The child's slot is freed, and another of its pages goes there. */
static void reuse(void *arg)
{
	uint32_t entry;

	discard_first(child);
	begin_out(arg);
	if (swap_share(&fx->e, arg, FX_VA(1), (struct swap_hash){ 1, 1 }))
		sim_fail(SIM_WRONG, NULL, 0, "a slot is found for what is in none");
	entry = page_entry(arg);
	swap_dup(&fx->e, entry);
	swap_put(&fx->e, entry);
	end_out(arg);
}

static void and_reuse_setup(void)
{
	looked_for(true);
	other = fx_isolate(child, 1);
	sim_task("reuse", reuse, other, 1, 0);
}
DEFINE_SCENARIO(
	share_slot_and_reuse, "share-slot-and-reuse", and_reuse_setup, fx_down,
	"a page is to share the slot of a relative's, which is freed and used for another page");

/* The page comes back from the slot, which only the child uses then, and is changed. */
static void and_write_setup(void)
{
	looked_for(true);
	sim_task("write", task_write, child, 1, 0);
}

static void changed_end(void)
{
	fx_read(child, 0, 1);
	fx_down();
}
DEFINE_SCENARIO(share_slot_and_write, "share-slot-and-write", and_write_setup, changed_end,
		"a page is to share the slot of a relative's, which is read from it and changed");

/* Only the child uses the slot; the page, which was changed, goes there again. */
static void and_rewrite_setup(void)
{
	looked_for(false);
	fx_write(child, 0, 1);
	other = fx_isolate(child, 0);
	sim_task("reclaim", task_reclaim, other, 1, 0);
}
DEFINE_SCENARIO(share_slot_and_rewrite, "share-slot-and-rewrite", and_rewrite_setup, changed_end,
		"a page is to share the slot of a relative's, which other content is written to");

/* If it cannot be written it stays in the swap cache, and belongs to the child again. */
static void reclaim_and_write(void *arg)
{
	task_reclaim(arg);
	fx_write(child, 0, 1);
}

static void being_written(bool fails)
{
	looked_for(false);
	discard_first(child);
	fx_fill(child, 0);
	other = fx_isolate(child, 0);
	if (fails)
		fault_arm(FAULT_WRITE, 1);
	sim_task("reclaim", fails ? reclaim_and_write : task_reclaim, other, 1, 0);
}

static void first_end(void)
{
	fx_read(child, 0, 0);
	fx_down();
}

static void being_written_setup(void)
{
	being_written(false);
}
DEFINE_SCENARIO(share_slot_being_written, "share-slot-being-written", being_written_setup,
		first_end, "a page is to share the slot that a relative's is being written to");

static void write_fails_setup(void)
{
	being_written(true);
}
DEFINE_SCENARIO(
	share_slot_write_fails, "share-slot-write-fails", write_fails_setup, changed_end,
	"a page is to share the slot that a relative's is being written to, and that write fails",
	.slow = true);

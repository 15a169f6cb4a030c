/* check/scenario/shmem_scenarios.c - shared memory whose table entry is stale by the time its slot
 * is looked at. They require: no task is told of a device error unless its own page could not be
 * read. */
#include "scenario/fixture.h"

static struct address_space *object;
static struct mm *mm, *neighbour;
static struct page *victim;
static uint32_t *entry; /* in the arena: restored before each execution */

/* ---- tasks ---- */

/* What a fault does if it has looked into the table before the other task began. */
static void swap_in(void *arg)
{
	int err = shmem_swapin(object, 0, *entry, arg);

	if (err < 0)
		sim_fail(SIM_WRONG, NULL, 0,
			 "slot %u was another page's, and a swap-in took its loss for its own: %d",
			 *entry - 1, err);
}

/* The object's page is dropped, its slot goes to the neighbour's, and cannot be read again. */
static void reuse_slot(void *arg)
{
	struct reclaim_result r = { 0 };

	(void)arg;
	filemap_discard(object, 0, 1);
	shrink_pages(&fx->e, &victim, 1, 0, &r);
	if (!pte_is_swap(fx_pte(neighbour, 0)))
		return; /* the swap-in ran first, and has the slot */
	fault_arm(FAULT_READ, 1);
	(void)fx_fault(neighbour, 0, false);
}

/* ---- scenario ---- */

static void slot_reused_setup(void)
{
	fx_up(1);
	object = fx_shmem(1);
	mm = fx_file_mm(fx_group("A", 8), "mm", object);
	fx_fill(mm, 0);
	fx_push_out_shared(mm, 0);
	neighbour = fx_mm(fx_group("B", 8), "neighbour", 1);
	fx_fill(neighbour, 0);
	victim = fx_isolate(neighbour, 0);
	entry = plat_alloc(sizeof(*entry));
	if (filemap_lookup(object, 0, entry) || !*entry)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: not in swap");
	sim_task("swap-in", swap_in, mm, 0, 0);
	sim_task("discard, reuse", reuse_slot, NULL, 1, 0);
}

DEFINE_SCENARIO(shmem_slot_reused, "shmem-slot-reused", slot_reused_setup, fx_down,
		"a swap-in has an entry of shared memory whose slot goes to another page, which "
		"cannot be read",
		.slow = true);

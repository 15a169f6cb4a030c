/* tests/unit/mm/full_test.c - the disk under the swap file is full before the slots are. */
#include "soft_fixture.h"

#define LIMIT 50

static struct soft_fixture fx;
static struct mem_cgroup *g;
static struct mm *mm;

/* A group of LIMIT pages, 128 slots, and a disk that has @blocks for them. */
static void up(enum soft_kind kind, bool device, int64_t blocks, uint64_t pages)
{
	fx_up(&fx, kind, 1024, 128);
	fx.store->store.device = device;
	a64_store(&fx.store->blocks, blocks);
	g = fx_group(&fx, NULL, "a", LIMIT);
	mm = fx_mapped_mm(&fx, g, pages);
}

/* There are more slots than blocks, and pages in memory keep their slots as long as many are left.
 * An allocator that goes on to never-written slots finds none for the 30 pages that have to go,
 * though 10 more blocks exist. */
TEST_EACH_KIND(slots_that_were_written_before_are_used_when_the_disk_is_full)
{
	for (int device = 0; device < 2; device++) {
		up(kind, device, 40, 80);
		for (uint64_t k = 0; k < 5; k++)
			fx_fill_run(&fx, mm, FX_BASE, 80, k);
		fx_check_run(&fx, mm, FX_BASE, 80, 4);
		assert_true(a32_load(&fx.e.swap_disk_full));
		assert_int_equal(event_read(g, EVENT_OOM_KILL), 0);
		fx_down(&fx);
	}
}

/* Each check for new room leaves a refused page. When those are half of the pages in memory the
 * others, which can go, are still found. */
TEST_EACH_KIND(a_disk_that_is_full_for_long_kills_nobody)
{
	up(kind, false, 40, 80);
	for (uint64_t k = 0; k < 40; k++) {
		fx_fill_run(&fx, mm, FX_BASE, 80, k);
		plat_sleep_ns(50000000);
	}
	fx_check_run(&fx, mm, FX_BASE, 80, 39);
	assert_true(a32_load(&fx.e.swap_disk_full));
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 0);
}

TEST_EACH_KIND(a_page_that_a_full_disk_refused_is_not_tried_again_and_again)
{
	uint64_t i = 0;
	int err = 0;

	up(kind, false, 20, 200);
	err = fx_fill_some(&fx, mm, FX_BASE, 200, 1, &i);
	assert_int_equal(err, -ENOMEM);
	assert_in_range(i, LIMIT + 15, LIMIT + 22);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 1);
	/* Each page once, and one at a time for a second: after 1 ms, 2, 4, ... 64, 100, 100,
	 * ... */
	assert_in_range(event_read(g, EVENT_SWAP_WRITE_ERR), 1, LIMIT + 20);
	fx_audit(&fx, 0);
}

TEST_EACH_KIND(a_disk_that_is_full_for_a_moment_kills_nobody)
{
	up(kind, false, 128, 100);
	fx_fill_run(&fx, mm, FX_BASE, LIMIT - 1, 1);
	a32_store(&fx.store->refuse, 2);
	fx_fill_run(&fx, mm, FX_BASE, 100, 2);
	assert_int_equal(a32_load(&fx.store->refuse), 0);
	assert_int_equal(a32_load(&fx.e.swap_disk_full), 0);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 2);
}

TEST_EACH_KIND(a_disk_that_has_room_again_is_used)
{
	up(kind, true, 30, 100);
	for (uint64_t k = 0; k < 3; k++)
		fx_fill_run(&fx, mm, FX_BASE, LIMIT + 20, k);
	assert_true(a32_load(&fx.e.swap_disk_full));
	a64_store(&fx.store->blocks, 128);
	fx_fill_run(&fx, mm, FX_BASE, 100, 3);
	assert_int_equal(a32_load(&fx.e.swap_disk_full), 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 3);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 0);
}

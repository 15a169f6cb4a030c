/* tests/unit/mm/ahead_test.c - read-ahead of streams, and windows with gaps. */
#include "mm/ahead.h"
#include "soft_fixture.h"

#define PAGES 256u

static struct soft_fixture fx;
static struct mem_cgroup *g;
static struct mm *mm;

static void up(bool device, uint64_t first, int64_t limit)
{
	fx_up(&fx, SOFT_EXCLUSIVE, 8 * PAGES, 2 * PAGES);
	fx.store->store.device = device;
	g = fx_group(&fx, NULL, "a", limit);
	mm = fx_mm(&fx, g);
	assert_int_equal(fx_map(mm, first, PAGES), 0);
	fx_fill_run(&fx, mm, first, PAGES, 1);
	(void)fx_reclaim(&fx, g, PAGES);
	assert_int_equal(a64_load(&mm->swapents), PAGES);
}

static uint64_t at(uint64_t i)
{
	return FX_BASE + i * PAGE_SIZE;
}

/* Pages that stayed in memory do not split a stream into one fault per gap. */
TEST(a_window_with_gaps_is_read_and_mapped_by_one_fault)
{
	int64_t faults;

	up(false, FX_BASE, 4 * PAGES * 16);
	for (uint64_t k = 0; k < PAGES / 4; k++) /* every fourth, in scattered order */
		assert_int_equal(fx_check(&fx, mm, at(k * 37 % (PAGES / 4) * 4), 1), 0);
	assert_int_equal(a64_load(&mm->rss), PAGES / 4);
	faults = stat_read(g, STAT_PGFAULT);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 1);
	assert_in_range(stat_read(g, STAT_PGFAULT) - faults, 4, 16);
	assert_int_equal(a64_load(&fx.store->nr_reads), PAGES);
}

/* Its fault finds it, and needs no second read. */
TEST(what_was_read_ahead_is_not_read_again)
{
	up(false, FX_BASE, 16 * PAGES);
	fault_read_ahead(mm, FX_BASE, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 64);
	assert_int_equal(stat_read(g, STAT_SWAP_RA), 64);
	assert_int_equal(a64_load(&mm->rss), 0);
	assert_int_equal(fx_usage(g), 64);
	fault_read_ahead(mm, FX_BASE, 64);
	fx_check_run(&fx, mm, FX_BASE, 64, 1);
	assert_true(stat_read(g, STAT_SWAP_RA_HIT) >= 32); /* the others waited, once per window */
	assert_int_equal(a64_load(&fx.store->nr_reads), a64_load(&mm->rss));
}

/* Nothing is mapped across leaves, or entered for what is not there. */
TEST(reading_ahead_ends_with_the_leaf_and_with_the_area)
{
	uint64_t first = FX_BASE + LEAF_SPAN - 10 * PAGE_SIZE;

	up(false, first, 16 * PAGES);
	/* The same leaf, at its other end. */
	assert_int_equal(fx_map(mm, FX_BASE, 64), 0);
	fx_fill_run(&fx, mm, FX_BASE, 64, 1);
	(void)fx_reclaim(&fx, g, 64);
	fault_read_ahead(mm, first, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 10);
	fault_read_ahead(mm, first + (PAGES - 5) * PAGE_SIZE, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 15);
	fault_read_ahead(mm, FX_BASE + 100 * LEAF_SPAN, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 15);
}

/* Pages that are being read cannot be reclaimed: do not read ahead where they may be all there is
 * to reclaim, or where they would have to go out at once. */
TEST(nothing_is_read_ahead_when_swap_is_full_or_above_high)
{
	up(false, FX_BASE, 16 * PAGES);
	assert_int_equal(page_counter_set_max(&g->swap, PAGES + 63), 0);
	fault_read_ahead(mm, FX_BASE, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 0);
	assert_int_equal(page_counter_set_max(&g->swap, PAGE_COUNTER_MAX), 0);
	a64_store(&g->memory.high, 63);
	fault_read_ahead(mm, FX_BASE, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 0);
	a64_store(&g->memory.high, 4 * PAGES);
	fault_read_ahead(mm, FX_BASE, 64);
	assert_int_equal(a64_load(&fx.store->nr_reads), 64);
}

/* It is only a hint. */
TEST_EACH_KIND(reading_ahead_on_request_ends_at_high)
{
	struct mem_cgroup *h;

	fx_up(&fx, kind, 4096, 4096);
	g = fx_group(&fx, NULL, "a", 0);
	h = fx_group(&fx, g, "b", 0);
	mm = fx_mapped_mm(&fx, h, 2000);
	fx_fill_run(&fx, mm, FX_BASE, 2000, 1);
	assert_int_equal(fx_reclaim(&fx, g, 2000), 2000);
	a64_store(&g->memory.high, 1000);
	fault_willneed(mm, FX_BASE, FX_BASE + 2000 * PAGE_SIZE);
	assert_in_range(fx_usage(h), 900, 1000 + FAULT_PAGES_MAX);
	assert_in_range(a64_load(&mm->rss), kind == SOFT_SHARED ? 1 : 900, 1000 + FAULT_PAGES_MAX);
}

static void scan(bool device)
{
	int64_t ahead = 0;

	up(device, FX_BASE, 16 * PAGES);
	assert_int_equal(engine_start(&fx.e), 0);
	fx_check_run(&fx, mm, FX_BASE, PAGES / 2, 1);
	/* The read-ahead thread runs when it is scheduled. */
	for (int i = 0; i < 60000 && device && ahead == 0; i++) {
		plat_sleep_ns(1000000);
		ahead = a64_load(&fx.store->nr_reads) - a64_load(&mm->rss);
	}
	engine_stop(&fx.e);
	ahead = a64_load(&fx.store->nr_reads) - a64_load(&mm->rss);
	assert_true(device ? ahead > 0 : ahead == 0);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 1);
	assert_int_equal(a64_load(&fx.store->nr_reads), PAGES);
}

/* A device has the next read queued while the pages of the previous one are used. */
TEST(a_stream_on_a_device_has_more_read_than_it_has_asked_for)
{
	scan(true);
}

/* Where a read is a copy, waking a thread costs more than it saves. */
TEST(a_stream_through_a_cache_has_read_what_it_has_asked_for)
{
	scan(false);
}

/* A request that nobody serves any more holds no address space. */
TEST(questions_that_nobody_answers_are_forgotten)
{
	uint32_t refs;

	up(true, FX_BASE, 16 * PAGES);
	refs = a32_load(&mm->refcount);
	ahead_ask(&fx.e, mm, FX_BASE, 64);
	assert_int_equal(a32_load(&mm->refcount), refs);
	assert_int_equal(engine_start(&fx.e), 0);
	for (unsigned i = 0; i < 4 * AHEAD_MAX; i++)
		ahead_ask(&fx.e, mm, at(i % 4 * 64), 64);
	engine_stop(&fx.e);
	assert_int_equal(a32_load(&mm->refcount), refs);
}

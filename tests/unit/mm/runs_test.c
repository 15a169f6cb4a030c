/* tests/unit/mm/runs_test.c - where swapped pages go on a device: changed pages go to new adjacent
 * slots, unless their old ones are already adjacent. */
#include "soft_fixture.h"

#define PAGES 64u
#define BIG   1024u

static struct soft_fixture fx;
static struct mem_cgroup *g;
static struct mm *mm;

static void up(uint32_t npages, uint32_t nr_slots, bool device)
{
	fx_up(&fx, SOFT_EXCLUSIVE, 4 * npages, nr_slots);
	fx.store->store.device = device;
	g = fx_group(&fx, NULL, "a", 2 * npages);
	mm = fx_mapped_mm(&fx, g, npages);
	fx_fill_run(&fx, mm, FX_BASE, npages, 1);
}

static uint64_t at(uint64_t i)
{
	return FX_BASE + i * PAGE_SIZE;
}

/* Far apart, each page once, as long as @npages is a power of two; another order for each @seed. */
static uint64_t scattered(uint64_t k, uint32_t npages, uint64_t seed)
{
	return k * (29 + 2 * seed) % npages;
}

static void evict(uint32_t npages)
{
	(void)fx_reclaim(&fx, g, npages);
	assert_int_equal(a64_load(&mm->swapents), npages);
}

static uint32_t slot_of(uint64_t i)
{
	pte_t pte = fx_pte(mm, at(i));

	assert_true(pte_is_swap(pte));
	return entry_slot(pte_entry(pte));
}

/* Fault pages in in an order other than that of the file, each read back and changed or not. */
static void bring_scattered(uint32_t npages, uint64_t seed, uint64_t new_seed)
{
	for (uint64_t k = 0; k < npages; k++) {
		uint64_t i = scattered(k, npages, seed);

		assert_int_equal(fx_check(&fx, mm, at(i), seed), 0);
		if (new_seed != seed)
			assert_int_equal(fx_fill(&fx, mm, at(i), new_seed), 0);
	}
}

static void look(uint32_t npages, uint32_t *lowest, uint32_t *highest)
{
	*lowest = UINT32_MAX;
	*highest = 0;
	for (unsigned i = 0; i < npages; i++) {
		uint32_t slot = slot_of(i);

		*lowest = slot < *lowest ? slot : *lowest;
		*highest = slot > *highest ? slot : *highest;
	}
}

/* Scattered writes are slow on a device: pages that go out together are written together. */
TEST(changed_pages_go_next_to_each_other_whatever_slots_they_came_from)
{
	uint32_t lowest, highest;

	up(PAGES, 256, true);
	evict(PAGES);
	look(PAGES, &lowest, &highest);
	assert_int_equal(highest, PAGES - 1);
	/* Every fourth page: other slots lie between theirs. */
	for (unsigned i = 0; i < PAGES; i += 4)
		assert_int_equal(fx_fill(&fx, mm, at(i), 2), 0);
	(void)fx_reclaim(&fx, g, PAGES);
	lowest = slot_of(0);
	assert_true(lowest >= PAGES);
	for (unsigned i = 0; i < PAGES; i += 4)
		assert_int_equal(slot_of(i), lowest + i / 4);
	/* The old slots are free: a page has one. */
	assert_int_equal(a64_load(&fx.e.swap->nr_used), PAGES);
	assert_int_equal(page_counter_read(&g->swap), PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(fx_check(&fx, mm, at(i), i % 4 ? 1 : 2), 0);
}

/* The page cache gathers writes anyway: a larger part of the file in use gains nothing. */
TEST(a_store_that_is_no_device_gets_its_pages_back_where_they_were)
{
	uint32_t before[PAGES];

	up(PAGES, 256, false);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		before[i] = slot_of(i);
	bring_scattered(PAGES, 1, 2);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(slot_of(i), before[i]);
}

/* Nothing is written for them, so nothing can be gained. */
TEST(unchanged_pages_keep_their_slots)
{
	uint32_t before[PAGES];
	int64_t writes;

	up(PAGES, 256, true);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		before[i] = slot_of(i);
	writes = a64_load(&fx.store->nr_writes);
	bring_scattered(PAGES, 1, 1);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(slot_of(i), before[i]);
	assert_int_equal(a64_load(&fx.store->nr_writes), writes);
}

/* A program that walks its memory repeatedly needs no more of the file than it has pages. */
TEST(changed_pages_that_lie_in_a_run_stay_there)
{
	uint32_t before[PAGES];

	up(PAGES, 256, true);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		before[i] = slot_of(i);
	fx_fill_run(&fx, mm, FX_BASE, PAGES, 2);
	evict(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(slot_of(i), before[i]);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 2);
}

/* Without a free slot the write is in place, as on any store. */
TEST(a_full_store_takes_changed_pages_where_they_were)
{
	up(PAGES, PAGES, true);
	evict(PAGES);
	a64_store(&g->swap.max, 4 * PAGES);
	bring_scattered(PAGES, 1, 2);
	evict(PAGES);
	assert_int_equal(a64_load(&fx.e.swap->nr_used), PAGES);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 2);
}

/* Disk space and tables are used up to the highest slot ever handed out: that must not be all of a
 * large file. */
TEST(the_part_of_the_file_that_is_in_use_stays_a_small_multiple_of_the_pages_in_it)
{
	uint32_t lowest, highest, highest_ever = 0;

	up(BIG, 64 * BIG, true);
	evict(BIG);
	for (uint64_t round = 1; round < 24; round++) {
		bring_scattered(BIG, round, round + 1);
		evict(BIG);
		look(BIG, &lowest, &highest);
		highest_ever = highest > highest_ever ? highest : highest_ever;
	}
	assert_true(highest_ever < SWAP_LAP * BIG + SWAP_LAP_SPARE + MMU_BATCH_MAX);
	assert_true(highest_ever >= SWAP_LAP_SPARE);
}

/* tests/unit/mm/fault_test.c - first touch, windows, refusals, content across swap. Both kinds of
 * MMU. */
#include "soft_fixture.h"

static struct soft_fixture fx;

TEST_EACH_KIND(a_page_never_written_reads_as_zero_and_is_charged)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 256);
	g = fx_group(&fx, NULL, "a", 100);
	mm = fx_mapped_mm(&fx, g, 100);
	assert_int_equal(fx_check(&fx, mm, FX_BASE, 0), 1);
	assert_true(pte_present(fx_pte(mm, FX_BASE)));
	assert_int_equal(a64_load(&mm->rss), fx_usage(g));
	assert_int_equal(stat_read(g, STAT_ANON), fx_usage(g));
	fx_audit(&fx, 0);
	fx_exit(&fx, mm);
	assert_int_equal(fx_usage(g), 0);
}

TEST_EACH_KIND(an_access_outside_an_area_or_against_its_rights_is_refused)
{
	struct mm *mm;
	char c = 1;

	fx_up(&fx, kind, 1024, 0);
	mm = fx_mm(&fx, NULL);
	rw_wrlock(&mm->mmap_lock);
	assert_int_equal(vma_insert(mm, FX_BASE, FX_BASE + PAGE_SIZE, VM_READ), 0);
	rw_wrunlock(&mm->mmap_lock);
	assert_int_equal(soft_read(&fx.soft, mm, 0, FX_BASE + PAGE_SIZE, &c, 1), -EFAULT);
	assert_int_equal(soft_write(&fx.soft, mm, 0, FX_BASE, &c, 1), -EACCES);
	assert_int_equal(soft_read(&fx.soft, mm, 0, FX_BASE, &c, 1), 0);
	assert_int_equal(c, 0);
}

/* Touch @npages one after another in steps of @step pages from @va; returns the number of
 * faults. */
static int64_t faults_of(struct mm *mm, uint64_t va, int64_t npages, int64_t step)
{
	int64_t before = stat_read(mm_memcg(mm), STAT_PGFAULT);
	char c;

	for (int64_t i = 0; i < npages; i++)
		assert_int_equal(
			soft_read(&fx.soft, mm, 0, va + (uint64_t)(i * step) * PAGE_SIZE, &c, 1),
			0);
	return stat_read(mm_memcg(mm), STAT_PGFAULT) - before;
}

TEST(sequential_touches_up_and_down_bring_growing_windows_and_random_ones_small_windows)
{
	struct mm *mm;
	int64_t up, down;

	fx_up(&fx, SOFT_SHARED, 8192, 0);
	mm = fx_mapped_mm(&fx, NULL, 4096);
	up = faults_of(mm, FX_BASE, 1000, 1);
	assert_in_range(up, 1, 25);
	down = faults_of(mm, FX_BASE + 3000 * PAGE_SIZE, 1000, -1);
	assert_in_range(down, 1, 40);
	assert_int_equal(faults_of(mm, FX_BASE + 3100 * PAGE_SIZE, 12, 70), 12);
	fx_audit(&fx, 0);
}

/* A stream over 8 leaves continues from one leaf to the next: restarted there, it would take 5 more
 * faults per leaf. */
TEST_EACH_KIND(a_stream_goes_on_from_leaf_to_leaf)
{
	struct mm *mm;

	fx_up(&fx, kind, 2 * 8 * LEAF_ENTRIES, 0);
	mm = fx_mapped_mm(&fx, NULL, 2 * 8 * LEAF_ENTRIES);
	assert_in_range(faults_of(mm, FX_BASE, 8 * LEAF_ENTRIES, 1), 64, 80);
	assert_in_range(
		faults_of(mm, FX_BASE + (16 * LEAF_ENTRIES - 1) * PAGE_SIZE, 8 * LEAF_ENTRIES, -1),
		64, 80);
	fx_audit(&fx, 0);
}

static uint64_t drawn(uint64_t *random, uint64_t n)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	return (*random >> 33) % n;
}

/* The leaf at or after @va, by a search through all of them. */
static struct leaf *leaf_after(struct leaf **leaves, unsigned n, uint64_t va, uint64_t end)
{
	struct leaf *next = NULL;

	for (unsigned i = 0; i < n; i++)
		if (leaves[i]->base + LEAF_SPAN > va && leaves[i]->base < end &&
		    (!next || leaves[i]->base < next->base))
			next = leaves[i];
	return next;
}

/* Adjacent and far apart: both ways to look one up. */
TEST(leaves_are_walked_in_the_order_of_their_addresses_over_any_gap)
{
	struct leaf *leaves[60];
	uint64_t random = 1;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	mm = fx_mm(&fx, NULL);
	for (unsigned n = 0; n < 60; n++) {
		uint64_t far = LEAF_SPAN << drawn(&random, 26);

		leaves[n] = leaf_get(
			mm, n && drawn(&random, 4) ? leaves[drawn(&random, n)]->base + far : far);
		assert_non_null(leaves[n]);
		for (int i = 0; i < 40; i++) {
			uint64_t va = leaves[drawn(&random, n + 1)]->base +
				      LEAF_SPAN * drawn(&random, 3) - PAGE_SIZE * drawn(&random, 3);
			uint64_t end = va +
				       (drawn(&random, 2) ? PAGE_SIZE : 1ull << drawn(&random, 47)),
				 at = va;
			struct leaf *want = leaf_after(leaves, n + 1, va, end),
				    *got = leaf_next(mm, &at, end);

			assert_ptr_equal(got, want);
			assert_int_equal(at, !want ? end : want->base > va ? want->base : va);
		}
	}
}

/* A hole low in the device is filled, and then not rescanned at every allocation: otherwise a
 * search would scan the whole bitmap. */
TEST(the_search_for_a_slot_goes_on_where_the_last_one_ended)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 512);
	g = fx_group(&fx, NULL, "a", 400);
	mm = fx_mapped_mm(&fx, g, 300);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	assert_int_equal(fx_reclaim(&fx, g, 200), 200);
	assert_int_equal(fx.e.swap->hint, 200);
	fx_discard(&fx, mm, FX_BASE + 100 * PAGE_SIZE, 1);
	assert_in_range(fx.e.swap->hint, 0, 199);
	for (uint64_t i = 0; i < 2; i++) {
		fx_fill_run(&fx, mm, FX_BASE + (200 + i) * PAGE_SIZE, 1, 1);
		assert_true(fx_reclaim(&fx, g, 1) > 0);
	}
	assert_true(fx.e.swap->hint > 200);
	fx_check_run(&fx, mm, FX_BASE, 100, 1);
}

TEST_EACH_KIND(a_window_ends_with_its_area_and_its_leaf)
{
	struct mm *mm;

	fx_up(&fx, kind, 4096, 0);
	mm = fx_mm(&fx, NULL);
	/* An area of 70 pages with an unaligned end, one page apart from another. */
	assert_int_equal(fx_map(mm, FX_BASE + 500 * PAGE_SIZE, 70), 0);
	assert_int_equal(fx_map(mm, FX_BASE + 571 * PAGE_SIZE, 70), 0);
	fx_fill_run(&fx, mm, FX_BASE + 500 * PAGE_SIZE, 70, 7);
	assert_int_equal(a64_load(&mm->rss), 70);
	assert_true(pte_none(fx_pte(mm, FX_BASE + 570 * PAGE_SIZE)));
	assert_true(pte_none(fx_pte(mm, FX_BASE + 571 * PAGE_SIZE)));
	fx_check_run(&fx, mm, FX_BASE + 500 * PAGE_SIZE, 70, 7);
}

/* Four times as much memory as the limit; every page is written, read back in several orders,
 * written again. */
TEST_EACH_KIND(what_was_written_is_read_back_over_swap_and_usage_never_exceeds_max)
{
	enum { PAGES = 400, LIMIT = 100 };
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 2048, 1024);
	g = fx_group(&fx, NULL, "a", LIMIT);
	mm = fx_mapped_mm(&fx, g, PAGES);
	fx_fill_run(&fx, mm, FX_BASE, PAGES, 1);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 1);
	for (int i = PAGES - 1; i >= 0; i--)
		assert_int_equal(fx_check(&fx, mm, FX_BASE + (uint64_t)i * PAGE_SIZE, 1), 0);
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_int_equal(fx_fill(&fx, mm, FX_BASE + (i * 37 % PAGES) * PAGE_SIZE, 2), 0);
		assert_true(page_counter_read(&g->memory) <= LIMIT);
	}
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 2);
	assert_true(a64_load(&g->memory.watermark) <= LIMIT);
	assert_true(stat_read(g, STAT_PSWPOUT) >= PAGES - LIMIT);
	assert_true(stat_read(g, STAT_PGMAJFAULT) > 0);
	assert_int_equal(event_read(g, EVENT_OOM), 0);
	assert_true(event_read(g, EVENT_MAX) > 0);
	fx_audit(&fx, 0);
	fx_exit(&fx, mm);
	assert_int_equal(page_counter_read(&g->swap), 0);
}

TEST_EACH_KIND(pages_of_zeros_are_not_written_to_swap)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 512);
	g = fx_group(&fx, NULL, "a", 50);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_check_zero(&fx, mm, FX_BASE, 200);
	fx_check_zero(&fx, mm, FX_BASE, 200);
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	assert_true(stat_read(g, STAT_SWPOUT_ZERO) >= 150);
	if (kind == SOFT_EXCLUSIVE)
		assert_int_equal(page_counter_read(&g->swap), 0);
	fx_audit(&fx, 0);
}

TEST_EACH_KIND(a_page_that_was_only_read_is_not_written_again)
{
	struct mem_cgroup *g;
	struct mm *mm;
	int64_t writes;

	fx_up(&fx, kind, 1024, 1024);
	g = fx_group(&fx, NULL, "a", 50);
	mm = fx_mapped_mm(&fx, g, 100);
	fx_fill_run(&fx, mm, FX_BASE, 100, 3);
	fx_check_run(&fx, mm, FX_BASE, 100, 3);
	fx_check_run(&fx, mm, FX_BASE, 100, 3);
	writes = a64_load(&fx.store->nr_writes);
	fx_check_run(&fx, mm, FX_BASE, 100, 3);
	assert_int_equal(a64_load(&fx.store->nr_writes), writes);
	assert_true(stat_read(g, STAT_SWPOUT_CLEAN) > 0);
}

TEST_EACH_KIND(willneed_brings_swapped_pages_ahead_of_their_use)
{
	struct mem_cgroup *g;
	struct mm *mm;
	int64_t faults;

	fx_up(&fx, kind, 2048, 1024);
	g = fx_group(&fx, NULL, "a", 600);
	mm = fx_mm(&fx, g);
	assert_int_equal(fx_map(mm, FX_BASE + 400 * PAGE_SIZE, 300), 0);
	fx_fill_run(&fx, mm, FX_BASE + 400 * PAGE_SIZE, 300, 3);
	assert_int_equal(fx_reclaim(&fx, g, 300), 300);
	assert_int_equal(a64_load(&mm->swapents), 300);
	fault_willneed(mm, FX_BASE, FX_BASE + 700 * PAGE_SIZE);
	assert_true(fx_usage(g) >= 250);
	faults = stat_read(g, STAT_PSWPIN);
	fx_check_run(&fx, mm, FX_BASE + 400 * PAGE_SIZE, 300, 3);
	assert_true(stat_read(g, STAT_PSWPIN) - faults <= 50);
	fx_audit(&fx, 0);
}

TEST(a_page_back_soon_after_eviction_counts_as_refault_and_becomes_active)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 1024);
	g = fx_group(&fx, NULL, "a", 500);
	mm = fx_mapped_mm(&fx, g, 100);
	fx_fill_run(&fx, mm, FX_BASE, 100, 3);
	assert_true(fx_reclaim(&fx, g, 10) >= 10);
	assert_int_equal(stat_read(g, STAT_REFAULT_ANON), 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 3);
	assert_true(stat_read(g, STAT_REFAULT_ANON) >= 10);
	assert_true(stat_read(g, STAT_ACTIVATE_ANON) >= 10);
	assert_true(stat_read(g, STAT_ACTIVE_ANON) >= 10);
	fx_audit(&fx, 0);
}

/* What a real MMU may answer at any time: it is retried, and nothing is lost. */
TEST(a_map_that_is_cut_short_or_refused_for_now_is_tried_again)
{
	static const int errnos[] = { EAGAIN, EEXIST, ENOENT };
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 1024);
	g = fx_group(&fx, NULL, "a", 60);
	mm = fx_mapped_mm(&fx, g, 200);
	a32_store(&fx.soft.inject.map_max, 3);
	a32_store(&fx.soft.inject.busy_every, 7);
	a32_store(&fx.soft.inject.refuse_every, 11);
	fx_fill_run(&fx, mm, FX_BASE, 200, 5);
	for (uint64_t i = 200; i-- > 0;) {
		if (i % 3 && pte_is_swap(fx_pte(mm, FX_BASE + i * PAGE_SIZE)))
			a32_store(&fx.soft.inject.map_errno, (uint32_t)errnos[i % 2 * 2]);
		assert_int_equal(fx_check(&fx, mm, FX_BASE + i * PAGE_SIZE, 5), 0);
		a32_store(&fx.soft.inject.map_errno, 0);
	}
	fx_audit(&fx, 0);
}

TEST(a_page_the_client_has_already_is_left_alone_until_it_is_adopted)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 0);
	g = fx_group(&fx, NULL, "a", 60);
	mm = fx_mapped_mm(&fx, g, 16);
	assert_int_equal(soft_client_touch(&fx.soft, mm, FX_BASE), 0);
	assert_int_equal(handle_fault(mm, FX_BASE, true), 0);
	assert_int_equal(a64_load(&mm->rss), 0);
	assert_int_equal(fx_usage(g), 0);
	assert_int_equal(fault_adopt(mm, FX_BASE), 0);
	assert_int_equal(fault_adopt(mm, FX_BASE), -EEXIST);
	assert_int_equal(fault_adopt(mm, FX_BASE + 16 * PAGE_SIZE), -EFAULT);
	assert_int_equal(a64_load(&mm->rss), 1);
	fx_audit(&fx, 0);
}

TEST(a_page_the_client_dropped_without_telling_reads_as_zero)
{
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	mm = fx_mapped_mm(&fx, NULL, 16);
	fx_fill_run(&fx, mm, FX_BASE, 16, 5);
	soft_client_discard(&fx.soft, mm, FX_BASE, FX_BASE + 4 * PAGE_SIZE);
	fx_check_zero(&fx, mm, FX_BASE, 4);
	fx_check_run(&fx, mm, FX_BASE + 4 * PAGE_SIZE, 12, 5);
	assert_int_equal(a64_load(&mm->rss), 16);
	fx_audit(&fx, 0);
}

static void split(void *mm)
{
	VM_BUG_ON(fx_mlock(mm, FX_BASE + 6 * PAGE_SIZE, 4) != 0);
}

static void split_while_reading(void *arg)
{
	struct plat_thread t;

	assert_int_equal(plat_thread_start(&t, "split", split, arg), 0);
	plat_thread_join(&t);
}

/* The pages read around a fault may belong to another area by the time they are mapped. */
TEST(an_area_cut_while_a_window_is_read_gets_only_its_own_pages)
{
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	mm = fx_mapped_mm(&fx, NULL, 16);
	fx_fill_run(&fx, mm, FX_BASE, 16, 5);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 16), 16);
	for (uint64_t i = 15; i > 11; i--) /* a downward stream: windows of 1, 2, 4 */
		assert_int_equal(fx_check(&fx, mm, FX_BASE + i * PAGE_SIZE, 5), 0);
	fx.store->during_read = split_while_reading;
	fx.store->during_arg = mm;
	fx_check_run(&fx, mm, FX_BASE + 8 * PAGE_SIZE, 1, 5);
	assert_null(fx.store->during_read);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 16, 5);
	fx_audit(&fx, 0);
}

static void move(void *mm)
{
	VM_BUG_ON(fx_remap(&fx, mm, FX_BASE, FX_BASE + 64 * PAGE_SIZE, 8) != 0);
}

static void move_while_withdrawn(void *arg, struct mmu_req *reqs, unsigned n)
{
	struct plat_thread t;

	(void)reqs, (void)n;
	fx.soft.withdrawn = NULL;
	assert_int_equal(plat_thread_start(&t, "mover", move, arg), 0);
	plat_thread_join(&t);
}

TEST(memory_moved_between_withdrawal_and_unmapping_keeps_its_content)
{
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	mm = fx_mapped_mm(&fx, NULL, 16);
	fx_fill_run(&fx, mm, FX_BASE, 16, 5);
	fx.soft.withdrawn = move_while_withdrawn;
	fx.soft.withdrawn_arg = mm;
	fx_reclaim(&fx, fx.e.tree.root, 16);
	fx_check_moved(&fx, mm, FX_BASE + 64 * PAGE_SIZE, FX_BASE, 8, 5);
	fx_check_run(&fx, mm, FX_BASE + 8 * PAGE_SIZE, 8, 5);
	fx_audit(&fx, 0);
}

/* A stream downwards: the next fault's window begins below its page. Returns that page. */
static uint64_t next_of_a_stream(struct mm *mm)
{
	uint64_t i = 250;

	for (unsigned faults = 0; faults < 3; i--) {
		if (pte_present(fx_pte(mm, FX_BASE + i * PAGE_SIZE)))
			continue;
		assert_int_equal(handle_fault(mm, FX_BASE + i * PAGE_SIZE, true), 0);
		faults++;
	}
	while (pte_present(fx_pte(mm, FX_BASE + i * PAGE_SIZE)))
		i--;
	return FX_BASE + i * PAGE_SIZE;
}

/* What keeps a neighbour from being mapped does not keep the page that faulted: one fault maps it,
 * alone, whether it is new or comes from swap. */
TEST(an_error_of_a_neighbour_leaves_the_faulting_page_mapped)
{
	static const uint32_t errors[] = { EEXIST, ENOENT };

	for (unsigned k = 0; k < 4; k++) {
		struct mm *mm;
		uint64_t va;

		fx_up(&fx, SOFT_EXCLUSIVE, 1024, 512);
		mm = fx_mapped_mm(&fx, NULL, 256);
		if (k / 2) {
			fx_fill_run(&fx, mm, FX_BASE, 256, 5);
			assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 256), 256);
		}
		va = next_of_a_stream(mm);
		a32_store(&fx.soft.inject.map_errno, errors[k % 2]);
		assert_int_equal(handle_fault(mm, va, true), 0);
		assert_int_equal(a32_load(&fx.soft.inject.map_errno), 0);
		assert_true(pte_present(fx_pte(mm, va)));
		assert_false(pte_present(fx_pte(mm, va - PAGE_SIZE)) && k < 2);
		fx_down(&fx);
	}
}

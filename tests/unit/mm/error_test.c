/* tests/unit/mm/error_test.c - swap that fails, memory that runs out: clean errors, never wrong
 * data, nothing lost. */
#include "soft_fixture.h"

static struct soft_fixture fx;

/* Fill 40 pages and push them all out. */
static struct mm *swapped_out(enum soft_kind kind, struct mem_cgroup **g)
{
	struct mm *mm;

	fx_up(&fx, kind, 1024, 128);
	*g = fx_group(&fx, NULL, "a", 300);
	mm = fx_mapped_mm(&fx, *g, 40);
	fx_fill_run(&fx, mm, FX_BASE, 40, 1);
	assert_int_equal(fx_reclaim(&fx, *g, 40), 40);
	assert_int_equal(a64_load(&mm->swapents), 40);
	return mm;
}

TEST_EACH_KIND(a_page_whose_read_fails_is_lost_and_the_reader_gets_sigbus)
{
	struct mem_cgroup *g;
	struct mm *mm = swapped_out(kind, &g);

	a32_store(&fx.store->read_errno, EIO);
	assert_int_equal(fx_check(&fx, mm, FX_BASE, 1), -EIO);
	assert_true(event_read(g, EVENT_SWAP_READ_ERR) > 0);
	assert_int_equal(event_read(g, EVENT_SWAP_CORRUPT), 0);
	assert_true(a64_load(&fx.soft.nr_poisons) > 0);
	assert_non_null(strstr(fx.notice, "SIGBUS"));
	fx_audit(&fx, 0);
	a32_store(&fx.store->read_errno, 0);
	/* It stays lost, even when the device works again. */
	assert_int_equal(fx_check(&fx, mm, FX_BASE, 1), -EIO);
	fx_check_run(&fx, mm, FX_BASE + 20 * PAGE_SIZE, 20, 1);
	fx_discard(&fx, mm, FX_BASE, 1);
	fx_check_zero(&fx, mm, FX_BASE, 1);
}

TEST_EACH_KIND(wrong_bytes_from_the_swap_file_never_reach_a_process)
{
	struct mem_cgroup *g;
	struct mm *mm = swapped_out(kind, &g);

	a32_store(&fx.store->corrupt_reads, 1);
	assert_int_equal(fx_check(&fx, mm, FX_BASE, 1), -EIO);
	assert_true(event_read(g, EVENT_SWAP_CORRUPT) > 0);
	assert_int_equal(event_read(g, EVENT_SWAP_READ_ERR), 0);
	assert_non_null(strstr(fx.notice, "checksum"));
	a32_store(&fx.store->corrupt_reads, 0);
	fx_check_run(&fx, mm, FX_BASE + 20 * PAGE_SIZE, 20, 1);
}

TEST_EACH_KIND(a_lost_page_is_lost_for_everybody_who_shares_it)
{
	struct mem_cgroup *g;
	struct mm *a = swapped_out(kind, &g), *b = fx_fork(&fx, a, g);

	a32_store(&fx.store->read_errno, EIO);
	assert_int_equal(fx_check(&fx, a, FX_BASE, 1), -EIO);
	assert_int_equal(fx_check(&fx, b, FX_BASE, 1), -EIO);
	a32_store(&fx.store->read_errno, 0);
	fx_check_run(&fx, b, FX_BASE + 20 * PAGE_SIZE, 20, 1);
}

static atomic64_t unmanaged;
static atomic32_t stop_giving;

static void give_back_always(void *arg)
{
	while (!a32_load(&stop_giving))
		charge_unmanaged(&fx.e, arg, a64_xchg(&unmanaged, 0), 0);
}

/* A process ends while it is measured. What is uncharged for it was charged before: otherwise the
 * counter would go below zero, which stops the engine, as nothing else is charged. */
TEST(what_was_measured_is_charged_before_it_can_be_given_back)
{
	struct mem_cgroup *root;
	struct plat_thread t;
	unsigned won = 0;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 0);
	root = fx.e.tree.root;
	a32_store(&stop_giving, 0);
	assert_int_equal(plat_thread_start(&t, "ends", give_back_always, root), 0);
	for (int i = 0; i < 200000; i++) {
		int64_t old = a64_load(&unmanaged);

		won += charge_unmanaged_publish(&fx.e, root, &unmanaged, old,
						old > 50 ? old - 50 : old + 30 + i % 60);
	}
	a32_store(&stop_giving, 1);
	plat_thread_join(&t);
	assert_true(won > 0);
	assert_int_equal(page_counter_read(&root->memory), a64_load(&unmanaged));
	assert_int_equal(stat_read(root, STAT_UNMANAGED), a64_load(&unmanaged));
	charge_unmanaged(&fx.e, root, a64_xchg(&unmanaged, 0), 0);
}

/* Writes fail for a while: pages stay in memory, the group exceeds no limit, and later they can
 * go. */
TEST_EACH_KIND(pages_that_cannot_be_written_stay_in_memory_and_nothing_is_lost)
{
	static const int errnos[] = { EIO, ENOSPC };

	for (int k = 0; k < 2; k++) {
		struct mem_cgroup *g;
		struct mm *mm;

		fx_up(&fx, kind, 1024, 128);
		g = fx_group(&fx, NULL, "a", 100);
		mm = fx_mapped_mm(&fx, g, 60);
		fx_fill_run(&fx, mm, FX_BASE, 60, 1);
		a32_store(&fx.store->write_errno, (uint32_t)errnos[k]);
		assert_int_equal(fx_reclaim(&fx, g, 60), 0);
		assert_true(event_read(g, EVENT_SWAP_WRITE_ERR) > 0);
		assert_non_null(strstr(fx.notice, errnos[k] == ENOSPC ? "full" : "failed"));
		fx_audit(&fx, 0);
		fx_check_run(&fx, mm, FX_BASE, 30, 1);
		fx_fill_run(&fx, mm, FX_BASE, 10, 2);
		fx_audit(&fx, 0);
		fx_reclaim(&fx, g, 60);
		a32_store(&fx.store->write_errno, 0);
		/* A disk that was full is tried again after a while. */
		for (int64_t freed = 0; freed < 60; freed += fx_reclaim(&fx, g, 60))
			plat_sleep_ns(1000000);
		fx_check_run(&fx, mm, FX_BASE, 10, 2);
		fx_check_run(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 50, 1);
		fx_down(&fx);
	}
}

/* The only copy is in the swap cache, two processes refer to it, and one faults on it. */
TEST_EACH_KIND(a_page_that_could_not_be_written_is_not_given_away_while_others_refer_to_it)
{
	struct mem_cgroup *g;
	struct mm *a, *b;

	fx_up(&fx, kind, 1024, 128);
	g = fx_group(&fx, NULL, "a", 300);
	a = fx_mapped_mm(&fx, g, 20);
	fx_fill_run(&fx, a, FX_BASE, 20, 1);
	a32_store(&fx.store->write_errno, EIO);
	assert_int_equal(fx_reclaim(&fx, g, 20), 0);
	b = fx_fork(&fx, a, g);
	assert_int_equal(a64_load(&b->swapents), 20);
	fx_fill_run(&fx, a, FX_BASE, 10, 2);
	fx_check_run(&fx, b, FX_BASE, 15, 1);
	fx_fill_run(&fx, b, FX_BASE, 5, 3);
	fx_audit(&fx, 0);
	fx_reclaim(&fx, g, 40);
	a32_store(&fx.store->write_errno, 0);
	fx_reclaim(&fx, g, 40);
	fx_audit(&fx, 0);
	fx_check_run(&fx, a, FX_BASE, 10, 2);
	fx_check_run(&fx, a, FX_BASE + 10 * PAGE_SIZE, 10, 1);
	fx_check_run(&fx, b, FX_BASE, 5, 3);
	fx_check_run(&fx, b, FX_BASE + 5 * PAGE_SIZE, 15, 1);
}

TEST_EACH_KIND(with_the_swap_file_full_the_group_is_out_of_memory)
{
	struct mem_cgroup *g;
	struct mm *mm;
	uint64_t i = 0;
	int err = 0;

	fx_up(&fx, kind, 1024, 20);
	g = fx_group(&fx, NULL, "a", 50);
	mm = fx_mapped_mm(&fx, g, 200);
	err = fx_fill_some(&fx, mm, FX_BASE, 200, 1, &i);
	assert_int_equal(err, -ENOMEM);
	assert_in_range(i, 65, 72);
	assert_true(event_read(g, EVENT_SWAP_FAIL) > 0);
	assert_int_equal(event_read(g, EVENT_SWAP_MAX), 0);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 1);
	fx_audit(&fx, 0);
}

/* A slot that only its page in memory refers to is freed when swap is scarce. */
TEST_EACH_KIND(ten_pages_of_spare_swap_are_enough)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 60);
	g = fx_group(&fx, NULL, "a", 50);
	mm = fx_mapped_mm(&fx, g, 100);
	for (uint64_t k = 0; k < 5; k++)
		fx_fill_run(&fx, mm, FX_BASE, 100, k);
	fx_check_run(&fx, mm, FX_BASE, 100, 4);
}

/* What a zap leaves behind while a page is locked or written is cleaned up by whoever unlocks
 * it. */
static struct mm *zap_mm;

static void zap(void *arg)
{
	(void)arg;
	fx_discard(&fx, zap_mm, FX_BASE, 20);
}

static void zap_while_locked(void *arg, struct mmu_req *reqs, unsigned n)
{
	struct plat_thread t;

	(void)arg, (void)reqs, (void)n;
	fx.soft.withdrawn = NULL;
	assert_int_equal(plat_thread_start(&t, "zap", zap, NULL), 0);
	plat_thread_join(&t);
}

TEST_EACH_KIND(no_swap_entry_is_stranded_by_a_zap_while_reclaim_holds_the_pages)
{
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 128);
	g = fx_group(&fx, NULL, "a", 300);
	zap_mm = fx_mapped_mm(&fx, g, 40);
	fx_fill_run(&fx, zap_mm, FX_BASE, 40, 1);
	fx.soft.withdrawn = zap_while_locked;
	fx_reclaim(&fx, g, 40);
	assert_int_equal(page_counter_read(&g->swap), 20);
	assert_int_equal(stat_read(g, STAT_SWAPCACHED), 0);
	fx_check_zero(&fx, zap_mm, FX_BASE, 20);
	fx_check_run(&fx, zap_mm, FX_BASE + 20 * PAGE_SIZE, 20, 1);
}

/* Run zap on a thread of its own, now. */
static void zap_now(void *arg)
{
	struct plat_thread t;

	(void)arg;
	assert_int_equal(plat_thread_start(&t, "zap", zap, NULL), 0);
	plat_thread_join(&t);
}

TEST_EACH_KIND(no_swap_entry_is_stranded_by_a_zap_while_its_page_is_written)
{
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 128);
	g = fx_group(&fx, NULL, "a", 300);
	zap_mm = fx_mapped_mm(&fx, g, 40);
	fx_fill_run(&fx, zap_mm, FX_BASE, 40, 1);
	fx.store->during_write = zap_now;
	fx_reclaim(&fx, g, 40);
	assert_null(fx.store->during_write);
	assert_int_equal(page_counter_read(&g->swap), 20);
	assert_int_equal(a64_load(&fx.e.nr_frames) - a64_load(&fx.e.nr_free), 0);
	fx_check_zero(&fx, zap_mm, FX_BASE, 20);
	fx_check_run(&fx, zap_mm, FX_BASE + 20 * PAGE_SIZE, 20, 1);
}

TEST_EACH_KIND(no_swap_entry_is_stranded_by_a_zap_while_its_page_is_read_ahead)
{
	struct mem_cgroup *g;

	zap_mm = swapped_out(kind, &g);
	fx.store->during_read = zap_now;
	fault_willneed(zap_mm, FX_BASE, FX_BASE + 40 * PAGE_SIZE);
	assert_int_equal(a64_load(&zap_mm->swapents) + a64_load(&zap_mm->rss), 20);
	fx_audit(&fx, 0);
	fx_check_zero(&fx, zap_mm, FX_BASE, 20);
	fx_check_run(&fx, zap_mm, FX_BASE + 20 * PAGE_SIZE, 20, 1);
}

/* There are fewer frames than the limits allow: the fault fails cleanly and works again when some
 * are free. */
TEST_EACH_KIND(without_a_free_frame_a_fault_fails_and_nothing_leaks)
{
	struct mem_cgroup *g;
	struct mm *mm;
	uint64_t i = 0;
	int err = 0;

	fx_up(&fx, kind, 1024, 0);
	g = fx_group(&fx, NULL, "a", 3000);
	mm = fx_mapped_mm(&fx, g, 2000);
	err = fx_fill_some(&fx, mm, FX_BASE, 2000, 1, &i);
	assert_int_equal(err, -ENOMEM);
	assert_in_range(i, 900, 1025);
	fx_audit(&fx, 0);
	fx_discard(&fx, mm, FX_BASE, 100);
	assert_int_equal(fx_fill(&fx, mm, FX_BASE + 1500 * PAGE_SIZE, 1), 0);
}

TEST_EACH_KIND(without_a_home_frame_a_swapped_page_stays_where_it_is)
{
	struct mem_cgroup *g;
	struct mm *mm = swapped_out(kind, &g);

	a32_store(&fx.soft.inject.no_frames, 1);
	assert_int_equal(fx_check(&fx, mm, FX_BASE, 1), -ENOMEM);
	fx_audit(&fx, 0);
	a32_store(&fx.soft.inject.no_frames, 0);
	fx_check_run(&fx, mm, FX_BASE, 40, 1);
}

/* ---- the Nth call fails ---- */

static bool acceptable(int err)
{
	return err == 0 || err == -ENOMEM || err == -EIO || err == -EFAULT || err == -ESRCH;
}

/* Each page is as one of the two seeds left it, zero, or its access failed for an expected
 * reason. */
static void look(struct mm *mm, uint64_t va, uint64_t npages, uint64_t seed, uint64_t other)
{
	for (uint64_t i = 0; i < npages; i++) {
		uint64_t at = va + i * PAGE_SIZE;
		int got = fx_check(&fx, mm, at, seed);

		if (got == -EILSEQ)
			got = fx_check(&fx, mm, at, other);
		if (got != 1 && !acceptable(got))
			fail_msg("page %llx: %d", (unsigned long long)at, got);
	}
}

static struct mem_cgroup *story_g, *story_h;
static struct mm *story_a, *story_b;

/* Any step may fail; it must leave a consistent state. */
static void story(void)
{
	struct mem_cgroup *g = story_g = fx_group(&fx, NULL, "g", 40);
	struct mem_cgroup *h = story_h = g ? fx_group(&fx, g, "h", 0) : NULL;
	struct mm *a = story_a = g ? fx_mm(&fx, g) : NULL, *b = story_b = NULL;

	if (a && fx_map(a, FX_BASE + 490 * PAGE_SIZE, 60) == 0) {
		for (uint64_t i = 0; i < 60; i++)
			assert_true(
				acceptable(fx_fill(&fx, a, FX_BASE + (490 + i) * PAGE_SIZE, 1)));
		look(a, FX_BASE + 490 * PAGE_SIZE, 60, 1, 1);
		b = story_b = h ? fx_fork(&fx, a, h) : NULL;
		fx_unmap(&fx, a, FX_BASE + 500 * PAGE_SIZE, 5);
		for (uint64_t i = 0; i < 20; i++) {
			assert_true(
				acceptable(fx_fill(&fx, a, FX_BASE + (510 + i) * PAGE_SIZE, 2)));
			if (b)
				assert_true(acceptable(
					fx_fill(&fx, b, FX_BASE + (505 + i) * PAGE_SIZE, 3)));
		}
		if (b)
			look(b, FX_BASE + 490 * PAGE_SIZE, 60, 1, 3);
		fx_mlock(a, FX_BASE + 520 * PAGE_SIZE, 5);
		fx_reclaim(&fx, g, 10);
		look(a, FX_BASE + 490 * PAGE_SIZE, 10, 1, 1);
		look(a, FX_BASE + 505 * PAGE_SIZE, 45, 1, 2);
		fx_munlock(a, FX_BASE + 520 * PAGE_SIZE, 5);
		fx_remap(&fx, a, FX_BASE + 505 * PAGE_SIZE, FX_BASE + 2000 * PAGE_SIZE, 10);
		fx_discard(&fx, a, FX_BASE + 490 * PAGE_SIZE, 5);
	}
}

static void end_story(void)
{
	fx_audit(&fx, AUDIT_FORCED);
	if (story_a)
		fx_exit(&fx, story_a);
	if (story_b)
		fx_exit(&fx, story_b);
	if (story_h)
		fx_ungroup(&fx, story_h);
	if (story_g)
		fx_ungroup(&fx, story_g);
	fx_audit(&fx, 0);
	fx_nothing_left(&fx);
}

/* Did the story make fewer calls than @nth, so that the armed fault is still pending? */
static bool still_armed(enum fault_kind kind, unsigned long nth)
{
	for (unsigned long i = 0; i < nth; i++)
		if (fault_hit(kind))
			return true;
	return false;
}

static void every_nth_fails(enum fault_kind kind, enum soft_kind soft)
{
	bool over = false;
	unsigned long nth = 1;

	fx_up(&fx, soft, 1024, 128);
	for (; !over; nth++) {
		fault_arm(kind, nth);
		story();
		over = still_armed(kind, nth);
		fault_arm(kind, 0);
		end_story();
		if (nth % 64 == 0)
			rcu_flush();
	}
	fx_down(&fx);
	print_message("# %s: %lu calls\n", fx.soft.mmu.ops->name, nth - 2);
	assert_true(nth > 20);
}

TEST(the_nth_allocation_fails_for_every_n_and_nothing_leaks)
{
	every_nth_fails(FAULT_ALLOC, SOFT_SHARED);
	every_nth_fails(FAULT_ALLOC, SOFT_EXCLUSIVE);
}

TEST(the_nth_read_of_swap_fails_for_every_n_and_nothing_leaks)
{
	every_nth_fails(FAULT_READ, SOFT_SHARED);
	every_nth_fails(FAULT_READ, SOFT_EXCLUSIVE);
}

TEST(the_nth_write_to_swap_fails_for_every_n_and_nothing_leaks)
{
	every_nth_fails(FAULT_WRITE, SOFT_SHARED);
	every_nth_fails(FAULT_WRITE, SOFT_EXCLUSIVE);
}

TEST(an_engine_that_cannot_be_made_for_lack_of_memory_leaves_nothing)
{
	unsigned long nth = 1;
	int err;

	do {
		fault_arm(FAULT_ALLOC, nth);
		err = fx_try_up(&fx, SOFT_SHARED, 1024, 64);
		fault_arm(FAULT_ALLOC, 0);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err && nth++ < 100);
	assert_in_range(nth, 10, 100);
}

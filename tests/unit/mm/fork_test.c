/* tests/unit/mm/fork_test.c - fork, copy-on-write, shared entries; areas cut, joined and moved. */
#include "soft_fixture.h"

static struct soft_fixture fx;

TEST_EACH_KIND(after_a_fork_neither_side_sees_what_the_other_writes)
{
	struct mm *parent, *child;
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 256);
	g = fx_group(&fx, NULL, "a", 500);
	parent = fx_mapped_mm(&fx, g, 64);
	fx_fill_run(&fx, parent, FX_BASE, 40, 1);
	child = fx_fork(&fx, parent, g);
	assert_non_null(child);
	assert_int_equal(fx_usage(g),
			 kind == SOFT_SHARED ? a64_load(&parent->rss) : 2 * a64_load(&parent->rss));
	fx_audit(&fx, 0);
	fx_fill_run(&fx, child, FX_BASE, 20, 2);
	fx_fill_run(&fx, parent, FX_BASE + 20 * PAGE_SIZE, 10, 3);
	fx_check_run(&fx, parent, FX_BASE, 20, 1);
	fx_check_run(&fx, child, FX_BASE, 20, 2);
	fx_check_run(&fx, child, FX_BASE + 20 * PAGE_SIZE, 20, 1);
	fx_check_run(&fx, parent, FX_BASE + 20 * PAGE_SIZE, 10, 3);
	fx_audit(&fx, 0);
	fx_exit(&fx, parent);
	fx_check_run(&fx, child, FX_BASE, 20, 2);
	fx_check_run(&fx, child, FX_BASE + 20 * PAGE_SIZE, 20, 1);
	fx_fill_run(&fx, child, FX_BASE, 64, 4);
	fx_audit(&fx, 0);
}

/* A slot may have as many references as there are processes: 2^22 on Linux. */
TEST(no_number_of_processes_is_too_many_for_a_swapped_page)
{
	struct mem_cgroup *g;
	uint32_t entry;
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	g = fx_group(&fx, NULL, "a", 100);
	mm = fx_mapped_mm(&fx, g, 1);
	fx_fill_run(&fx, mm, FX_BASE, 1, 1);
	assert_int_equal(fx_reclaim(&fx, g, 1), 1);
	entry = pte_entry(fx_pte(mm, FX_BASE));
	for (unsigned i = 0; i < 1u << 22; i++)
		swap_dup(&fx.e, entry);
	assert_int_equal(slot_count(swap_map(&fx.e, entry)), (1u << 22) + 1);
	fx_check_run(&fx, mm, FX_BASE, 1, 1);
	for (unsigned i = 0; i < 1u << 22; i++)
		swap_put(&fx.e, entry);
}

TEST(a_page_whose_other_user_is_gone_is_written_in_place)
{
	struct mm *parent, *child;
	uint32_t pfn;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	parent = fx_mapped_mm(&fx, NULL, 1);
	fx_fill_run(&fx, parent, FX_BASE, 1, 1);
	pfn = pte_pfn(fx_pte(parent, FX_BASE));
	child = fx_fork(&fx, parent, NULL);
	fx_exit(&fx, parent);
	fx_fill_run(&fx, child, FX_BASE, 1, 2);
	assert_int_equal(pte_pfn(fx_pte(child, FX_BASE)), pfn);
	assert_int_equal(stat_read(fx.e.tree.root, STAT_COW), 0);
}

TEST_EACH_KIND(swapped_pages_are_shared_after_a_fork_and_read_by_everybody)
{
	struct mm *a, *b, *c;
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 256);
	g = fx_group(&fx, NULL, "a", 300);
	a = fx_mapped_mm(&fx, g, 40);
	fx_fill_run(&fx, a, FX_BASE, 40, 1);
	assert_int_equal(fx_reclaim(&fx, g, 40), 40);
	b = fx_fork(&fx, a, g);
	c = fx_fork(&fx, b, g);
	assert_int_equal(page_counter_read(&g->swap), 40);
	assert_int_equal(a64_load(&c->swapents), 40);
	fx_audit(&fx, 0);
	fx_fill_run(&fx, b, FX_BASE, 10, 2);
	fx_check_run(&fx, c, FX_BASE, 20, 1);
	fx_audit(&fx, 0);
	fx_fill_run(&fx, a, FX_BASE, 15, 3);
	fx_check_run(&fx, c, FX_BASE, 40, 1);
	fx_reclaim(&fx, g, 300);
	fx_audit(&fx, 0);
	fx_exit(&fx, b);
	fx_audit(&fx, 0);
	fx_check_run(&fx, a, FX_BASE, 15, 3);
	fx_check_run(&fx, a, FX_BASE + 15 * PAGE_SIZE, 25, 1);
	fx_exit(&fx, a);
	fx_fill_run(&fx, c, FX_BASE, 20, 5);
	fx_check_run(&fx, c, FX_BASE, 20, 5);
	fx_check_run(&fx, c, FX_BASE + 20 * PAGE_SIZE, 20, 1);
	fx_audit(&fx, 0);
	fx_exit(&fx, c);
	assert_int_equal(page_counter_read(&g->swap), 0);
}

/* The child reads first: the page must also be found from the parent's mapping, even when the child
 * is gone. */
TEST_EACH_KIND(a_shared_page_read_by_the_child_first_can_be_reclaimed_from_the_parent)
{
	struct mm *a, *b;

	fx_up(&fx, kind, 1024, 256);
	a = fx_mapped_mm(&fx, NULL, 10);
	fx_fill_run(&fx, a, FX_BASE, 10, 1);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 10), 10);
	b = fx_fork(&fx, a, NULL);
	fx_check_run(&fx, b, FX_BASE, 10, 1);
	fx_check_run(&fx, a, FX_BASE, 10, 1);
	fx_audit(&fx, 0);
	fx_exit(&fx, b);
	fx_audit(&fx, AUDIT_FLUSHED);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 10), 10);
	fx_check_run(&fx, a, FX_BASE, 10, 1);
}

TEST_EACH_KIND(six_generations_under_pressure_keep_their_own_contents)
{
	struct mm *mm[6];
	struct mem_cgroup *g;

	fx_up(&fx, kind, 4096, 1024);
	g = fx_group(&fx, NULL, "a", 150);
	mm[0] = fx_mm(&fx, g);
	assert_int_equal(fx_map(mm[0], FX_BASE, 60), 0);
	fx_fill_run(&fx, mm[0], FX_BASE, 60, 100);
	for (int i = 1; i < 6; i++) {
		mm[i] = fx_fork(&fx, mm[i - 1], g);
		assert_non_null(mm[i]);
		fx_fill_run(&fx, mm[i], FX_BASE + (uint64_t)i * 10 * PAGE_SIZE, 10,
			    100 + (uint64_t)i);
		fx_audit(&fx, 0);
	}
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < 6; k++)
			fx_check_run(&fx, mm[i], FX_BASE + (uint64_t)k * 10 * PAGE_SIZE, 10,
				     100 + (uint64_t)(k <= i ? k : 0));
	for (int i = 0; i < 6; i += 2)
		fx_exit(&fx, mm[i]);
	for (int i = 1; i < 6; i += 2)
		fx_check_run(&fx, mm[i], FX_BASE, 10, 100);
	fx_audit(&fx, AUDIT_FLUSHED);
	for (int i = 1; i < 6; i += 2)
		fx_exit(&fx, mm[i]);
}

TEST_EACH_KIND(what_was_charged_ahead_of_a_fork_and_not_needed_is_given_back)
{
	struct mm *a, *b;
	struct mem_cgroup *g;
	int64_t before;

	fx_up(&fx, kind, 1024, 0);
	g = fx_group(&fx, NULL, "a", 0);
	a = fx_mm(&fx, g);
	b = fx_mm(&fx, g);
	assert_int_equal(fx_map(a, FX_BASE, 10), 0);
	fx_fill_run(&fx, a, FX_BASE, 10, 1);
	before = fx_usage(g);
	assert_int_equal(charge_pages(&fx.e, g, b, 30, 0), 0);
	rw_wrlock(&a->mmap_lock);
	rw_wrlock(&b->mmap_lock);
	assert_int_equal(mm_fork_locked(a, b, 30), 0);
	assert_int_equal(soft_client_fork(&fx.soft, a, b), 0);
	rw_wrunlock(&b->mmap_lock);
	rw_wrunlock(&a->mmap_lock);
	assert_int_equal(fx_usage(g), kind == SOFT_SHARED ? before : 2 * before);
	fx_exit(&fx, a);
	fx_exit(&fx, b);
	assert_int_equal(fx_usage(g), 0);
}

/* Present pages or swapped ones: the child has no area, or none of its content. */
TEST_EACH_KIND(a_child_has_neither_what_is_not_forked_nor_what_is_wiped)
{
	struct mm *a, *b;
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 64);
	g = fx_group(&fx, NULL, "a", 20);
	a = fx_mapped_mm(&fx, g, 30);
	fx_fill_run(&fx, a, FX_BASE, 30, 1);
	rw_wrlock(&a->mmap_lock);
	assert_int_equal(vma_change_flags(a, FX_BASE, FX_BASE + 10 * PAGE_SIZE, VM_DONTFORK, 0), 0);
	assert_int_equal(vma_change_flags(a, FX_BASE + 10 * PAGE_SIZE, FX_BASE + 29 * PAGE_SIZE,
					  VM_WIPEONFORK, 0),
			 0);
	rw_wrunlock(&a->mmap_lock);
	b = fx_fork(&fx, a, g);
	assert_non_null(b);
	assert_null(vma_find(b, FX_BASE));
	assert_null(vma_find(b, FX_BASE + 9 * PAGE_SIZE));
	assert_int_equal(vma_find(b, FX_BASE + 10 * PAGE_SIZE)->flags & VM_WIPEONFORK,
			 VM_WIPEONFORK);
	assert_int_equal(a64_load(&b->rss) + a64_load(&b->swapents), 1);
	fx_check_run(&fx, b, FX_BASE + 29 * PAGE_SIZE, 1, 1);
	fx_check_run(&fx, a, FX_BASE, 30, 1);
}

TEST_EACH_KIND(a_discarded_range_reads_as_zero_and_its_neighbours_are_untouched)
{
	struct mm *mm;

	fx_up(&fx, kind, 4096, 512);
	mm = fx_mm(&fx, NULL);
	/* Across the border of two leaves. */
	assert_int_equal(fx_map(mm, FX_BASE + 400 * PAGE_SIZE, 200), 0);
	fx_fill_run(&fx, mm, FX_BASE + 400 * PAGE_SIZE, 200, 1);
	fx_reclaim(&fx, fx.e.tree.root, 100);
	fx_discard(&fx, mm, FX_BASE + 450 * PAGE_SIZE, 100);
	fx_audit(&fx, 0);
	assert_int_equal(a64_load(&mm->rss) + a64_load(&mm->swapents), 100);
	fx_check_zero(&fx, mm, FX_BASE + 450 * PAGE_SIZE, 100);
	fx_check_run(&fx, mm, FX_BASE + 400 * PAGE_SIZE, 50, 1);
	fx_check_run(&fx, mm, FX_BASE + 550 * PAGE_SIZE, 50, 1);
}

TEST_EACH_KIND(a_hole_cut_into_an_area_splits_it_and_filling_it_joins_it_again)
{
	struct mm *mm;

	fx_up(&fx, kind, 4096, 512);
	mm = fx_mapped_mm(&fx, NULL, 30);
	fx_fill_run(&fx, mm, FX_BASE, 30, 1);
	fx_unmap(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 10);
	assert_int_equal(mm->nr_vmas, 2);
	assert_int_equal(fx_check(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 1), -EFAULT);
	fx_audit(&fx, 0);
	/* As before: joined with its predecessor; then the tail is an area of its own. */
	assert_int_equal(fx_map(mm, FX_BASE + 10 * PAGE_SIZE, 10), 0);
	assert_int_equal(mm->nr_vmas, 2);
	assert_int_equal(fx_map(mm, FX_BASE + 29 * PAGE_SIZE, 10), -EEXIST);
	fx_check_zero(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 10);
	fx_check_run(&fx, mm, FX_BASE, 10, 1);
	fx_check_run(&fx, mm, FX_BASE + 20 * PAGE_SIZE, 10, 1);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 30), 30);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 10, 1);
	fx_check_run(&fx, mm, FX_BASE + 20 * PAGE_SIZE, 10, 1);
}

TEST(gaps_between_areas_are_filled_and_areas_left_alone)
{
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	mm = fx_mm(&fx, NULL);
	assert_int_equal(fx_map(mm, FX_BASE + 10 * PAGE_SIZE, 5), 0);
	assert_int_equal(fx_map(mm, FX_BASE + 20 * PAGE_SIZE, 5), 0);
	rw_wrlock(&mm->mmap_lock);
	assert_int_equal(vma_insert_gaps(mm, FX_BASE, FX_BASE + 40 * PAGE_SIZE, VM_READ, NULL, 0),
			 0);
	assert_int_equal(vma_insert(mm, FX_BASE, FX_BASE, VM_READ), -EINVAL);
	assert_int_equal(vma_insert(mm, FX_BASE + 1, FX_BASE + 10, VM_READ), -EINVAL);
	rw_wrunlock(&mm->mmap_lock);
	assert_int_equal(mm->nr_vmas, 5);
	fx_audit(&fx, 0);
}

TEST_EACH_KIND(moved_memory_keeps_its_contents_and_is_found_by_reclaim)
{
	const uint64_t to = FX_BASE + (1ull << 32) + 37 * PAGE_SIZE;
	struct mm *mm, *child;

	fx_up(&fx, kind, 4096, 1024);
	mm = fx_mm(&fx, NULL);
	assert_int_equal(fx_map(mm, FX_BASE + 500 * PAGE_SIZE, 100), 0);
	assert_int_equal(fx_map(mm, to, 3), 0);
	fx_fill_run(&fx, mm, to, 3, 9);
	fx_fill_run(&fx, mm, FX_BASE + 500 * PAGE_SIZE, 100, 1);
	fx_reclaim(&fx, fx.e.tree.root, 40);
	assert_int_equal(fx_remap(&fx, mm, FX_BASE + 510 * PAGE_SIZE, to, 80), 0);
	fx_audit(&fx, 0);
	fx_check_moved(&fx, mm, to, FX_BASE + 510 * PAGE_SIZE, 80, 1);
	assert_int_equal(fx_check(&fx, mm, FX_BASE + 510 * PAGE_SIZE, 1), -EFAULT);
	fx_check_run(&fx, mm, FX_BASE + 500 * PAGE_SIZE, 10, 1);
	assert_int_equal(fx_reclaim(&fx, fx.e.tree.root, 100), 100);
	fx_audit(&fx, 0);
	child = fx_fork(&fx, mm, NULL);
	fx_check_moved(&fx, child, to, FX_BASE + 510 * PAGE_SIZE, 80, 1);
	fx_exit(&fx, mm);
	fx_check_run(&fx, child, FX_BASE + 590 * PAGE_SIZE, 10, 1);
}

/* The moved pages keep their numbers, and the new ones at their old place get the same numbers:
 * rmap finds two places for each, and one of them is another page's. */
TEST(pages_whose_numbers_were_used_again_after_a_move_go_out_in_one_pass)
{
	const uint64_t half = FX_BASE + 8 * PAGE_SIZE, to = FX_BASE + 64 * PAGE_SIZE;
	struct reclaim_result r;
	struct mm *mm;

	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	mm = fx_mapped_mm(&fx, NULL, 16);
	fx_fill_run(&fx, mm, FX_BASE, 16, 1);
	assert_int_equal(fx_remap(&fx, mm, half, to, 8), 0);
	assert_int_equal(fx_map(mm, half, 8), 0);
	assert_int_equal(mm->nr_vmas, 2); /* the new ones have joined the area that was cut */
	fx_fill_run(&fx, mm, half, 8, 2);
	reclaim_group(&fx.e, fx.e.tree.root, 24, 0, &r);
	assert_int_equal(r.reclaimed, 24);
	assert_int_equal(a64_load(&mm->rss), 0);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 8, 1);
	fx_check_run(&fx, mm, half, 8, 2);
	fx_check_moved(&fx, mm, to, half, 8, 1);
}

/* Many leaves, so that the directory of leaves is rebuilt during the move. */
TEST(a_move_of_many_leaves_loses_none)
{
	const uint64_t leaves = 40, to = FX_BASE + (1ull << 36);
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 4096, 0);
	mm = fx_mapped_mm(&fx, NULL, leaves * LEAF_ENTRIES);
	for (uint64_t i = 0; i < 16; i++)
		fx_fill_run(&fx, mm, FX_BASE + i * 2 * LEAF_SPAN, 1, 1);
	assert_int_equal(fx_remap(&fx, mm, FX_BASE, to, leaves * LEAF_ENTRIES), 0);
	for (uint64_t i = 0; i < 16; i++)
		fx_check_moved(&fx, mm, to + i * 2 * LEAF_SPAN, FX_BASE + i * 2 * LEAF_SPAN, 1, 1);
	fx_audit(&fx, 0);
}

/* As on the host: the pages get home frames first, which have no content until the client has
 * answered. */
static void slow_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n)
{
	struct mmu_soft *s = &fx.soft;
	struct page *got[MMU_BATCH_MAX];
	unsigned nr = 0;

	for (unsigned i = 0; i < n; i++) {
		struct leaf *l = leaf_find(reqs[i].mm, reqs[i].va);
		bool there = false;

		if (l) {
			spin_lock(&l->lock);
			there = pte_present(pte_read(l, reqs[i].va)) &&
				!mmu_data(mmu, reqs[i].page);
			spin_unlock(&l->lock);
		}
		if (there && mmu->ops->bring_frames(mmu, &reqs[i].page, 1) == 0)
			got[nr++] = reqs[i].page;
	}
	for (int i = 0; i < 20; i++)
		plat_yield();
	for (unsigned i = 0; i < nr; i++)
		mmu->ops->drop_frame(mmu, got[i]);
	for (unsigned i = 0; i < n; i++)
		reqs[i].result = MMU_BUSY;
	a64_add(&s->nr_requests, n);
}

static atomic32_t stop_reclaim;

static void reclaim_always(void *arg)
{
	struct reclaim_result r;

	while (!a32_load(&stop_reclaim))
		reclaim_group(&fx.e, arg, 128, 0, &r);
}

/* A fork that bypasses libc is not announced: reclaim continues in the parent, and may isolate
 * pages at any time. Here it gets none, so that the child must find each where its kernel has put
 * it. */
TEST(a_fork_that_nobody_announced_copies_no_page_that_reclaim_has_in_hand)
{
	static struct mmu_ops ops;
	struct plat_thread t;
	struct mm *parent, *child;

	fx_up(&fx, SOFT_EXCLUSIVE, 4096, 1024);
	ops = *fx.soft.mmu.ops;
	ops.withdraw = slow_withdraw;
	fx.soft.mmu.ops = &ops;
	parent = fx_mapped_mm(&fx, NULL, 256);
	fx_fill_run(&fx, parent, FX_BASE, 256, 1);
	a32_store(&stop_reclaim, 0);
	assert_int_equal(plat_thread_start(&t, "reclaim", reclaim_always, fx.e.tree.root), 0);
	while (a64_load(&fx.soft.nr_requests) < 256)
		plat_yield();
	for (int i = 0; i < 30; i++) {
		child = fx_mm(&fx, NULL);
		a32_add(&child->no_reclaim, 1); /* or its own pages are isolated too */
		rw_wrlock(&parent->mmap_lock);
		rw_wrlock(&child->mmap_lock);
		assert_int_equal(soft_client_fork(&fx.soft, parent, child), 0);
		assert_int_equal(mm_fork_locked(parent, child, 0), 0);
		for (uint64_t p = 0; p < 256; p++) {
			pte_t pte = fx_pte(child, FX_BASE + p * PAGE_SIZE);

			assert_true(pte_present(pte));
			assert_null(mmu_data(&fx.soft.mmu, pfn_page(&fx.e, pte_pfn(pte))));
		}
		rw_wrunlock(&child->mmap_lock);
		rw_wrunlock(&parent->mmap_lock);
		fx_exit(&fx, child);
	}
	a32_store(&stop_reclaim, 1);
	plat_thread_join(&t);
	fx_check_run(&fx, parent, FX_BASE, 256, 1);
}

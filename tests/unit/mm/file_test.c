/* tests/unit/mm/file_test.c - files on the soft MMU that shares: every mapping finds what was
 * stored, through reclaim, writeback, truncation, fork and moving; every statistic is its
 * owner's. */
#include "file_scene.h"

/* A read returns what the store has; each page is read once, charged once and found again. */
TEST(a_file_is_read_through_its_mapping)
{
	struct scene s;

	up(&s, VM_READ | VM_SHARED);
	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(byte_at(s.mm, va_of(i) + 77), i + 1);
	assert_int_equal(a64_load(&s.t->nr_reads), PAGES);
	assert_int_equal(a64_load(&s.mm->rss), PAGES);
	expect_stats(s.g, PAGES, PAGES, 0, 0, 0);
	assert_int_equal(put_byte(s.mm, FX_BASE, 1), -EACCES);
}

/* Two processes of two groups see each other's stores; the page is charged to the one that came
 * first. */
TEST(stores_to_a_shared_mapping_are_seen_by_all_and_charged_to_the_first)
{
	struct mem_cgroup *g2;
	struct mm *mm2;
	struct scene s;

	up(&s, VM_SHARE);
	g2 = fx_group(&fx, NULL, "b", 300);
	mm2 = fx_mm(&fx, g2);
	assert_int_equal(file_mmap(mm2, OTHER, OTHER + 4 * PAGE_SIZE, VM_SHARE, s.as, 2), 0);
	assert_int_equal(put_byte(s.mm, va_of(3), 99), 0);
	assert_int_equal(byte_at(mm2, OTHER + PAGE_SIZE), 99);
	assert_int_equal(put_byte(mm2, OTHER + PAGE_SIZE, 98), 0);
	assert_int_equal(byte_at(s.mm, va_of(3)), 98);
	assert_int_equal(byte_at(mm2, OTHER), 3);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	expect_stats(g2, 1, 1, 0, 0, 0);
	fx_audit(&fx, 0);
	/* The first exits: the page stays charged to it, mapped by the other. */
	fx_unmap(&fx, s.mm, FX_BASE, PAGES);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	fx_unmap(&fx, mm2, OTHER, 4);
	expect_stats(s.g, 1, 0, 1, 0, 0);
	fx_audit(&fx, 0);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(s.t->slots[3 * PAGE_SIZE], 98);
	expect_stats(s.g, 1, 0, 0, 0, 0);
}

/* Private: the file and other mappings keep the old content; the copy is anonymous, goes to swap
 * and comes back. */
TEST(stores_to_a_private_mapping_stay_private)
{
	struct scene s;

	up(&s, FX_RW);
	assert_int_equal(byte_at(s.mm, va_of(1)), 2);
	assert_int_equal(put_byte(s.mm, va_of(1), 50), 0); /* read before */
	assert_int_equal(put_byte(s.mm, va_of(2), 51), 0); /* not read before */
	assert_int_equal(byte_at(s.mm, va_of(1)), 50);
	assert_int_equal(byte_at(s.mm, va_of(2) + 1), 3);
	expect_stats(s.g, 2, 0, 0, 0, 2);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(s.t->slots[PAGE_SIZE], 2);
	assert_true(fx_reclaim(&fx, s.g, 100) >= 4);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(a64_load(&s.mm->swapents), 2);
	assert_int_equal(byte_at(s.mm, va_of(1)), 50);
	assert_int_equal(byte_at(s.mm, va_of(2)), 51);
}

/* Clean after writeback means write-protected: the next store is noticed, and written by the next
 * writeback. */
TEST(every_store_after_write_back_makes_the_page_dirty_again)
{
	struct scene s;

	up(&s, VM_SHARE);
	for (int v = 100; v < 104; v++) {
		assert_int_equal(put_byte(s.mm, va_of(5), v), 0);
		expect_stats(s.g, 1, 1, 1, 0, 0);
		assert_true(fx_pte(s.mm, va_of(5)) & PTE_WRITE);
		assert_int_equal(filemap_writeback(s.as, 0, UINT64_MAX), 0);
		assert_int_equal((unsigned char)s.t->slots[5 * PAGE_SIZE], v);
		expect_stats(s.g, 1, 1, 0, 0, 0);
		assert_false(fx_pte(s.mm, va_of(5)) & (PTE_WRITE | PTE_DIRTY));
		fx_audit(&fx, 0);
	}
	assert_int_equal(a64_load(&s.t->nr_writes), 4);
	/* Clean: nothing to write. */
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(a64_load(&s.t->nr_writes), 4);
	/* Only the requested range. */
	assert_int_equal(put_byte(s.mm, va_of(1), 1), 0);
	assert_int_equal(put_byte(s.mm, va_of(8), 1), 0);
	assert_int_equal(filemap_writeback(s.as, 1, 7), 0);
	expect_stats(s.g, 3, 3, 1, 0, 0);
}

static struct mm *storing;
static int stored;

/* Another thread's store uses its own translation, so it faults when the entry is protected. */
static void store_during_write(void *arg)
{
	struct scene *s = arg;
	struct page *p = pfn_page(&fx.e, pte_pfn(fx_pte(s->mm, va_of(0))));

	stored = page_test(p, PG_writeback) && !page_test(p, PG_dirty) &&
		 !(fx_pte(s->mm, va_of(0)) & PTE_WRITE) && byte_at(storing, va_of(0)) == 7;
}

/* A page under writeback may be read but not stored to: one version goes to the store. */
TEST(a_page_under_write_back_is_protected)
{
	struct scene s;

	up(&s, VM_SHARE);
	storing = s.mm;
	assert_int_equal(put_byte(s.mm, va_of(0), 7), 0);
	s.t->during_write = store_during_write;
	s.t->during_arg = &s;
	assert_int_equal(filemap_writeback(s.as, 0, 1), 0);
	assert_true(stored);
}

static struct plat_thread storer;
static atomic32_t storer_done;

static void store_again(void *arg)
{
	assert_int_equal(put_byte(arg, va_of(0), 8), 0);
	a32_store(&storer_done, 1);
}

static void start_storer(void *arg)
{
	assert_int_equal(plat_thread_start(&storer, "storer", store_again, arg), 0);
	plat_sleep_ns(30000000);
	stored = a32_load(&storer_done) != 0;
}

/* A store to a page under writeback waits, and makes it dirty again. */
TEST(a_store_waits_for_write_back)
{
	struct scene s;

	up(&s, VM_SHARE);
	assert_int_equal(put_byte(s.mm, va_of(0), 7), 0);
	a32_store(&storer_done, 0);
	s.t->during_write = start_storer;
	s.t->during_arg = s.mm;
	assert_int_equal(filemap_writeback(s.as, 0, 1), 0);
	plat_thread_join(&storer);
	assert_false(stored);
	assert_int_equal(s.t->slots[0], 7);
	assert_int_equal(byte_at(s.mm, va_of(0)), 8);
	expect_stats(s.g, 1, 1, 1, 0, 0);
}

static const struct mmu_ops *real_ops;
static struct page *watched;
static int nr_flushed;

/* Until this returns another CPU may store to the page: a concurrent cleaner must find it, and find
 * it dirty. */
static void watched_flush(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	assert_true(page_mapped(watched));
	assert_true(page_test(watched, PG_dirty));
	nr_flushed++;
	real_ops->flush(mmu, mm, va, npages);
}

/* Seed 4, invariant B, at the critical instant, for each way an entry goes. */
TEST(a_dirty_page_keeps_its_mapping_until_the_flush)
{
	static struct mmu_ops ops;
	struct scene s;

	up(&s, VM_SHARE);
	real_ops = fx.soft.mmu.ops;
	ops = *real_ops;
	ops.flush = watched_flush;
	for (int way = 0; way < 4; way++) {
		assert_int_equal(put_byte(s.mm, va_of(2), 30 + way), 0);
		watched = pfn_page(&fx.e, pte_pfn(fx_pte(s.mm, va_of(2))));
		nr_flushed = 0;
		fx.soft.mmu.ops = &ops;
		if (way == 0)
			fx_discard(&fx, s.mm, va_of(2), 1);
		else if (way == 1)
			assert_int_equal(filemap_writeback(s.as, 2, 1), 0);
		else if (way == 2)
			assert_int_equal(fx_remap(&fx, s.mm, va_of(2), OTHER, 1), 0);
		else
			assert_int_equal(filemap_truncate(s.as, 2), 0);
		fx.soft.mmu.ops = real_ops;
		assert_int_equal(nr_flushed, 1);
		assert_int_equal(page_mapped(watched), way == 1);
		if (way == 2)
			assert_int_equal(fx_remap(&fx, s.mm, OTHER, va_of(2), 1), 0);
	}
}

/* A thread that looked a page up may go on: it stays in its file until the reference is dropped. */
TEST(a_page_that_somebody_holds_stays_in_its_file)
{
	struct scene s;
	struct page *p;
	uint32_t entry;

	up(&s, VM_SHARE);
	assert_int_equal(byte_at(s.mm, va_of(3)), 4);
	p = filemap_lookup(s.as, 3, &entry);
	assert_non_null(p);
	assert_int_equal(fx_reclaim(&fx, s.g, 1), 0);
	assert_ptr_equal(page_file_mapping(p), s.as);
	expect_stats(s.g, 1, 0, 0, 0, 0);
	page_put(&fx.e, p);
	assert_int_equal(fx_reclaim(&fx, s.g, 1), 1);
}

/* Reclaim writes dirty pages, frees all, and they are read again. */
TEST(reclaim_writes_dirty_pages_and_drops_clean_ones)
{
	struct scene s;

	up(&s, VM_SHARE);
	for (unsigned i = 0; i < PAGES; i++) {
		if (i % 2)
			assert_int_equal(put_byte(s.mm, va_of(i), 200 + (int)i), 0);
		else
			assert_int_equal(byte_at(s.mm, va_of(i)), i + 1);
	}
	expect_stats(s.g, PAGES, PAGES, PAGES / 2, 0, 0);
	assert_int_equal(fx_reclaim(&fx, s.g, PAGES), PAGES);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(a64_load(&s.t->nr_writes), PAGES / 2);
	assert_int_equal(a64_load(&s.mm->rss), 0);
	assert_int_equal(a64_load(&fx.e.swap->nr_used), 0);
	fx_audit(&fx, 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i % 2 ? 200 + i : i + 1);
}

/* A file larger than the limit is read and stored to in a group that has no usable swap. */
TEST(a_file_larger_than_the_limit_needs_no_swap)
{
	struct mem_cgroup *g;
	struct address_space *as;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 2048, 0);
	g = fx_group(&fx, NULL, "a", 20);
	mm = fx_mm(&fx, g);
	as = file_create(&fx.e, &make_store(100)->store, 100);
	assert_int_equal(file_mmap(mm, FX_BASE, FX_BASE + 100 * PAGE_SIZE, VM_SHARE, as, 0), 0);
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 100; i++) {
			assert_int_equal(byte_at(mm, va_of(i) + 1), i + 1);
			assert_int_equal(byte_at(mm, va_of(i)), round ? 9 + round : (int)i + 1);
			assert_int_equal(put_byte(mm, va_of(i), 10 + round), 0);
		}
	assert_true(page_counter_read(&g->memory) <= 20);
	assert_int_equal(event_read(g, EVENT_OOM), 0);
	fx_audit(&fx, 0);
	fx_exit(&fx, mm);
	file_put(as);
}

/* A page found in use once stays on the inactive list, twice is active, and locked ones leave
 * both. */
TEST(file_pages_are_on_the_file_lists)
{
	struct reclaim_result r;
	struct scene s;

	up(&s, VM_SHARE);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i + 1);
	assert_int_equal(stat_read_local(s.g, STAT_INACTIVE_FILE), PAGES);
	reclaim_group(&fx.e, s.g, 1, 0, &r);
	assert_int_equal(r.reclaimed, 0);
	assert_int_equal(stat_read_local(s.g, STAT_INACTIVE_FILE), PAGES);
	for (unsigned i = 0; i < PAGES; i++) {
		struct page *p = pfn_page(&fx.e, pte_pfn(fx_pte(s.mm, va_of(i))));
		struct leaf *leaf = leaf_find(s.mm, va_of(i));

		assert_false(page_test(p, PG_active));
		spin_lock(&leaf->lock); /* used again, as its walk would note */
		pte_set(leaf, va_of(i), pte_read(leaf, va_of(i)) | PTE_YOUNG);
		spin_unlock(&leaf->lock);
	}
	reclaim_group(&fx.e, s.g, 1, 0, &r);
	assert_int_equal(r.reclaimed, 0);
	assert_int_equal(stat_read_local(s.g, STAT_ACTIVE_FILE), PAGES);
	assert_int_equal(fx_mlock(s.mm, FX_BASE, 4), 0);
	assert_int_equal(fx_reclaim(&fx, s.g, PAGES), PAGES - 4);
	assert_int_equal(stat_read_local(s.g, STAT_UNEVICTABLE), 4);
	fx_audit(&fx, 0);
	assert_int_equal(fx_munlock(s.mm, FX_BASE, 4), 0);
	assert_int_equal(stat_read_local(s.g, STAT_UNEVICTABLE), 0);
	assert_int_equal(fx_reclaim(&fx, s.g, 4), 4);
}

/* Pages past the end go, wherever they are; the rest of the file stays; a part that grows back
 * reads as zeros. */
TEST(truncation_drops_pages_and_their_mappings)
{
	struct scene s;

	up(&s, VM_SHARE);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(s.mm, va_of(i), 60 + (int)i), 0);
	assert_int_equal(filemap_writeback(s.as, 0, 8), 0);
	assert_int_equal(filemap_truncate(s.as, 6), 0);
	expect_stats(s.g, 6, 6, 0, 0, 0);
	assert_int_equal(page_counter_read(&s.g->memory), 6 + stock_read(s.g));
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i < 6 ? 60 + (int)i : -EIO);
	assert_true(a64_load(&fx.soft.nr_poisons) >= PAGES - 6);
	fx_audit(&fx, 0);
	assert_int_equal(filemap_truncate(s.as, PAGES), 0);
	assert_int_equal(byte_at(s.mm, va_of(5)), 65);
	assert_int_equal(byte_at(s.mm, va_of(6)), 0);
	assert_int_equal(put_byte(s.mm, va_of(10), 11), 0);
	assert_int_equal(fx_reclaim(&fx, s.g, PAGES), 8);
	assert_int_equal(byte_at(s.mm, va_of(10)), 11);
	assert_int_equal(byte_at(s.mm, va_of(10) + 1), 0);
	assert_int_equal(byte_at(s.mm, va_of(9)), 0);
	/* Growing past the table's end, and past the store's. */
	assert_int_equal(filemap_truncate(s.as, 5 * FILE_CHUNK), 0);
	assert_int_equal(file_mmap(s.mm, OTHER, OTHER + PAGE_SIZE, VM_SHARE, s.as, 4 * FILE_CHUNK),
			 0);
	assert_int_equal(put_byte(s.mm, OTHER, 1), 0);
	assert_int_equal(filemap_writeback(s.as, 0, UINT64_MAX), -ENOSPC);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	fx_audit(&fx, 0);
	assert_int_equal(filemap_truncate(s.as, FILE_PAGES_MAX + 1), -ENOMEM);
}

/* The store changed underneath: cached pages are dropped, except those that exist only here. */
TEST(invalidation_drops_clean_pages_and_leaves_dirty_ones)
{
	struct scene s;

	up(&s, VM_SHARE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i + 1);
	assert_int_equal(put_byte(s.mm, va_of(2), 70), 0);
	memset(s.t->slots, 33, 4 * PAGE_SIZE);
	assert_int_equal(filemap_invalidate(s.as, 0, 4), -EBUSY);
	expect_stats(s.g, 1, 0, 1, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i == 2 ? 70 : 33);
	assert_int_equal(filemap_writeback(s.as, 0, 4), 0);
	assert_int_equal(filemap_invalidate(s.as, 0, 4), 0);
	expect_stats(s.g, 0, 0, 0, 0, 0);
}

/* It wrote where the file had a hole. */
TEST(after_an_invalidation_holes_are_read_from_the_store)
{
	struct scene s;

	up(&s, VM_SHARE);
	assert_int_equal(filemap_truncate(s.as, 2), 0);
	assert_int_equal(filemap_truncate(s.as, 2 * PAGES), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i < 2 ? i + 1 : 0);
	memset(s.t->slots, 33, PAGES * PAGE_SIZE);
	assert_int_equal(filemap_invalidate(s.as, 1, 2), 0);
	assert_int_equal(byte_at(s.mm, va_of(0)), 1);
	for (unsigned i = 1; i < 5; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i < 3 ? 33 : 0);
	assert_int_equal(filemap_invalidate(s.as, 0, UINT64_MAX), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), 33);
}

/* The child shares the file, and stores to it before and after; private copies are copied on
 * write. */
TEST(fork_shares_files_and_copies_private_pages)
{
	struct mm *child;
	struct scene s;

	up(&s, VM_SHARE);
	assert_int_equal(file_mmap(s.mm, OTHER, OTHER + 4 * PAGE_SIZE, FX_RW, s.as, 0), 0);
	assert_int_equal(put_byte(s.mm, va_of(0), 80), 0);
	assert_int_equal(put_byte(s.mm, OTHER + PAGE_SIZE, 81), 0);
	child = fx_fork(&fx, s.mm, s.g);
	assert_non_null(child);
	assert_int_equal(a64_load(&child->rss), 1);
	fx_audit(&fx, 0);
	assert_int_equal(byte_at(child, va_of(0)), 80);
	assert_int_equal(byte_at(child, OTHER + PAGE_SIZE), 81);
	assert_int_equal(put_byte(child, va_of(0), 82), 0);
	assert_int_equal(put_byte(child, OTHER + PAGE_SIZE, 83), 0);
	assert_int_equal(byte_at(s.mm, va_of(0)), 82);
	assert_int_equal(byte_at(s.mm, OTHER + PAGE_SIZE), 81);
	assert_int_equal(byte_at(s.mm, OTHER), 82);
	fx_audit(&fx, 0);
	fx_exit(&fx, s.mm);
	s.mm = child;
	assert_int_equal(byte_at(child, va_of(0)), 82);
	assert_int_equal(fx_reclaim(&fx, s.g, 10), 3);
	assert_int_equal(byte_at(child, OTHER + PAGE_SIZE), 83);
}

/* Areas of a file are cut, moved and joined without losing stores made through them. */
TEST(areas_of_files_are_split_moved_and_joined)
{
	struct scene s;

	up(&s, VM_SHARE);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(s.mm, va_of(i), 90 + (int)i), 0);
	fx_unmap(&fx, s.mm, va_of(4), 2);
	assert_int_equal(s.mm->nr_vmas, 2);
	expect_stats(s.g, PAGES, PAGES - 2, PAGES, 0, 0);
	assert_int_equal(byte_at(s.mm, va_of(4)), -EFAULT);
	assert_int_equal(fx_remap(&fx, s.mm, va_of(8), OTHER, 4), 0);
	fx_audit(&fx, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(s.mm, OTHER + i * PAGE_SIZE), 98 + i);
	assert_int_equal(put_byte(s.mm, OTHER, 55), 0);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(s.t->slots[8 * PAGE_SIZE], 55);
	/* Adjacent, with the following page: one area. With another page: two. */
	assert_int_equal(file_mmap(s.mm, va_of(4), va_of(6), VM_SHARE, s.as, 4), 0);
	assert_int_equal(s.mm->nr_vmas, 4);
	assert_int_equal(file_mmap(s.mm, va_of(8), va_of(10), VM_SHARE, s.as, 1), 0);
	assert_int_equal(s.mm->nr_vmas, 5);
	assert_int_equal(byte_at(s.mm, va_of(4)), 94);
	assert_int_equal(byte_at(s.mm, va_of(8)), 91);
	/* Half of it read-only now. */
	rw_wrlock(&s.mm->mmap_lock);
	assert_int_equal(vma_change_flags(s.mm, va_of(0), va_of(2), VM_LOCKED, 0), 0);
	rw_wrunlock(&s.mm->mmap_lock);
	fx_audit(&fx, 0);
	fx_discard(&fx, s.mm, FX_BASE, 4);
	assert_int_equal(byte_at(s.mm, va_of(3)), 93);
}

TEST(what_cannot_be_mapped_is_refused)
{
	struct scene s;

	up(&s, VM_SHARE);
	assert_int_equal(file_mmap(s.mm, va_of(3), va_of(4), VM_SHARE, s.as, 0), -EEXIST);
	assert_int_equal(file_mmap(s.mm, OTHER, OTHER, VM_SHARE, s.as, 0), -EINVAL);
	assert_int_equal(file_mmap(s.mm, OTHER + 1, OTHER + PAGE_SIZE, VM_SHARE, s.as, 0), -EINVAL);
	assert_int_equal(
		file_mmap(s.mm, OTHER, OTHER + PAGE_SIZE, VM_SHARE, s.as, FILE_PAGES_MAX + 1),
		-EINVAL);
	assert_null(file_create(&fx.e, NULL, FILE_PAGES_MAX + 1));
	test_end();
	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 0);
	s.g = fx_group(&fx, NULL, "a", 300);
	s.mm = fx_mm(&fx, s.g);
	s.as = file_create(&fx.e, NULL, 4);
	assert_int_equal(file_mmap(s.mm, OTHER, OTHER + PAGE_SIZE, VM_SHARE, s.as, 0), -EOPNOTSUPP);
	file_put(s.as);
}

/* ---- decisions ---- */

TEST(reclaim_takes_from_each_kind_by_size_and_rather_from_files)
{
	static const struct {
		int64_t n, anon, file;
		bool can_swap;
		int64_t want;
	} row[] = {
		{ 100, 0, 0, true, 0 },      { 100, 50, 0, true, 100 }, { 100, 0, 50, true, 0 },
		{ 100, 50, 50, true, 30 },   { 100, 50, 50, false, 0 }, { 100, 50, 0, false, 0 },
		{ 100, 700, 300, true, 50 }, { 1, 50, 50, true, 0 },    { 32, 7000, 1, true, 31 },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_int_equal(reclaim_split(row[i].n, row[i].anon, row[i].file, row[i].can_swap),
				 row[i].want);
}

/* tests/unit/mm/shmem_test.c - shared memory and its swapping, and all failures under files and
 * shared memory. */
#include "file_scene.h"

/* ---- shared memory ---- */

/* It goes to swap once, however many processes map it, comes back as one page, and outlives its
 * mappings. */
TEST(shared_memory_goes_to_swap_and_comes_back_for_all)
{
	struct mm *mm2;
	struct scene s;

	up_shmem(&s);
	mm2 = fx_mm(&fx, s.g);
	assert_int_equal(file_mmap(mm2, OTHER, OTHER + PAGES * PAGE_SIZE, VM_SHARE, s.as, 0), 0);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(byte_at(mm2, OTHER + i * PAGE_SIZE), 0);
		assert_int_equal(put_byte(s.mm, va_of(i), 10 + (int)i), 0);
		assert_int_equal(byte_at(mm2, OTHER + i * PAGE_SIZE), 10 + i);
	}
	expect_stats(s.g, PAGES, PAGES, 0, PAGES, 0);
	assert_int_equal(stat_read_local(s.g, STAT_INACTIVE_ANON), PAGES);
	assert_int_equal(fx_reclaim(&fx, s.g, PAGES), PAGES);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(s.as->nr_swapped, PAGES);
	assert_int_equal(page_counter_read(&s.g->swap), PAGES);
	fx_audit(&fx, 0);
	/* Both unmap: the page stays. */
	fx_unmap(&fx, s.mm, FX_BASE, PAGES);
	fx_exit(&fx, mm2);
	assert_int_equal(s.as->nr_swapped, PAGES);
	assert_int_equal(file_mmap(s.mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, VM_SHARE, s.as, 0),
			 0);
	for (unsigned i = 0; i < PAGES / 2; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), 10 + i);
	expect_stats(s.g, PAGES / 2, PAGES / 2, 0, PAGES / 2, 0);
	assert_int_equal(s.as->nr_swapped, PAGES / 2);
	assert_int_equal(page_counter_read(&s.g->swap), PAGES / 2);
	/* Truncated, in memory and in swap. */
	assert_int_equal(filemap_truncate(s.as, 4), 0);
	assert_int_equal(page_counter_read(&s.g->swap), 0);
	assert_int_equal(byte_at(s.mm, va_of(3)), 13);
	assert_int_equal(byte_at(s.mm, va_of(4)), -EIO);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(filemap_invalidate(s.as, 0, 1), -EINVAL);
}

static const struct mmu_ops *soft_ops;
static struct scene eager;
static unsigned comebacks;

/* A process that touches the page again the moment it goes. */
static void drop_and_come_back(struct mmu *mmu, struct page *p)
{
	struct page *again;

	soft_ops->drop_frame(mmu, p);
	if (comebacks++ >= 100)
		return;
	assert_int_equal(filemap_get_page(eager.as, 3, eager.mm, &again), 0);
	page_put(&fx.e, again);
}

/* A dropped page may be touched again before the rest is dropped: the discard ends however often
 * that happens. */
TEST(a_discard_does_not_chase_a_page_that_comes_back)
{
	static struct mmu_ops ops;

	up_shmem(&eager);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(eager.mm, va_of(i), 10 + (int)i), 0);
	soft_ops = fx.soft.mmu.ops;
	ops = *soft_ops;
	ops.drop_frame = drop_and_come_back;
	comebacks = 0;
	fx.soft.mmu.ops = &ops;
	filemap_discard(eager.as, 3, 1);
	fx.soft.mmu.ops = soft_ops;
	assert_int_equal(comebacks, 1);
	expect_stats(eager.g, PAGES, PAGES - 1, 0, PAGES, 0);
	assert_int_equal(byte_at(eager.mm, va_of(3)), 0);
}

/* "Everything from here on" is a range like any other, in memory and in swap. */
TEST(a_discard_of_all_that_is_behind_leaves_what_is_before)
{
	struct scene s;

	up_shmem(&s);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(s.mm, va_of(i), 10 + (int)i), 0);
	assert_int_equal(fx_reclaim(&fx, s.g, PAGES), PAGES);
	for (unsigned i = 1; i < PAGES; i += 2)
		assert_int_equal(byte_at(s.mm, va_of(i)), 10 + i);
	filemap_discard(s.as, 2, UINT64_MAX);
	assert_int_equal(s.as->nr_cached + s.as->nr_swapped, 2);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i < 2 ? 10 + (int)i : 0);
}

/* A page is charged to the first group to touch it, also when it comes back from swap; the slot
 * stays with its owner. */
TEST(shared_memory_is_charged_to_who_touches_it)
{
	struct mem_cgroup *g2;
	struct mm *mm2;
	struct scene s;

	up_shmem(&s);
	g2 = fx_group(&fx, NULL, "b", 300);
	mm2 = fx_mm(&fx, g2);
	assert_int_equal(file_mmap(mm2, OTHER, OTHER + PAGES * PAGE_SIZE, VM_SHARE, s.as, 0), 0);
	assert_int_equal(put_byte(s.mm, va_of(0), 5), 0);
	assert_int_equal(put_byte(mm2, OTHER + PAGE_SIZE, 6), 0);
	expect_stats(s.g, 1, 1, 0, 1, 0);
	expect_stats(g2, 1, 1, 0, 1, 0);
	assert_int_equal(fx_reclaim(&fx, s.g, 1), 1);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(page_counter_read(&s.g->swap), 1);
	assert_int_equal(byte_at(mm2, OTHER), 5);
	expect_stats(g2, 2, 2, 0, 2, 0);
	assert_int_equal(page_counter_read(&s.g->swap), 0);
	/* A private mapping of it: copies. */
	assert_int_equal(file_mmap(s.mm, OTHER, OTHER + PAGE_SIZE, FX_RW, s.as, 1), 0);
	assert_int_equal(put_byte(s.mm, OTHER, 7), 0);
	assert_int_equal(byte_at(mm2, OTHER + PAGE_SIZE), 6);
	assert_int_equal(put_byte(mm2, OTHER + PAGE_SIZE, 8), 0);
	assert_int_equal(byte_at(s.mm, OTHER), 7);
	fx_audit(&fx, 0);
}

/* Without swap, or free slots, it stays in memory, and a group of nothing else is out of memory. */
TEST(shared_memory_without_swap_stays)
{
	struct mem_cgroup *g;
	struct address_space *as;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 4);
	g = fx_group(&fx, NULL, "a", 100);
	mm = fx_mm(&fx, g);
	as = file_create(&fx.e, NULL, PAGES);
	assert_int_equal(file_mmap(mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, VM_SHARE, as, 0), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(mm, va_of(i), 1 + (int)i), 0);
	assert_int_equal(fx_reclaim(&fx, g, PAGES), 4);
	assert_true(event_read(g, EVENT_SWAP_FAIL) > 0);
	fx_audit(&fx, 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(mm, va_of(i)), 1 + i);
	fx_exit(&fx, mm);
	file_put(as);
}

/* ---- failures ---- */

/* The reader gets SIGBUS, nothing is kept or charged, and once the device works again it serves the
 * page. */
TEST(a_read_that_fails_is_the_readers_and_can_be_tried_again)
{
	struct scene s;

	up(&s, VM_SHARE);
	a32_store(&s.t->read_errno, EIO);
	assert_int_equal(byte_at(s.mm, va_of(2)), -EIO);
	assert_int_equal(a64_load(&fx.soft.nr_poisons), 1);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(page_counter_read(&s.g->memory), stock_read(s.g));
	fx_audit(&fx, 0);
	a32_store(&s.t->read_errno, 0);
	assert_int_equal(byte_at(s.mm, va_of(2)), 3);
}

/* The pages stay dirty and in memory, whoever wrote them; the error is reported once. */
TEST(a_write_that_fails_keeps_the_page_dirty)
{
	struct scene s;

	up(&s, VM_SHARE);
	assert_int_equal(put_byte(s.mm, va_of(2), 40), 0);
	a32_store(&s.t->write_errno, EIO);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), -EIO);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	fx_audit(&fx, 0);
	assert_int_equal(fx_reclaim(&fx, s.g, 1), 0);
	expect_stats(s.g, 1, 0, 1, 0, 0);
	fx_audit(&fx, 0);
	a32_store(&s.t->write_errno, 0);
	assert_int_equal(byte_at(s.mm, va_of(2)), 40);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), -EIO); /* reclaim's, not reported yet */
	assert_int_equal(s.t->slots[2 * PAGE_SIZE], 40);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	expect_stats(s.g, 1, 1, 0, 0, 0);
}

TEST(shared_memory_that_swap_lost_is_sigbus)
{
	struct scene s;

	up_shmem(&s);
	assert_int_equal(put_byte(s.mm, va_of(0), 1), 0);
	assert_int_equal(fx_reclaim(&fx, s.g, 1), 1);
	a32_store(&fx.store->read_errno, EIO);
	assert_int_equal(byte_at(s.mm, va_of(0)), -EIO);
	a32_store(&fx.store->read_errno, 0);
	assert_true(event_read(s.g, EVENT_SWAP_READ_ERR) > 0);
	fx_audit(&fx, 0);
}

/* A story with every step that allocates, reads or writes. 0, or the first error; it ends clean
 * either way. */
static int story(bool shmem)
{
	struct test_store *t = shmem ? NULL : make_store(PAGES);
	struct address_space *as =
		shmem || t ? file_create(&fx.e, t ? &t->store : NULL, PAGES) : NULL;
	struct mem_cgroup *g = as ? fx_group(&fx, NULL, "a", 200) : NULL;
	struct mm *mm = g ? fx_mm(&fx, g) : NULL, *child = NULL;
	int err =
		mm ? file_mmap(mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, VM_SHARE, as, 0) : -ENOMEM;

	if (!err)
		err = file_mmap(mm, OTHER, OTHER + 4 * PAGE_SIZE, FX_RW, as, 1);
	for (unsigned i = 0; i < PAGES && !err; i++)
		err = put_byte(mm, va_of(i), 20 + (int)i);
	if (!err)
		err = put_byte(mm, OTHER, 5);
	if (!err)
		err = filemap_writeback(as, 0, 4);
	if (!err) {
		child = fx_fork(&fx, mm, g);
		err = child ? 0 : -ENOMEM;
	}
	if (!err && fx_reclaim(&fx, g, PAGES + 1) != PAGES + 1)
		err = -EIO; /* a write failed, or no slot was available */
	for (unsigned i = 0; i < PAGES && !err; i++) {
		int c = byte_at(child, va_of(i));

		err = c < 0 ? c : 0;
		assert_true(c < 0 || c == 20 + (int)i);
	}
	if (!err)
		err = filemap_truncate(as, 3 * FILE_CHUNK);
	if (!err)
		err = filemap_truncate(as, 2);
	fault_arm(FAULT_ALLOC, 0); /* not the audit's */
	fault_arm(FAULT_READ, 0);
	fx_audit(&fx, 0);
	if (child)
		fx_exit(&fx, child);
	if (mm)
		fx_exit(&fx, mm);
	if (as)
		file_put(as);
	if (g)
		fx_ungroup(&fx, g);
	return err;
}

/* Fail the first, second ... call up to the @last. @failed: the minimum number of stories that must
 * show it, because reclaim retries a page whose write failed. */
static void fail_each(enum fault_kind kind, bool shmem, unsigned long last, unsigned failed)
{
	unsigned nr_failed = 0;

	fx_up(&fx, SOFT_SHARED, 2048, 64);
	assert_int_equal(story(shmem), 0); /* frames and lists exist from now on */
	for (unsigned long n = 1; n <= last; n++) {
		fault_arm(kind, n);
		nr_failed += story(shmem) != 0;
		fault_arm(kind, 0);
		fx_audit(&fx, AUDIT_FLUSHED);
		fx_nothing_left(&fx);
	}
	assert_true(nr_failed >= failed);
	assert_int_equal(story(shmem), 0);
	fx_down(&fx);
}

TEST(every_allocation_may_fail)
{
	fail_each(FAULT_ALLOC, false, 90, 50);
	fail_each(FAULT_ALLOC, true, 90, 50);
}

TEST(every_read_may_fail)
{
	fail_each(FAULT_READ, false, 40, PAGES);
	fail_each(FAULT_READ, true, 40, PAGES);
}

TEST(every_write_may_fail)
{
	fail_each(FAULT_WRITE, false, 40, 4);
	fail_each(FAULT_WRITE, true, 40, 0);
}

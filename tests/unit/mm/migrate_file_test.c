/* tests/unit/mm/migrate_file_test.c - migration of pages of files and of shared memory: content,
 * dirty state, table, owner and every statistic are unchanged; failures leave everything in place;
 * concurrent users wait, or the migrator finds less to map.
 */
#include "file_scene.h"
#include "mm/migrate.h"

static struct migrate_result result;

/* Page @i of the scene's file, without a reference. */
static struct page *cached(struct scene *s, unsigned i)
{
	uint32_t entry;
	struct page *p = filemap_lookup(s->as, i, &entry);

	assert_non_null(p);
	page_put(&fx.e, p);
	return p;
}

static int migrate(struct page *p, enum migrate_reason reason)
{
	page_get(p);
	assert_true(lru_isolate_page(p));
	return migrate_pages(&fx.e, &p, 1, 1 - p->node, reason, &result);
}

/* Migrate page @i; it is a different one then. */
static void migrate_index(struct scene *s, unsigned i)
{
	struct page *old = cached(s, i);

	assert_int_equal(migrate(old, MIGRATE_COMPACTION), 0);
	assert_int_equal(result.migrated, 1);
	assert_ptr_not_equal(cached(s, i), old);
	fx_audit(&fx, 0);
}

static struct mm *other_mm(struct scene *s, uint32_t vm_flags)
{
	struct mm *mm = fx_mm(&fx, s->g);

	assert_int_equal(file_mmap(mm, OTHER, OTHER + PAGES * PAGE_SIZE, vm_flags, s->as, 0), 0);
	return mm;
}

/* ---- what moves ---- */

/* Shared, private and a second space: all are redirected to the new page, which is as dirty as the
 * old one; it is written back from there, and the next store is noticed. */
TEST(a_dirty_page_moves_for_all_who_map_it)
{
	struct mm *shared, *private;
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	shared = other_mm(&s, VM_SHARE);
	private = other_mm(&s, FX_RW);
	assert_int_equal(put_byte(s.mm, va_of(3), 99), 0);
	assert_int_equal(byte_at(shared, OTHER + 3 * PAGE_SIZE), 99);
	assert_int_equal(byte_at(private, OTHER + 3 * PAGE_SIZE), 99);
	migrate_index(&s, 3);
	assert_int_equal(a32_load(&cached(&s, 3)->mapcount), 3);
	assert_int_equal(pte_pfn(fx_pte(private, OTHER + 3 * PAGE_SIZE)), cached(&s, 3)->pfn);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	assert_int_equal(put_byte(shared, OTHER + 3 * PAGE_SIZE, 98), 0);
	assert_int_equal(byte_at(s.mm, va_of(3)), 98);
	assert_int_equal(put_byte(private, OTHER + 3 * PAGE_SIZE, 97), 0);
	assert_int_equal(byte_at(s.mm, va_of(3)), 98);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(s.t->slots[3 * PAGE_SIZE], 98);
	expect_stats(s.g, 1, 1, 0, 0, 1);
	migrate_index(&s, 3);
	assert_int_equal(put_byte(s.mm, va_of(3), 96), 0);
	expect_stats(s.g, 1, 1, 1, 0, 1);
	assert_int_equal(stat_read_local(s.g, STAT_PGMIGRATE_SUCCESS), 2);
}

/* Unmapped pages: found in the table, clean and dirty, and stay unmapped. */
TEST(pages_that_only_the_table_has_move)
{
	int64_t reads;
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	assert_int_equal(byte_at(s.mm, va_of(1)), 2);
	assert_int_equal(put_byte(s.mm, va_of(2), 50), 0);
	fx_unmap(&fx, s.mm, FX_BASE, PAGES);
	expect_stats(s.g, 2, 0, 1, 0, 0);
	migrate_index(&s, 1);
	migrate_index(&s, 2);
	expect_stats(s.g, 2, 0, 1, 0, 0);
	assert_false(page_mapped(cached(&s, 1)));
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(s.t->slots[2 * PAGE_SIZE], 50);
	assert_int_equal(a64_load(&s.t->nr_writes), 1);
	assert_int_equal(file_mmap(s.mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, VM_SHARE, s.as, 0),
			 0);
	reads = a64_load(&s.t->nr_reads);
	assert_int_equal(byte_at(s.mm, va_of(1)), 2);
	assert_int_equal(byte_at(s.mm, va_of(2)), 50);
	assert_int_equal(a64_load(&s.t->nr_reads), reads);
}

/* Shared memory stays on the lists of swappable pages, and is swapped out from its new page. */
TEST(shared_memory_moves_and_goes_to_swap_afterwards)
{
	struct mm *mm2;
	struct scene s;

	up_shmem_nodes(&s, 2);
	mm2 = other_mm(&s, VM_SHARE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put_byte(s.mm, va_of(i), 10 + (int)i), 0);
	assert_int_equal(byte_at(mm2, OTHER), 10);
	for (unsigned i = 0; i < 4; i++)
		migrate_index(&s, i);
	expect_stats(s.g, 4, 4, 0, 4, 0);
	assert_int_equal(stat_read_local(s.g, STAT_INACTIVE_ANON) +
				 stat_read_local(s.g, STAT_ACTIVE_ANON),
			 4);
	assert_int_equal(byte_at(mm2, OTHER), 10);
	assert_int_equal(fx_reclaim(&fx, s.g, 4), 4);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	fx_audit(&fx, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(mm2, OTHER + i * PAGE_SIZE), 10 + i);
}

/* Shared memory on its way to swap, out of its table and in the swap cache: moved there, and found
 * by its entry. */
TEST(shared_memory_in_the_swap_cache_moves)
{
	struct page *old;
	struct scene s;
	uint32_t entry;

	up_shmem_nodes(&s, 2);
	assert_int_equal(put_byte(s.mm, va_of(0), 42), 0);
	old = cached(&s, 0);
	a32_store(&fx.store->write_errno, EIO);
	fx_reclaim(&fx, s.g, 1);
	a32_store(&fx.store->write_errno, 0);
	assert_null(filemap_lookup(s.as, 0, &entry));
	assert_int_equal(page_entry(old), entry);
	assert_int_equal(migrate(old, MIGRATE_COMPACTION), 0);
	fx_audit(&fx, 0);
	assert_int_equal(byte_at(s.mm, va_of(0)), 42);
	expect_stats(s.g, 1, 1, 0, 1, 0);
}

/* By address, and locked: on the unevictable list before and after. */
TEST(a_locked_range_of_a_file_moves)
{
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	assert_int_equal(fx_mlock(s.mm, FX_BASE, PAGES), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, va_of(i)), i + 1);
	fx_reclaim(&fx, s.g, PAGES);
	assert_int_equal(stat_read_local(s.g, STAT_UNEVICTABLE), PAGES);
	for (unsigned node = 0; node < 2; node++) {
		assert_int_equal(
			migrate_range(s.mm, FX_BASE, va_of(PAGES), node, MIGRATE_SYSCALL, &result),
			0);
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(cached(&s, i)->node, node);
		assert_int_equal(stat_read_local(s.g, STAT_UNEVICTABLE), PAGES);
		fx_audit(&fx, 0);
	}
	assert_int_equal(fx_munlock(s.mm, FX_BASE, PAGES), 0);
	assert_int_equal(stat_read_local(s.g, STAT_UNEVICTABLE), 0);
}

/* ---- what does not ---- */

/* The page has an extra reference: every entry is unchanged, to the last mark. */
TEST(a_page_of_a_file_in_use_stays)
{
	struct page *p;
	struct scene s;
	pte_t pte;

	up_nodes(&s, VM_SHARE, 2);
	assert_int_equal(put_byte(s.mm, va_of(3), 99), 0);
	p = cached(&s, 3);
	pte = fx_pte(s.mm, va_of(3));
	page_get(p);
	assert_int_equal(migrate(p, MIGRATE_SYSCALL), -EAGAIN);
	page_put(&fx.e, p);
	assert_int_equal(result.failed, 1);
	assert_ptr_equal(cached(&s, 3), p);
	assert_true(fx_pte(s.mm, va_of(3)) == pte);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	fx_audit(&fx, 0);
	/* The same for an unmapped page. */
	fx_unmap(&fx, s.mm, FX_BASE, PAGES);
	page_get(p);
	assert_int_equal(migrate(p, MIGRATE_SYSCALL), -EAGAIN);
	page_put(&fx.e, p);
	expect_stats(s.g, 1, 0, 1, 0, 0);
	migrate_index(&s, 3);
}

/* A space whose pages must not be touched keeps its entry; so the page stays, and the removed entry
 * comes back. */
TEST(a_page_that_one_space_holds_stays_for_all)
{
	struct mm *mm2;
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	mm2 = other_mm(&s, VM_SHARE);
	assert_int_equal(put_byte(s.mm, va_of(0), 9), 0);
	assert_int_equal(byte_at(mm2, OTHER), 9);
	a32_acc(&mm2->no_reclaim, 1);
	assert_int_equal(migrate(cached(&s, 0), MIGRATE_COMPACTION), -EAGAIN);
	a32_acc(&mm2->no_reclaim, -1);
	assert_int_equal(a32_load(&cached(&s, 0)->mapcount), 2);
	expect_stats(s.g, 1, 1, 1, 0, 0);
	migrate_index(&s, 0);
}

/* Isolated, then truncated: gone, and freed by its holder. */
TEST(a_page_truncated_before_is_gone)
{
	struct page *p;
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	assert_int_equal(put_byte(s.mm, va_of(5), 9), 0);
	p = cached(&s, 5);
	page_get(p);
	assert_true(lru_isolate_page(p));
	assert_int_equal(filemap_truncate(s.as, 5), 0);
	assert_int_equal(migrate_pages(&fx.e, &p, 1, 1 - p->node, MIGRATE_SYSCALL, &result), 0);
	assert_int_equal(result.gone, 1);
	expect_stats(s.g, 0, 0, 0, 0, 0);
}

static struct mmu_ops ops;
static const struct mmu_ops *real_ops;
static unsigned room;

static int bring_while_there_is_room(struct mmu *mmu, struct page **pages, unsigned n)
{
	if (n > room)
		return -ENOMEM;
	room -= n;
	return real_ops->bring_frames(mmu, pages, n);
}

/* There is memory for k pages, for every k: exactly k move, the others are unchanged. */
TEST(as_many_pages_of_files_move_as_there_is_memory_for)
{
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	real_ops = fx.soft.mmu.ops;
	ops = *real_ops;
	ops.bring_frames = bring_while_there_is_room;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(put_byte(s.mm, va_of(i), 30 + (int)i), 0);
	for (unsigned k = 0; k <= 8; k++) {
		assert_int_equal(
			migrate_range(s.mm, FX_BASE, va_of(8), 0, MIGRATE_COMPACTION, &result), 0);
		fx.soft.mmu.ops = &ops;
		room = k;
		assert_int_equal(
			migrate_range(s.mm, FX_BASE, va_of(8), 1, MIGRATE_COMPACTION, &result),
			k < 8 ? -ENOMEM : 0);
		fx.soft.mmu.ops = real_ops;
		assert_int_equal(result.migrated, k);
		assert_int_equal(result.failed, 8 - k);
		fx_audit(&fx, 0);
		expect_stats(s.g, 8, 8, 8, 0, 0);
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(byte_at(s.mm, va_of(i)), 30 + i);
	}
}

/* ---- concurrent users ---- */

static struct plat_thread visitor;
static atomic32_t visitor_done;

static void migrate_under_write_back(void *arg)
{
	struct page *p = cached(arg, 0);

	assert_true(page_test(p, PG_writeback));
	assert_int_equal(migrate(p, MIGRATE_COMPACTION), -EAGAIN);
	assert_ptr_equal(cached(arg, 0), p);
}

/* Writeback wakes the waiter before it drops its reference. A migration in between finds the page
 * in use. */
static void wait_for_write_back(void *arg)
{
	int err;

	do
		err = migrate(cached(arg, 0), MIGRATE_SYSCALL);
	while (err == -EAGAIN);
	assert_int_equal(err, 0);
	a32_store(&visitor_done, 1);
}

static void start_waiter(void *arg)
{
	a32_store(&visitor_done, 0);
	assert_int_equal(plat_thread_start(&visitor, "visitor", wait_for_write_back, arg), 0);
	plat_sleep_ns(20000000);
	assert_false(a32_load(&visitor_done));
}

/* A page under writeback is skipped, or waited for by a caller that asked for just this page. */
TEST(a_page_under_write_back_is_passed_over_or_waited_for)
{
	struct scene s;
	struct page *p;

	up_nodes(&s, VM_SHARE, 2);
	assert_int_equal(put_byte(s.mm, va_of(0), 7), 0);
	s.t->during_write = migrate_under_write_back;
	s.t->during_arg = &s;
	assert_int_equal(filemap_writeback(s.as, 0, 1), 0);
	assert_int_equal(s.t->slots[0], 7);
	assert_int_equal(put_byte(s.mm, va_of(0), 8), 0);
	p = cached(&s, 0);
	s.t->during_write = start_waiter;
	assert_int_equal(filemap_writeback(s.as, 0, 1), 0);
	plat_thread_join(&visitor);
	assert_ptr_not_equal(cached(&s, 0), p);
	assert_int_equal(s.t->slots[0], 8);
	expect_stats(s.g, 1, 1, 0, 0, 0);
}

static struct scene *scene;
static void (*visit)(void *scene);
static bool visitor_waits;

static void run_visitor(void *arg)
{
	void (*fn)(void *) = *(void (**)(void *))arg;

	fn(scene);
	a32_store(&visitor_done, 1);
}

/* The first access to the content while the entry is a migration entry is the copy. */
static void *data_with_visit(struct mmu *mmu, struct page *page)
{
	static void (*fn)(void *);

	if (visit && pte_is_migration(fx_pte(scene->mm, FX_BASE))) {
		fn = visit;
		visit = NULL;
		assert_int_equal(plat_thread_start(&visitor, "visitor", run_visitor, &fn), 0);
		if (visitor_waits) {
			plat_sleep_ns(20000000);
			assert_false(a32_load(&visitor_done));
		} else {
			plat_thread_join(&visitor);
		}
	}
	return real_ops->data(mmu, page);
}

/* Page 0, stored to, is being migrated while @fn runs. */
static void migrate_with(struct scene *s, void (*fn)(void *scene), bool waits)
{
	scene = s;
	assert_int_equal(put_byte(s->mm, va_of(0), 77), 0);
	real_ops = fx.soft.mmu.ops;
	ops = *real_ops;
	ops.data = data_with_visit;
	fx.soft.mmu.ops = &ops;
	a32_store(&visitor_done, 0);
	visitor_waits = waits;
	visit = fn;
	assert_int_equal(migrate(cached(s, 0), MIGRATE_COMPACTION), 0);
	if (waits)
		plat_thread_join(&visitor);
	fx.soft.mmu.ops = real_ops;
	assert_null(visit);
	fx_audit(&fx, 0);
}

static void do_store(void *s)
{
	assert_int_equal(put_byte(((struct scene *)s)->mm, va_of(0), 78), 0);
}
static void do_truncate(void *s)
{
	assert_int_equal(filemap_truncate(((struct scene *)s)->as, 0), 0);
}
static void do_write(void *s)
{
	assert_int_equal(filemap_writeback(((struct scene *)s)->as, 0, 1), 0);
}
static void do_unmap(void *s)
{
	fx_unmap(&fx, ((struct scene *)s)->mm, FX_BASE, 1);
}
static void do_move(void *s)
{
	assert_int_equal(fx_remap(&fx, ((struct scene *)s)->mm, FX_BASE, OTHER, 1), 0);
}

static struct mm *late;
static void do_read_by_another(void *s)
{
	(void)s;
	assert_int_equal(byte_at(late, OTHER), 77);
}
static void do_fork(void *s)
{
	assert_int_equal(fx_fork_into(&fx, ((struct scene *)s)->mm, late), 0);
}

/* Access to the page by its entry, by its table or to write it back gets the new one. */
TEST(who_wants_a_page_of_a_file_waits_for_the_new_one)
{
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	late = other_mm(&s, VM_SHARE);
	migrate_with(&s, do_store, true);
	assert_int_equal(byte_at(s.mm, va_of(0)), 78);
	migrate_with(&s, do_read_by_another, true);
	assert_int_equal(a32_load(&cached(&s, 0)->mapcount), 2);
	migrate_with(&s, do_write, true);
	assert_int_equal(s.t->slots[0], 77);
	expect_stats(s.g, 1, 1, 0, 0, 0);
	migrate_with(&s, do_truncate, true);
	expect_stats(s.g, 0, 0, 0, 0, 0);
	assert_int_equal(byte_at(s.mm, va_of(0)), -EIO);
}

/* Its entry is removed: the new page is in the table, dirty, and unmapped. */
TEST(a_page_of_a_file_unmapped_on_its_way_stays_in_the_table)
{
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	migrate_with(&s, do_unmap, false);
	expect_stats(s.g, 1, 0, 1, 0, 0);
	assert_int_equal(filemap_writeback(s.as, 0, 1), 0);
	assert_int_equal(s.t->slots[0], 77);
}

/* Moving an area waits; a child has no entry of the file, and finds the new page there. */
TEST(an_area_of_a_file_that_moves_or_forks_meanwhile_loses_nothing)
{
	struct scene s;

	up_nodes(&s, VM_SHARE, 2);
	late = fx_mm(&fx, s.g);
	migrate_with(&s, do_fork, false);
	assert_true(pte_none(fx_pte(late, FX_BASE)));
	assert_true(fx_pte(s.mm, FX_BASE) & PTE_WRITE);
	assert_int_equal(put_byte(late, FX_BASE, 79), 0);
	assert_int_equal(byte_at(s.mm, FX_BASE), 79);
	fx_exit(&fx, late);
	migrate_with(&s, do_move, true);
	assert_int_equal(byte_at(s.mm, OTHER), 77);
	expect_stats(s.g, 1, 1, 1, 0, 0);
}

/* tests/unit/mm/migrate_test.c - migration: what moves, what stays, and who intervenes.
 *
 * The content is copied when every entry is a migration entry and no leaf is locked. Tests that
 * need another thread to run at that point start one from the MMU's data operation.
 */
#include "mm/migrate.h"
#include "soft_fixture.h"

static struct soft_fixture fx;
static struct migrate_result result;

static struct page *page_at(struct mm *mm, uint64_t va)
{
	pte_t pte = fx_pte(mm, va);

	assert_true(pte_present(pte));
	return pfn_page(&fx.e, pte_pfn(pte));
}

static uint64_t page_va(unsigned i)
{
	return FX_BASE + i * PAGE_SIZE;
}

static unsigned other_node(struct mm *mm)
{
	return 1 - page_at(mm, FX_BASE)->node;
}

/* A group of @max pages, and a space with @n pages filled with seed 7. */
static struct mm *start(int64_t max, unsigned n, struct mem_cgroup **memcg)
{
	struct mm *mm;

	fx_up_nodes(&fx, SOFT_SHARED, 4096, 512, 2);
	*memcg = fx_group(&fx, NULL, "g", max);
	mm = fx_mapped_mm(&fx, *memcg, n);
	fx_fill_run(&fx, mm, FX_BASE, n, 7);
	return mm;
}

static int migrate_page_of(struct page *p, unsigned node)
{
	page_get(p);
	assert_true(lru_isolate_page(p));
	return migrate_pages(&fx.e, &p, 1, node, MIGRATE_COMPACTION, &result);
}

/* ---- what moves ---- */

/* Every page of a range that spans two leaves is elsewhere afterwards, with its content; the books
 * are unchanged. */
TEST(a_range_moves_with_its_content_and_no_counter_changes)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 600, &memcg);
	int64_t memory = page_counter_read(&memcg->memory);
	unsigned node = other_node(mm);

	assert_int_equal(
		migrate_range(mm, FX_BASE, page_va(600), node, MIGRATE_COMPACTION, &result), 0);
	assert_int_equal(result.migrated, 600);
	assert_int_equal(result.failed + result.gone, 0);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(page_at(mm, page_va(i))->node, node);
	assert_int_equal(page_counter_read(&memcg->memory), memory);
	assert_int_equal(stat_read(memcg, STAT_ANON), 600);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 600);
	assert_int_equal(group_list_size(memcg, LRU_INACTIVE_ANON),
			 lruvec_size(memcg_lruvec(memcg, node), LRU_INACTIVE_ANON));
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 600, 7);
}

/* A page that two spaces map is found in both, and is still copied when one of them writes. */
TEST(a_page_of_parent_and_child_moves_for_both)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg), *child = fx_fork(&fx, mm, memcg);
	struct page *old = page_at(mm, FX_BASE);

	assert_int_equal(migrate_page_of(old, other_node(mm)), 0);
	assert_ptr_not_equal(page_at(mm, FX_BASE), old);
	assert_ptr_equal(page_at(mm, FX_BASE), page_at(child, FX_BASE));
	assert_int_equal(a32_load(&page_at(mm, FX_BASE)->mapcount), 2);
	fx_audit(&fx, 0);
	assert_int_equal(fx_fill(&fx, child, FX_BASE, 8), 0);
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
	fx_check_run(&fx, child, FX_BASE, 1, 8);
}

/* Seed 3: in the swap cache and unmapped, so that its anon_vma may be gone. It moves, is found by
 * its entry, and is never remapped. */
TEST(an_unmapped_page_of_the_swap_cache_moves_and_is_not_mapped)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);
	struct page *old = page_at(mm, FX_BASE), *new;
	unsigned node = other_node(mm);
	uint32_t entry;

	a32_store(&fx.store->write_errno, EIO);
	fx_reclaim(&fx, memcg, 1);
	a32_store(&fx.store->write_errno, 0);
	entry = pte_entry(fx_pte(mm, FX_BASE));
	assert_true(pte_is_swap(fx_pte(mm, FX_BASE)) && page_entry(old) == entry);
	assert_int_equal(migrate_page_of(old, node), 0);
	new = swapcache_get(&fx.e, entry);
	assert_non_null(new);
	assert_int_equal(new->node, node);
	assert_int_equal(a32_load(&new->mapcount), 0);
	page_put(&fx.e, new);
	assert_true(fx_pte(mm, FX_BASE) == pte_make_swap(entry));
	assert_int_equal(stat_read(memcg, STAT_SWAPCACHED), 1);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
}

/* Seed 3, the other half: in the swap cache and mapped by one of two. It is remapped there, and the
 * other's entry leads to the new page. */
TEST(a_mapped_page_of_the_swap_cache_is_remapped)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg), *child = fx_fork(&fx, mm, memcg);
	struct page *old;

	fx_reclaim(&fx, memcg, 1);
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
	old = page_at(mm, FX_BASE);
	assert_true(page_test(old, PG_swapcache) && pte_is_swap(fx_pte(child, FX_BASE)));
	assert_int_equal(migrate_page_of(old, other_node(mm)), 0);
	assert_ptr_not_equal(page_at(mm, FX_BASE), old);
	assert_true(page_test(page_at(mm, FX_BASE), PG_swapcache));
	fx_audit(&fx, 0);
	fx_check_run(&fx, child, FX_BASE, 1, 7);
	assert_ptr_equal(page_at(mm, FX_BASE), page_at(child, FX_BASE));
}

/* A page of a locked area stays on the unevictable list. */
TEST(a_locked_page_stays_locked)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	assert_int_equal(fx_map(mm, page_va(1), 2), 0);
	assert_int_equal(fx_mlock(mm, page_va(1), 2), 0);
	fx_fill_run(&fx, mm, page_va(1), 2, 7);
	assert_int_equal(stat_read(memcg, STAT_UNEVICTABLE), 2);
	assert_int_equal(
		migrate_range(mm, FX_BASE, page_va(3), other_node(mm), MIGRATE_SYSCALL, &result),
		0);
	assert_int_equal(stat_read(memcg, STAT_UNEVICTABLE), 2);
	fx_audit(&fx, 0);
	assert_int_equal(fx_munlock(mm, page_va(1), 2), 0);
	assert_int_equal(stat_read(memcg, STAT_UNEVICTABLE), 0);
}

/* ---- what does not ---- */

/* The page has an extra reference: it stays unchanged, at a limit with no room for a second
 * charge. */
TEST(a_page_in_use_stays_and_is_not_charged_again)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(64, 1, &memcg);
	struct page *p = page_at(mm, FX_BASE);
	int64_t memory = page_counter_read(&memcg->memory);

	page_counter_force_max(&memcg->memory, memory);
	page_get(p);
	assert_int_equal(migrate_page_of(p, other_node(mm)), -EAGAIN);
	page_put(&fx.e, p);
	assert_int_equal(result.failed, 1);
	assert_ptr_equal(page_at(mm, FX_BASE), p);
	assert_int_equal(page_counter_read(&memcg->memory), memory);
	assert_int_equal(event_read(memcg, EVENT_MAX), 0);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_FAIL), 1);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
	assert_int_equal(migrate_page_of(p, other_node(mm)), 0);
}

/* Isolated pages of a range stay, wherever they are among the others, and only they. */
TEST(isolated_pages_of_a_range_stay)
{
	static const unsigned busy[] = { 0, 3, 4, 127, 128, 299 };
	const unsigned nr_busy = sizeof(busy) / sizeof(*busy);
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 300, &memcg);
	unsigned node = other_node(mm);
	struct page *p[6];

	for (unsigned i = 0; i < nr_busy; i++) {
		p[i] = page_at(mm, page_va(busy[i]));
		page_get(p[i]);
		assert_true(lru_isolate_page(p[i]));
	}
	assert_int_equal(migrate_range(mm, FX_BASE, page_va(300), node, MIGRATE_SYSCALL, &result),
			 -EAGAIN);
	assert_int_equal(result.migrated, 300 - nr_busy);
	assert_int_equal(result.failed, nr_busy);
	for (unsigned i = 0; i < nr_busy; i++) {
		assert_ptr_equal(page_at(mm, page_va(busy[i])), p[i]);
		assert_int_equal(a32_load(&p[i]->refcount), 2);
		lru_add(p[i]);
		page_put(&fx.e, p[i]);
	}
	fx_check_run(&fx, mm, FX_BASE, 300, 7);
}

/* What is impossible is refused, and the pages go back. */
TEST(an_unknown_node_and_an_mmu_that_does_not_share_are_refused)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 3, &memcg);

	assert_int_equal(migrate_range(mm, FX_BASE, page_va(3), 2, MIGRATE_SYSCALL, &result),
			 -EINVAL);
	assert_int_equal(result.failed, 3);
	fx_down(&fx);
	fx_up(&fx, SOFT_EXCLUSIVE, 1024, 64);
	mm = fx_mapped_mm(&fx, NULL, 1);
	fx_fill_run(&fx, mm, FX_BASE, 1, 7);
	assert_int_equal(migrate_range(mm, FX_BASE, page_va(1), 1, MIGRATE_SYSCALL, &result),
			 -EOPNOTSUPP);
}

/* ---- concurrent users ---- */

static struct mmu_ops ops;
static const struct mmu_ops *real_ops;
static struct plat_thread visitor;
static void (*visit)(void *mm);
static bool join_at_once;
static struct mm *mover, *joined_child;

static unsigned room;

static int bring_while_there_is_room(struct mmu *mmu, struct page **pages, unsigned n)
{
	if (n > room)
		return -ENOMEM;
	room -= n;
	return real_ops->bring_frames(mmu, pages, n);
}

/* There is memory for k pages, for every k: exactly k move, though frames are taken for all at
 * once; the others are unchanged. */
TEST(as_many_pages_move_as_there_is_memory_for)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 8, &memcg);

	real_ops = fx.soft.mmu.ops;
	ops = *real_ops;
	ops.bring_frames = bring_while_there_is_room;
	for (unsigned k = 0; k <= 8; k++) {
		/* Move all back to one node first, so that every round has the same work. */
		assert_int_equal(
			migrate_range(mm, FX_BASE, page_va(8), 0, MIGRATE_COMPACTION, &result), 0);
		fx.soft.mmu.ops = &ops;
		room = k;
		assert_int_equal(
			migrate_range(mm, FX_BASE, page_va(8), 1, MIGRATE_COMPACTION, &result),
			k < 8 ? -ENOMEM : 0);
		fx.soft.mmu.ops = real_ops;
		assert_int_equal(result.migrated, k);
		assert_int_equal(result.failed, 8 - k);
		fx_audit(&fx, 0);
		fx_check_run(&fx, mm, FX_BASE, 8, 7);
	}
	assert_int_equal(page_at(mm, FX_BASE)->node, 1);
}

/* The visitor has time to go wrong: it must not get past the entry. */
static void still_waiting(void)
{
	plat_sleep_ns(20000000);
	assert_true(pte_is_migration(fx_pte(mover, FX_BASE)));
}

/* The first access to the content while the entry is a migration entry is the copy. */
static void *data_with_visit(struct mmu *mmu, struct page *page)
{
	void (*fn)(void *) = visit;

	if (fn && pte_is_migration(fx_pte(mover, FX_BASE))) {
		visit = NULL;
		assert_int_equal(plat_thread_start(&visitor, "visitor", fn, mover), 0);
		if (join_at_once)
			plat_thread_join(&visitor);
		else
			still_waiting();
	}
	return real_ops->data(mmu, page);
}

/* Migrate the page at FX_BASE while @fn intervenes. */
static void migrate_with(struct mm *mm, void (*fn)(void *mm), bool waits)
{
	struct page *p = page_at(mm, FX_BASE);

	real_ops = fx.soft.mmu.ops;
	ops = *real_ops;
	ops.data = data_with_visit;
	fx.soft.mmu.ops = &ops;
	mover = mm;
	visit = fn;
	join_at_once = !waits;
	assert_int_equal(migrate_page_of(p, other_node(mm)), 0);
	if (waits)
		plat_thread_join(&visitor);
	fx.soft.mmu.ops = real_ops;
	assert_null(visit);
}

static void do_unmap(void *mm)
{
	fx_unmap(&fx, mm, FX_BASE, 1);
}
static void do_exit(void *mm)
{
	fx_exit(&fx, mm);
}
static void do_read(void *mm)
{
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
}
static void do_move(void *mm)
{
	assert_int_equal(fx_remap(&fx, mm, FX_BASE, FX_BASE + (64ul << 20), 1), 0);
}
static void do_fork(void *mm)
{
	assert_int_equal(fx_fork_into(&fx, mm, joined_child), 0);
}

/* The entry is removed: the migrator maps nothing, and the page is freed. It was moved, and that is
 * counted to its owner, although its charge has ended with it. */
TEST(a_page_unmapped_on_its_way_is_freed)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	migrate_with(mm, do_unmap, false);
	assert_true(pte_none(fx_pte(mm, FX_BASE)));
	assert_int_equal(a64_load(&fx.e.nr_free), a64_load(&fx.e.nr_frames));
	assert_int_equal(stat_read(memcg, STAT_ANON), 0);
	assert_int_equal(result.migrated, 1);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 1);
}

/* Its last space ends, and with it its anon_vma, except for the migrator's reference. */
TEST(a_space_that_ends_meanwhile_takes_its_page_along)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	migrate_with(mm, do_exit, false);
	assert_int_equal(a64_load(&fx.e.nr_anon_vmas), 0);
}

/* A child forked during the migration has the page too, and neither may write to it without a
 * copy. */
TEST(a_child_forked_meanwhile_shares_the_new_page)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	joined_child = fx_mm(&fx, memcg);
	migrate_with(mm, do_fork, false);
	assert_ptr_equal(page_at(mm, FX_BASE), page_at(joined_child, FX_BASE));
	assert_false((fx_pte(mm, FX_BASE) | fx_pte(joined_child, FX_BASE)) & PTE_WRITE);
	fx_audit(&fx, 0);
	assert_int_equal(fx_fill(&fx, mm, FX_BASE, 9), 0);
	fx_check_run(&fx, joined_child, FX_BASE, 1, 7);
}

/* A fault waits until the page is there. */
TEST(a_fault_waits_for_the_new_page)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	int64_t faults = stat_read(memcg, STAT_PGFAULT);

	migrate_with(mm, do_read, true);
	assert_true(stat_read(memcg, STAT_PGFAULT) - faults <= 1);
}

/* Moving an area waits as well: otherwise its entry would be looked for in the wrong place. */
TEST(an_area_that_moves_waits_for_its_pages)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(0, 1, &memcg);

	migrate_with(mm, do_move, true);
	fx_audit(&fx, 0);
	fx_check_moved(&fx, mm, FX_BASE + (64ul << 20), FX_BASE, 1, 7);
}

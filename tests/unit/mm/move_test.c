/* tests/unit/mm/move_test.c - an address space changes its group: what moves with it, what stays,
 * what is refused.
 *
 * Moving allocates nothing, so no allocation can fail: only the room in the new group can be
 * missing.
 */
#include "file_scene.h"
#include "mm/move.h"

#define MANY 600 /* spans two leaves */

static struct mem_cgroup *from, *to;

static struct mm *start(unsigned n)
{
	struct mm *mm;

	fx_up_nodes(&fx, SOFT_SHARED, 4096, 1024, 2);
	from = fx_group(&fx, NULL, "from", 0);
	to = fx_group(&fx, NULL, "to", 0);
	mm = fx_mm(&fx, from);
	if (n)
		assert_int_equal(fx_map(mm, FX_BASE, n), 0);
	fx_fill_run(&fx, mm, FX_BASE, n, 7);
	return mm;
}

static void assert_usage(struct mem_cgroup *memcg, int64_t memory, int64_t memsw, int64_t swap)
{
	stock_drain(memcg);
	assert_int_equal(page_counter_read(&memcg->memory), memory);
	assert_int_equal(page_counter_read(&memcg->memsw), memsw);
	assert_int_equal(page_counter_read(&memcg->swap), swap);
}

/* All pages and slots move, with statistics and lists; the sums over both groups do not change. */
TEST(pages_and_slots_go_with_their_address_space)
{
	struct mm *mm = start(MANY);
	int64_t out = fx_reclaim(&fx, from, 100);

	assert_true(out >= 100);
	assert_usage(from, MANY - out, MANY, out);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, MANY - out, MANY, out);
	assert_int_equal(stat_read(from, STAT_ANON), 0);
	assert_int_equal(stat_read(to, STAT_ANON), MANY - out);
	assert_int_equal(group_list_size(from, LRU_INACTIVE_ANON) +
				 group_list_size(from, LRU_ACTIVE_ANON),
			 0);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, MANY, 7);
	assert_usage(from, 0, 0, 0);
}

/* A page in the swap cache that waits to be written moves with its slot: the group is charged once
 * for both. */
TEST(a_page_of_the_swap_cache_goes_with_its_slot)
{
	struct mm *mm = start(1);

	a32_store(&fx.store->write_errno, EIO);
	fx_reclaim(&fx, from, 1);
	a32_store(&fx.store->write_errno, 0);
	assert_usage(from, 1, 1, 1);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, 1, 1, 1);
	assert_int_equal(stat_read(to, STAT_SWAPCACHED), 1);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
}

/* Without a mask past charges stay: only new pages are charged to the new group. */
TEST(without_a_mask_only_new_pages_are_charged_to_the_new_group)
{
	struct mm *mm = start(8);

	assert_int_equal(mm_move_group(mm, to, 0), 0);
	assert_int_equal(fx_map(mm, FX_BASE + LEAF_SPAN, 4), 0);
	fx_fill_run(&fx, mm, FX_BASE + LEAF_SPAN, 4, 9);
	assert_usage(from, 8, 8, 0);
	assert_usage(to, 4, 4, 0);
}

/* A page that another address space maps too does not move (4e0cf05f6059). */
TEST(pages_and_slots_that_others_use_stay)
{
	struct mm *mm = start(16), *child = fx_fork(&fx, mm, from);
	uint64_t last = FX_BASE + 15 * PAGE_SIZE;

	assert_int_equal(fx_fill(&fx, mm, last, 8), 0);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(from, 16, 16, 0);
	assert_usage(to, 1, 1, 0);
	assert_ptr_equal(page_cgroup_memcg(&pfn_page(&fx.e, pte_pfn(fx_pte(mm, last)))->pcg), to);
	fx_audit(&fx, 0);
	fx_reclaim(&fx, from, 16);
	assert_int_equal(mm_move_group(child, to, MOVE_ANON), 0);
	assert_int_equal(page_counter_read(&to->swap) + page_counter_read(&from->swap), 16);
	assert_true(page_counter_read(&from->swap) >= 15);
}

/* No room: nothing has changed, and no precharge is left. */
TEST(without_room_nothing_moves)
{
	struct mm *mm = start(100);
	int64_t out = fx_reclaim(&fx, from, 8);

	assert_true(out < 99);
	page_counter_force_max(&to->memory, 99 - out);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), -ENOMEM);
	assert_ptr_equal(mm_memcg(mm), from);
	assert_usage(to, 0, 0, 0);
	page_counter_force_max(&to->memory, 100);
	page_counter_force_max(&to->swap, out - 1);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), -ENOMEM);
	assert_ptr_equal(mm_memcg(mm), from);
	assert_usage(from, 100 - out, 100, out);
	assert_usage(to, 0, 0, 0);
	fx_audit(&fx, 0);
	page_counter_force_max(&to->swap, out);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(to, 100 - out, 100, out);
}

/* A page that another thread has isolated stays; its precharge is returned. */
TEST(a_page_in_somebodys_hands_stays)
{
	struct mm *mm = start(4);
	struct page *p = pfn_page(&fx.e, pte_pfn(fx_pte(mm, FX_BASE)));

	page_get(p);
	assert_true(lru_isolate_page(p));
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	lru_add(p);
	page_put(&fx.e, p);
	assert_usage(from, 1, 1, 0);
	assert_usage(to, 3, 3, 0);
}

/* Pages move in batches: those that are isolated or under writeback are left out, wherever they are
 * in the batch, and only those. */
TEST(busy_pages_among_many_stay_and_only_they)
{
	static const unsigned busy[] = { 0, 3, 4, 63, 64, 200, 511, 512, MANY - 1 };
	const unsigned nr_busy = sizeof(busy) / sizeof(*busy);
	struct mm *mm = start(MANY);
	struct page *p[9];

	for (unsigned i = 0; i < nr_busy; i++) {
		p[i] = pfn_page(&fx.e, pte_pfn(fx_pte(mm, FX_BASE + busy[i] * PAGE_SIZE)));
		page_get(p[i]);
		assert_true(i % 2 ? !page_set(p[i], PG_writeback) : lru_isolate_page(p[i]));
	}
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	for (unsigned i = 0; i < nr_busy; i++) {
		assert_ptr_equal(page_cgroup_memcg(&p[i]->pcg), from);
		if (i % 2)
			page_clear(p[i], PG_writeback);
		else
			lru_add(p[i]);
		page_put(&fx.e, p[i]);
	}
	assert_usage(from, nr_busy, nr_busy, 0);
	assert_usage(to, MANY - nr_busy, MANY - nr_busy, 0);
}

/* A group owns pages by its own handles and by those of groups removed below it, one after the
 * other in a leaf: all pages move, and no handle keeps an extra reference. */
TEST(pages_inherited_from_removed_groups_go_with_the_others)
{
	struct mm *mm = start(0);

	assert_int_equal(fx_map(mm, FX_BASE, 90), 0);
	for (unsigned i = 0; i < 9; i++) {
		struct mem_cgroup *child = i % 3 ? fx_group(&fx, from, "child", 0) : NULL;

		if (child)
			assert_int_equal(mm_move_group(mm, child, 0), 0);
		fx_fill_run(&fx, mm, FX_BASE + i * 10 * PAGE_SIZE, 10, 7);
		assert_int_equal(mm_move_group(mm, from, 0), 0);
		if (child)
			fx_ungroup(&fx, child);
	}
	assert_usage(from, 90, 90, 0);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, 90, 90, 0);
	fx_check_run(&fx, mm, FX_BASE, 90, 7);
	for (int i = 0; i < 4; i++)
		rcu_flush();
	assert_int_equal(a32_load(&fx.e.tree.nr_handles), 3);
}

/* Its last address space has left: what stayed behind can be pushed out, and only then. */
TEST(a_group_without_address_spaces_is_emptied)
{
	struct mm *mm = start(40);

	assert_int_equal(group_force_empty(&fx.e, fx.e.tree.root), -EINVAL);
	assert_int_equal(group_force_empty(&fx.e, from), -EBUSY);
	assert_int_equal(mm_move_group(mm, to, 0), 0);
	assert_int_equal(group_force_empty(&fx.e, from), 0);
	assert_usage(from, 0, 40, 40);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 40, 7);
}

/* ---- faults in progress ---- */

static struct mm *mover;
static unsigned move_mask;

static void move_it(void *arg)
{
	(void)arg;
	assert_int_equal(mm_move_group(mover, to, move_mask), 0);
}

/* Done by another thread: the interrupted one has a page locked. */
static void move_meanwhile(void *arg)
{
	struct plat_thread t;

	assert_int_equal(plat_thread_start(&t, "mover", move_it, arg), 0);
	plat_thread_join(&t);
}

/* The group changes while a fault reads the page it has charged to the old one: once mapped, the
 * page belongs to the new group, with its slot. The mover could not take it, because it was
 * locked. */
static void swap_in_during_move(unsigned mask)
{
	struct mm *mm = start(1);

	fx_reclaim(&fx, from, 1);
	assert_usage(from, 0, 1, 1);
	mover = mm;
	move_mask = mask;
	fx.store->during_read = move_meanwhile;
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
	assert_null(fx.store->during_read);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, 1, 1, 1);
	assert_int_equal(stat_read_local(from, STAT_ANON) + stat_read_local(from, STAT_SWAPCACHED),
			 0);
	assert_int_equal(stat_read_local(to, STAT_ANON), 1);
	assert_int_equal(stat_read_local(to, STAT_SWAPCACHED), 1);
	fx_down(&fx);
}

TEST(a_page_read_from_swap_during_a_move_is_charged_to_the_new_group)
{
	swap_in_during_move(MOVE_ANON);
	swap_in_during_move(0);
}

/* No room in the new group: limits hold, and both stay. With room for one of them, that one
 * moves. */
static void swap_in_without_slots(int64_t room)
{
	struct mm *mm = start(1);

	fx_reclaim(&fx, from, 1);
	page_counter_force_max(&to->memory, room);
	page_counter_force_max(&to->swap, 0);
	mover = mm;
	move_mask = 0;
	fx.store->during_read = move_meanwhile;
	fx_check_run(&fx, mm, FX_BASE, 1, 7);
	assert_usage(from, 1 - room, 1 - room, 1);
	assert_usage(to, room, room, 0);
	fx_down(&fx);
}

TEST(a_page_read_from_swap_during_a_move_goes_over_if_there_is_room)
{
	swap_in_without_slots(0);
	swap_in_without_slots(1);
}

/* ---- files and shared memory ---- */

static struct scene scene;

/* @shmem or a file, at FX_BASE, its first 8 pages touched, the first 4 of these stored to; and 4
 * anonymous pages. */
static void start_files(bool shmem)
{
	if (shmem)
		up_shmem(&scene);
	else
		up(&scene, VM_SHARE);
	from = scene.g;
	to = fx_group(&fx, NULL, "to", 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(byte_at(scene.mm, va_of(i)) >= 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put_byte(scene.mm, va_of(i), 40 + (int)i), 0);
	assert_int_equal(fx_map(scene.mm, FX_BASE + LEAF_SPAN, 4), 0);
	fx_fill_run(&fx, scene.mm, FX_BASE + LEAF_SPAN, 4, 7);
	expect_stats(from, 8, 8, shmem ? 0 : 4, shmem ? 8 : 0, 4);
}

static void end_files(void)
{
	fx_audit(&fx, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(byte_at(scene.mm, va_of(i)), 40 + i);
	fx_check_run(&fx, scene.mm, FX_BASE + LEAF_SPAN, 4, 7);
}

/* Each bit of the mask is a kind; all counters of a page move with it. */
TEST(pages_of_files_go_if_they_are_asked_for)
{
	start_files(false);
	assert_int_equal(mm_move_group(scene.mm, to, MOVE_ANON), 0);
	expect_stats(from, 8, 8, 4, 0, 0);
	expect_stats(to, 0, 0, 0, 0, 4);
	fx_audit(&fx, 0);
	assert_int_equal(mm_move_group(scene.mm, from, MOVE_FILE), 0);
	expect_stats(from, 8, 8, 4, 0, 0);
	assert_int_equal(mm_move_group(scene.mm, to, MOVE_FILE), 0);
	expect_stats(from, 0, 0, 0, 0, 0);
	expect_stats(to, 8, 8, 4, 0, 4);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, 12, 12, 0);
	assert_int_equal(
		group_list_size(to, LRU_INACTIVE_FILE) + group_list_size(to, LRU_ACTIVE_FILE), 8);
	fx_audit(&fx, 0);
	assert_int_equal(filemap_writeback(scene.as, 0, PAGES), 0);
	expect_stats(to, 8, 8, 0, 0, 4);
	assert_int_equal(mm_move_group(scene.mm, from, MOVE_ANON | MOVE_FILE), 0);
	expect_stats(from, 8, 8, 0, 0, 4);
	assert_usage(to, 0, 0, 0);
	end_files();
}

TEST(pages_of_shared_memory_go_with_the_files)
{
	start_files(true);
	assert_int_equal(mm_move_group(scene.mm, to, MOVE_FILE), 0);
	expect_stats(from, 0, 0, 0, 0, 4);
	expect_stats(to, 8, 8, 0, 8, 0);
	fx_audit(&fx, 0);
	/* What is in swap belongs to the object, and stays. */
	assert_true(fx_reclaim(&fx, to, 8) >= 8);
	assert_int_equal(mm_move_group(scene.mm, from, MOVE_FILE), 0);
	assert_usage(to, 0, 8, 8);
	end_files();
}

/* Also mapped by another process, or unmapped: it does not move. */
TEST(pages_of_files_that_others_map_or_nobody_stay)
{
	struct mm *mm2;

	start_files(false);
	mm2 = fx_mm(&fx, from);
	assert_int_equal(file_mmap(mm2, OTHER, OTHER + PAGES * PAGE_SIZE, VM_SHARE, scene.as, 0),
			 0);
	assert_int_equal(byte_at(mm2, OTHER), 40);
	fx_discard(&fx, scene.mm, va_of(7), 1);
	assert_int_equal(mm_move_group(scene.mm, to, MOVE_FILE), 0);
	expect_stats(from, 2, 1, 1, 0, 4);
	expect_stats(to, 6, 6, 3, 0, 0);
	assert_usage(from, 6, 6, 0);
	fx_exit(&fx, mm2);
	end_files();
}

/* A page under writeback has a mark that is cleared when writeback ends: it stays, and the mark
 * with it. */
TEST(a_page_of_a_file_under_write_back_stays)
{
	start_files(false);
	mover = scene.mm;
	move_mask = MOVE_FILE;
	scene.t->during_write = move_meanwhile;
	assert_int_equal(filemap_writeback(scene.as, 0, 2), 0);
	expect_stats(from, 2, 2, 0, 0, 4);
	expect_stats(to, 6, 6, 2, 0, 0);
	end_files();
}

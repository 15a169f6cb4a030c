/* tests/engine_move_test.c - an address space changes its group: what goes with it, what stays, what is refused.
 *
 * Moving allocates nothing, so there is no allocation to fail: what can fail is the room in the new group.
 */
#include "mm/move.h"
#include "soft_fixture.h"

#define PAGES 600 /* across two leaves */

static struct soft_fixture fx;
static struct mem_cgroup *from, *to;

static struct mm *start(unsigned n)
{
	struct mm *mm;

	fx_up_nodes(&fx, SOFT_SHARED, 4096, 1024, 2);
	from = fx_group(&fx, NULL, "from", 0);
	to = fx_group(&fx, NULL, "to", 0);
	mm = fx_mm(&fx, from);
	assert_int_equal(fx_map(mm, FX_BASE, n), 0);
	fx_fill_run(&fx, mm, FX_BASE, n, 7);
	return mm;
}

static void end(struct mm *mm)
{
	fx_audit(&fx, 0);
	if (mm)
		fx_exit(&fx, mm);
	fx_ungroup(&fx, from);
	fx_ungroup(&fx, to);
	fx_down(&fx);
}

static void assert_usage(struct mem_cgroup *memcg, int64_t memory, int64_t memsw, int64_t swap)
{
	stock_drain(memcg);
	assert_int_equal(page_counter_read(&memcg->memory), memory);
	assert_int_equal(page_counter_read(&memcg->memsw), memsw);
	assert_int_equal(page_counter_read(&memcg->swap), swap);
}

/* Pages and slots: to the last one, with statistics and lists; the sums over both groups are what they were. */
TEST(pages_and_slots_go_with_their_address_space)
{
	struct mm *mm = start(PAGES);
	int64_t out = fx_reclaim(&fx, from, 100);

	assert_true(out >= 100);
	assert_usage(from, PAGES - out, PAGES, out);
	assert_int_equal(mm_move_group(mm, to, MOVE_ANON), 0);
	assert_usage(from, 0, 0, 0);
	assert_usage(to, PAGES - out, PAGES, out);
	assert_int_equal(stat_read(from, STAT_ANON), 0);
	assert_int_equal(stat_read(to, STAT_ANON), PAGES - out);
	assert_int_equal(group_list_size(from, LRU_INACTIVE_ANON) + group_list_size(from, LRU_ACTIVE_ANON), 0);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, PAGES, 7);
	assert_usage(from, 0, 0, 0);
	end(mm);
}

/* A page that waits in the swap cache to be written goes with its slot: the group pays once for both. */
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
	end(mm);
}

/* Without a mask the past stays: only what comes is charged to the new group. */
TEST(without_a_mask_only_new_pages_are_charged_to_the_new_group)
{
	struct mm *mm = start(8);

	assert_int_equal(mm_move_group(mm, to, 0), 0);
	assert_int_equal(fx_map(mm, FX_BASE + LEAF_SPAN, 4), 0);
	fx_fill_run(&fx, mm, FX_BASE + LEAF_SPAN, 4, 9);
	assert_usage(from, 8, 8, 0);
	assert_usage(to, 4, 4, 0);
	end(mm);
}

/* What another address space maps too is not this one's to take (4e0cf05f6059). */
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
	fx_exit(&fx, child);
	end(mm);
}

/* No room: nothing has changed, and nothing of what was charged ahead is left. */
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
	assert_int_equal(mm_move_group(mm, to, MOVE_FILE), -EOPNOTSUPP);
	end(mm);
}

/* A page that somebody has taken off its list stays; what was charged for it is given back. */
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
	end(mm);
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
	end(mm);
}

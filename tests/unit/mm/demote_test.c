/* tests/unit/mm/demote_test.c - demotion: reclaim of a node moves cold pages to the slower one
 * before it writes any out.
 *
 * Node 0 is fast and has the CPUs, node 1 is slow: node 0's cold pages go there.
 */
#include "mm/migrate.h"
#include "mm/node.h"
#include "soft_fixture.h"

#define FAST 0
#define SLOW 1

static struct soft_fixture fx;
static struct reclaim_result r;

static uint64_t page_va(unsigned i)
{
	return FX_BASE + i * PAGE_SIZE;
}

static void limit(unsigned node, int64_t frames)
{
	struct node_resize_result res;

	assert_int_equal(node_resize(&fx.e, node, frames, NODE_RESIZE_TRIES, &res), 0);
}

static void set_young(struct mm *mm, unsigned first, unsigned n, bool young)
{
	for (unsigned i = first; i < first + n; i++) {
		struct leaf *leaf = leaf_find(mm, page_va(i));
		pte_t pte = pte_read(leaf, page_va(i));

		spin_lock(&leaf->lock);
		if (pte_present(pte))
			pte_set(leaf, page_va(i),
				young ? pte | PTE_YOUNG : pte & ~(pte_t)PTE_YOUNG);
		spin_unlock(&leaf->lock);
	}
}

static unsigned count_on(struct mm *mm, unsigned n, unsigned node)
{
	unsigned on = 0;

	for (unsigned i = 0; i < n; i++) {
		pte_t pte = fx_pte(mm, page_va(i));

		on += pte_present(pte) && pfn_page(&fx.e, pte_pfn(pte))->node == node;
	}
	return on;
}

/* Two nodes of @fast and @slow frames; a space of @n cold pages, on the fast one as far as they
 * fit. */
static struct mm *start(int64_t fast, int64_t slow, unsigned n, struct mem_cgroup **memcg)
{
	static const struct fx_memory tiers = { .nr_nodes = 2, .demotion = { SLOW + 1 } };
	struct mm *mm;

	fx_up_memory(&fx, SOFT_SHARED, 4096, 512, &tiers);
	limit(FAST, fast);
	limit(SLOW, slow);
	*memcg = fx_group(&fx, NULL, "g", 0);
	mm = fx_mapped_mm(&fx, *memcg, n);
	fx_fill_run(&fx, mm, FX_BASE, n, 7);
	set_young(mm, 0, n, false);
	stock_drain(*memcg);
	return mm;
}

static int64_t demoted(struct mem_cgroup *memcg)
{
	return stat_read(memcg, STAT_PGDEMOTE_KSWAPD) + stat_read(memcg, STAT_PGDEMOTE_DIRECT);
}

/* The share of a node that is kept free, within bounds. */
TEST(the_margin_of_a_node_is_a_share_of_it_within_bounds)
{
	static const struct {
		int64_t max, margin;
	} t[] = {
		{ 0, 4 }, { 4, 4 }, { 256, 4 }, { 640, 10 }, { 32768, 512 }, { 1 << 20, 512 },
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(node_margin(t[i].max), t[i].margin);
}

/* A demotion target has no CPU: new pages go there only when the fast node is full. */
TEST(new_pages_come_to_the_fast_node_first)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(50, 100, 80, &memcg);

	assert_int_equal(fx.e.nr_cpu_nodes, 1);
	assert_true(count_on(mm, 80, FAST) >= 50 - FAULT_PAGES_MAX / 4);
	assert_int_equal(count_on(mm, 80, FAST) + count_on(mm, 80, SLOW), 80);
}

/* Cold pages go to the slow node: nothing is written, the group's charge is unchanged, the content
 * is there. */
TEST(reclaim_of_a_node_moves_cold_pages_to_the_slower_one)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(200, 200, 100, &memcg);
	int64_t memory = page_counter_read(&memcg->memory);

	reclaim_node(&fx.e, FAST, 30, RECLAIM_KSWAPD, &r);
	assert_true(r.demoted >= 30 && r.demoted < 100);
	assert_int_equal(r.reclaimed, 0);
	assert_int_equal(count_on(mm, 100, SLOW), r.demoted);
	assert_int_equal(stat_read(memcg, STAT_PGDEMOTE_KSWAPD), r.demoted);
	assert_int_equal(stat_read(memcg, STAT_PGDEMOTE_DIRECT), 0);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), r.demoted);
	assert_int_equal(stat_read(memcg, STAT_PGSTEAL), 0);
	assert_int_equal(stat_read(memcg, STAT_PGSCAN), stat_read(memcg, STAT_PGSCAN_KSWAPD));
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	stock_drain(memcg);
	assert_int_equal(page_counter_read(&memcg->memory), memory);
	fx_check_run(&fx, mm, FX_BASE, 100, 7);
}

/* Pages used since are left alone: they go to the active list. */
TEST(pages_in_use_are_not_demoted)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(200, 200, 60, &memcg);

	set_young(mm, 0, 40, true);
	reclaim_node(&fx.e, FAST, 60, 0, &r);
	assert_int_equal(r.demoted, 20);
	assert_int_equal(stat_read(memcg, STAT_PGDEMOTE_DIRECT), 20);
	assert_int_equal(count_on(mm, 40, FAST), 40);
	assert_int_equal(stat_read(memcg, STAT_PGACTIVATE), 40);
}

/* A full target is not tried; the rest goes to swap. */
TEST(when_the_slow_node_is_full_pages_go_to_swap)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(200, 10, 100, &memcg);

	reclaim_node(&fx.e, FAST, 100, 0, &r);
	assert_int_equal(r.demoted, 10);
	assert_int_equal(demoted(memcg), 10);
	assert_int_equal(r.reclaimed, 90);
	assert_int_equal(stat_read(memcg, STAT_PGSTEAL), 90);
	assert_int_equal(count_on(mm, 100, SLOW), 10);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 7);
}

/* It works without swap too, as long as the target has room; then it ends. */
TEST(demotion_needs_no_swap)
{
	static const struct fx_memory tiers = { .nr_nodes = 2, .demotion = { SLOW + 1 } };
	struct mem_cgroup *memcg;
	struct mm *mm;

	fx_up_memory(&fx, SOFT_SHARED, 4096, 0, &tiers);
	limit(FAST, 100);
	limit(SLOW, 30);
	memcg = fx_group(&fx, NULL, "g", 0);
	mm = fx_mapped_mm(&fx, memcg, 60);
	fx_fill_run(&fx, mm, FX_BASE, 60, 7);
	set_young(mm, 0, 60, false);
	reclaim_node(&fx.e, FAST, 60, 0, &r);
	assert_int_equal(r.demoted, 30);
	assert_int_equal(r.reclaimed, 0);
	assert_int_equal(event_read(memcg, EVENT_SWAP_FAIL), 0);
	fx_check_run(&fx, mm, FX_BASE, 60, 7);
}

/* A demoted page stays charged: only swap helps a group at its limit. */
TEST(reclaim_of_a_group_does_not_demote)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(200, 200, 60, &memcg);

	int64_t freed = fx_reclaim(&fx, memcg, 30);

	assert_true(freed >= 30);
	assert_int_equal(demoted(memcg) + stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 0);
	assert_int_equal(stat_read(memcg, STAT_PGSTEAL), freed);
	assert_int_equal(count_on(mm, 60, SLOW), 0);
}

/* A protected group's pages stay on the fast node. */
TEST(protected_pages_are_not_demoted)
{
	struct mem_cgroup *memcg, *safe;
	struct mm *kept;

	start(300, 300, 60, &memcg);
	safe = fx_group(&fx, NULL, "safe", 0);
	a64_store(&safe->min, 40);
	kept = fx_mapped_mm(&fx, safe, 40);
	fx_fill_run(&fx, kept, FX_BASE, 40, 9);
	set_young(kept, 0, 40, false);
	stock_drain(safe);
	reclaim_node(&fx.e, FAST, 100, 0, &r);
	assert_int_equal(r.demoted, 60);
	assert_int_equal(count_on(kept, 40, FAST), 40);
	assert_int_equal(demoted(safe), 0);
}

/* The page has an extra reference: counted as a failure, once. */
TEST(a_pinned_page_is_neither_demoted_nor_lost)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(100, 100, 20, &memcg);
	struct page *p = pfn_page(&fx.e, pte_pfn(fx_pte(mm, page_va(3))));

	page_get(p);
	reclaim_node(&fx.e, FAST, 20, 0, &r);
	assert_int_equal(r.demoted, 19);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 19);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_FAIL), 1);
	page_put(&fx.e, p);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 20, 7);
}

/* Background reclaim keeps a margin of the fast node free for new pages. */
TEST(kswapd_keeps_frames_free_on_the_fast_node)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(320, 2000, 400, &memcg);

	assert_true(frames_wanted(&fx.e, FAST) > 0);
	assert_int_equal(frames_wanted(&fx.e, SLOW), 0);
	assert_int_equal(engine_start(&fx.e), 0);
	WAIT_UNTIL(frames_wanted(&fx.e, FAST) == 0);
	engine_stop(&fx.e);
	assert_int_equal(frames_wanted(&fx.e, FAST), 0);
	assert_true(stat_read(memcg, STAT_PGDEMOTE_KSWAPD) >= node_margin(320));
	assert_int_equal(stat_read(memcg, STAT_PGDEMOTE_DIRECT), 0);
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	fx_check_run(&fx, mm, FX_BASE, 400, 7);
}

/* A fault that finds every node full makes room itself: three times the memory goes through. */
TEST(faults_on_full_nodes_make_room)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(40, 60, 300, &memcg);

	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 300, 7);
	assert_true(a64_load(&mm->rss) <= 100);
	assert_true(stat_read(memcg, STAT_PGSTEAL_DIRECT) >= 200);
}

/* A request for frames of the full fast node gets them: cold pages there make way. */
TEST(a_move_to_the_full_fast_node_demotes_what_is_cold_there)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(50, 200, 100, &memcg);
	struct migrate_result mr;
	unsigned on_slow;

	limit(FAST, count_on(mm, 100, FAST));
	assert_int_equal(frames_room(&fx.e, FAST), 0);
	on_slow = count_on(mm, 100, SLOW);
	assert_true(on_slow >= 50);
	assert_int_equal(migrate_range(mm, page_va(90), page_va(100), FAST, MIGRATE_SYSCALL, &mr),
			 0);
	assert_int_equal(mr.migrated, 10);
	assert_int_equal(stat_read(memcg, STAT_PGDEMOTE_DIRECT),
			 count_on(mm, 100, SLOW) - on_slow + 10);
	assert_true(stat_read(memcg, STAT_PGDEMOTE_DIRECT) > 0);
	assert_true(stat_read(memcg, STAT_PGMIGRATE_SUCCESS) >=
		    10 + stat_read(memcg, STAT_PGDEMOTE_DIRECT));
	fx_check_run(&fx, mm, FX_BASE, 100, 7);
}

/* The nth allocation fails, for every n: what was not moved is written out or stays; nothing is
 * lost. */
TEST(whatever_allocation_fails_no_page_is_lost)
{
	/* 0: there is no memory at all on the slow node. */
	for (unsigned long n = 0; n < 60; n++) {
		struct mem_cgroup *memcg;
		struct mm *mm = start(100, 100, 20, &memcg);

		fault_arm(FAULT_ALLOC, n);
		a32_store(&fx.soft.inject.no_frames, n == 0);
		reclaim_node(&fx.e, FAST, 20, 0, &r);
		a32_store(&fx.soft.inject.no_frames, 0);
		fault_arm(FAULT_ALLOC, 0);
		assert_int_equal(r.demoted, stat_read(memcg, STAT_PGDEMOTE_DIRECT));
		assert_int_equal(r.demoted, stat_read(memcg, STAT_PGMIGRATE_SUCCESS));
		assert_int_equal(a64_load(&mm->rss) + a64_load(&mm->swapents), 20);
		assert_int_equal(r.demoted, n == 0 ? 0 : 20 - r.reclaimed);
		assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_FAIL), n == 0 ? 20 : r.reclaimed);
		fx_audit(&fx, 0);
		fx_check_run(&fx, mm, FX_BASE, 20, 7);
		fx_down(&fx);
	}
	assert_int_equal(r.demoted, 20);
}

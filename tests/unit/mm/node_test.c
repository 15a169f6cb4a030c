/* tests/unit/mm/node_test.c - memory nodes: resizing of their frames while they are in use.
 *
 * A fresh node of @n frames has its first chunk of records from pfn 0 on; frames are handed out
 * lowest first. So the pages touched first are below a lowered end, and those touched last are
 * above.
 */
#include "file_scene.h"
#include "mm/migrate.h"
#include "mm/node.h"

static struct node_resize_result res;

static uint64_t page_va(unsigned i)
{
	return FX_BASE + i * PAGE_SIZE;
}

static struct page *page_of(struct mm *mm, unsigned i)
{
	pte_t pte = fx_pte(mm, page_va(i));

	assert_true(pte_present(pte));
	return pfn_page(&fx.e, pte_pfn(pte));
}

static int resize(unsigned node, int64_t nr)
{
	return node_resize(&fx.e, node, nr, NODE_RESIZE_TRIES, &res);
}

/* An engine whose node 0 has @frames frames, and a space of @n pages in them. */
static struct mm *start(const struct fx_memory *memory, enum soft_kind kind, int64_t frames,
			unsigned n, struct mem_cgroup **memcg)
{
	struct mm *mm;

	fx_up_memory(&fx, kind, 4096, 512, memory);
	assert_int_equal(resize(0, frames), 0);
	assert_int_equal(res.frames, frames);
	*memcg = fx_group(&fx, NULL, "g", 0);
	mm = fx_mapped_mm(&fx, *memcg, n);
	fx_fill_run(&fx, mm, FX_BASE, n, 7);
	fx_audit(&fx, 0);
	return mm;
}

static const struct fx_memory one = { .nr_nodes = 1 };

static int64_t free_on(unsigned node)
{
	return fx.e.node[node].nr_free;
}

/* ---- distances ---- */

/* The nearest node first; of two equally near, the next in cyclic order. */
TEST(the_order_of_nodes_follows_their_distances)
{
	static const struct fx_memory four = {
		.nr_nodes = 4,
		.distance = { { 10, 40, 20, 20 }, { 0 }, { 30, 30, 0, 31 }, { 50, 10, 30, 10 } },
	};
	static const uint8_t order[4][4] = {
		{ 0, 2, 3, 1 }, { 1, 2, 3, 0 }, { 2, 0, 1, 3 }, { 3, 1, 2, 0 }
	};

	fx_up_memory(&fx, SOFT_SHARED, 4096, 8, &four);
	for (unsigned node = 0; node < 4; node++)
		assert_memory_equal(fx.e.node[node].order, order[node], 4);
	assert_int_equal(fx.e.nr_cpu_nodes, 4);
}

/* A node without room passes the allocation on to the nearest one with room. */
TEST(frames_come_from_the_nearest_node_that_has_them)
{
	static const struct fx_memory far = { .nr_nodes = 3,
					      .distance = { { 10, 40, 20 } },
					      .demotion = { 2, 3, 0 } };
	struct page *pages[24];

	fx_up_memory(&fx, SOFT_SHARED, 4096, 8, &far);
	assert_int_equal(fx.e.nr_cpu_nodes, 1);
	assert_int_equal(resize(0, 8), 0);
	assert_int_equal(resize(2, 8), 0);
	for (unsigned i = 0; i < 24; i++) {
		assert_int_equal(frames_alloc(&fx.e, &pages[i], 1), 0);
		assert_int_equal(pages[i]->node, i < 8 ? 0 : i < 16 ? 2 : 1);
	}
	assert_int_equal(frames_alloc_node(&fx.e, 0, pages, 1), -ENOSPC);
	for (unsigned i = 0; i < 24; i++)
		page_put(&fx.e, pages[i]);
}

/* ---- resizing ---- */

/* Unused frames go offline and online at once; offline frames are never handed out. */
TEST(an_unused_pool_shrinks_and_grows)
{
	struct page *pages[100];

	fx_up(&fx, SOFT_SHARED, 4096, 8);
	assert_int_equal(frames_alloc(&fx.e, pages, 1), 0);
	page_put(&fx.e, pages[0]);
	assert_int_equal(resize(0, 100), 0);
	assert_int_equal(res.taken, FRAME_CHUNK - 100);
	assert_int_equal(free_on(0), 100);
	assert_int_equal(frames_room(&fx.e, 0), 100);
	fx_audit(&fx, 0);
	assert_int_equal(frames_alloc(&fx.e, pages, 100), 0);
	assert_int_equal(frames_alloc(&fx.e, pages, 1), -ENOSPC);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(pages[i]->pfn < 100);
		page_put(&fx.e, pages[i]);
	}
	assert_int_equal(resize(0, 0), 0);
	assert_int_equal(res.taken, 100);
	assert_int_equal(frames_alloc(&fx.e, pages, 1), -ENOSPC);
	fx_audit(&fx, 0);
	assert_int_equal(resize(0, 2500), 0);
	assert_int_equal(res.given, FRAME_CHUNK);
	assert_int_equal(frames_room(&fx.e, 0), 2500);
	fx_audit(&fx, 0);
	/* The rest is made on demand, and the last chunk is cut. */
	assert_int_equal(frames_alloc_node(&fx.e, 0, pages, 100), 0);
	for (unsigned i = 0; i < 100; i++)
		page_put(&fx.e, pages[i]);
	assert_int_equal(resize(0, 1 << 20), 0);
	assert_int_equal(res.frames, 4096);
}

/* Chunks of several nodes alternate: the end of one skips the other's. */
TEST(nodes_whose_frames_alternate_are_resized_apart)
{
	static struct page *pages[4 * FRAME_CHUNK];
	unsigned n = 0;

	fx_up_nodes(&fx, SOFT_SHARED, 4 * FRAME_CHUNK, 8, 2);
	for (unsigned i = 0; i < 4; i++, n += FRAME_CHUNK)
		assert_int_equal(frames_alloc_node(&fx.e, i % 2, pages + n, FRAME_CHUNK), 0);
	while (n > 0)
		page_put(&fx.e, pages[--n]);
	assert_int_equal(resize(0, FRAME_CHUNK + 5), 0);
	assert_int_equal(fx.e.node[0].end, 2 * FRAME_CHUNK + 5);
	assert_int_equal(resize(1, 3), 0);
	assert_int_equal(fx.e.node[1].end, FRAME_CHUNK + 3);
	assert_int_equal(res.taken, 2 * FRAME_CHUNK - 3);
	fx_audit(&fx, 0);
	assert_int_equal(resize(1, FRAME_CHUNK + 1), 0);
	assert_int_equal(fx.e.node[1].end, 3 * FRAME_CHUNK + 1);
	assert_int_equal(res.given, FRAME_CHUNK - 2);
	assert_int_equal(free_on(0), FRAME_CHUNK + 5);
	assert_int_equal(free_on(1), FRAME_CHUNK + 1);
}

/* Pages in frames that go offline move to free ones of the node; nothing is written out, nobody is
 * charged for it. */
TEST(a_pool_that_shrinks_is_compacted)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 200, 150, &memcg);
	int64_t memory = page_counter_read(&memcg->memory);

	fx_discard(&fx, mm, FX_BASE, 70);
	assert_int_equal(page_of(mm, 149)->pfn, 149);
	assert_int_equal(resize(0, 90), 0);
	assert_int_equal(res.frames, 90);
	assert_int_equal(res.taken, 110);
	assert_int_equal(res.compacted, 60);
	assert_int_equal(res.demoted + res.reclaimed + res.busy, 0);
	for (unsigned i = 70; i < 150; i++)
		assert_true(page_of(mm, i)->pfn < 90);
	assert_int_equal(free_on(0), 10);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 60);
	assert_int_equal(
		stat_read(memcg, STAT_PGDEMOTE_DIRECT) + stat_read(memcg, STAT_PGDEMOTE_KSWAPD), 0);
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	stock_drain(memcg);
	assert_true(page_counter_read(&memcg->memory) <= memory);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, page_va(70), 80, 7);
}

/* Without room on the node they go to the nearest other node with room, then to the next. */
TEST(what_has_no_room_goes_to_the_nearest_node)
{
	static const struct fx_memory far = { .nr_nodes = 3,
					      .distance = { { 10, 40, 20 } },
					      .demotion = { 2, 3, 0 } };
	struct mem_cgroup *memcg;
	struct mm *mm = start(&far, SOFT_SHARED, 100, 90, &memcg);
	unsigned on[3] = { 0 };

	assert_int_equal(resize(2, 30), 0);
	assert_int_equal(resize(0, 20), 0);
	for (unsigned i = 0; i < 90; i++)
		on[page_of(mm, i)->node]++;
	assert_int_equal(on[0], 20);
	assert_int_equal(on[2], 30);
	assert_int_equal(on[1], 40);
	assert_int_equal(res.demoted, 70);
	assert_int_equal(res.compacted + res.reclaimed, 0);
	fx_check_run(&fx, mm, FX_BASE, 90, 7);
}

/* When no node has room they go to swap, recently used or not; and come back while hardly a frame
 * is left. */
TEST(what_has_no_room_anywhere_goes_out)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 100, 100, &memcg);

	assert_int_equal(node_resize(&fx.e, 0, 40, 1, &res), 0);
	assert_int_equal(res.reclaimed, 60);
	assert_int_equal(res.compacted + res.demoted, 0);
	assert_int_equal(a64_load(&mm->rss), 40);
	assert_int_equal(a64_load(&mm->swapents), 60);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 7);
	assert_true(a64_load(&mm->rss) <= 40);
}

/* An MMU that does not share pages cannot move them, but swaps them out. */
TEST(exclusive_memory_shrinks_through_swap)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_EXCLUSIVE, 200, 100, &memcg);

	assert_int_equal(resize(0, 60), 0);
	assert_int_equal(res.taken, 140);
	assert_int_equal(res.reclaimed, 40);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS) +
				 stat_read(memcg, STAT_PGMIGRATE_FAIL),
			 0);
	fx_audit(&fx, 0);
	assert_int_equal(resize(0, 200), 0);
	fx_check_run(&fx, mm, FX_BASE, 100, 7);
}

/* Locked pages may be moved, but not swapped out. */
TEST(locked_pages_are_moved_and_never_taken_out)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 64, 30, &memcg);

	fx_discard(&fx, mm, FX_BASE, 10);
	assert_int_equal(fx_mlock(mm, page_va(10), 20), 0);
	assert_int_equal(resize(0, 20), 0);
	assert_int_equal(res.compacted, 10);
	fx_audit(&fx, 0);
	assert_int_equal(resize(0, 15), -EBUSY);
	assert_int_equal(res.busy, 5);
	assert_int_equal(res.taken, 0);
	assert_int_equal(a64_load(&mm->rss), 20);
	assert_int_equal(fx_munlock(mm, page_va(10), 20), 0);
	fx_check_run(&fx, mm, page_va(10), 20, 7);
}

/* Pages of a file, dirty ones too, and of shared memory. */
TEST(pages_of_files_move_or_are_written)
{
	struct scene s;
	unsigned below = 0;

	up(&s, FX_RW | VM_SHARED);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(put_byte(s.mm, FX_BASE + i * PAGE_SIZE, 100 + (int)i % 100), 0);
	assert_int_equal(resize(0, PAGES / 2), 0);
	assert_int_equal(res.reclaimed, PAGES / 2);
	fx_audit(&fx, 0);
	assert_int_equal(resize(0, 2 * PAGES), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(s.mm, FX_BASE + i * PAGE_SIZE), 100 + (int)i % 100);
	fx_discard(&fx, s.mm, FX_BASE, PAGES);
	assert_int_equal(filemap_writeback(s.as, 0, PAGES), 0);
	assert_int_equal(filemap_invalidate(s.as, 0, PAGES / 2), 0);
	assert_int_equal(resize(0, PAGES), 0);
	for (unsigned i = PAGES / 2; i < PAGES; i++) {
		uint32_t entry;
		struct page *p = filemap_lookup(s.as, i, &entry);

		assert_non_null(p);
		below += p->pfn < fx.e.node[0].end;
		page_put(&fx.e, p);
	}
	assert_int_equal(below, PAGES / 2);
}

/* ---- what stays ---- */

/* A pinned page stays in place, and the pool ends behind it: as far as it came. */
TEST(a_pinned_page_ends_the_shrinking_behind_it)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 100, 60, &memcg);
	struct page *p = page_of(mm, 49);

	fx_discard(&fx, mm, FX_BASE, 20);
	page_get(p);
	assert_int_equal(node_resize(&fx.e, 0, 40, 3, &res), -EBUSY);
	assert_int_equal(res.busy, 1);
	assert_int_equal(res.frames, p->pfn + 1);
	assert_int_equal(res.taken, 100 - (p->pfn + 1));
	assert_int_equal(res.compacted, 19);
	assert_ptr_equal(page_of(mm, 49), p);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_SUCCESS), 19);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_FAIL), 3);
	page_put(&fx.e, p);
	fx_audit(&fx, 0);
	assert_int_equal(resize(0, 40), 0);
	assert_int_equal(res.compacted, 1);
	assert_int_equal(stat_read(memcg, STAT_PGMIGRATE_FAIL), 3);
	fx_check_run(&fx, mm, page_va(20), 40, 7);
}

static struct page *held;
static atomic32_t holds;

/* Until a move of it has failed. */
static void hold_lock(void *memcg)
{
	page_lock(held);
	a32_store(&holds, 1);
	while (stat_read(memcg, STAT_PGMIGRATE_FAIL) == 0)
		plat_sleep_ns(100000);
	page_unlock(&fx.e, held);
	page_put(&fx.e, held);
}

/* A page that is locked at the first look is taken later. */
TEST(what_is_busy_for_a_while_is_tried_again)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 100, 50, &memcg);
	struct plat_thread t;

	fx_discard(&fx, mm, FX_BASE, 25);
	held = page_of(mm, 40);
	page_get(held);
	a32_store(&holds, 0);
	assert_int_equal(plat_thread_start(&t, "holder", hold_lock, memcg), 0);
	while (!a32_load(&holds))
		plat_sleep_ns(100000);
	assert_int_equal(node_resize(&fx.e, 0, 25, 4000, &res), 0);
	plat_thread_join(&t);
	assert_int_equal(res.compacted, 25);
	assert_true(stat_read(memcg, STAT_PGMIGRATE_FAIL) >= 1);
	fx_check_run(&fx, mm, page_va(25), 25, 7);
}

static int nested;

static void resize_again(void *arg)
{
	struct node_resize_result r;

	(void)arg;
	nested = node_resize(&fx.e, 0, 10, 1, &r);
}

/* Only one resize at a time; and there is no node beyond the last. */
TEST(a_second_resize_and_an_unknown_node_are_refused)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 60, 50, &memcg);

	nested = 0;
	fx.store->during_write = resize_again;
	assert_int_equal(resize(0, 30), 0);
	assert_int_equal(nested, -EALREADY);
	assert_int_equal(resize(1, 30), -EINVAL);
	assert_int_equal(resize(0, -1), 0);
	assert_int_equal(res.frames, 0);
	assert_int_equal(a64_load(&mm->rss), 0);
	assert_int_equal(resize(0, 60), 0);
	fx_check_run(&fx, mm, FX_BASE, 50, 7);
}

/* Swap refuses a page: it stays, and the pool with it. */
TEST(what_cannot_be_written_stays)
{
	struct mem_cgroup *memcg;
	struct mm *mm = start(&one, SOFT_SHARED, 40, 40, &memcg);

	a32_store(&fx.store->write_errno, EIO);
	assert_int_equal(resize(0, 20), -EBUSY);
	a32_store(&fx.store->write_errno, 0);
	assert_int_equal(res.taken, 0);
	assert_int_equal(res.busy, 20);
	fx_audit(&fx, 0);
	fx_check_run(&fx, mm, FX_BASE, 40, 7);
	assert_int_equal(resize(0, 20), 0);
	assert_int_equal(res.taken, 20);
	assert_int_equal(resize(0, 40), 0);
	fx_check_run(&fx, mm, FX_BASE, 40, 7);
}

/* The nth allocation fails, for every n: what could not be moved is in its old place, and the pool
 * is intact. */
TEST(whatever_allocation_fails_the_pool_is_in_one_piece)
{
	/* 0: there is no memory at all. */
	for (unsigned long n = 0; n < 40; n++) {
		struct mem_cgroup *memcg;
		struct mm *mm = start(&one, SOFT_SHARED, 64, 32, &memcg);
		int err;

		fx_discard(&fx, mm, FX_BASE, 16);
		fault_arm(FAULT_ALLOC, n);
		a32_store(&fx.soft.inject.no_frames, n == 0);
		err = node_resize(&fx.e, 0, 16, 1, &res);
		a32_store(&fx.soft.inject.no_frames, 0);
		fault_arm(FAULT_ALLOC, 0);
		assert_true(n == 0 ? err == -EBUSY && res.busy == 16
				   : err == 0 || (err == -EBUSY && res.busy > 0));
		assert_int_equal(res.compacted, 16 - res.busy);
		assert_int_equal(res.taken, 64 - res.frames);
		fx_audit(&fx, 0);
		fx_check_run(&fx, mm, page_va(16), 16, 7);
		assert_int_equal(resize(0, 16), 0);
		fx_down(&fx);
	}
}

/* ---- statistics ---- */

/* Each page is counted to the group that owns it and to all its ancestors. */
TEST(moves_are_counted_to_the_owner_and_its_parents)
{
	struct mem_cgroup *top, *a, *b;
	struct mm *ma, *mb;

	fx_up(&fx, SOFT_SHARED, 1024, 64);
	top = fx_group(&fx, NULL, "top", 0);
	a = fx_group(&fx, top, "a", 0);
	b = fx_group(&fx, top, "b", 0);
	ma = fx_mm(&fx, a);
	mb = fx_mm(&fx, b);
	assert_int_equal(fx_map(ma, FX_BASE, 30), 0);
	assert_int_equal(fx_map(mb, FX_BASE, 20), 0);
	fx_fill_run(&fx, ma, FX_BASE, 30, 1);
	fx_fill_run(&fx, mb, FX_BASE, 20, 2);
	fx_discard(&fx, ma, FX_BASE, 25);
	assert_int_equal(resize(0, 25), 0);
	assert_int_equal(res.compacted, 25);
	assert_int_equal(stat_read_local(a, STAT_PGMIGRATE_SUCCESS), 5);
	assert_int_equal(stat_read_local(b, STAT_PGMIGRATE_SUCCESS), 20);
	assert_int_equal(stat_read_local(top, STAT_PGMIGRATE_SUCCESS), 0);
	assert_int_equal(stat_read(top, STAT_PGMIGRATE_SUCCESS), 25);
	fx_exit(&fx, mb);
	fx_ungroup(&fx, b);
	rcu_flush();
	assert_int_equal(stat_read_local(top, STAT_PGMIGRATE_SUCCESS), 20);
	assert_int_equal(stat_read(fx.e.tree.root, STAT_PGMIGRATE_SUCCESS), 25);
}

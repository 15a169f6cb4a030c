/* tests/unit/memcg/stock_test.c - precharged pages: they are counted once, and found again. */
#include "memcg/tree.h"
#include "test.h"

struct world {
	struct memcg_tree tree;
	struct mem_cgroup *a, *b; /* b is a's child */
};

static void world_init(struct world *w)
{
	int err;

	assert_int_equal(memcg_tree_init(&w->tree), 0);
	w->a = memcg_create(w->tree.root, "a", &err);
	assert_non_null(w->a);
	w->b = memcg_create(w->a, "b", &err);
	assert_non_null(w->b);
}

static void world_fini(struct world *w)
{
	struct mem_cgroup *order[] = { w->b, w->a };

	for (int i = 0; i < 2; i++) {
		if (!memcg_is_offline(order[i])) {
			assert_int_equal(memcg_offline(order[i]), 0);
			memcg_release(order[i]);
		}
		memcg_put(order[i]);
	}
	stock_drain(w->tree.root);
	assert_int_equal(page_counter_read(&w->tree.root->memory), 0);
	assert_int_equal(page_counter_read(&w->tree.root->memsw), 0);
	memcg_tree_fini(&w->tree);
}

static void charge(struct mem_cgroup *memcg, int64_t n)
{
	page_counter_charge(&memcg->memsw, n);
	page_counter_charge(&memcg->memory, n);
}

static void assert_charged(struct mem_cgroup *memcg, int64_t n)
{
	assert_int_equal(page_counter_read(&memcg->memory), n);
	assert_int_equal(page_counter_read(&memcg->memsw), n);
}

TEST(a_stock_gives_what_it_holds_and_no_more)
{
	struct world w;

	world_init(&w);
	assert_false(stock_consume(w.b, 1));
	charge(w.b, 10);
	stock_refill(w.b, 10);
	assert_int_equal(stock_read(w.b), 10);
	assert_false(stock_consume(w.b, 11));
	assert_true(stock_consume(w.b, 7));
	assert_true(stock_consume(w.b, 3));
	assert_false(stock_consume(w.b, 1));
	assert_charged(w.b, 10); /* consumed pages stay charged, now to the consumer */
	stock_refill(w.b, 10);
	world_fini(&w);
}

TEST(a_stock_belongs_to_one_group)
{
	struct world w;

	world_init(&w);
	charge(w.a, 5);
	stock_refill(w.a, 5);
	assert_false(stock_consume(w.b, 1));
	assert_false(stock_consume(w.tree.root, 1));
	world_fini(&w);
}

TEST(what_does_not_fit_is_uncharged)
{
	struct world w;

	world_init(&w);
	charge(w.b, STOCK_BATCH + 1);
	stock_refill(w.b, STOCK_BATCH);
	assert_int_equal(stock_read(w.b), STOCK_BATCH);
	assert_charged(w.b, STOCK_BATCH + 1);
	stock_refill(w.b, 1);
	assert_int_equal(stock_read(w.b), STOCK_BATCH / 2);
	assert_charged(w.b, STOCK_BATCH / 2);
	charge(w.b, 1000);
	stock_refill(w.b, 1000);
	assert_charged(w.tree.root, stock_read(w.b));
	assert_true(stock_read(w.b) <= STOCK_BATCH);
	world_fini(&w);
}

TEST(a_drain_gives_back_the_stock_of_the_group_or_of_its_subtree)
{
	struct world w;

	world_init(&w);
	charge(w.a, 3);
	stock_refill(w.a, 3);
	charge(w.b, 4);
	stock_refill(w.b, 4);
	assert_int_equal(stock_drain(w.a), 3);
	assert_charged(w.a, 4);
	charge(w.a, 2);
	stock_refill(w.a, 2);
	assert_int_equal(stock_drain_tree(w.a), 6);
	assert_charged(w.tree.root, 0);
	assert_int_equal(stock_drain_tree(w.tree.root), 0);
	world_fini(&w);
}

/* The removal protocol: a late refill does not stay. */
TEST(a_removed_group_keeps_no_stock)
{
	struct world w;

	world_init(&w);
	charge(w.b, 9);
	stock_refill(w.b, 5);
	assert_int_equal(memcg_offline(w.b), 0);
	assert_int_equal(stock_read(w.b), 5);
	memcg_release(w.b);
	assert_int_equal(stock_read(w.b), 0);
	assert_charged(w.a, 4);
	stock_refill(w.b, 4);
	assert_int_equal(stock_read(w.b), 0);
	assert_charged(w.a, 0);
	world_fini(&w);
}

TEST(an_uncharge_through_a_handle_fills_the_stock_of_whoever_owns_it_now)
{
	struct world w;
	struct memcg_handle *h;

	world_init(&w);
	h = w.b->handle;
	charge(w.b, 8);
	handle_uncharge(h, 3);
	assert_int_equal(stock_read(w.b), 3);
	assert_int_equal(memcg_offline(w.b), 0);
	memcg_release(w.b);
	handle_uncharge(h, 5); /* b's own reference keeps the handle */
	assert_int_equal(stock_read(w.a), 5);
	assert_charged(w.a, 5);
	world_fini(&w);
}

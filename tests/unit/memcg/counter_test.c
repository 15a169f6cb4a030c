/* tests/unit/memcg/counter_test.c - page counters: what is charged, which level is full, what is
 * left. */
#include "memcg/counter.h"
#include "test.h"

/* root <- mid <- leaf, where every test here starts. */
struct chain {
	struct page_counter root, mid, leaf;
};

static void chain_init(struct chain *c)
{
	page_counter_init(&c->root, NULL);
	page_counter_init(&c->mid, &c->root);
	page_counter_init(&c->leaf, &c->mid);
}

static void assert_usage(struct chain *c, int64_t root, int64_t mid, int64_t leaf)
{
	assert_int_equal(page_counter_read(&c->root), root);
	assert_int_equal(page_counter_read(&c->mid), mid);
	assert_int_equal(page_counter_read(&c->leaf), leaf);
}

TEST(a_charge_counts_at_every_level_and_an_uncharge_takes_it_back)
{
	struct chain c;

	chain_init(&c);
	assert_true(page_counter_try_charge(&c.leaf, 5, NULL));
	assert_true(page_counter_try_charge(&c.mid, 2, NULL));
	assert_usage(&c, 7, 7, 5);
	page_counter_uncharge(&c.leaf, 5);
	assert_usage(&c, 2, 2, 0);
	page_counter_uncharge(&c.mid, 2);
	assert_usage(&c, 0, 0, 0);
}

TEST(a_charge_may_reach_max_and_not_exceed_it)
{
	struct chain c;

	chain_init(&c);
	page_counter_force_max(&c.leaf, 3);
	assert_true(page_counter_try_charge(&c.leaf, 3, NULL));
	assert_false(page_counter_try_charge(&c.leaf, 1, NULL));
	assert_usage(&c, 3, 3, 3);
}

/* Whichever level is full, nothing stays charged anywhere, and only that level counts a failure. */
TEST(a_charge_that_fails_names_the_full_level_and_leaves_nothing)
{
	for (int full = 0; full < 3; full++) {
		struct chain c;
		struct page_counter *level[3], *fail = NULL;

		chain_init(&c);
		level[0] = &c.root, level[1] = &c.mid, level[2] = &c.leaf;
		page_counter_force_max(level[full], 3);
		assert_true(page_counter_try_charge(&c.leaf, 2, &fail));
		assert_null(fail);
		assert_false(page_counter_try_charge(&c.leaf, 2, &fail));
		assert_ptr_equal(fail, level[full]);
		assert_usage(&c, 2, 2, 2);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(a64_load(&level[i]->failcnt), i == full);
			assert_int_equal(a64_load(&level[i]->watermark), 2);
		}
	}
}

TEST(the_watermark_is_the_largest_usage_and_stays)
{
	struct chain c;

	chain_init(&c);
	assert_true(page_counter_try_charge(&c.leaf, 4, NULL));
	page_counter_uncharge(&c.leaf, 3);
	assert_true(page_counter_try_charge(&c.leaf, 2, NULL));
	assert_true(page_counter_try_charge(&c.mid, 7, NULL));
	assert_int_equal(a64_load(&c.leaf.watermark), 4);
	assert_int_equal(a64_load(&c.mid.watermark), 10);
	assert_int_equal(a64_load(&c.root.watermark), 10);
}

TEST(a_forced_charge_exceeds_max)
{
	struct chain c;

	chain_init(&c);
	page_counter_force_max(&c.mid, 1);
	page_counter_charge(&c.leaf, 5);
	assert_usage(&c, 5, 5, 5);
	assert_int_equal(a64_load(&c.mid.watermark), 5);
	assert_int_equal(a64_load(&c.mid.failcnt), 0);
	assert_false(page_counter_try_charge(&c.leaf, 1, NULL));
}

TEST(set_max_below_usage_is_refused_and_the_old_max_stays)
{
	struct chain c;

	chain_init(&c);
	assert_int_equal(page_counter_set_max(&c.leaf, 10), 0);
	assert_true(page_counter_try_charge(&c.leaf, 6, NULL));
	assert_int_equal(page_counter_set_max(&c.leaf, 5), -EBUSY);
	assert_int_equal(a64_load(&c.leaf.max), 10);
	assert_int_equal(page_counter_set_max(&c.leaf, 6), 0);
	assert_int_equal(a64_load(&c.leaf.max), 6);
	assert_int_equal(page_counter_set_max(&c.leaf, PAGE_COUNTER_MAX), 0);
}

TEST(force_max_below_usage_stops_further_charges)
{
	struct chain c;

	chain_init(&c);
	assert_true(page_counter_try_charge(&c.leaf, 6, NULL));
	page_counter_force_max(&c.leaf, 2);
	assert_false(page_counter_try_charge(&c.leaf, 1, NULL));
	page_counter_uncharge(&c.leaf, 5);
	assert_true(page_counter_try_charge(&c.leaf, 1, NULL));
	assert_usage(&c, 2, 2, 2);
}

TEST(the_margin_is_the_smallest_of_the_chain_and_never_negative)
{
	struct chain c;

	chain_init(&c);
	assert_int_equal(page_counter_margin(&c.leaf), PAGE_COUNTER_MAX);
	page_counter_force_max(&c.leaf, 8);
	page_counter_force_max(&c.root, 10);
	assert_true(page_counter_try_charge(&c.leaf, 3, NULL));
	assert_int_equal(page_counter_margin(&c.leaf), 5);
	assert_true(page_counter_try_charge(&c.mid, 6, NULL));
	assert_int_equal(page_counter_margin(&c.leaf), 1);
	page_counter_charge(&c.mid, 4);
	assert_int_equal(page_counter_margin(&c.leaf), 0);
}

static void uncharge_too_much(void)
{
	struct chain c;

	chain_init(&c);
	page_counter_charge(&c.leaf, 1);
	page_counter_uncharge(&c.leaf, 2);
}

TEST(an_uncharge_below_zero_stops_the_program)
{
	test_expect_abort(uncharge_too_much, "usage < 0");
}

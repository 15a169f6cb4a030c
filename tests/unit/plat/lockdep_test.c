/* tests/unit/plat/lockdep_test.c - a lock taken out of order aborts a debug build. */
#include "plat/plat.h"
#include "test.h"

#define BIT_A   1u
#define WAITERS 4u

static struct spinlock lock_a, lock_b;

static void setup_locks(enum lock_rank a, enum lock_rank b)
{
#ifndef UMEMCG_DEBUG
	TEST_SKIP("the lock order is checked in builds with -Ddebug_checks=true");
#endif
	spin_init(&lock_a, a);
	spin_init(&lock_b, b);
}

static void take_a_then_b(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

TEST(lockdep_allows_rising_ranks_and_any_order_of_release)
{
	setup_locks(RANK_PTE, RANK_LRUVEC);
	take_a_then_b();
	take_a_then_b();
}

TEST(lockdep_stops_a_falling_rank_and_names_both)
{
	setup_locks(RANK_LRUVEC, RANK_PTE);
	test_expect_abort(take_a_then_b, "taking PTE (");
	test_expect_abort(take_a_then_b, "while holding LRUVEC (");
}

TEST(lockdep_allows_equal_ranks_only_where_nesting_is_declared)
{
	setup_locks(RANK_PTE, RANK_PTE);
	take_a_then_b();
	setup_locks(RANK_FRAMES, RANK_FRAMES);
	test_expect_abort(take_a_then_b, "taking FRAMES (");
}

static void take_a_twice(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_a);
}

TEST(lockdep_stops_taking_a_lock_twice)
{
	setup_locks(RANK_PTE, RANK_PTE);
	test_expect_abort(take_a_twice, "taking again PTE (");
}

static void try_a_then_take_b(void)
{
	if (spin_trylock(&lock_a))
		spin_lock(&lock_b);
}

TEST(lockdep_exempts_a_try_lock_but_counts_it_as_held)
{
	setup_locks(RANK_LRUVEC, RANK_PTE);
	spin_lock(&lock_a);
	assert_true(spin_trylock(&lock_b));
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);
	test_expect_abort(try_a_then_take_b, "taking PTE (");
}

static void take_bit_under_a(void)
{
	static atomic32_t word;

	spin_lock(&lock_a);
	bit_lock(&word, BIT_A, WAITERS, RANK_PAGE);
}

static void release_unheld(void)
{
	spin_unlock(&lock_a);
}

static void assert_unheld(void)
{
	lockdep_assert_held(&lock_a);
}

TEST(lockdep_knows_bit_locks_and_what_is_not_held)
{
	setup_locks(RANK_PTE, RANK_PTE);
	test_expect_abort(take_bit_under_a, "taking PAGE (");
	test_expect_abort(release_unheld, "releasing, but not holding, PTE (");
	test_expect_abort(assert_unheld, "must be held here");
	spin_lock(&lock_a);
	lockdep_assert_held(&lock_a);
	spin_unlock(&lock_a);
}

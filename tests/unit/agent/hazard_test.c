/* tests/unit/agent/hazard_test.c - agent/user/hazard.h: what the helper leaves, nested calls, calls
 * that are never over, the child of a fork; and both sides at once. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "agent/user/hazard.h"
#include "test.h"

#define PAGE 4096ull
#define AT   0x10000000ull
#define SP   0x7fff00000000ull

static struct hazard_slot slots[3];
static struct hazards all;

static void clear(void)
{
	memset(slots, 0, sizeof slots);
	all = (struct hazards){ .slot = slots };
}

static struct hazard_list list_of(uint64_t start, uint64_t end)
{
	struct hazard_list l = { .n = 1 };

	l.range[0] = (struct hazard_range){ start, end };
	return l;
}

static uint64_t first(uint64_t start, uint64_t end)
{
	uint64_t at;

	hazard_mark(&all, start, end);
	at = hazard_first(&all, 3, start, end);
	hazard_unmark(&all);
	return at;
}

TEST(the_helper_moves_up_to_what_is_published)
{
	struct hazard_list l = list_of(AT + 3 * PAGE + 5, AT + 3 * PAGE + 6);
	struct hazard_before b;

	clear();
	assert_int_equal(first(AT, AT + 8 * PAGE), AT + 8 * PAGE);
	b = hazard_publish(&slots[2], SP, &l);
	assert_int_equal(first(AT, AT + 8 * PAGE), AT + 3 * PAGE + 5);
	assert_int_equal(first(AT, AT + 3 * PAGE), AT + 3 * PAGE);
	assert_int_equal(first(AT + 4 * PAGE, AT + 8 * PAGE), AT + 8 * PAGE);
	/* In the middle of it: nothing moves from there. */
	l = list_of(AT, AT + 8 * PAGE);
	hazard_drop(&slots[2], &b);
	b = hazard_publish(&slots[2], SP, &l);
	assert_int_equal(first(AT + 2 * PAGE, AT + 3 * PAGE), AT + 2 * PAGE);
	hazard_drop(&slots[2], &b);
	assert_int_equal(first(AT, AT + 8 * PAGE), AT + 8 * PAGE);
}

TEST(a_thread_sees_what_is_being_moved)
{
	struct hazard_list l = list_of(AT, AT + 1), none = { .n = 0 }, any = { .all = true };

	clear();
	assert_false(hazard_marked(&all, &l));
	hazard_mark(&all, AT, AT + PAGE);
	assert_true(hazard_marked(&all, &l));
	assert_true(hazard_marked(&all, &any));
	assert_false(hazard_marked(&all, &none));
	l = list_of(AT + PAGE, AT + PAGE + 1);
	assert_false(hazard_marked(&all, &l));
	hazard_unmark(&all);
	assert_false(hazard_marked(&all, &any));
}

TEST(a_handlers_call_leaves_the_interrupted_ones)
{
	struct hazard_list a = list_of(AT, AT + 1), b = list_of(AT + PAGE, AT + PAGE + 1);
	struct hazard_before outer, inner;

	clear();
	outer = hazard_publish(&slots[0], SP, &a);
	inner = hazard_publish(&slots[0], SP - 4096, &b);
	assert_int_equal(slots[0].n, 2);
	hazard_drop(&slots[0], &inner);
	assert_int_equal(first(AT, AT + PAGE), AT);
	assert_int_equal(first(AT + PAGE, AT + 2 * PAGE), AT + 2 * PAGE);
	hazard_drop(&slots[0], &outer);
	assert_int_equal(slots[0].depth, 0);
}

TEST(what_longjmp_left_goes_with_the_next_call)
{
	struct hazard_list a = list_of(AT, AT + 1), b = list_of(AT + PAGE, AT + PAGE + 1);
	struct hazard_before next;

	clear();
	(void)hazard_publish(&slots[0], SP - 1000, &a);
	(void)hazard_publish(&slots[0], SP - 5000, &a);
	next = hazard_publish(&slots[0], SP, &b);
	assert_int_equal(first(AT, AT + PAGE), AT + PAGE);
	assert_int_equal(slots[0].depth, 1);
	hazard_drop(&slots[0], &next);
	/* One on another stack may be in progress. */
	(void)hazard_publish(&slots[0], SP - (1ull << 40), &a);
	next = hazard_publish(&slots[0], SP, &b);
	assert_int_equal(slots[0].depth, 2);
}

TEST(more_than_fits_stops_everything)
{
	struct hazard_list l = { .n = HAZARD_CALL };
	struct hazard_before b[8];
	int i;

	clear();
	for (i = 0; i < HAZARD_CALL; i++)
		l.range[i] = (struct hazard_range){ AT + (uint64_t)i * PAGE,
						    AT + (uint64_t)i * PAGE + 1 };
	for (i = 0; i < 8; i++)
		b[i] = hazard_publish(&slots[0], SP - (uint64_t)i * 64, &l);
	assert_int_equal(first(2 * AT, 3 * AT), 2 * AT);
	for (i = 7; i >= 0; i--)
		hazard_drop(&slots[0], &b[i]);
	assert_int_equal(first(2 * AT, 3 * AT), 3 * AT);
	assert_int_equal(slots[0].reserved, 0);
}

TEST(the_child_of_a_fork_keeps_its_threads_calls)
{
	struct hazard_list l = list_of(AT, AT + 1);

	clear();
	(void)hazard_publish(&slots[1], SP, &l);
	(void)hazard_publish(&slots[2], SP, &l);
	hazard_mark(&all, AT, AT + PAGE);
	hazard_inherit(&all, &slots[0], &slots[1]);
	hazard_reset(&slots[1]);
	hazard_reset(&slots[2]);
	assert_false(hazard_marked(&all, &l));
	assert_int_equal(slots[0].n, 1);
	assert_int_equal(first(AT, AT + PAGE), AT);
	hazard_reset(&slots[0]);
	assert_int_equal(first(AT, AT + PAGE), AT + PAGE);
}

/* The page is "there" or not; the thread brings it, the helper takes it. A call that finds it gone
 * is what must not be. */
static uint32_t there, stop, refused;

static void *helper(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		hazard_mark(&all, AT, AT + PAGE);
		if (hazard_first(&all, 1, AT, AT + PAGE) == AT + PAGE) {
			/* A move takes its time. */
			for (int k = 0; k < 30; k++)
				__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
			__atomic_store_n(&there, 0, __ATOMIC_RELAXED);
		}
		hazard_unmark(&all);
		for (int k = 0; k < 30; k++)
			__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TEST(both_at_once)
{
	struct hazard_list l = list_of(AT + 8, AT + 16);
	pthread_t t;
	int i;

	clear();
	stop = refused = 0;
	assert_int_equal(pthread_create(&t, NULL, helper, NULL), 0);
	for (i = 0; i < 1000000; i++) {
		struct hazard_before b = hazard_publish(&slots[0], SP, &l);

		while (hazard_marked(&all, &l))
			sched_yield();
		__atomic_store_n(&there, 1, __ATOMIC_RELAXED);
		for (int k = 0; k < 60; k++)
			__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
		refused += !__atomic_load_n(&there, __ATOMIC_RELAXED);
		hazard_drop(&slots[0], &b);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_int_equal(refused, 0);
}

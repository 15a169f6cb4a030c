/* tests/unit/cli/thrash_test.c - when it is said that a program thrashes. */
#include "cli/thrash.h"
#include "test.h"

#define MS 1000000ull

/* What a program does: threads that wait for a page, of 100 looks; its CPU time per second; pages
 * that come back from swap per second. */
struct does {
	unsigned waiting;
	unsigned user_ms, kernel_ms;
	int64_t pages;
};

/* CPU time of the program so far, in microseconds. */
static double user, kernel;

/* For @seconds; returns the percentage that is said, and sets @looks to how often its threads were
 * looked at. */
static int watch(struct thrash *t, const struct does *d, unsigned seconds, unsigned *looks)
{
	uint64_t now = t->last_ns ? t->last_ns : 1000 * MS, end = now + seconds * 1000 * MS;
	double pages = (double)t->last_pages;

	*looks = 0;
	while (now < end && thrash_pause_ms(t) >= 0) {
		const unsigned pause = (unsigned)thrash_pause_ms(t);
		struct strain strain;
		bool wanted;
		int said;

		now += pause * MS;
		assert_true(thrash_due(t, now));
		pages += (double)d->pages * pause / 1000;
		user += 1000.0 * d->user_ms * pause / 1000;
		kernel += 1000.0 * d->kernel_ms * pause / 1000;
		wanted = thrash_wants_look(t, (int64_t)pages, now);
		strain = (struct strain){ .waiting = d->waiting > *looks % 100,
					  .user_us = (uint64_t)user,
					  .system_us = (uint64_t)kernel };
		*looks += wanted;
		said = thrash_look(t, now, (int64_t)pages, wanted ? &strain : NULL);
		if (said)
			return said;
	}
	return 0;
}

static int said_of(unsigned waiting, unsigned user_ms, unsigned kernel_ms, int64_t pages)
{
	const struct does d = { waiting, user_ms, kernel_ms, pages };
	struct thrash t = { 0 };
	unsigned looks;

	return watch(&t, &d, 30, &looks);
}

TEST(a_program_that_waits_for_its_memory_is_told)
{
	assert_in_range(said_of(70, 100, 200, 20000), 88, 92);
	assert_in_range(said_of(100, 1, 1, 1000), 98, 100);
}

TEST(one_that_works_beside_it_is_not)
{
	assert_int_equal(said_of(30, 500, 200, 20000), 0);
	assert_int_equal(said_of(0, 1000, 0, 20000), 0);
}

/* It waits for something else, or does nothing. */
TEST(one_whose_pages_rarely_come_back_is_not)
{
	const struct does rarely = { 90, 10, 10, THRASH_PAGES - 100 };
	struct thrash t = { 0 };
	unsigned looks;

	assert_int_equal(watch(&t, &rarely, 60, &looks), 0);
	assert_int_equal(looks, 0);
}

TEST(a_moment_is_not_thrashing)
{
	const struct does thrashes = { 90, 10, 10, 20000 }, rests = { 0, 0, 0, 0 };
	struct thrash t = { 0 };
	unsigned looks;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(watch(&t, &thrashes, 3, &looks), 0);
		assert_int_equal(watch(&t, &rests, 12, &looks), 0);
	}
	assert_true(thrash_pause_ms(&t) >= THRASH_PAUSE_MS);
}

TEST(it_is_said_once)
{
	const struct does thrashes = { 90, 10, 10, 20000 };
	struct thrash t = { 0 };
	unsigned looks;

	assert_true(watch(&t, &thrashes, 30, &looks) >= THRASH_PERCENT);
	assert_int_equal(thrash_pause_ms(&t), -1);
	assert_false(thrash_due(&t, UINT64_MAX));
}

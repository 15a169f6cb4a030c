/* tests/unit/memcg/protect_test.c - min and low as numbers: tables, and the hierarchy of the
 * kernel's own selftest played in small steps.
 */
#include "memcg/counter.h"
#include "memcg/protect.h"
#include "test.h"

#define MB(n) ((int64_t)(n)*256) /* pages */

TEST(effective_protection_follows_the_table)
{
	static const struct {
		const char *what;
		int64_t usage, parent_usage, setting, parent_effective, siblings, expect;
	} rows[] = {
		{ "no setting, nothing to inherit", 50, 100, 0, 0, 0, 0 },
		{ "claim fits", 50, 100, 30, 60, 30, 30 + 30 * 20 / 70 },
		{ "claim fits and nothing is left", 50, 100, 30, 30, 30, 30 },
		{ "only usage can be claimed", 20, 100, 75, 60, 60, 20 },
		{ "claims above the parent's are cut in proportion", 50, 150, 75, 50, 75, 33 },
		{ "... the other sibling", 50, 150, 25, 50, 75, 16 },
		{ "... and who claims nothing gets nothing", 50, 150, 0, 50, 75, 0 },
		{ "parent without protection cuts all", 50, 100, 50, 0, 50, 0 },
		{ "unclaimed goes by unprotected usage", 40, 100, 0, 50, 0, 20 },
		{ "... to all children alike", 60, 100, 0, 50, 0, 30 },
		{ "an empty group", 0, 100, 500, 50, 40, 0 },
		{ "the parent is read smaller than its children", 50, 40, 20, 60, 45, 20 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t got =
			effective_protection(rows[i].usage, rows[i].parent_usage, rows[i].setting,
					     rows[i].parent_effective, rows[i].siblings);

		if (got != rows[i].expect)
			fail_msg("%s: got %jd, expected %jd", rows[i].what, (intmax_t)got,
				 (intmax_t)rows[i].expect);
	}
}

/* The children together get no more than their parent has, and none more than it uses. */
TEST(children_never_get_more_than_their_parent_has)
{
	static const int64_t usage[] = { 0, 1, 3, 64, 100 }, setting[] = { 0, 1, 50, 1000 };
	unsigned cases = 0;

	for (unsigned i = 0; i < 5 * 5 * 4 * 4; i++) {
		int64_t u1 = usage[i % 5], u2 = usage[i / 5 % 5];
		int64_t s1 = setting[i / 25 % 4], s2 = setting[i / 100];
		int64_t claims = protect_claim(u1, s1) + protect_claim(u2, s2);

		for (int64_t parent = 0; parent <= u1 + u2; parent++) {
			int64_t e1 = effective_protection(u1, u1 + u2, s1, parent, claims);
			int64_t e2 = effective_protection(u2, u1 + u2, s2, parent, claims);

			assert_true(e1 >= 0 && e1 <= u1);
			assert_true(e2 >= 0 && e2 <= u2);
			assert_true(e1 + e2 <= parent);
			cases++;
		}
	}
	assert_true(cases > 1000);
}

TEST(no_limit_does_not_overflow)
{
	const int64_t max = PAGE_COUNTER_MAX;

	assert_int_equal(protect_claim(max - 1, max), max - 1);
	assert_int_equal(effective_protection(max, max, max, max, max), max);
	assert_int_equal(effective_protection(max, max, max, max / 2, max), max / 2);
	assert_int_equal(effective_protection(max / 2, max, 0, max, 0), max / 2);
	assert_in_range(protect_scan_target(max, max, max), 0, 1);
}

TEST(the_scan_target_shrinks_with_protection)
{
	static const struct {
		int64_t size, usage, protection, expect;
	} rows[] = {
		{ 100, 100, 0, 100 }, { 100, 99, 50, 50 },
		{ 100, 99, 25, 75 },  { 40, 99, 50, 20 }, /* a list is a part of its group */
		{ 100, 100, 100, 1 },                     /* rounding leaves one */
		{ 100, 50, 100, 1 }, /* usage has fallen below its protection */
		{ 0, 100, 50, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			protect_scan_target(rows[i].size, rows[i].usage, rows[i].protection),
			rows[i].expect);
}

TEST(a_group_is_covered_while_its_usage_is_within_its_protection)
{
	assert_true(protect_covers(10, 10));
	assert_true(protect_covers(0, 10));
	assert_false(protect_covers(11, 10));
	assert_false(protect_covers(0, 0));
}

/* ---- the kernel selftest's tree ------------------------------------------------------------
 *
 * A max 200M; A/B protected 50M; B's children C 75M, D 25M, E 0, F 500M; C, D, E hold 50M of cache
 * each, F nothing; A/G allocates and cannot be reclaimed. Reclaim runs at A.
 */
enum { C, D, E, F, NR_CHILDREN };
static const int64_t setting[NR_CHILDREN] = { MB(75), MB(25), MB(0), MB(500) };

/* One pass over B's children at A's limit: each loses an eighth of its scan target. With
 * @ignore_protection (low, second pass) the targets are whole sizes. Returns the pages freed. */
static int64_t reclaim_pass(int64_t usage[NR_CHILDREN], bool ignore_protection)
{
	int64_t claims = 0, total = 0, freed = 0;

	for (int i = 0; i < NR_CHILDREN; i++) {
		claims += protect_claim(usage[i], setting[i]);
		total += usage[i];
	}
	for (int i = 0; i < NR_CHILDREN; i++) {
		int64_t effective, scan;

		/* B is a child of the group under reclaim: its effective value is its setting. */
		effective = ignore_protection ? 0
					      : effective_protection(usage[i], total, setting[i],
								     MB(50), claims);
		if (protect_covers(usage[i], effective))
			continue;
		scan = (protect_scan_target(usage[i], usage[i], effective) + 7) / 8;
		usage[i] -= scan;
		freed += scan;
	}
	return freed;
}

/* G grows to @g pages under A's 200M. False: nothing more is reclaimable. */
static bool make_room(int64_t usage[NR_CHILDREN], int64_t g, bool ignore_protection)
{
	for (;;) {
		int64_t total = usage[C] + usage[D] + usage[E] + usage[F];

		if (total + g <= MB(200))
			return true;
		if (reclaim_pass(usage, ignore_protection) == 0)
			return false;
	}
}

static bool values_close(int64_t a, int64_t b, int64_t percent)
{
	int64_t d = a > b ? a - b : b - a;

	return d <= (a + b) / 100 * percent;
}

static void assert_close(int64_t got, int64_t expect, int64_t percent)
{
	if (!values_close(got, expect, percent))
		fail_msg("got %jdM, expected about %jdM", (intmax_t)(got / 256),
			 (intmax_t)(expect / 256));
}

/* After 148M in G: B about 50M, C about 29M, D about 21M, F nothing. */
TEST(the_kernel_selftest_tree_ends_where_the_kernel_s_does)
{
	int64_t usage[NR_CHILDREN] = { MB(50), MB(50), MB(50), 0 };

	assert_true(make_room(usage, MB(148), false));
	assert_close(usage[C] + usage[D] + usage[E], MB(50), 3);
	assert_close(usage[C], MB(29), 10);
	assert_close(usage[D], MB(21), 10);
	assert_true(usage[E] < MB(2));
	assert_int_equal(usage[F], 0);
}

/* 170M does not fit beside 50M of min: the allocation fails and B keeps its memory. With low it is
 * reclaimed on the second pass, and B is left with 30M. */
TEST(min_holds_where_low_gives_way)
{
	int64_t usage[NR_CHILDREN] = { MB(50), MB(50), MB(50), 0 };

	assert_false(make_room(usage, MB(170), false));
	assert_close(usage[C] + usage[D] + usage[E], MB(50), 3);
	assert_true(make_room(usage, MB(170), true));
	assert_close(usage[C] + usage[D] + usage[E], MB(30), 3);
}

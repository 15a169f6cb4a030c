/* tests/unit/mm/decision_test.c - table tests of the engine's pure decisions. */
#include "mm/huge.h"
#include "soft_fixture.h"

static struct soft_fixture fx;

TEST(the_margin_of_background_reclaim_is_a_share_of_the_limit_within_bounds)
{
	static const struct {
		int64_t max, margin;
	} t[] = {
		{ 0, 32 },     { 64, 32 },     { 1024, 32 },     { 1056, 33 },
		{ 3200, 100 }, { 16384, 512 }, { 1 << 20, 512 }, { PAGE_COUNTER_MAX, 512 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(kswapd_margin(t[i].max), t[i].margin);
}

TEST(badness_is_what_killing_gives_back)
{
	static const struct {
		int64_t rss, swap, extra, badness;
	} t[] = {
		{ 0, 0, 0, 0 },
		{ 10, 0, 0, 10 },
		{ 10, 5, 0, 15 },
		{ 1, 2, 3, 6 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(oom_badness(t[i].rss, t[i].swap, t[i].extra), t[i].badness);
	assert_true(oom_badness(11, 0, 0) > oom_badness(10, 0, 0));
	assert_true(oom_badness(0, 11, 0) > oom_badness(10, 0, 0));
}

/* Separate waits do not add up: an old one is no reason to kill. */
TEST(waiting_for_room_counts_from_its_beginning_without_a_pause)
{
	const int64_t s = 1000000000;
	static const struct {
		int64_t since, last, now, start; /* tenths of a second */
	} t[] = {
		{ 0, 0, 100, 100 },  { 0, 90, 100, 100 },  { 90, 99, 100, 90 },
		{ 40, 90, 100, 40 }, { 40, 89, 100, 100 }, { 10, 10, 100, 100 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(
			stuck_start(t[i].since * s / 10, t[i].last * s / 10, t[i].now * s / 10),
			t[i].start * s / 10);
}

TEST(an_eighth_of_a_limit_cannot_be_locked)
{
	static const struct {
		int64_t max, unmanaged, limit;
	} t[] = {
		{ 0, 0, 0 },    { 8, 0, 7 },    { 100, 0, 88 },
		{ 100, 80, 8 }, { 100, 88, 0 }, { 100, 200, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(mlock_limit(t[i].max, t[i].unmanaged), t[i].limit);
	assert_true(mlock_limit(PAGE_COUNTER_MAX, 0) > 1ll << 40);
}

TEST(a_leaf_is_filled_at_once_where_its_area_wants_it_and_there_is_room)
{
	const uint64_t m = LEAF_SPAN;
	static const struct {
		enum huge_mode mode;
		uint32_t flags;
		bool wants;
	} t[] = {
		{ HUGE_NEVER, 0, false },
		{ HUGE_NEVER, VM_HUGEPAGE, false },
		{ HUGE_ADVISED, 0, false },
		{ HUGE_ADVISED, VM_HUGEPAGE, true },
		{ HUGE_ADVISED, VM_HUGEPAGE | VM_READ | VM_WRITE | VM_WIPEONFORK, true },
		{ HUGE_ADVISED, VM_HUGEPAGE | VM_LOCKED, false },
		{ HUGE_ADVISED, VM_HUGEPAGE | VM_SHARED, false },
		{ HUGE_ADVISED, VM_NOHUGEPAGE, false },
		{ HUGE_ALWAYS, 0, true },
		{ HUGE_ALWAYS, VM_HUGEPAGE, true },
		{ HUGE_ALWAYS, VM_NOHUGEPAGE, false },
		{ HUGE_ALWAYS, VM_LOCKED, false },
	};
	const struct {
		uint64_t va, start, end;
		int64_t room;
		bool fits;
	} p[] = {
		{ 4 * m, 4 * m, 5 * m, 512, true },
		{ 5 * m - PAGE_SIZE, 4 * m, 5 * m, 512, true },
		{ 4 * m, 4 * m, 5 * m, 511, false }, /* no room */
		{ 4 * m, 4 * m, 5 * m, -1000, false },
		{ 4 * m, 4 * m, 5 * m, PAGE_COUNTER_MAX, true },
		{ 5 * m, 4 * m + PAGE_SIZE, 6 * m, 512, true },
		{ 5 * m - PAGE_SIZE, 4 * m + PAGE_SIZE, 6 * m, 512,
		  false },                                       /* begins in the leaf */
		{ 4 * m, 4 * m, 5 * m - PAGE_SIZE, 512, false }, /* ends in it */
		{ 0, 0, m, 512, false },                         /* 0 is no place */
		{ m, 0, 2 * m, 512, true },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(huge_fits(t[i].mode, t[i].flags, 4 * m, 4 * m, 5 * m, 512),
				 t[i].wants);
	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		assert_int_equal(
			huge_fits(HUGE_ALWAYS, VM_READ, p[i].va, p[i].start, p[i].end, p[i].room),
			p[i].fits);
}

/* What background reclaim would take back at once, or a fault would have to pay for, does not count
 * as room. */
TEST(room_for_a_leaf_is_what_leaves_reclaim_asleep)
{
	static const struct {
		int64_t usage, max, high, room;
	} t[] = {
		{ 0, PAGE_COUNTER_MAX, PAGE_COUNTER_MAX, PAGE_COUNTER_MAX },
		{ 1 << 20, PAGE_COUNTER_MAX, PAGE_COUNTER_MAX, PAGE_COUNTER_MAX },
		{ 0, 16384, PAGE_COUNTER_MAX, 16384 - 1024 },
		{ 16384 - 1024, 16384, PAGE_COUNTER_MAX, 0 }, /* up to background reclaim's mark */
		{ 16384 - 1536, 16384, PAGE_COUNTER_MAX, 512 },
		{ 16384, 16384, PAGE_COUNTER_MAX, -1024 },
		{ 1000, 16384, 3200, 2000 },
		{ 1000, PAGE_COUNTER_MAX, 3200, 2000 },
		{ 4000, 16384, 3200, -1000 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(huge_room(t[i].usage, t[i].max, t[i].high), t[i].room);
}

TEST(a_window_is_at_most_a_sixteenth_of_the_limit)
{
	static const struct {
		int64_t limit;
		unsigned n;
	} t[] = {
		{ 0, 1 },    { 1, 1 },     { 31, 1 },       { 32, 2 },
		{ 256, 16 }, { 1024, 64 }, { 1 << 20, 64 }, { PAGE_COUNTER_MAX, 64 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(window_max(t[i].limit), t[i].n);
}

TEST(windows_double_along_a_stream_up_or_down_and_stay_small_elsewhere)
{
	/* Page numbers of consecutive faults and the window expected for each, with 4 pages for a
	 * new stream. */
	static const struct {
		uint64_t at, start;
		unsigned n;
	} t[] = {
		{ 1100, 1100, 4 },  { 1104, 1104, 8 },
		{ 1112, 1112, 16 }, { 1128, 1128, 32 },
		{ 1160, 1160, 64 }, { 1224, 1224, 64 }, /* up, as far as it goes */
		{ 5000, 5000, 4 },  { 4999, 4992, 8 },
		{ 4991, 4976, 16 }, /* down */
		{ 1288, 1288, 64 }, /* the first continues in between, */
		{ 1352, 1352, 64 }, { 1416, 1416, 64 },
		{ 1480, 1480, 56 }, { 1536, 1536, 64 }, /* and past the end of the leaf */
		{ 4975, 4944, 32 }, { 4943, 4880, 64 },
		{ 4879, 4816, 64 }, { 4815, 4752, 64 },
		{ 4751, 4688, 64 }, { 4687, 4624, 64 },
		{ 4623, 4608, 16 }, { 4607, 4544, 64 }, /* so does the other */
		{ 9000, 9000, 4 },  { 7000, 7000, 4 },  /* no stream */
	};
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	mm = fx_mm(&fx, NULL);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct fault f = { .mm = mm, .va = t[i].at << PAGE_SHIFT };

		stream_window(&f, 4, false);
		assert_int_equal(f.start >> PAGE_SHIFT, t[i].start);
		assert_int_equal(f.n, t[i].n);
		assert_true(f.start <= f.va && f.va < f.start + ((uint64_t)f.n << PAGE_SHIFT));
	}
}

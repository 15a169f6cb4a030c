/* tests/unit/mm/backing_test.c - private memory filled from a file (mm/backing.h), on both kinds of
 * MMU.
 */
#include "mm/backing.h"
#include "soft_fixture.h"

#define PAGES 64u
#define FIRST 5u   /* page of the file at the start of the area */
#define SEED  100u /* of what the program writes */

static struct soft_fixture fx;

/* A file whose pages are full of their own number, plus what was added since. */
struct test_file {
	struct backing b;
	uint64_t pages, added;
	unsigned releases;
	uint64_t broken; /* this page cannot be read */
};

static struct test_file file;

static int test_read(struct backing *b, uint64_t index, void *to, unsigned n)
{
	struct test_file *f = (struct test_file *)b;
	uint64_t *w = to;

	for (unsigned k = 0; k < n; k++, index++) {
		if (index >= f->pages || index == f->broken)
			return k ? (int)k : index == f->broken ? -EIO : -ENXIO;
		for (unsigned i = 0; i < PAGE_SIZE / sizeof(*w); i++)
			*w++ = index + 1 + f->added;
	}
	return (int)n;
}

static void test_release(struct backing *b)
{
	((struct test_file *)b)->releases++;
}

static const struct backing_ops test_ops = { .read = test_read, .release = test_release };

static int map_file(struct mm *mm, uint64_t va, uint64_t n, uint64_t first)
{
	int err;

	rw_wrlock(&mm->mmap_lock);
	err = vma_insert_backed(mm, va, va + n * PAGE_SIZE, FX_RW, &file.b, first);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* From here on the area is the only user of the file. */
static struct mm *up(enum soft_kind kind, struct mem_cgroup **g)
{
	struct mm *mm;

	fx_up(&fx, kind, 1024, 512);
	fx.e.may_back = true;
	*g = fx_group(&fx, NULL, "a", 200);
	mm = fx_mm(&fx, *g);
	file = (struct test_file){ .pages = 1000, .broken = UINT64_MAX };
	file.b.ops = &test_ops;
	a32_store(&file.b.refcount, 1);
	assert_int_equal(map_file(mm, FX_BASE, PAGES, FIRST), 0);
	backing_put(&file.b);
	return mm;
}

static void down(struct mem_cgroup *g, struct mm *mm)
{
	fx_audit(&fx, 0);
	assert_int_equal(file.releases, 0);
	fx_exit(&fx, mm);
	assert_int_equal(file.releases, 1);
	assert_int_equal(a64_load(&fx.e.backed_pages), 0);
	fx_ungroup(&fx, g);
	fx_down(&fx);
}

static void expect_word(struct mm *mm, uint64_t va, uint64_t want)
{
	uint64_t got = 0;

	assert_int_equal(soft_read(&fx.soft, mm, 0, va + 80, &got, sizeof(got)), 0);
	assert_int_equal(got, want);
}

static void expect_file(struct mm *mm, uint64_t va, uint64_t n, uint64_t first)
{
	for (uint64_t i = 0; i < n; i++)
		expect_word(mm, va + i * PAGE_SIZE, first + i + 1 + file.added);
}

static int64_t faults(const struct mem_cgroup *g)
{
	return stat_read_local(g, STAT_PGFAULT);
}

static void write_zeros(struct mm *mm, uint64_t va)
{
	static const char zeros[PAGE_SIZE];

	assert_int_equal(soft_write(&fx.soft, mm, 0, va, zeros, sizeof(zeros)), 0);
}

TEST_EACH_KIND(a_first_touch_brings_the_files_page_and_a_change_stays)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);

	expect_file(mm, FX_BASE, PAGES / 2, FIRST);
	/* 1, 2, 4, 8, then as many as the limit allows, twice. */
	assert_int_equal(faults(g), 6);
	assert_int_equal(fx_usage(g), 39);
	fx_fill_run(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 30, SEED);
	(void)fx_reclaim(&fx, g, PAGES);
	expect_file(mm, FX_BASE, 10, FIRST);
	fx_check_run(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 30, SEED);
	/* Pages that were neither touched nor about to be show what the file has now. */
	file.added = 7000;
	expect_file(mm, FX_BASE + 52 * PAGE_SIZE, PAGES - 52, FIRST + 52);
	expect_word(mm, FX_BASE, FIRST + 1);
	down(g, mm);
}

TEST_EACH_KIND(whoever_goes_through_it_in_order_gets_many_pages_at_a_time_and_no_others)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);
	int64_t before;

	file.pages = FIRST + PAGES - 3;
	/* Downwards, past a present page and one that cannot be read. */
	fx_fill_run(&fx, mm, FX_BASE + 40 * PAGE_SIZE, 1, SEED);
	file.broken = FIRST + 20;
	before = faults(g);
	for (unsigned i = PAGES - 4; i > 20; i--)
		if (i != 40)
			expect_word(mm, FX_BASE + i * PAGE_SIZE, FIRST + i + 1);
	assert_true(faults(g) - before < 15);
	assert_int_equal(a64_load(&fx.soft.nr_poisons), 0);
	expect_file(mm, FX_BASE, 20, FIRST);
	fx_check_run(&fx, mm, FX_BASE + 40 * PAGE_SIZE, 1, SEED);
	/* And up to the end of the file: nothing past it is requested. */
	fx_discard(&fx, mm, FX_BASE, PAGES);
	file.broken = UINT64_MAX;
	before = faults(g);
	expect_file(mm, FX_BASE, PAGES - 3, FIRST);
	assert_true(faults(g) - before < 12);
	assert_int_equal(fx_usage(g), PAGES - 3);
	assert_int_equal(a64_load(&fx.soft.nr_poisons), 0);
	down(g, mm);
}

/* A second one of the same file is counted for as long as it exists. */
TEST_EACH_KIND(what_may_have_to_be_swapped_one_day_is_counted_while_it_is_mapped)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);

	assert_int_equal(a64_load(&fx.e.backed_pages), PAGES);
	assert_true(backing_reserve(&fx.e, PAGES, 2 * PAGES));
	assert_false(backing_reserve(&fx.e, 1, 2 * PAGES));
	assert_int_equal(map_file(mm, FX_BASE + PAGES * PAGE_SIZE, PAGES, 0), 0);
	backing_unreserve(&fx.e, PAGES);
	assert_int_equal(a64_load(&fx.e.backed_pages), 2 * PAGES);
	fx_unmap(&fx, mm, FX_BASE + 10 * PAGE_SIZE, PAGES);
	assert_int_equal(a64_load(&fx.e.backed_pages), PAGES);
	down(g, mm);
}

TEST_EACH_KIND(zeros_that_went_out_come_back_as_zeros_and_a_discard_brings_the_file_back)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);

	for (unsigned i = 0; i < PAGES; i++)
		write_zeros(mm, FX_BASE + i * PAGE_SIZE);
	(void)fx_reclaim(&fx, g, PAGES);
	assert_int_equal(a64_load(&mm->rss), 0);
	fx_check_zero(&fx, mm, FX_BASE, PAGES);
	fx_discard(&fx, mm, FX_BASE, PAGES / 2);
	expect_file(mm, FX_BASE, PAGES / 2, FIRST);
	fx_check_zero(&fx, mm, FX_BASE + PAGES / 2 * PAGE_SIZE, PAGES / 2);
	down(g, mm);
}

TEST_EACH_KIND(a_child_has_the_same_area_of_the_same_file)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g), *child;

	fx_fill_run(&fx, mm, FX_BASE, 8, SEED);
	write_zeros(mm, FX_BASE + 8 * PAGE_SIZE);
	(void)fx_reclaim(&fx, g, 4);
	child = fx_fork(&fx, mm, g);
	assert_non_null(child);
	fx_fill_run(&fx, child, FX_BASE + 4 * PAGE_SIZE, 4, SEED + 1);
	write_zeros(child, FX_BASE + 20 * PAGE_SIZE);
	(void)fx_reclaim(&fx, g, PAGES);
	fx_check_run(&fx, child, FX_BASE, 4, SEED);
	fx_check_run(&fx, child, FX_BASE + 4 * PAGE_SIZE, 4, SEED + 1);
	fx_check_zero(&fx, child, FX_BASE + 8 * PAGE_SIZE, 1);
	fx_check_zero(&fx, child, FX_BASE + 20 * PAGE_SIZE, 1);
	fx_check_run(&fx, mm, FX_BASE, 8, SEED);
	expect_file(mm, FX_BASE + 9 * PAGE_SIZE, PAGES - 9, FIRST + 9);
	fx_exit(&fx, mm);
	assert_int_equal(file.releases, 0);
	expect_file(child, FX_BASE + 30 * PAGE_SIZE, 10, FIRST + 30);
	down(g, child);
}

TEST_EACH_KIND(areas_of_a_file_are_split_moved_and_replaced_and_never_joined)
{
	const uint64_t far = FX_BASE + 3 * LEAF_SPAN + 5 * PAGE_SIZE;
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);

	/* Adjacent, in the file too: still two areas. */
	assert_int_equal(map_file(mm, FX_BASE + PAGES * PAGE_SIZE, PAGES, FIRST + PAGES), 0);
	assert_int_equal(map_file(mm, FX_BASE + PAGE_SIZE, 1, 0), -EEXIST);
	assert_int_equal(mm->nr_vmas, 2);
	assert_int_equal(fx_map(mm, FX_BASE + 2 * PAGES * PAGE_SIZE, 4), 0);
	fx_check_zero(&fx, mm, FX_BASE + 2 * PAGES * PAGE_SIZE, 4);
	fx_unmap(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 10);
	assert_int_equal(fx_map(mm, FX_BASE + 10 * PAGE_SIZE, 10), 0);
	fx_check_zero(&fx, mm, FX_BASE + 10 * PAGE_SIZE, 10);
	assert_int_equal(fx_remap(&fx, mm, FX_BASE + 30 * PAGE_SIZE, far, 20), 0);
	expect_file(mm, FX_BASE, 10, FIRST);
	expect_file(mm, FX_BASE + 20 * PAGE_SIZE, 10, FIRST + 20);
	expect_file(mm, far, 20, FIRST + 30);
	expect_file(mm, FX_BASE + PAGES * PAGE_SIZE, PAGES, FIRST + PAGES);
	down(g, mm);
}

TEST_EACH_KIND(what_the_file_has_not_or_cannot_give_is_an_error_and_no_zeros)
{
	struct mem_cgroup *g;
	struct mm *mm = up(kind, &g);
	uint64_t word;

	file.pages = FIRST + 20;
	file.broken = FIRST + 3;
	assert_int_not_equal(
		soft_read(&fx.soft, mm, 0, FX_BASE + 20 * PAGE_SIZE, &word, sizeof(word)), 0);
	assert_int_not_equal(
		soft_read(&fx.soft, mm, 0, FX_BASE + 3 * PAGE_SIZE, &word, sizeof(word)), 0);
	assert_int_equal(a64_load(&fx.soft.nr_poisons) >= 2, 1);
	expect_file(mm, FX_BASE + 4 * PAGE_SIZE, 16, FIRST + 4);
	assert_int_equal(fx_usage(g), 16);
	/* Discarded, it is read again. */
	file.broken = UINT64_MAX;
	fx_discard(&fx, mm, FX_BASE, 4);
	expect_file(mm, FX_BASE, 4, FIRST);
	down(g, mm);
}

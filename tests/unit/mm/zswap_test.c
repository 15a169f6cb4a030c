/* tests/unit/mm/zswap_test.c - the compressed tier (mm/zswap.h): contents go to memory first, are
 * charged there, go on to the store, and are checked on their way back. */
#include <string.h>

#include "mm/zpool.h"
#include "mm/zswap.h"
#include "mm/zswap_entry.h"
#include "plat/codec.h"
#include "soft_fixture.h"

#define N 64

static struct soft_fixture fx;
static struct mem_cgroup *g;
static struct mm *mm;
static uint64_t page[PAGE_SIZE / 8];

static void up(const struct codec *codec, bool file)
{
	fx_up(&fx, SOFT_SHARED, 4096, 512);
	assert_int_equal(zswap_enable(&fx.e, codec, file), 0);
	g = fx_group(&fx, NULL, "a", 0);
	mm = fx_mapped_mm(&fx, g, N);
}

/* A page that every codec makes small, and that differs from every other. */
static void make(uint64_t tag)
{
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = i < 64 ? tag : tag + 1;
}

static void write_pages(unsigned n, uint64_t tag)
{
	for (unsigned i = 0; i < n; i++) {
		make(tag + i * 2);
		assert_int_equal(
			soft_write(&fx.soft, mm, 0, FX_BASE + i * PAGE_SIZE, page, PAGE_SIZE), 0);
	}
}

static void check_pages(unsigned n, uint64_t tag)
{
	uint64_t got[PAGE_SIZE / 8];

	for (unsigned i = 0; i < n; i++) {
		make(tag + i * 2);
		assert_int_equal(
			soft_read(&fx.soft, mm, 0, FX_BASE + i * PAGE_SIZE, got, PAGE_SIZE), 0);
		assert_memory_equal(got, page, PAGE_SIZE);
	}
}

static void all_out(void)
{
	/* Not until nothing is freed: then compressed pages would go on to the store. */
	while (a64_load(&mm->rss) > 0)
		assert_true(fx_reclaim(&fx, g, a64_load(&mm->rss)) > 0);
}

TEST(pages_are_compressed_charged_and_read_back)
{
	up(codec_words(), true);
	write_pages(N, 100);
	all_out();
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	assert_int_equal(stat_read(g, STAT_ZSWPOUT), N);
	assert_int_equal(stat_read(g, STAT_ZSWAPPED), N);
	assert_true(page_counter_read(&g->zswap) > 0);
	assert_true(page_counter_read(&g->zswap) < N / 2);
	assert_int_equal(page_counter_read(&g->memory) - stock_read(g),
			 page_counter_read(&g->zswap));
	fx_audit(&fx, 0);
	check_pages(N, 100);
	assert_int_equal(stat_read(g, STAT_ZSWPIN), N);
	assert_int_equal(stat_read(g, STAT_PSWPIN), 0);
	assert_int_equal(stat_read(g, STAT_ZSWAPPED), 0);
	assert_int_equal(page_counter_read(&g->zswap), 0);
	fx_audit(&fx, 0);
}

TEST(filled_pages_cost_nothing)
{
	up(codec_words(), true);
	memset(page, 0x5a, sizeof(page));
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(
			soft_write(&fx.soft, mm, 0, FX_BASE + i * PAGE_SIZE, page, PAGE_SIZE), 0);
	all_out();
	assert_int_equal(stat_read(g, STAT_ZSWAPPED), N);
	assert_int_equal(page_counter_read(&g->zswap), 0);
	for (unsigned i = 0; i < N; i++) {
		uint64_t got[PAGE_SIZE / 8];

		assert_int_equal(
			soft_read(&fx.soft, mm, 0, FX_BASE + i * PAGE_SIZE, got, PAGE_SIZE), 0);
		assert_memory_equal(got, page, PAGE_SIZE);
	}
	fx_audit(&fx, 0);
}

TEST(incompressible_pages_go_to_the_store)
{
	up(codec_words(), true);
	fx_fill_run(&fx, mm, FX_BASE, N, 1);
	all_out();
	assert_int_equal(stat_read(g, STAT_ZSWPOUT), 0);
	assert_int_equal(a64_load(&fx.store->nr_writes), N);
	fx_check_run(&fx, mm, FX_BASE, N, 1);
	fx_audit(&fx, 0);
}

TEST(without_a_file_incompressible_pages_stay)
{
	up(codec_words(), false);
	fx_fill_run(&fx, mm, FX_BASE, N, 1);
	assert_int_equal(fx_reclaim(&fx, g, 1024), 0);
	assert_int_equal(a64_load(&fx.store->nr_writes), 0);
	fx_check_run(&fx, mm, FX_BASE, N, 1);
	fx_audit(&fx, 0);
}

TEST(the_oldest_go_on_to_the_store)
{
	int64_t before;

	up(codec_words(), true);
	write_pages(N, 100);
	all_out();
	before = page_counter_read(&g->zswap);
	assert_true(zswap_writeback(&fx.e, g, 1) >= 1);
	assert_true(page_counter_read(&g->zswap) < before);
	assert_true(a64_load(&fx.store->nr_writes) > 0);
	assert_int_equal(a64_load(&fx.store->nr_writes), stat_read(g, STAT_ZSWPWB));
	fx_audit(&fx, 0);
	while (zswap_writeback(&fx.e, g, 1000) > 0)
		;
	assert_int_equal(page_counter_read(&g->zswap), 0);
	assert_int_equal(stat_read(g, STAT_ZSWPWB), N);
	check_pages(N, 100);
	assert_int_equal(stat_read(g, STAT_PSWPIN), N);
	fx_audit(&fx, 0);
}

TEST(write_back_that_fails_keeps_the_content)
{
	up(codec_words(), true);
	write_pages(N, 100);
	all_out();
	a32_store(&fx.store->write_errno, EIO);
	assert_int_equal(zswap_writeback(&fx.e, g, 1), 0);
	assert_int_equal(stat_read(g, STAT_ZSWAPPED), N);
	a32_store(&fx.store->write_errno, 0);
	check_pages(N, 100);
	fx_audit(&fx, 0);
}

TEST(zswap_max_holds)
{
	up(codec_words(), true);
	page_counter_force_max(&g->zswap, 1);
	write_pages(N, 100);
	all_out();
	assert_true(page_counter_read(&g->zswap) <= 1);
	assert_true(stat_read(g, STAT_ZSWPWB) > 0 || a64_load(&fx.store->nr_writes) > 0);
	fx_audit(&fx, 0);
	check_pages(N, 100);
	page_counter_force_max(&g->zswap, 0);
	write_pages(N, 500);
	all_out();
	assert_int_equal(page_counter_read(&g->zswap), 0);
	check_pages(N, 500);
	fx_audit(&fx, 0);
}

TEST(a_flipped_bit_is_an_error_never_data)
{
	struct zentry *en;
	uint64_t word;
	unsigned wrong = 0;

	up(codec_words(), true);
	write_pages(N, 100);
	all_out();
	for (unsigned i = 0; i < 512; i++) {
		en = &fx.e.swap->zswap->entry[i];
		if (en->state != ZENTRY_POOLED)
			continue;
		((uint8_t *)zpool_data(en->object))[i % en->object.len] ^= (uint8_t)(1u << i % 8);
		wrong++;
	}
	assert_int_equal(wrong, N);
	for (unsigned i = 0; i < N; i++)
		assert_int_not_equal(
			soft_read(&fx.soft, mm, 0, FX_BASE + i * PAGE_SIZE, &word, sizeof(word)),
			0);
	assert_int_equal(event_read(g, EVENT_SWAP_CORRUPT), N);
}

TEST(content_goes_to_the_parent_with_its_group)
{
	struct mem_cgroup *other;

	up(codec_words(), true);
	write_pages(N, 100);
	all_out();
	other = fx_group(&fx, NULL, "b", 0);
	rw_wrlock(&mm->mmap_lock);
	aptr_store(&mm->memcg, other);
	rw_wrunlock(&mm->mmap_lock);
	memcg_get(other);
	memcg_put(g);
	fx_ungroup(&fx, g);
	assert_true(page_counter_read(&fx.e.tree.root->zswap) > 0);
	fx_audit(&fx, 0);
	check_pages(N, 100);
	assert_int_equal(page_counter_read(&fx.e.tree.root->zswap), 0);
	fx_audit(&fx, 0);
}

static void round_trip(const struct codec *c)
{
	uint8_t out[ZPOOL_OBJECT_MAX];
	uint64_t back[PAGE_SIZE / 8];
	size_t n;

	assert_non_null(c);
	make(7);
	n = c->compress(page, out, sizeof(out));
	assert_true(n > 0 && n < PAGE_SIZE / 4);
	assert_true(c->decompress(out, n, back));
	assert_memory_equal(back, page, PAGE_SIZE);
	assert_false(c->decompress(out, n - 1, back));
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = (i + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)i << 29;
	assert_int_equal(c->compress(page, out, sizeof(out)), 0);
}

TEST(codecs_give_back_what_they_were_given)
{
	round_trip(codec_words());
#if HAVE_LZ4
	round_trip(codec_native("lz4"));
#endif
#if HAVE_ZSTD
	round_trip(codec_native("zstd"));
#endif
	assert_null(codec_native("none"));
}

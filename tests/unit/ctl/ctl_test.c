/* tests/unit/ctl/ctl_test.c - the control files: names, formats, defaults, errors, effects. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "soft_fixture.h"

static struct soft_fixture fx;
static char buf[CTL_TEXT_MAX];

static struct ctl of(struct mem_cgroup *g)
{
	return (struct ctl){ .e = &fx.e, .memcg = g };
}

static const char *get(struct mem_cgroup *g, enum ctl_view view, const char *name)
{
	const struct ctl_file *f = ctl_find(view, name);
	struct ctl c = of(g);

	TEXT_ON(out, buf);
	assert_non_null(f);
	assert_int_equal(ctl_read(&c, f, &out), 0);
	return buf;
}

static int set(struct mem_cgroup *g, enum ctl_view view, const char *name, const char *value)
{
	const struct ctl_file *f = ctl_find(view, name);
	struct ctl c = of(g);

	assert_non_null(f);
	return ctl_write(&c, f, value);
}

static int64_t number(struct mem_cgroup *g, enum ctl_view view, const char *name)
{
	return strtoll(get(g, view, name), NULL, 10);
}

/* The value of a key of a file "KEY VALUE". */
static int64_t key(struct mem_cgroup *g, enum ctl_view view, const char *name, const char *key)
{
	char *line, *rest = (char *)get(g, view, name);
	size_t len = strlen(key);

	while ((line = strsep(&rest, "\n")))
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoll(line + len, NULL, 10);
	fail_msg("%s has no key %s", name, key);
	return 0;
}

/* ---- the table ---- */

TEST(rows_are_in_order_and_each_says_what_it_accepts)
{
	unsigned nr;
	const struct ctl_file *files = ctl_files(&nr);

	for (unsigned i = 0; i < nr; i++) {
		const struct ctl_file *f = &files[i];

		assert_true(f->read || f->write);
		assert_int_equal(!f->write, !f->accepts);
		assert_true(strlen(f->name) < CTL_NAME_MAX);
		assert_ptr_equal(ctl_find(f->view, f->name), f);
		if (i && f->view == f[-1].view)
			assert_true(strcmp(f[-1].name, f->name) < 0);
	}
	assert_null(ctl_find(CTL_V2, "memory.usage_in_bytes"));
	assert_null(ctl_find(CTL_V1, "memory.current"));
	assert_null(ctl_find(CTL_V2, ""));
}

TEST(what_is_read_ends_with_a_newline_or_is_empty)
{
	unsigned nr;
	const struct ctl_file *files = ctl_files(&nr);
	struct ctl c;

	fx_up(&fx, SOFT_SHARED, 256, 64);
	c = of(fx_group(&fx, NULL, "a", 0));
	for (unsigned i = 0; i < nr; i++) {
		TEXT_ON(out, buf);
		assert_int_equal(ctl_read(&c, &files[i], &out), files[i].read ? 0 : -EINVAL);
		assert_true(!out.len || buf[out.len - 1] == '\n');
		if (!files[i].write)
			assert_int_equal(ctl_write(&c, &files[i], "1"), -EINVAL);
	}
}

TEST(a_text_that_does_not_fit_is_an_error)
{
	char small[16];
	struct ctl c;

	fx_up(&fx, SOFT_SHARED, 256, 64);
	c = of(fx_group(&fx, NULL, "a", 0));
	TEXT_ON(out, small);
	assert_int_equal(ctl_read(&c, ctl_find(CTL_V2, "memory.stat"), &out), -EFBIG);
}

TEST(a_new_group_has_the_kernels_defaults)
{
	static const struct {
		enum ctl_view view;
		const char *name, *text;
	} rows[] = {
		{ CTL_V2, "memory.current", "0\n" },
		{ CTL_V2, "memory.min", "0\n" },
		{ CTL_V2, "memory.low", "0\n" },
		{ CTL_V2, "memory.high", "max\n" },
		{ CTL_V2, "memory.max", "max\n" },
		{ CTL_V2, "memory.swap.max", "max\n" },
		{ CTL_V2, "memory.zswap.max", "max\n" },
		{ CTL_V2, "memory.events",
		  "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"
		  "oom_group_kill 0\n" },
		{ CTL_V2, "cgroup.procs", "" },
		{ CTL_V2, "cgroup.events", "populated 0\nfrozen 0\n" },
		{ CTL_V1, "memory.limit_in_bytes", "9223372036854771712\n" },
		{ CTL_V1, "memory.memsw.limit_in_bytes", "9223372036854771712\n" },
		{ CTL_V1, "memory.use_hierarchy", "1\n" },
		{ CTL_V1, "memory.failcnt", "0\n" },
	};
	struct mem_cgroup *g;

	fx_up(&fx, SOFT_SHARED, 256, 64);
	g = fx_group(&fx, NULL, "a", 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(get(g, rows[i].view, rows[i].name), rows[i].text);
}

/* ---- numbers ---- */

TEST(numbers_are_taken_as_the_kernel_takes_them)
{
	static const struct {
		const char *text;
		int64_t pages; /* -1: refused */
	} rows[] = {
		{ "0", 0 },
		{ "4095", 0 },
		{ "4096", 1 },
		{ "64M", 16384 },
		{ "64m", 16384 },
		{ "1G", 262144 },
		{ "0x2000", 2 },
		{ "max", PAGE_COUNTER_MAX },
		{ "18446744073709551615", PAGE_COUNTER_MAX },
		{ "99999999999999999999999", PAGE_COUNTER_MAX },
		{ "16E", PAGE_COUNTER_MAX },
		{ "", -1 },
		{ "-1", -1 },
		{ "+1", -1 },
		{ "M", -1 },
		{ "64MB", -1 },
		{ "64M 1", -1 },
		{ "1.5M", -1 },
		{ "max1", -1 },
		{ "Max", -1 },
		{ "12q", -1 },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t pages = -1;
		int err = ctl_parse_pages(rows[i].text, "max", &pages);

		assert_int_equal(err, rows[i].pages < 0 ? -EINVAL : 0);
		assert_int_equal(pages, rows[i].pages);
	}
}

/* ---- version 2 ---- */

TEST_EACH_KIND(a_lower_memory_max_holds_when_the_write_returns)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 512);
	g = fx_group(&fx, NULL, "a", 0);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	assert_true(number(g, CTL_V2, "memory.current") >= 200 * (int64_t)PAGE_SIZE);
	assert_int_equal(set(g, CTL_V2, "memory.max", " 400K\n"), 0);
	assert_string_equal(get(g, CTL_V2, "memory.max"), "409600\n");
	assert_in_range(page_counter_read(&g->memory), 1, 100);
	assert_true(number(g, CTL_V2, "memory.swap.current") >= 100 * (int64_t)PAGE_SIZE);
	assert_true(number(g, CTL_V2, "memory.peak") >= 200 * (int64_t)PAGE_SIZE);
	assert_int_equal(key(g, CTL_V2, "memory.events", "oom_kill"), 0);
	fx_check_run(&fx, mm, FX_BASE, 200, 1);
	assert_true(key(g, CTL_V2, "memory.stat", "pswpin") >= 100);
	fx_audit(&fx, 0);
}

TEST(a_memory_max_that_cannot_be_met_kills)
{
	struct mem_cgroup *g;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	fx.reap = true;
	g = fx_group(&fx, NULL, "a", 0);
	fx_fill_run(&fx, fx_mapped_mm(&fx, g, 200), FX_BASE, 200, 1);
	assert_int_equal(set(g, CTL_V2, "memory.max", "100K"), 0);
	assert_true(page_counter_read(&g->memory) <= 25);
	assert_int_equal(key(g, CTL_V2, "memory.events", "oom_kill"), 1);
	assert_int_equal(key(g, CTL_V2, "memory.events.local", "oom_kill"), 1);
}

TEST_EACH_KIND(memory_high_swaps_out_and_kills_nobody)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 512);
	g = fx_group(&fx, NULL, "a", 0);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	assert_int_equal(set(g, CTL_V2, "memory.high", "400K"), 0);
	assert_true(page_counter_read(&g->memory) <= 100);
	assert_int_equal(key(g, CTL_V2, "memory.events", "oom"), 0);
	assert_int_equal(set(g, CTL_V2, "memory.high", "max"), 0);
	assert_string_equal(get(g, CTL_V2, "memory.high"), "max\n");
	fx_check_run(&fx, mm, FX_BASE, 200, 1);
}

TEST_EACH_KIND(memory_reclaim_frees_what_was_asked_for_or_says_that_it_did_not)
{
	struct mem_cgroup *g;
	struct mm *mm;
	int64_t before;

	fx_up(&fx, kind, 1024, 512);
	g = fx_group(&fx, NULL, "a", 0);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	before = fx_usage(g);
	assert_int_equal(set(g, CTL_V2, "memory.reclaim", "200K"), 0);
	assert_true(fx_usage(g) <= before - 50);
	assert_int_equal(set(g, CTL_V2, "memory.reclaim", "1G"), -EAGAIN);
	assert_int_equal(set(g, CTL_V2, "memory.reclaim", ""), -EINVAL);
	assert_int_equal(set(g, CTL_V2, "memory.reclaim", "max"), -EINVAL);
	fx_check_run(&fx, mm, FX_BASE, 200, 1);
}

TEST(events_of_a_child_are_not_local_to_its_parent)
{
	struct mem_cgroup *top, *g;

	fx_up(&fx, SOFT_SHARED, 1024, 0);
	fx.reap = true;
	top = fx_group(&fx, NULL, "top", 0);
	g = fx_group(&fx, top, "a", 0);
	fx_fill_run(&fx, fx_mapped_mm(&fx, g, 50), FX_BASE, 50, 1);
	assert_int_equal(set(g, CTL_V2, "memory.max", "0"), 0);
	assert_int_equal(key(top, CTL_V2, "memory.events", "oom_kill"), 1);
	assert_int_equal(key(top, CTL_V2, "memory.events.local", "oom_kill"), 0);
	assert_int_equal(key(top, CTL_V2, "cgroup.stat", "nr_descendants"), 1);
}

/* ---- version 1 ---- */

TEST_EACH_KIND(a_limit_of_version_1_is_refused_when_usage_does_not_fit)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, kind, 1024, 50);
	g = fx_group(&fx, NULL, "a", 0);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	assert_int_equal(set(g, CTL_V1, "memory.limit_in_bytes", "400K"), -EBUSY);
	assert_string_equal(get(g, CTL_V1, "memory.limit_in_bytes"), "9223372036854771712\n");
	assert_int_equal(set(g, CTL_V1, "memory.limit_in_bytes", "640K"), 0);
	assert_true(page_counter_read(&g->memory) <= 160);
	assert_int_equal(key(g, CTL_V1, "memory.stat", "hierarchical_memory_limit"), 655360);
	fx_check_run(&fx, mm, FX_BASE, 200, 1);
	fx_audit(&fx, 0);
}

TEST(memory_may_not_have_more_than_memory_and_swap)
{
	struct mem_cgroup *g;

	fx_up(&fx, SOFT_SHARED, 256, 64);
	g = fx_group(&fx, NULL, "a", 0);
	assert_int_equal(set(g, CTL_V1, "memory.memsw.limit_in_bytes", "1M"), -EINVAL);
	assert_int_equal(set(g, CTL_V1, "memory.limit_in_bytes", "1M"), 0);
	assert_int_equal(set(g, CTL_V1, "memory.memsw.limit_in_bytes", "2M"), 0);
	assert_int_equal(set(g, CTL_V1, "memory.limit_in_bytes", "3M"), -EINVAL);
	assert_int_equal(set(g, CTL_V1, "memory.memsw.limit_in_bytes", "512K"), -EINVAL);
	assert_int_equal(set(g, CTL_V1, "memory.memsw.limit_in_bytes", "-1"), 0);
	assert_int_equal(set(g, CTL_V1, "memory.limit_in_bytes", "max"), -EINVAL);
	assert_string_equal(get(g, CTL_V2, "memory.max"), "1048576\n");
}

TEST(marks_and_fail_counts_start_anew)
{
	struct mem_cgroup *g;
	struct mm *mm;

	fx_up(&fx, SOFT_SHARED, 1024, 512);
	g = fx_group(&fx, NULL, "a", 50);
	mm = fx_mapped_mm(&fx, g, 200);
	fx_fill_run(&fx, mm, FX_BASE, 200, 1);
	assert_true(number(g, CTL_V1, "memory.failcnt") > 0);
	assert_int_equal(set(g, CTL_V1, "memory.failcnt", "0"), 0);
	assert_int_equal(number(g, CTL_V1, "memory.failcnt"), 0);
	fx_exit(&fx, mm);
	assert_int_equal(set(g, CTL_V1, "memory.force_empty", "0"), 0);
	assert_int_equal(number(g, CTL_V1, "memory.usage_in_bytes"), 0);
	assert_true(number(g, CTL_V1, "memory.max_usage_in_bytes") > 0);
	assert_int_equal(set(g, CTL_V1, "memory.max_usage_in_bytes", "0"), 0);
	assert_int_equal(number(g, CTL_V1, "memory.max_usage_in_bytes"), 0);
}

TEST(a_group_with_processes_is_not_emptied_by_force)
{
	struct mem_cgroup *g;

	fx_up(&fx, SOFT_SHARED, 256, 64);
	g = fx_group(&fx, NULL, "a", 0);
	fx_mapped_mm(&fx, g, 1);
	assert_int_equal(set(g, CTL_V1, "memory.force_empty", "0"), -EBUSY);
}

/* ---- junk ---- */

static unsigned seed = 13;

static unsigned draw(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

static void junk(char *text, unsigned len)
{
	static const char letters[] = "0123456789KMGmax-+.xX \n\t\"\\$%\001\377e";

	for (unsigned i = 0; i < len; i++)
		text[i] = letters[draw(sizeof(letters) - 1)];
	text[len] = '\0';
}

/* What is refused changes nothing. */
TEST(junk_is_refused_with_the_right_error_and_changes_nothing)
{
	unsigned nr, refused = 0;
	const struct ctl_file *files = ctl_files(&nr);
	struct mem_cgroup *g;
	struct ctl c;

	fx_up(&fx, SOFT_SHARED, 1024, 512);
	g = fx_group(&fx, NULL, "a", 0);
	fx_fill_run(&fx, fx_mapped_mm(&fx, g, 100), FX_BASE, 100, 1);
	c = of(g);
	for (int i = 0; i < 20000; i++) {
		const struct ctl_file *f = &files[draw(nr)];
		char text[2 * CTL_VALUE_MAX], before[CTL_VALUE_MAX];
		int err;

		junk(text, draw(draw(50) ? 12 : sizeof(text) - 1));
		TEXT_ON(was, before);
		if (f->read)
			(void)ctl_read(&c, f, &was);
		err = ctl_write(&c, f, text);
		assert_true(err == 0 || err == -EINVAL || err == -EBUSY || err == -EAGAIN);
		refused += err != 0;
		if (err && f->read && was.len < sizeof(before) - 1)
			assert_string_equal(get(g, f->view, f->name), before);
	}
	assert_true(refused > 15000);
	fx_audit(&fx, 0);
}

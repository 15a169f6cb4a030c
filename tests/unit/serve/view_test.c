/* tests/unit/serve/view_test.c - where a program looks for its limit, and what it reads there. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "serve/view.h"
#include "test.h"

#define MIB (1ll << 20)

static char buf[8192];

/* ---- where ---- */

static const char v1_mounts[] =
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	"40 31 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

static void expect_place(const char *cgroup, const char *mounts, bool v1, bool whole,
			 const char *path)
{
	struct view_place p;

	assert_int_equal(view_place_find(cgroup, mounts, &p), 0);
	assert_int_equal(p.v1, v1);
	assert_int_equal(p.whole, whole);
	assert_string_equal(p.path, path);
}

TEST(the_group_of_version_1_goes_before_that_of_version_2)
{
	expect_place("9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n", v1_mounts, true, true,
		     "/sys/fs/cgroup/memory/a/b");
	expect_place("9:name=systemd:/\n0::/user.slice/x:y\n",
		     "40 31 0:37 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", false,
		     true, "/sys/fs/cgroup/user.slice/x:y");
}

TEST(in_a_container_the_mount_shows_its_group_alone)
{
	expect_place("4:memory:/\n", v1_mounts, true, false, "/sys/fs/cgroup/memory");
	expect_place("4:memory:/docker/12\n",
		     "35 31 0:32 /docker/12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
		     true, false, "/sys/fs/cgroup/memory");
	expect_place("4:memory:/docker/12/inner\n",
		     "35 31 0:32 /docker/12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
		     true, true, "/sys/fs/cgroup/memory/inner");
	/* Inside of a run with a view. */
	expect_place("4:memory:/a\n",
		     "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n"
		     "36 35 0:99 / /m/a rw - tmpfs umemcg rw\n"
		     "37 36 0:32 /a/tasks /m/a/tasks rw - cgroup cgroup rw,memory\n",
		     true, true, "/m/a");
}

TEST(a_group_that_no_mount_shows_has_no_place)
{
	struct view_place p;

	assert_int_equal(view_place_find("", v1_mounts, &p), -ENOENT);
	assert_int_equal(view_place_find("4:memory:/a\n", "", &p), -ENOENT);
	assert_int_equal(view_place_find("4:memorable:/a\n", v1_mounts, &p), -ENOENT);
	assert_int_equal(view_place_find("4:memory:/docker/123\n",
					 "35 31 0:32 /docker/12 /m ro - cgroup cgroup rw,memory\n",
					 &p),
			 -ENOENT);
	assert_int_equal(view_place_find("junk\n::\n4:memory\n", "a - b\n - \n", &p), -ENOENT);
}

TEST(the_upper_of_two_mounts_counts)
{
	expect_place(
		"0::/a\n",
		"1 0 0:1 / /old rw - cgroup2 cgroup2 rw\n2 0 0:1 / /new rw - cgroup2 none rw\n",
		false, true, "/new/a");
}

/* ---- what ---- */

static const char host[] = "MemTotal:       24685520 kB\n"
			   "MemFree:        20000000 kB\n"
			   "MemAvailable:   22000000 kB\n"
			   "Buffers:            1000 kB\n"
			   "Cached:          3000000 kB\n"
			   "SwapTotal:             0 kB\n"
			   "SwapFree:              0 kB\n"
			   "SReclaimable:     700000 kB\n"
			   "HugePages_Total:       5\n";

static const struct view_memory group = {
	.max = 64 * MIB,
	.swap_max = 1024 * MIB,
	.current = 40 * MIB,
	.swap = 100 * MIB,
	.anon = 40 * MIB,
};

static const char *meminfo(struct view_memory m, bool with_swap)
{
	TEXT_ON(out, buf);
	view_meminfo(&m, with_swap, host, &out);
	assert_false(out.cut);
	return buf;
}

TEST(meminfo_shows_the_group_in_the_hosts_lines)
{
	assert_string_equal(meminfo(group, false), "MemTotal:          65536 kB\n"
						   "MemFree:           24576 kB\n"
						   "MemAvailable:      24576 kB\n"
						   "Buffers:               0 kB\n"
						   "Cached:                0 kB\n"
						   "SwapTotal:       1048576 kB\n"
						   "SwapFree:         946176 kB\n"
						   "SReclaimable:          0 kB\n"
						   "HugePages_Total:       5\n");
}

TEST(memory_and_swap_may_be_one_total)
{
	const char *text = meminfo(group, true);

	assert_non_null(strstr(text, "MemTotal:        1114112 kB\n"));
	assert_non_null(strstr(text, "MemFree:          970752 kB\n"));
	assert_non_null(strstr(text, "SwapTotal:             0 kB\n"));
}

TEST(without_a_limit_or_above_the_machines_memory_the_total_is_the_machines)
{
	struct view_memory m = group;

	m.max = -1;
	assert_non_null(strstr(meminfo(m, false), "MemTotal:       24685520 kB\n"));
	m.max = 1ll << 40;
	assert_non_null(strstr(meminfo(m, false), "MemTotal:       24685520 kB\n"));
}

TEST(more_in_use_than_the_limit_leaves_nothing_free)
{
	struct view_memory m = group;

	m.current = 66 * MIB;
	assert_non_null(strstr(meminfo(m, false), "MemFree:               0 kB\n"));
}

TEST(a_limit_that_is_shown_is_below_all_memory)
{
	struct view_memory m = group;

	m.limit_shown = true;
	assert_non_null(strstr(meminfo(m, false), "MemTotal:          65540 kB\n"));
}

TEST(swaps_has_one_line_or_none)
{
	struct view_memory m = group;

	TEXT_ON(out, buf);
	view_swaps(&m, false, &out);
	assert_non_null(strstr(buf, "\n/umemcg   "));
	assert_non_null(strstr(buf, "\t1048576\t\t102400\t\t-2\n"));
	text_init(&out, buf, sizeof(buf));
	view_swaps(&m, true, &out);
	assert_null(strstr(buf, "umemcg"));
	m.swap_max = 0;
	text_init(&out, buf, sizeof(buf));
	view_swaps(&m, false, &out);
	assert_string_equal(buf, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

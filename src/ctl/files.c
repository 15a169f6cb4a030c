/* ctl/files.c - the table of control files, and what each reads and writes.
 *
 * A function serves all files of its kind; the row's argument says which of them. The rules are in
 * docs/semantics.md, row by row.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/ctl.h"
#include "base/text.h"
#include "memcg/tree.h"
#include "mm/limit.h"
#include "mm/move.h"

enum counter { MEMORY, MEMSW, SWAP, ZSWAP };

static struct page_counter *counter_of(struct mem_cgroup *g, int which)
{
	switch ((enum counter)which) {
	case MEMORY:
		return &g->memory;
	case MEMSW:
		return &g->memsw;
	case SWAP:
		return &g->swap;
	case ZSWAP:
		break;
	}
	VM_ASSERT(which == ZSWAP);
	return &g->zswap;
}

static atomic64_t *limit_word(struct mem_cgroup *g, enum ctl_limit which)
{
	switch (which) {
	case CTL_MIN:
		return &g->min;
	case CTL_LOW:
		return &g->low;
	case CTL_HIGH:
		return &g->memory.high;
	case CTL_MAX:
		return &g->memory.max;
	case CTL_MEMSW_MAX:
		return &g->memsw.max;
	case CTL_SWAP_MAX:
		return &g->swap.max;
	case CTL_ZSWAP_MAX:
		break;
	}
	VM_ASSERT(which == CTL_ZSWAP_MAX);
	return &g->zswap.max;
}

static int64_t get_limit(const struct ctl *c, struct mem_cgroup *g, enum ctl_limit which)
{
	if (c->host && c->host->limit)
		return c->host->limit(c->arg, g, which);
	return a64_load(limit_word(g, which));
}

static void set_limit(const struct ctl *c, enum ctl_limit which, int64_t pages)
{
	VM_ASSERT(pages >= 0);
	if (c->host && c->host->set_limit)
		c->host->set_limit(c->arg, c->memcg, which, pages);
	else
		a64_store(limit_word(c->memcg, which), pages);
}

/* ---- reading ---- */

static void put_bytes(struct text *out, int64_t pages)
{
	text_printf(out, "%" PRId64 "\n", pages * (int64_t)PAGE_SIZE);
}

static void read_usage(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	put_bytes(out, page_counter_read(counter_of(c->memcg, f->arg)));
}

static void read_peak(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	put_bytes(out, a64_load(&counter_of(c->memcg, f->arg)->watermark));
}

static void read_failcnt(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	text_printf(out, "%" PRId64 "\n", a64_load(&counter_of(c->memcg, f->arg)->failcnt));
}

/* v1 has no word for "none": the largest number of bytes stands for it. */
static void read_limit(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	int64_t pages = get_limit(c, c->memcg, (enum ctl_limit)f->arg);

	if (pages >= PAGE_COUNTER_MAX && f->view == CTL_V2)
		text_puts(out, "max\n");
	else
		put_bytes(out, pages < PAGE_COUNTER_MAX ? pages : PAGE_COUNTER_MAX);
}

/* @arg of a file of events: of the group alone? */
static void put_events(const struct ctl *c, const char *file, bool local, struct text *out)
{
	for (int i = 0; i < NR_EVENTS; i++)
		if (strcmp(event_file(i), file) == 0)
			text_printf(out, "%s %" PRId64 "\n", event_key(i),
				    local ? event_read_local(c->memcg, i)
					  : event_read(c->memcg, i));
}

static void read_events(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	put_events(c, "memory.events", f->arg, out);
	/* A group is not killed as a whole. */
	text_puts(out, "oom_group_kill 0\n");
}

static void read_swap_events(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)f;
	put_events(c, "memory.swap.events", false, out);
}

static int64_t not_negative(int64_t value)
{
	return value < 0 ? 0 : value;
}

static int64_t scale_of(enum stat_item item)
{
	return stat_is_gauge(item) ? (int64_t)PAGE_SIZE : 1;
}

static void read_stat(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)f;
	for (int i = 0; i < NR_STATS; i++)
		text_printf(out, "%s %" PRId64 "\n", stat_key(i),
			    not_negative(stat_read(c->memcg, i)) * scale_of(i));
}

/* The names that v1 gives to the same statistics. */
static const struct {
	const char *key;
	enum stat_item item;
} v1_stat[] = {
	{ "cache", STAT_FILE },
	{ "rss", STAT_ANON },
	{ "shmem", STAT_SHMEM },
	{ "mapped_file", STAT_FILE_MAPPED },
	{ "dirty", STAT_FILE_DIRTY },
	{ "writeback", STAT_WRITEBACK },
	{ "pgfault", STAT_PGFAULT },
	{ "pgmajfault", STAT_PGMAJFAULT },
	{ "inactive_anon", STAT_INACTIVE_ANON },
	{ "active_anon", STAT_ACTIVE_ANON },
	{ "inactive_file", STAT_INACTIVE_FILE },
	{ "active_file", STAT_ACTIVE_FILE },
	{ "unevictable", STAT_UNEVICTABLE },
};

#define NR_V1_STATS (sizeof(v1_stat) / sizeof(v1_stat[0]))

/* The lowest limit from the group up. */
static int64_t lowest(const struct ctl *c, enum ctl_limit which)
{
	int64_t least = PAGE_COUNTER_MAX;

	for (struct mem_cgroup *g = c->memcg; g; g = g->parent) {
		int64_t here = get_limit(c, g, which);

		if (here < least)
			least = here;
	}
	return least;
}

static void read_stat_v1(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)f;
	for (unsigned i = 0; i < NR_V1_STATS; i++)
		text_printf(out, "%s %" PRId64 "\n", v1_stat[i].key,
			    not_negative(stat_read_local(c->memcg, v1_stat[i].item)) *
				    scale_of(v1_stat[i].item));
	text_puts(out, "hierarchical_memory_limit ");
	put_bytes(out, lowest(c, CTL_MAX));
	text_puts(out, "hierarchical_memsw_limit ");
	put_bytes(out, lowest(c, CTL_MEMSW_MAX));
	for (unsigned i = 0; i < NR_V1_STATS; i++)
		text_printf(out, "total_%s %" PRId64 "\n", v1_stat[i].key,
			    not_negative(stat_read(c->memcg, v1_stat[i].item)) *
				    scale_of(v1_stat[i].item));
}

/* @arg: threads? */
static void read_processes(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	if (c->host && c->host->processes)
		c->host->processes(c->arg, c->memcg, f->arg, out);
}

static void read_cgroup_events(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	bool populated = c->host && c->host->populated && c->host->populated(c->arg, c->memcg);

	(void)f;
	text_printf(out, "populated %d\nfrozen 0\n", populated);
}

static void read_cgroup_stat(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	int64_t n = -1;

	(void)f;
	rcu_rd_lock();
	for (struct mem_cgroup *g = c->memcg; g; g = memcg_next(c->memcg, g))
		n++;
	rcu_rd_unlock();
	/* A removed group is gone: no page keeps it (memcg/tree.h). */
	text_printf(out, "nr_descendants %" PRId64 "\nnr_dying_descendants 0\n", n);
}

static void read_controllers(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)c, (void)f;
	text_puts(out, "memory\n");
}

static void read_type(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)c, (void)f;
	text_puts(out, "domain\n");
}

static void read_one(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	(void)c, (void)f;
	text_puts(out, "1\n");
}

/* ---- writing ---- */

/* v2: the limit holds at once; memory.max makes room for it. */
static int write_limit(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	int64_t pages;
	int err = ctl_parse_pages(text, "max", &pages);

	if (err)
		return err;
	set_limit(c, (enum ctl_limit)f->arg, pages);
	if (f->arg == CTL_HIGH)
		(void)group_shrink(c->e, c->memcg, pages);
	if (f->arg != CTL_MAX)
		return 0;
	if (c->host && c->host->enforce)
		c->host->enforce(c->arg, c->memcg);
	else
		group_enforce_max(c->e, c->memcg);
	return 0;
}

/* v1: only if usage fits. Memory may not have more than memory+swap. */
static int write_limit_v1(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	bool memsw = f->arg == CTL_MEMSW_MAX;
	int64_t pages, other = get_limit(c, c->memcg, memsw ? CTL_MAX : CTL_MEMSW_MAX);
	int err = ctl_parse_pages(text, "-1", &pages);

	if (!err && (memsw ? pages < other : pages > other))
		err = -EINVAL;
	if (err)
		return err;
	err = group_try_max(c->e, c->memcg, memsw ? &c->memcg->memsw : &c->memcg->memory, pages);
	if (!err)
		set_limit(c, (enum ctl_limit)f->arg, pages);
	return err;
}

static int write_reclaim(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	int64_t pages;
	int err = ctl_parse_pages(text, "", &pages);

	(void)f;
	return err || !*text ? -EINVAL : group_reclaim(c->e, c->memcg, pages);
}

/* Any number resets the counter's mark. */
static int write_peak(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	struct page_counter *counter = counter_of(c->memcg, f->arg);

	(void)text;
	a64_store(&counter->watermark, page_counter_read(counter));
	return 0;
}

static int write_failcnt(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	(void)text;
	a64_store(&counter_of(c->memcg, f->arg)->failcnt, 0);
	return 0;
}

static int write_force_empty(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	(void)f, (void)text;
	return group_force_empty(c->e, c->memcg);
}

static int write_kill(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	(void)f;
	if (strcmp(text, "1") != 0)
		return -EINVAL;
	return c->host && c->host->kill ? c->host->kill(c->arg, c->memcg) : 0;
}

/* Groups have their hierarchy always: 1 is what it is, as in the kernel since 5.11. */
static int write_one(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	(void)c, (void)f;
	return strcmp(text, "1") == 0 ? 0 : -EINVAL;
}

/* ---- the table ---- */

#define BYTES_V2 "bytes, as in 67108864 or 64M, or max"
#define BYTES_V1 "bytes, as in 67108864 or 64M, or -1 for no limit"
#define ANYTHING "anything: it starts anew"

static const struct ctl_file files[] = {
	{ "cgroup.controllers", CTL_V2, NULL, read_controllers, NULL, 0 },
	{ "cgroup.events", CTL_V2, NULL, read_cgroup_events, NULL, 0 },
	{ "cgroup.kill", CTL_V2, "1", NULL, write_kill, 0 },
	{ "cgroup.procs", CTL_V2, NULL, read_processes, NULL, false },
	{ "cgroup.stat", CTL_V2, NULL, read_cgroup_stat, NULL, 0 },
	{ "cgroup.threads", CTL_V2, NULL, read_processes, NULL, true },
	{ "cgroup.type", CTL_V2, NULL, read_type, NULL, 0 },
	{ "memory.current", CTL_V2, NULL, read_usage, NULL, MEMORY },
	{ "memory.events", CTL_V2, NULL, read_events, NULL, false },
	{ "memory.events.local", CTL_V2, NULL, read_events, NULL, true },
	{ "memory.high", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_HIGH },
	{ "memory.low", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_LOW },
	{ "memory.max", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_MAX },
	{ "memory.min", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_MIN },
	{ "memory.peak", CTL_V2, NULL, read_peak, NULL, MEMORY },
	{ "memory.reclaim", CTL_V2, "bytes, as in 67108864 or 64M", NULL, write_reclaim, 0 },
	{ "memory.stat", CTL_V2, NULL, read_stat, NULL, 0 },
	{ "memory.swap.current", CTL_V2, NULL, read_usage, NULL, SWAP },
	{ "memory.swap.events", CTL_V2, NULL, read_swap_events, NULL, 0 },
	{ "memory.swap.max", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_SWAP_MAX },
	{ "memory.swap.peak", CTL_V2, NULL, read_peak, NULL, SWAP },
	{ "memory.zswap.current", CTL_V2, NULL, read_usage, NULL, ZSWAP },
	{ "memory.zswap.max", CTL_V2, BYTES_V2, read_limit, write_limit, CTL_ZSWAP_MAX },

	{ "cgroup.procs", CTL_V1, NULL, read_processes, NULL, false },
	{ "memory.failcnt", CTL_V1, ANYTHING, read_failcnt, write_failcnt, MEMORY },
	{ "memory.force_empty", CTL_V1, ANYTHING, NULL, write_force_empty, 0 },
	{ "memory.limit_in_bytes", CTL_V1, BYTES_V1, read_limit, write_limit_v1, CTL_MAX },
	{ "memory.max_usage_in_bytes", CTL_V1, ANYTHING, read_peak, write_peak, MEMORY },
	{ "memory.memsw.failcnt", CTL_V1, ANYTHING, read_failcnt, write_failcnt, MEMSW },
	{ "memory.memsw.limit_in_bytes", CTL_V1, BYTES_V1, read_limit, write_limit_v1,
	  CTL_MEMSW_MAX },
	{ "memory.memsw.max_usage_in_bytes", CTL_V1, ANYTHING, read_peak, write_peak, MEMSW },
	{ "memory.memsw.usage_in_bytes", CTL_V1, NULL, read_usage, NULL, MEMSW },
	{ "memory.stat", CTL_V1, NULL, read_stat_v1, NULL, 0 },
	{ "memory.usage_in_bytes", CTL_V1, NULL, read_usage, NULL, MEMORY },
	{ "memory.use_hierarchy", CTL_V1, "1", read_one, write_one, 0 },
	{ "tasks", CTL_V1, NULL, read_processes, NULL, true },
};

const struct ctl_file *ctl_files(unsigned *nr)
{
	*nr = sizeof(files) / sizeof(files[0]);
	return files;
}

/* memcg/stat.h - statistics and events of a group: per-CPU deltas, summed on read.
 *
 * Adding is one relaxed atomic addition to this CPU's slot; nothing is lost, so a sum taken at rest
 * is exact. A gauge may read low while another CPU is between an add and its counterpart; readers
 * clamp at 0, the audit (at rest) does not.
 *
 * Locks: none.
 */
#ifndef UMEMCG_MEMCG_STAT_H
#define UMEMCG_MEMCG_STAT_H

#include "plat/plat.h"

enum stat_item {
#define STAT(id, key, kind) STAT_##id,
#include "memcg/stat_items.def"
#undef STAT
	NR_STATS
};

enum event_item {
#define EVENT(id, file, key) EVENT_##id,
#include "memcg/event_items.def"
#undef EVENT
	NR_EVENTS
};

struct memcg_stat {
	struct {
		atomic64_t v[NR_STATS];
	} cpu[PLAT_NR_CPUS];
	atomic64_t event[NR_EVENTS]; /* local */
};

struct mem_cgroup;

/* Add @d to a statistic of @memcg itself (not of its ancestors: reads sum over the subtree). */
void stat_add(struct mem_cgroup *memcg, enum stat_item item, int64_t d);
/* This group's own value; exact at rest, not clamped. */
int64_t stat_read_local(const struct mem_cgroup *memcg, enum stat_item item);
/* The value of the whole subtree. Walks it under RCU. */
int64_t stat_read(struct mem_cgroup *memcg, enum stat_item item);
/* Move everything @from holds into @to: removal of a group. Called once before and once after the
 * grace period, so additions that raced with the first call are not lost. */
void stat_fold(struct mem_cgroup *from, struct mem_cgroup *to);

void event_add(struct mem_cgroup *memcg, enum event_item item, int64_t d);
int64_t event_read_local(const struct mem_cgroup *memcg, enum event_item item);
int64_t event_read(struct mem_cgroup *memcg, enum event_item item);

const char *stat_key(enum stat_item item);
bool stat_is_gauge(enum stat_item item);
const char *event_key(enum event_item item);
const char *event_file(enum event_item item);

#endif

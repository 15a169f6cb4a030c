/* memcg/stat.c - statistics of a group: per-CPU deltas, summed on read.
 *
 * I1  The sum over CPUs is the value; a single CPU's slot may be negative.
 * I2  Folding moves, never copies: what leaves @from arrives in @to. Sums over the tree are
 * preserved. Reads return the plain sum, even below 0: the control files clamp gauges, the audit
 * does not.
 * Locks: none.
 */
#include "memcg/tree.h"

static const struct {
	const char *key;
	bool gauge;
} items[NR_STATS] = {
#define GAUGE               true
#define EVENT               false
#define STAT(id, key, kind) [STAT_##id] = { key, kind },
#include "memcg/stat_items.def"
#undef STAT
#undef EVENT
#undef GAUGE
};

const char *stat_key(enum stat_item item)
{
	VM_ASSERT(item < NR_STATS);
	return items[item].key;
}

bool stat_is_gauge(enum stat_item item)
{
	VM_ASSERT(item < NR_STATS);
	return items[item].gauge;
}

void stat_add(struct mem_cgroup *memcg, enum stat_item item, int64_t d)
{
	VM_ASSERT(item < NR_STATS);
	a64_add_relaxed(&memcg->stat.cpu[plat_cpu()].v[item], d);
}

int64_t stat_read_local(const struct mem_cgroup *memcg, enum stat_item item)
{
	int64_t sum = 0;

	VM_ASSERT(item < NR_STATS);
	for (unsigned cpu = 0; cpu < PLAT_NR_CPUS; cpu++)
		sum += a64_load_relaxed(&memcg->stat.cpu[cpu].v[item]);
	return sum;
}

int64_t stat_read(struct mem_cgroup *memcg, enum stat_item item)
{
	int64_t sum = 0;

	VM_ASSERT(item < NR_STATS);
	rcu_rd_lock();
	for (struct mem_cgroup *pos = memcg; pos; pos = memcg_next(memcg, pos))
		sum += stat_read_local(pos, item);
	rcu_rd_unlock();
	return sum;
}

/* Move one value. Writing to @to only if it is not 0 keeps the cache lines shared. */
static void fold(atomic64_t *from, atomic64_t *to)
{
	int64_t d = a64_load(from) ? a64_xchg(from, 0) : 0;

	if (d)
		a64_acc(to, d);
}

void stat_fold(struct mem_cgroup *from, struct mem_cgroup *to)
{
	for (unsigned cpu = 0; cpu < PLAT_NR_CPUS; cpu++)
		for (int i = 0; i < NR_STATS; i++)
			fold(&from->stat.cpu[cpu].v[i], &to->stat.cpu[cpu].v[i]);
	for (int i = 0; i < NR_EVENTS; i++)
		fold(&from->stat.event[i], &to->stat.event[i]);
}

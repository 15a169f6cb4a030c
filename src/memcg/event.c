/* memcg/event.c - events of a group: counted where they happen, summed over the subtree on read.
 *
 * Events are rare, so one atomic per group is enough. A removed group's events move to its parent
 * (stat_fold), so a subtree's count is never lower after a removal than before it.
 * Locks: none.
 */
#include "memcg/tree.h"

static const struct {
	const char *file, *key;
} items[NR_EVENTS] = {
#define EVENT(id, file, key) [EVENT_##id] = { file, key },
#include "memcg/event_items.def"
#undef EVENT
};

const char *event_key(enum event_item item)
{
	VM_ASSERT(item < NR_EVENTS);
	return items[item].key;
}

const char *event_file(enum event_item item)
{
	VM_ASSERT(item < NR_EVENTS);
	return items[item].file;
}

void event_add(struct mem_cgroup *memcg, enum event_item item, int64_t d)
{
	VM_BUG_ON(d < 0);
	a64_acc(&memcg->stat.event[item], d);
}

int64_t event_read_local(const struct mem_cgroup *memcg, enum event_item item)
{
	VM_ASSERT(item < NR_EVENTS);
	return a64_load(&memcg->stat.event[item]);
}

int64_t event_read(struct mem_cgroup *memcg, enum event_item item)
{
	int64_t sum = 0;

	VM_ASSERT(item < NR_EVENTS);
	rcu_rd_lock();
	for (struct mem_cgroup *pos = memcg; pos; pos = memcg_next(memcg, pos))
		sum += event_read_local(pos, item);
	rcu_rd_unlock();
	return sum;
}

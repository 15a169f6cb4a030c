/* serve/client/bounds.c - the limits of the run: as they were set, and as the group's counters show
 * them. See bounds.h.
 *
 * Locks: bounds.lock, innermost (rank LEAF).
 */
#include "serve/client/bounds.h"

#include "memcg/tree.h"
#include "mm/reclaim.h"
#include "serve/client/supervisor.h"

static int64_t with(int64_t limit, int64_t pages)
{
	return limit < PAGE_COUNTER_MAX - pages ? limit + pages : PAGE_COUNTER_MAX;
}

/* bounds.lock held. */
static void apply(struct bounds *b, struct mem_cgroup *g)
{
	lockdep_assert_held(&b->lock);
	page_counter_force_max(&g->memory, with(b->limit[CTL_MAX], b->beyond));
	page_counter_force_max(&g->memsw, with(b->limit[CTL_MEMSW_MAX], b->beyond));
	page_counter_force_max(&g->swap, b->limit[CTL_SWAP_MAX]);
	page_counter_force_max(&g->zswap, b->limit[CTL_ZSWAP_MAX]);
	a64_store(&g->memory.high, with(b->limit[CTL_HIGH], b->several));
	a64_store(&g->min, b->limit[CTL_MIN]);
	a64_store(&g->low, b->limit[CTL_LOW]);
}

void bounds_init(struct bounds *b, struct mem_cgroup *g, const int64_t limit[BOUNDS_NR])
{
	spin_init(&b->lock, RANK_LEAF);
	spin_lock(&b->lock);
	for (int i = 0; i < BOUNDS_NR; i++)
		b->limit[i] = limit[i];
	apply(b, g);
	spin_unlock(&b->lock);
}

int64_t bounds_get(struct bounds *b, enum ctl_limit which)
{
	int64_t limit;

	spin_lock(&b->lock);
	limit = b->limit[which];
	spin_unlock(&b->lock);
	return limit;
}

void bounds_set(struct bounds *b, struct mem_cgroup *g, enum ctl_limit which, int64_t pages)
{
	VM_ASSERT(pages >= 0 && pages <= PAGE_COUNTER_MAX);
	spin_lock(&b->lock);
	b->limit[which] = pages;
	apply(b, g);
	spin_unlock(&b->lock);
}

void bounds_beyond(struct bounds *b, struct mem_cgroup *g, int64_t pages)
{
	VM_ASSERT(pages >= 0);
	spin_lock(&b->lock);
	b->beyond = pages;
	apply(b, g);
	spin_unlock(&b->lock);
}

void bounds_several(struct bounds *b, struct mem_cgroup *g, int64_t pages)
{
	VM_ASSERT(pages >= 0);
	spin_lock(&b->lock);
	if (b->several != pages) {
		b->several = pages;
		apply(b, g);
	}
	spin_unlock(&b->lock);
}

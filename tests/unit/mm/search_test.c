/* tests/unit/mm/search_test.c - before a process is killed the MMU searches for memory that could
 * be managed but is not yet. */
#include "soft_fixture.h"

static struct soft_fixture fx;

static struct mem_cgroup *searched;
static int searches;

/* Finds 60 pages the first time, and none after that. */
static bool find_sixty(struct mmu *mmu, bool wait)
{
	(void)mmu;
	assert_true(wait);
	if (searches++)
		return false;
	charge_unmanaged(&fx.e, searched, 101, 41);
	return true;
}

/* Memory that bypassed us may be what fills the group. */
TEST_EACH_KIND(before_a_process_is_killed_what_could_be_managed_is_looked_for)
{
	const struct mmu_ops *before;
	static struct mmu_ops ops;
	struct mem_cgroup *g;

	fx_up(&fx, kind, 1024, 512);
	before = fx.e.mmu->ops;
	ops = *before;
	ops.search = find_sixty;
	fx.e.mmu->ops = &ops;
	searched = g = fx_group(&fx, NULL, "a", 100);
	searches = 0;
	fx_mm(&fx, g);
	charge_unmanaged(&fx.e, g, 0, 101);
	assert_true(charge_settle(&fx.e, g));
	assert_int_equal(searches, 1);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 0);
	charge_unmanaged(&fx.e, g, 41, 101);
	charge_settle(&fx.e, g);
	assert_int_equal(searches, 2);
	assert_int_equal(event_read(g, EVENT_OOM_KILL), 1);
	charge_unmanaged(&fx.e, g, 101, 0);
	fx.e.mmu->ops = before;
}

/* check/scenario/group_scenarios.c - the life of groups and handles between tasks that follow a
 * charge word, walk the tree, charge and remove (seed 1). */
#include "scenario/groups.h"

static struct mem_cgroup *a, *b;
static atomic64_t *page;

/* What the tasks of one execution found. */
struct found {
	int create, remove;
	unsigned visits[GROUPS_MAX];
	struct mem_cgroup *made;
};

static struct found *found;

static void up(void)
{
	groups_up();
	found = plat_alloc(sizeof(*found));
}

/* ---- tasks ---- */

static void uncharge(void *word)
{
	groups_uncharge(word);
}

/* A task that needs the owner of a page for longer than a read section. */
static void use_owner(void *word)
{
	struct mem_cgroup *g = page_cgroup_get_memcg(word);

	if (!g)
		return;
	(void)page_counter_read(&g->memory);
	memcg_put(g);
}

/* ---- the owner of a page ---- */

static void owner_and_removal_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	page = groups_page(a);
	sim_task("reader", use_owner, page, 0, 0);
	sim_task("rmdir", groups_remove_task, a, 1, 0);
}

static void owner_and_removal_end(void)
{
	expect_is("the page's owner is the root", page_cgroup_memcg(page) == ROOT, 1);
	groups_end();
}

DEFINE_SCENARIO(owner_and_removal, "owner-and-removal", owner_and_removal_setup,
		owner_and_removal_end,
		"a reader takes a reference on the owner of a page while the group is removed");

/* The group is gone, only the page keeps its handle. */
static void handle_and_reader_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	page = groups_page(a);
	groups_remove(a);
	sim_task("reader", use_owner, page, 0, 0);
	sim_task("last unmap", uncharge, page, 1, 0);
}

DEFINE_SCENARIO(handle_and_reader, "handle-and-reader", handle_and_reader_setup, groups_end,
		"the last reference of a handle goes while a reader follows it");

static void charge_page(void *arg)
{
	(void)arg;
	page_counter_charge(&a->memsw, 1);
	page_counter_charge(&a->memory, 1);
	page_cgroup_charge(page, a->handle);
	memcg_put(a); /* drops the reference that kept it, as an address space does */
}

static void charge_and_removal_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	memcg_get(a);
	page = groups_page(a);
	groups_uncharge(page);
	stock_drain(a);
	sim_task("charge", charge_page, NULL, 0, 0);
	sim_task("rmdir", groups_remove_task, a, 1, 0);
}

DEFINE_SCENARIO(
	charge_and_removal, "charge-and-removal", charge_and_removal_setup, owner_and_removal_end,
	"a page is charged to a group that is removed: the charge is its parent's in the end");

/* ---- statistics ---- */

static void count(void *word)
{
	struct mem_cgroup *g;

	rcu_rd_lock();
	g = page_cgroup_memcg(word);
	stat_add(g, STAT_PGFAULT, 1);
	event_add(g, EVENT_MAX, 1);
	rcu_rd_unlock();
}

static void stat_and_removal_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	page = groups_page(a);
	stat_add(a, STAT_PGFAULT, 1);
	event_add(a, EVENT_MAX, 1);
	sim_task("count", count, page, 0, 0);
	sim_task("rmdir", groups_remove_task, a, 1, 0);
}

static void stat_and_removal_end(void)
{
	rcu_flush();
	expect_is("I23: the root's statistic", stat_read(ROOT, STAT_PGFAULT), 2);
	expect_is("I22: the root's events", event_read(ROOT, EVENT_MAX), 2);
	groups_end();
}

DEFINE_SCENARIO(stat_and_removal, "stat-and-removal", stat_and_removal_setup, stat_and_removal_end,
		"something is counted in a group whose statistics are folded into its parent's");

/* ---- the tree ---- */

/* As reclaim walks: a reference on its position, and one read section per step. */
static void walk(void *arg)
{
	struct mem_cgroup *at = NULL, *next;

	(void)arg;
	do {
		rcu_rd_lock();
		next = at;
		do
			next = memcg_next(ROOT, next);
		while (next && !memcg_tryget(next));
		rcu_rd_unlock();
		if (at)
			memcg_put(at);
		at = next;
		if (at)
			found->visits[at->id - 1]++;
	} while (at);
}

static void remove_both(void *arg)
{
	(void)arg;
	expect_is("removal of the child", groups_remove(b), 0);
	expect_is("removal of the parent", groups_remove(a), 0);
}

static void walk_and_removals_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	b = groups_make(a, "B");
	sim_task("walk", walk, NULL, 0, 0);
	sim_task("rmdir", remove_both, NULL, 1, 0);
}

static void walk_end(void)
{
	for (unsigned i = 0; i < GROUPS_MAX; i++)
		if (found->visits[i] > 1)
			sim_fail(SIM_WRONG, NULL, 0, "the walk came to group %u %u times", i + 1,
				 found->visits[i]);
	expect_is("how often the walk came to the root", found->visits[0], 1);
	groups_end();
}

DEFINE_SCENARIO(walk_and_removals, "walk-and-removals", walk_and_removals_setup, walk_end,
		"a child, then its parent are removed while reclaim walks the tree");

static void remove_siblings(void *arg)
{
	(void)arg;
	expect_is("removal of A", groups_remove(a), 0);
	expect_is("removal of B", groups_remove(b), 0);
}

static void walk_past_removed_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	b = groups_make(ROOT, "B");
	groups_make(ROOT, "C");
	groups_page(a); /* keeps the handle: one grace period less */
	groups_page(b);
	sim_task("walk", walk, NULL, 0, 0);
	sim_task("rmdir", remove_siblings, NULL, 1, 0);
}

static void walk_past_removed_end(void)
{
	expect_is("how often the walk came to the sibling that stays", found->visits[3], 1);
	walk_end();
}

DEFINE_SCENARIO(walk_past_removed, "walk-past-removed", walk_past_removed_setup,
		walk_past_removed_end,
		"two siblings are removed while reclaim walks past them to a third");

static void create_child(void *arg)
{
	(void)arg;
	found->made = memcg_create(a, "B", &found->create);
	memcg_put(a);
}

static void remove_parent(void *arg)
{
	(void)arg;
	found->remove = groups_remove(a);
}

static void create_and_removal_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	memcg_get(a);
	sim_task("mkdir", create_child, NULL, 0, 0);
	sim_task("rmdir", remove_parent, NULL, 1, 0);
}

static void create_and_removal_end(void)
{
	if (found->made) {
		expect_is("result of the creation", found->create, 0);
		expect_is("result of the removal", found->remove, -EBUSY);
		gs->group[gs->nr_groups++] = found->made;
	} else {
		expect_is("result of the creation", found->create, -ENOENT);
		expect_is("result of the removal", found->remove, 0);
	}
	groups_end();
}

DEFINE_SCENARIO(create_and_removal, "create-and-removal", create_and_removal_setup,
		create_and_removal_end,
		"a child is created while its parent is removed: one of the two fails");

static void create_b(void *arg)
{
	(void)arg;
	if (memcg_create(ROOT, "B", &(int){ 0 }))
		found->create++;
}

static void create_twice_setup(void)
{
	up();
	sim_task("mkdir 1", create_b, NULL, 0, 0);
	sim_task("mkdir 2", create_b, NULL, 1, 0);
}

static void create_twice_end(void)
{
	expect_is("how many were created", found->create, 1);
	gs->group[gs->nr_groups++] = aptr_load(&ROOT->first_child);
	groups_end();
}

DEFINE_SCENARIO(create_twice, "create-twice", create_twice_setup, create_twice_end,
		"two groups of one name are created: one is");

static void remove_and_count(void *arg)
{
	(void)arg;
	found->remove += groups_remove(a) == 0;
	memcg_put(a);
}

static void remove_twice_setup(void)
{
	up();
	a = groups_make(ROOT, "A");
	memcg_get(a);
	memcg_get(a);
	sim_task("rmdir 1", remove_and_count, NULL, 0, 0);
	sim_task("rmdir 2", remove_and_count, NULL, 1, 0);
}

static void remove_twice_end(void)
{
	expect_is("how many removals succeeded", found->remove, 1);
	groups_end();
}

DEFINE_SCENARIO(remove_twice, "remove-twice", remove_twice_setup, remove_twice_end,
		"one group is removed by two");

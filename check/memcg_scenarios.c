/* check/memcg_scenarios.c - the charge word, counters, stocks and the life of groups, without pages around
 * them (seed 1). */
#include "memcg/page_cgroup.h"
#include "memcg/tree.h"
#include "plat/sim/sim.h"
#include "scenario.h"

static struct memcg_tree *tree;
static struct mem_cgroup *group;
static atomic64_t *word;

static struct mem_cgroup *make_group(const char *name)
{
	int err;
	struct mem_cgroup *g = memcg_create(tree->root, name, &err);

	sim_name(g, sizeof(*g), "%s", name);
	sim_name(&g->memory, sizeof(g->memory), "%s.memory", name);
	sim_name(&g->memsw, sizeof(g->memsw), "%s.memsw", name);
	sim_name(&g->stock, sizeof(g->stock), "%s.stock", name);
	sim_name(g->handle, sizeof(*g->handle), "%s.handle", name);
	return g;
}

static void make_tree(void)
{
	tree = plat_alloc(sizeof(*tree));
	memcg_tree_init(tree);
	sim_name(tree->root, sizeof(*tree->root), "root");
	sim_name(&tree->root->memory, sizeof(tree->root->memory), "root.memory");
	sim_name(&tree->root->memsw, sizeof(tree->root->memsw), "root.memsw");
	sim_name(tree->root->handle, sizeof(*tree->root->handle), "root.handle");
}

static void expect(const char *what, int64_t is, int64_t should)
{
	if (is != should)
		sim_fail(SIM_WRONG, NULL, 0, "%s is %lld, not %lld", what, (long long)is, (long long)should);
}

/* ---- uncharge-twice ---- */

static void uncharger(void *arg)
{
	struct memcg_handle *h = page_cgroup_uncharge(word);

	(void)arg;
	if (!h)
		return;
	handle_uncharge(h, 1);
	handle_put_many(h, 1);
}

static void uncharge_twice_setup(void)
{
	make_tree();
	group = make_group("A");
	word = plat_alloc(sizeof(*word));
	sim_name(word, sizeof(*word), "page.pcg");
	page_counter_charge(&group->memory, 1);
	page_counter_charge(&group->memsw, 1);
	page_cgroup_charge(word, group->handle);
	sim_task("force_empty", uncharger, NULL, 0, 0);
	sim_task("last unmap", uncharger, NULL, 1, 0);
}

static void uncharge_twice_end(void)
{
	stock_drain(group);
	expect("A's memory", page_counter_read(&group->memory), 0);
	expect("A's memory+swap", page_counter_read(&group->memsw), 0);
	expect("references of A's handle", a32_load(&group->handle->ref), 1);
}

const struct scenario scenario_uncharge_twice = {
	.name = "uncharge-twice",
	.text = "two ends of one charge: force_empty and the last unmap",
	.setup = uncharge_twice_setup,
	.end = uncharge_twice_end,
};

/* ---- limit-and-charge ---- */

static int limit_result;

static void limit_setter(void *arg)
{
	(void)arg;
	limit_result = page_counter_set_max(&group->memory, 4);
}

static void charger(void *arg)
{
	struct page_counter *full;

	(void)arg;
	if (page_counter_try_charge(&group->memory, 3, &full))
		page_counter_uncharge(&group->memory, 1);
}

static void limit_and_charge_setup(void)
{
	make_tree();
	group = make_group("A");
	page_counter_charge(&group->memory, 3);
	page_counter_force_max(&group->memory, 10);
	limit_result = 1;
	sim_task("set_max", limit_setter, NULL, 0, 0);
	sim_task("charge", charger, NULL, 1, 0);
}

static void limit_and_charge_end(void)
{
	int64_t usage = page_counter_read(&group->memory), max = a64_load(&group->memory.max);

	if (usage > max)
		sim_fail(SIM_WRONG, NULL, 0, "usage %lld is above max %lld", (long long)usage, (long long)max);
	expect("max after the result of set_max", max, limit_result == 0 ? 4 : 10);
}

const struct scenario scenario_limit_and_charge = {
	.name = "limit-and-charge",
	.text = "the limit is lowered while a charge comes in",
	.setup = limit_and_charge_setup,
	.end = limit_and_charge_end,
};

/* check/scenario/groups.c - see groups.h. */
#include "scenario/groups.h"

struct groups *gs;

static void name_group(struct mem_cgroup *g, const char *name)
{
	sim_name(g, sizeof(*g), "%s", name);
	sim_name(&g->memory, sizeof(g->memory), "%s memory", name);
	sim_name(&g->memsw, sizeof(g->memsw), "%s memsw", name);
	sim_name(&g->stock, sizeof(g->stock), "%s stock", name);
	sim_name(&g->stat, sizeof(g->stat), "%s statistics", name);
	sim_name(&g->ref, sizeof(g->ref), "%s references", name);
	sim_name(&g->offline, sizeof(g->offline), "%s life", name);
	sim_name(g->handle, sizeof(*g->handle), "%s handle", name);
}

/* ---- set-up ---- */

void groups_up(void)
{
	gs = plat_alloc(sizeof(*gs));
	if (memcg_tree_init(&gs->tree) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: no tree");
	sim_name(&gs->tree, sizeof(gs->tree), "tree");
	name_group(ROOT, "root");
}

struct mem_cgroup *groups_make(struct mem_cgroup *parent, const char *name)
{
	int err;
	struct mem_cgroup *g = memcg_create(parent, name, &err);

	if (!g)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: no group: %d", err);
	name_group(g, name);
	gs->group[gs->nr_groups++] = g;
	return g;
}

atomic64_t *groups_page(struct mem_cgroup *group)
{
	atomic64_t *word = &gs->word[gs->nr_words];

	sim_name(word, sizeof(*word), "page %u charge", gs->nr_words++);
	page_counter_charge(&group->memsw, 1);
	page_counter_charge(&group->memory, 1);
	page_cgroup_charge(word, group->handle);
	return word;
}

/* ---- actions of tasks ---- */

void groups_uncharge(atomic64_t *word)
{
	struct memcg_handle *h = page_cgroup_uncharge(word);

	if (!h)
		return;
	handle_uncharge(h, 1);
	handle_put_many(h, 1);
}

int groups_remove(struct mem_cgroup *group)
{
	int err = memcg_offline(group);

	if (err)
		return err;
	memcg_release(group);
	for (unsigned i = 0; i < gs->nr_groups; i++)
		if (gs->group[i] == group)
			gs->group[i] = NULL;
	memcg_put(group);
	return 0;
}

void groups_remove_task(void *group)
{
	groups_remove(group);
}

/* ---- at the end ---- */

static int64_t words_of(const struct mem_cgroup *group)
{
	int64_t n = 0;

	for (unsigned i = 0; i < gs->nr_words; i++)
		n += page_cgroup_memcg(&gs->word[i]) == group;
	return n;
}

/* Usage at one level. */
static void recount(struct mem_cgroup *group)
{
	int64_t memory = words_of(group) + stock_read(group), memsw = memory;

	for (struct mem_cgroup *c = aptr_load(&group->first_child); c;
	     c = aptr_load(&c->next_sibling)) {
		memory += page_counter_read(&c->memory);
		memsw += page_counter_read(&c->memsw);
	}
	if (memory != page_counter_read(&group->memory))
		sim_fail(SIM_WRONG, NULL, 0,
			 "I1: memory of %s is %lld, but its pages, stocks and children have %lld",
			 group->parent ? group->name : "the root",
			 (long long)page_counter_read(&group->memory), (long long)memory);
	if (memsw != page_counter_read(&group->memsw))
		sim_fail(SIM_WRONG, NULL, 0,
			 "I2: memory+swap of %s is %lld, but its pages, stocks and children have "
			 "%lld",
			 group->parent ? group->name : "the root",
			 (long long)page_counter_read(&group->memsw), (long long)memsw);
}

void groups_end(void)
{
	rcu_flush();
	if (sim_failure.kind != SIM_OK)
		return;
	for (struct mem_cgroup *g = ROOT; g; g = memcg_next(ROOT, g))
		recount(g);
	if (sim_failure.kind != SIM_OK)
		return;
	for (unsigned i = 0; i < gs->nr_words; i++)
		groups_uncharge(&gs->word[i]);
	rcu_flush();
	for (unsigned i = gs->nr_groups; i-- > 0;) {
		int err = gs->group[i] ? groups_remove(gs->group[i]) : 0;

		if (err)
			sim_fail(SIM_LEAK, NULL, 0, "a group cannot be removed at the end: %d",
				 err);
	}
	rcu_flush();
	stock_drain(ROOT);
	expect_is("memory of the root after the end of everything",
		  page_counter_read(&ROOT->memory), 0);
	expect_is("memory+swap of the root after the end of everything",
		  page_counter_read(&ROOT->memsw), 0);
	expect_is("groups left besides the root", (int64_t)a32_load(&gs->tree.nr_groups) - 1, 0);
	expect_is("handles left besides the root's", (int64_t)a32_load(&gs->tree.nr_handles) - 1,
		  0);
	expect_is("references of the root", a32_load(&ROOT->ref), 1);
	expect_is("references of the root's handle", a32_load(&ROOT->handle->ref), 1);
}

/* check/lru_scenarios.c - a group's lists between those who put pages on, take them off, free them, and the removal of
 * the group (seed 1). What must hold in all of them: a page is on one list, its owner's, or in the hands of one task. */
#include "fixture.h"

static struct mm *mm;
static struct mem_cgroup *a;
static struct page *page;

/* ---- tasks ---- */

static void rmdir_a(void *arg) { (void)arg; fx_remove(a); }
static void zap(void *arg) { (void)arg; fx_zap(mm, 0, 1); }

/* Whoever made the page, or had it isolated, is done with it. */
static void put_back(void *arg)
{
	(void)arg;
	lru_add(page);
	page_put(&fx->e, page);
}

/* Anybody who wants this page for himself: a mover, mlock, migration. */
static void isolate_page(void *arg)
{
	(void)arg;
	if (lru_isolate_page(page))
		lru_add(page);
	page_put(&fx->e, page);
}

/* Reclaim: whatever is at the tail. */
static void isolate_tail(void *arg)
{
	struct page *got[2];
	unsigned looked, n = lru_isolate(memcg_lruvec(a, 0), LRU_INACTIVE_ANON, got, 2, &looked);

	(void)arg;
	lru_add_many(got, n);
	for (unsigned i = 0; i < n; i++)
		page_put(&fx->e, got[i]);
}

static void deactivate(void *arg)
{
	(void)arg;
	lru_deactivate(memcg_lruvec(a, 0), LRU_ACTIVE_ANON, 1);
}

static void reclaim_root(void *arg)
{
	struct reclaim_result r;

	(void)arg;
	reclaim_group(&fx->e, fx->e.tree.root, 1, RECLAIM_NOSWAP, &r);
}

static void shrink(void *arg)
{
	struct reclaim_result r = { 0 };

	(void)arg;
	shrink_pages(&fx->e, &page, 1, 0, &r);
}

/* ---- set-up ---- */

/* A's page 0, mapped by a process that has left A. */
static void left_behind(void)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 2);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
	stock_drain(a);
	fx_move(mm, fx->e.tree.root);
}

/* The page off its list, held by a task. */
static void in_hand(void)
{
	left_behind();
	page = fx_isolate(mm, 0);
}

/* The page on its list, held by a task. */
static void on_list(void)
{
	in_hand();
	lru_add(page);
}

static void add_and_isolate_setup(void)
{
	in_hand();
	page_get(page);
	sim_task("put back", put_back, NULL, 0, 0);
	sim_task("mover", isolate_page, NULL, 1, 0);
}

const struct scenario scenario_lru_add_and_isolate = {
	.name = "lru-add-and-isolate",
	.text = "a page is put on a list while a mover wants it off",
	.setup = add_and_isolate_setup,
	.end = fx_end,
};

static void add_and_removal_setup(void)
{
	in_hand();
	sim_task("put back", put_back, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_lru_add_and_removal = {
	.name = "lru-add-and-removal",
	.text = "a page is put on the list of a group that is removed",
	.setup = add_and_removal_setup,
	.end = fx_end,
};

static void isolate_and_removal_setup(void)
{
	on_list();
	sim_task("mover", isolate_page, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_lru_isolate_and_removal = {
	.name = "lru-isolate-and-removal",
	.text = "a page is isolated while removal hands its list to the parent",
	.setup = isolate_and_removal_setup,
	.end = fx_end,
};

static void isolate_and_zap_setup(void)
{
	left_behind();
	sim_task("reclaim", isolate_tail, NULL, 0, 0);
	sim_task("zap", zap, NULL, 1, 0);
}

const struct scenario scenario_lru_isolate_and_zap = {
	.name = "lru-isolate-and-zap",
	.text = "reclaim takes the tail of a list while the page there is freed",
	.setup = isolate_and_zap_setup,
	.end = fx_end,
};

/* Swap is full: what is looked for are pages that have a slot already. */
static void isolate_cached(void *arg)
{
	struct page *got[2];
	unsigned looked, n = lru_isolate_cached(memcg_lruvec(a, 0), LRU_INACTIVE_ANON, got, 2, &looked);

	(void)arg;
	lru_add_many(got, n);
	for (unsigned i = 0; i < n; i++)
		page_put(&fx->e, got[i]);
}

static void isolate_cached_and_zap_setup(void)
{
	left_behind();
	fx_push_to_cache(mm, 0, false);
	sim_task("reclaim", isolate_cached, NULL, 0, 0);
	sim_task("zap", zap, NULL, 1, 0);
}

const struct scenario scenario_lru_isolate_cached_and_zap = {
	.name = "lru-isolate-cached-and-zap",
	.text = "reclaim looks for pages of the swap cache on a list, one of which leaves it and is freed",
	.setup = isolate_cached_and_zap_setup,
	.end = fx_end,
};

static void deactivate_and_zap_setup(void)
{
	in_hand();
	page_set(page, PG_active);
	lru_add(page);
	page_put(&fx->e, page);
	sim_task("reclaim", deactivate, NULL, 0, 0);
	sim_task("zap", zap, NULL, 1, 0);
}

const struct scenario scenario_lru_deactivate_and_zap = {
	.name = "lru-deactivate-and-zap",
	.text = "reclaim ages a list while the page on it is freed",
	.setup = deactivate_and_zap_setup,
	.end = fx_end,
};

static void zap_and_removal_setup(void)
{
	left_behind();
	sim_task("zap", zap, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_lru_zap_and_removal = {
	.name = "lru-zap-and-removal",
	.text = "a page is freed while its group is removed",
	.setup = zap_and_removal_setup,
	.end = fx_end,
};

static void reclaim_and_removal_setup(void)
{
	left_behind();
	sim_task("reclaim", reclaim_root, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_reclaim_and_removal = {
	.name = "reclaim-and-removal",
	.text = "reclaim walks the tree and looks at the lists of a group that is removed",
	.setup = reclaim_and_removal_setup,
	.end = fx_end,
};

static void shrink_and_removal_setup(void)
{
	in_hand();
	sim_task("reclaim", shrink, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_shrink_and_removal = {
	.name = "shrink-and-removal",
	.text = "reclaim swaps out a page of a group that is removed",
	.setup = shrink_and_removal_setup,
	.end = fx_end,
};

/* Reclaim of the parent, at the instant the child's pages arrive on its list. */
static void isolate_tail_of_root(void *arg)
{
	struct page *got[2];
	unsigned looked, n = lru_isolate(memcg_lruvec(fx->e.tree.root, 0), LRU_INACTIVE_ANON, got, 2, &looked);

	(void)arg;
	lru_add_many(got, n);
	for (unsigned i = 0; i < n; i++)
		page_put(&fx->e, got[i]);
}

static void parent_isolate_and_removal_setup(void)
{
	left_behind();
	sim_task("reclaim of the parent", isolate_tail_of_root, NULL, 0, 0);
	sim_task("rmdir", rmdir_a, NULL, 1, 0);
}

const struct scenario scenario_lru_parent_isolate_and_removal = {
	.name = "lru-parent-isolate-and-removal",
	.text = "pages are taken off the parent's list while those of a removed group join it",
	.setup = parent_isolate_and_removal_setup,
	.end = fx_end,
};

/* What a group is protected by depends on its siblings, one of which goes. */
static void rmdir_sibling(void *sibling) { fx_remove(sibling); }

static void reclaim_and_sibling_setup(void)
{
	struct mem_cgroup *parent;

	fx_up(FX_SLOTS);
	parent = fx_group("A", 0);
	a = fx_subgroup(parent, "A1", 2);
	mm = fx_mm(a, "mm", 1);
	fx_fill(mm, 0);
	stock_drain(a);
	sim_task("reclaim", reclaim_root, NULL, 0, 0);
	sim_task("rmdir", rmdir_sibling, fx_subgroup(parent, "A2", 0), 1, 0);
}

const struct scenario scenario_reclaim_and_sibling = {
	.name = "reclaim-and-sibling",
	.text = "reclaim adds up what the children of a group claim while one of them is removed",
	.slow = true,
	.setup = reclaim_and_sibling_setup,
	.end = fx_end,
};

/* check/scenario/lru_scenarios.c - a group's lists between tasks that put pages on, take them off,
 * free them, and the removal of the group (seed 1). All of them require: a page is on one list, its
 * owner's, or isolated by one task. */
#include "scenario/tasks.h"

static struct mm *mm;
static struct mem_cgroup *a;
static struct page *page;

/* ---- tasks ---- */

/* A task that made the page, or had it isolated, is done with it. */
static void put_back(void *arg)
{
	(void)arg;
	lru_add(page);
	page_put(&fx->e, page);
}

/* A task that wants this page isolated: a mover, mlock, migration. */
static void isolate_page(void *arg)
{
	(void)arg;
	if (lru_isolate_page(page))
		lru_add(page);
	page_put(&fx->e, page);
}

/* Reclaim: isolates the page at the tail. */
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

/* The page off its list, isolated by a task. */
static void in_hand(void)
{
	left_behind();
	page = fx_isolate(mm, 0);
}

/* The page on its list, referenced by a task. */
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

DEFINE_SCENARIO(lru_add_and_isolate, "lru-add-and-isolate", add_and_isolate_setup, fx_down,
		"a page is put on a list while a mover wants it off");

static void add_and_removal_setup(void)
{
	in_hand();
	sim_task("put back", put_back, NULL, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(lru_add_and_removal, "lru-add-and-removal", add_and_removal_setup, fx_down,
		"a page is put on the list of a group that is removed");

static void isolate_and_removal_setup(void)
{
	on_list();
	sim_task("mover", isolate_page, NULL, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(lru_isolate_and_removal, "lru-isolate-and-removal", isolate_and_removal_setup,
		fx_down, "a page is isolated while removal hands its list to the parent");

static void isolate_and_zap_setup(void)
{
	left_behind();
	sim_task("reclaim", isolate_tail, NULL, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(lru_isolate_and_zap, "lru-isolate-and-zap", isolate_and_zap_setup, fx_down,
		"reclaim takes the tail of a list while the page there is freed");

/* Swap is full: the search is for pages that already have a slot. */
static void isolate_cached(void *arg)
{
	struct page *got[2];
	unsigned looked,
		n = lru_isolate_cached(memcg_lruvec(a, 0), LRU_INACTIVE_ANON, got, 2, &looked);

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
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(
	lru_isolate_cached_and_zap, "lru-isolate-cached-and-zap", isolate_cached_and_zap_setup,
	fx_down,
	"reclaim looks for pages of the swap cache on a list, one of which leaves it and is freed");

static void deactivate_and_zap_setup(void)
{
	in_hand();
	page_set(page, PG_active);
	lru_add(page);
	page_put(&fx->e, page);
	sim_task("reclaim", deactivate, NULL, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}

DEFINE_SCENARIO(lru_deactivate_and_zap, "lru-deactivate-and-zap", deactivate_and_zap_setup, fx_down,
		"reclaim ages a list while the page on it is freed");

static void zap_and_removal_setup(void)
{
	left_behind();
	sim_task("zap", task_zap, mm, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(lru_zap_and_removal, "lru-zap-and-removal", zap_and_removal_setup, fx_down,
		"a page is freed while its group is removed");

static void reclaim_and_removal_setup(void)
{
	left_behind();
	sim_task("reclaim", reclaim_root, NULL, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(reclaim_and_removal, "reclaim-and-removal", reclaim_and_removal_setup, fx_down,
		"reclaim walks the tree and looks at the lists of a group that is removed");

static void shrink_and_removal_setup(void)
{
	in_hand();
	sim_task("reclaim", task_reclaim, page, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(shrink_and_removal, "shrink-and-removal", shrink_and_removal_setup, fx_down,
		"reclaim swaps out a page of a group that is removed");

/* Reclaim of the parent, at the instant the child's pages arrive on its list. */
static void isolate_tail_of_root(void *arg)
{
	struct page *got[2];
	unsigned looked, n = lru_isolate(memcg_lruvec(fx->e.tree.root, 0), LRU_INACTIVE_ANON, got,
					 2, &looked);

	(void)arg;
	lru_add_many(got, n);
	for (unsigned i = 0; i < n; i++)
		page_put(&fx->e, got[i]);
}

static void parent_isolate_and_removal_setup(void)
{
	left_behind();
	sim_task("reclaim of the parent", isolate_tail_of_root, NULL, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}

DEFINE_SCENARIO(lru_parent_isolate_and_removal, "lru-parent-isolate-and-removal",
		parent_isolate_and_removal_setup, fx_down,
		"pages are taken off the parent's list while those of a removed group join it");

/* A group's protection depends on its siblings, one of which is removed. */

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
	sim_task("rmdir", task_rmdir, fx_subgroup(parent, "A2", 0), 1, 0);
}

DEFINE_SCENARIO(reclaim_and_sibling, "reclaim-and-sibling", reclaim_and_sibling_setup, fx_down,
		"reclaim adds up what the children of a group claim while one of them is removed",
		.slow = true);

/* check/scenario/migrate_scenarios.c - a page that changes its frame, against its concurrent users
 * (seeds 0 and 3). All of them require: the charge and the statistics of the page are those of one
 * page, before and after; a mapped page is mapped again, an unmapped one is not; no anon_vma is
 * followed past its end. */
#include "scenario/tasks.h"
#include "mm/charge.h"
#include "mm/migrate.h"

static struct mm *mm, *child;
static struct page *victim;
static struct mem_cgroup *group;
static struct migrate_result *result;

/* ---- tasks ---- */

static void fault_0(void *arg)
{
	fx_fault(arg, 0, false);
}

static void migrate(void *arg)
{
	struct migrate_result r;

	(void)arg;
	migrate_pages(&fx->e, &victim, 1, 0, MIGRATE_COMPACTION, &r);
	*result = r;
}

static void fork_mm(void *arg)
{
	(void)arg;
	fx_fork_into(mm, child);
}

/* ---- set-up ---- */

static void space(int64_t stock)
{
	fx_up(FX_SLOTS);
	group = fx_group("A", stock);
	mm = fx_mm(group, "mm", 1);
	fx_fill(mm, 0);
	result = plat_alloc(sizeof(*result));
}

static void mapped(void)
{
	space(8);
	victim = fx_isolate(mm, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

/* Clean, in the swap cache, its entry a swap entry. */
static void cached(void)
{
	space(8);
	fx_push_to_cache(mm, 0, false);
	victim = fx_isolate(mm, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

/* In the swap cache and mapped. */
static void cached_mapped(void)
{
	space(8);
	child = fx_fork(mm, "child"); /* keeps the slot when the parent's entry goes */
	fx_push_to_cache(mm, 0, false);
	fx_fault(mm, 0, false);
	fx_set_young(mm, 0, false);
	victim = fx_isolate(mm, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

static void shared(void)
{
	space(8);
	child = fx_fork(mm, "child");
	victim = fx_isolate(mm, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

/* The page has an extra reference throughout: it cannot be replaced. */
static void pinned(void)
{
	page_get(victim);
}

static void pinned_end(void)
{
	page_put(&fx->e, victim);
	fx_down();
}

/* ---- seed 0: the charge ---- */

static void and_unmap_setup(void)
{
	mapped();
	sim_task("zap", task_zap, mm, 1, 0);
}
/* Whatever happened to the page, it is counted to the group. */
static void counted_end(void)
{
	expect_is("pgmigrate_success", stat_read(group, STAT_PGMIGRATE_SUCCESS), result->migrated);
	expect_is("pgmigrate_fail", stat_read(group, STAT_PGMIGRATE_FAIL), result->failed);
	fx_down();
}
DEFINE_SCENARIO(migrate_and_unmap, "migrate-and-unmap", and_unmap_setup, counted_end,
		"a page is replaced while its mapping goes: counted once, uncharged once (seed 0)");

static void shared_and_zaps_setup(void)
{
	shared();
	sim_task("zap", task_zap, mm, 1, 0);
	sim_task("child's zap", task_zap, child, 0, 0);
}
DEFINE_SCENARIO(migrate_shared_and_zaps, "migrate-shared-and-zaps", shared_and_zaps_setup, fx_down,
		"a page of two address spaces is replaced while both mappings go");

static void fails_and_zap_setup(void)
{
	mapped();
	pinned();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_fails_and_zap, "migrate-fails-and-zap", fails_and_zap_setup, pinned_end,
		"a migration fails while the last mapping goes: failed, then freed (seed 0)");

/* Another thread of a group at its limit that needs a page. */
static void charge_one(void *arg)
{
	(void)arg;
	if (charge_pages(&fx->e, group, NULL, 1, CHARGE_NORECLAIM | CHARGE_NOOOM) == 0)
		a64_acc(&mm->unmanaged, 1);
}

static void fails_at_limit_setup(void)
{
	space(0);
	stock_drain(group);
	page_counter_force_max(&group->memory, 1);
	victim = fx_isolate(mm, 0);
	pinned();
	sim_task("migrate", migrate, NULL, 0, 0);
	sim_task("charge", charge_one, NULL, 0,
		 0); /* may find an uncharged page in this CPU's stock */
}

static void fails_at_limit_end(void)
{
	int64_t usage = page_counter_read(&group->memory);

	if (usage > 1)
		sim_fail(SIM_WRONG, NULL, 0, "I6: a group that may have 1 page has %lld",
			 (long long)usage);
	uncharge_pages(group, a64_load(&mm->unmanaged));
	a64_store(&mm->unmanaged, 0);
	pinned_end();
}
DEFINE_SCENARIO(migrate_fails_at_limit, "migrate-fails-at-limit", fails_at_limit_setup,
		fails_at_limit_end,
		"a migration fails in a full group: nothing is charged again (seed 0)");

/* ---- seed 3: the anon_vma ---- */

static void and_exit_setup(void)
{
	mapped();
	sim_task("exit", task_exit, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_and_exit, "migrate-and-exit", and_exit_setup, counted_end,
		"a page is replaced while its address space, and its anon_vma, end (seed 3)");

static void cached_and_exit_setup(void)
{
	cached();
	sim_task("exit", task_exit, mm, 1, 0);
}
DEFINE_SCENARIO(
	migrate_cached_and_exit, "migrate-cached-and-exit", cached_and_exit_setup, fx_down,
	"an unmapped page of the swap cache is replaced while its address space ends (seed 3)");

static void cached_and_zap_setup(void)
{
	cached();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_cached_and_zap, "migrate-cached-and-zap", cached_and_zap_setup, fx_down,
		"an unmapped page of the swap cache is replaced while its last entry goes");

static void cached_and_fault_setup(void)
{
	cached();
	sim_task("fault", fault_0, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_cached_and_fault, "migrate-cached-and-fault", cached_and_fault_setup,
		fx_down, "an unmapped page of the swap cache is replaced while a fault wants it");

static void swapcache_setup(void)
{
	cached_mapped();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_swapcache, "migrate-swapcache", swapcache_setup, fx_down,
		"a mapped page of the swap cache is replaced: it is mapped again (seed 3)");

static void swapcache_and_fault_setup(void)
{
	cached_mapped();
	sim_task("child's fault", fault_0, child, 1, 0);
}
DEFINE_SCENARIO(migrate_swapcache_and_fault, "migrate-swapcache-and-fault",
		swapcache_and_fault_setup, fx_down,
		"a page of the swap cache that one maps is replaced while the other wants it",
		.slow = true);

static void cached_and_reclaim_setup(void)
{
	space(8);
	fx_push_to_cache(mm, 0, false);
	victim = swapcache_get(&fx->e, pte_entry(fx_pte(mm, 0)));
	page_get(victim);
	sim_task("migrate", task_migrate_if_listed, victim, 0, 0);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_cached_and_reclaim, "migrate-cached-and-reclaim", cached_and_reclaim_setup,
		fx_down, "reclaim and migration want one page of the swap cache");

static void and_reclaim_setup(void)
{
	space(8);
	victim = fx_isolate(mm, 0);
	lru_add(victim);
	page_get(victim);
	sim_task("migrate", task_migrate_if_listed, victim, 0, 0);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_and_reclaim, "migrate-and-reclaim", and_reclaim_setup, fx_down,
		"reclaim and migration want one mapped page");

static void twice_setup(void)
{
	space(8);
	victim = fx_isolate(mm, 0);
	lru_add(victim);
	page_get(victim);
	sim_task("migrate 1", task_migrate_if_listed, victim, 0, 0);
	sim_task("migrate 2", task_migrate_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_twice, "migrate-twice", twice_setup, fx_down,
		"two migrations want one page");

/* ---- users of the entries ---- */

static void and_fault_setup(void)
{
	mapped();
	sim_task("read", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_and_fault, "migrate-and-fault", and_fault_setup, fx_down,
		"a thread meets a migration entry, waits, and finds what was written");

static void and_write_setup(void)
{
	mapped();
	sim_task("write", task_write, mm, 1, 0);
}

static void and_write_end(void)
{
	fx_read(mm, 0, 1);
	fx_down();
}
DEFINE_SCENARIO(migrate_and_write, "migrate-and-write", and_write_setup, and_write_end,
		"a thread stores while its page is copied: the store is in the new page");

static void and_munmap_setup(void)
{
	mapped();
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_and_munmap, "migrate-and-munmap", and_munmap_setup, fx_down,
		"the area goes while a page of it is replaced");

static void and_mremap_setup(void)
{
	mapped();
	sim_task("mremap", task_mremap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_and_mremap, "migrate-and-mremap", and_mremap_setup, fx_down,
		"the area moves while a page of it is replaced: no migration entry is left behind",
		.slow = true);

static void and_fork_setup(void)
{
	mapped();
	child = fx_empty_mm(group, "child");
	sim_task("fork", fork_mm, NULL, 1, 0);
}
DEFINE_SCENARIO(migrate_and_fork, "migrate-and-fork", and_fork_setup, fx_down,
		"fork copies a migration entry: the child's is found as well");

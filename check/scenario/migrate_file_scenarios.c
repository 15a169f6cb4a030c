/* check/scenario/migrate_file_scenarios.c - a page of a file, or of shared memory, changes its
 * frame while other tasks map, unmap, truncate or reclaim it, or move its charge (seed 0, whose
 * subject is FILE_MAPPED). All of them require: between any two operations a mapped file page is
 * counted, once, to the group that its charge names; at the end all books agree, whether the
 * migration succeeded or failed. */
#include "scenario/tasks.h"
#include "mm/charge.h"
#include "mm/migrate.h"
#include "mm/move.h"

static struct mem_cgroup *a, *b;
static struct address_space *file;
static struct mm *mm, *other;
static struct page *victim;

/* ---- tasks ---- */

static void fault_0_to_store(void *arg)
{
	fx_fault(arg, 0, true);
}

static void migrate(void *arg)
{
	struct migrate_result r;

	(void)arg;
	migrate_pages(&fx->e, &victim, 1, 0, MIGRATE_COMPACTION, &r);
}

static void move(void *arg)
{
	int err = mm_move_group(mm, b, MOVE_FILE);

	(void)arg;
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "the move failed: %d", err);
}

/* Another thread of a group at its limit that needs a page. */
static void charge_one(void *arg)
{
	(void)arg;
	if (charge_pages(&fx->e, a, NULL, 1, CHARGE_NORECLAIM | CHARGE_NOOOM) == 0)
		a64_acc(&mm->unmanaged, 1);
}

/* ---- set-up ---- */

/* Group A has one page of the file, which mm maps; B exists. */
static void space(bool shmem)
{
	fx_up(FX_SLOTS);
	a = fx_group("A", 8);
	b = fx_group("B", 8);
	file = shmem ? fx_shmem(1) : fx_file(1);
	mm = fx_file_mm(a, "mm", file);
	if (shmem)
		fx_fill(mm, 0);
	else
		fx_fault(mm, 0, false);
	fx_set_young(mm, 0, false);
}

static void in_hand(void)
{
	victim = fx_isolate(mm, 0);
	sim_task("migrate", migrate, NULL, 0, 0);
}

static void mapped(void)
{
	space(false);
	in_hand();
}

/* The page has an extra reference throughout: it cannot be replaced. */
static void pinned(void)
{
	mapped();
	page_get(victim);
}

/* Two tasks that isolate it, so that one of them succeeds. */
static void on_list(bool shmem)
{
	space(shmem);
	victim = fx_isolate(mm, 0);
	lru_add(victim);
	page_get(victim);
	sim_task("migrate", task_migrate_if_listed, victim, 0, 0);
}

/* Unmapped shared memory: its table has the entry, the swap cache the page. */
static void cached(void)
{
	uint32_t entry;

	space(true);
	fx_push_to_cache(mm, 0, false);
	if (filemap_lookup(file, 0, &entry) || !entry)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: not in the swap cache");
	victim = swapcache_get(&fx->e, entry);
}

static void cached_in_hand(void)
{
	cached();
	if (!lru_isolate_page(victim))
		sim_fail(SIM_WRONG, NULL, 0, "set-up: not on a list");
	sim_task("migrate", migrate, NULL, 0, 0);
}

static void file_end(void)
{
	fx_file_holds(file, 0, 0);
	fx_down();
}

static void pinned_end(void)
{
	page_put(&fx->e, victim);
	fx_down();
}

static void shmem_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}

/* ---- the last mapping goes ---- */

static void and_munmap_setup(void)
{
	mapped();
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_munmap, "migrate-file-and-munmap", and_munmap_setup, file_end,
		"a page of a file is replaced while its last mapping goes: counted where it is "
		"mapped (seed 0)",
		.look = fx_look_mapped);

static void fails_and_munmap_setup(void)
{
	pinned();
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_file_fails_and_munmap, "migrate-file-fails-and-munmap",
		fails_and_munmap_setup, pinned_end,
		"a page of a file cannot be replaced, and its last mapping goes (seed 0)",
		.look = fx_look_mapped);

static void shared_and_zaps_setup(void)
{
	space(false);
	other = fx_file_mm(b, "other", file);
	fx_fault(other, 0, false);
	in_hand();
	sim_task("zap", task_zap, mm, 1, 0);
	sim_task("other's zap", task_zap, other, 0, 0);
}
DEFINE_SCENARIO(migrate_file_shared_and_zaps, "migrate-file-shared-and-zaps", shared_and_zaps_setup,
		file_end, "a page of a file that two groups map is replaced while both mappings go",
		.look = fx_look_mapped, .slow = true);

/* ---- a mapping comes ---- */

static void and_fault_setup(void)
{
	mapped();
	other = fx_file_mm(b, "other", file);
	sim_task("other's fault", task_fault, other, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_fault, "migrate-file-and-fault", and_fault_setup, file_end,
		"a page of a file is replaced while another group's fault maps it",
		.look = fx_look_mapped, .slow = true);

static void fails_and_fault_setup(void)
{
	pinned();
	other = fx_file_mm(b, "other", file);
	sim_task("other's fault", task_fault, other, 1, 0);
}
DEFINE_SCENARIO(migrate_file_fails_and_fault, "migrate-file-fails-and-fault", fails_and_fault_setup,
		pinned_end,
		"a page of a file cannot be replaced, and another group's fault maps it",
		.look = fx_look_mapped, .slow = true);

static void and_store_setup(void)
{
	mapped();
	sim_task("write fault", fault_0_to_store, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_store, "migrate-file-and-store", and_store_setup, file_end,
		"a thread is let store to a page of a file while it is replaced",
		.look = fx_look_mapped);

static void and_writeback_setup(void)
{
	space(false);
	fx_fill(mm, 0);
	in_hand();
	sim_task("write-back", task_write_back, file, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_writeback, "migrate-file-and-writeback", and_writeback_setup,
		file_end, "a dirty page of a file is replaced while it is written back",
		.look = fx_look_mapped, .slow = true);

/* ---- the page goes ---- */

static void and_truncate_setup(void)
{
	mapped();
	sim_task("truncate", task_truncate, file, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_truncate, "migrate-file-and-truncate", and_truncate_setup, fx_down,
		"a page of a file is truncated away while it is replaced", .look = fx_look_mapped);

static void fails_and_truncate_setup(void)
{
	pinned();
	sim_task("truncate", task_truncate, file, 1, 0);
}
DEFINE_SCENARIO(migrate_file_fails_and_truncate, "migrate-file-fails-and-truncate",
		fails_and_truncate_setup, pinned_end,
		"a page of a file cannot be replaced, and is truncated away",
		.look = fx_look_mapped);

static void and_reclaim_setup(void)
{
	on_list(false);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_reclaim, "migrate-file-and-reclaim", and_reclaim_setup, file_end,
		"reclaim and migration want one page of a file", .look = fx_look_mapped);

/* ---- its group ---- */

static void fails_at_limit_setup(void)
{
	space(false);
	stock_drain(a);
	page_counter_force_max(&a->memory, 1);
	in_hand();
	page_get(victim);
	sim_task("charge", charge_one, NULL, 0,
		 0); /* may find an uncharged page in this CPU's stock */
}

static void fails_at_limit_end(void)
{
	int64_t usage = page_counter_read(&a->memory);

	if (usage > 1)
		sim_fail(SIM_WRONG, NULL, 0, "I6: a group that may have 1 page has %lld",
			 (long long)usage);
	uncharge_pages(a, a64_load(&mm->unmanaged));
	a64_store(&mm->unmanaged, 0);
	pinned_end();
}
DEFINE_SCENARIO(
	migrate_file_fails_at_limit, "migrate-file-fails-at-limit", fails_at_limit_setup,
	fails_at_limit_end,
	"a page of a file cannot be replaced, in a full group: nothing is charged again (seed 0)",
	.look = fx_look_mapped);

static void and_move_setup(void)
{
	mapped();
	sim_task("move", move, NULL, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_move, "migrate-file-and-move", and_move_setup, file_end,
		"a page of a file changes its group while it changes its frame",
		.look = fx_look_mapped);

/* Statistics move to the parent in steps: only the end checks the states in between. */
static void and_removal_setup(void)
{
	space(false);
	fx_move(mm, b);
	in_hand();
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(migrate_file_and_removal, "migrate-file-and-removal", and_removal_setup, file_end,
		"a page of a file is replaced while the group that is charged for it is removed");

/* ---- shared memory ---- */

static void shmem_and_munmap_setup(void)
{
	space(true);
	in_hand();
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_shmem_and_munmap, "migrate-shmem-and-munmap", shmem_and_munmap_setup,
		fx_down, "a page of shared memory is replaced while its last mapping goes",
		.look = fx_look_mapped);

static void shmem_and_reclaim_setup(void)
{
	on_list(true);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_shmem_and_reclaim, "migrate-shmem-and-reclaim", shmem_and_reclaim_setup,
		shmem_end, "migration and swap-out want one page of shared memory",
		.look = fx_look_mapped);

static void shmem_cached_and_fault_setup(void)
{
	cached_in_hand();
	sim_task("fault", task_fault, mm, 1, 0);
}
DEFINE_SCENARIO(migrate_shmem_cached_and_fault, "migrate-shmem-cached-and-fault",
		shmem_cached_and_fault_setup, shmem_end,
		"shared memory in the swap cache is replaced while a fault wants it back in its "
		"table (seed 3)",
		.look = fx_look_mapped, .slow = true);

static void shmem_cached_and_put_setup(void)
{
	cached_in_hand();
	fx_exit(mm);
	sim_task("last put", task_put_file, NULL, 1, 0);
}
DEFINE_SCENARIO(migrate_shmem_cached_and_put, "migrate-shmem-cached-and-put",
		shmem_cached_and_put_setup, fx_down,
		"shared memory in the swap cache is replaced while its last user leaves (seed 3)",
		.look = fx_look_mapped);

static void shmem_cached_and_reclaim_setup(void)
{
	cached();
	page_get(victim);
	sim_task("migrate", task_migrate_if_listed, victim, 0, 0);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(migrate_shmem_cached_and_reclaim, "migrate-shmem-cached-and-reclaim",
		shmem_cached_and_reclaim_setup, shmem_end,
		"reclaim and migration want one page of shared memory in the swap cache (seed 3)",
		.look = fx_look_mapped);

/* check/scenario/file_scenarios.c - pages of files and of shared memory, between mapping, stores,
 * writeback, truncation and reclaim (seed 4, invariant B, and related cases). All of them require:
 * the last store is in the page or in the file; a page is counted once, to the group that touched
 * it first. */
#include "scenario/tasks.h"

static struct mem_cgroup *group;
static struct address_space *file;
static struct mm *mm, *other;
static struct page *victim;
static int *store_result; /* in the arena: restored before each execution */

/* ---- tasks ---- */

static void fault_0(void *arg)
{
	fx_fault(arg, 0, false);
}
static void fault_0_to_store(void *arg)
{
	fx_fault(arg, 0, true);
}

/* A store that gives up where it would fault: through the translation its CPU has, or not at
 * all. */
static int no_fault(struct mm *m, uint64_t va, bool write)
{
	(void)m, (void)va, (void)write;
	return -EFAULT;
}

static void store_if_translated(void *arg)
{
	uint64_t w = 1;

	*store_result = soft_write(&fx->soft, arg, plat_cpu(), FX_VA(0), &w, sizeof(w));
}

/* ---- set-up ---- */

static void file_space(void)
{
	fx_up(FX_SLOTS);
	group = fx_group("A", 8);
	file = fx_file(1);
	mm = fx_file_mm(group, "mm", file);
}

/* Page 0 in memory, mapped by mm, not young: clean and read-only, or stored to. */
static void file_page(bool dirty)
{
	file_space();
	if (dirty)
		fx_fill(mm, 0);
	else
		fx_fault(mm, 0, false);
	fx_set_young(mm, 0, false);
}

static void shmem_page(void)
{
	fx_up(FX_SLOTS);
	group = fx_group("A", 8);
	file = fx_shmem(1);
	mm = fx_file_mm(group, "mm", file);
	fx_fill(mm, 0);
}

static void file_end(void)
{
	fx_file_holds(file, 0, 0);
	fx_down();
}

static void stored_end(void)
{
	fx_file_holds(file, 0, 1);
	fx_down();
}

/* ---- seed 4: the last translation ---- */

static void unmap_and_clean_setup(void)
{
	file_page(true);
	fx_write(mm, 0, 0);
	sim_task("zap", task_zap, mm, 0, 0);
	sim_task("write-back", task_write_back, file, 0, 0);
	sim_task("store", store_if_translated, mm, 1, 0);
	store_result = plat_alloc(sizeof(*store_result));
	fx->soft.fault = handle_fault;
	(void)soft_write(&fx->soft, mm, 1, FX_VA(0), &(uint64_t){ 2 }, sizeof(uint64_t));
	fx->soft.fault = no_fault;
}

static void unmap_and_clean_end(void)
{
	uint64_t word = 0;
	uint32_t entry;
	struct page *p = filemap_lookup(file, 0, &entry);

	plat_copy(&word, mmu_data(fx->e.mmu, p), sizeof(word));
	page_put(&fx->e, p);
	if (word != (*store_result == 0 ? 1 : 2))
		sim_fail(SIM_WRONG, NULL, 0, "I19: the page does not hold what was stored last");
	fx_down(); /* I19 of the audit checks that a clean page equals its file's content */
}
DEFINE_SCENARIO(unmap_and_clean, "unmap-and-clean", unmap_and_clean_setup, unmap_and_clean_end,
		"a file's page is unmapped, written back, and stored to through a translation that "
		"is about to go (seed 4)");

/* ---- writeback ---- */

static void writeback_and_store_setup(void)
{
	file_page(true);
	sim_task("write-back", task_write_back, file, 0, 0);
	sim_task("store", task_write, mm, 1, 0);
}
DEFINE_SCENARIO(writeback_and_store, "writeback-and-store", writeback_and_store_setup, stored_end,
		"a page is written back while a thread stores to it");

static void writeback_fails_and_zap_setup(void)
{
	file_page(true);
	fault_arm(FAULT_WRITE, 1);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(file_write_fails_and_zap, "file-write-fails-and-zap", writeback_fails_and_zap_setup,
		file_end,
		"reclaim's write of a file's page fails while its mapping goes: it stays, dirty");

static void writeback_twice_setup(void)
{
	file_page(true);
	sim_task("write-back 1", task_write_back, file, 0, 0);
	sim_task("write-back 2", task_write_back, file, 1, 0);
}
DEFINE_SCENARIO(writeback_twice, "writeback-twice", writeback_twice_setup, file_end,
		"two write-backs of one page");

/* ---- truncation ---- */

static void truncate_and_fault_setup(void)
{
	file_page(false);
	other = fx_file_mm(group, "other", file);
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("fault", fault_0, other, 1, 0);
}
DEFINE_SCENARIO(truncate_and_fault, "truncate-and-fault", truncate_and_fault_setup, fx_down,
		"a page is truncated away while another address space maps it");

static void truncate_and_touch_setup(void)
{
	file_space();
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("fault", fault_0, mm, 1, 0);
}
DEFINE_SCENARIO(truncate_and_touch, "truncate-and-touch", truncate_and_touch_setup, fx_down,
		"a file is truncated while a page of it is brought for the first time");

static void truncate_to_one(void *arg)
{
	(void)arg;
	filemap_truncate(file, 1);
}

static void truncate_and_neighbour_setup(void)
{
	fx_up(FX_SLOTS);
	file = fx_file(2);
	mm = fx_file_mm(fx_group("A", 8), "mm", file);
	sim_task("truncate", truncate_to_one, NULL, 0, 0);
	sim_task("fault", fault_0, mm, 1, 0);
}
DEFINE_SCENARIO(truncate_and_neighbour, "truncate-and-neighbour", truncate_and_neighbour_setup,
		file_end, "a file loses its second page while the first one is read");

static void truncate_and_store_setup(void)
{
	file_page(false);
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("store", fault_0_to_store, mm, 1, 0);
}
DEFINE_SCENARIO(truncate_and_store, "truncate-and-store", truncate_and_store_setup, fx_down,
		"a page is truncated away while a thread is let store to it");

static void truncate_and_writeback_setup(void)
{
	file_page(true);
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("write-back", task_write_back, file, 1, 0);
}
DEFINE_SCENARIO(truncate_and_writeback, "truncate-and-writeback", truncate_and_writeback_setup,
		fx_down, "a page is truncated away while it is written back");

static void truncate_and_reclaim_setup(void)
{
	file_page(true);
	victim = fx_isolate(mm, 0);
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("reclaim", task_reclaim, victim, 1, 0);
}
DEFINE_SCENARIO(truncate_and_reclaim, "truncate-and-reclaim", truncate_and_reclaim_setup, fx_down,
		"a page is truncated away while reclaim writes it");

static void truncate_and_unmap_setup(void)
{
	file_page(false);
	sim_task("truncate", task_truncate, file, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(truncate_and_unmap, "truncate-and-unmap", truncate_and_unmap_setup, fx_down,
		"a page is truncated away while its last mapping goes");

/* ---- first touch, and reclaim ---- */

static void first_touch_setup(void)
{
	file_space();
	other = fx_file_mm(fx_group("B", 8), "other", file);
	sim_task("A's fault", fault_0, mm, 0, 0);
	sim_task("B's fault", fault_0, other, 1, 0);
}
DEFINE_SCENARIO(file_first_touch, "file-first-touch", first_touch_setup, file_end,
		"two groups touch a page first: one of them is charged");

static void reclaim_and_fault_setup(void)
{
	file_page(false);
	other = fx_file_mm(group, "other", file);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("fault", fault_0, other, 1, 0);
}
DEFINE_SCENARIO(file_reclaim_and_fault, "file-reclaim-and-fault", reclaim_and_fault_setup, file_end,
		"reclaim drops a clean page that another address space wants");

static void reclaim_and_store_setup(void)
{
	file_page(true);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("store", task_write, mm, 1, 0);
}
DEFINE_SCENARIO(file_reclaim_and_store, "file-reclaim-and-store", reclaim_and_store_setup,
		stored_end, "reclaim unmaps, writes and drops a page that is stored to");

static void put_and_reclaim_setup(void)
{
	file_page(true);
	victim = fx_isolate(mm, 0);
	fx_exit(mm);
	sim_task("last put", task_put_file, NULL, 0, 0);
	sim_task("reclaim", task_reclaim, victim, 1, 0);
}
DEFINE_SCENARIO(file_put_and_reclaim, "file-put-and-reclaim", put_and_reclaim_setup, fx_down,
		"the last user of a file leaves while reclaim writes a page of it");

/* ---- shared memory ---- */

static void shmem_out_and_fault_setup(void)
{
	shmem_page();
	other = fx_file_mm(group, "other", file);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("fault", fault_0, other, 1, 0);
}

static void shmem_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}
DEFINE_SCENARIO(shmem_out_and_fault, "shmem-out-and-fault", shmem_out_and_fault_setup, shmem_end,
		"shared memory goes to swap while another address space wants it", .slow = true);

static void shmem_out_and_unmap_setup(void)
{
	shmem_page();
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(shmem_out_and_unmap, "shmem-out-and-unmap", shmem_out_and_unmap_setup, shmem_end,
		"shared memory goes to swap while its last mapping goes");

/* The entry is in the table, the page in the swap cache. */
static void shmem_cached(void)
{
	struct reclaim_result r = { 0 };

	shmem_page();
	victim = fx_isolate(mm, 0);
	page_get(victim); /* keeps reclaim from dropping it */
	shrink_pages(&fx->e, &victim, 1, 0, &r);
	page_put(&fx->e, victim);
}

static void shmem_in_by_two_setup(void)
{
	shmem_cached();
	other = fx_file_mm(group, "other", file);
	sim_task("fault 1", fault_0, mm, 0, 0);
	sim_task("fault 2", fault_0, other, 1, 0);
}
DEFINE_SCENARIO(shmem_in_by_two, "shmem-in-by-two", shmem_in_by_two_setup, shmem_end,
		"two address spaces want shared memory back from swap", .slow = true);

static void shmem_put_and_reclaim_setup(void)
{
	shmem_page();
	victim = fx_isolate(mm, 0);
	fx_exit(mm);
	sim_task("last put", task_put_file, NULL, 0, 0);
	sim_task("reclaim", task_reclaim, victim, 1, 0);
}
DEFINE_SCENARIO(shmem_put_and_reclaim, "shmem-put-and-reclaim", shmem_put_and_reclaim_setup,
		fx_down, "the last user of shared memory leaves while it goes to swap");

/* ---- two writebacks ---- */

static void store_and_clean(void *arg)
{
	fx_write(arg, 0, 1);
	task_write_back(file);
}

static void writeback_order_setup(void)
{
	file_page(true);
	sim_task("write-back", task_write_back, file, 0, 0);
	sim_task("store, write-back", store_and_clean, mm, 1, 0);
}
DEFINE_SCENARIO(
	writeback_order, "writeback-order", writeback_order_setup, stored_end,
	"a page is written, stored to and written again: what is older must not arrive last");

static void clean_page(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	if (filemap_writeback(file, i, i + 1) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "write-back failed");
}

static void writeback_of_two_setup(void)
{
	fx_up(FX_SLOTS);
	group = fx_group("A", 8);
	file = fx_file(2);
	mm = fx_file_mm(group, "mm", file);
	fx_fill(mm, 0);
	fx_fill(mm, 1);
	sim_task("write-back 0", clean_page, (void *)0, 0, 0);
	sim_task("write-back 1", clean_page, (void *)1, 1, 0);
}
DEFINE_SCENARIO(writeback_of_two, "writeback-of-two", writeback_of_two_setup, fx_down,
		"two pages of one file are written at once");

/* ---- areas being unmapped ---- */

static void file_fault_and_munmap_setup(void)
{
	file_space();
	sim_task("fault", fault_0_to_store, mm, 0, 0);
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(file_fault_and_munmap, "file-fault-and-munmap", file_fault_and_munmap_setup,
		fx_down, "a file's page is touched for writing while the area is unmapped");

static void file_store_and_munmap_setup(void)
{
	file_page(false);
	sim_task("write fault", fault_0_to_store, mm, 0, 0);
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(file_store_and_munmap, "file-store-and-munmap", file_store_and_munmap_setup,
		fx_down, "the first store to a clean page while the area is unmapped");

static void writeback_and_munmap_setup(void)
{
	file_page(true);
	sim_task("write-back", task_write_back, file, 0, 0);
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(writeback_and_munmap, "writeback-and-munmap", writeback_and_munmap_setup, file_end,
		"write-back walks the areas that map a page while one of them goes");

static void writeback_and_reclaim_setup(void)
{
	file_page(true);
	fx_discard(mm, 0, 1);
	victim = filemap_lookup(file, 0, &(uint32_t){ 0 });
	sim_task("write-back", task_write_back, file, 0, 0);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(writeback_and_reclaim, "writeback-and-reclaim", writeback_and_reclaim_setup,
		file_end, "reclaim meets a page of a file that is being written");

static void file_reclaim_and_munmap_setup(void)
{
	file_page(false);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("munmap", task_munmap, mm, 1, 0);
}
DEFINE_SCENARIO(file_reclaim_and_munmap, "file-reclaim-and-munmap", file_reclaim_and_munmap_setup,
		fx_down, "reclaim walks the areas that map a page while one of them goes");

static void put_second(void *arg)
{
	struct address_space *second = fx->file[1];

	(void)arg;
	fx->file[1] = NULL;
	file_put(second);
}

static void put_by_two_setup(void)
{
	fx_up(FX_SLOTS);
	file = fx_file(1);
	fx_file(1);
	sim_task("last put", task_put_file, NULL, 0, 0);
	sim_task("last put of another", put_second, NULL, 1, 0);
}
DEFINE_SCENARIO(file_put_by_two, "file-put-by-two", put_by_two_setup, fx_down,
		"two files leave at once");

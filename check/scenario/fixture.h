/* check/scenario/fixture.h - a small engine in the arena for scenarios: the soft MMU, a store whose
 * I/O runs in tasks, a few frames and slots.
 *
 * The set-up functions (all but the last three groups) run before any task, in order, on CPU 0;
 * they bring pages into the scenario's initial state. Every object that tasks may contend for has a
 * name for the drawings.
 *
 * These functions mean the same as in tests/fixture/soft_fixture.h: up, group, mm, fork, fork_into,
 * fill, pte, discard, unmap, exit, ungroup, down.
 *
 * Locks: none; the functions for tasks take the engine's own.
 */
#ifndef UMEMCG_CHECK_FIXTURE_H
#define UMEMCG_CHECK_FIXTURE_H

#include "audit/audit.h"
#include "mm/backing.h"
#include "mm/engine.h"
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/fork.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "plat/sim/sim.h"
#include "plat/sim/store_sim.h"
#include "mmu/soft/mmu_soft.h"
#include "scenario/scenario.h"

#define FX_FRAMES     PLAT_CHUNK /* per node */
#define FX_SLOTS      8
#define FX_MMS_MAX    3
#define FX_GROUPS_MAX 3
#define FX_FILES_MAX  2
#define FX_LOOKED     4
#define FX_BASE       0x10000000ull /* page 0 of every area; leaf-aligned */
#define FX_VA(i)      (FX_BASE + (uint64_t)(i)*PAGE_SIZE)

struct check_fixture {
	struct engine e;
	struct mmu_soft soft;
	struct audit_report report;
	struct mem_cgroup *group[FX_GROUPS_MAX];
	struct mm *mm[FX_MMS_MAX];
	struct address_space *file[FX_FILES_MAX]; /* NULL: a task has put it */
	struct backing backing;
	unsigned nr_groups, nr_mms, nr_files, nr_backings;
};

/* The engine of the most recently set-up scenario. */
extern struct check_fixture *fx;

/* ---- set-up ---- */

void fx_up(unsigned nr_slots);
/* With an MMU that does not share pages and withdraws: pages are in the memory of one process
 * (soft_client_*). */
void fx_up_withdrawing(unsigned nr_slots);
/* With two nodes of FX_FRAMES frames: node 0, where the CPUs are, demotes to node 1. */
void fx_up_tiers(unsigned nr_slots);
/* A set-up that makes frames without fx_fill calls this to name them for the drawings. */
void fx_name_frames(void);
/* A group below the root with @stock pages in the stock of every CPU, so that charging one page is
 * one operation. */
struct mem_cgroup *fx_group(const char *name, int64_t stock);
/* The same below @parent. */
struct mem_cgroup *fx_subgroup(struct mem_cgroup *parent, const char *name, int64_t stock);
/* An address space without areas: the target of a fork. */
struct mm *fx_empty_mm(struct mem_cgroup *group, const char *name);
/* An address space with one area of @npages from FX_VA(0) on. */
struct mm *fx_mm(struct mem_cgroup *group, const char *name, unsigned npages);
/* The same, filled from a file that has the words of fx_fill. One per scenario. */
struct mm *fx_backed_mm(struct mem_cgroup *group, const char *name, unsigned npages);
/* A file whose store has the words of fx_fill; or shared memory of zeros. */
struct address_space *fx_file(unsigned npages);
struct address_space *fx_shmem(unsigned npages);
/* An address space with one shared area of @as, from FX_VA(0) on. */
struct mm *fx_file_mm(struct mem_cgroup *group, const char *name, struct address_space *as);
/* Expect a reader of the file to find those words, in memory or in its store. Outside of tasks. */
void fx_file_holds(struct address_space *as, unsigned page, unsigned age);
/* Write words to the page: afterwards it is present and not young. */
void fx_fill(struct mm *mm, unsigned page);
/* The page goes to its slot; afterwards the entry is a swap entry. */
void fx_push_out(struct mm *mm, unsigned page);
/* The same for a page of shared memory: its table has the entry. */
void fx_push_out_shared(struct mm *mm, unsigned page);
/* The entry is a swap entry, and the page stays in the swap cache: clean, or @dirty as after a
 * failed write. */
void fx_push_to_cache(struct mm *mm, unsigned page, bool dirty);
/* The process moves to another group: new charges go to that group, its pages stay where they are.
 * So the old group can be removed while it has pages. */
void fx_move(struct mm *mm, struct mem_cgroup *group);
/* Fork, copy-on-write. */
struct mm *fx_fork(struct mm *parent, const char *name);
/* Take the page, present or in the swap cache, off its list and reference it, as reclaim does. */
struct page *fx_isolate(struct mm *mm, unsigned page);
/* The accessed bit, which the walk sets and reclaim tests. */
void fx_set_young(struct mm *mm, unsigned page, bool young);
pte_t fx_pte(struct mm *mm, unsigned page);

/* ---- actions of tasks ---- */

/* madvise(MADV_DONTNEED). */
void fx_discard(struct mm *mm, unsigned page, unsigned n);
void fx_unmap(struct mm *mm, unsigned page, unsigned n);
/* Fork into an empty address space. */
void fx_fork_into(struct mm *parent, struct mm *child);
/* A thread's accesses. Words are made from @page and @age, 0 for those of fx_fill. A read must find
 * them. */
void fx_read(struct mm *mm, unsigned page, unsigned age);
void fx_write(struct mm *mm, unsigned page, unsigned age);
/* A fault on @page, as an access would cause it. */
int fx_fault(struct mm *mm, unsigned page, bool write);
/* The process ends. */
void fx_exit(struct mm *mm);
/* rmdir. */
void fx_ungroup(struct mem_cgroup *group);

/* ---- between any two operations ---- */

/* Of the first FX_LOOKED pages: a mapped file page is counted in FILE_MAPPED of the group its
 * charge names, and nothing else is; except while a leaf is locked, under which both change. For a
 * scenario's look. */
void fx_look_mapped(void);

/* ---- at the end ---- */

/* Audit; then end every address space and group, and count what is left. */
void fx_down(void);

#endif

/* tests/soft_fixture.h - an engine on a software MMU and a store in memory, for tests.
 *
 * A fixture owns the engine, the MMU and the store. Address spaces come from fx_mm; a killed one is
 * ended at once, inside the kill, when fx->reap is set (single thread), else only marked.
 *
 * Content: every page a test writes holds words made from a seed and the page's address, so that a
 * page from another place or another time is recognised.
 */
#ifndef UMEMCG_TESTS_SOFT_FIXTURE_H
#define UMEMCG_TESTS_SOFT_FIXTURE_H

#include "audit/audit.h"
#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/fork.h"
#include "mm/lru.h"
#include "mm/mlock.h"
#include "mm/oom.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mmu/soft/mmu_soft.h"
#include "test.h"

#define FX_BASE 0x10000000ull /* where tests map; aligned to a leaf */
#define FX_RW	(VM_READ | VM_WRITE)

/* A store in memory whose faults can be chosen. */
struct test_store {
	struct store store;
	char *slots;
	atomic32_t read_errno, write_errno; /* every io fails with this; 0: none */
	atomic32_t corrupt_reads;	    /* every read returns wrong bytes */
	atomic32_t fail_every;		    /* every nth io fails with EIO */
	atomic32_t refuse;		    /* so many batches of writes fail with ENOSPC */
	atomic64_t blocks;		    /* so many slots can be written for the first time; others: ENOSPC */
	uint8_t *has_block;		    /* a slot; who writes it */
	/* Called once, at the start of the next batch of that direction; NULL: off. */
	void (*during_read)(void *arg), (*during_write)(void *arg);
	void *during_arg;
	atomic64_t nr_reads, nr_writes; /* ios */
};

struct soft_fixture {
	struct engine e;
	struct mmu_soft soft;
	struct test_store *store; /* owned by the engine; NULL: no swap */
	struct audit_report report;
	bool reap;
	char notice[256]; /* the last one */
};

/* A store for a file; given to file_create. NULL: out of memory. */
struct test_store *fx_store(uint64_t nr_slots);

/* @nr_slots 0: no swap. */
void fx_up(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots);
/* As fx_up, with several memory nodes. */
void fx_up_nodes(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots,
		 unsigned nr_nodes);
/* The memory that an engine is told of. */
struct fx_memory {
	unsigned nr_nodes;
	uint8_t distance[NODES_MAX][NODES_MAX], demotion[NODES_MAX];
};
/* As fx_up, on that memory. */
void fx_up_memory(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots,
		  const struct fx_memory *memory);
/* As fx_up, but says why it failed: 0 or -ENOMEM. */
int fx_try_up(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots);
/* Audit, check that nothing is left but the root, and end everything. */
void fx_down(struct soft_fixture *fx);
/* Fail the test unless every frame, slot, area and table was given back. */
void fx_nothing_left(struct soft_fixture *fx);
/* Fail the test with the report unless the audit is clean. @flags: AUDIT_. */
void fx_audit(struct soft_fixture *fx, unsigned flags);

/* A group with limit @max pages (0: none) below @parent (NULL: the root). */
struct mem_cgroup *fx_group(struct soft_fixture *fx, struct mem_cgroup *parent, const char *name,
			    int64_t max);
/* Remove it and drop the test's reference. */
void fx_ungroup(struct soft_fixture *fx, struct mem_cgroup *memcg);

struct mm *fx_mm(struct soft_fixture *fx, struct mem_cgroup *memcg);
/* The process ends. */
void fx_exit(struct soft_fixture *fx, struct mm *mm);
/* fork into an empty address space. 0 or -ENOMEM: it is to be ended. */
int fx_fork_into(struct soft_fixture *fx, struct mm *parent, struct mm *child);
/* fork; NULL: out of memory. */
struct mm *fx_fork(struct soft_fixture *fx, struct mm *parent, struct mem_cgroup *memcg);

int fx_map(struct mm *mm, uint64_t va, uint64_t npages);
void fx_unmap(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages);
void fx_discard(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages);
int fx_remap(struct soft_fixture *fx, struct mm *mm, uint64_t from, uint64_t to, uint64_t npages);
int fx_mlock(struct mm *mm, uint64_t va, uint64_t npages);
int fx_munlock(struct mm *mm, uint64_t va, uint64_t npages);

/* Content of one page. fx_check: 0 as written with @seed, 1 all zero, -EILSEQ wrong, or the
 * access's error. */
int fx_fill(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t seed);
int fx_check(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t seed);
/* A run of pages, each must succeed. */
void fx_fill_run(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages,
		 uint64_t seed);
void fx_check_run(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages,
		  uint64_t seed);
/* The same, filled @at another address before it was moved here. */
void fx_check_moved(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t at,
		    uint64_t npages, uint64_t seed);
void fx_check_zero(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages);

pte_t fx_pte(struct mm *mm, uint64_t va);
/* Pages charged to @memcg that something is made of: what lies in its stocks is not. */
static inline int64_t fx_usage(const struct mem_cgroup *memcg)
{
	return page_counter_read(&memcg->memory) - stock_read(memcg);
}
/* A test that has to hold on both kinds of MMU. */
static inline void each_kind(void (*fn)(enum soft_kind kind))
{
	fn(SOFT_SHARED);
	fn(SOFT_EXCLUSIVE);
}
/* Push everything that can go out of @memcg's subtree. Returns pages freed. */
int64_t fx_reclaim(struct soft_fixture *fx, struct mem_cgroup *memcg, int64_t n);

#endif

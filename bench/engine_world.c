/* bench/engine_world.c - see engine_world.h.
 *
 * Locks: one thread, so none but the engine's own.
 */
#include "engine_world.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/fork.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/vma.h"
#include "mmu/soft/client.h"

#define RW         (VM_READ | VM_WRITE)
#define CACHE_LINE 64

void world_need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench-engine: %s\n", what);
	exit(1);
}

/* ---- the machine ---- */

static struct world *world_of(struct mmu *mmu)
{
	return container_of(mmu, struct world, soft.mmu);
}

static int bring_frames(struct mmu *mmu, struct page **pages, unsigned n)
{
	struct world *w = world_of(mmu);

	for (unsigned i = 0; i < n; i++)
		soft_set_home(&w->soft, pages[i],
			      w->memory + (size_t)(pages[i]->pfn % w->nr_contents) * PAGE_SIZE);
	return 0;
}

static void drop_frame(struct mmu *mmu, struct page *page)
{
	soft_set_home(&world_of(mmu)->soft, page, NULL);
}

/* Without this the software MMU would allocate the frames of zeros itself. */
static int map(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
	       bool zero)
{
	if (zero)
		bring_frames(mmu, pages, n);
	return world_of(mmu)->soft_ops->map(mmu, mm, va, pages, n, zero);
}

void world_up(struct world *w, uint32_t nr_frames, uint32_t nr_contents, unsigned nr_nodes)
{
	memset(w, 0, sizeof(*w));
	w->nr_frames = (nr_frames + FRAME_CHUNK - 1) / FRAME_CHUNK * FRAME_CHUNK;
	w->nr_contents = nr_contents < w->nr_frames ? nr_contents : w->nr_frames;
	/* There before it is measured: no copy waits for the host's page faults. */
	w->memory = mmap(NULL, (size_t)w->nr_contents * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	world_need(w->memory != MAP_FAILED, "no memory for the frames");
	world_need(soft_init(&w->soft, SOFT_SHARED, w->nr_frames, handle_fault) == 0,
		   "no memory for the MMU");
	w->soft_ops = w->soft.mmu.ops;
	w->ops = *w->soft_ops;
	w->ops.bring_frames = bring_frames;
	w->ops.drop_frame = drop_frame;
	w->ops.map = map;
	w->soft.mmu.ops = &w->ops;
	w->e.nr_nodes = nr_nodes;
	world_need(engine_init(&w->e, &w->soft.mmu, NULL, w->nr_frames) == 0,
		   "no memory for the engine");
}

void world_down(struct world *w)
{
	engine_fini(&w->e);
	soft_fini(&w->soft);
	munmap(w->memory, (size_t)w->nr_contents * PAGE_SIZE);
}

/* ---- who uses it ---- */

struct mem_cgroup *world_group(struct world *w, const char *name)
{
	int err;
	struct mem_cgroup *memcg = group_create(&w->e, NULL, name, &err);

	world_need(memcg, "a group could not be made");
	return memcg;
}

void world_ungroup(struct world *w, struct mem_cgroup *memcg)
{
	world_need(group_remove(&w->e, memcg) == 0, "a group could not be removed");
	memcg_put(memcg);
}

struct mm *world_mm(struct world *w, struct mem_cgroup *memcg, uint64_t n)
{
	struct mm *mm = mm_create(&w->e, memcg, NULL);
	int err = 0;

	world_need(mm, "an address space could not be made");
	rw_wrlock(&mm->mmap_lock);
	if (n)
		err = vma_insert(mm, WORLD_BASE, WORLD_BASE + n * PAGE_SIZE, RW);
	rw_wrunlock(&mm->mmap_lock);
	world_need(!err, "an area could not be made");
	return mm;
}

struct mm *world_fork(struct world *w, struct mm *parent)
{
	struct mm *child = world_mm(w, mm_memcg(parent), 0);
	int err;

	a32_add(&parent->no_reclaim, 1);
	rw_wrlock(&parent->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	err = mm_fork_locked(parent, child, 0);
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&parent->mmap_lock);
	a32_add(&parent->no_reclaim, -1);
	world_need(!err, "fork failed");
	return child;
}

void world_exit(struct mm *mm)
{
	mm_teardown(mm);
	mm_put(mm);
}

struct address_space *world_file(struct world *w, uint64_t n, bool shmem)
{
	struct store *store = shmem ? NULL : store_mem_create(n);
	struct address_space *as;

	world_need(shmem || store, "a store could not be made");
	as = file_create(&w->e, store, n);
	world_need(as, "a file could not be made");
	return as;
}

void world_map(struct mm *mm, uint64_t va, uint64_t n, struct address_space *as)
{
	world_need(file_mmap(mm, va, va + n * PAGE_SIZE, RW | VM_SHARED, as, 0) == 0,
		   "a file could not be mapped");
}

void world_fill(struct world *w, struct mm *mm, uint64_t va, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		world_need(soft_write(&w->soft, mm, 0, va + i * PAGE_SIZE, &i, sizeof(i)) == 0,
			   "a store failed");
}

void world_load(struct world *w, struct mm *mm, unsigned cpu, uint64_t va, uint64_t n)
{
	char c;

	for (uint64_t i = 0; i < n; i++)
		world_need(soft_read(&w->soft, mm, cpu, va + i * PAGE_SIZE, &c, 1) == 0,
			   "a load failed");
}

void world_check(struct world *w, struct mm *mm, uint64_t va, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t found = ~i;

		world_need(soft_read(&w->soft, mm, 0, va + i * PAGE_SIZE, &found, sizeof(found)) ==
				   0,
			   "a load failed");
		world_need(found == i, "a page has lost its content");
	}
}

void *world_data(struct world *w, struct mm *mm, uint64_t va)
{
	struct leaf *leaf = leaf_find(mm, va);
	pte_t pte = leaf ? pte_read(leaf, va) : 0;

	world_need(pte_present(pte), "a page is not mapped");
	return soft_home(&w->soft, pfn_page(&w->e, pte_pfn(pte)));
}

/* ---- caches ---- */

#if defined(__x86_64__)
/* Ten times faster than the instruction that every x86-64 has. */
__attribute__((target("clflushopt"))) static void cool_fast(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i += CACHE_LINE)
		__builtin_ia32_clflushopt(at + i);
	__builtin_ia32_sfence();
}

static void cool(const void *at, size_t n)
{
	unsigned a, b, c, d;

	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_CLFLUSHOPT)
		cool_fast(at, n);
	else
		for (size_t i = 0; i < n; i += CACHE_LINE)
			__builtin_ia32_clflush((const char *)at + i);
}
#else
/* No instruction for it: what is not used for so long is pushed out. */
static void cool(const void *at, size_t n)
{
	static volatile char other[64 << 20];

	(void)at, (void)n;
	for (size_t i = 0; i < sizeof(other); i += CACHE_LINE)
		other[i]++;
}
#endif

void world_cool(struct world *w)
{
	cool(w->memory, (size_t)w->nr_contents * PAGE_SIZE);
	for (uint32_t i = 0; i < w->e.nr_chunks; i++)
		cool(w->e.chunks[i], FRAME_CHUNK * sizeof(struct page));
	list_for_each(mm, &w->e.mms, struct mm, link)
		for (unsigned i = 0; i < mm->cap_leaves; i++)
			for (struct leaf *l = mm->leaves[i], *next; l; l = next) {
				next = l->hash_next;
				cool(l, sizeof(*l));
			}
}

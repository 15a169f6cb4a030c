/* bench/engine_world.h - an engine on the software MMU, with the memory of a machine: what
 * bench/engine.c measures in.
 *
 * The software MMU of the tests gives each page an allocation of its own, for the address
 * sanitizer. Here frame k is place k of one block, as on a machine: a frame costs nothing to take
 * and to give back, and its content outlives both, so that the same copy between the same frames
 * can be made again without the engine. Everything else is the MMU as it is.
 */
#ifndef UMEMCG_BENCH_ENGINE_WORLD_H
#define UMEMCG_BENCH_ENGINE_WORLD_H

#include "mm/engine.h"
#include "mmu/soft/mmu_soft.h"

#define WORLD_BASE 0x10000000ull

struct world {
	struct mmu_soft soft; /* first: the MMU's operations find the world by it */
	struct mmu_ops ops;
	const struct mmu_ops *soft_ops;
	struct engine e;
	char *memory;         /* the frames' content */
	uint32_t nr_contents; /* frame k's is k modulo this */
	uint32_t nr_frames;
};

/* Stop, with a line on standard error, unless @ok: nothing was measured then. */
void world_need(bool ok, const char *what);

/* @nr_contents: places for content; fewer than frames where no content matters. */
void world_up(struct world *w, uint32_t nr_frames, uint32_t nr_contents, unsigned nr_nodes);
/* Every address space, file and group is gone. */
void world_down(struct world *w);

struct mem_cgroup *world_group(struct world *w, const char *name);
/* Remove it, and give back the reference. */
void world_ungroup(struct world *w, struct mem_cgroup *memcg);
/* A process of @memcg with an anonymous area of @n pages at WORLD_BASE (0: none). */
struct mm *world_mm(struct world *w, struct mem_cgroup *memcg, uint64_t n);
struct mm *world_fork(struct world *w, struct mm *parent);
void world_exit(struct mm *mm);
/* A file of @n pages of zeros, or shared memory. */
struct address_space *world_file(struct world *w, uint64_t n, bool shmem);
/* Map all @n pages of it at @va, to be stored to. */
void world_map(struct mm *mm, uint64_t va, uint64_t n, struct address_space *as);
/* Load a byte of each page, on a CPU; store its number in its first word; look that it is there. */
void world_load(struct world *w, struct mm *mm, unsigned cpu, uint64_t va, uint64_t n);
void world_fill(struct world *w, struct mm *mm, uint64_t va, uint64_t n);
void world_check(struct world *w, struct mm *mm, uint64_t va, uint64_t n);
/* Where the content of the page at @va is. */
void *world_data(struct world *w, struct mm *mm, uint64_t va);

/* Nothing of the frames, the records and the page tables is in a cache any more. */
void world_cool(struct world *w);

#endif

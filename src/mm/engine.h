/* mm/engine.h - making and ending an engine, its groups and its address spaces. */
#ifndef UMEMCG_MM_ENGINE_H
#define UMEMCG_MM_ENGINE_H

#include "mm/mm_types.h"

/* Make an engine in @e (zeroed memory, but for what it is told of memory nodes: nr_nodes, distance, demotion) of at most @max_frames pages in memory. Takes @store (NULL: no swap), also when
 * it fails. 0 or -ENOMEM: nothing is left of it, engine_fini is not called. */
int engine_init(struct engine *e, struct mmu *mmu, struct store *store, uint32_t max_frames);
/* Background reclaim, and reading ahead where that pays. 0 or -errno. */
int engine_start(struct engine *e);
void engine_stop(struct engine *e);
/* Every address space and group but the root must be gone. */
void engine_fini(struct engine *e);

/* memcg_create with lists. The caller owns a reference besides the online one. */
struct mem_cgroup *group_create(struct engine *e, struct mem_cgroup *parent, const char *name, int *err);
/* Remove a group: pages, slots and statistics go to the parent at once. -EBUSY (children, or address spaces), -EINVAL (root), -ENOENT. */
int group_remove(struct engine *e, struct mem_cgroup *memcg);

/* A new, empty address space of @memcg with refcount 1. NULL: out of memory. */
struct mm *mm_create(struct engine *e, struct mem_cgroup *memcg, void *host);
/* Unmap everything; idempotent. Waits for nobody but locks. */
void mm_teardown(struct mm *mm);
bool mm_tryget(struct mm *mm);
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);
/* The group of @mm: mmap_lock or engine->mm_lock held. */
static inline struct mem_cgroup *mm_memcg(const struct mm *mm) { return aptr_load(&mm->memcg); }
/* As mm_memcg with nothing held; referenced. */
struct mem_cgroup *mm_get_memcg(struct mm *mm);

/* Bytes of page tables, areas and what belongs to them: what programs make the engine keep beyond a record a page. */
int64_t engine_tables_bytes(const struct engine *e);
/* Bytes of bookkeeping in use now, all of it. */
int64_t engine_metadata_bytes(const struct engine *e);

#endif

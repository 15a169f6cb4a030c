/* mm/engine.h - making and ending an engine, its groups and its address spaces. */
#ifndef UMEMCG_MM_ENGINE_H
#define UMEMCG_MM_ENGINE_H

#include "mm/mm_types.h"

/* Initialise @e for at most @max_frames pages in memory. @e is zeroed except for its memory node
 * settings (nr_nodes, distance, demotion). Takes ownership of @store (NULL: no swap), even on
 * failure. 0 or -ENOMEM: everything was undone, do not call engine_fini. */
int engine_init(struct engine *e, struct mmu *mmu, struct store *store, uint32_t max_frames);
/* Start background reclaim, and readahead where it is worthwhile. 0 or -errno. */
int engine_start(struct engine *e);
void engine_stop(struct engine *e);
/* Every address space and every group except the root must be gone. */
void engine_fini(struct engine *e);

/* memcg_create plus LRU lists. The caller owns a reference besides the online one. */
struct mem_cgroup *group_create(struct engine *e, struct mem_cgroup *parent, const char *name,
				int *err);
/* Remove a group: its pages, slots and statistics move to the parent at once. -EBUSY (it has
 * children or address spaces), -EINVAL (root), -ENOENT. */
int group_remove(struct engine *e, struct mem_cgroup *memcg);

/* A new, empty address space of @memcg with refcount 1. NULL: out of memory. */
struct mm *mm_create(struct engine *e, struct mem_cgroup *memcg, void *host);
/* Unmap everything; idempotent. Waits only for locks. */
void mm_teardown(struct mm *mm);
bool mm_tryget(struct mm *mm);
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);
/* The group of @mm: mmap_lock or engine->mm_lock held. */
static inline struct mem_cgroup *mm_memcg(const struct mm *mm)
{
	return aptr_load(&mm->memcg);
}
/* Like mm_memcg without locks; returns a reference. */
struct mem_cgroup *mm_get_memcg(struct mm *mm);

/* Bytes of page tables, areas and related objects: per-program metadata other than page records. */
int64_t engine_tables_bytes(const struct engine *e);
/* Bytes of all metadata in use. */
int64_t engine_metadata_bytes(const struct engine *e);

#endif

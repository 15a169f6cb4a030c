/* tests/file_scene.h - one group, one process, one file or shared-memory object: where tests of them begin. */
#ifndef UMEMCG_TESTS_FILE_SCENE_H
#define UMEMCG_TESTS_FILE_SCENE_H

#include "soft_fixture.h"

#define VM_SHARE (FX_RW | VM_SHARED)
#define PAGES	 16
#define OTHER	 (FX_BASE + 64 * PAGE_SIZE)

struct scene {
	struct mem_cgroup *g;
	struct mm *mm;
	struct test_store *t;  /* of the file */
	struct address_space *as;
};

extern struct soft_fixture fx;

/* A store whose page i holds bytes of value i + 1. */
struct test_store *make_store(uint64_t nr_slots);
/* A process that has a file of PAGES pages at FX_BASE. @vm_flags 0: not mapped. */
void up(struct scene *s, uint32_t vm_flags);
void up_nodes(struct scene *s, uint32_t vm_flags, unsigned nr_nodes);
/* The same with shared memory. */
void up_shmem(struct scene *s);
void up_shmem_nodes(struct scene *s, unsigned nr_nodes);
/* Audit, end everything, and check that nothing is left. */
void down(struct scene *s);
/* The byte at @va, or -errno. */
int byte_at(struct mm *mm, uint64_t va);
int put_byte(struct mm *mm, uint64_t va, int v);
/* The group's own statistics are these, and nothing is under write-back. */
void expect_stats(struct mem_cgroup *g, int64_t file, int64_t mapped, int64_t dirty, int64_t shmem, int64_t anon);

static inline uint64_t va_of(unsigned page)
{
	return FX_BASE + page * PAGE_SIZE;
}

#endif

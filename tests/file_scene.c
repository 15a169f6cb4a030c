/* tests/file_scene.c - see file_scene.h. */
#include "file_scene.h"

struct soft_fixture fx;

struct test_store *make_store(uint64_t nr_slots)
{
	struct test_store *t = fx_store(nr_slots);

	for (uint64_t i = 0; t && i < nr_slots; i++)
		memset(t->slots + i * PAGE_SIZE, (int)(i + 1), PAGE_SIZE);
	return t;
}

void up_nodes(struct scene *s, uint32_t vm_flags, unsigned nr_nodes)
{
	fx_up_nodes(&fx, SOFT_SHARED, 2048, 128, nr_nodes);
	s->g = fx_group(&fx, NULL, "a", 300);
	s->mm = fx_mm(&fx, s->g);
	s->t = make_store(PAGES);
	s->as = file_create(&fx.e, &s->t->store, PAGES);
	assert_non_null(s->as);
	if (vm_flags)
		assert_int_equal(file_mmap(s->mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, vm_flags, s->as, 0), 0);
}

void up_shmem_nodes(struct scene *s, unsigned nr_nodes)
{
	fx_up_nodes(&fx, SOFT_SHARED, 2048, 128, nr_nodes);
	s->g = fx_group(&fx, NULL, "a", 300);
	s->mm = fx_mm(&fx, s->g);
	s->t = NULL;
	s->as = file_create(&fx.e, NULL, PAGES);
	assert_non_null(s->as);
	assert_int_equal(file_mmap(s->mm, FX_BASE, FX_BASE + PAGES * PAGE_SIZE, VM_SHARE, s->as, 0), 0);
}

void up(struct scene *s, uint32_t vm_flags)
{
	up_nodes(s, vm_flags, 1);
}

void up_shmem(struct scene *s)
{
	up_shmem_nodes(s, 1);
}

void down(struct scene *s)
{
	fx_audit(&fx, 0);
	fx_exit(&fx, s->mm);
	fx_audit(&fx, 0);
	if (s->as)
		file_put(s->as);
	fx_ungroup(&fx, s->g);
	fx_down(&fx);
}

int byte_at(struct mm *mm, uint64_t va)
{
	unsigned char c = 0;
	int err = soft_read(&fx.soft, mm, 0, va, &c, 1);

	return err ? err : c;
}

int put_byte(struct mm *mm, uint64_t va, int v)
{
	unsigned char c = (unsigned char)v;

	return soft_write(&fx.soft, mm, 0, va, &c, 1);
}

void expect_stats(struct mem_cgroup *g, int64_t file, int64_t mapped, int64_t dirty, int64_t shmem, int64_t anon)
{
	assert_int_equal(stat_read_local(g, STAT_FILE), file);
	assert_int_equal(stat_read_local(g, STAT_FILE_MAPPED), mapped);
	assert_int_equal(stat_read_local(g, STAT_FILE_DIRTY), dirty);
	assert_int_equal(stat_read_local(g, STAT_SHMEM), shmem);
	assert_int_equal(stat_read_local(g, STAT_ANON), anon);
	assert_int_equal(stat_read_local(g, STAT_FILE_WRITEBACK), 0);
}

/* check/scenario/tasks.c - see tasks.h. */
#include "scenario/tasks.h"

#include "mm/migrate.h"

static void need(int err, const char *what)
{
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "%s failed: %d", what, err);
}

/* ---- of an address space ---- */

void task_zap(void *mm)
{
	fx_discard(mm, 0, 1);
}
void task_munmap(void *mm)
{
	fx_unmap(mm, 0, 1);
}
void task_exit(void *mm)
{
	fx_exit(mm);
}
void task_fault(void *mm)
{
	need(fx_fault(mm, 0, false), "the fault");
}
void task_read(void *mm)
{
	fx_read(mm, 0, 0);
}
void task_write(void *mm)
{
	fx_write(mm, 0, 1);
}

void task_mremap(void *arg)
{
	struct mm *mm = arg;

	rw_wrlock(&mm->mmap_lock);
	need(mm_remap_locked(mm, FX_VA(0), FX_VA(4), PAGE_SIZE), "mremap");
	rw_wrunlock(&mm->mmap_lock);
}

/* ---- of a process ---- */

void task_client_discard(void *arg)
{
	struct mm *mm = arg;

	rw_wrlock(&mm->mmap_lock);
	soft_client_discard(&fx->soft, mm, FX_VA(0), FX_VA(1));
	mm_discard_locked(mm, FX_VA(0), FX_VA(1));
	rw_wrunlock(&mm->mmap_lock);
}

void task_client_fork(void *arg)
{
	struct mm *mm = arg, *child = fx->mm[fx->nr_mms - 1];

	rw_wrlock(&mm->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	if (soft_client_fork(&fx->soft, mm, child) != 0 || mm_fork_locked(mm, child, 0) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed");
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&mm->mmap_lock);
}

/* ---- of a page ---- */

void task_reclaim(void *arg)
{
	struct page *page = arg;
	struct reclaim_result r = { 0 };

	shrink_pages(&fx->e, &page, 1, 0, &r);
}

void task_reclaim_if_listed(void *page)
{
	if (lru_isolate_page(page))
		task_reclaim(page);
	else
		page_put(&fx->e, page);
}

void task_migrate_if_listed(void *arg)
{
	struct page *page = arg;
	struct migrate_result r;

	if (lru_isolate_page(page))
		migrate_pages(&fx->e, &page, 1, 0, MIGRATE_COMPACTION, &r);
	else
		page_put(&fx->e, page);
}

/* ---- of a file, of a group ---- */

void task_write_back(void *file)
{
	need(filemap_writeback(file, 0, 1), "write-back");
}
void task_truncate(void *file)
{
	filemap_truncate(file, 0);
}
void task_rmdir(void *group)
{
	fx_ungroup(group);
}

void task_put_file(void *unused)
{
	struct address_space *file = fx->file[0];

	(void)unused;
	fx->file[0] = NULL;
	file_put(file);
}

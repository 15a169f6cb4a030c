/* mm/file_read.c - bringing in a page of a file or of shared memory: it is charged, entered locked
 * in the table, and read. Invariants and locks: filemap.h. */
#include <string.h>

#include "base/bitmap.h"
#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/page.h"

static int new_page_of(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, uint32_t flags,
		       struct page **page)
{
	int err = charge_pages(e, memcg, mm, 1, mm && mm->host ? CHARGE_PARK : 0);

	if (err)
		return err;
	err = frames_alloc(e, page, 1);
	if (err) {
		uncharge_pages(memcg, 1);
		return err;
	}
	if (e->mmu->ops->bring_frames(e->mmu, page, 1) != 0) {
		page_put(e, *page);
		uncharge_pages(memcg, 1);
		return -ENOMEM;
	}
	if (!page_trylock(*page))
		VM_BUG_ON("a fresh page is locked");
	page_set(*page, flags);
	page_commit_charge(*page, memcg);
	return 0;
}

int filemap_new_page(struct engine *e, struct mm *mm, uint32_t flags, struct page **page)
{
	struct mem_cgroup *memcg = mm_get_memcg(mm);
	int err = new_page_of(e, memcg, mm, flags, page);

	memcg_put(memcg);
	return err;
}

static void read_done(struct store_batch *b)
{
	(void)b;
}

/* Read a locked page. 0 or -errno. */
static int read_page(struct address_space *as, struct page *p)
{
	void *data = mmu_data(as->engine->mmu, p);
	struct store_batch b = { .write = false, .n = 1, .end_io = read_done };
	bool stored = false;

	lockdep_assert_held(&p->flags);
	if (!file_is_shmem(as) && p->index < as->store->nr_slots) {
		spin_lock(&as->lock);
		stored = bitmap_test(as->stored, p->index);
		spin_unlock(&as->lock);
	}
	if (!stored) {
		memset(data, 0, PAGE_SIZE);
		return 0;
	}
	b.io[0].slot = p->index;
	b.io[0].data = data;
	store_submit(as->store, &b);
	store_wait(as->store, &b);
	return b.io[0].error;
}

/* 0: in *@page; 1: another thread was faster; or -errno. */
static int create_page(struct address_space *as, uint64_t index, struct mm *mm, struct page **page)
{
	struct engine *e = as->engine;
	struct page *p;
	int err = filemap_new_page(e, mm, file_is_shmem(as) ? 0 : PG_file, &p);

	if (err)
		return err;
	err = filemap_insert(as, p, index, 0);
	if (!err) {
		err = read_page(as, p);
		if (err) {
			/* Not kept: the next lookup tries again. */
			filemap_remove(p, 0);
			err = -EIO;
		} else {
			page_set(p, PG_uptodate);
			lru_add(p);
		}
	}
	page_unlock(e, p);
	if (err)
		page_put(e, p); /* ends its charge */
	else
		*page = p;
	return err == -EEXIST ? 1 : err;
}

int filemap_get_page(struct address_space *as, uint64_t index, struct mm *mm, struct page **page)
{
	struct engine *e = as->engine;
	int err = 1;

	while (err == 1) {
		uint32_t entry;
		struct page *p = filemap_lookup(as, index, &entry);
		bool ready;

		if (!p) {
			err = entry ? shmem_swapin(as, index, entry, mm)
				    : create_page(as, index, mm, page);
			if (entry && err == 0)
				err = 1; /* it is in the table now */
			continue;
		}
		page_lock(p); /* until it is read */
		ready = page_file_mapping(p) == as && page_test(p, PG_uptodate);
		page_unlock(e, p);
		if (ready) {
			*page = p;
			return 0;
		}
		page_put(e, p);
	}
	return err;
}

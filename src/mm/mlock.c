/* mm/mlock.c - mlock and munlock. Pages of a locked area move to the unevictable list when reclaim
 * finds them; pages faulted in later go there at once. */
#include "mm/mlock.h"

#include "mm/engine.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/vma.h"

int64_t mlock_limit(int64_t max, int64_t unmanaged)
{
	int64_t limit = max - max / 8 - unmanaged;

	return limit > 0 ? limit : 0;
}

static int64_t group_locked(struct mm *mm)
{
	struct engine *e = mm->engine;
	int64_t sum = 0;

	spin_lock(&e->mm_lock);
	list_for_each(m, &e->mms, struct mm, link)
		if (mm_memcg(m) == mm_memcg(mm))
			sum += a64_load(&m->locked);
	spin_unlock(&e->mm_lock);
	return sum;
}

/* Pages of [start, end) that are in an area and not yet locked. */
static int64_t newly_locked(const struct mm *mm, uint64_t start, uint64_t end)
{
	int64_t n = 0;

	lockdep_assert_held(&mm->mmap_lock);
	for (unsigned i = vma_index(mm, start); i < mm->nr_vmas && mm->vmas[i]->start < end; i++) {
		const struct vma *v = mm->vmas[i];
		uint64_t from = v->start > start ? v->start : start,
			 to = v->end < end ? v->end : end;

		if (!(v->flags & VM_LOCKED))
			n += (int64_t)((to - from) >> PAGE_SHIFT);
	}
	return n;
}

int mm_lock_locked(struct mm *mm, uint64_t start, uint64_t end)
{
	int64_t want = group_locked(mm) + newly_locked(mm, start, end);
	int err;

	lockdep_assert_held(&mm->mmap_lock);
	if (want > mlock_limit(a64_load(&mm_memcg(mm)->memory.max),
			       stat_read_local(mm_memcg(mm), STAT_UNMANAGED)))
		return -ENOMEM;
	err = vma_change_flags(mm, start, end, VM_LOCKED, 0);
	/* Reclaim that reads the area's flags from now on skips its pages. Reclaim that read them
	 * before holds the page lock, and may evict the page after the caller has brought it in. */
	if (!err)
		sync_step(leaf_for_range(mm, start, end, reclaim_wait_leaf, NULL));
	return err;
}

static void rescue(struct page *p)
{
	if (lru_isolate_page(p)) {
		page_clear(p, PG_unevictable);
		lru_add(p);
	}
}

void mlock_recheck(struct engine *e, struct page *p)
{
	struct rmap_place places[64];
	struct file_use use = { 0 };
	bool locked;
	int n = 0;

	if (!page_test(p, PG_unevictable))
		return;
	page_lock(p);
	if (page_is_anon(p))
		n = rmap_places(p, places, 64);
	else
		rmap_file_look(p, &use);
	page_unlock(e, p);
	locked = use.vm_flags & VM_LOCKED;
	for (int i = 0; i < n; i++) {
		locked |= places[i].vm_flags & VM_LOCKED;
		mm_put(places[i].mm);
	}
	if (n >= 0 && !locked)
		rescue(p);
}

/* Move pages from the unevictable list back to the lists that reclaim scans. */
static void rescue_leaf(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg)
{
	VM_ASSERT(from < to && to - from <= LEAF_SPAN);
	(void)arg;
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		struct page *p = leaf_get_flagged(mm->engine, leaf, va, PG_unevictable);

		if (!p)
			continue;
		rescue(p);
		page_put(mm->engine, p);
	}
}

/* The same for shared memory, whose pages may be unevictable because of an area without an entry
 * for them. */
static void rescue_file(struct engine *e, struct address_space *as, uint64_t first, uint64_t end)
{
	VM_ASSERT(first < end);
	for (uint64_t i = first; (i = filemap_next(as, i, end)) < end; i++) {
		uint32_t entry;
		struct page *p = filemap_lookup(as, i, &entry);

		if (!p)
			continue;
		if (page_test(p, PG_unevictable))
			rescue(p);
		page_put(e, p);
	}
}

static void rescue_files(struct mm *mm, uint64_t start, uint64_t end)
{
	VM_ASSERT(start < end);
	for (unsigned i = vma_index(mm, start); i < mm->nr_vmas && mm->vmas[i]->start < end; i++) {
		struct vma *v = mm->vmas[i];

		if (v->file && v->file->host)
			rescue_file(mm->engine, v->file, v->pgoff,
				    v->pgoff + ((v->end - v->start) >> PAGE_SHIFT));
	}
}

/* Unlock all areas without VM_KEPT. Areas merge and split on the way: look up one at a time. */
static int unlock_areas(struct mm *mm, uint64_t start, uint64_t end)
{
	unsigned i;

	lockdep_assert_held(&mm->mmap_lock);
	while (start < end && (i = vma_index(mm, start)) < mm->nr_vmas &&
	       mm->vmas[i]->start < end) {
		const struct vma *v = mm->vmas[i];
		uint64_t from = v->start > start ? v->start : start,
			 to = v->end < end ? v->end : end;
		int err = v->flags & VM_KEPT ? 0 : vma_change_flags(mm, from, to, 0, VM_LOCKED);

		if (err)
			return err;
		start = to;
	}
	return 0;
}

int mm_unlock_locked(struct mm *mm, uint64_t start, uint64_t end)
{
	int err;

	lockdep_assert_held(&mm->mmap_lock);
	if (start >= end)
		return 0;
	err = unlock_areas(mm, start, end);
	leaf_for_range(mm, start, end, rescue_leaf, NULL);
	rescue_files(mm, start, end);
	return err;
}

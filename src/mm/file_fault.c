/* mm/file_fault.c - faults in areas of files and shared memory.
 *
 * Nothing mapped: bring in the page without locks held (this charges and reads), then take
 * mmap_lock, the page lock and the leaf lock, recheck, map. A store to a private area copies
 * instead (fault.c); the copy is anonymous. A store to a read-only entry in a shared area: lock the
 * page, wait for its writeback, set it dirty, make the entry writable.
 *
 * The page lock is held while the page is mapped: truncation and reclaim hold it when they remove
 * the last entry, so none can appear behind their backs.
 *
 * Where mapping several pages at once pays off (an MMU that withdraws), a stream's next pages of
 * shared memory come with the faulting one: brought in with it (shmem_bring), trylocked, and mapped
 * as far as they are at home without a gap.
 */
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/vma.h"

/* Clip the window to the area. */
static void clip_to_area(struct fault *f, const struct vma *v)
{
	uint64_t end = f->start + ((uint64_t)f->n << PAGE_SHIFT);

	lockdep_assert_held(&f->mm->mmap_lock);
	if (f->n < 2)
		return;
	if (f->start < v->start)
		f->start = v->start;
	if (end > v->end)
		end = v->end;
	f->n = (unsigned)((end - f->start) >> PAGE_SHIFT);
}

/* The file and index that f->va maps; *@as is referenced. False: it is no longer in a file area. */
static bool find_place(struct fault *f, struct address_space **as, uint64_t *index,
		       uint32_t *vm_flags)
{
	const struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	*as = v ? v->file : NULL;
	if (*as) {
		file_get(*as);
		*index = vma_page_index(v, f->va);
		*vm_flags = v->flags;
		clip_to_area(f, v);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return *as != NULL;
}

/* Is the locked page @p still the one that f->va in @v should map? */
static bool still_there(const struct fault *f, const struct vma *v, const struct page *p)
{
	lockdep_assert_held(&p->flags);
	return v && v->file && page_file_mapping(p) == v->file &&
	       p->index == vma_page_index(v, f->va) && page_test(p, PG_uptodate);
}

/* May stores through entries of this area reach the page now? */
static bool may_store(const struct fault *f, const struct vma *v)
{
	if ((v->flags & (VM_SHARED | VM_WRITE)) != (VM_SHARED | VM_WRITE))
		return false;
	return f->write || file_is_shmem(v->file);
}

/* Pages around f->va to map with it, locked and referenced. page[self] is the faulting one. */
struct around {
	struct page *page[FAULT_PAGES_MAX];
	unsigned n, self;
};

/* Map pages [first, first + n). They and the leaf are locked, nothing is mapped there. Returns the
 * number of pages mapped, or as handle_fault. */
static int map_run(const struct mapping *m, unsigned first, unsigned n)
{
	struct fault *f = m->f;
	struct vma *v = m->v;
	struct around *a = m->pages;
	struct mmu *mmu = f->mm->engine->mmu;
	uint64_t va = f->va - ((uint64_t)(a->self - first) << PAGE_SHIFT);
	int done = mmu->ops->map(mmu, f->mm, va, a->page + first, n, false);
	bool store = may_store(f, v);

	lockdep_assert_held(&m->leaf->lock);
	if (done <= 0)
		return done;
	for (unsigned i = 0; i < (unsigned)done; i++, va += PAGE_SIZE) {
		struct page *p = a->page[first + i];

		if (store)
			filemap_set_dirty(p);
		page_get(p);
		page_add_rmap(p, v, va);
		pte_set(m->leaf, va, pte_make_present(p->pfn, store));
	}
	a64_acc(&f->mm->rss, done);
	file_count_entries(f->mm, done);
	return done;
}

/* The same for the unmapped run around f->va in one leaf, without gaps. Returns as handle_fault. */
static int map_around(struct fault *f, struct vma *v, struct leaf *leaf, struct around *a)
{
	const struct mapping m = { .f = f, .v = v, .leaf = leaf, .pages = a };
	unsigned lo = a->self, hi = a->self + 1;
	uint64_t va = f->va;
	int done;

	lockdep_assert_held(&leaf->lock);
	for (; lo > 0 && va > leaf->base && pte_none(pte_read(leaf, va - PAGE_SIZE));
	     va -= PAGE_SIZE)
		lo--;
	for (va = f->va + PAGE_SIZE;
	     hi < a->n && va < leaf->base + LEAF_SPAN && pte_none(pte_read(leaf, va));
	     va += PAGE_SIZE)
		hi++;
	done = fault_map_run(&m, map_run, &lo, hi - lo, a->self);
	if (done < 0)
		return done == -EEXIST ? 0 : done;
	return done <= (int)(a->self - lo); /* 1: the run ended before f->va */
}

static int map_locked(struct fault *f, struct vma *v, struct around *a)
{
	struct leaf *leaf = leaf_get(f->mm, f->va);
	int err = 0;

	if (!leaf)
		return -ENOMEM;
	if (may_store(f, v))
		page_wait_writeback(a->page[a->self]);
	spin_lock(&leaf->lock);
	if (pte_none(pte_read(leaf, f->va)))
		err = map_around(f, v, leaf, a);
	else if (f->mm->host)
		f->mm->engine->mmu->ops->wake(f->mm->engine->mmu, f->mm, f->va, 1);
	spin_unlock(&leaf->lock);
	return err;
}

/* The page @index of @as, locked and referenced, if it can be mapped along with a faulting one;
 * else NULL. */
static struct page *neighbour(struct address_space *as, uint64_t index)
{
	struct engine *e = as->engine;
	uint32_t entry;
	struct page *p = filemap_lookup(as, index, &entry);

	if (!p)
		return NULL;
	if (page_trylock(p)) {
		if (page_file_mapping(p) == as && page_test(p, PG_uptodate) &&
		    !page_test(p, PG_writeback) && mmu_data(e->mmu, p))
			return p;
		page_unlock(e, p);
	}
	page_put(e, p);
	return NULL;
}

/* Collect the window's pages around @p, which is locked and belongs at f->va in @v. */
static void look_around(const struct fault *f, const struct vma *v, struct page *p,
			struct around *a)
{
	uint64_t end = f->start + ((uint64_t)f->n << PAGE_SHIFT), lo = f->va;
	bool alone = f->n < 2 || !mmu_data(f->mm->engine->mmu, p);

	VM_ASSERT(a32_peek(&p->flags) & PG_locked);
	/* From the faulting page downwards, then reversed. */
	a->n = 0;
	a->page[a->n++] = p;
	while (!alone && lo > f->start && lo > v->start && a->n < FAULT_PAGES_MAX) {
		struct page *q = neighbour(v->file, vma_page_index(v, lo - PAGE_SIZE));

		if (!q)
			break;
		a->page[a->n++] = q;
		lo -= PAGE_SIZE;
	}
	a->self = a->n - 1;
	for (unsigned i = 0; i < a->n / 2; i++) {
		struct page *q = a->page[i];

		a->page[i] = a->page[a->n - 1 - i];
		a->page[a->n - 1 - i] = q;
	}
	for (uint64_t va = f->va + PAGE_SIZE;
	     !alone && va < end && va < v->end && a->n < FAULT_PAGES_MAX; va += PAGE_SIZE) {
		struct page *q = neighbour(v->file, vma_page_index(v, va));

		if (!q)
			break;
		a->page[a->n++] = q;
	}
}

static void let_go(struct engine *e, struct around *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		if (i == a->self)
			continue;
		page_unlock(e, a->page[i]);
		page_put(e, a->page[i]);
	}
}

/* Map @p, referenced, at f->va if it belongs there. */
static int map_found(struct fault *f, struct page *p)
{
	struct engine *e = f->mm->engine;
	struct around a;
	struct vma *v;
	int err = 1;

	VM_ASSERT(a32_peek(&p->refcount) > 0);
	rw_rdlock(&f->mm->mmap_lock);
	page_lock(p);
	v = vma_find(f->mm, f->va);
	if (still_there(f, v, p)) {
		look_around(f, v, p, &a);
		err = map_locked(f, v, &a);
		let_go(e, &a);
	}
	page_unlock(e, p);
	rw_rdunlock(&f->mm->mmap_lock);
	return err;
}

int fault_file(struct fault *f)
{
	struct engine *e = f->mm->engine;
	struct address_space *as;
	uint32_t vm_flags;
	struct page *p;
	uint64_t index;
	int err;

	if (f->n == 0 && e->mmu->ops->withdraws)
		stream_window(f, 1, false);
	if (!find_place(f, &as, &index, &vm_flags))
		return 1;
	if (f->n > 1 && file_is_shmem(as))
		shmem_bring(as, index - ((f->va - f->start) >> PAGE_SHIFT), f->n, f);
	err = filemap_get_page(as, index, f->mm, &p);
	if (err == -EIO)
		e->mmu->ops->poison(e->mmu, f->mm, f->va);
	if (!err && f->write && !(vm_flags & VM_SHARED)) {
		err = fault_cow_copy(f, 0, p);
		page_put(e, p);
	} else if (!err) {
		err = map_found(f, p);
		page_put(e, p);
	}
	file_put(as);
	return err;
}

int fault_file_store(struct fault *f, pte_t pte, struct page *p)
{
	struct engine *e = f->mm->engine;
	struct leaf *leaf;
	struct vma *v;
	bool shared;

	VM_ASSERT(a32_peek(&p->refcount) > 0);
	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	shared = v && v->flags & VM_SHARED;
	if (shared) {
		page_lock(p);
		leaf = leaf_find(f->mm, f->va);
		if (leaf && still_there(f, v, p) && may_store(f, v)) {
			page_wait_writeback(p);
			spin_lock(&leaf->lock);
			if (pte_present(pte_read(leaf, f->va)) &&
			    pte_pfn(pte_read(leaf, f->va)) == p->pfn) {
				filemap_set_dirty(p); /* before a store is possible */
				pte_set(leaf, f->va, pte_read(leaf, f->va) | PTE_WRITE);
			}
			spin_unlock(&leaf->lock);
		}
		page_unlock(e, p);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return shared ? 0 : fault_cow(f, pte, p);
}

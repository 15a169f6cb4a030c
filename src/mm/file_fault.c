/* mm/file_fault.c - faults in areas of files and shared memory.
 *
 * Nothing mapped: bring the page with nothing locked (that charges and reads), then mmap_lock, the page lock, the
 * leaf lock, look again, map. A store to a private area copies instead (fault.c), and the copy is anonymous. Mapped
 * for reading and stored to, in a shared area: lock the page, wait until its write-back is over, dirty, let the entry
 * store.
 *
 * The page lock is held over mapping it: truncation and reclaim hold it when they take the last entry away, so none
 * appears behind their backs.
 */
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/vma.h"

/* Where in which file f->va lies; *@as referenced. False: it is no area of a file any more. */
static bool find_place(struct fault *f, struct address_space **as, uint64_t *index, uint32_t *vm_flags)
{
	const struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	*as = v ? v->file : NULL;
	if (*as) {
		file_get(*as);
		*index = vma_page_index(v, f->va);
		*vm_flags = v->flags;
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return *as != NULL;
}

/* The page, locked, is still what f->va, in @v, should show. */
static bool still_there(const struct fault *f, const struct vma *v, const struct page *p)
{
	return v && v->file && page_file_mapping(p) == v->file && p->index == vma_page_index(v, f->va) &&
	       page_test(p, PG_uptodate);
}

/* Stores through entries of this area reach the page, and may do so now. */
static bool may_store(const struct fault *f, const struct vma *v)
{
	if ((v->flags & (VM_SHARED | VM_WRITE)) != (VM_SHARED | VM_WRITE))
		return false;
	return f->write || file_is_shmem(v->file);
}

/* Page and leaf locked, nothing mapped. Returns as handle_fault. */
static int map_page(struct fault *f, struct vma *v, struct leaf *leaf, struct page *p)
{
	struct mmu *mmu = f->mm->engine->mmu;
	int done = mmu->ops->map(mmu, f->mm, f->va, &p, 1, false);
	bool store = may_store(f, v);

	if (done <= 0)
		return done == -EEXIST ? 0 : done;
	if (store)
		filemap_set_dirty(p);
	page_get(p);
	page_add_rmap(p, v, f->va);
	pte_set(leaf, f->va, pte_make_present(p->pfn, store));
	a64_acc(&f->mm->rss, 1);
	file_count_entries(f->mm, 1);
	return 0;
}

static int map_locked(struct fault *f, struct vma *v, struct page *p)
{
	struct leaf *leaf = leaf_get(f->mm, f->va);
	int err = 0;

	if (!leaf)
		return -ENOMEM;
	if (may_store(f, v))
		page_wait_writeback(p);
	spin_lock(&leaf->lock);
	if (pte_none(pte_read(leaf, f->va)))
		err = map_page(f, v, leaf, p);
	else if (f->mm->host)
		f->mm->engine->mmu->ops->wake(f->mm->engine->mmu, f->mm, f->va, 1);
	spin_unlock(&leaf->lock);
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

	if (!find_place(f, &as, &index, &vm_flags))
		return 1;
	err = filemap_get_page(as, index, f->mm, &p);
	if (err == -EIO)
		e->mmu->ops->poison(e->mmu, f->mm, f->va);
	if (!err && f->write && !(vm_flags & VM_SHARED)) {
		err = fault_cow_copy(f, 0, p);
		page_put(e, p);
	} else if (!err) {
		struct vma *v;

		rw_rdlock(&f->mm->mmap_lock);
		page_lock(p);
		v = vma_find(f->mm, f->va);
		err = still_there(f, v, p) ? map_locked(f, v, p) : 1;
		page_unlock(e, p);
		rw_rdunlock(&f->mm->mmap_lock);
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

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	shared = v && v->flags & VM_SHARED;
	if (shared) {
		page_lock(p);
		leaf = leaf_find(f->mm, f->va);
		if (leaf && still_there(f, v, p) && may_store(f, v)) {
			page_wait_writeback(p);
			spin_lock(&leaf->lock);
			if (pte_present(pte_read(leaf, f->va)) && pte_pfn(pte_read(leaf, f->va)) == p->pfn) {
				filemap_set_dirty(p);  /* before a store is possible */
				pte_set(leaf, f->va, pte_read(leaf, f->va) | PTE_WRITE);
			}
			spin_unlock(&leaf->lock);
		}
		page_unlock(e, p);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return shared ? 0 : fault_cow(f, pte, p);
}

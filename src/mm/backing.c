/* mm/backing.c - first touch of private memory that is filled from a file. Invariants and locks:
 * backing.h.
 *
 * The page is charged and read with nothing locked, then its place is looked at again. A store to
 * the file in between is seen or not, as it would be in the kernel.
 */
#include "mm/backing.h"

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/fault.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/vma.h"

bool backing_enabled;

/* The backing of the area at @va, referenced, and which of its pages is there; NULL: none. */
static struct backing *find_backing(struct mm *mm, uint64_t va, uint64_t *index)
{
	struct backing *b = NULL;
	const struct vma *v;

	rw_rdlock(&mm->mmap_lock);
	v = vma_find(mm, va);
	if (v && v->backing) {
		b = v->backing;
		backing_get(b);
		*index = vma_page_index(v, va);
	}
	rw_rdunlock(&mm->mmap_lock);
	return b;
}

int backing_peek(struct mm *mm, uint64_t va, void *to)
{
	uint64_t index = 0;
	struct backing *b = find_backing(mm, va, &index);
	int err = b ? b->ops->read(b, index, to) : -ENOENT;

	if (b)
		backing_put(b);
	return err;
}

/* The entry is empty, and the charge for the right group. 1: mapped; 0: something is there that is
 * not in the books; or -errno. @lost: there is no content. Leaf lock held. */
static int enter(struct fault *f, struct vma *v, struct leaf *leaf, struct page *p, bool lost)
{
	struct mmu *mmu = f->mm->engine->mmu;
	int done;

	if (lost) {
		pte_set(leaf, f->va, PTE_POISON);
		mmu->ops->poison(mmu, f->mm, f->va);
		return -EIO;
	}
	done = mmu->ops->map(mmu, f->mm, f->va, &p, 1, false);
	if (done == -EEXIST)
		return 0;
	if (done > 0) {
		finish_new_page(f->memcg, p, v, leaf, f->va);
		a64_acc(&f->mm->rss, 1);
	}
	return done;
}

/* Second half. 1: mapped; 0: woken, it is there or will fault again; -ESTALE: the area is another
 * one now; or -errno. */
static int map_read(struct fault *f, struct backing *b, uint64_t index, struct page *p, bool lost)
{
	struct mmu *mmu = f->mm->engine->mmu;
	struct leaf *leaf = NULL;
	int done = -ESTALE;
	struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	if (v && v->backing == b && vma_page_index(v, f->va) == index) {
		leaf = leaf_get(f->mm, f->va);
		if (leaf && anon_vma_prepare(v) != 0)
			leaf = NULL;
		done = -ENOMEM;
	}
	if (leaf) {
		spin_lock(&leaf->lock);
		done = recheck(mm_memcg(f->mm) == f->memcg) && recheck(pte_none(pte_read(leaf, f->va))) ?
			       enter(f, v, leaf, p, lost) : 0;
		spin_unlock(&leaf->lock);
		if (done == 0)
			mmu->ops->wake(mmu, f->mm, f->va, 1);
	}
	/* Before mmap_lock is released: the entry holds the only reference. */
	if (done > 0)
		lru_add(p);
	rw_rdunlock(&f->mm->mmap_lock);
	return done;
}

int fault_backed(struct fault *f)
{
	struct engine *e = f->mm->engine;
	uint64_t index = 0;
	struct backing *b = find_backing(f->mm, f->va, &index);
	struct page *p = NULL;
	int err, lost;

	if (!b)
		return 1;
	err = charge_fault_page(f);
	if (err)
		goto out;
	err = frames_alloc(e, &p, 1);
	if (!err)
		err = e->mmu->ops->bring_frames(e->mmu, &p, 1);
	if (!err) {
		lost = b->ops->read(b, index, mmu_data(e->mmu, p));
		err = map_read(f, b, index, p, lost != 0);
	}
	if (err <= 0) {
		if (p)
			page_put(e, p);
		uncharge_pages(f->memcg, 1);
	}
	err = err > 0 ? 0 : err == -ESTALE ? 1 : err;
out:
	backing_put(b);
	return err;
}

/* mm/rmap_file.c - reverse mapping of pages of files and shared memory: from a page to every entry
 * that maps it.
 *
 * A walk holds i_mmap_lock for reading throughout, so no area appears, disappears or moves, and no
 * entry can slip from a place not yet visited to one already visited (mremap does not move entries
 * of files: they fault again). An area on the list keeps its address space and its page tables.
 * Each entry is read only under its leaf lock: a thread that clears an entry holds that lock until
 * its TLBs are flushed. A walk that did not wait for it would write out a page that is still being
 * stored to (seed 4, invariant B).
 *
 * While the page is locked no new entry appears: after rmap_file_unmap the page is unmapped.
 */
#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/vma.h"

typedef void (*walk_fn)(struct page *p, struct vma *v, struct leaf *leaf, uint64_t va, void *arg);

static bool covers(const struct vma *v, uint64_t index)
{
	return index >= v->pgoff && index - v->pgoff < (v->end - v->start) >> PAGE_SHIFT;
}

struct walk {
	struct page *p;
	walk_fn fn;
	void *arg;
};

static void walk_area(struct vma *v, uint64_t va, void *arg)
{
	struct leaf *leaf = leaf_find(v->mm, va);
	struct walk *w = arg;
	pte_t pte;

	VM_ASSERT(va >= v->start && va < v->end);
	if (!leaf)
		return;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	if (pte_present(pte) && pte_pfn(pte) == w->p->pfn)
		w->fn(w->p, v, leaf, va, w->arg);
	spin_unlock(&leaf->lock);
}

void rmap_walk_file(struct address_space *as, uint64_t index,
		    void (*fn)(struct vma *v, uint64_t va, void *arg), void *arg)
{
	VM_ASSERT(a32_peek(&as->refcount) > 0);
	rw_rdlock(&as->i_mmap_lock);
	list_for_each(v, &as->i_mmap, struct vma, file_link)
		if (covers(v, index))
			fn(v, v->start + ((index - v->pgoff) << PAGE_SHIFT), arg);
	rw_rdunlock(&as->i_mmap_lock);
}

uint64_t rmap_count_areas(struct address_space *as, bool (*counts)(const struct mm *mm))
{
	uint64_t n = 0;

	VM_ASSERT(a32_peek(&as->refcount) > 0);
	rw_rdlock(&as->i_mmap_lock);
	list_for_each(v, &as->i_mmap, const struct vma, file_link)
		n += counts(v->mm);
	rw_rdunlock(&as->i_mmap_lock);
	return n;
}

static void walk(struct page *p, walk_fn fn, void *arg)
{
	struct address_space *as = page_file_mapping(p);
	struct walk w = { p, fn, arg };

	VM_BUG_ON(!page_locked(p) || !as);
	if (page_mapped(p))
		rmap_walk_file(as, p->index, walk_area, &w);
}

static void protect_one(struct page *p, struct vma *v, struct leaf *leaf, uint64_t va, void *arg)
{
	struct mmu *mmu = v->mm->engine->mmu;
	pte_t pte = pte_read(leaf, va);

	(void)arg;
	if (!(pte & (PTE_WRITE | PTE_DIRTY)))
		return;
	pte_set(leaf, va, pte & ~(pte_t)(PTE_WRITE | PTE_DIRTY));
	mmu->ops->flush(mmu, v->mm, va, 1);
	if (pte & PTE_DIRTY)
		filemap_set_dirty(p);
}

void rmap_file_protect(struct page *p)
{
	lockdep_assert_held(&p->flags);
	walk(p, protect_one, NULL);
}

static void unmap_one(struct page *p, struct vma *v, struct leaf *leaf, uint64_t va, void *arg)
{
	struct engine *e = v->mm->engine;
	pte_t pte = pte_read(leaf, va);

	(void)arg;
	pte_set(leaf, va, 0);
	if (pte & PTE_DIRTY)
		filemap_set_dirty(p);
	e->mmu->ops->flush(e->mmu, v->mm, va, 1);
	a64_acc(&v->mm->rss, -1);
	file_count_entries(v->mm, -1);
	page_remove_rmap(p);
	page_put(e, p); /* the entry's reference; the caller holds another */
}

void rmap_file_unmap(struct page *p)
{
	lockdep_assert_held(&p->flags);
	walk(p, unmap_one, NULL);
	VM_BUG_ON(page_mapped(p));
}

static void look_one(struct page *p, struct vma *v, struct leaf *leaf, uint64_t va, void *arg)
{
	struct file_use *use = arg;
	pte_t pte = pte_read(leaf, va);

	(void)p;
	use->vm_flags |= v->flags;
	use->no_reclaim |= a32_load(&v->mm->no_reclaim) != 0;
	if (pte & PTE_YOUNG) {
		pte_set(leaf, va, pte & ~(pte_t)PTE_YOUNG);
		use->young = true;
	}
}

/* A client's kernel maps resident pages without telling us: an area counts whether or not it has an
 * entry. */
static void look_at_locks(const struct page *p, struct file_use *use)
{
	struct address_space *as = page_file_mapping(p);

	rw_rdlock(&as->i_mmap_lock);
	list_for_each(v, &as->i_mmap, struct vma, file_link)
		if (covers(v, p->index))
			use->vm_flags |= v->flags & VM_LOCKED;
	rw_rdunlock(&as->i_mmap_lock);
}

void rmap_file_look(struct page *p, struct file_use *use)
{
	*use = (struct file_use){ 0 };
	walk(p, look_one, use);
	if (page_file_mapping(p)->host)
		look_at_locks(p, use);
}

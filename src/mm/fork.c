/* mm/fork.c - fork. Swap entries are shared by reference; present pages are shared or duplicated:
 * fork.h. */
#include "mm/fork.h"

#include <string.h>

#include "mm/engine.h"
#include "mm/charge.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/vma.h"

#define FORK_BATCH 64

struct fork {
	struct mm *child;
	int64_t charged;
	int error;
	struct page *fresh[FORK_BATCH]; /* the child's own pages, for the lists */
	unsigned nr_fresh;
};

static void flush_fresh(struct fork *f)
{
	lru_add_many(f->fresh, f->nr_fresh);
	f->nr_fresh = 0;
}

/* The kernel has already given the child its copy: make a record of it. Reclaim must not hold the
 * parent's page: a withdrawal gives it a home frame before its content is there. Both leaves
 * locked. */
static int double_page(struct fork *f, struct vma *v, struct leaf *dst, uint64_t va, pte_t pte)
{
	struct engine *e = f->child->engine;
	void *home = mmu_data(e->mmu, pfn_page(e, pte_pfn(pte)));
	struct page *p;

	lockdep_assert_held(&dst->lock);
	if (frames_alloc(e, &p, 1) != 0)
		return -ENOMEM;
	if (home) {
		/* Withdrawn and not yet mapped again: the child's kernel has nothing there
		 * either. */
		if (e->mmu->ops->bring_frames(e->mmu, &p, 1) != 0) {
			page_put(e, p);
			return -ENOMEM;
		}
		plat_copy(mmu_data(e->mmu, p), home, PAGE_SIZE);
	}
	if (f->charged > 0)
		f->charged--;
	else
		charge_pages(e, mm_memcg(f->child), NULL, 1,
			     CHARGE_NORECLAIM | CHARGE_FORCE); /* never fails */
	page_commit_charge(p, mm_memcg(f->child));
	page_set(p, PG_uptodate);
	page_add_rmap(p, v, va);
	pte_set(dst, va, pte_make_present(p->pfn, pte & PTE_WRITE));
	f->fresh[f->nr_fresh++] = p;
	return 0;
}

/* The page is being migrated: the migrator, which finds the child's area after the parent's, maps
 * it read-only in both. Both leaves locked. */
static void share_migration(struct leaf *src, struct leaf *dst, uint64_t va, pte_t pte)
{
	lockdep_assert_held(&src->lock);
	pte &= ~((pte_t)PTE_WRITE << PTE_MIGRATION_FLAGS_SHIFT);
	pte_set(src, va, pte);
	pte_set(dst, va, pte);
}

/* Make the page read-only in both; the first writer gets a copy. Both leaves locked. */
static void share_page(struct fork *f, struct vma *v, struct leaf *src, struct leaf *dst,
		       uint64_t va, pte_t pte)
{
	struct page *p = pfn_page(f->child->engine, pte_pfn(pte));

	lockdep_assert_held(&dst->lock);
	lockdep_assert_held(&src->lock);
	page_get(p);
	pte &= ~(pte_t)(PTE_WRITE | PTE_YOUNG);
	pte_set(src, va, pte);
	page_add_rmap(p, v, va);
	pte_set(dst, va, pte);
}

/* 0; -ENOMEM; -EAGAIN: reclaim holds the page. Both leaves locked. */
static int copy_entry(struct fork *f, struct vma *v, struct leaf *src, struct leaf *dst,
		      uint64_t va)
{
	struct engine *e = f->child->engine;
	pte_t pte = pte_read(src, va);

	lockdep_assert_held(&dst->lock);
	lockdep_assert_held(&src->lock);
	if (pte_present(pte)) {
		if (!page_is_anon(pfn_page(e, pte_pfn(pte))))
			return 0; /* the child faults it from the file */
		if (e->mmu->ops->shares)
			share_page(f, v, src, dst, va, pte);
		else if (page_locked(pfn_page(e, pte_pfn(pte))))
			return -EAGAIN;
		else if (double_page(f, v, dst, va, pte) != 0)
			return -ENOMEM;
		a64_acc(&f->child->rss, 1);
	} else if (pte_is_swap(pte)) {
		swap_dup(e, pte_entry(pte));
		pte_set(dst, va, pte);
		a64_acc(&f->child->swapents, 1);
	} else if (pte_is_migration(pte)) {
		/* The page it names keeps its mapping until the last such entry is gone. */
		if (!page_is_anon(pfn_page(e, pte_pfn(pte))))
			return 0;
		share_migration(src, dst, va, pte);
		a64_acc(&f->child->rss, 1);
	} else if (pte_is_poison(pte)) {
		pte_set(dst, va, pte);
	}
	return 0;
}

/* Copy entries up to a page that reclaim has locked since the wait: the caller must wait again.
 * Pages free now stay free while the leaf is locked, as a withdrawal checks the entry first.
 * Returns where it stopped. */
static uint64_t copy_entries(struct fork *f, struct vma *v, struct leaf *src, struct leaf *dst,
			     uint64_t va, uint64_t stop)
{
	VM_ASSERT(va <= stop && va % PAGE_SIZE == 0);
	for (; va < stop; va += PAGE_SIZE) {
		int err = copy_entry(f, v, src, dst, va);

		if (err == -EAGAIN)
			break;
		f->error = err;
		if (err)
			break;
	}
	return va;
}

static void copy_leaf(struct mm *parent, struct leaf *src, uint64_t from, uint64_t to, void *arg)
{
	struct fork *f = arg;
	struct mmu *mmu = parent->engine->mmu;
	struct leaf *dst;

	for (uint64_t va = from; va < to && !f->error;) {
		uint64_t at,
			stop = va + FORK_BATCH * PAGE_SIZE < to ? va + FORK_BATCH * PAGE_SIZE : to;
		struct vma *v = vma_find(f->child, va);

		dst = leaf_get(f->child, va);
		if (!dst || !v || anon_vma_prepare(v) != 0) {
			f->error = -ENOMEM;
			return;
		}
		/* Reclaim may have taken a page out before or after the client's kernel copied the
		 * tables. Only the outcome tells what the child has. */
		if (!mmu->ops->shares)
			reclaim_wait_leaf(parent, src, va, stop, NULL);
		spin_lock(&src->lock);
		spin_lock(&dst->lock);
		at = copy_entries(f, v, src, dst, va, stop);
		if (mmu->ops->shares)
			mmu->ops->flush(mmu, parent, va, (stop - va) >> PAGE_SHIFT);
		spin_unlock(&dst->lock);
		spin_unlock(&src->lock);
		flush_fresh(f);
		va = at;
	}
}

int mm_fork_locked(struct mm *parent, struct mm *child, int64_t charged)
{
	bool shares = parent->engine->mmu->ops->shares;
	struct fork f = { .child = child, .charged = charged };

	lockdep_assert_held(&child->mmap_lock);
	lockdep_assert_held(&parent->mmap_lock);
	if (!shares) {
		a32_store(&parent->forked, 1);
		a32_store(&child->forked, 1);
	}
	for (unsigned i = 0; i < parent->nr_vmas && !f.error; i++) {
		struct vma *src = parent->vmas[i], *v;

		if (src->flags & VM_DONTFORK)
			continue;
		/* VM_LOCKED is not inherited, except with VM_KEPT. */
		v = vma_copy(child, src,
			     src->flags & (src->flags & VM_KEPT ? ~0u : ~(uint32_t)VM_LOCKED),
			     shares);
		f.error = v ? 0 : -ENOMEM;
		if (!v)
			break;
		f.error = vma_link(child, v);
		if (f.error)
			vma_free(v);
		else if (!(v->flags & (VM_SHARED | VM_WIPEONFORK)))
			leaf_for_range(parent, v->start, v->end, copy_leaf, &f);
	}
	uncharge_pages(mm_memcg(child), f.charged);
	return f.error;
}

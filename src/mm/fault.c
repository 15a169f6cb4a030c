/* mm/fault.c - anonymous first touch, copy-on-write, and everything that is not swap.
 *
 * Order of a first touch: choose the number of pages (stream.c), charge them without locks held
 * (charging may reclaim, and reclaim may need a client that waits for us), then lock, recheck, map,
 * uncharge the rest.
 */
#include "mm/fault.h"

#include <string.h>

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/filemap.h"
#include "mm/huge.h"
#include "mm/lru.h"
#include "mm/migrate.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/unmap.h"
#include "mm/vma.h"

#define FIRST_TOUCH_PAGES 4 /* window of a stream's first fault */

void clip_to_empty(struct fault *f, const struct vma *v, const struct leaf *leaf)
{
	uint64_t lo = f->va, hi = f->va + PAGE_SIZE,
		 end = f->start + ((uint64_t)f->n << PAGE_SHIFT);
	uint64_t floor = f->start > v->start ? f->start : v->start;

	lockdep_assert_held(&leaf->lock);
	if (floor < leaf->base)
		floor = leaf->base;
	if (end > v->end)
		end = v->end;
	if (end > leaf->base + LEAF_SPAN)
		end = leaf->base + LEAF_SPAN;
	while (lo > floor && pte_none(pte_read(leaf, lo - PAGE_SIZE)))
		lo -= PAGE_SIZE;
	while (hi < end && pte_none(pte_read(leaf, hi)))
		hi += PAGE_SIZE;
	f->start = lo;
	f->n = (unsigned)((hi - lo) >> PAGE_SHIFT);
}

void finish_new_page(struct mem_cgroup *memcg, struct page *p, struct vma *v, struct leaf *leaf,
		     uint64_t va)
{
	lockdep_assert_held(&leaf->lock);
	page_commit_charge(p, memcg);
	page_set(p, PG_uptodate | (v->flags & VM_LOCKED ? PG_unevictable : 0));
	page_add_rmap(p, v, va);
	pte_set(leaf, va, pte_make_present(p->pfn, v->flags & VM_WRITE));
}

int fault_map_run(const struct mapping *m, map_run_fn map, unsigned *first, unsigned n,
		  unsigned self)
{
	int done;

	lockdep_assert_held(&m->leaf->lock);
	VM_ASSERT(*first <= self && self < *first + n);
	done = map(m, *first, n);
	if ((done == -EEXIST || done == -ENOENT) && *first != self) {
		*first = self;
		done = map(m, self, 1);
	}
	return done;
}

static int map_zero_run(const struct mapping *m, unsigned first, unsigned n)
{
	struct mmu *mmu = m->f->mm->engine->mmu;

	return mmu->ops->map(mmu, m->f->mm, m->f->start + ((uint64_t)first << PAGE_SHIFT), m->pages,
			     n, true);
}

/* Map a run of zero pages around f->va, at most the window that was charged. Leaf lock held.
 * Returns the number of pages mapped (to be put on the lists after the unlock) or -errno. */
static int map_zeros(struct fault *f, struct vma *v, struct leaf *leaf, struct page **pages)
{
	const struct mapping m = { .f = f, .v = v, .leaf = leaf, .pages = pages };
	struct mmu *mmu = f->mm->engine->mmu;
	unsigned first = 0;
	int done;

	lockdep_assert_held(&leaf->lock);
	clip_to_empty(f, v, leaf);
	done = frames_alloc(f->mm->engine, pages, f->n);
	if (done && f->n > 1) {
		f->start = f->va;
		f->n = 1;
		done = frames_alloc(f->mm->engine, pages, 1);
	}
	if (done)
		return done;
	done = fault_map_run(&m, map_zero_run, &first, f->n,
			     (unsigned)((f->va - f->start) >> PAGE_SHIFT));
	f->start += (uint64_t)first << PAGE_SHIFT;
	if (done == -EEXIST) {
		/* An untracked page is there: being dropped (the client is told of a discard before
		 * its kernel carries it out), or from before. Leave it alone. */
		mmu->ops->wake(mmu, f->mm, f->va, 1);
		done = 0;
	}
	for (int i = 0; i < done; i++)
		finish_new_page(f->memcg, pages[i], v, leaf,
				f->start + ((uint64_t)i << PAGE_SHIFT));
	for (int i = done < 0 ? 0 : done; i < (int)f->n; i++)
		page_put(f->mm->engine, pages[i]);
	a64_acc(&f->mm->rss, done > 0 ? done : 0);
	return done;
}

/* A client's thread can wait in its fault. The thread that serves it must not: others depend on
 * it. */
int charge_fault_page(struct fault *f)
{
	return charge_pages(f->mm->engine, f->memcg, f->mm, 1, f->mm->host ? CHARGE_PARK : 0);
}

static int fault_anon(struct fault *f)
{
	struct engine *e = f->mm->engine;
	struct page *pages[FAULT_PAGES_MAX];
	struct leaf *leaf;
	struct vma *v;
	unsigned charged;
	int done = -EFAULT, err;
	bool file;

	if (fault_huge(f, &err))
		return err;
	stream_window(f, FIRST_TOUCH_PAGES, false);
	charged = f->n;
	err = charged > 1 ? charge_pages(e, f->memcg, f->mm, charged, CHARGE_NOOOM)
			  : charge_fault_page(f);
	if (err && charged > 1) {
		charged = f->n = 1;
		f->start = f->va;
		err = charge_fault_page(f);
	}
	if (err)
		return err;
	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	file = v && (v->file || v->backing); /* changed in the meantime */
	leaf = v && !file ? leaf_get(f->mm, f->va) : NULL;
	if (v && !file && (!leaf || anon_vma_prepare(v) != 0))
		done = -ENOMEM;
	else if (v && !file) {
		spin_lock(&leaf->lock);
		/* Use the charge only if it is for the current group of the address space;
		 * otherwise uncharge and let the access fault again. */
		done = recheck(mm_memcg(f->mm) == f->memcg) &&
				       recheck(pte_none(pte_read(leaf, f->va)))
			       ? map_zeros(f, v, leaf, pages)
			       : 0;
		spin_unlock(&leaf->lock);
		/* Another fault was first. If its page was gone again before our client thread
		 * looked, only we can wake that thread. */
		if (done == 0)
			e->mmu->ops->wake(e->mmu, f->mm, f->va, 1);
	}
	/* Before mmap_lock is released: only the entries hold references, and an unmap would free
	 * the pages. */
	if (done > 0)
		lru_add_many(pages, (unsigned)done);
	rw_rdunlock(&f->mm->mmap_lock);
	if (charged > (done > 0 ? (unsigned)done : 0))
		uncharge_pages(f->memcg, charged - (done > 0 ? done : 0));
	if (file)
		return 1;
	if (done <= 0)
		return done;
	/* The mapped run may end before f->va: retry. */
	return f->va < f->start || f->va - f->start >= (uint64_t)done << PAGE_SHIFT;
}

int fault_adopt(struct mm *mm, uint64_t va)
{
	struct engine *e = mm->engine;
	struct leaf *leaf;
	struct page *p;
	struct vma *v;
	struct mem_cgroup *memcg;
	int err;

	VM_ASSERT(va % PAGE_SIZE == 0);
	if (frames_alloc(e, &p, 1) != 0)
		return -ENOMEM;
	rw_rdlock(&mm->mmap_lock);
	memcg = mm_memcg(mm); /* stable until mmap_lock is released */
	charge_pages(e, memcg, mm, 1, CHARGE_NORECLAIM | CHARGE_FORCE);
	v = vma_find(mm, va);
	leaf = v && !v->file ? leaf_get(mm, va) : NULL;
	err = !v || v->file ? -EFAULT : !leaf || anon_vma_prepare(v) != 0 ? -ENOMEM : 0;
	if (!err) {
		spin_lock(&leaf->lock);
		if (pte_none(pte_read(leaf, va))) {
			finish_new_page(memcg, p, v, leaf, va);
			a64_acc(&mm->rss, 1);
		} else {
			err = -EEXIST;
		}
		spin_unlock(&leaf->lock);
	}
	if (!err)
		lru_add(p);
	if (err) {
		page_put(e, p);
		uncharge_pages(memcg, 1);
	}
	rw_rdunlock(&mm->mmap_lock);
	return err;
}

/* ---- copy-on-write (an MMU that shares) ---- */

/* Is this the only user of the page, counting swap entries? Then write to it in place. Page
 * locked. */
static bool cow_reuse(struct engine *e, struct page *p)
{
	lockdep_assert_held(&p->flags);
	if (a32_load(&p->mapcount) != 1 || !page_is_anon(p))
		return false;
	return !page_test(p, PG_swapcache) || slot_count(swap_map(e, page_entry(p))) == 0;
}

/* Replace @old by @copy at f->va if the entry is still @pte (0: none). Leaf lock held. */
static bool cow_replace(struct fault *f, struct vma *v, struct leaf *leaf, pte_t pte,
			struct page *old, struct page *copy)
{
	struct mmu *mmu = f->mm->engine->mmu;

	lockdep_assert_held(&leaf->lock);
	if (!recheck(pte_same(pte_read(leaf, f->va), pte)))
		return false;
	if (pte) {
		pte_set(leaf, f->va, 0);
		mmu->ops->flush(mmu, f->mm, f->va, 1);
		page_remove_rmap(old);
	} else {
		a64_acc(&f->mm->rss, 1);
	}
	finish_new_page(f->memcg, copy, v, leaf, f->va);
	return true;
}

/* Lock a file page so that no store changes it while it is copied. False: @v no longer maps it at
 * f->va. If true, @old is locked. */
static bool cow_hold(struct fault *f, const struct vma *v, struct page *old)
{
	VM_ASSERT(a32_peek(&old->refcount) > 0);
	page_lock(old);
	if (v->file && page_file_mapping(old) == v->file &&
	    old->index == vma_page_index(v, f->va)) {
		rmap_file_protect(old);
		return true;
	}
	page_unlock(f->mm->engine, old);
	return false;
}

/* Map a copy of @old at f->va. 0 if it was mapped, and also if the entry had changed. */
int fault_cow_copy(struct fault *f, pte_t pte, struct page *old)
{
	bool file = !pte || !page_is_anon(old), held = false;
	struct engine *e = f->mm->engine;
	struct page *copy;
	struct leaf *leaf;
	struct vma *v;
	bool done = false;
	int err = charge_pages(e, f->memcg, f->mm, 1, CHARGE_HOLDS);

	VM_ASSERT(a32_peek(&old->refcount) > 0);
	if (err)
		return err;
	err = frames_alloc(e, &copy, 1);
	if (err) {
		uncharge_pages(f->memcg, 1);
		return err;
	}
	err = e->mmu->ops->bring_frames(e->mmu, &copy, 1);
	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	leaf = v ? leaf_get(f->mm, f->va) : NULL;
	if (!err && v)
		err = leaf ? anon_vma_prepare(v) : -ENOMEM;
	if (!err && v && file)
		held = cow_hold(f, v, old);
	if (!err && v && held == file && mm_memcg(f->mm) == f->memcg &&
	    (v->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE) {
		plat_copy(mmu_data(e->mmu, copy), mmu_data(e->mmu, old), PAGE_SIZE);
		spin_lock(&leaf->lock);
		done = cow_replace(f, v, leaf, pte, old, copy);
		spin_unlock(&leaf->lock);
	}
	if (held)
		page_unlock(e, old);
	if (done)
		lru_add(copy);
	rw_rdunlock(&f->mm->mmap_lock);
	if (done) {
		stat_add(f->memcg, STAT_COW, 1);
		sync_step(swapcache_check_stale(e, old));
		if (pte)
			page_put(e, old); /* the entry's reference */
	} else {
		uncharge_pages(f->memcg, 1);
		page_put(e, copy);
	}
	return err;
}

int fault_cow(struct fault *f, pte_t pte, struct page *old)
{
	struct engine *e = f->mm->engine;
	bool reused = false;
	struct leaf *leaf;
	int err = 0;

	VM_ASSERT(a32_peek(&old->refcount) > 0);
	rw_rdlock(&f->mm->mmap_lock);
	page_lock(old);
	if (cow_reuse(e, old)) {
		leaf = leaf_find(f->mm, f->va);
		if (leaf) {
			spin_lock(&leaf->lock);
			reused = recheck(pte_same(pte_read(leaf, f->va), pte)) &&
				 recheck(cow_reuse(e, old));
			if (reused)
				pte_set(leaf, f->va, pte_read(leaf, f->va) | PTE_WRITE);
			spin_unlock(&leaf->lock);
		}
	}
	page_unlock(e, old);
	rw_rdunlock(&f->mm->mmap_lock);
	if (!reused)
		err = fault_cow_copy(f, pte, old);
	return err;
}

/* ---- a present entry faulted ---- */

/* Reclaim does not hold the page: either another thread resolved the fault, or the content is still
 * at home, or the client's kernel dropped the page without notice (then its content is zeros). The
 * MMU tells which. The page is locked for this: otherwise reclaim could withdraw it just before,
 * and zeros would replace its content. */
static int fault_refresh(struct fault *f, struct page *p)
{
	struct engine *e = f->mm->engine;
	struct mmu *mmu = e->mmu;
	bool backed = false;
	struct leaf *leaf;
	int done = 0;

	VM_ASSERT(a32_peek(&p->refcount) > 0);
	rw_rdlock(&f->mm->mmap_lock);
	if (!page_trylock(p)) {
		rw_rdunlock(&f->mm->mmap_lock);
		/* Reclaim is taking it out: wait, then recheck. */
		page_lock(p);
		page_unlock(e, p);
		return 1;
	}
	leaf = leaf_find(f->mm, f->va);
	if (leaf) {
		const struct vma *v = vma_find(f->mm, f->va);

		backed = v && v->backing;
		spin_lock(&leaf->lock);
		if (pte_present(pte_read(leaf, f->va)) && pte_pfn(pte_read(leaf, f->va)) == p->pfn)
			done = mmu->ops->refresh(mmu, f->mm, f->va, p);
		if (done == -ENODATA && !backed)
			done = mmu->ops->map(mmu, f->mm, f->va, &p, 1, true);
		spin_unlock(&leaf->lock);
	}
	/* Discarded: the file's content comes next. The page is locked, so no other thread did
	 * this. */
	if (done == -ENODATA)
		mm_discard_locked(f->mm, f->va, f->va + PAGE_SIZE);
	page_unlock(e, p);
	rw_rdunlock(&f->mm->mmap_lock);
	if (done == -ENODATA)
		return 1;
	if (done != -EBUSY) /* if busy, the thread that learns where the page is wakes */
		mmu->ops->wake(mmu, f->mm, f->va, 1);
	return done < 0 && done != -EEXIST ? done : 0;
}

/* @p is referenced. 1: retry. */
static int fault_present(struct fault *f, pte_t pte, struct page *p)
{
	VM_ASSERT(a32_peek(&p->refcount) > 0);
	if (!f->mm->engine->mmu->ops->shares)
		return fault_refresh(f, p);
	if (!f->write || pte & PTE_WRITE)
		return 0;
	return page_is_anon(p) ? fault_cow(f, pte, p) : fault_file_store(f, pte, p);
}

/* Read the entry; a present page is returned referenced. @file: the area maps a file; @backed: it
 * is filled from one. 0, -EFAULT or -EACCES. */
static int fault_look(struct fault *f, pte_t *pte, struct page **page, bool *file, bool *backed)
{
	struct leaf *leaf;
	struct vma *v;
	int err = 0;

	*page = NULL;
	*pte = 0;
	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	*file = v && v->file;
	*backed = v && v->backing;
	if (!v)
		err = -EFAULT;
	else if (!f->mm->host && !(v->flags & (f->write ? VM_WRITE : VM_READ | VM_WRITE)))
		err = -EACCES;
	leaf = err ? NULL : leaf_find(f->mm, f->va);
	if (leaf) {
		spin_lock(&leaf->lock);
		*pte = pte_read(leaf, f->va);
		if (pte_present(*pte)) {
			*page = pfn_page(f->mm->engine, pte_pfn(*pte));
			page_get(*page);
		}
		spin_unlock(&leaf->lock);
	}
	rw_rdunlock(&f->mm->mmap_lock);
	return err;
}

/* Look at the entry once and handle it. 1: retry. */
static int handle_once(struct fault *f)
{
	struct engine *e = f->mm->engine;
	struct page *p;
	pte_t pte;
	bool file, backed;
	int err;

	err = fault_look(f, &pte, &p, &file, &backed);
	if (err)
		return err;
	if (pte_is_poison(pte)) {
		e->mmu->ops->poison(e->mmu, f->mm, f->va);
		return -EIO;
	}
	if (pte_none(pte))
		return file ? fault_file(f) : backed ? fault_backed(f) : fault_anon(f);
	if (pte_present(pte)) {
		err = fault_present(f, pte, p);
		page_put(e, p);
		return err;
	}
	if (pte_is_migration(pte)) {
		migration_entry_wait(e, pte);
		return 1;
	}
	err = fault_swap(f, pte);
	return err == 0 && f->readonly ? 1 : err;
}

#define FRAME_TRIES   8            /* attempts to free a frame when no node has one left */
#define FRAME_WAIT_NS (100 * 1000) /* if none was freed: page moves hold a few briefly. Doubled */

/* False: enough tries. */
static bool make_frames(struct engine *e, unsigned tries)
{
	if (tries == FRAME_TRIES)
		return false;
	if (!reclaim_frames(e))
		plat_sleep_ns((uint64_t)FRAME_WAIT_NS << tries);
	return true;
}

int handle_fault(struct mm *mm, uint64_t va, bool write)
{
	struct fault f = { .mm = mm, .va = va & PAGE_MASK, .write = write };
	unsigned tries = 0;
	int err;

	f.memcg = mm_get_memcg(mm);
	charge_pay_high(mm, f.memcg);
	stat_add(f.memcg, STAT_PGFAULT, 1);
	do
		err = handle_once(&f);
	while (err > 0 || (err == -ENOSPC && make_frames(mm->engine, tries++)));
	memcg_put(f.memcg);
	return err == -ENOSPC ? -ENOMEM : err;
}

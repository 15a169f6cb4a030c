/* mm/backing.c - first touch of private memory that is filled from a file. Invariants and locks:
 * backing.h.
 *
 * A sequential fault brings the next pages along with the one it touches (stream.c); any other
 * brings one page: a page not about to be touched still shows later stores to the file, as it does
 * in the kernel.
 *
 * The pages are charged and read without locks held, then their place is rechecked. A store to the
 * file in between may or may not be seen, as in the kernel.
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

/* The pages that a fault brings in, charged and with frames. */
struct fill {
	struct fault *f;
	struct backing *b; /* referenced */
	uint64_t index;    /* which of its pages is at f->va */
	uint64_t start;    /* pages[i] is for start + i pages; f->va is among them */
	unsigned n;
	bool lost; /* the content of f->va, then the only page, is lost */
	struct page *pages[FAULT_PAGES_MAX];
};

bool backing_reserve(struct engine *e, int64_t n, int64_t max)
{
	if (a64_add(&e->backed_pages, n) <= max)
		return true;
	a64_acc(&e->backed_pages, -n);
	return false;
}

void backing_unreserve(struct engine *e, int64_t n)
{
	a64_acc(&e->backed_pages, -n);
}

/* The backing of the area at @va, referenced, and the index of its page there; NULL: none. */
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
	int err = b ? b->ops->read(b, index, to, 1) : -ENOENT;

	if (b)
		backing_put(b);
	return err < 0 ? err : 0;
}

static unsigned nr_before(const struct fill *w, uint64_t va)
{
	return (unsigned)((va - w->start) >> PAGE_SHIFT);
}

/* Keep only pages [@from, @from + @n). */
static void keep(struct fill *w, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < w->n; i++)
		if (i < from || i >= from + n)
			page_put(w->f->mm->engine, w->pages[i]);
	if (w->n > n)
		uncharge_pages(w->f->memcg, w->n - n);
	for (unsigned i = 0; i < n && from; i++)
		w->pages[i] = w->pages[from + i];
	w->start += (uint64_t)from << PAGE_SHIFT;
	w->n = n;
}

/* Narrow the fault's window to the empty range around f->va. */
static void look_around(struct fault *f)
{
	struct leaf *leaf;
	struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	leaf = v ? leaf_get(f->mm, f->va) : NULL;
	if (leaf) {
		spin_lock(&leaf->lock);
		clip_to_empty(f, v, leaf);
		spin_unlock(&leaf->lock);
	} else {
		f->start = f->va;
		f->n = 1;
	}
	rw_rdunlock(&f->mm->mmap_lock);
}

/* Charge and allocate pages for [@start, @start + @n pages). 0, or as charge_pages, frames_alloc or
 * bring_frames. */
static int take_pages(struct fill *w, uint64_t start, unsigned n)
{
	struct fault *f = w->f;
	struct engine *e = f->mm->engine;
	int err = n > 1 ? charge_pages(e, f->memcg, f->mm, n, CHARGE_NOOOM) : charge_fault_page(f);

	if (err)
		return err;
	err = frames_alloc(e, w->pages, n);
	if (err) {
		uncharge_pages(f->memcg, n);
		return err;
	}
	w->start = start;
	w->n = n;
	err = e->mmu->ops->bring_frames(e->mmu, w->pages, n);
	if (err)
		keep(w, 0, 0);
	return err;
}

/* How many of the pages, starting at @from, have adjacent frames. */
static unsigned run_at(const struct fill *w, unsigned from)
{
	struct mmu *mmu = w->f->mm->engine->mmu;
	const char *first = mmu_data(mmu, w->pages[from]);
	unsigned k = 1;

	while (from + k < w->n && mmu_data(mmu, w->pages[from + k]) == first + k * PAGE_SIZE)
		k++;
	return k;
}

/* How many of the pages were read, starting at the first; or the error of the first read. */
static int read_run(const struct fill *w)
{
	uint64_t index = w->index - nr_before(w, w->f->va);
	unsigned done = 0;

	while (done < w->n) {
		unsigned k = run_at(w, done);
		void *to = mmu_data(w->f->mm->engine->mmu, w->pages[done]);
		int got = w->b->ops->read(w->b, index + done, to, k);

		if (got < 0)
			return done ? (int)done : got;
		done += (unsigned)got;
		if ((unsigned)got < k)
			break;
	}
	return (int)done;
}

/* Read f->va, and as many of its neighbours as there are. */
static void read_pages(struct fill *w)
{
	int got = read_run(w);

	if (got <= (int)nr_before(w, w->f->va) && w->n > 1) {
		keep(w, nr_before(w, w->f->va), 1);
		got = read_run(w);
	}
	w->lost = got <= 0;
	if (!w->lost)
		keep(w, 0, (unsigned)got);
}

/* Map the range still empty around f->va, from f->start on; returns the number of pages. 0: an
 * untracked page is there; or -errno. Leaf lock held. */
static int enter(struct fill *w, struct vma *v, struct leaf *leaf)
{
	struct fault *f = w->f;
	struct mmu *mmu = f->mm->engine->mmu;
	struct page **p;
	int done;

	if (w->lost) {
		pte_set(leaf, f->va, PTE_POISON);
		mmu->ops->poison(mmu, f->mm, f->va);
		return -EIO;
	}
	f->start = w->start;
	f->n = w->n;
	clip_to_empty(f, v, leaf);
	done = mmu->ops->map(mmu, f->mm, f->start, w->pages + nr_before(w, f->start), f->n, false);
	if (done < 0 && f->start != f->va) {
		/* The error was for a neighbour. */
		f->start = f->va;
		done = mmu->ops->map(mmu, f->mm, f->va, w->pages + nr_before(w, f->va), 1, false);
	}
	if (done == -EEXIST)
		return 0;
	p = w->pages + nr_before(w, f->start);
	for (int i = 0; i < done; i++)
		finish_new_page(f->memcg, p[i], v, leaf, f->start + ((uint64_t)i << PAGE_SHIFT));
	a64_acc(&f->mm->rss, done > 0 ? done : 0);
	return done;
}

/* Second half. Returns how many pages were mapped; only these are kept. 0: woken, the page is there
 * or will fault again; -ESTALE: the area was replaced; or -errno. */
static int map_read(struct fill *w)
{
	struct fault *f = w->f;
	struct mmu *mmu = f->mm->engine->mmu;
	struct leaf *leaf = NULL;
	int done = -ESTALE;
	struct vma *v;

	rw_rdlock(&f->mm->mmap_lock);
	v = vma_find(f->mm, f->va);
	if (recheck(v && v->backing == w->b && vma_page_index(v, f->va) == w->index)) {
		leaf = leaf_get(f->mm, f->va);
		if (leaf && anon_vma_prepare(v) != 0)
			leaf = NULL;
		done = -ENOMEM;
	}
	if (leaf) {
		spin_lock(&leaf->lock);
		done = recheck(mm_memcg(f->mm) == f->memcg) &&
				       recheck(pte_none(pte_read(leaf, f->va)))
			       ? enter(w, v, leaf)
			       : 0;
		spin_unlock(&leaf->lock);
		if (done == 0)
			mmu->ops->wake(mmu, f->mm, f->va, 1);
	}
	/* Before mmap_lock is released: only the entries hold references. */
	if (done > 0)
		lru_add_many(w->pages + nr_before(w, f->start), (unsigned)done);
	rw_rdunlock(&f->mm->mmap_lock);
	return done;
}

/* Free the pages that were not mapped; the entries own the rest. */
static void give_back(struct fill *w, int done)
{
	if (done > 0)
		keep(w, nr_before(w, w->f->start), (unsigned)done);
	else
		keep(w, 0, 0);
}

int fault_backed(struct fault *f)
{
	struct fill w = { .f = f };
	int err;

	w.b = find_backing(f->mm, f->va, &w.index);
	if (!w.b)
		return 1;
	stream_window(f, 1, false);
	if (f->n > 1)
		look_around(f);
	err = take_pages(&w, f->start, f->n);
	if (err && f->n > 1)
		err = take_pages(&w, f->va, 1);
	if (!err) {
		read_pages(&w);
		err = map_read(&w);
		give_back(&w, err);
	}
	backing_put(w.b);
	if (err > 0) /* the mapped run may end before f->va: retry */
		return f->va < f->start || f->va - f->start >= (uint64_t)err << PAGE_SHIFT;
	return err == -ESTALE ? 1 : err;
}

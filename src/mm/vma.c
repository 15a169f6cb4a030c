/* mm/vma.c - the table of areas: an array sorted by address. mmap_lock is held for writing, except
 * for look-ups. */
#include "mm/vma.h"

#include <string.h>

#include "mm/backing.h"
#include "mm/filemap.h"
#include "mm/rmap.h"

unsigned vma_index(const struct mm *mm, uint64_t va)
{
	unsigned lo = 0, hi = mm->nr_vmas;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (mm->vmas[mid]->end <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vma *vma_next(const struct mm *mm, uint64_t va)
{
	unsigned i = vma_index(mm, va);

	lockdep_assert_held(&mm->mmap_lock);
	return i < mm->nr_vmas ? mm->vmas[i] : NULL;
}

struct vma *vma_find(const struct mm *mm, uint64_t va)
{
	unsigned i = vma_index(mm, va);

	return i < mm->nr_vmas && mm->vmas[i]->start <= va ? mm->vmas[i] : NULL;
}

/* Room for one more area at index @i. */
static int make_room(struct mm *mm, unsigned i)
{
	lockdep_assert_held(&mm->mmap_lock);
	if (mm->nr_vmas == mm->cap_vmas) {
		unsigned cap = mm->cap_vmas ? mm->cap_vmas * 2 : 16;
		struct vma **table = plat_alloc(cap * sizeof(*table));

		if (!table)
			return -ENOMEM;
		if (mm->nr_vmas)
			memcpy(table, mm->vmas, mm->nr_vmas * sizeof(*table));
		plat_free(mm->vmas);
		mm->vmas = table;
		mm->cap_vmas = cap;
	}
	memmove(mm->vmas + i + 1, mm->vmas + i, (mm->nr_vmas - i) * sizeof(*mm->vmas));
	return 0;
}

static struct vma *vma_alloc(struct mm *mm, uint64_t start, uint64_t end, uint64_t pgoff,
			     uint32_t flags, struct address_space *file, struct backing *backing)
{
	struct vma *v = plat_alloc(sizeof(*v));

	if (!v)
		return NULL;
	v->mm = mm;
	v->start = start;
	v->end = end;
	v->pgoff = pgoff;
	v->flags = flags;
	list_init(&v->chains);
	list_init(&v->file_link);
	a64_acc(&mm->engine->nr_vmas, 1);
	if (backing) {
		backing_get(backing);
		v->backing = backing;
		a32_store(&mm->has_backing, 1);
		a64_acc(&mm->engine->backed_pages, (int64_t)((end - start) >> PAGE_SHIFT));
	}
	if (file) {
		file_get(file);
		v->file = file;
		rw_wrlock(&file->i_mmap_lock);
		list_add_tail(&v->file_link, &file->i_mmap);
		rw_wrunlock(&file->i_mmap_lock);
	}
	return v;
}

void vma_free(struct vma *v)
{
	VM_ASSERT(v->start <= v->end);
	anon_vma_unlink(v);
	if (v->file) {
		rw_wrlock(&v->file->i_mmap_lock);
		list_del(&v->file_link);
		rw_wrunlock(&v->file->i_mmap_lock);
		file_put(v->file);
	}
	if (v->backing) {
		a64_acc(&v->mm->engine->backed_pages,
			-(int64_t)((v->end - v->start) >> PAGE_SHIFT));
		backing_put(v->backing);
	}
	a64_acc(&v->mm->engine->nr_vmas, -1);
	plat_free(v);
}

static uint64_t locked_pages(const struct vma *v)
{
	return v->flags & VM_LOCKED ? (v->end - v->start) >> PAGE_SHIFT : 0;
}

int vma_link(struct mm *mm, struct vma *v)
{
	unsigned i = vma_index(mm, v->start);
	int err;

	VM_BUG_ON(i < mm->nr_vmas && mm->vmas[i]->start < v->end);
	err = make_room(mm, i);
	if (err)
		return err;
	mm->vmas[i] = v;
	mm->nr_vmas++;
	a64_acc(&mm->locked, (int64_t)locked_pages(v));
	return 0;
}

/* Link @v, which is freed if that fails. NULL: it could not be allocated. 0 or -ENOMEM. */
static int link_fresh(struct mm *mm, struct vma *v)
{
	if (!v)
		return -ENOMEM;
	if (vma_link(mm, v) == 0)
		return 0;
	vma_free(v);
	return -ENOMEM;
}

/* Rmap walks read an area under the lock of its file or of any anon_vma on its chain: a change
 * takes them all. */
static void lock_chains(struct vma *v)
{
	if (v->file)
		rw_wrlock(&v->file->i_mmap_lock);
	list_for_each(c, &v->chains, struct anon_vma_chain, same_vma)
		rw_wrlock(&c->anon_vma->lock);
}

static void unlock_chains(struct vma *v)
{
	list_for_each(c, &v->chains, struct anon_vma_chain, same_vma)
		rw_wrunlock(&c->anon_vma->lock);
	if (v->file)
		rw_wrunlock(&v->file->i_mmap_lock);
}

static void vma_adjust(struct vma *v, uint64_t start, uint64_t end, uint64_t pgoff)
{
	lockdep_assert_held(&v->mm->mmap_lock);
	lock_chains(v);
	v->start = start;
	v->end = end;
	v->pgoff = pgoff;
	unlock_chains(v);
}

/* Can @v be extended by an area with @pgoff and @flags right behind it? */
static bool fits_behind(const struct vma *v, uint64_t start, uint64_t pgoff, uint32_t flags,
			const struct address_space *file)
{
	return v->end == start && v->flags == flags && v->file == file && !v->backing &&
	       v->pgoff + ((v->end - v->start) >> PAGE_SHIFT) == pgoff;
}

int vma_insert(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags)
{
	return vma_insert_file(mm, start, end, flags, NULL, start >> PAGE_SHIFT);
}

int vma_insert_file(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		    struct address_space *file, uint64_t pgoff)
{
	unsigned i = vma_index(mm, start);
	struct vma *v;

	lockdep_assert_held(&mm->mmap_lock);
	if (start >= end || (start | end) & ~PAGE_MASK)
		return -EINVAL;
	if (i < mm->nr_vmas && mm->vmas[i]->start < end)
		return -EEXIST;
	if (i > 0 && fits_behind(mm->vmas[i - 1], start, pgoff, flags, file)) {
		v = mm->vmas[i - 1];
		a64_acc(&mm->locked,
			flags & VM_LOCKED ? (int64_t)((end - start) >> PAGE_SHIFT) : 0);
		vma_adjust(v, v->start, end, v->pgoff);
		return 0;
	}
	return link_fresh(mm, vma_alloc(mm, start, end, pgoff, flags, file, NULL));
}

int vma_insert_backed(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		      struct backing *backing, uint64_t pgoff)
{
	unsigned i = vma_index(mm, start);

	VM_BUG_ON(!mm->engine->may_back);
	if (start >= end || (start | end) & ~PAGE_MASK)
		return -EINVAL;
	if (i < mm->nr_vmas && mm->vmas[i]->start < end)
		return -EEXIST;
	return link_fresh(mm, vma_alloc(mm, start, end, pgoff, flags, NULL, backing));
}

int vma_insert_gaps(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
		    struct address_space *file, uint64_t pgoff)
{
	uint64_t at = start;

	lockdep_assert_held(&mm->mmap_lock);
	while (at < end) {
		unsigned i = vma_index(mm, at);
		struct vma *next = i < mm->nr_vmas ? mm->vmas[i] : NULL;
		uint64_t stop = end;
		int err;

		if (next && next->start <= at) {
			at = next->end;
			continue;
		}
		if (next && next->start < end)
			stop = next->start;
		err = file ? vma_insert_file(mm, at, stop, flags, file,
					     pgoff + ((at - start) >> PAGE_SHIFT))
			   : vma_insert(mm, at, stop, flags);
		if (err)
			return err;
		at = stop;
	}
	return 0;
}

/* Move the boundary of two neighbours with the same chain, atomically: a page that an rmap walk
 * found in both would be withdrawn twice, and one found in neither not at all. */
static void move_seam(struct vma *v, struct vma *tail, uint64_t v_end, uint64_t tail_end)
{
	lockdep_assert_held(&v->mm->mmap_lock);
	lock_chains(v);
	v->end = v_end;
	tail->end = tail_end;
	unlock_chains(v);
}

int vma_split_at(struct mm *mm, uint64_t va)
{
	struct vma *v = vma_find(mm, va), *tail;
	uint64_t end, pgoff;

	lockdep_assert_held(&mm->mmap_lock);
	if (!v || v->start == va)
		return 0;
	pgoff = vma_page_index(v, va);
	tail = vma_alloc(mm, va, va, pgoff, v->flags, v->file,
			 v->backing); /* no lookup finds it yet */
	if (!tail)
		return -ENOMEM;
	if (anon_vma_clone(tail, v) != 0)
		goto fail;
	aptr_store(&tail->anon_vma, aptr_load(&v->anon_vma));
	end = v->end;
	move_seam(v, tail, va, end);
	a64_acc(&mm->locked, -(int64_t)locked_pages(tail));
	if (vma_link(mm, tail) == 0)
		return 0;
	a64_acc(&mm->locked, (int64_t)locked_pages(tail));
	move_seam(v, tail, end, va);
fail:
	vma_free(tail);
	return -ENOMEM;
}

void vma_remove_range(struct mm *mm, uint64_t start, uint64_t end)
{
	unsigned first = vma_index(mm, start), last = first;

	lockdep_assert_held(&mm->mmap_lock);
	while (last < mm->nr_vmas && mm->vmas[last]->start < end) {
		struct vma *v = mm->vmas[last++];

		VM_BUG_ON(v->start < start || v->end > end);
		a64_acc(&mm->locked, -(int64_t)locked_pages(v));
		vma_free(v);
	}
	if (last > first)
		memmove(mm->vmas + first, mm->vmas + last,
			(mm->nr_vmas - last) * sizeof(*mm->vmas));
	mm->nr_vmas -= last - first;
}

static void reverse(struct vma **v, unsigned from, unsigned to)
{
	VM_ASSERT(from <= to);
	for (; from + 1 < to; from++, to--) {
		struct vma *swap = v[from];

		v[from] = v[to - 1];
		v[to - 1] = swap;
	}
}

void vma_move_range(struct mm *mm, uint64_t start, uint64_t end, uint64_t delta)
{
	unsigned first = vma_index(mm, start), n = 0, at = 0;

	lockdep_assert_held(&mm->mmap_lock);
	for (; first + n < mm->nr_vmas && mm->vmas[first + n]->start < end; n++) {
		struct vma *v = mm->vmas[first + n];

		VM_BUG_ON(v->start < start || v->end > end);
		vma_adjust(v, v->start + delta, v->end + delta, v->pgoff);
	}
	for (unsigned i = 0; i < mm->nr_vmas; i++)
		at += (i < first || i >= first + n) && mm->vmas[i]->start < start + delta;
	/* Rotate them to index @at, past the areas in between. */
	reverse(mm->vmas, first, first + n);
	if (at < first) {
		reverse(mm->vmas, at, first);
		reverse(mm->vmas, at, first + n);
	} else {
		reverse(mm->vmas, first + n, at + n);
		reverse(mm->vmas, first, at + n);
	}
}

int vma_change_flags(struct mm *mm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear)
{
	int err = vma_split_at(mm, start);

	lockdep_assert_held(&mm->mmap_lock);
	if (!err)
		err = vma_split_at(mm, end);
	if (err)
		return err;
	for (unsigned i = vma_index(mm, start); i < mm->nr_vmas && mm->vmas[i]->start < end; i++) {
		struct vma *v = mm->vmas[i];

		a64_acc(&mm->locked, -(int64_t)locked_pages(v));
		lock_chains(v);
		v->flags = (v->flags | set) & ~clear;
		unlock_chains(v);
		a64_acc(&mm->locked, (int64_t)locked_pages(v));
	}
	return 0;
}

struct vma *vma_copy(struct mm *mm, const struct vma *src, uint32_t flags, bool chain)
{
	struct vma *v =
		vma_alloc(mm, src->start, src->end, src->pgoff, flags, src->file, src->backing);

	VM_ASSERT(mm != src->mm);
	if (v && chain && anon_vma_clone(v, src) != 0) {
		vma_free(v);
		return NULL;
	}
	return v;
}

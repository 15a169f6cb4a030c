/* mm/filemap.c - a file's table of pages. Invariants and locks: filemap.h. */
#include "mm/filemap.h"

#include <string.h>

#include "base/bitmap.h"
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/vma.h"

/* ---- the table; lock held ---- */

static uint64_t chunks_for(uint64_t nr_pages)
{
	return (nr_pages + FILE_CHUNK - 1) / FILE_CHUNK;
}

static void **slot_find(const struct address_space *as, uint64_t index)
{
	uint64_t c = index / FILE_CHUNK;

	lockdep_assert_held(&as->lock);
	return c < as->nr_chunks && as->chunks[c] ? &as->chunks[c]->slot[index % FILE_CHUNK] : NULL;
}

/* As slot_find, but creates a missing chunk. NULL: out of memory. */
static void **slot_get(struct address_space *as, uint64_t index)
{
	struct file_chunk **c = &as->chunks[index / FILE_CHUNK];

	lockdep_assert_held(&as->lock);
	if (!*c) {
		*c = plat_alloc(sizeof(**c));
		if (!*c)
			return NULL;
		a64_acc(&as->engine->nr_file_chunks, 1);
	}
	return &(*c)->slot[index % FILE_CHUNK];
}

/* ---- life ---- */

static void file_free(struct address_space *as)
{
	for (uint64_t i = 0; i < as->nr_chunks; i++) {
		a64_acc(&as->engine->nr_file_chunks, as->chunks[i] ? -1 : 0);
		plat_free(as->chunks[i]);
	}
	if (as->stored)
		plat_free_big(as->stored, bitmap_words(as->store->nr_slots) * sizeof(*as->stored));
	plat_free(as->chunks);
	spin_fini(&as->lock);
	rw_fini(&as->i_mmap_lock);
	store_destroy(as->store);
	if (as->host)
		as->engine->mmu->ops->release_file(as->engine->mmu, as);
	plat_free(as);
}

struct address_space *file_create(struct engine *e, struct store *store, uint64_t nr_pages)
{
	struct address_space *as = nr_pages <= FILE_PAGES_MAX ? plat_alloc(sizeof(*as)) : NULL;

	if (!as) {
		store_destroy(store);
		return NULL;
	}
	as->engine = e;
	as->store = store;
	a32_store(&as->refcount, 1);
	spin_init(&as->lock, RANK_FILEMAP);
	rw_init(&as->i_mmap_lock, RANK_RMAP);
	list_init(&as->i_mmap);
	as->chunks = plat_alloc((chunks_for(nr_pages) + 1) * sizeof(*as->chunks));
	if (store)
		as->stored = plat_alloc_big(bitmap_words(store->nr_slots) * sizeof(*as->stored));
	if (!as->chunks || (store && !as->stored)) {
		file_free(as);
		return NULL;
	}
	as->nr_chunks = chunks_for(nr_pages);
	as->nr_pages = nr_pages;
	if (store)
		bitmap_set_range(as->stored, 0,
				 nr_pages < store->nr_slots ? nr_pages : store->nr_slots);
	a64_acc(&e->nr_files, 1);
	spin_lock(&e->mm_lock);
	list_add_tail(&as->link, &e->files);
	spin_unlock(&e->mm_lock);
	return as;
}

void file_put(struct address_space *as)
{
	struct engine *e = as->engine;

	if (a32_add(&as->refcount, -1) != 0)
		return;
	VM_BUG_ON(!list_empty(&as->i_mmap));
	/* A write error can no longer be reported to anyone. */
	filemap_writeback(as, 0, as->nr_pages);
	filemap_truncate(as, 0);
	VM_BUG_ON(as->nr_cached != 0 || as->nr_swapped != 0);
	spin_lock(&e->mm_lock);
	list_del(&as->link);
	spin_unlock(&e->mm_lock);
	a64_acc(&e->nr_files, -1);
	file_free(as);
}

int file_mmap(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct address_space *as,
	      uint64_t pgoff)
{
	int err;

	if (!mm->engine->mmu->ops->shares)
		return -EOPNOTSUPP;
	if (start >= end || pgoff > FILE_PAGES_MAX || (end - start) >> PAGE_SHIFT > FILE_PAGES_MAX)
		return -EINVAL;
	rw_wrlock(&mm->mmap_lock);
	err = vma_insert_file(mm, start, end, flags, as, pgoff);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* ---- look-up, insertion, removal ---- */

struct page *filemap_lookup(struct address_space *as, uint64_t index, uint32_t *entry)
{
	struct page *p = NULL;
	void **slot;

	*entry = 0;
	spin_lock(&as->lock);
	slot = slot_find(as, index);
	if (slot && *slot) {
		*entry = file_slot_entry(*slot);
		p = *entry ? NULL : *slot;
		if (p)
			page_get(p); /* safe: the table holds a reference while it is locked */
	}
	spin_unlock(&as->lock);
	return p;
}

uint64_t filemap_next(struct address_space *as, uint64_t index, uint64_t end)
{
	VM_ASSERT(index <= end);
	spin_lock(&as->lock);
	while (index < end) {
		void **slot = slot_find(as, index);

		if (index / FILE_CHUNK >= as->nr_chunks)
			index = end;
		else if (!slot)
			index = (index / FILE_CHUNK + 1) * FILE_CHUNK;
		else if (*slot)
			break;
		else
			index++;
	}
	spin_unlock(&as->lock);
	return index < end ? index : end;
}

static void count_page(const struct page *p, bool shmem, int64_t d)
{
	page_stat(p, STAT_FILE, d);
	if (shmem)
		page_stat(p, STAT_SHMEM, d);
}

int filemap_insert(struct address_space *as, struct page *p, uint64_t index, uint32_t entry)
{
	int err = 0;
	void **slot;

	VM_BUG_ON(!page_locked(p) || !page_cgroup_used(&p->pcg));
	spin_lock(&as->lock);
	slot = index < as->nr_pages ? slot_get(as, index) : NULL;
	if (index >= as->nr_pages)
		err = -EIO;
	else if (!slot)
		err = -ENOMEM;
	else if (*slot != (entry ? file_swap_slot(entry) : NULL))
		err = -EEXIST;
	if (!err) {
		/* Checked only now: a stale entry may have led to a page that another thread has
		 * entered in its slot and mapped. */
		VM_BUG_ON(page_mapped(p));
		page_get(p);
		p->index = index;
		aptr_store(&p->mapping, (char *)as + PAGE_MAPPING_FILE);
		*slot = p;
		as->nr_cached++;
		as->nr_swapped -= entry != 0;
	}
	spin_unlock(&as->lock);
	if (!err)
		count_page(p, file_is_shmem(as), 1);
	return err;
}

/* Lock held. The table's reference goes to the caller. */
static void remove_locked(struct address_space *as, struct page *p, uint32_t entry)
{
	void **slot = slot_find(as, p->index);

	lockdep_assert_held(&as->lock);
	VM_BUG_ON(!slot || *slot != p);
	*slot = entry ? file_swap_slot(entry) : NULL;
	as->nr_cached--;
	as->nr_swapped += entry != 0;
	aptr_store(&p->mapping, NULL);
}

/* Account for a page that has left the table and drop its reference. Its file may already be gone:
 * the last user finds an empty table. */
static void removed(struct engine *e, struct page *p)
{
	VM_ASSERT(a32_peek(&p->refcount) > 0);
	if (page_test(p, PG_file))
		filemap_clear_dirty(p);
	count_page(p, !page_test(p, PG_file), -1);
	page_put(e, p);
}

void filemap_remove(struct page *p, uint32_t entry)
{
	struct address_space *as = page_file_mapping(p);
	struct engine *e;

	VM_BUG_ON(!page_locked(p) || !as || page_mapped(p) || page_test(p, PG_writeback));
	e = as->engine;
	spin_lock(&as->lock);
	remove_locked(as, p, entry);
	spin_unlock(&as->lock);
	removed(e, p);
}

bool filemap_remove_unused(struct page *p)
{
	struct address_space *as = page_file_mapping(p);
	struct engine *e;
	bool unused;

	VM_BUG_ON(!page_locked(p));
	if (!as || file_is_shmem(as))
		return false;
	e = as->engine;
	/* New references come from the table, under its lock; or from entries, of which there are
	 * none, as new ones are made with the page locked. The order of the checks matters:
	 * removing an entry sets PG_dirty first. */
	spin_lock(&as->lock);
	unused = recheck(a32_load(&p->refcount) == 2) && recheck(!page_mapped(p)) &&
		 recheck(!page_test(p, PG_dirty | PG_writeback));
	if (unused)
		remove_locked(as, p, 0);
	spin_unlock(&as->lock);
	if (unused)
		removed(e, p);
	return unused;
}

bool filemap_replace(struct page *old, struct page *new)
{
	struct address_space *as = page_file_mapping(old);
	bool frozen;

	VM_BUG_ON(!page_locked(old) || !page_locked(new) || !as || page_mapped(old) ||
		  page_test(old, PG_writeback));
	/* A lookup takes its reference under this lock. Before us: @old cannot be replaced. After
	 * us: it finds @new and waits for its lock. */
	spin_lock(&as->lock);
	frozen = page_freeze_refs(old, 2);
	if (frozen) {
		void **slot = slot_find(as, old->index);

		VM_BUG_ON(!slot || *slot != old);
		page_get(new);
		page_set(new, a32_load(&old->flags) & PG_file);
		new->index = old->index;
		aptr_store(&new->mapping, aptr_load(&old->mapping));
		*slot = new;
		page_unfreeze_refs(old, 1);
	}
	spin_unlock(&as->lock);
	return frozen;
}

void filemap_forget(struct page *old)
{
	VM_BUG_ON(!page_locked(old) || page_mapped(old) || page_cgroup_used(&old->pcg));
	aptr_store(&old->mapping, NULL);
}

/* ---- dropping pages ---- */

/* Remove one index from the table; but if @kept is not NULL a dirty page stays and is counted.
 * False: it just went to swap or came back: retry. */
static bool drop_index(struct address_space *as, uint64_t index, uint64_t *kept)
{
	struct engine *e = as->engine;
	uint32_t entry;
	struct page *p = filemap_lookup(as, index, &entry);
	bool ours = true;

	if (!p && entry) {
		void **slot;

		spin_lock(&as->lock);
		slot = slot_find(as, index);
		ours = *slot == file_swap_slot(entry);
		if (ours) {
			*slot = NULL;
			as->nr_swapped--;
		}
		spin_unlock(&as->lock);
		if (ours)
			swap_put(e, entry);
	}
	if (!p)
		return ours;
	page_lock(p);
	ours = page_file_mapping(p) == as;
	if (ours) {
		page_wait_writeback(p);
		rmap_file_unmap(p);
		if (kept && page_test(p, PG_dirty))
			++*kept;
		else
			filemap_remove(p, 0);
	}
	page_unlock(e, p);
	page_put(e, p);
	return ours;
}

/* Each index once: a page touched again after it was dropped is a new page and stays. */
static void drop_range(struct address_space *as, uint64_t first, uint64_t end, uint64_t *kept)
{
	VM_ASSERT(first <= end);
	for (uint64_t i = first; (i = filemap_next(as, i, end)) < end;)
		i += drop_index(as, i, kept);
}

static int file_grow(struct address_space *as, uint64_t nr_pages)
{
	struct file_chunk **chunks = NULL;
	uint64_t n = chunks_for(nr_pages);

	/* Only this call changes nr_chunks: one call at a time. */
	if (n > as->nr_chunks) {
		chunks = plat_alloc(n * sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
	}
	spin_lock(&as->lock);
	if (chunks) {
		struct file_chunk **old = as->chunks;

		memcpy(chunks, old, as->nr_chunks * sizeof(*chunks));
		as->chunks = chunks;
		as->nr_chunks = n;
		chunks = old;
	}
	as->nr_pages = nr_pages;
	spin_unlock(&as->lock);
	plat_free(chunks);
	return 0;
}

int filemap_truncate(struct address_space *as, uint64_t nr_pages)
{
	uint64_t old;

	if (nr_pages > FILE_PAGES_MAX)
		return -ENOMEM;
	spin_lock(&as->lock);
	old = as->nr_pages;
	/* Set the size first: from now on nothing is entered past it. */
	if (nr_pages <= old)
		as->nr_pages = nr_pages;
	spin_unlock(&as->lock);
	if (nr_pages > old)
		return file_grow(as, nr_pages);
	drop_range(as, nr_pages, old, NULL);
	if (as->store && nr_pages < as->store->nr_slots) {
		uint64_t n = (old < as->store->nr_slots ? old : as->store->nr_slots);

		spin_lock(&as->lock);
		if (n > nr_pages)
			bitmap_clear_range(as->stored, nr_pages, n - nr_pages);
		spin_unlock(&as->lock);
		if (n > nr_pages)
			store_discard(as->store, nr_pages, n - nr_pages);
	}
	return 0;
}

void filemap_discard(struct address_space *as, uint64_t first, uint64_t n)
{
	VM_BUG_ON(!file_is_shmem(as));
	drop_range(as, first, file_range_end(first, n), NULL);
}

/* The store was changed externally and may have new pages. */
static void note_stored(struct address_space *as, uint64_t first, uint64_t end)
{
	VM_ASSERT(first <= end);
	spin_lock(&as->lock);
	if (end > as->nr_pages)
		end = as->nr_pages;
	if (end > as->store->nr_slots)
		end = as->store->nr_slots;
	if (first < end)
		bitmap_set_range(as->stored, first, end - first);
	spin_unlock(&as->lock);
}

int filemap_invalidate(struct address_space *as, uint64_t first, uint64_t n)
{
	uint64_t end = file_range_end(first, n), kept = 0;

	if (file_is_shmem(as))
		return -EINVAL;
	note_stored(as, first, end); /* before the drop: concurrent faults read the store */
	drop_range(as, first, end, &kept);
	return kept ? -EBUSY : 0;
}

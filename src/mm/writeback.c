/* mm/writeback.c - dirty pages of files, and writing them to the store. Invariants: filemap.h.
 *
 * Cleaning a locked page: no entry may store any more (I2, I3) -> dirty off -> writeback on ->
 * unlock, write. A store after the first step faults, waits for the lock and for writeback, and
 * dirties the page again. A failed write dirties it again, too.
 *
 * An open batch has pages under writeback that are not being written yet, so while it is open, wait
 * only for I/O that is on its way. A contended page lock, or another thread's writeback, closes the
 * batch first.
 */
#include "base/bitmap.h"
#include "mm/filemap.h"
#include "mm/page.h"

void filemap_set_dirty(struct page *p)
{
	if (page_test(p, PG_file) && !page_set(p, PG_dirty))
		page_stat(p, STAT_FILE_DIRTY, 1);
}

void filemap_clear_dirty(struct page *p)
{
	if (page_test(p, PG_file) && page_clear(p, PG_dirty))
		page_stat(p, STAT_FILE_DIRTY, -1);
}

struct wb {
	struct address_space *as;
	struct store_batch b;
	struct page *pages[STORE_BATCH_MAX];
};

/* Writeback holds a reference to the page, and the page to its file: touch neither after the flag
 * is clear. */
static void end_write(struct address_space *as, struct page *p, int error)
{
	VM_ASSERT(error <= 0);
	if (error) {
		filemap_set_dirty(p);
		a32_cas(&as->write_error, 0, (uint32_t)-error);
	} else {
		spin_lock(&as->lock);
		bitmap_set(as->stored, p->index);
		spin_unlock(&as->lock);
	}
	page_stat(p, STAT_FILE_WRITEBACK, -1);
	bit_clear_wake(&p->flags, PG_writeback, PG_waiters);
	page_put(as->engine, p);
}

static void write_done(struct store_batch *b)
{
	struct wb *w = b->private;

	VM_ASSERT(b->n <= STORE_BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++)
		end_write(w->as, w->pages[i], b->io[i].error);
}

static void wb_init(struct wb *w, struct address_space *as)
{
	w->as = as;
	w->b.write = true;
	w->b.n = 0;
	w->b.end_io = write_done;
	w->b.private = w;
}

static void wb_submit(struct wb *w)
{
	VM_ASSERT(w->b.n <= STORE_BATCH_MAX);
	if (w->b.n == 0)
		return;
	store_submit(w->as->store, &w->b);
	store_wait(w->as->store, &w->b);
	w->b.n = 0;
}

/* Clean a locked, dirty page, unlock it, and put it into the batch. */
static void wb_add(struct wb *w, struct page *p)
{
	struct engine *e = w->as->engine;

	lockdep_assert_held(&p->flags);
	VM_BUG_ON(!page_locked(p) || page_test(p, PG_writeback) || page_file_mapping(p) != w->as);
	sync_step(rmap_file_protect(p));
	filemap_clear_dirty(p);
	page_get(p);
	sync_step(page_set(p, PG_writeback));
	page_stat(p, STAT_FILE_WRITEBACK, 1);
	if (p->index >= w->as->store->nr_slots) {
		end_write(w->as, p, -ENOSPC);
		page_unlock(e, p);
		return;
	}
	w->b.io[w->b.n].slot = p->index;
	w->b.io[w->b.n].data = mmu_data(e->mmu, p);
	w->pages[w->b.n++] = p;
	page_unlock(e, p);
	if (w->b.n == STORE_BATCH_MAX)
		wb_submit(w);
}

/* One page of a range. It is referenced. */
static void wb_page(struct wb *w, struct page *p)
{
	if (!page_trylock(p)) {
		wb_submit(w);
		page_lock(p);
	}
	if (page_test(p, PG_writeback)) {
		wb_submit(w);
		sync_step(page_wait_writeback(p));
	}
	if (recheck(page_file_mapping(p) == w->as) && recheck(page_test(p, PG_dirty)))
		wb_add(w, p);
	else
		page_unlock(w->as->engine, p);
}

int filemap_writeback(struct address_space *as, uint64_t first, uint64_t n)
{
	uint64_t end = file_range_end(first, n);
	struct wb w;

	if (file_is_shmem(as))
		return 0;
	wb_init(&w, as);
	for (uint64_t i = first; (i = filemap_next(as, i, end)) < end; i++) {
		uint32_t entry;
		struct page *p = filemap_lookup(as, i, &entry);

		if (!p)
			continue;
		wb_page(&w, p);
		page_put(as->engine, p);
	}
	wb_submit(&w);
	return -(int)a32_xchg(&as->write_error, 0);
}

void filemap_write_pages(struct page **pages, unsigned n)
{
	struct address_space *held[STORE_BATCH_MAX];
	unsigned nr_held = 0;

	VM_BUG_ON(n > STORE_BATCH_MAX);
	for (unsigned i = 0; i < n;) {
		struct address_space *as = page_file_mapping(pages[i]);
		bool alive = file_tryget(as);
		struct wb w;

		if (alive)
			held[nr_held++] = as;
		wb_init(&w, as);
		for (; i < n && page_file_mapping(pages[i]) == as; i++) {
			if (alive)
				wb_add(&w, pages[i]);
			else
				page_unlock(as->engine, pages[i]); /* the last user is gone; its
								      release writes them */
		}
		wb_submit(&w);
	}
	/* Put the files at the end: the last put locks pages. */
	while (nr_held > 0)
		file_put(held[--nr_held]);
}

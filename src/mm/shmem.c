/* mm/shmem.c - shared memory between its table and swap.
 *
 * Out (reclaim; page locked, unmapped, in the swap cache): the slot gets a reference and the entry
 * replaces the page in the table; the page is then like any other that waits in the swap cache to
 * be written. In: the page is found or read in the swap cache like any other. If, under the page
 * lock, the table still has the entry, the page replaces it, and reference and slot are released.
 * The page lock is held over each step, so a page is in the table or in the swap cache, never in
 * both.
 *
 * A caller reads the table before it locks anything, so the entry may be stale: its slot may belong
 * to another page by now. So the result, success or failure, is valid only if the table still has
 * the entry: its reference then kept the slot.
 *
 * Where a fault costs a round trip (an MMU that withdraws), shmem_bring also brings in what a
 * stream will touch next, in one read. These pages are charged only if that needs no OOM kill;
 * otherwise they are left to their own faults.
 */
#include <string.h>

#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_io.h"

void shmem_swap_out(struct page *p)
{
	struct address_space *as = page_file_mapping(p);

	lockdep_assert_held(&p->flags);
	VM_BUG_ON(!page_locked(p) || !as || !page_test(p, PG_swapcache) || page_mapped(p));
	swap_dup(as->engine, page_entry(p));
	filemap_remove(p, page_entry(p));
}

/* Find or read @entry's page in the swap cache; *@page is referenced. 0; 1: retry; or -errno. */
static int bring_to_cache(struct engine *e, uint32_t entry, struct mm *mm, struct page **page)
{
	struct page *p;
	int err;

	VM_ASSERT(entry != 0);
	*page = swapcache_get(e, entry);
	if (*page)
		return 0;
	err = filemap_new_page(e, mm, 0, &p);
	if (err)
		return err;
	err = swapcache_add(e, p, entry);
	if (err) {
		page_unlock(e, p);
		page_put(e, p); /* ends its charge */
		return 1;
	}
	swap_read_pages(e, &p, 1); /* unlocks it */
	page_stat(p, STAT_PGMAJFAULT, 1);
	lru_add(p);
	*page = p;
	return 0;
}

/* Does the table still have @entry at @index? Then the slot of @entry is still this page's. */
static bool still_at(struct address_space *as, uint64_t index, uint32_t entry)
{
	uint32_t now;
	struct page *p = filemap_lookup(as, index, &now);

	VM_ASSERT(entry != 0);
	if (p)
		page_put(as->engine, p);
	return now == entry;
}

/* @p, in the swap cache, replaces @entry in the table if the entry is unchanged. Drops the
 * reference on @p. 0; 1: retry; or -errno. */
static int enter_table(struct address_space *as, uint64_t index, uint32_t entry, struct page *p)
{
	struct engine *e = as->engine;
	int err;

	page_lock(p);
	if (!page_test(p, PG_swapcache) || page_entry(p) != entry) {
		err = 1;
	} else if (!page_test(p, PG_uptodate)) {
		/* Since the table was read the slot may have been freed and reused, and the error
		 * may be another page's. */
		err = bug_on(SHMEM_READ_ERROR_OF_ANOTHER) || recheck(still_at(as, index, entry))
			      ? -EIO
			      : 1;
	} else {
		page_wait_writeback(p);
		err = filemap_insert(as, p, index, entry);
		if (err == 0) {
			swap_put(e, entry);
			/* The entry has no other user. */
			if (!swapcache_try_free(e, p))
				VM_BUG_ON("a slot of shared memory has another user");
		} else if (err == -EEXIST) {
			err = 1;
		}
	}
	page_unlock(e, p);
	page_put(e, p);
	return err;
}

int shmem_swapin(struct address_space *as, uint64_t index, uint32_t entry, struct mm *mm)
{
	struct page *p;
	int err = bring_to_cache(as->engine, entry, mm, &p);

	VM_ASSERT(entry != 0);
	return err ? err : enter_table(as, index, entry, p);
}

/* ---- several at once ---- */

struct bring {
	struct address_space *as;
	uint64_t index[FAULT_PAGES_MAX];
	uint32_t entry[FAULT_PAGES_MAX];     /* 0: no content yet */
	struct page *fresh[FAULT_PAGES_MAX]; /* charged and locked */
	unsigned n;
};

static void find_missing(struct bring *b, uint64_t first, unsigned n)
{
	for (uint64_t i = first; i < first + n; i++) {
		struct page *p = filemap_lookup(b->as, i, &b->entry[b->n]);

		if (p)
			page_put(b->as->engine, p);
		else
			b->index[b->n++] = i;
	}
}

static bool get_fresh(struct bring *b, const struct fault *f)
{
	struct engine *e = b->as->engine;

	if (charge_pages(e, f->memcg, f->mm, b->n, CHARGE_NOOOM) != 0)
		return false;
	if (frames_alloc(e, b->fresh, b->n) != 0) {
		uncharge_pages(f->memcg, b->n);
		return false;
	}
	if (e->mmu->ops->bring_frames(e->mmu, b->fresh, b->n) != 0) {
		for (unsigned i = 0; i < b->n; i++)
			page_put(e, b->fresh[i]);
		uncharge_pages(f->memcg, b->n);
		return false;
	}
	for (unsigned i = 0; i < b->n; i++) {
		if (!page_trylock(b->fresh[i]))
			VM_BUG_ON("a fresh page is locked");
		page_commit_charge(b->fresh[i], f->memcg);
	}
	return true;
}

/* Insert a zero page into the table. False: another thread was faster. */
static bool enter_zeros(struct address_space *as, uint64_t index, struct page *p)
{
	struct engine *e = as->engine;

	memset(mmu_data(e->mmu, p), 0, PAGE_SIZE);
	if (filemap_insert(as, p, index, 0) != 0)
		return false;
	page_set(p, PG_uptodate);
	lru_add(p);
	return true;
}

void shmem_bring(struct address_space *as, uint64_t first, unsigned n, const struct fault *f)
{
	struct bring b = { .as = as };
	struct engine *e = as->engine;
	struct page *read[FAULT_PAGES_MAX];
	unsigned nr_read = 0;

	VM_ASSERT(n > 0);
	find_missing(&b, first, n);
	if (b.n < 2 || !get_fresh(&b, f))
		return;
	for (unsigned i = 0; i < b.n; i++) {
		struct page *p = b.fresh[i];

		if (b.entry[i] && swapcache_add(e, p, b.entry[i]) == 0) {
			b.index[nr_read] = b.index[i];
			b.entry[nr_read] = b.entry[i];
			read[nr_read++] = p;
			continue;
		}
		if (!b.entry[i])
			(void)enter_zeros(as, b.index[i], p);
		page_unlock(e, p);
		page_put(e, p); /* ends its charge, unless the table has it */
	}
	if (nr_read) {
		swap_read_pages(e, read, nr_read);
		lru_add_many(read, nr_read);
		stat_add(f->memcg, STAT_PGMAJFAULT, 1);
		stat_add(f->memcg, STAT_SWAP_RA, nr_read - 1);
	}
	for (unsigned i = 0; i < nr_read; i++)
		(void)enter_table(as, b.index[i], b.entry[i], read[i]);
}

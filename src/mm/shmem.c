/* mm/shmem.c - shared memory between its table and swap.
 *
 * Out (reclaim, page locked and unmapped, in the swap cache): the slot gets a reference, the table gets the entry in
 * the place of the page, the page is then like any other that waits in the swap cache to be written. Back: found or
 * read in the swap cache like any other; locked, the entry still the one in the table: the page takes its place, the
 * reference and the slot are given back. The page lock is held over each step, so a page is in the table or in the
 * swap cache, not in both.
 *
 * A caller looked at the table before anything was locked: its entry may name a slot that is another page's by now. Whatever it
 * finds there, found or failed, counts only if the table still has the entry; for then its reference has kept the slot.
 */
#include "mm/charge.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/swap_io.h"

void shmem_swap_out(struct page *p)
{
	struct address_space *as = page_file_mapping(p);

	VM_BUG_ON(!page_locked(p) || !as || !page_test(p, PG_swapcache) || page_mapped(p));
	swap_dup(as->engine, page_entry(p));
	filemap_remove(p, page_entry(p));
}

/* Have a page for @entry in the swap cache, referenced in *@page. 0; 1: look again; or -errno. */
static int bring_to_cache(struct engine *e, uint32_t entry, struct mm *mm, struct page **page)
{
	struct page *p;
	int err;

	*page = swapcache_get(e, entry);
	if (*page)
		return 0;
	err = filemap_new_page(e, mm, 0, &p);
	if (err)
		return err;
	err = swapcache_add(e, p, entry);
	if (err) {
		page_unlock(e, p);
		page_put(e, p);  /* ends its charge */
		return 1;
	}
	swap_read_pages(e, &p, 1);  /* unlocks it */
	page_stat(p, STAT_PGMAJFAULT, 1);
	lru_add(p);
	*page = p;
	return 0;
}

/* Is the content of page @index where it was? Then the slot of @entry is still its own. */
static bool still_at(struct address_space *as, uint64_t index, uint32_t entry)
{
	uint32_t now;
	struct page *p = filemap_lookup(as, index, &now);

	if (p)
		page_put(as->engine, p);
	return now == entry;
}

int shmem_swapin(struct address_space *as, uint64_t index, uint32_t entry, struct mm *mm)
{
	struct engine *e = as->engine;
	struct page *p;
	int err = bring_to_cache(e, entry, mm, &p);

	if (err)
		return err;
	page_lock(p);
	if (!page_test(p, PG_swapcache) || page_entry(p) != entry) {
		err = 1;
	} else if (!page_test(p, PG_uptodate)) {
		/* Between the look at the table and here the slot may have been freed, and another page's content lost in
		 * it. */
		err = bug_on(SHMEM_READ_ERROR_OF_ANOTHER) || recheck(still_at(as, index, entry)) ? -EIO : 1;
	} else {
		page_wait_writeback(p);
		err = filemap_insert(as, p, index, entry);
		if (err == 0) {
			swap_put(e, entry);
			/* Nobody else knows the entry. */
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

/* mm/swap_io.c - swap reads and writes. Every page read is verified against the checksum taken at
 * its write; a page that differs is never mapped. */
#include "mm/swap_io.h"

#include <string.h>
#include <xxhash.h>

#include "mm/page.h"
#include "mm/swap.h"
#include "mm/zswap.h"
#include "mm/zswap_entry.h"

bool content_is_zero(const void *data)
{
	const uint64_t *w = data;

	/* Most nonzero pages differ early; a memcmp against itself, shifted by one word, checks the
	 * rest. */
	return w[0] == 0 && memcmp(w, w + 1, PAGE_SIZE - sizeof(*w)) == 0;
}

struct swap_hash content_hash(const struct swap_device *d, const void *data)
{
	XXH128_hash_t h = d->has_secret ? XXH3_128bits_withSecret(data, PAGE_SIZE, d->secret,
								  SWAP_SECRET_BYTES)
					: XXH3_128bits(data, PAGE_SIZE);

	return (struct swap_hash){ .lo = h.low64, .hi = h.high64 };
}

static void notice(struct engine *e, const char *text)
{
	if (e->notice)
		e->notice(e->notice_arg, text);
}

static void page_event(const struct page *p, enum event_item item)
{
	struct mem_cgroup *memcg = page_cgroup_get_memcg(&p->pcg);

	if (!memcg)
		return;
	event_add(memcg, item, 1);
	memcg_put(memcg);
}

/* End the read of one page: verify, publish, unlock. The caller holds a reference. */
static void end_swap_read(struct engine *e, struct page *p, int error, enum stat_item counted)
{
	uint32_t entry = page_entry(p);

	VM_ASSERT(error <= 0);
	if (error && counted == STAT_ZSWPIN) {
		page_event(p, EVENT_SWAP_CORRUPT);
		notice(e, "a compressed page in memory does not match its checksum: the process "
			  "that needs the page gets SIGBUS");
	} else if (error == 0 && !hash_equal(content_hash(e->swap, mmu_data(e->mmu, p)),
					     e->swap->hash[entry_slot(entry)])) {
		page_event(p, EVENT_SWAP_CORRUPT);
		notice(e, "a page read from the swap file does not match its checksum: the file "
			  "was changed or the disk is failing; "
			  "the process that needs the page gets SIGBUS");
		error = -EIO;
	} else if (error != 0) {
		page_event(p, EVENT_SWAP_READ_ERR);
		notice(e,
		       "reading the swap file failed: the process that needs the page gets SIGBUS");
	}
	if (error) {
		swap_set_map(e, entry, SLOT_BAD, 0);
		page_set(p, PG_error);
	} else {
		page_set(p, PG_uptodate);
		page_stat(p, counted, 1);
	}
	page_unlock(e, p);
}

struct swap_io {
	struct engine *engine;
	struct page *pages[STORE_BATCH_MAX];
};

static void read_done(struct store_batch *b)
{
	struct swap_io *io = b->private;

	VM_ASSERT(b->n <= STORE_BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++)
		end_swap_read(io->engine, io->pages[i], b->io[i].error, STAT_PSWPIN);
}

/* Pages of slots known to be zero need no I/O. True: done and unlocked. */
static bool read_zero(struct engine *e, struct page *p)
{
	lockdep_assert_held(&p->flags);
	if (!(swap_map(e, page_entry(p)) & SLOT_ZERO))
		return false;
	memset(mmu_data(e->mmu, p), 0, PAGE_SIZE);
	page_set(p, PG_uptodate);
	page_stat(p, STAT_PSWPIN, 1);
	page_unlock(e, p);
	return true;
}

/* What the compressed tier holds needs no I/O either. True: done and unlocked. */
static bool read_pool(struct engine *e, struct page *p)
{
	int error = zswap_load(e, page_entry(p), mmu_data(e->mmu, p));

	lockdep_assert_held(&p->flags);
	if (error > 0)
		return false;
	end_swap_read(e, p, error, STAT_ZSWPIN);
	return true;
}

void swap_read_pages(struct engine *e, struct page **pages, unsigned n)
{
	struct swap_io io = { .engine = e };
	struct store_batch b = { .write = false, .end_io = read_done, .private = &io };

	VM_BUG_ON(n > STORE_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		VM_BUG_ON(!page_locked(pages[i]) || !page_test(pages[i], PG_swapcache));
		if (read_zero(e, pages[i]) || read_pool(e, pages[i]))
			continue;
		b.io[b.n].slot = entry_slot(page_entry(pages[i]));
		b.io[b.n].data = mmu_data(e->mmu, pages[i]);
		io.pages[b.n++] = pages[i];
	}
	if (b.n == 0)
		return;
	store_submit(e->swap->store, &b);
	store_wait(e->swap->store, &b);
}

static bool no_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* End the write of one page. The writeback flag holds a reference. */
static void end_swap_write(struct engine *e, struct page *p, int error)
{
	bool look;

	VM_ASSERT(error <= 0);
	if (error) {
		page_set(p, PG_dirty);
		if (swap_map(e, page_entry(p)) & SLOT_INDEXED)
			sync_step(swap_unfind(e, page_entry(p)));
		page_event(p, EVENT_SWAP_WRITE_ERR);
		if (no_space(error))
			swap_set_map(e, page_entry(p), SLOT_REFUSED, SLOT_BACKED);
		else
			notice(e, "writing the swap file failed: pages stay in memory");
	} else {
		swap_set_map(e, page_entry(p), SLOT_VALID | SLOT_BACKED, SLOT_ZERO | SLOT_REFUSED);
		page_stat(p, STAT_PSWPOUT, 1);
	}
	page_stat(p, STAT_WRITEBACK, -1);
	look = !bug_on(SWAP_RECHECK_BEFORE_WRITEBACK_END) ||
	       (swapcache_unused(e, p) && !page_mapped(p));
	bit_clear_wake(&p->flags, PG_writeback, PG_waiters);
	if (look)
		sync_step(swapcache_check_stale(e, p));
	page_put(e, p);
}

/* Learn from a batch's results whether the disk is full. */
static void note_space(struct engine *e, const struct swap_io *io, const struct store_batch *b)
{
	bool full = a32_load(&e->swap_disk_full), refused = false, found = false;

	for (unsigned i = 0; i < b->n; i++) {
		refused |= no_space(b->io[i].error);
		found |= full && !b->io[i].error &&
			 !(swap_map(e, page_entry(io->pages[i])) & SLOT_BACKED);
	}
	if (refused && swap_disk_refused(e))
		notice(e, "the disk under the swap file is full: pages stay in memory");
	else if (found && !refused)
		swap_disk_has_room(e);
}

static void write_done(struct store_batch *b)
{
	struct swap_io *io = b->private;

	VM_ASSERT(b->n <= STORE_BATCH_MAX);
	note_space(io->engine, io, b);
	for (unsigned i = 0; i < b->n; i++)
		end_swap_write(io->engine, io->pages[i], b->io[i].error);
}

/* Zero content is recorded in the slot; nothing is written. */
static bool write_zero(struct engine *e, struct page *p)
{
	lockdep_assert_held(&p->flags);
	if (!content_is_zero(mmu_data(e->mmu, p)))
		return false;
	(void)zswap_begin_write(e, page_entry(p)); /* a write-back drops the entry itself */
	page_clear(p, PG_dirty);
	if (swap_map(e, page_entry(p)) & SLOT_INDEXED)
		swap_unfind(e, page_entry(p));
	swap_set_map(e, page_entry(p), SLOT_VALID | SLOT_ZERO, SLOT_BAD | SLOT_REFUSED);
	page_stat(p, STAT_SWPOUT_ZERO, 1);
	page_unlock(e, p);
	return true;
}

bool swap_slot_holds(struct engine *e, const struct page *p, struct swap_hash hash)
{
	uint32_t map = swap_map(e, page_entry(p));

	lockdep_assert_held(&p->flags);
	return map & SLOT_VALID && !(map & (SLOT_ZERO | SLOT_BAD)) &&
	       hash_equal(hash, e->swap->hash[entry_slot(page_entry(p))]);
}

/* If the page is unchanged since it was read from its slot, the slot is still valid. */
static bool write_clean(struct engine *e, struct page *p, struct swap_hash h)
{
	lockdep_assert_held(&p->flags);
	if (!swap_slot_holds(e, p, h))
		return false;
	page_clear(p, PG_dirty);
	page_stat(p, STAT_SWPOUT_CLEAN, 1);
	page_unlock(e, p);
	return true;
}

/* True: done and unlocked; the page may still be dirty. False: it goes to the store. */
static bool write_pool(struct engine *e, struct page *p, struct swap_hash h, bool waited)
{
	struct zswap *z = e->swap->zswap;

	lockdep_assert_held(&p->flags);
	if (!z)
		return false;
	if (recheck(zswap_begin_write(e, page_entry(p)))) {
		if (waited && z->background && z->file)
			return false;
		swap_begin_write(e, page_entry(p), h);
		if (zswap_store(e, page_entry(p), mmu_data(e->mmu, p))) {
			page_clear(p, PG_dirty);
			swap_set_map(e, page_entry(p), SLOT_VALID, SLOT_ZERO | SLOT_REFUSED);
			page_stat(p, STAT_ZSWPOUT, 1);
		} else if (z->file) {
			return false;
		} else if (swap_map(e, page_entry(p)) & SLOT_INDEXED) {
			swap_unfind(e, page_entry(p));
		}
	}
	page_unlock(e, p);
	return true;
}

void swap_write_pages(struct engine *e, struct page **pages, const struct swap_hash *known,
		      unsigned n, bool waited)
{
	struct swap_io io = { .engine = e };
	struct store_batch b = { .write = true, .end_io = write_done, .private = &io };

	VM_BUG_ON(n > STORE_BATCH_MAX);
	if (n > 0)
		zswap_make_room(e, pages[0], n, waited);
	for (unsigned i = 0; i < n; i++) {
		struct page *p = pages[i];
		uint32_t slot = entry_slot(page_entry(p));
		struct swap_hash h;

		VM_BUG_ON(!page_locked(p) || page_mapped(p) || page_test(p, PG_writeback));
		if (write_zero(e, p))
			continue;
		h = known && (known[i].lo | known[i].hi)
			    ? known[i]
			    : content_hash(e->swap, mmu_data(e->mmu, p));
		if (write_clean(e, p, h) || write_pool(e, p, h, waited))
			continue;
		swap_begin_write(e, page_entry(p), h);
		page_get(p);
		sync_step(page_set(p, PG_writeback));
		page_clear(p, PG_dirty);
		page_stat(p, STAT_WRITEBACK, 1);
		b.io[b.n].slot = slot;
		b.io[b.n].data = mmu_data(e->mmu, p);
		io.pages[b.n++] = p;
		page_unlock(e, p);
	}
	if (b.n == 0)
		return;
	store_submit(e->swap->store, &b);
	store_wait(e->swap->store, &b);
}

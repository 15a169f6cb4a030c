/* mm/swap_io.h - moving pages between memory and the store, with checksums.
 *
 * Reading: page locked, PG_uptodate clear -> end of read sets PG_uptodate or PG_error, unlocks it.
 * Writing: PG_writeback set, page unlocked -> end of write clears it; an error leaves PG_dirty set.
 */
#ifndef UMEMCG_MM_SWAP_IO_H
#define UMEMCG_MM_SWAP_IO_H

#include "mm/mm_types.h"

/* Read @n <= STORE_BATCH_MAX locked pages in the swap cache with home frames. Returns when all are
 * done and unlocked. */
void swap_read_pages(struct engine *e, struct page **pages, unsigned n);
/* Write @n <= STORE_BATCH_MAX locked, unmapped, dirty pages. Unlocks them; returns when the writes
 * are done. @known: checksums that the caller has computed, 0 for the others; NULL: none.
 * @waited: a program waits for this; do not compress, where background reclaim does. */
void swap_write_pages(struct engine *e, struct page **pages, const struct swap_hash *known,
		      unsigned n, bool waited);
/* Does the slot of a locked page hold content with checksum @hash? */
bool swap_slot_holds(struct engine *e, const struct page *p, struct swap_hash hash);
/* Whether a page's content is all zero; its checksum. */
bool content_is_zero(const void *data);
struct swap_hash content_hash(const struct swap_device *d, const void *data);
static inline bool hash_equal(struct swap_hash a, struct swap_hash b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

#endif

/* audit/audit_file.c - tables of files and shared memory, the areas that map them, and whether
 * clean pages match their store. The last check reads the stores. */
#include <string.h>

#include "audit/recount.h"
#include "base/bitmap.h"
#include "mm/filemap.h"
#include "mm/page.h"

static void read_done(struct store_batch *b)
{
	(void)b;
}

/* Read page @index into @data as a fault would. False: it cannot be read. */
static bool read_store(const struct address_space *as, uint64_t index, void *data)
{
	struct store_batch b = { .n = 1, .end_io = read_done };

	if (index >= as->store->nr_slots || !bitmap_test(as->stored, index)) {
		memset(data, 0, PAGE_SIZE);
		return true;
	}
	b.io[0].slot = index;
	b.io[0].data = data;
	store_submit(as->store, &b);
	store_wait(as->store, &b);
	return b.io[0].error == 0;
}

static void check_page(struct audit *a, const struct address_space *as, uint64_t index,
		       struct page *p, void *data)
{
	if (p->pfn >= a->nr_frames || pfn_page(a->e, p->pfn) != p) {
		audit_fail(a, 12, "page %llu of a file is no page", (unsigned long long)index);
		return;
	}
	a->frame[p->pfn].files++;
	if (page_file_mapping(p) != as || p->index != index)
		audit_fail(a, 12, "page %llu of a file is page %u, which says %llu",
			   (unsigned long long)index, p->pfn, (unsigned long long)p->index);
	if (!!page_test(p, PG_file) != !file_is_shmem(as) || page_test(p, PG_swapcache))
		audit_fail(a, 12, "page %u of a file has flags %x", p->pfn, a32_load(&p->flags));
	if (data && !page_test(p, PG_dirty | PG_writeback) && read_store(as, index, data) &&
	    memcmp(data, mmu_data(a->e->mmu, p), PAGE_SIZE) != 0)
		audit_fail(a, 19, "page %u is clean, but its file holds something else at %llu",
			   p->pfn, (unsigned long long)index);
}

static void check_entry(struct audit *a, const struct address_space *as, uint64_t index,
			uint32_t entry)
{
	if (!file_is_shmem(as) || !a->e->swap || entry > a->e->swap->nr_slots)
		audit_fail(a, 10, "page %llu of a file names slot %u", (unsigned long long)index,
			   entry - 1);
	else
		a->swap_ptes[entry - 1]++;
}

static void check_table(struct audit *a, const struct address_space *as, void *data)
{
	int64_t cached = 0, swapped = 0;

	for (uint64_t i = 0; i < as->nr_chunks * FILE_CHUNK; i++) {
		struct file_chunk *c = as->chunks[i / FILE_CHUNK];
		void *slot = c ? c->slot[i % FILE_CHUNK] : NULL;

		if (!slot)
			continue;
		if (i >= as->nr_pages)
			audit_fail(a, 12, "a file of %llu pages has one at %llu",
				   (unsigned long long)as->nr_pages, (unsigned long long)i);
		if (file_slot_entry(slot)) {
			swapped++;
			check_entry(a, as, i, file_slot_entry(slot));
		} else {
			cached++;
			check_page(a, as, i, slot, data);
		}
	}
	audit_equal(a, 33, "the pages of a file", as->nr_cached, cached);
	audit_equal(a, 33, "the swapped pages of a file", as->nr_swapped, swapped);
}

void audit_files(struct audit *a)
{
	void *data = plat_alloc_big(PAGE_SIZE);
	int64_t files = 0, linked = 0;

	list_for_each(as, &a->e->files, struct address_space, link) {
		files++;
		check_table(a, as, file_is_shmem(as) ? NULL : data);
		if (a32_load(&as->refcount) == 0)
			audit_fail(a, 33, "a file without references");
		list_for_each(v, &as->i_mmap, struct vma, file_link) {
			linked++;
			if (v->file != as)
				audit_fail(a, 15, "an area of another file is linked to a file");
		}
	}
	audit_equal(a, 33, "files", a64_load(&a->e->nr_files), files);
	audit_equal(a, 15, "areas linked to files", linked, a->nr_file_vmas);
	if (data)
		plat_free_big(data, PAGE_SIZE);
}

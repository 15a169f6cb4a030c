/* mm/filemap.h - files and shared memory: their pages, shared by all that map them.
 *
 * A struct address_space is one file (with a store that has its contents) or one object of shared
 * memory (without a store: its pages go to swap). Its table maps a page number to the page in
 * memory, or to its swap entry.
 *
 * A page's life:
 *   free -> charged to the first toucher, locked -> in the table -> read -> uptodate -> mapped, on
 *           a list
 *   file:    -> stored to: dirty -> writeback -> clean -> unmapped -> out of the table, free
 *   shared:  -> unmapped -> in the swap cache, its entry in the table -> written -> free; a fault
 *           brings it back
 *
 * I1  A page is in the table iff page->mapping says so; then the table holds one reference. Both
 *     change with the page locked and under the table's lock. (Exception: a page replaced by
 *     migration, referenced only by its migrator, keeps its mapping until filemap_forget.) The
 *     charge is set before, so a page that can be found has an owner.
 * I2  A writable entry (PTE_WRITE, in a VM_SHARED area of a file) implies PG_dirty. So entries are
 *     created read-only, and cleaning a page write-protects all of them, flushes, and only then
 *     clears PG_dirty.
 * I3  While a CPU may hold a writable translation, rmap finds the page: removing an entry sets
 *     PG_dirty, flushes, and only then drops the rmap, all under the leaf lock (seed 4). Cleaning
 *     takes that lock.
 * I4  Nothing stores to a page under writeback: a fault that would allow it waits. So the store
 *     gets one version.
 * I5  PG_dirty of a file's page (and FILE_DIRTY of its owner) changes with the page locked, or
 *     under the leaf lock of an entry that maps it, or at the end of writeback. FILE and SHMEM
 *     change with the page locked; FILE_WRITEBACK is changed by the holder of the page lock and at
 *     the end of writeback. To change a page's owner, hold the page lock, with the page not
 *     under writeback and mapped at most by an entry whose leaf is locked: then nothing else
 *     changes them.
 *
 * Locks: (X) address_space.lock, under the page lock; only reference counts, statistics and swap
 * slots are touched under it. It comes after the leaf locks, as nothing that takes a leaf lock runs
 * under it. (I) i_mmap_lock: the areas that map the file.
 */
#ifndef UMEMCG_MM_FILEMAP_H
#define UMEMCG_MM_FILEMAP_H

#include "mm/mm_types.h"

#define FILE_PAGES_MAX (1ull << 32) /* 16 TiB */

/* Create a file of @nr_pages whose contents are in @store (pages past the store's end read as zeros
 * and cannot be written back), or, without a store, zero-filled shared memory. Takes ownership of
 * @store, even on failure. The caller gets a reference. NULL: out of memory, or larger than
 * FILE_PAGES_MAX. On an MMU that does not share pages, shared memory requires an MMU record
 * (as->host), which the creator sets. */
struct address_space *file_create(struct engine *e, struct store *store, uint64_t nr_pages);
static inline void file_get(struct address_space *as)
{
	a32_get(&as->refcount, 1);
}
static inline bool file_tryget(struct address_space *as)
{
	return a32_inc_not_zero(&as->refcount);
}
/* Dropping the last reference writes dirty pages back, drops all pages and closes the store. The
 * caller must not hold a page lock. */
void file_put(struct address_space *as);

/* Map @as, starting at its page @pgoff, at [start, end) with VM_ @flags; takes mmap_lock. 0,
 * -EINVAL (not aligned, too far into the file), -EEXIST (range in use), -ENOMEM, -EOPNOTSUPP (the
 * MMU does not share pages). */
int file_mmap(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct address_space *as,
	      uint64_t pgoff);

/* Write the dirty pages of [first, first + n) to the store and wait. 0, or -errno of the first
 * write failure since the last call, whichever write it was; pages that failed stay dirty. No locks
 * may be held. A no-op for shared memory. */
int filemap_writeback(struct address_space *as, uint64_t first, uint64_t n);
/* Make the file @nr_pages long. Pages past the end are unmapped and dropped, dirty or not; private
 * copies stay. One call at a time per file. 0 or -ENOMEM (when growing). */
int filemap_truncate(struct address_space *as, uint64_t nr_pages);
/* Drop the cached pages of [first, first + n): the store was changed externally and now has all
 * these pages. -EBUSY: dirty pages were kept; -EINVAL: shared memory has no store. */
int filemap_invalidate(struct address_space *as, uint64_t first, uint64_t n);

/* Drop [first, first + n), in memory or in swap: it reads as zeros until stored to again. Shared
 * memory only. */
void filemap_discard(struct address_space *as, uint64_t first, uint64_t n);

/* ---- for the rest of mm ---- */

static inline bool file_is_shmem(const struct address_space *as)
{
	return !as->store;
}
static inline void *file_swap_slot(uint32_t entry)
{
	return (void *)((uintptr_t)entry << 1 | 1);
}
static inline uint32_t file_slot_entry(const void *slot)
{
	return (uintptr_t)slot & 1 ? (uint32_t)((uintptr_t)slot >> 1) : 0;
}

/* The end of [first, first + n), saturating: @n may mean "all". */
static inline uint64_t file_range_end(uint64_t first, uint64_t n)
{
	return n > UINT64_MAX - first ? UINT64_MAX : first + n;
}

/* @d more entries of @mm map file pages. For a client these are counted apart from its private
 * memory. */
static inline void file_count_entries(struct mm *mm, int64_t d)
{
	if (mm->host && d)
		a64_acc(&mm->rss_shared, d);
}

/* The page at @index with a reference, or NULL; then *@entry is its swap entry, or 0. */
struct page *filemap_lookup(struct address_space *as, uint64_t index, uint32_t *entry);
/* The first index in [index, end) that has a page or an entry; @end if there is none. */
uint64_t filemap_next(struct address_space *as, uint64_t index, uint64_t end);
/* The page at @index, unlocked, uptodate and referenced; if missing, it is read and charged to
 * @mm's group. No locks may be held. 0, -EIO (past the end, or unreadable), or as charge_pages or
 * frames_alloc. */
int filemap_get_page(struct address_space *as, uint64_t index, struct mm *mm, struct page **page);
/* Enter a locked, charged page at @index, replacing @entry (0: nothing). 0, -EEXIST (something else
 * is there), -EIO (past the end), -ENOMEM. */
int filemap_insert(struct address_space *as, struct page *p, uint64_t index, uint32_t entry);
/* Take a locked, unmapped page out of its table, and leave the swap entry @entry (0: nothing)
 * there. Discards the dirty state. Drops the table's reference; the caller holds another. */
void filemap_remove(struct page *p, uint32_t entry);
/* The same if the page is clean and only the table and the caller hold references. Page locked. */
bool filemap_remove_unused(struct page *p);
/* Replace @old by @new, which is locked and in no table, if only the table and the caller hold
 * references to @old; the table's reference moves to @new. @old is locked, unmapped and not under
 * writeback. It keeps its mapping until filemap_forget, because readers of a migration entry look
 * at it. The caller transfers the content flags (uptodate, dirty) and the owner: no statistic
 * changes here. */
bool filemap_replace(struct page *old, struct page *new);
/* Clear the mapping of a replaced page: no migration entry refers to it any more. */
void filemap_forget(struct page *old);
/* Allocate a locked page with a frame for content, charged to @mm's group, to be entered in a
 * table. No locks may be held: charging may reclaim, and reclaim may drop a file's last reference,
 * which locks pages. 0, or as charge_pages or frames_alloc. */
int filemap_new_page(struct engine *e, struct mm *mm, uint32_t flags, struct page **page);

/* writeback.c */
/* For the locking see I5. No-ops for shared memory. */
void filemap_set_dirty(struct page *p);
void filemap_clear_dirty(struct page *p);
/* Write @n <= STORE_BATCH_MAX locked, dirty pages of files, unlock them, wait. */
void filemap_write_pages(struct page **pages, unsigned n);

/* rmap_file.c: walks over all entries that map a page of a file. Page locked. */
/* Write-protect all entries; one that was stored through sets PG_dirty. */
void rmap_file_protect(struct page *p);
/* Call @fn for every area that contains page @index of @as, with the address it would be mapped at;
 * i_mmap_lock is held for reading. */
void rmap_walk_file(struct address_space *as, uint64_t index,
		    void (*fn)(struct vma *v, uint64_t va, void *arg), void *arg);
/* The number of areas that map @as in an address space that @counts. */
uint64_t rmap_count_areas(struct address_space *as, bool (*counts)(const struct mm *mm));
/* Remove all entries. */
void rmap_file_unmap(struct page *p);
/* Summary of all entries: VM_ flags of all areas; whether one was accessed (the young bit is
 * cleared); whether reclaim must avoid one of the address spaces. */
struct file_use {
	uint32_t vm_flags;
	bool young, no_reclaim;
};
void rmap_file_look(struct page *p, struct file_use *use);

/* shmem.c */
/* As filemap_get_page for an index whose content is at swap entry @entry. 1: retry. */
int shmem_swapin(struct address_space *as, uint64_t index, uint32_t entry, struct mm *mm);
/* Bring in the missing pages of [first, first + n), from swap or as zeros, if there is more than
 * one and it needs no OOM kill. No locks may be held. n <= FAULT_PAGES_MAX. */
struct fault;
void shmem_bring(struct address_space *as, uint64_t first, unsigned n, const struct fault *f);
/* Replace a locked, unmapped page of shared memory in its table by its swap entry. It is in the
 * swap cache. */
void shmem_swap_out(struct page *p);

/* file_fault.c: f->va, in an area of a file, is unmapped; or it maps a page of a file read-only and
 * is stored to. As handle_fault; 1: retry. */
int fault_file(struct fault *f);
int fault_file_store(struct fault *f, pte_t pte, struct page *p);

#endif

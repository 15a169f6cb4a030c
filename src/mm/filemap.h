/* mm/filemap.h - files and shared memory: their pages, shared by whoever maps them.
 *
 * A struct address_space is one file (with a store that has its contents) or one object of shared memory (without:
 * its pages go to swap). Its table leads from a page number to the page in memory, or to the swap entry it went to.
 *
 * A page's life:
 *   free -> charged to the first who touches it, locked -> in the table -> read -> uptodate -> mapped, on a list
 *   file:    -> stored to: dirty -> write-back -> clean -> unmapped -> out of the table, free
 *   shared:  -> unmapped -> in the swap cache, its entry in the table -> written -> free; and back by a fault
 *
 * I1  A page is in the table iff page->mapping says so; then the table holds one reference. Both change with the page
 *     locked and under the table's lock. (One exception: a page that was replaced by migration, referenced by its migrator
 *     only, says so until filemap_forget.) The charge is set before: whoever finds a page finds its owner.
 * I2  An entry that may be stored through (PTE_WRITE, in a VM_SHARED area of a file) implies PG_dirty. So entries are
 *     made for reading first, and a page is cleaned by protecting all of them, flushing, and only then clearing
 *     PG_dirty.
 * I3  While a CPU may hold a translation that stores, the reverse mapping finds the page: an entry that goes sets
 *     PG_dirty, is flushed, and only then gives up its rmap, all under the leaf lock (seed 4). Cleaning takes that
 *     lock.
 * I4  A page under write-back is stored to by nobody: a fault that would allow it waits. So the store gets one version.
 * I5  PG_dirty of a file's page (and FILE_DIRTY of its owner) changes with the page locked, or under the leaf lock of
 *     an entry that maps it, or by the end of write-back. FILE and SHMEM change with the page locked; FILE_WRITEBACK by
 *     who locked the page and by the end of write-back. Whoever moves a page's owner has it locked, not under
 *     write-back and mapped by nothing but the entry whose leaf it has locked: then nobody else changes them.
 *
 * Locks: (X) address_space.lock, under the page lock; nothing but reference counts, statistics and swap slots under
 * it. It comes after the leaf locks, as nothing that takes a leaf lock runs under it. (I) i_mmap_lock: who maps it.
 */
#ifndef UMEMCG_MM_FILEMAP_H
#define UMEMCG_MM_FILEMAP_H

#include "mm/mm_types.h"

#define FILE_PAGES_MAX (1ull << 32)   /* 16 TiB */

/* A file of @nr_pages whose contents are in @store (the pages past its end read as zeros, and cannot be written
 * back), or, without a store, shared memory of zeros. Takes @store, also when it fails. The caller gets a reference.
 * NULL: out of memory, or larger than FILE_PAGES_MAX. On an MMU that does not share pages shared memory exists if the MMU has a
 * record of it (as->host), which the maker sets. */
struct address_space *file_create(struct engine *e, struct store *store, uint64_t nr_pages);
static inline void file_get(struct address_space *as) { a32_get(&as->refcount, 1); }
static inline bool file_tryget(struct address_space *as) { return a32_inc_not_zero(&as->refcount); }
/* The last reference writes dirty pages back, drops all pages and closes the store: no page may be locked by the
 * caller. */
void file_put(struct address_space *as);

/* Map @as from its page @pgoff on at [start, end) with VM_ @flags; takes mmap_lock. 0, -EINVAL (not aligned, too far
 * into the file), -EEXIST (something is there), -ENOMEM, -EOPNOTSUPP (the MMU does not share pages). */
int file_mmap(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags, struct address_space *as, uint64_t pgoff);

/* Write the dirty pages of [first, first + n) to the store and wait. 0, or -errno of the first failure since the last
 * call, of whatever write: pages that failed stay dirty. Nothing may be locked. Shared memory: nothing to do. */
int filemap_writeback(struct address_space *as, uint64_t first, uint64_t n);
/* Make the file @nr_pages long. Pages past the end are unmapped and dropped, dirty or not; private copies stay. One
 * call at a time a file. 0 or -ENOMEM (when it grows). */
int filemap_truncate(struct address_space *as, uint64_t nr_pages);
/* Drop what is cached of [first, first + n): the store was changed by somebody else, and has all these pages now. -EBUSY: dirty
 * pages were left; -EINVAL: shared memory has no store. */
int filemap_invalidate(struct address_space *as, uint64_t first, uint64_t n);

/* Drop [first, first + n), in memory or in swap: it is zeros, until it is stored to again. For shared memory. */
void filemap_discard(struct address_space *as, uint64_t first, uint64_t n);

/* ---- for the rest of mm ---- */

static inline bool file_is_shmem(const struct address_space *as) { return !as->store; }
static inline void *file_swap_slot(uint32_t entry) { return (void *)((uintptr_t)entry << 1 | 1); }
static inline uint32_t file_slot_entry(const void *slot)
{
	return (uintptr_t)slot & 1 ? (uint32_t)((uintptr_t)slot >> 1) : 0;
}

/* Where the range [first, first + n) ends: @n may be "all there are". */
static inline uint64_t file_range_end(uint64_t first, uint64_t n)
{
	return n > UINT64_MAX - first ? UINT64_MAX : first + n;
}

/* @d more entries of @mm map pages of files. The books of a client tell them from memory of its own. */
static inline void file_count_entries(struct mm *mm, int64_t d)
{
	if (mm->host && d)
		a64_acc(&mm->rss_shared, d);
}

/* The page @index with a reference, or NULL; then *@entry is the swap entry it went to, or 0. */
struct page *filemap_lookup(struct address_space *as, uint64_t index, uint32_t *entry);
/* The next index from @index on, below @end, that has a page or an entry; @end when there is none. */
uint64_t filemap_next(struct address_space *as, uint64_t index, uint64_t end);
/* The page @index, unlocked, uptodate and referenced; brought, and charged to @mm's group, when it is not there.
 * Nothing may be locked. 0, -EIO (past the end, or it cannot be read), or as charge_pages or frames_alloc. */
int filemap_get_page(struct address_space *as, uint64_t index, struct mm *mm, struct page **page);
/* Enter a locked, charged page at @index, where @entry is (0: nothing). 0, -EEXIST (it is not), -EIO (past the end),
 * -ENOMEM. */
int filemap_insert(struct address_space *as, struct page *p, uint64_t index, uint32_t entry);
/* Take a locked, unmapped page out of its table, and leave the swap entry @entry (0: nothing) there. Dirt is dropped.
 * The caller holds a reference besides the table's, which is given up. */
void filemap_remove(struct page *p, uint32_t entry);
/* The same if the page is clean and nobody but the table and the caller has a reference. Page locked. */
bool filemap_remove_unused(struct page *p);
/* @new, locked and without a place, takes the place of @old in its table, if nobody but the table and the caller has a
 * reference to @old; then the table's reference is to @new. @old is locked, unmapped and not under write-back; its mapping
 * stands until filemap_forget, for who meets a migration entry looks at it, and what is true of its content (uptodate,
 * dirty) and its owner are the caller's to hand over: no statistic changes here. */
bool filemap_replace(struct page *old, struct page *new);
/* The replaced page belongs to no file any more: no migration entry names it. */
void filemap_forget(struct page *old);
/* A new frame with content, charged to @mm's group, locked: to be entered somewhere. Nothing may be locked: charging
 * may reclaim, and reclaim be a file's last user, which locks pages. 0, or as charge_pages or frames_alloc. */
int filemap_new_page(struct engine *e, struct mm *mm, uint32_t flags, struct page **page);

/* writeback.c */
/* I5 says who may. Nothing for shared memory. */
void filemap_set_dirty(struct page *p);
void filemap_clear_dirty(struct page *p);
/* Write @n <= STORE_BATCH_MAX locked, dirty pages of files, unlock them, wait. */
void filemap_write_pages(struct page **pages, unsigned n);

/* rmap_file.c: walks over every entry that maps a page of a file. Page locked. */
/* Allow no more stores; an entry that was stored through sets PG_dirty. */
void rmap_file_protect(struct page *p);
/* Call @fn for every area that page @index of @as lies in, at the address it would be mapped at; i_mmap_lock is held for
 * reading. */
void rmap_walk_file(struct address_space *as, uint64_t index, void (*fn)(struct vma *v, uint64_t va, void *arg),
		    void *arg);
/* Take every entry away. */
void rmap_file_unmap(struct page *p);
/* What the entries tell: VM_ flags of all areas; was one used since (the mark is cleared)? Does reclaim have to keep
 * off one of the address spaces? */
struct file_use {
	uint32_t vm_flags;
	bool young, no_reclaim;
};
void rmap_file_look(struct page *p, struct file_use *use);

/* shmem.c */
/* As filemap_get_page for an index whose content is at @entry. 1: look again. */
int shmem_swapin(struct address_space *as, uint64_t index, uint32_t entry, struct mm *mm);
/* Bring what is missing of [first, first + n), if it is more than one page and can be had without killing anybody: from swap, or
 * zeros. Nothing may be locked. n <= FAULT_PAGES_MAX. */
struct fault;
void shmem_bring(struct address_space *as, uint64_t first, unsigned n, const struct fault *f);
/* A locked, unmapped page of shared memory that is in the swap cache leaves its table: its entry takes its place. */
void shmem_swap_out(struct page *p);

/* file_fault.c: nothing is mapped at f->va, in an area of a file; a page of a file is mapped there for reading, and
 * stored to. As handle_fault; 1: look again. */
int fault_file(struct fault *f);
int fault_file_store(struct fault *f, pte_t pte, struct page *p);

#endif

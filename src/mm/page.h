/* mm/page.h - page records: references, flags, the page lock, the charge. Allocation: frames.h. */
#ifndef UMEMCG_MM_PAGE_H
#define UMEMCG_MM_PAGE_H

#include "mm/frames.h"
#include "mm/mm_types.h"

static inline struct page *pfn_page(const struct engine *e, uint32_t pfn)
{
	return &e->chunks[pfn / FRAME_CHUNK][pfn % FRAME_CHUNK];
}

static inline bool page_test(const struct page *p, uint32_t flag)
{
	return a32_test(&p->flags, flag);
}
static inline bool page_set(struct page *p, uint32_t flag)
{
	return a32_or(&p->flags, flag) & flag;
}
static inline bool page_clear(struct page *p, uint32_t flag)
{
	return a32_and(&p->flags, ~flag) & flag;
}
static inline uint32_t page_entry(const struct page *p)
{
	return a32_load(&p->entry);
}
static inline bool page_mapped(const struct page *p)
{
	return a32_load(&p->mapcount) != 0;
}

/* From page->mapping. A page is either a file page or anonymous; one that was never mapped and
 * belongs to no file counts as anonymous. Stable while the page is locked, or mapped by an entry
 * whose leaf is locked. */
static inline bool page_is_anon(const struct page *p)
{
	return !((uintptr_t)aptr_load(&p->mapping) & PAGE_MAPPING_FILE);
}
/* NULL: a file page, or never mapped. For the lifetime rule see rmap.h. */
static inline struct anon_vma *page_anon_vma(const struct page *p)
{
	void *m = aptr_load(&p->mapping);

	return (uintptr_t)m & PAGE_MAPPING_FILE ? NULL : m;
}
/* The file that @p belongs to, or NULL. The page lock keeps it alive. */
static inline struct address_space *page_file_mapping(const struct page *p)
{
	uintptr_t m = (uintptr_t)aptr_load(&p->mapping);

	return m & PAGE_MAPPING_FILE ? (struct address_space *)(m - PAGE_MAPPING_FILE) : NULL;
}

static inline void page_get(struct page *p)
{
	a32_get(&p->refcount, 1);
}
/* False: the page is being freed. */
static inline bool page_try_get(struct page *p)
{
	return a32_inc_not_zero(&p->refcount);
}
/* Drop a reference. The last one takes the page off its list, uncharges and frees it. */
void page_put(struct engine *e, struct page *p);

static inline bool page_trylock(struct page *p)
{
	return bit_trylock(&p->flags, PG_locked, RANK_PAGE);
}
static inline void page_lock(struct page *p)
{
	bit_lock(&p->flags, PG_locked, PG_waiters, RANK_PAGE);
}
static inline bool page_locked(const struct page *p)
{
	return page_test(p, PG_locked);
}
/* Unlock, then recheck: if the last page-table reference of its slot went away in the meantime,
 * free the slot (seed 2). The caller holds a reference. */
void page_unlock(struct engine *e, struct page *p);
/* Freeze the page if it has exactly @n references: page_try_get then fails until page_unfreeze_refs
 * restores @n references. */
static inline bool page_freeze_refs(struct page *p, uint32_t n)
{
	return a32_cas(&p->refcount, n, 0);
}
static inline void page_unfreeze_refs(struct page *p, uint32_t n)
{
	a32_store(&p->refcount, n);
}
/* Sleep until the page is unlocked, without locking it. The caller holds a reference. */
static inline void page_wait_unlocked(struct page *p)
{
	bit_wait(&p->flags, PG_locked, PG_waiters);
}
/* Sleep until writeback has ended. The caller holds a reference. */
static inline void page_wait_writeback(struct page *p)
{
	bit_wait(&p->flags, PG_writeback, PG_waiters);
}

/* Assign a page's charge to @memcg's handle. The caller has charged the counters. */
void page_commit_charge(struct page *p, struct mem_cgroup *memcg);
/* The caller has @p locked and isolated. Uncharge it before its last reference goes if it is
 * unmapped, in no cache and not referenced otherwise; but not while MIGRATION is set. */
void page_uncharge_unused(struct page *p);
/* Uncharge @p; a no-op if it is not charged. Called when the page is freed, before it is reused. */
void page_uncharge(struct page *p);
/* Add @d to a statistic of the page's owner; a no-op if it is not charged. */
void page_stat(const struct page *p, enum stat_item item, int64_t d);

#endif

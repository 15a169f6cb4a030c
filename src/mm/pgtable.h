/* mm/pgtable.h - page tables: per address space a directory of leaves, 512 entries, one lock each.
 *
 * The directory is a hash. A leaf, once created, stays until its address space ends. Readers (rmap
 * walks) that hold neither mmap_lock nor a reference to the address space look up leaves under RCU.
 */
#ifndef UMEMCG_MM_PGTABLE_H
#define UMEMCG_MM_PGTABLE_H

#include "mm/mm_types.h"

/* The leaf that holds @va, or NULL. */
struct leaf *leaf_find(struct mm *mm, uint64_t va);
/* The page mapped at @va, in @leaf's span, referenced, if it is present and has @flag; else NULL.
 * Takes the leaf lock. */
struct page *leaf_get_flagged(struct engine *e, struct leaf *leaf, uint64_t va, uint32_t flag);
/* The first leaf that overlaps [*va, @end); *va is set to the first address in it. NULL if there is
 * none; then *va is @end. The cost of a walk in order depends on the number of leaves, not on the
 * address range. */
struct leaf *leaf_next(struct mm *mm, uint64_t *va, uint64_t end);
/* The number of leaves. */
unsigned pgtable_leaves(struct mm *mm);
/* As leaf_find, but creates a missing leaf. NULL: out of memory. */
struct leaf *leaf_get(struct mm *mm, uint64_t va);
/* Free the directory. All entries must be none. */
void pgtable_fini(struct mm *mm);
/* Call @fn for the part of every existing leaf in [start, end), in no particular order. */
void leaf_for_range(struct mm *mm, uint64_t start, uint64_t end,
		    void (*fn)(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to,
			       void *arg),
		    void *arg);

static inline unsigned leaf_slot(uint64_t va)
{
	return (va >> PAGE_SHIFT) & (LEAF_ENTRIES - 1);
}
static inline pte_t pte_read(const struct leaf *l, uint64_t va)
{
	return a64_load(&l->pte[leaf_slot(va)]);
}
/* leaf->lock held. */
static inline void pte_set(struct leaf *l, uint64_t va, pte_t pte)
{
	lockdep_assert_held(&l->lock);
	a64_store(&l->pte[leaf_slot(va)], pte);
}

#endif

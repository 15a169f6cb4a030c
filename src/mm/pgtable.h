/* mm/pgtable.h - page tables: a directory of leaves an address space, 512 entries and one lock a leaf.
 *
 * The directory is a hash; a leaf, once there, stays until its address space ends. Readers
 * that hold neither mmap_lock nor a reference to the address space find leaves inside RCU (rmap walks).
 */
#ifndef UMEMCG_MM_PGTABLE_H
#define UMEMCG_MM_PGTABLE_H

#include "mm/mm_types.h"

/* The leaf that holds @va, or NULL. */
struct leaf *leaf_find(struct mm *mm, uint64_t va);
/* The page that is mapped at @va, in @leaf's span, referenced, if it is there and has @flag; else NULL. Takes the leaf lock. */
struct page *leaf_get_flagged(struct engine *e, struct leaf *leaf, uint64_t va, uint32_t flag);
/* The first leaf that holds an address of [*va, @end), and *va the first of these; NULL, and *va is @end: there is none. What a
 * walk in order costs depends on the leaves there are, not on the addresses it passes. */
struct leaf *leaf_next(struct mm *mm, uint64_t *va, uint64_t end);
/* Their number. */
unsigned pgtable_leaves(struct mm *mm);
/* As leaf_find, made when it is not there. NULL: out of memory. */
struct leaf *leaf_get(struct mm *mm, uint64_t va);
/* Every leaf's entries are none: take the directory down. */
void pgtable_fini(struct mm *mm);
/* Call @fn for the leaf parts of [start, end) that exist, in no order. */
void leaf_for_range(struct mm *mm, uint64_t start, uint64_t end,
		    void (*fn)(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg), void *arg);

static inline unsigned leaf_slot(uint64_t va) { return (va >> PAGE_SHIFT) & (LEAF_ENTRIES - 1); }
static inline pte_t pte_read(const struct leaf *l, uint64_t va) { return a64_load(&l->pte[leaf_slot(va)]); }
/* leaf->lock held. */
static inline void pte_set(struct leaf *l, uint64_t va, pte_t pte)
{
	lockdep_assert_held(&l->lock);
	a64_store(&l->pte[leaf_slot(va)], pte);
}

#endif

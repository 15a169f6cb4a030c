/* mm/rmap.h - from a page to the page-table entries that map it.
 *
 * A page points to the anon_vma it was first mapped through. An anon_vma lists, by chains, every area that may map its
 * pages. A chain holds a reference; the page holds none. So a walk that starts at a page takes the anon_vma
 * under RCU with inc-not-zero, and only if the page is still mapped after that (seed 3; Linux 6.12 rmap.c:507).
 */
#ifndef UMEMCG_MM_RMAP_H
#define UMEMCG_MM_RMAP_H

#include "mm/mm_types.h"

/* Give @v an anon_vma of its own if it has none. mmap_lock held (read is enough: races are settled by
 * mm->pt_lock). 0 or -ENOMEM. */
int anon_vma_prepare(struct vma *v);
/* Chain @v to every anon_vma @src is chained to. 0 or -ENOMEM (nothing chained). */
int anon_vma_clone(struct vma *v, const struct vma *src);
void anon_vma_unlink(struct vma *v);
/* The page's anon_vma with a reference, or NULL when the page is not mapped any more. */
struct anon_vma *page_get_anon_vma(const struct page *p);
void anon_vma_put(struct anon_vma *av);

/* Say through which area @p is found: before it is mapped, leaf lock held, page locked or new. @shared: other address spaces
 * have entries for it too; then it must be an anon_vma that all of them are chained to: the oldest of @v's chain, which
 * is that of the ancestor the page comes from. */
void page_set_anon_rmap(struct page *p, struct vma *v, uint64_t va, bool shared);
/* A present entry is about to map / does no longer map @p: leaf lock held. Counts ANON, or FILE_MAPPED,
 * at 0->1 and 1->0. What is counted off is what was counted: the owner is read before the map count falls. A mover that finds
 * the map count 0, or its own entry the only one, need not wait for who is still counting. */
void page_add_rmap(struct page *p, struct vma *v, uint64_t va);
void page_remove_rmap(struct page *p);

/* Call @fn for every area of @av that page number @index lies in, at the address it would be mapped at. @av->lock is held for
 * reading: the areas stay, and so do their address spaces' tables. The caller has a reference on @av. */
void rmap_walk_anon(struct anon_vma *av, uint64_t index, void (*fn)(struct vma *v, uint64_t va, void *arg), void *arg);

struct rmap_place {
	struct mm *mm;      /* referenced */
	uint64_t va;
	uint32_t vm_flags;
};
/* Where @p may be mapped: up to @max places, each mm referenced. Returns how many, or -E2BIG. Page locked.
 * Takes the anon_vma's lock for reading. A place is a hint until its entry was seen under the leaf lock. */
int rmap_places(struct page *p, struct rmap_place *out, unsigned max);

#endif

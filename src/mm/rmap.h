/* mm/rmap.h - finding the page-table entries that map a page.
 *
 * A page points to the anon_vma it was first mapped through. An anon_vma lists, by chains, every
 * area that may map its pages. A chain holds a reference; the page holds none. So a walk from a
 * page takes the anon_vma under RCU with inc-not-zero, and uses it only if the page is still mapped
 * after that (seed 3; Linux 6.12 rmap.c:507).
 */
#ifndef UMEMCG_MM_RMAP_H
#define UMEMCG_MM_RMAP_H

#include "mm/mm_types.h"

/* Give @v its own anon_vma if it has none. mmap_lock held (read is enough: mm->pt_lock settles
 * races). 0 or -ENOMEM. */
int anon_vma_prepare(struct vma *v);
/* Chain @v to every anon_vma @src is chained to. 0 or -ENOMEM (nothing chained). */
int anon_vma_clone(struct vma *v, const struct vma *src);
void anon_vma_unlink(struct vma *v);
/* The page's anon_vma with a reference, or NULL if the page is no longer mapped. */
struct anon_vma *page_get_anon_vma(const struct page *p);
void anon_vma_put(struct anon_vma *av);

/* Set the anon_vma through which rmap finds @p. Called before @p is mapped, with the leaf lock held
 * and @p locked or new. @shared: other address spaces have entries for it, too; then the anon_vma
 * must be one that all of them are chained to: the oldest of @v's chain, which belongs to the
 * ancestor the page comes from. */
void page_set_anon_rmap(struct page *p, struct vma *v, uint64_t va, bool shared);
/* A present entry is about to map / no longer maps @p: leaf lock held. Counts ANON, or FILE_MAPPED,
 * at 0->1 and 1->0. The owner is read before the map count drops, so the count is taken from the
 * owner that got it. A mover that finds map count 0, or only its own entry, need not wait for a
 * thread that is still counting. */
void page_add_rmap(struct page *p, struct vma *v, uint64_t va);
void page_remove_rmap(struct page *p);

/* Call @fn for every area of @av that contains page number @index, with the address it would be
 * mapped at. @av->lock is held for reading: it keeps the areas and their address spaces' page
 * tables. The caller has a reference to @av. */
void rmap_walk_anon(struct anon_vma *av, uint64_t index,
		    void (*fn)(struct vma *v, uint64_t va, void *arg), void *arg);

struct rmap_place {
	struct mm *mm; /* referenced */
	uint64_t va;
	uint32_t vm_flags;
};
/* Collect the places where @p may be mapped: up to @max, which may be 0, each mm referenced.
 * Returns how many, or -E2BIG if there are more. Page locked. Takes the anon_vma's lock for
 * reading. A place is a hint until its entry is checked under the leaf lock. */
int rmap_places(struct page *p, struct rmap_place *out, unsigned max);

#endif

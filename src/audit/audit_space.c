/* audit/audit_space.c - address spaces: areas, page tables, reverse mappings. */
#include "audit/recount.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/vma.h"

static void check_areas(struct audit *a, const struct mm *mm)
{
	int64_t locked = 0;
	uint64_t end = 0;

	for (unsigned i = 0; i < mm->nr_vmas; i++) {
		const struct vma *v = mm->vmas[i];

		if (v->start < end || v->start >= v->end || (v->start | v->end) & ~PAGE_MASK ||
		    v->mm != mm)
			audit_fail(a, 31, "area %llx-%llx after %llx", (unsigned long long)v->start,
				   (unsigned long long)v->end, (unsigned long long)end);
		end = v->end;
		if (v->flags & VM_LOCKED)
			locked += (int64_t)((v->end - v->start) >> PAGE_SHIFT);
		list_for_each(c, &v->chains, struct anon_vma_chain, same_vma) {
			a->nr_chains++;
			if (c->vma != v || list_empty(&c->same_anon_vma) ||
			    a32_load(&c->anon_vma->refcount) == 0)
				audit_fail(a, 15, "a chain of area %llx is not linked",
					   (unsigned long long)v->start);
		}
		a->nr_vmas++;
		a->nr_file_vmas += v->file != NULL;
	}
	audit_equal(a, 30, "locked", a64_load(&mm->locked), locked);
}

/* An entry may let stores through only where they belong, and only if the page is marked dirty. */
static void check_store(struct audit *a, const struct mm *mm, const struct page *p, uint64_t va,
			pte_t pte)
{
	const struct vma *v = vma_find(mm, va);

	if (page_is_anon(p) || !(pte & (PTE_WRITE | PTE_DIRTY)))
		return;
	if (!v || !(v->flags & VM_SHARED) || !(v->flags & VM_WRITE))
		audit_fail(a, 18,
			   "page %u is of a file, and entry %llx of no shared area stores to it",
			   p->pfn, (unsigned long long)va);
	if (page_test(p, PG_file) && !page_test(p, PG_dirty))
		audit_fail(a, 18, "page %u is clean, but entry %llx is %llx", p->pfn,
			   (unsigned long long)va, (unsigned long long)pte);
}

/* The page's reverse mapping must lead to this entry. */
static void check_rmap(struct audit *a, const struct mm *mm, const struct page *p, uint64_t va)
{
	const struct vma *v = vma_find(mm, va);
	const struct anon_vma *av = page_anon_vma(p);
	bool found = page_file_mapping(p) && page_file_mapping(p) == (v ? v->file : NULL);

	if (!v) {
		audit_fail(a, 31, "present entry %llx lies in no area", (unsigned long long)va);
		return;
	}
	list_for_each(c, &v->chains, struct anon_vma_chain, same_vma)
		found |= c->anon_vma == av;
	if (!found)
		audit_fail(a, 15, "page %u is mapped at %llx, but nothing leads there from it",
			   p->pfn, (unsigned long long)va);
	else if (p->index != vma_page_index(v, va))
		audit_fail(a, 15, "page %u has index %llu, its entry at %llx is %llu", p->pfn,
			   (unsigned long long)p->index, (unsigned long long)va,
			   (unsigned long long)vma_page_index(v, va));
}

static void check_entry(struct audit *a, const struct mm *mm, uint64_t va, pte_t pte, int64_t *rss,
			int64_t *swapents)
{
	if (pte_present(pte)) {
		if (pte_pfn(pte) >= a->nr_frames) {
			audit_fail(a, 17, "entry %llx names frame %u of %u", (unsigned long long)va,
				   pte_pfn(pte), a->nr_frames);
			return;
		}
		++*rss;
		a->frame[pte_pfn(pte)].ptes++;
		check_rmap(a, mm, pfn_page(a->e, pte_pfn(pte)), va);
		check_store(a, mm, pfn_page(a->e, pte_pfn(pte)), va, pte);
	} else if (pte_is_swap(pte)) {
		++*swapents;
		if (!a->e->swap || pte_entry(pte) == 0 || pte_entry(pte) > a->e->swap->nr_slots)
			audit_fail(a, 10, "entry %llx names slot %u", (unsigned long long)va,
				   pte_entry(pte));
		else
			a->swap_ptes[pte_entry(pte) - 1]++;
	} else if (pte_is_migration(pte)) {
		audit_fail(a, 17, "entry %llx is a migration entry of page %u, and nobody migrates",
			   (unsigned long long)va, pte_pfn(pte));
	} else if (!pte_none(pte) && !pte_is_poison(pte)) {
		audit_fail(a, 17, "entry %llx is %llx: neither present nor swap",
			   (unsigned long long)va, (unsigned long long)pte);
	}
	if (!pte_none(pte) && !vma_find(mm, va))
		audit_fail(a, 31, "entry %llx lies in no area", (unsigned long long)va);
}

static void check_tables(struct audit *a, const struct mm *mm)
{
	int64_t rss = 0, swapents = 0;
	unsigned leaves = 0;

	for (unsigned i = 0; i < mm->cap_leaves; i++)
		for (const struct leaf *l = mm->leaves[i]; l; l = l->hash_next) {
			leaves++;
			for (unsigned k = 0; k < LEAF_ENTRIES; k++)
				check_entry(a, mm, l->base + (uint64_t)k * PAGE_SIZE,
					    a64_load(&l->pte[k]), &rss, &swapents);
		}
	a->nr_leaves += leaves;
	audit_equal(a, 30, "rss", a64_load(&mm->rss), rss);
	audit_equal(a, 30, "swapents", a64_load(&mm->swapents), swapents);
	audit_equal(a, 33, "leaves of an address space", mm->nr_leaves, leaves);
}

void audit_spaces(struct audit *a)
{
	struct engine *e = a->e;
	int64_t nr = 0;

	list_for_each(mm, &e->mms, struct mm, link) {
		nr++;
		check_areas(a, mm);
		check_tables(a, mm);
	}
	/* An address space that was torn down but is still referenced is on no list, and owns only
	 * its tables. */
	if (a64_load(&e->nr_mms) < nr ||
	    (a->r->flags & AUDIT_FLUSHED && a64_load(&e->nr_mms) != nr))
		audit_equal(a, 33, "address spaces", a64_load(&e->nr_mms), nr);
	if (a64_load(&e->nr_mms) == nr)
		audit_equal(a, 33, "leaves", a64_load(&e->nr_leaves), a->nr_leaves);
	audit_equal(a, 33, "areas", a64_load(&e->nr_vmas), a->nr_vmas);
	audit_equal(a, 33, "chains", a64_load(&e->nr_chains), a->nr_chains);
	if (a64_load(&e->nr_anon_vmas) > a->nr_chains)
		audit_fail(a, 33, "%lld anon_vmas, but only %lld chains",
			   (long long)a64_load(&e->nr_anon_vmas), (long long)a->nr_chains);
}

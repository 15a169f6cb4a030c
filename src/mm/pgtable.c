/* mm/pgtable.c - the directory of leaves. mm->pt_lock protects the hash; it is held only for a
 * look-up. */
#include "mm/pgtable.h"

#include "mm/page.h"

#define LEAVES_MIN 16

static unsigned leaf_hash(uint64_t va, unsigned cap)
{
	uint64_t h = (va >> LEAF_SHIFT) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> 40) & (cap - 1);
}

/* pt_lock held. */
static struct leaf *find_locked(struct mm *mm, uint64_t base)
{
	struct leaf *l;

	lockdep_assert_held(&mm->pt_lock);
	if (!mm->leaves)
		return NULL;
	for (l = mm->leaves[leaf_hash(base, mm->cap_leaves)]; l; l = l->hash_next)
		if (l->base == base)
			return l;
	return NULL;
}

struct leaf *leaf_find(struct mm *mm, uint64_t va)
{
	struct leaf *l;

	spin_lock(&mm->pt_lock);
	l = find_locked(mm, va & ~(LEAF_SPAN - 1));
	spin_unlock(&mm->pt_lock);
	return l;
}

unsigned pgtable_leaves(struct mm *mm)
{
	unsigned n;

	spin_lock(&mm->pt_lock);
	n = mm->nr_leaves;
	spin_unlock(&mm->pt_lock);
	return n;
}

/* pt_lock held. Probe address by address while that may be cheaper than scanning every leaf. */
static struct leaf *next_locked(struct mm *mm, uint64_t base, uint64_t end)
{
	struct leaf *next = NULL;

	lockdep_assert_held(&mm->pt_lock);
	for (unsigned i = 0; i < mm->nr_leaves && base < end; i++, base += LEAF_SPAN) {
		next = find_locked(mm, base);
		if (next)
			return next;
	}
	for (unsigned i = 0; i < mm->cap_leaves && base < end; i++)
		for (struct leaf *l = mm->leaves[i]; l; l = l->hash_next)
			if (l->base >= base && l->base < end && (!next || l->base < next->base))
				next = l;
	return next;
}

struct leaf *leaf_next(struct mm *mm, uint64_t *va, uint64_t end)
{
	struct leaf *l;

	if (*va >= end)
		return NULL;
	spin_lock(&mm->pt_lock);
	l = next_locked(mm, *va & ~(LEAF_SPAN - 1), end);
	spin_unlock(&mm->pt_lock);
	if (!l)
		*va = end;
	else if (l->base > *va)
		*va = l->base;
	return l;
}

struct page *leaf_get_flagged(struct engine *e, struct leaf *leaf, uint64_t va, uint32_t flag)
{
	struct page *p = NULL;
	pte_t pte;

	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	if (pte_present(pte) && page_test(pfn_page(e, pte_pfn(pte)), flag)) {
		p = pfn_page(e, pte_pfn(pte));
		page_get(p);
	}
	spin_unlock(&leaf->lock);
	return p;
}

/* pt_lock held. On failure the smaller table stays: slower but correct. */
static int grow_locked(struct mm *mm)
{
	unsigned cap = mm->cap_leaves ? mm->cap_leaves * 2 : LEAVES_MIN;
	struct leaf **table;

	lockdep_assert_held(&mm->pt_lock);
	if (mm->nr_leaves < mm->cap_leaves)
		return 0;
	table = plat_alloc(cap * sizeof(*table));
	if (!table)
		return mm->leaves ? 0 : -ENOMEM;
	for (unsigned i = 0; i < mm->cap_leaves; i++) {
		struct leaf *l = mm->leaves[i], *next;

		for (; l; l = next) {
			unsigned h = leaf_hash(l->base, cap);

			next = l->hash_next;
			l->hash_next = table[h];
			table[h] = l;
		}
	}
	plat_free(mm->leaves);
	mm->leaves = table;
	mm->cap_leaves = cap;
	return 0;
}

struct leaf *leaf_get(struct mm *mm, uint64_t va)
{
	uint64_t base = va & ~(LEAF_SPAN - 1);
	struct leaf *l, *fresh = NULL;

	l = leaf_find(mm, va);
	if (l)
		return l;
	fresh = plat_alloc(sizeof(*fresh));
	if (!fresh)
		return NULL;
	spin_init(&fresh->lock, RANK_PTE);
	fresh->base = base;
	spin_lock(&mm->pt_lock);
	l = find_locked(mm, base);
	if (!l && grow_locked(mm) == 0) {
		unsigned h = leaf_hash(base, mm->cap_leaves);

		fresh->hash_next = mm->leaves[h];
		mm->leaves[h] = fresh;
		mm->nr_leaves++;
		a64_acc(&mm->engine->nr_leaves, 1);
		l = fresh;
	}
	spin_unlock(&mm->pt_lock);
	if (l != fresh) {
		spin_fini(&fresh->lock);
		plat_free(fresh);
	}
	return l;
}

static void leaf_free_rcu(struct plat_rcu_head *head)
{
	struct leaf *l = container_of(head, struct leaf, rcu);

	spin_fini(&l->lock);
	plat_free(l);
}

void pgtable_fini(struct mm *mm)
{
	spin_lock(&mm->pt_lock);
	for (unsigned i = 0; i < mm->cap_leaves; i++) {
		struct leaf *l = mm->leaves[i], *next;

		for (; l; l = next) {
			next = l->hash_next;
			for (unsigned k = 0; k < LEAF_ENTRIES; k++)
				VM_BUG_ON(a64_load(&l->pte[k]) != 0);
			a64_acc(&mm->engine->nr_leaves, -1);
			rcu_defer(&l->rcu, leaf_free_rcu);
		}
	}
	plat_free(mm->leaves);
	mm->leaves = NULL;
	mm->nr_leaves = mm->cap_leaves = 0;
	spin_unlock(&mm->pt_lock);
}

/* A range with more leaf slots than there are leaves (a huge reservation): walk the leaves
 * instead. */
static void leaf_for_all(struct mm *mm, uint64_t start, uint64_t end,
			 void (*fn)(struct mm *, struct leaf *, uint64_t, uint64_t, void *),
			 void *arg)
{
	for (unsigned i = 0; i < mm->cap_leaves; i++)
		for (struct leaf *l = mm->leaves[i]; l; l = l->hash_next) {
			uint64_t from = l->base > start ? l->base : start;
			uint64_t to = l->base + LEAF_SPAN < end ? l->base + LEAF_SPAN : end;

			if (from < to)
				fn(mm, l, from, to, arg);
		}
}

/* The caller holds mmap_lock for writing, so no leaf is added. */
void leaf_for_range(struct mm *mm, uint64_t start, uint64_t end,
		    void (*fn)(struct mm *, struct leaf *, uint64_t, uint64_t, void *), void *arg)
{
	uint64_t va = start;

	lockdep_assert_held(&mm->mmap_lock);
	if ((end - start) >> LEAF_SHIFT > mm->nr_leaves) {
		leaf_for_all(mm, start, end, fn, arg);
		return;
	}
	while (va < end) {
		uint64_t stop = (va & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		struct leaf *l = leaf_find(mm, va);

		if (stop > end)
			stop = end;
		if (l)
			fn(mm, l, va, stop, arg);
		va = stop;
	}
}

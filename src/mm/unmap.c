/* mm/unmap.c - zapping and moving page-table ranges.
 *
 * Gather (struct gather), within one leaf, under its lock: clear the entries, flush the range once,
 * then remove the rmaps, then drop the pages. Until the flush a CPU may still store through a
 * cached translation; until the rmap is gone a cleaner finds the page and waits for our leaf lock.
 * So no store is lost and no freed frame is written (seed 4; Linux 5df397dec7c4).
 */
#include "mm/unmap.h"

#include "mm/filemap.h"
#include "mm/migrate.h"
#include "mm/mlock.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/swap.h"
#include "mm/vma.h"

struct gather {
	struct page *pages[LEAF_ENTRIES];
	unsigned nr_pages, nr_file; /* nr_file of them are of files */
	uint32_t entries[LEAF_ENTRIES];
	unsigned nr_entries;
	unsigned nr_migrations; /* these hold no page reference; the migrator maps one fewer */
};

/* Clear the entries of [from, to), or only those of pages of files, and remember what they held. A
 * page's dirty state is recorded before its rmap goes; stores that still arrive until the flush are
 * seen by a cleaner that waits for our lock. Leaf lock held. */
static void gather_entries(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to,
			   bool files_only, struct gather *g)
{
	lockdep_assert_held(&leaf->lock);
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		pte_t pte = pte_read(leaf, va);
		struct page *p = pte_present(pte) ? pfn_page(mm->engine, pte_pfn(pte)) : NULL;

		if (pte_none(pte) || (files_only && (!p || page_is_anon(p))))
			continue;
		pte_set(leaf, va, 0);
		if (p && pte & PTE_DIRTY && !page_is_anon(p))
			filemap_set_dirty(p);
		if (p) {
			g->pages[g->nr_pages++] = p;
			if (mm->host)
				g->nr_file += !page_is_anon(p);
		}
		if (pte_is_swap(pte))
			g->entries[g->nr_entries++] = pte_entry(pte);
		else if (pte_is_migration(pte))
			g->nr_migrations++;
	}
}

static void remove_rmaps(struct gather *g)
{
	for (unsigned i = 0; i < g->nr_pages; i++)
		page_remove_rmap(g->pages[i]);
}

/* @arg: NULL, or a bool: zap only pages of files. */
static void zap_leaf(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg)
{
	struct engine *e = mm->engine;
	struct gather g;

	VM_ASSERT(from < to && to - from <= LEAF_SPAN);
	g.nr_pages = g.nr_file = g.nr_entries = g.nr_migrations = 0;
	spin_lock(&leaf->lock);
	gather_entries(mm, leaf, from, to, arg && *(bool *)arg, &g);
	if (g.nr_pages) {
		if (bug_on(RMAP_REMOVED_BEFORE_FLUSH))
			remove_rmaps(&g);
		e->mmu->ops->flush(e->mmu, mm, from, (to - from) >> PAGE_SHIFT);
		if (!bug_follows(RMAP_REMOVED_BEFORE_FLUSH))
			remove_rmaps(&g);
		for (unsigned i = 0; i < g.nr_pages; i++) {
			sync_step(swapcache_check_stale(e, g.pages[i]));
			page_put(e, g.pages[i]);
		}
	}
	spin_unlock(&leaf->lock);
	a64_acc(&mm->rss, -(int64_t)(g.nr_pages + g.nr_migrations));
	file_count_entries(mm, -(int64_t)g.nr_file);
	for (unsigned i = 0; i < g.nr_entries; i++)
		swap_put(e, g.entries[i]);
	a64_acc(&mm->swapents, -(int64_t)g.nr_entries);
}

void mm_discard_locked(struct mm *mm, uint64_t start, uint64_t end)
{
	lockdep_assert_held(&mm->mmap_lock);
	leaf_for_range(mm, start, end, zap_leaf, NULL);
	waitq_wake(&mm->engine->progress);
}

void mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end)
{
	bool split;

	lockdep_assert_held(&mm->mmap_lock);
	/* Pages that others map stay, and are no longer locked by us. */
	if (a64_load(&mm->locked) > 0)
		mm_unlock_locked(mm, start, end);
	split = vma_split_at(mm, start) == 0 && vma_split_at(mm, end) == 0;
	mm_discard_locked(mm, start, end);
	if (split)
		vma_remove_range(mm, start, end);
}

/* Lock both leaves, the lower address first. */
static void lock_two(struct leaf *a, struct leaf *b)
{
	if (a == b) {
		spin_lock(&a->lock);
		return;
	}
	spin_lock(a->base < b->base ? &a->lock : &b->lock);
	spin_lock(a->base < b->base ? &b->lock : &a->lock);
}

static void unlock_two(struct leaf *a, struct leaf *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

struct move {
	struct mm *mm;
	uint64_t delta; /* to - from, modulo 2^64 */
	int error;
};

/* Move the entries of one source leaf, entry by entry: the target may straddle two leaves. */
static void move_leaf(struct leaf *src, uint64_t from, uint64_t to, struct move *m)
{
	struct mm *mm = m->mm;
	struct engine *e = mm->engine;

	VM_ASSERT(from < to);
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		struct leaf *dst;
		pte_t pte;

		if (pte_none(pte_read(src, va)))
			continue;
		dst = leaf_get(mm, va + m->delta);
		if (!dst) {
			m->error = -ENOMEM;
			zap_leaf(mm, src, va, va + PAGE_SIZE, NULL);
			continue;
		}
		lock_two(src, dst);
		pte = pte_read(src, va);
		pte_set(src, va, 0);
		if (pte_present(pte))
			e->mmu->ops->flush(e->mmu, mm, va, 1);
		pte_set(dst, va + m->delta, pte);
		unlock_two(src, dst);
	}
}

/* Wait for migration entries: if their area moved, the migrator would not find them again. No new
 * ones appear, as migration checks mm->no_reclaim under the leaf lock. */
static void wait_for_migration(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to,
			       void *arg)
{
	VM_ASSERT(from < to);
	(void)arg;
	spin_lock(&leaf->lock);
	spin_unlock(&leaf->lock);
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		pte_t pte;

		while (pte_is_migration(pte = pte_read(leaf, va)))
			migration_entry_wait(mm->engine, pte);
	}
}

int mm_remap_locked(struct mm *mm, uint64_t from, uint64_t to, uint64_t len)
{
	struct move m = { .mm = mm, .delta = to - from };
	bool files_only = true;
	struct leaf *leaf;
	int err = vma_split_at(mm, from);

	lockdep_assert_held(&mm->mmap_lock);
	VM_ASSERT(len > 0);
	if (!err)
		err = vma_split_at(mm, from + len);
	mm_unmap_locked(mm, to, to + len);
	if (!err && vma_index(mm, to) != vma_index(mm, to + len - 1))
		err = -ENOMEM; /* an area that could not be split is in the way */
	if (err) {
		mm_discard_locked(mm, from, from + len);
		return err;
	}
	a32_acc(&mm->no_reclaim, 1);
	leaf_for_range(mm, from, from + len, wait_for_migration, NULL);
	/* Pages of files fault again, so a walk over their entries never misses a moving one. */
	leaf_for_range(mm, from, from + len, zap_leaf, &files_only);
	/* Move the areas first: an rmap walk must find the new place as soon as an entry is
	 * there. */
	vma_move_range(mm, from, from + len, m.delta);
	/* Not leaf_for_range: moving creates leaves, which may rebuild the directory. */
	for (uint64_t va = from, stop; (leaf = leaf_next(mm, &va, from + len)); va = stop) {
		stop = leaf->base + LEAF_SPAN < from + len ? leaf->base + LEAF_SPAN : from + len;
		move_leaf(leaf, va, stop, &m);
	}
	a32_acc(&mm->no_reclaim, -1);
	return m.error;
}

/* mm/migrate_range.c - migration of the pages of an address space: isolated a batch at a time,
 * under mmap_lock and the leaf lock, and moved with nothing locked. */
#include "mm/lru.h"
#include "mm/migrate.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"

/* Isolate up to a batch of pages mapped in [*va, end) and not on @node; *va: where to continue. */
static unsigned isolate_range(struct mm *mm, uint64_t *va, uint64_t end, unsigned node,
			      struct page **pages, unsigned *missed)
{
	unsigned n = 0, found, isolated;
	struct leaf *leaf;

	rw_rdlock(&mm->mmap_lock);
	while (n < MIGRATE_BATCH_MAX && (leaf = leaf_next(mm, va, end))) {
		uint64_t stop = leaf->base + LEAF_SPAN < end ? leaf->base + LEAF_SPAN : end;

		spin_lock(&leaf->lock);
		for (found = 0; *va < stop && n + found < MIGRATE_BATCH_MAX; *va += PAGE_SIZE) {
			pte_t pte = pte_read(leaf, *va);
			struct page *p =
				pte_present(pte) ? pfn_page(mm->engine, pte_pfn(pte)) : NULL;

			if (!p || p->node == node)
				continue;
			page_get(p);
			pages[n + found++] = p;
		}
		isolated = lru_isolate_pages(pages + n, found);
		for (unsigned i = isolated; i < found; i++)
			page_put(mm->engine, pages[n + i]); /* the entry holds another reference */
		*missed += found - isolated;
		n += isolated;
		spin_unlock(&leaf->lock);
	}
	rw_rdunlock(&mm->mmap_lock);
	return n;
}

/* A caller needs @n frames of this particular node. */
static void make_frames_free(struct engine *e, unsigned node, unsigned n)
{
	struct reclaim_result r;
	int64_t room;

	if (!e->mmu->ops->shares || node >= e->nr_nodes)
		return;
	room = frames_room(e, node);
	if (room < (int64_t)n)
		reclaim_node(e, node, (int64_t)n - room, 0, &r);
}

int migrate_range(struct mm *mm, uint64_t start, uint64_t end, unsigned node,
		  enum migrate_reason reason, struct migrate_result *r)
{
	struct page *pages[MIGRATE_BATCH_MAX];
	int ret = 0;

	*r = (struct migrate_result){ 0 };
	for (uint64_t va = start & PAGE_MASK; va < end;) {
		struct migrate_result part;
		unsigned missed = 0, n = isolate_range(mm, &va, end, node, pages, &missed);
		int err;

		if (reason == MIGRATE_SYSCALL)
			make_frames_free(mm->engine, node, n);
		err = migrate_pages(mm->engine, pages, n, node, reason, &part);

		r->migrated += part.migrated;
		r->gone += part.gone;
		r->failed += part.failed + missed;
		if (!err && missed)
			err = -EAGAIN;
		ret = ret == 0 || err == -ENOMEM ? err : ret;
	}
	return ret;
}

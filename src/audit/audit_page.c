/* audit/audit_page.c - frames and the lists they are on. */
#include "audit/recount.h"
#include "base/bitmap.h"
#include "mm/lru.h"
#include "mm/page.h"

static enum lru_list list_of(const struct page *p)
{
	if (page_test(p, PG_unevictable))
		return LRU_UNEVICTABLE;
	return (page_test(p, PG_file) ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON) +
	       (page_test(p, PG_active) ? 1 : 0);
}

static void check_listed(struct audit *a, const struct lruvec *l, enum lru_list list,
			 const struct page *p)
{
	a->frame[p->pfn].listed++;
	if (!page_test(p, PG_lru))
		audit_fail(a, 9, "page %u is on a list, but not marked", p->pfn);
	if (list_of(p) != list)
		audit_fail(a, 9, "page %u is on list %d, its flags say %d", p->pfn, list,
			   list_of(p));
	if (p->node != l->node)
		audit_fail(a, 9, "page %u of node %u is on the lists of node %u", p->pfn, p->node,
			   l->node);
	if (page_cgroup_memcg(&p->pcg) != l->memcg)
		audit_fail(a, 9, "page %u is on the lists of group %u, which does not own it",
			   p->pfn, l->memcg->id);
}

static void check_lruvec(struct audit *a, struct group_count *g, const struct lruvec *l)
{
	static const enum stat_item gauge[NR_LRU_LISTS] = {
		STAT_INACTIVE_ANON, STAT_ACTIVE_ANON, STAT_INACTIVE_FILE,
		STAT_ACTIVE_FILE,   STAT_UNEVICTABLE,
	};

	for (int i = 0; i < NR_LRU_LISTS; i++) {
		int64_t n = 0;

		list_for_each(p, &l->lists[i], struct page, lru) {
			check_listed(a, l, i, p);
			n++;
		}
		audit_equal(a, 9, "the size of a list", lruvec_size(l, i), n);
		g->gauge[gauge[i]] += n;
	}
}

void audit_lists(struct audit *a)
{
	rcu_rd_lock();
	for (unsigned i = 0; i < a->nr_groups; i++)
		for (unsigned node = 0; node < a->e->nr_nodes; node++)
			check_lruvec(a, &a->group[i], memcg_lruvec(a->group[i].memcg, node));
	rcu_rd_unlock();
}

static void check_free_frame(struct audit *a, const struct page *p)
{
	const struct frame_count *f = &a->frame[p->pfn];

	if (f->ptes || f->slots || f->files || f->listed)
		audit_fail(a, 13,
			   "page %u is free, but has %u entries, %u slots, %u files, %u lists",
			   p->pfn, f->ptes, f->slots, f->files, f->listed);
	if (a64_load(&p->pcg))
		audit_fail(a, 7, "page %u is free, but charged", p->pfn);
	if (a32_load(&p->flags) || a32_load(&p->mapcount) || a32_load(&p->entry) ||
	    aptr_load(&p->mapping))
		audit_fail(a, 32, "page %u is free, but not blank (flags %x)", p->pfn,
			   a32_load(&p->flags));
}

/* Charge and statistics of a page in use. */
static void count_page(struct audit *a, const struct page *p)
{
	struct mem_cgroup *memcg = page_cgroup_memcg(&p->pcg);
	struct group_count *g = memcg ? audit_group(a, memcg) : NULL;

	if (!g) {
		audit_fail(a, 7,
			   "page %u is in use, but no group that can be found is charged for it",
			   p->pfn);
		return;
	}
	if (!page_cgroup_used(&p->pcg))
		audit_fail(a, 7, "page %u names an owner, but not a charge", p->pfn);
	if (a64_load(&p->pcg) & PCG_MIGRATION)
		audit_fail(a, 8, "page %u kept MIGRATION", p->pfn);
	g->pages++;
	g->gauge[STAT_SWAPCACHED] += page_test(p, PG_swapcache);
	if (page_is_anon(p)) {
		g->gauge[STAT_ANON] += page_mapped(p);
		g->gauge[STAT_WRITEBACK] += page_test(p, PG_writeback);
		return;
	}
	g->gauge[STAT_FILE]++;
	g->gauge[STAT_SHMEM] += !page_test(p, PG_file);
	g->gauge[STAT_FILE_MAPPED] += page_mapped(p);
	g->gauge[STAT_FILE_DIRTY] += page_test(p, PG_file) && page_test(p, PG_dirty);
	g->gauge[STAT_FILE_WRITEBACK] += page_test(p, PG_writeback);
}

static void check_used_frame(struct audit *a, const struct page *p)
{
	const struct frame_count *f = &a->frame[p->pfn];
	bool writeback = page_test(p, PG_writeback), cached = page_test(p, PG_swapcache);

	if (a32_load(&p->mapcount) != f->ptes)
		audit_fail(a, 17, "page %u: mapcount %u, %u present entries", p->pfn,
			   a32_load(&p->mapcount), f->ptes);
	if (a32_load(&p->refcount) != f->ptes + f->slots + f->files + writeback)
		audit_fail(a, 13,
			   "page %u: refcount %u, but %u entries, %u slots, %u files, writeback %d",
			   p->pfn, a32_load(&p->refcount), f->ptes, f->slots, f->files, writeback);
	if (f->files != !page_is_anon(p))
		audit_fail(a, 12, "page %u: %u files have it, its mapping says %d", p->pfn,
			   f->files, !page_is_anon(p));
	if (f->slots != cached || (page_entry(p) != 0) != cached)
		audit_fail(a, 12, "page %u: %u slots name it, entry %u, marked %d", p->pfn,
			   f->slots, page_entry(p), cached);
	if (f->listed != page_test(p, PG_lru) || !f->listed)
		audit_fail(a, 9, "page %u is on %u lists, marked %d", p->pfn, f->listed,
			   page_test(p, PG_lru));
	if (page_locked(p) || page_test(p, PG_waiters) || !page_test(p, PG_uptodate | PG_error))
		audit_fail(a, 32, "page %u is in use and idle, but its flags are %x", p->pfn,
			   a32_load(&p->flags));
	count_page(a, p);
}

/* Check one of the two lists of a node. */
static int64_t check_unused(struct audit *a, unsigned nid, bool online)
{
	const struct frame_node *node = &a->e->node[nid];
	int64_t n = 0;

	list_for_each(p, online ? &node->free : &node->offline, struct page, lru) {
		n++;
		if (p->node != nid)
			audit_fail(a, 32, "page %u of node %u is free on node %u", p->pfn, p->node,
				   nid);
		if ((p->pfn < node->end) != online)
			audit_fail(a, 34, "page %u is %s, and node %u ends at %u", p->pfn,
				   online ? "free" : "offline", nid, node->end);
		if (a32_load(&p->refcount))
			audit_fail(a, 34, "page %u is in use, and on a list of those that are not",
				   p->pfn);
		if (!bitmap_test(a->e->unused, p->pfn))
			audit_fail(a, 34, "page %u is on a list of unused ones, and not marked",
				   p->pfn);
	}
	audit_equal(a, 32, online ? "the free frames of a node" : "the offline frames of a node",
		    online ? node->nr_free : node->nr_offline, n);
	return n;
}

/* Returns how many frames of the node are unused. */
static int64_t check_node(struct audit *a, unsigned nid)
{
	const struct frame_node *node = &a->e->node[nid];
	int64_t frames = 0, above = 0;

	for (uint32_t pfn = 0; pfn < a->nr_frames; pfn++) {
		const struct page *p = pfn_page(a->e, pfn);

		if (p->node != nid)
			continue;
		frames++;
		above += pfn >= node->end;
		if (pfn >= node->end && a32_load(&p->refcount) && !node->resizing)
			audit_fail(a, 34, "page %u is in use, and node %u ends at %u", pfn, nid,
				   node->end);
		if (a32_load(&p->refcount) && bitmap_test(a->e->unused, pfn))
			audit_fail(a, 34, "page %u is in use, and marked unused", pfn);
	}
	audit_equal(a, 34, "the frames of a node", node->nr_frames, frames);
	audit_equal(a, 34, "those above its end", node->nr_above, above);
	if (frames - above > node->max)
		audit_fail(a, 34, "node %u has %lld frames, and may have %lld", nid,
			   (long long)(frames - above), (long long)node->max);
	return check_unused(a, nid, true) + check_unused(a, nid, false);
}

void audit_frames(struct audit *a)
{
	int64_t free = 0, listed = 0;

	rcu_rd_lock();
	for (uint32_t pfn = 0; pfn < a->nr_frames; pfn++) {
		const struct page *p = pfn_page(a->e, pfn);

		if (p->node >= a->e->nr_nodes)
			audit_fail(a, 32, "page %u is of node %u", pfn, p->node);
		if (a32_load(&p->refcount) == 0) {
			free++;
			check_free_frame(a, p);
		} else {
			check_used_frame(a, p);
		}
	}
	rcu_rd_unlock();
	for (unsigned node = 0; node < NODES_MAX; node++)
		listed += check_node(a, node);
	audit_equal(a, 32, "free frames", a64_load(&a->e->nr_free), free);
	audit_equal(a, 32, "the lists of free frames", listed, free);
}

/* mm/node.c - memory nodes: see node.h. The lists and their lock are page.c's. */
#include "mm/node.h"

#include "mm/lru.h"
#include "mm/migrate.h"
#include "mm/mlock.h"
#include "mm/page.h"
#include "mm/reclaim.h"

#define MARGIN_MIN       4
#define MARGIN_MAX       512
#define RETRY_NS         (200 * 1000) /* before retrying busy frames; doubled each time, */
#define RETRY_DOUBLE_MAX 6            /* at most this often */

/* ---- which is near ---- */

static unsigned distance(const struct engine *e, unsigned from, unsigned to)
{
	if (e->distance[from][to])
		return e->distance[from][to];
	return from == to ? 10 : 20;
}

/* Nearest first; ties in cyclic order from @from. */
static void fill_order(struct engine *e, unsigned from)
{
	uint8_t *order = e->node[from].order;

	for (unsigned i = 0; i < e->nr_nodes; i++) {
		unsigned node = (from + i) % e->nr_nodes, k = i;

		for (; k > 1 && distance(e, from, order[k - 1]) > distance(e, from, node); k--)
			order[k] = order[k - 1];
		order[k] = (uint8_t)node;
	}
}

static bool is_demoted_to(const struct engine *e, unsigned node)
{
	for (unsigned i = 0; i < e->nr_nodes; i++)
		if (e->demotion[i] == node + 1)
			return true;
	return false;
}

void nodes_init(struct engine *e)
{
	for (unsigned node = 0; node < e->nr_nodes; node++) {
		unsigned steps = 0;

		for (unsigned n = node; e->demotion[n]; n = e->demotion[n] - 1u)
			VM_BUG_ON(e->demotion[n] > e->nr_nodes || ++steps == e->nr_nodes);
		e->node[node].demote_to = (int)e->demotion[node] - 1;
		fill_order(e, node);
		if (!is_demoted_to(e, node))
			e->cpu_node[e->nr_cpu_nodes++] = (uint8_t)node;
	}
}

/* ---- how much is free ---- */

int64_t node_margin(int64_t max)
{
	int64_t m = max / 64;

	VM_ASSERT(max >= 0);
	if (m < MARGIN_MIN)
		m = MARGIN_MIN;
	return m > MARGIN_MAX ? MARGIN_MAX : m;
}

int demotion_target(struct engine *e, unsigned node)
{
	int to = e->node[node].demote_to;

	VM_ASSERT(node < e->nr_nodes);
	return to >= 0 && e->mmu->ops->shares && frames_room(e, (unsigned)to) > 0 ? to : -1;
}

bool nodes_full(struct engine *e)
{
	for (unsigned node = 0; node < e->nr_nodes; node++)
		if (frames_room(e, node) > 0)
			return false;
	return true;
}

/* ---- resizing ---- */

struct resize {
	struct engine *e;
	unsigned node;
	struct node_resize_result *r;
};

static void give_back(struct engine *e, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		lru_add(pages[i]);
		mlock_recheck(e, pages[i]);
		page_put(e, pages[i]);
	}
}

/* The nearest node with room for some of @n pages; *@fit: how many of them. -1: no node has
 * room. */
static int nearest_room(const struct resize *z, unsigned n, unsigned *fit)
{
	const uint8_t *order = z->e->node[z->node].order;

	for (unsigned i = 0; i < z->e->nr_nodes && z->e->mmu->ops->shares; i++) {
		int64_t room = frames_room(z->e, order[i]);

		if (room <= 0)
			continue;
		*fit = room < (int64_t)n ? (unsigned)room : n;
		return order[i];
	}
	return -1;
}

/* Move isolated pages to other nodes; reclaim those that find no room. */
static void empty_batch(struct resize *z, struct page **pages, unsigned n)
{
	struct reclaim_result rr = { 0 };

	while (n > 0) {
		struct migrate_result mr;
		unsigned fit = 0;
		int to = nearest_room(z, n, &fit);

		if (to < 0)
			break;
		n -= fit;
		migrate_isolated(z->e, pages + n, fit, (unsigned)to, MIGRATE_COMPACTION, &mr);
		*(to == (int)z->node ? &z->r->compacted : &z->r->demoted) += mr.migrated;
		give_back(z->e, pages + n, mr.failed);
	}
	shrink_pages(z->e, pages, n, RECLAIM_USED, &rr);
	z->r->reclaimed += rr.reclaimed;
}

/* One pass over every used frame above the end. */
static void empty_once(struct resize *z)
{
	struct page *pages[MIGRATE_BATCH_MAX];
	uint32_t pfn = 0;
	unsigned got;

	while ((got = frames_leaving(z->e, z->node, &pfn, pages, MIGRATE_BATCH_MAX)) > 0) {
		unsigned n = 0;

		for (unsigned i = 0; i < got; i++) {
			if (!page_try_get(pages[i]))
				continue; /* being freed, or allocated just before the end was
					     lowered */
			if (lru_isolate_page(pages[i]))
				pages[n++] = pages[i];
			else
				page_put(z->e, pages[i]);
		}
		empty_batch(z, pages, n);
	}
}

/* Retry until no frame is in use or @tries are used up. Returns how many are left. */
static int64_t empty(struct resize *z, unsigned tries)
{
	int64_t upto;

	for (unsigned i = 0; i < tries && frames_above(z->e, z->node, &upto) > 0; i++) {
		if (i > 0)
			plat_sleep_ns((uint64_t)RETRY_NS
				      << (i < RETRY_DOUBLE_MAX ? i : RETRY_DOUBLE_MAX));
		empty_once(z);
	}
	return frames_above(z->e, z->node, &upto);
}

static void move_end(struct resize *z, int64_t nr)
{
	while (frames_step_end(z->e, z->node, nr))
		;
}

/* Move the end back to just behind the last used frame. Returns how many are still in use: the last
 * one may have been freed since the previous check. */
static int64_t settle(struct resize *z)
{
	struct frame_node *node = &z->e->node[z->node];
	int64_t upto, nr, used = frames_above(z->e, z->node, &upto);

	spin_lock(&z->e->frames_lock);
	nr = node->max = node->nr_frames - node->nr_above + upto;
	spin_unlock(&z->e->frames_lock);
	move_end(z, nr);
	return used;
}

int node_resize(struct engine *e, unsigned nid, int64_t nr, unsigned tries,
		struct node_resize_result *r)
{
	struct resize z = { .e = e, .node = nid, .r = r };
	int64_t max = (int64_t)e->max_chunks * FRAME_CHUNK, before, now;
	struct frame_node *node = &e->node[nid];
	bool busy;

	*r = (struct node_resize_result){ 0 };
	if (nid >= e->nr_nodes)
		return -EINVAL;
	spin_lock(&e->frames_lock);
	busy = node->resizing;
	if (!busy) {
		node->resizing = true;
		node->max = nr < 0 ? 0 : nr < max ? nr : max;
	}
	before = node->nr_frames - node->nr_above;
	nr = node->max;
	spin_unlock(&e->frames_lock);
	if (busy)
		return -EALREADY;
	move_end(&z, nr);
	if (nr < before)
		r->busy = empty(&z, tries);
	if (bug_follows(NODE_CHECKED_BEFORE_ISOLATED))
		frames_take_late(e, nid); /* what was unused when it was checked */
	if (r->busy)
		r->busy = settle(&z);
	spin_lock(&e->frames_lock);
	node->resizing = false;
	now = node->nr_frames - node->nr_above;
	r->frames = node->max;
	spin_unlock(&e->frames_lock);
	r->taken = now < before ? before - now : 0;
	r->given = now > before ? now - before : 0;
	return r->busy ? -EBUSY : 0;
}

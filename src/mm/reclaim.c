/* mm/reclaim.c - which groups and lists to take pages from.
 *
 * A full group reclaims from the groups below it, on all nodes. A full node reclaims from all
 * groups, on that node; there, demoting a page to a slower node makes room as well, so demotion
 * comes first. Demotion does not help a group: the page stays charged.
 *
 * A pass walks the subtree once; each group contributes in proportion to its size, less what min
 * and low protect. The first pass respects low. Only if it finds nothing does a second pass go
 * below low (and count a low event).
 */
#include "mm/reclaim.h"

#include "memcg/protect.h"
#include "mm/lru.h"
#include "mm/node.h"
#include "mm/page.h"
#include "mm/swap.h"
#include "mm/zswap.h"

#define ISOLATE_MAX MMU_BATCH_MAX
#define BUSY_MAX                                                                                   \
	(4 * ISOLATE_MAX) /* per list; then leave it for now: busy pages went to its head */
#define CACHED_SHARE 64   /* of the lists: fewer are not worth a search */
#define SWAPPINESS   60   /* of 200: weight of the anon lists; the rest is the file lists' */
#define ALL_NODES    NODES_MAX
#define FRAMES_MIN   32 /* to free at once when an allocation finds no frame */

/* The sum of what the children of @parent claim by min (or low). Inside RCU. */
static int64_t children_claims(struct mem_cgroup *parent, bool low)
{
	int64_t sum = 0;

	for (struct mem_cgroup *c = aptr_load(&parent->first_child); c;
	     c = aptr_load(&c->next_sibling))
		sum += protect_claim(page_counter_read(&c->memory),
				     a64_load(low ? &c->low : &c->min));
	return sum;
}

/* Effective protection of @memcg in a reclaim that started at @top. Inside RCU. */
static int64_t group_protection(struct mem_cgroup *top, struct mem_cgroup *memcg, bool low)
{
	int64_t setting = a64_load(low ? &memcg->low : &memcg->min);
	struct mem_cgroup *parent = memcg->parent;
	int64_t above;

	if (memcg == top || !parent)
		return 0;
	if (parent == top)
		return protect_claim(page_counter_read(&memcg->memory), setting);
	above = group_protection(top, parent, low);
	return effective_protection(page_counter_read(&memcg->memory),
				    page_counter_read(&parent->memory), setting, above,
				    children_claims(parent, low));
}

/* One reclaim run: free pages below @top on @node, or on all nodes (ALL_NODES). */
struct reclaim {
	struct engine *e;
	struct mem_cgroup *top;
	unsigned node, flags;
	struct reclaim_result *r;
};

static bool has_node(const struct reclaim *c, unsigned node)
{
	return c->node == ALL_NODES || c->node == node;
}

static int64_t freed(const struct reclaim *c)
{
	return c->r->reclaimed + c->r->demoted;
}

/* Pages on a kind's two lists; @inactive names the kind. */
static int64_t kind_size(const struct lruvec *l, enum lru_list inactive)
{
	return lruvec_size(l, inactive) + lruvec_size(l, inactive + 1);
}

static int64_t lruvec_evictable(const struct lruvec *l)
{
	return kind_size(l, LRU_INACTIVE_ANON) + kind_size(l, LRU_INACTIVE_FILE);
}

static int64_t group_size(const struct reclaim *c, struct mem_cgroup *memcg)
{
	int64_t size = 0;

	for (enum lru_list i = LRU_INACTIVE_ANON; i <= LRU_ACTIVE_FILE; i++)
		size += c->node == ALL_NODES ? group_list_size(memcg, i)
					     : lruvec_size(memcg_lruvec(memcg, c->node), i);
	return size;
}

int64_t reclaim_split(int64_t n, int64_t anon, int64_t file, bool can_swap)
{
	int64_t weight = anon * SWAPPINESS, sum = weight + file * (200 - SWAPPINESS);

	if (!can_swap || sum == 0)
		return 0;
	return file == 0 ? n : n * weight / sum;
}

/* How many pages of @memcg this pass may scan. Inside RCU. */
static int64_t scan_target(const struct reclaim *c, struct mem_cgroup *memcg)
{
	int64_t size = group_size(c, memcg), usage = page_counter_read(&memcg->memory);
	int64_t prot = group_protection(c->top, memcg, false);

	if (protect_covers(usage, prot))
		return 0;
	if (!(c->flags & RECLAIM_LOW)) {
		int64_t low = group_protection(c->top, memcg, true);

		if (protect_covers(usage, low))
			return 0;
		if (low > prot)
			prot = low;
	}
	return protect_scan_target(size, usage, prot);
}

/* Freed pages go to the group's stock, from which its own charges are served. But there they are of
 * no use to another group's charge, hide how far protection reaches, and may keep memory+swap above
 * its limit where the slots were charged first. */
static bool over_memsw(const struct mem_cgroup *memcg)
{
	for (const struct page_counter *c = &memcg->memsw; c; c = c->parent)
		if (page_counter_read(c) > a64_load(&c->max))
			return true;
	return false;
}

static void count_swap_full(struct mem_cgroup *memcg, unsigned flags)
{
	if (flags & RECLAIM_KSWAPD)
		return;
	if (page_counter_margin(&memcg->swap) == 0)
		event_add(memcg, EVENT_SWAP_MAX, 1);
	event_add(memcg, EVENT_SWAP_FAIL, 1);
}

/* Freed pages go to the stock of the group they were charged to. */
static void shrink_batch(struct reclaim *c, struct mem_cgroup *memcg, struct page **pages,
			 unsigned n)
{
	shrink_pages(c->e, pages, n, c->flags, c->r);
	if (n && (memcg != c->top || over_memsw(memcg)))
		stock_drain(memcg);
}

/* No slot is available: only pages that already have one can go out, so scan nothing else (Linux:
 * no scan of anonymous pages when get_nr_swap_pages() is 0). Background reclaim leaves a few for
 * callers that would fail without them. */
static void shrink_cached(struct reclaim *c, struct lruvec *l, int64_t done)
{
	static const enum lru_list order[] = { LRU_INACTIVE_ANON, LRU_ACTIVE_ANON };

	for (unsigned i = 0; i < 2; i++) {
		int64_t left = lruvec_size(l, order[i]);

		while (left > 0 && freed(c) < done) {
			int64_t cached = stat_read_local(l->memcg, STAT_SWAPCACHED);
			struct page *pages[ISOLATE_MAX];
			unsigned got, looked;

			if (cached <= 0 || (c->flags & RECLAIM_KSWAPD &&
					    cached < group_size(c, l->memcg) / CACHED_SHARE))
				return;
			got = lru_isolate_cached(l, order[i], pages, ISOLATE_MAX, &looked);
			if (looked == 0)
				break;
			left -= looked;
			c->r->scanned += got;
			shrink_batch(c, l->memcg, pages, got);
		}
	}
}

/* How many of @batch pages of @l have somewhere to go. */
static unsigned destinations(const struct reclaim *c, const struct lruvec *l,
			     enum lru_list inactive, unsigned batch)
{
	if (inactive != LRU_INACTIVE_ANON ||
	    (c->flags & RECLAIM_DEMOTE && demotion_target(c->e, l->node) >= 0))
		return batch;
	return swap_available(c->e, l->memcg, batch);
}

/* Free up to @n pages of one kind of a group's lists, in batches of at least @batch_min: a cheap
 * batch may free a little more than @n, but not more than is unprotected. */
static void shrink_kind(struct reclaim *c, struct lruvec *l, enum lru_list inactive, int64_t n,
			unsigned batch_min)
{
	int64_t scan_max = kind_size(l, inactive);
	int64_t done = freed(c) + n, scanned = 0, busy = c->r->busy;

	while (freed(c) < done && scanned < scan_max && c->r->busy - busy < 2 * BUSY_MAX) {
		/* The inactive list may hold only unreclaimable pages, and the active list all the
		 * others. */
		enum lru_list from = c->r->busy - busy < BUSY_MAX ? inactive : inactive + 1;
		struct page *pages[ISOLATE_MAX];
		int64_t want = done - freed(c);
		unsigned got, looked, batch = want > ISOLATE_MAX ? ISOLATE_MAX : (unsigned)want;

		if (batch < batch_min)
			batch = batch_min;
		batch = destinations(c, l, inactive, batch);
		if (batch == 0) {
			count_swap_full(l->memcg, c->flags);
			shrink_cached(c, l, done);
			break;
		}
		if (lruvec_size(l, inactive) < lruvec_size(l, inactive + 1))
			lru_deactivate(l, inactive + 1, batch);
		got = lru_isolate(l, from, pages, batch, &looked);
		if (got == 0)
			break;
		scanned += looked;
		c->r->scanned += looked;
		shrink_batch(c, l->memcg, pages, got);
	}
}

/* Free up to @n pages of one group's lists: from each kind its share, then any shortfall from the
 * other. */
static void shrink_lruvec(struct reclaim *c, struct lruvec *l, int64_t n, unsigned batch_min)
{
	bool demotes = c->flags & RECLAIM_DEMOTE && demotion_target(c->e, l->node) >= 0;
	bool may_anon = demotes || (c->e->swap && !(c->flags & RECLAIM_NOSWAP));
	int64_t done = freed(c) + n, file = kind_size(l, LRU_INACTIVE_FILE), anon;

	/* Full swap matters only when the file lists do not yield enough. */
	anon = reclaim_split(n, kind_size(l, LRU_INACTIVE_ANON), file,
			     may_anon &&
				     (file == 0 || destinations(c, l, LRU_INACTIVE_ANON, 1) > 0));
	if (n > anon)
		shrink_kind(c, l, LRU_INACTIVE_FILE, n - anon, batch_min);
	if (may_anon && freed(c) < done)
		shrink_kind(c, l, LRU_INACTIVE_ANON, done - freed(c), batch_min);
	if (anon > 0 && freed(c) < done)
		shrink_kind(c, l, LRU_INACTIVE_FILE, done - freed(c), batch_min);
}

/* Each node contributes in proportion to its size. */
static void shrink_group(struct reclaim *c, struct mem_cgroup *memcg, int64_t n, unsigned batch_min)
{
	int64_t size = group_size(c, memcg);

	for (unsigned node = 0; node < c->e->nr_nodes && size > 0; node++) {
		struct lruvec *l = memcg_lruvec(memcg, node);
		int64_t share = has_node(c, node) ? (n * lruvec_evictable(l) + size - 1) / size : 0;

		if (share > 0)
			shrink_lruvec(c, l, share, batch_min);
	}
}

static void count_reclaim(struct mem_cgroup *memcg, unsigned flags, int64_t scanned,
			  int64_t reclaimed)
{
	bool bg = flags & RECLAIM_KSWAPD;

	if (scanned == 0) /* so is reclaimed */
		return;
	stat_add(memcg, STAT_PGSCAN, scanned);
	stat_add(memcg, bg ? STAT_PGSCAN_KSWAPD : STAT_PGSCAN_DIRECT, scanned);
	stat_add(memcg, STAT_PGSTEAL, reclaimed);
	stat_add(memcg, bg ? STAT_PGSTEAL_KSWAPD : STAT_PGSTEAL_DIRECT, reclaimed);
}

/* The next live group of the walk, referenced; drops @prev. */
static struct mem_cgroup *walk(struct mem_cgroup *top, struct mem_cgroup *prev)
{
	struct mem_cgroup *next;

	rcu_rd_lock();
	next = prev;
	do
		next = memcg_next(top, next);
	while (next && !memcg_tryget(next));
	rcu_rd_unlock();
	if (prev)
		memcg_put(prev);
	return next;
}

static int64_t subtree_size(const struct reclaim *c)
{
	int64_t sum = 0;

	rcu_rd_lock();
	for (struct mem_cgroup *m = memcg_next(c->top, NULL); m; m = memcg_next(c->top, m))
		sum += group_size(c, m);
	rcu_rd_unlock();
	return sum;
}

static void reclaim_pass(struct reclaim *c, int64_t n)
{
	int64_t total = subtree_size(c);
	struct mem_cgroup *m = NULL;

	while (total > 0 && (m = walk(c->top, m))) {
		struct reclaim_result before = *c->r;
		int64_t target, share;

		rcu_rd_lock();
		target = scan_target(c, m);
		rcu_rd_unlock();
		share = (n * target + total - 1) / total;
		if (share <= 0)
			continue;
		shrink_group(c, m, share, target > 32 ? 32 : (unsigned)target);
		if (c->flags & RECLAIM_LOW && a64_load(&m->low) > 0 &&
		    c->r->scanned > before.scanned)
			event_add(m, EVENT_LOW, 1);
		count_reclaim(m, c->flags, c->r->scanned - before.scanned,
			      c->r->reclaimed - before.reclaimed);
	}
}

void reclaim_got_on(struct mem_cgroup *memcg)
{
	if (a64_load(&memcg_lists(memcg)->stuck_since))
		a64_store(&memcg_lists(memcg)->stuck_since, 0);
}

static void reclaim(struct reclaim *c, int64_t n)
{
	*c->r = (struct reclaim_result){ 0 };
	a32_acc(&c->e->reclaimers, 1);
	reclaim_pass(c, n);
	if (c->r->scanned == 0) {
		c->flags |= RECLAIM_LOW;
		reclaim_pass(c, n);
	}
	a32_acc(&c->e->reclaimers, -1);
	/* What is left of the group may be its compressed pages. */
	if (!freed(c) && !(c->flags & RECLAIM_NOSWAP))
		c->r->reclaimed += zswap_writeback(c->e, c->top, n);
	if (!freed(c) && !(c->flags & RECLAIM_NOSWAP) && swap_disk_may_recover(c->e))
		c->r->busy++;
	for (struct mem_cgroup *g = c->top; g && c->r->reclaimed && !bug_on(OOM_BESIDE_PROGRESS);
	     g = g->parent)
		reclaim_got_on(g);
	if (freed(c))
		waitq_wake(&c->e->progress);
}

void reclaim_group(struct engine *e, struct mem_cgroup *memcg, int64_t n, unsigned flags,
		   struct reclaim_result *r)
{
	struct reclaim c = { .e = e, .top = memcg, .node = ALL_NODES, .flags = flags, .r = r };

	VM_ASSERT(n > 0);
	reclaim(&c, n);
}

void reclaim_node(struct engine *e, unsigned node, int64_t n, unsigned flags,
		  struct reclaim_result *r)
{
	struct reclaim c = {
		.e = e, .top = e->tree.root, .node = node, .flags = flags | RECLAIM_DEMOTE, .r = r
	};

	VM_ASSERT(n > 0 && node < e->nr_nodes);
	reclaim(&c, n);
}

bool reclaim_frames(struct engine *e)
{
	const uint8_t *order = e->node[e->cpu_node[plat_cpu() % e->nr_cpu_nodes]].order;

	if (!nodes_full(e))
		return true;
	for (unsigned i = 0; i < e->nr_nodes; i++) {
		struct reclaim_result r;

		reclaim_node(e, order[i], FRAMES_MIN, 0, &r);
		if (!nodes_full(e))
			return true;
	}
	return false;
}

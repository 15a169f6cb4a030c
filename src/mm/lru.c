/* mm/lru.c - LRU lists of a group.
 *
 * Finding a page's lruvec: read the owner under RCU, lock its lruvec, recheck the owner. If it
 * changed, the group was removed or the page moved: unlock, retry. Removal moves the pages and
 * switches the owner while it holds both locks. Otherwise a page changes its owner only off the
 * lists and under the old owner's lock (lru_transfer_pages). So after the recheck the locked lruvec
 * is the right one until it is unlocked.
 */
#include "mm/lru.h"

#include "mm/page.h"

#define LOOK_MAX 512 /* pages per hold of the lock */

static void lists_free(struct mem_cgroup *memcg)
{
	struct group_lists *g = memcg->mm_private;

	if (!g)
		return;
	for (unsigned node = 0; node < g->nr_nodes; node++) {
		for (int i = 0; i < NR_LRU_LISTS; i++)
			VM_BUG_ON(!list_empty(&g->node[node].lists[i]));
		spin_fini(&g->node[node].lock);
	}
	plat_free(g);
	memcg->mm_private = NULL;
}

int lruvec_create(struct mem_cgroup *memcg)
{
	unsigned nr_nodes = container_of(memcg->tree, struct engine, tree)->nr_nodes;
	struct group_lists *g = plat_alloc(sizeof(*g) + nr_nodes * sizeof(g->node[0]));

	if (!g)
		return -ENOMEM;
	g->nr_nodes = nr_nodes;
	for (unsigned node = 0; node < nr_nodes; node++) {
		struct lruvec *l = &g->node[node];

		spin_init(&l->lock, RANK_LRUVEC);
		for (int i = 0; i < NR_LRU_LISTS; i++)
			list_init(&l->lists[i]);
		l->memcg = memcg;
		l->node = node;
	}
	memcg->mm_private = g;
	memcg->mm_free = lists_free;
	return 0;
}

int64_t group_list_size(const struct mem_cgroup *memcg, enum lru_list list)
{
	const struct group_lists *g = memcg_lists(memcg);
	int64_t sum = 0;

	VM_ASSERT(list < NR_LRU_LISTS);
	for (unsigned node = 0; node < g->nr_nodes; node++)
		sum += lruvec_size(&g->node[node], list);
	return sum;
}

/* Lock the lruvec of @p's owner; NULL if it is not charged. RCU stays held until lruvec_unlock. */
static struct lruvec *lruvec_lock_page(const struct page *p)
{
	rcu_rd_lock();
	for (;;) {
		struct mem_cgroup *memcg = page_cgroup_memcg(&p->pcg);
		struct lruvec *l;

		if (!memcg) {
			rcu_rd_unlock();
			return NULL;
		}
		l = memcg_lruvec(memcg, p->node);
		spin_lock(&l->lock);
		if (bug_on(REPARENT_AGAINST_ISOLATION) ||
		    recheck(page_cgroup_memcg(&p->pcg) == memcg))
			return l;
		spin_unlock(&l->lock);
	}
}

static void lruvec_unlock(struct lruvec *l)
{
	lockdep_assert_held(&l->lock);
	spin_unlock(&l->lock);
	rcu_rd_unlock();
}

static enum stat_item list_stat(enum lru_list list)
{
	VM_ASSERT(list < NR_LRU_LISTS);
	static const enum stat_item item[NR_LRU_LISTS] = {
		STAT_INACTIVE_ANON, STAT_ACTIVE_ANON, STAT_INACTIVE_FILE,
		STAT_ACTIVE_FILE,   STAT_UNEVICTABLE,
	};
	return item[list];
}

static enum lru_list page_list(const struct page *p)
{
	if (page_test(p, PG_unevictable))
		return LRU_UNEVICTABLE;
	return (page_test(p, PG_file) ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON) +
	       (page_test(p, PG_active) ? 1 : 0);
}

/* lruvec locked. */
static void list_account(struct lruvec *l, enum lru_list list, int64_t d)
{
	lockdep_assert_held(&l->lock);
	a64_acc(&l->nr[list], d);
	stat_add(l->memcg, list_stat(list), d);
}

static void unlink_locked(struct lruvec *l, struct page *p)
{
	VM_BUG_ON(!page_test(p, PG_lru));
	lockdep_assert_held(&l->lock);
	list_del(&p->lru);
	list_account(l, page_list(p), -1);
	page_clear(p, PG_lru);
}

/* A run of pages is processed under one hold of the lock and accounted once: @d has the change in
 * size of each list. */
static void lruvec_unlock_run(struct lruvec *l, int64_t *d)
{
	for (int i = 0; i < NR_LRU_LISTS; i++)
		if (d[i]) {
			list_account(l, i, d[i]);
			d[i] = 0;
		}
	lruvec_unlock(l);
}

/* As lruvec_lock_page; @l (may be NULL) is the lruvec locked for the previous page. It is kept if
 * it belongs to this page's owner, too, which is checked under the lock. */
static struct lruvec *lruvec_lock_next(struct lruvec *l, const struct page *p, int64_t *d)
{
	if (l && p->node == l->node && page_cgroup_memcg(&p->pcg) == l->memcg)
		return l;
	if (l)
		lruvec_unlock_run(l, d);
	return lruvec_lock_page(p);
}

void lru_add_many(struct page **pages, unsigned n)
{
	int64_t d[NR_LRU_LISTS] = { 0 };
	struct lruvec *l = NULL;

	for (unsigned i = 0; i < n; i++) {
		struct page *p = pages[i];

		if (bug_on(PUBLISH_BEFORE_LINK))
			page_set(p, PG_lru); /* another thread may now remove it from a list it is
						not on */
		l = lruvec_lock_next(l, p, d);
		if (!l)
			continue;
		VM_BUG_ON(!bug_follows(PUBLISH_BEFORE_LINK) && page_test(p, PG_lru));
		VM_BUG_ON(!list_empty(&p->lru)); /* already linked */
		list_add(&p->lru, &l->lists[page_list(p)]);
		d[page_list(p)]++;
		if (!bug_follows(PUBLISH_BEFORE_LINK))
			page_set(p, PG_lru);
	}
	if (l)
		lruvec_unlock_run(l, d);
}

void lru_del(struct page *p)
{
	struct lruvec *l;

	if (!page_test(p, PG_lru))
		return;
	l = lruvec_lock_page(p);
	VM_BUG_ON(!l);
	if (recheck(page_test(p, PG_lru)))
		unlink_locked(l, p);
	lruvec_unlock(l);
}

/* Move @pages[i] to the end of the done pages, which come first. */
static void to_front(struct page **pages, unsigned i, unsigned *done)
{
	struct page *p = pages[i];

	VM_ASSERT(*done <= i);
	pages[i] = pages[*done];
	pages[(*done)++] = p;
}

unsigned lru_isolate_pages(struct page **pages, unsigned n)
{
	int64_t d[NR_LRU_LISTS] = { 0 };
	struct lruvec *l = NULL;
	unsigned won = 0;

	for (unsigned i = 0; i < n; i++) {
		struct page *p = pages[i];

		if (!page_test(p, PG_lru))
			continue;
		l = lruvec_lock_next(l, p, d);
		if (!l || !recheck(page_test(p, PG_lru)))
			continue;
		list_del(&p->lru);
		d[page_list(p)]--;
		page_clear(p, PG_lru);
		to_front(pages, i, &won);
	}
	if (l)
		lruvec_unlock_run(l, d);
	return won;
}

unsigned lru_transfer_pages(struct page **pages, unsigned n, struct memcg_handle *from,
			    struct memcg_handle *to)
{
	int64_t d[NR_LRU_LISTS] = { 0 };
	struct lruvec *l = NULL;
	unsigned moved = 0;

	handle_get_many(to, (int32_t)n);
	for (unsigned i = 0; i < n; i++) {
		l = lruvec_lock_next(l, pages[i], d);
		if (!l)
			continue;
		VM_BUG_ON(page_test(pages[i], PG_lru));
		if (page_cgroup_switch(&pages[i]->pcg, from, to))
			to_front(pages, i, &moved);
	}
	if (l)
		lruvec_unlock_run(l, d);
	if (moved < n)
		handle_put_many(to, (int32_t)(n - moved));
	return moved;
}

unsigned lru_isolate(struct lruvec *l, enum lru_list list, struct page **out, unsigned n,
		     unsigned *scanned)
{
	unsigned got = 0;

	VM_ASSERT(n > 0 && list < NR_LRU_LISTS);
	*scanned = 0;
	spin_lock(&l->lock);
	while (got < n && *scanned < 2 * n && !list_empty(&l->lists[list])) {
		struct page *p = list_last(&l->lists[list], struct page, lru);

		++*scanned;
		if (!page_try_get(p)) {
			/* Being freed by a thread that waits for our lock. Skip it. */
			list_del(&p->lru);
			list_add(&p->lru, &l->lists[list]);
			continue;
		}
		unlink_locked(l, p);
		out[got++] = p;
	}
	spin_unlock(&l->lock);
	return got;
}

unsigned lru_isolate_cached(struct lruvec *l, enum lru_list list, struct page **out, unsigned n,
			    unsigned *looked)
{
	unsigned got = 0;

	VM_ASSERT(n > 0 && list < NR_LRU_LISTS);
	*looked = 0;
	spin_lock(&l->lock);
	while (got < n && *looked < LOOK_MAX && !list_empty(&l->lists[list])) {
		struct page *p = list_last(&l->lists[list], struct page, lru);

		++*looked;
		if (page_test(p, PG_swapcache) && page_try_get(p)) {
			unlink_locked(l, p);
			out[got++] = p;
		} else {
			list_del(&p->lru);
			list_add(&p->lru, &l->lists[list]);
		}
	}
	spin_unlock(&l->lock);
	return got;
}

unsigned lru_deactivate(struct lruvec *l, enum lru_list active, unsigned n)
{
	unsigned done = 0;

	VM_ASSERT(active < NR_LRU_LISTS);
	spin_lock(&l->lock);
	while (done < n && !list_empty(&l->lists[active])) {
		struct page *p = list_last(&l->lists[active], struct page, lru);

		list_del(&p->lru);
		list_account(l, active, -1);
		page_clear(p, PG_active);
		list_add(&p->lru, &l->lists[active - 1]);
		list_account(l, active - 1, 1);
		done++;
	}
	spin_unlock(&l->lock);
	if (done)
		stat_add(l->memcg, STAT_PGDEACTIVATE, done);
	return done;
}

/* One splice per list: the cost does not depend on the number of pages. */
void lru_reparent_begin(struct mem_cgroup *child, struct mem_cgroup *parent)
{
	unsigned nr_nodes = memcg_lists(child)->nr_nodes;

	for (unsigned node = 0; node < nr_nodes; node++) {
		struct lruvec *from = memcg_lruvec(child, node), *to = memcg_lruvec(parent, node);

		spin_lock(&from->lock);
		spin_lock(&to->lock);
		for (int i = 0; i < NR_LRU_LISTS; i++) {
			int64_t nr = lruvec_size(from, i);

			if (nr == 0)
				continue;
			list_splice_tail(&from->lists[i], &to->lists[i]);
			list_account(from, i, -nr);
			list_account(to, i, nr);
		}
	}
}

void lru_reparent_end(struct mem_cgroup *child, struct mem_cgroup *parent)
{
	for (unsigned node = memcg_lists(child)->nr_nodes; node-- > 0;) {
		spin_unlock(&memcg_lruvec(parent, node)->lock);
		spin_unlock(&memcg_lruvec(child, node)->lock);
	}
}

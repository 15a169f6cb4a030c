/* mm/page.c - page records.
 *
 * Records come in chunks of FRAME_CHUNK, made on demand and kept until the engine ends. A free record is on
 * e->free_frames of its node; its lru field links it there.
 *
 * Who frees: whoever drops the last reference, and it alone touches the page from then on. Reclaim may
 * still see it on a list: it takes pages by page_try_get under the lruvec lock, loses, and skips it.
 */
#include "mm/page.h"

#include <string.h>

#include "mm/lru.h"
#include "mm/swap.h"

int frames_init(struct engine *e, uint32_t max_frames)
{
	spin_init(&e->frames_lock, RANK_FRAMES);
	for (unsigned i = 0; i < NODES_MAX; i++)
		list_init(&e->free_frames[i]);
	e->max_chunks = (max_frames + FRAME_CHUNK - 1) / FRAME_CHUNK;
	e->chunks = plat_alloc_big(e->max_chunks * sizeof(*e->chunks));
	if (e->chunks)
		return 0;
	spin_fini(&e->frames_lock);
	return -ENOMEM;
}

void frames_fini(struct engine *e)
{
	for (uint32_t i = 0; i < e->nr_chunks; i++)
		plat_free_big(e->chunks[i], FRAME_CHUNK * sizeof(struct page));
	if (e->chunks)
		plat_free_big(e->chunks, e->max_chunks * sizeof(*e->chunks));
	e->chunks = NULL;
	e->nr_chunks = 0;
	spin_fini(&e->frames_lock);
}

/* Add one chunk of records to @node. frames_lock held. */
static int frames_grow(struct engine *e, unsigned node)
{
	struct page *chunk;

	if (e->nr_chunks == e->max_chunks)
		return -ENOMEM;
	chunk = plat_alloc_big(FRAME_CHUNK * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	for (uint32_t i = 0; i < FRAME_CHUNK; i++) {
		chunk[i].pfn = e->nr_chunks * FRAME_CHUNK + i;
		chunk[i].node = node;
		list_add_tail(&chunk[i].lru, &e->free_frames[node]);
	}
	e->chunks[e->nr_chunks++] = chunk;
	e->node_free[node] += FRAME_CHUNK;
	a64_acc(&e->nr_frames, FRAME_CHUNK);
	a64_acc(&e->nr_free, FRAME_CHUNK);
	return 0;
}

int frames_alloc_node(struct engine *e, unsigned node, struct page **pages, unsigned n)
{
	int err = 0;

	spin_lock(&e->frames_lock);
	while (err == 0 && e->node_free[node] < (int64_t)n)
		err = frames_grow(e, node);
	for (unsigned i = 0; err == 0 && i < n; i++) {
		struct page *p = list_first(&e->free_frames[node], struct page, lru);

		list_del(&p->lru);
		pages[i] = p;
	}
	if (err == 0) {
		e->node_free[node] -= n;
		a64_acc(&e->nr_free, -(int64_t)n);
	}
	spin_unlock(&e->frames_lock);
	for (unsigned i = 0; err == 0 && i < n; i++)
		a32_store(&pages[i]->refcount, 1);
	return err;
}

int frames_alloc(struct engine *e, struct page **pages, unsigned n)
{
	unsigned first = plat_cpu() % e->nr_nodes;
	int err = -ENOMEM;

	for (unsigned i = 0; err && i < e->nr_nodes; i++)
		err = frames_alloc_node(e, (first + i) % e->nr_nodes, pages, n);
	return err;
}

void page_uncharge(struct page *p)
{
	struct memcg_handle *h = page_cgroup_uncharge(&p->pcg);

	if (!h)
		return;
	handle_uncharge(h, 1);
	handle_put_many(h, 1);
}

void page_uncharge_unused(struct page *p)
{
	VM_BUG_ON(!page_locked(p) || page_test(p, PG_lru));
	if (!page_mapped(p) && !page_test(p, PG_swapcache) && page_is_anon(p) && a32_load(&p->refcount) == 1)
		page_uncharge(p);
}

static void page_free(struct engine *e, struct page *p)
{
	VM_BUG_ON(a32_load(&p->mapcount) != 0);
	VM_BUG_ON(page_test(p, PG_swapcache | PG_writeback) || !page_is_anon(p));
	lru_del(p);
	page_uncharge(p);
	e->mmu->ops->drop_frame(e->mmu, p);
	aptr_store(&p->mapping, NULL);
	p->index = 0;
	a32_store(&p->entry, 0);
	a32_store(&p->flags, 0);
	spin_lock(&e->frames_lock);
	list_add(&p->lru, &e->free_frames[p->node]);
	e->node_free[p->node]++;
	a64_acc(&e->nr_free, 1);
	spin_unlock(&e->frames_lock);
}

void page_put(struct engine *e, struct page *p)
{
	uint32_t left = a32_add(&p->refcount, -1);

	VM_BUG_ON(left == UINT32_MAX);
	if (left == 0)
		page_free(e, p);
}

/* Always, but for the named bugs: nobody looked at first; v5 of seed 2's patch looked before the unlock, so that
 * what was dropped after the look met a locked page. */
static bool look_after_unlock(struct engine *e, const struct page *p)
{
	if (bug_on(SWAP_ZAP_NO_RECHECK))
		return false;
	return !bug_on(SWAP_RECHECK_BEFORE_UNLOCK) || (swapcache_unused(e, p) && !page_mapped(p));
}

void page_unlock(struct engine *e, struct page *p)
{
	bool look = look_after_unlock(e, p);

	VM_BUG_ON(!page_locked(p));
	bit_unlock(&p->flags, PG_locked, PG_waiters, RANK_PAGE);
	if (look)
		sync_step(swapcache_check_stale(e, p));
}

void page_commit_charge(struct page *p, struct mem_cgroup *memcg)
{
	bool won = page_cgroup_charge(&p->pcg, memcg->handle);

	VM_BUG_ON(!won);
}

void page_stat(const struct page *p, enum stat_item item, int64_t d)
{
	struct mem_cgroup *memcg;

	rcu_rd_lock();
	memcg = page_cgroup_memcg(&p->pcg);
	if (memcg)
		stat_add(memcg, item, d);
	rcu_rd_unlock();
}

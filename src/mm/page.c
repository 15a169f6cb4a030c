/* mm/page.c - page records in use: charge, references, the page lock.
 *
 * The thread that drops the last reference frees the page; no other thread touches it from then on.
 * Reclaim may still see it on a list: its page_try_get under the lruvec lock fails, and it skips
 * the page.
 */
#include "mm/page.h"

#include <string.h>

#include "mm/lru.h"
#include "mm/swap.h"

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
	if (!page_mapped(p) && !page_test(p, PG_swapcache) && page_is_anon(p) &&
	    a32_load(&p->refcount) == 1)
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
	frame_free(e, p);
}

void page_put(struct engine *e, struct page *p)
{
	uint32_t left = a32_add(&p->refcount, -1);

	VM_BUG_ON(left == UINT32_MAX);
	if (left == 0)
		page_free(e, p);
}

/* True except for the named bugs: at first there was no check; v5 of seed 2's patch checked before
 * the unlock, so a reference dropped after the check found the page locked. */
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

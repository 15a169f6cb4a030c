/* mm/rmap.c - reverse mapping of anonymous pages. See rmap.h for the life-time rule. */
#include "mm/rmap.h"

#include "mm/engine.h"
#include "mm/lru.h"
#include "mm/page.h"
#include "mm/vma.h"

static void anon_vma_free_rcu(struct plat_rcu_head *head)
{
	struct anon_vma *av = container_of(head, struct anon_vma, rcu);

	VM_ASSERT(head);
	rw_fini(&av->lock);
	plat_free(av);
}

void anon_vma_put(struct anon_vma *av)
{
	if (a32_add(&av->refcount, -1) != 0)
		return;
	VM_BUG_ON(!list_empty(&av->chains));
	a64_acc(&av->engine->nr_anon_vmas, -1);
	rcu_defer(&av->rcu, anon_vma_free_rcu);
}

/* The chain takes a reference on @av; the caller guarantees that @av is alive. */
static struct anon_vma_chain *chain_alloc(struct vma *v, struct anon_vma *av)
{
	struct anon_vma_chain *c = plat_alloc(sizeof(*c));

	VM_ASSERT(a32_peek(&av->refcount) > 0);
	if (!c)
		return NULL;
	c->vma = v;
	c->anon_vma = av;
	list_init(&c->same_vma);
	list_init(&c->same_anon_vma);
	a32_acc(&av->refcount, 1);
	a64_acc(&av->engine->nr_chains, 1);
	return c;
}

static void chain_link(struct anon_vma_chain *c)
{
	lockdep_assert_held(&c->vma->mm->mmap_lock);
	list_add_tail(&c->same_vma, &c->vma->chains);
	rw_wrlock(&c->anon_vma->lock);
	list_add_tail(&c->same_anon_vma, &c->anon_vma->chains);
	rw_wrunlock(&c->anon_vma->lock);
}

static void chain_free(struct anon_vma_chain *c)
{
	struct anon_vma *av = c->anon_vma;

	rw_wrlock(&av->lock);
	list_del(&c->same_anon_vma);
	rw_wrunlock(&av->lock);
	list_del(&c->same_vma);
	a64_acc(&av->engine->nr_chains, -1);
	plat_free(c);
	anon_vma_put(av);
}

static struct anon_vma *anon_vma_alloc(struct engine *e)
{
	struct anon_vma *av = plat_alloc(sizeof(*av));

	if (!av)
		return NULL;
	a32_store(&av->refcount, 1);
	rw_init(&av->lock, RANK_RMAP);
	list_init(&av->chains);
	av->engine = e;
	a64_acc(&e->nr_anon_vmas, 1);
	return av;
}

int anon_vma_prepare(struct vma *v)
{
	struct anon_vma *av;
	struct anon_vma_chain *c;
	bool won;

	lockdep_assert_held(&v->mm->mmap_lock);
	if (aptr_load(&v->anon_vma))
		return 0;
	av = anon_vma_alloc(v->mm->engine);
	c = av ? chain_alloc(v, av) : NULL;
	if (!c) {
		if (av)
			anon_vma_put(av);
		return -ENOMEM;
	}
	/* Two faults may race here under mmap_lock for reading: one publishes its anon_vma, the
	 * other frees its own. */
	spin_lock(&v->mm->pt_lock);
	won = aptr_load(&v->anon_vma) == NULL;
	if (won) {
		list_add_tail(&c->same_vma, &v->chains);
		list_add_tail(&c->same_anon_vma, &av->chains); /* not visible to others yet */
		aptr_store(&v->anon_vma, av);
	}
	spin_unlock(&v->mm->pt_lock);
	if (!won)
		chain_free(c);
	anon_vma_put(av);
	return 0;
}

int anon_vma_clone(struct vma *v, const struct vma *src)
{
	lockdep_assert_held(&v->mm->mmap_lock);
	list_for_each(c, &src->chains, struct anon_vma_chain, same_vma) {
		struct anon_vma_chain *copy = chain_alloc(v, c->anon_vma);

		if (!copy) {
			anon_vma_unlink(v);
			return -ENOMEM;
		}
		chain_link(copy);
	}
	return 0;
}

void anon_vma_unlink(struct vma *v)
{
	list_for_each_safe(c, tmp, &v->chains, struct anon_vma_chain, same_vma)
		chain_free(c);
	aptr_store(&v->anon_vma, NULL);
}

struct anon_vma *page_get_anon_vma(const struct page *p)
{
	struct anon_vma *av = NULL;

	rcu_rd_lock();
	if (bug_on(MIGRATE_ANON_CHECK_OUTSIDE_RCU) || recheck(page_mapped(p))) {
		av = page_anon_vma(p);
		if (av && !a32_inc_not_zero(&av->refcount))
			av = NULL;
	}
	/* Still mapped after the reference was taken: the anon_vma was the page's at that time. */
	if (av && !recheck(page_mapped(p))) {
		rcu_rd_unlock();
		anon_vma_put(av);
		return NULL;
	}
	rcu_rd_unlock();
	return av;
}

void page_set_anon_rmap(struct page *p, struct vma *v, uint64_t va, bool shared)
{
	const struct anon_vma_chain *c = list_first(&v->chains, struct anon_vma_chain, same_vma);

	VM_BUG_ON(va < v->start || va >= v->end);
	VM_BUG_ON(!page_is_anon(p));
	p->index = vma_page_index(v, va);
	aptr_store(&p->mapping, shared ? c->anon_vma : aptr_load(&v->anon_vma));
}

void page_add_rmap(struct page *p, struct vma *v, uint64_t va)
{
	VM_ASSERT(va % PAGE_SIZE == 0 && va >= v->start && va < v->end);
	if (!aptr_load(&p->mapping))
		page_set_anon_rmap(p, v, va, false);
	if (a32_add(&p->mapcount, 1) == 1)
		page_stat(p, page_is_anon(p) ? STAT_ANON : STAT_FILE_MAPPED, 1);
}

/* The page's kind and owner are stable only while this entry maps it: once the map count is 0,
 * truncation or swap-out may remove it from its file, or a mover may transfer it, before we update
 * the statistics. */
void page_remove_rmap(struct page *p)
{
	enum stat_item item = page_is_anon(p) ? STAT_ANON : STAT_FILE_MAPPED;
	struct mem_cgroup *memcg;
	uint32_t left;

	rcu_rd_lock();
	memcg = page_cgroup_memcg(&p->pcg);
	left = a32_add(&p->mapcount, -1);
	VM_BUG_ON(left == UINT32_MAX);
	if (bug_on(UNMAP_COUNTED_TO_NEW_OWNER))
		memcg = page_cgroup_memcg(&p->pcg);
	if (left == 0 && memcg)
		stat_add(memcg, item, -1);
	rcu_rd_unlock();
	if (left != 0)
		return;
	if (bug_on(SWAP_OUT_OF_UNCHARGED_PAGE) && !page_test(p, PG_swapcache)) {
		lru_del(p);
		page_uncharge(p); /* though reclaim may be about to give it a slot */
	}
}

int rmap_places(struct page *p, struct rmap_place *out, unsigned max)
{
	struct anon_vma *av = page_get_anon_vma(p);
	int n = 0;

	if (!av)
		return 0;
	rw_rdlock(&av->lock);
	list_for_each(c, &av->chains, struct anon_vma_chain, same_anon_vma) {
		struct vma *v = c->vma;
		uint64_t npages = (v->end - v->start) >> PAGE_SHIFT;

		if (p->index < v->pgoff || p->index >= v->pgoff + npages)
			continue;
		if ((unsigned)n == max) {
			rw_rdunlock(&av->lock);
			anon_vma_put(av);
			while (n > 0)
				mm_put(out[--n].mm);
			return -E2BIG;
		}
		if (!mm_tryget(v->mm))
			continue;
		out[n].mm = v->mm;
		out[n].va = v->start + ((p->index - v->pgoff) << PAGE_SHIFT);
		out[n].vm_flags = v->flags;
		n++;
	}
	rw_rdunlock(&av->lock);
	anon_vma_put(av);
	return n;
}

void rmap_walk_anon(struct anon_vma *av, uint64_t index,
		    void (*fn)(struct vma *v, uint64_t va, void *arg), void *arg)
{
	rw_rdlock(&av->lock);
	list_for_each(c, &av->chains, struct anon_vma_chain, same_anon_vma) {
		struct vma *v = c->vma;

		if (index >= v->pgoff && index - v->pgoff < (v->end - v->start) >> PAGE_SHIFT)
			fn(v, v->start + ((index - v->pgoff) << PAGE_SHIFT), arg);
	}
	rw_rdunlock(&av->lock);
}

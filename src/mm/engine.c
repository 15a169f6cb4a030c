/* mm/engine.c - the engine: set-up, groups, address spaces. */
#include "mm/engine.h"

#include <string.h>

#include "mm/ahead.h"
#include "mm/lru.h"
#include "mm/node.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/swap.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mm/zswap.h"

int engine_init(struct engine *e, struct mmu *mmu, struct store *store, uint32_t max_frames)
{
	e->mmu = mmu;
	if (e->nr_nodes == 0)
		e->nr_nodes = 1;
	VM_BUG_ON(e->nr_nodes > NODES_MAX);
	nodes_init(e);
	spin_init(&e->mm_lock, RANK_LEAF);
	list_init(&e->mms);
	list_init(&e->files);
	waitq_init(&e->kswapd_wait);
	spin_init(&e->ahead.lock, RANK_LEAF);
	waitq_init(&e->ahead.wait);
	waitq_init(&e->progress);
	if (store) {
		e->swap = swap_create(store);
		if (!e->swap) {
			store_destroy(store);
			spin_fini(&e->mm_lock);
			spin_fini(&e->ahead.lock);
			return -ENOMEM;
		}
	}
	if (frames_init(e, max_frames) != 0)
		goto no_frames;
	if (memcg_tree_init(&e->tree) != 0)
		goto no_tree;
	e->tree.mm_init = lruvec_create;
	e->tree.reparent_begin = lru_reparent_begin;
	e->tree.reparent_end = lru_reparent_end;
	if (lruvec_create(e->tree.root) == 0)
		return 0;
	memcg_tree_fini(&e->tree);
no_tree:
	frames_fini(e);
no_frames:
	swap_destroy(e->swap);
	e->swap = NULL;
	spin_fini(&e->mm_lock);
	spin_fini(&e->ahead.lock);
	return -ENOMEM;
}

int engine_start(struct engine *e)
{
	/* While one thread waits for a device write, the other unmaps pages. */
	unsigned want = e->swap && e->swap->store->device ? KSWAPD_MAX : 1;
	int err = 0;

	zswap_in_background(e);
	a32_store(&e->kswapd_stop, 0);
	while (!err && e->nr_kswapd < want) {
		err = plat_thread_start(&e->kswapd[e->nr_kswapd], "umemcg-kswapd", kswapd_main, e);
		e->nr_kswapd += !err;
	}
	if (!err)
		err = ahead_start(e);
	if (err)
		engine_stop(e);
	return err;
}

void engine_stop(struct engine *e)
{
	ahead_stop(e);
	a32_store(&e->kswapd_stop, 1);
	waitq_wake(&e->kswapd_wait);
	while (e->nr_kswapd > 0)
		plat_thread_join(&e->kswapd[--e->nr_kswapd]);
}

void engine_fini(struct engine *e)
{
	engine_stop(e);
	rcu_flush();
	VM_BUG_ON(!list_empty(&e->mms));
	VM_BUG_ON(!list_empty(&e->files));
	if (e->tree.root)
		memcg_tree_fini(&e->tree);
	rcu_flush();
	swap_destroy(e->swap);
	e->swap = NULL;
	frames_fini(e);
	spin_fini(&e->mm_lock);
	spin_fini(&e->ahead.lock);
}

struct mem_cgroup *group_create(struct engine *e, struct mem_cgroup *parent, const char *name,
				int *err)
{
	return memcg_create(parent ? parent : e->tree.root, name, err);
}

int group_remove(struct engine *e, struct mem_cgroup *memcg)
{
	bool busy = false;
	int err;

	/* Its charges would go to an invisible group. The caller prevents new address spaces. */
	spin_lock(&e->mm_lock);
	list_for_each(mm, &e->mms, struct mm, link)
		busy |= mm_memcg(mm) == memcg;
	spin_unlock(&e->mm_lock);
	err = busy ? -EBUSY : memcg_offline(memcg);
	if (err)
		return err;
	memcg_release(memcg);
	return 0;
}

struct mm *mm_create(struct engine *e, struct mem_cgroup *memcg, void *host)
{
	struct mm *mm = plat_alloc(sizeof(*mm));

	if (!mm)
		return NULL;
	mm->engine = e;
	aptr_store(&mm->memcg, memcg);
	memcg_get(memcg);
	mm->host = host;
	a32_store(&mm->refcount, 1);
	rw_init(&mm->mmap_lock, RANK_MMAP);
	spin_init(&mm->pt_lock, RANK_PGTABLE);
	spin_init(&mm->stream_lock, RANK_LEAF);
	a64_acc(&e->nr_mms, 1);
	spin_lock(&e->mm_lock);
	list_add_tail(&mm->link, &e->mms);
	spin_unlock(&e->mm_lock);
	return mm;
}

void mm_teardown(struct mm *mm)
{
	struct engine *e = mm->engine;

	VM_ASSERT(a32_peek(&mm->refcount) > 0);
	a32_store(&mm->dying, 1);
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, 0, UINT64_MAX & PAGE_MASK);
	rw_wrunlock(&mm->mmap_lock);
	spin_lock(&e->mm_lock);
	list_del(&mm->link);
	spin_unlock(&e->mm_lock);
	waitq_wake(&e->progress);
}

void mm_get(struct mm *mm)
{
	VM_ASSERT(a32_peek(&mm->refcount) > 0);
	a32_get(&mm->refcount, 1);
}

bool mm_tryget(struct mm *mm)
{
	return a32_inc_not_zero(&mm->refcount);
}

struct mem_cgroup *mm_get_memcg(struct mm *mm)
{
	struct mem_cgroup *memcg;

	/* It may move, and its old group may be freed, before the reference is taken: retry. */
	rcu_rd_lock();
	do
		memcg = aptr_load(&mm->memcg);
	while (!memcg_tryget(memcg));
	rcu_rd_unlock();
	return memcg;
}

static void mm_free_rcu(struct plat_rcu_head *head)
{
	struct mm *mm = container_of(head, struct mm, rcu);

	rw_fini(&mm->mmap_lock);
	spin_fini(&mm->pt_lock);
	spin_fini(&mm->stream_lock);
	plat_free(mm);
}

void mm_put(struct mm *mm)
{
	if (a32_add(&mm->refcount, -1) != 0)
		return;
	VM_BUG_ON(mm->nr_vmas != 0);
	VM_BUG_ON(!list_empty(&mm->link));
	VM_BUG_ON(a64_load(&mm->rss) != 0 || a64_load(&mm->swapents) != 0);
	if (mm->host && mm->engine->mmu->ops->release)
		mm->engine->mmu->ops->release(mm->engine->mmu, mm);
	pgtable_fini(mm);
	plat_free(mm->vmas);
	a64_acc(&mm->engine->nr_mms, -1);
	memcg_put(aptr_load(&mm->memcg));
	rcu_defer(&mm->rcu, mm_free_rcu);
}

int64_t engine_tables_bytes(const struct engine *e)
{
	int64_t bytes = a64_load(&e->nr_leaves) * (int64_t)(sizeof(struct leaf) + sizeof(void *));

	bytes += a64_load(&e->nr_mms) * (int64_t)sizeof(struct mm);
	bytes += a64_load(&e->nr_vmas) * (int64_t)(sizeof(struct vma) + 2 * sizeof(void *));
	bytes += a64_load(&e->nr_anon_vmas) * (int64_t)sizeof(struct anon_vma);
	bytes += a64_load(&e->nr_chains) * (int64_t)sizeof(struct anon_vma_chain);
	bytes += a64_load(&e->nr_files) * (int64_t)sizeof(struct address_space);
	bytes += a64_load(&e->nr_file_chunks) *
		 (int64_t)(sizeof(struct file_chunk) + sizeof(void *));
	return bytes;
}

int64_t engine_metadata_bytes(const struct engine *e)
{
	int64_t bytes = (int64_t)sizeof(*e) + engine_tables_bytes(e);

	bytes += a64_load(&e->nr_frames) * (int64_t)(sizeof(struct page) + sizeof(void *)) +
		 a64_load(&e->nr_frames) / 8;
	bytes += (int64_t)a32_load(&e->tree.nr_groups) *
		 (int64_t)(sizeof(struct mem_cgroup) + sizeof(struct memcg_handle) +
			   sizeof(struct group_lists) + e->nr_nodes * sizeof(struct lruvec));
	if (e->swap)
		bytes += a64_load(&e->swap->nr_used) *
				 (int64_t)(sizeof(atomic32_t) + sizeof(atomicptr_t) +
					   sizeof(void *) + sizeof(struct swap_hash)) +
			 a64_load(&e->swap->index.nr) * (int64_t)(3 * sizeof(uint32_t));
	return bytes;
}

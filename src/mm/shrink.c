/* mm/shrink.c - freeing a batch of isolated pages.
 *
 * For a node (RECLAIM_DEMOTE), cold pages of the batch first move to the slower node, if there is
 * one with room. The rest is written out.
 *
 * Steps, each over the whole batch: trylock the pages; find the mappings; give each page a slot
 * (these three: shrink_prepare.c); withdraw the contents (one MMU call); perhaps choose other
 * slots; replace the page table entries by swap entries; write; free what is clean and unmapped;
 * put the rest back.
 *
 * Races. A fault between withdrawal and the swap entry sees a present entry and a locked page: it
 * waits for the page lock and retries. A later fault finds the page in the swap cache. An unmap in
 * between finds a present entry and removes the mapping as usual; we then find the entry gone and
 * drop the page.
 *
 * Pages of files take the same steps with their own walks (rmap_file.c) and no withdrawal: they are
 * shared, so their content is at home. Their entries are cleared; a dirty page is written to its
 * file; shared memory leaves a swap entry in its table.
 */
#include "mm/shrink.h"

#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/migrate.h"
#include "mm/mlock.h"
#include "mm/node.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/swap_io.h"
#include "mm/swap_share.h"

#define RUN_MIN 8 /* average slots per run that make the old slots worth keeping */

/* Replace one page table entry by @entry, taking a swap reference unless the caller has @taken it;
 * or clear it (@entry 0) when the content is zero and final. False: it no longer maps the page. */
static bool unmap_one(struct shrink *s, struct mmu_req *q, uint32_t entry, bool taken)
{
	struct engine *e = s->e;
	struct leaf *leaf;
	bool maps;

	rcu_rd_lock();
	leaf = leaf_find(q->mm, q->va);
	if (!leaf) {
		rcu_rd_unlock();
		return false;
	}
	spin_lock(&leaf->lock);
	maps = pte_present(pte_read(leaf, q->va)) && pte_pfn(pte_read(leaf, q->va)) == q->page->pfn;
	if (recheck(maps)) {
		if (entry && !taken)
			swap_dup(e, entry);
		pte_set(leaf, q->va, entry ? pte_make_swap(entry) : 0);
		a64_acc(&q->mm->swapents, entry != 0);
		sync_step(e->mmu->ops->flush(e->mmu, q->mm, q->va, 1));
		a64_acc(&q->mm->rss, -1);
		page_remove_rmap(q->page);
		page_put(e, q->page); /* the entry's reference; ours remains */
	}
	spin_unlock(&leaf->lock);
	rcu_rd_unlock();
	return maps;
}

/* Has all access to the page ended? An empty place proves nothing: mremap can leave two areas of
 * one anon_vma with the same page numbers; rmap then finds both places, and the page is at one.
 * Content at home is proof. */
static bool is_withdrawn(struct shrink *s, const struct victim *v)
{
	bool withdrawn = true, gone = false;

	VM_ASSERT(v->first_req + v->nr_reqs <= s->nr_reqs);
	for (unsigned i = 0; i < v->nr_reqs; i++) {
		enum mmu_result result = s->reqs[v->first_req + i].result;

		withdrawn &= result == MMU_WITHDRAWN || result == MMU_GONE;
		gone |= result == MMU_GONE;
		if (result == MMU_BUSY)
			s->r->busy++;
	}
	if (!gone || mmu_data(s->e->mmu, v->page))
		return withdrawn;
	/* Moved or dropped: the event about it, and with it the room, is on its way. */
	s->r->busy++;
	return false;
}

static void unmap_file_page(struct shrink *s, struct victim *v)
{
	VM_ASSERT(a32_peek(&v->page->flags) & PG_locked);
	v->nr_reqs = 0; /* walks find its entries */
	if (!v->withdrawn) {
		swapcache_del(s->e, v->page, 0);
		return;
	}
	rmap_file_unmap(v->page);
	v->write_file = page_test(v->page, PG_file) && page_test(v->page, PG_dirty);
	if (!page_test(v->page, PG_file))
		shmem_swap_out(v->page);
}

/* Was the page read from a slot that nothing else refers to, and changed since? Its content is
 * final. */
static bool is_changed(struct shrink *s, struct victim *v)
{
	struct page *p = v->page;

	if (!v->locked || !v->withdrawn || v->fresh_slot || !v->nr_reqs || !page_is_anon(p) ||
	    slot_count(swap_map(s->e, page_entry(p))) > 0)
		return false;
	v->hash = content_hash(s->e->swap, mmu_data(s->e->mmu, p));
	return !swap_slot_holds(s->e, p, v->hash);
}

/* On a device, changed pages with scattered slots get new, adjacent ones. */
static void choose_slots(struct shrink *s)
{
	struct victim *changed[MMU_BATCH_MAX];
	unsigned n = 0, runs = 0;
	uint32_t last = 0;

	if (!s->e->mmu->ops->withdraws || !s->e->swap || !s->e->swap->store->device)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		if (!is_changed(s, &s->v[i]))
			continue;
		runs += page_entry(s->v[i].page) != last + 1;
		last = page_entry(s->v[i].page);
		changed[n++] = &s->v[i];
	}
	for (unsigned i = 0; i < n && runs * RUN_MIN > n; i++)
		swap_relocate(s->e, changed[i]->page, &s->near);
}

/* For a withdrawn page, whose content is final: the swap entry of a relative's page with the same
 * content at the same address, with a reference for us. 0: there is none; others may now find this
 * page's slot in the index. */
static uint32_t find_shared(struct shrink *s, struct victim *v)
{
	const struct mmu_req *q = &s->reqs[v->first_req];

	VM_ASSERT(v->withdrawn);
	if (v->nr_reqs != 1 || !s->e->mmu->ops->withdraws || !a32_load(&q->mm->forked) ||
	    !page_mapped(v->page) || slot_count(swap_map(s->e, page_entry(v->page))) > 0)
		return 0;
	if (!(v->hash.lo | v->hash.hi))
		v->hash = content_hash(s->e->swap, mmu_data(s->e->mmu, v->page));
	return swap_share(s->e, v->page, q->va, v->hash);
}

static void unmap_anon_page(struct shrink *s, struct victim *v)
{
	struct engine *e = s->e;
	bool zero =
		v->nr_reqs && e->mmu->ops->withdraws && content_is_zero(mmu_data(e->mmu, v->page));
	uint32_t shared, entry;
	bool unmapped = false;

	VM_ASSERT(a32_peek(&v->page->flags) & PG_locked);
	/* Without an entry, a fault would read the file's content again. */
	for (unsigned i = 0;
	     e->may_back && !bug_on(BACKED_ZEROS_WITHOUT_ENTRY) && zero && i < v->nr_reqs; i++)
		zero = !a32_load(&s->reqs[v->first_req + i].mm->has_backing);
	shared = zero ? 0 : find_shared(s, v);
	entry = shared ? shared : page_entry(v->page);

	for (unsigned i = 0; i < v->nr_reqs; i++)
		unmapped |= unmap_one(s, &s->reqs[v->first_req + i], zero ? 0 : entry, shared != 0);
	if (zero)
		page_stat(v->page, STAT_SWPOUT_ZERO, 1);
	else if (shared && unmapped)
		page_stat(v->page, STAT_SWPOUT_SHARED, 1);
	else if (shared)
		swap_put(e, shared);
}

static void unmap_page(struct shrink *s, struct victim *v)
{
	VM_ASSERT(a32_peek(&v->page->flags) & PG_locked);
	if (!page_is_anon(v->page))
		unmap_file_page(s, v);
	else if (v->withdrawn)
		unmap_anon_page(s, v);
	if (page_mapped(v->page) && v->fresh_slot)
		swapcache_try_free(s->e, v->page);
	v->write = !page_mapped(v->page) && page_test(v->page, PG_swapcache) &&
		   page_test(v->page, PG_dirty) &&
		   slot_count(swap_map(s->e, page_entry(v->page))) > 0;
}

/* Write the batch's dirty pages; releases every page lock of the batch. */
static void write_batch(struct shrink *s)
{
	struct page *write[STORE_BATCH_MAX], *write_file[STORE_BATCH_MAX];
	struct swap_hash hash[STORE_BATCH_MAX];
	unsigned n = 0, nr_file = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct victim *v = &s->v[i];

		if (!v->locked)
			continue;
		v->locked = false;
		if (v->write) {
			hash[n] = v->hash;
			write[n++] = v->page;
		} else if (v->write_file) {
			write_file[nr_file++] = v->page;
		} else {
			page_unlock(s->e, v->page);
		}
	}
	if (n)
		swap_write_pages(s->e, write, hash, n, !(s->flags & RECLAIM_KSWAPD));
	filemap_write_pages(write_file, nr_file);
}

/* Remove a clean, unmapped page from the swap cache or from its file. True: our reference is the
 * last. */
static bool remove_clean(struct shrink *s, struct page *p)
{
	struct engine *e = s->e;
	struct mem_cgroup *memcg;
	uint64_t age = 0;
	bool freed = false, held = false;

	if (!page_trylock(p)) {
		s->r->busy++;
		return false;
	}
	if (!page_is_anon(p)) {
		freed = filemap_remove_unused(p);
	} else if (recheck(!page_mapped(p)) && recheck(page_test(p, PG_swapcache)) &&
		   recheck(!page_test(p, PG_dirty | PG_writeback)) &&
		   !(held = !recheck(a32_load(&p->refcount) == 2))) {
		rcu_rd_lock();
		memcg = page_cgroup_memcg(&p->pcg);
		if (memcg)
			age = (uint64_t)a64_add(&memcg_lists(memcg)->age, 1);
		rcu_rd_unlock();
		swapcache_del(e, p, age);
		freed = true;
	}
	page_unlock(e, p);
	s->r->held += held;
	return freed || (!page_mapped(p) && !page_test(p, PG_swapcache) && page_is_anon(p) &&
			 a32_load(&p->refcount) == 1);
}

static void put_back(struct engine *e, struct page *p)
{
	VM_ASSERT(a32_peek(&p->refcount) > 0);
	lru_add(p);
	mlock_recheck(e, p);
	page_put(e, p);
}

/* Move the batch's cold pages to the slower node while it has room; put the others back. Returns
 * how many cold pages remain to be written out because there was no room or they were in use just
 * then. */
static unsigned demote(struct shrink *s, struct page **pages, unsigned n)
{
	int to = demotion_target(s->e, pages[0]->node);
	struct migrate_result mr;
	unsigned cold = 0;

	if (to < 0)
		return n;
	for (unsigned i = 0; i < n; i++)
		if (shrink_may_demote(s, pages[i]))
			pages[cold++] = pages[i];
		else
			put_back(s->e, pages[i]);
	migrate_isolated(s->e, pages, cold, (unsigned)to,
			 s->flags & RECLAIM_KSWAPD ? MIGRATE_DEMOTION_KSWAPD : MIGRATE_DEMOTION,
			 &mr);
	s->r->demoted += mr.migrated;
	return mr.failed;
}

/* Write to swap, or to their files. */
static void write_out(struct shrink *s, struct page **pages, unsigned n)
{
	struct engine *e = s->e;

	VM_ASSERT(n <= MMU_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct victim *v = &s->v[i];
		unsigned first = s->nr_reqs;

		*v = (struct victim){ .page = pages[i] };
		if (shrink_prepare(s, v))
			continue;
		shrink_drop_reqs(s, first);
		v->nr_reqs = 0;
		if (v->locked)
			page_unlock(e, v->page);
		v->locked = false;
	}
	s->n = n;
	if (s->nr_reqs)
		e->mmu->ops->withdraw(e->mmu, s->reqs, s->nr_reqs);
	for (unsigned i = 0; i < n; i++)
		s->v[i].withdrawn = s->v[i].locked && is_withdrawn(s, &s->v[i]);
	choose_slots(s);
	for (unsigned i = 0; i < n; i++)
		if (s->v[i].locked)
			unmap_page(s, &s->v[i]);
	shrink_drop_reqs(s, 0);
	write_batch(s);
}

void shrink_pages(struct engine *e, struct page **pages, unsigned n, unsigned flags,
		  struct reclaim_result *r)
{
	struct shrink s;

	VM_BUG_ON(n > MMU_BATCH_MAX);
	s.e = e;
	s.nr_reqs = 0;
	s.near = swap_near(e, n);
	s.r = r;
	s.flags = flags;
	if (n && flags & RECLAIM_DEMOTE)
		n = demote(&s, pages, n);
	write_out(&s, pages, n);
	for (unsigned i = 0; i < n; i++) {
		if (remove_clean(&s, pages[i])) {
			r->reclaimed++;
			page_put(e, pages[i]);
		} else {
			put_back(e, pages[i]);
		}
	}
}

void reclaim_wait_leaf(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg)
{
	VM_ASSERT(from < to);
	(void)arg;
	for (uint64_t va = from; va < to; va += PAGE_SIZE) {
		struct page *p = leaf_get_flagged(mm->engine, leaf, va, PG_locked);

		if (!p)
			continue;
		page_lock(p);
		page_unlock(mm->engine, p);
		page_put(mm->engine, p);
	}
}

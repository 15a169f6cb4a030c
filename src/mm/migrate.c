/* mm/migrate.c - page migration: anonymous, swap cache, file and shared memory pages.
 *
 * One page: lock -> mark the charge -> unmap to migration entries -> freeze -> replace in the swap
 * cache or in the file's table -> copy -> move the charge -> remap -> unmark -> unlock. A failure
 * before the charge has moved remaps the old page.
 *
 * M1  A migration entry exists only while the page it names is locked by the migrator.
 * M2  (seed 0) The new page's word is USED before it is mapped, because mapped pages are counted at
 *     mapcount 0->1, to the owner in the word at that time. MIGRATION is set before the old page is
 *     unmapped, because an isolated page is uncharged when nothing maps it and no cache holds it
 *     (page_uncharge_unused). The record moves: counters do not change, so a migration never hits a
 *     limit. Success and failure end alike: unmark the survivor; if it has become unused, uncharge
 *     it, once.
 * M3  (seed 3) The anon_vma is used only with a reference, taken while the page was seen mapped
 *     (page_get_anon_vma). A page that was not mapped when it was locked is moved without an
 *     anon_vma and never remapped; one that was mapped is remapped, in the swap cache or not.
 * M4  The old page is replaced only if all its references are the migrator's and the swap cache's,
 *     checked and frozen in one step; in the swap cache under the slot lock, so that no reference
 *     can be taken there in between.
 * M5  The second walk finds every entry that the first one made: moving an area keeps migration off
 *     (mm->no_reclaim) and waits for existing migration entries (unmap.c); fork links the child's
 *     areas after the parent's before it copies entries, and a walk visits them in that order.
 *
 * M6  A file page is moved if it is in its table (page->mapping, I1), mapped or not, and not under
 *     writeback. A store through an entry is noted on the old page before its rmap goes (I3), and
 *     the flag moves with the content; as the page is locked, only the migrator adds or removes
 *     entries. The owner stays, so the only statistic that changes is FILE_MAPPED. No area misses
 *     its entry in the second walk: mremap waits, and fork copies no migration entry of a file.
 *
 * Locks: old page, then new page (trylock) -> anon_vma or i_mmap_lock (read) -> leaf, one at a time
 * -> slot, table.
 */
#include "mm/migrate.h"

#include "mm/charge.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/mlock.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"
#include "mm/swap.h"

#define PASSES_MAX 4 /* tries for a page that is in use */

/* The flags that describe a page's content or its place in the lists. */
#define PG_MOVES                                                                                   \
	(PG_uptodate | PG_dirty | PG_active | PG_unevictable | PG_readahead | PG_workingset |      \
	 PG_referenced)

struct migration {
	struct engine *e;
	struct page *old, *new;
	struct page *to;          /* gets the entries at the end */
	struct anon_vma *av;      /* referenced; NULL: not mapped, or a file page */
	struct address_space *as; /* kept by the page lock; NULL: anonymous */
	unsigned nr_entries;      /* migration entries made */
	enum migrate_reason reason;
};

void migration_entry_wait(struct engine *e, pte_t pte)
{
	VM_ASSERT(pte_is_migration(pte));
	bit_wait(&pfn_page(e, pte_pfn(pte))->flags, PG_locked, PG_waiters);
}

/* ---- entries ---- */

static void unmap_one(struct vma *v, uint64_t va, void *arg)
{
	struct migration *m = arg;
	struct mmu *mmu = m->e->mmu;
	struct leaf *leaf = leaf_find(v->mm, va);
	pte_t pte;

	VM_ASSERT(va % PAGE_SIZE == 0 && va >= v->start && va < v->end);
	if (!leaf)
		return;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	if (pte_present(pte) && pte_pfn(pte) == m->old->pfn && !a32_load(&v->mm->no_reclaim)) {
		pte_set(leaf, va, pte_make_migration(pte));
		mmu->ops->flush(mmu, v->mm, va, 1);
		/* Last chance to read the entry's dirty bit (I3). */
		if (m->as && pte & PTE_DIRTY)
			filemap_set_dirty(m->old);
		page_remove_rmap(m->old);
		page_put(m->e, m->old); /* the entry's reference; ours remains */
		m->nr_entries++;
	}
	spin_unlock(&leaf->lock);
}

static void remap_one(struct vma *v, uint64_t va, void *arg)
{
	struct migration *m = arg;
	struct leaf *leaf = leaf_find(v->mm, va);
	pte_t pte;

	VM_ASSERT(va % PAGE_SIZE == 0 && va >= v->start && va < v->end);
	if (!leaf)
		return;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	if (pte_is_migration(pte) && pte_pfn(pte) == m->old->pfn) {
		page_get(m->to);
		page_add_rmap(m->to, v, va);
		pte_set(leaf, va, pte_from_migration(pte, m->to->pfn));
	}
	spin_unlock(&leaf->lock);
}

/* Visit every place where @index may be mapped. */
static void walk(struct migration *m, uint64_t index,
		 void (*fn)(struct vma *v, uint64_t va, void *arg))
{
	if (m->as)
		rmap_walk_file(m->as, index, fn, m);
	else if (m->av)
		rmap_walk_anon(m->av, index, fn, m);
}

static void remap(struct migration *m, struct page *to)
{
	VM_ASSERT(a32_peek(&to->flags) & PG_locked);
	if (!m->av && m->nr_entries == 0)
		return;
	/* "Pages in the swap cache were not mapped": true of some, but this one was (seed 3). */
	if (bug_on(MIGRATE_SWAPCACHE_NEVER_REMAPPED) && page_test(to, PG_swapcache))
		return;
	m->to = to;
	walk(m, to->index, remap_one);
}

static struct anon_vma *get_anon_vma(struct page *p)
{
	if (bug_on(MIGRATE_ANON_VMA_WITHOUT_REFERENCE))
		return page_anon_vma(p); /* may be freed at any time, or already is */
	return page_get_anon_vma(p);
}

static void put_anon_vma(struct anon_vma *av)
{
	if (av && !bug_follows(MIGRATE_ANON_VMA_WITHOUT_REFERENCE))
		anon_vma_put(av);
}

/* ---- replacing ---- */

/* Replace the old page by the new one. False: the old one has other references. */
static bool replace_page(struct migration *m)
{
	struct page *old = m->old, *new = m->new;

	VM_ASSERT(a32_peek(&m->old->flags) & PG_locked);
	if (m->as) {
		if (!filemap_replace(old, new))
			return false;
	} else if (page_test(old, PG_swapcache)) {
		new->index = old->index;
		aptr_store(&new->mapping, aptr_load(&old->mapping));
		if (!swapcache_replace(m->e, old, new))
			return false;
	} else {
		new->index = old->index;
		aptr_store(&new->mapping, aptr_load(&old->mapping));
		if (!page_freeze_refs(old, 1))
			return false;
		page_unfreeze_refs(old, 1); /* it can no longer be found */
	}
	page_set(new, a32_load(&old->flags) & PG_MOVES);
	plat_copy(mmu_data(m->e->mmu, new), mmu_data(m->e->mmu, old), PAGE_SIZE);
	return true;
}

/* The old way to end a failure: unmapping uncharged the page, so charge it again, limit or not
 * (seed 0). */
static void recharge(struct migration *m)
{
	struct mem_cgroup *memcg = page_cgroup_get_memcg(&m->old->pcg);
	struct memcg_handle *h;

	VM_ASSERT(a32_peek(&m->old->flags) & PG_locked);
	page_cgroup_clear_migration(&m->old->pcg);
	h = page_cgroup_uncharge(&m->old->pcg);
	if (h) {
		handle_uncharge(h, 1); /* others may take the room here */
		handle_put_many(h, 1);
		charge_pages(m->e, memcg, NULL, 1, CHARGE_NORECLAIM | CHARGE_FORCE);
		page_commit_charge(m->old, memcg);
	}
	if (memcg)
		memcg_put(memcg);
}

/* Can the page be found other than through entries? */
static bool in_cache(const struct migration *m)
{
	return m->as || page_test(m->old, PG_swapcache);
}

/* Count to the owner while MIGRATION keeps the charge: afterwards there may be no owner. */
static void count_success(const struct migration *m)
{
	page_stat(m->new, STAT_PGMIGRATE_SUCCESS, 1);
	if (m->reason == MIGRATE_DEMOTION || m->reason == MIGRATE_DEMOTION_KSWAPD)
		page_stat(m->new,
			  m->reason == MIGRATE_DEMOTION ? STAT_PGDEMOTE_DIRECT
							: STAT_PGDEMOTE_KSWAPD,
			  1);
}

/* Both pages locked, the old one uptodate and not under writeback. 0, -EAGAIN, or -ENOENT: the old
 * page is gone. */
static int move_page(struct migration *m)
{
	struct page *old = m->old, *new = m->new, *survivor;
	bool replaced;

	lockdep_assert_held(&m->old->flags);
	/* Prefetch the content while the entries are removed, which takes about as long. */
	plat_copy_soon(mmu_data(m->e->mmu, new), mmu_data(m->e->mmu, old), PAGE_SIZE);
	if (!bug_on(MIGRATE_WITHOUT_FLAG))
		page_cgroup_set_migration(&old->pcg);
	if (m->av || page_mapped(old))
		walk(m, old->index, unmap_one);
	page_uncharge_unused(old); /* refused: the migration entries use it */
	replaced = !page_mapped(old) && (m->nr_entries || in_cache(m)) && replace_page(m);
	survivor = replaced ? new : old;
	if (replaced && !bug_on(MIGRATE_COMMIT_AFTER_REMAP))
		page_cgroup_replace(&old->pcg, &new->pcg);
	if (!replaced && !page_mapped(old) && bug_on(MIGRATE_FAILURE_RECHARGES))
		recharge(m);
	remap(m, survivor);
	if (replaced && bug_follows(MIGRATE_COMMIT_AFTER_REMAP))
		page_cgroup_replace(&old->pcg, &new->pcg); /* mapped, but counted to no owner */
	if (replaced && !bug_on(MIGRATION_COUNTED_LATE))
		count_success(m);
	page_cgroup_clear_migration(&survivor->pcg);
	page_uncharge_unused(survivor);
	if (replaced && m->as)
		filemap_forget(old);
	if (replaced)
		return 0;
	return page_mapped(old) || in_cache(m) ? -EAGAIN : -ENOENT;
}

/* ---- one page ---- */

/* The old page is locked. */
static int migrate_locked(struct migration *m)
{
	int err;

	lockdep_assert_held(&m->old->flags);
	m->as = page_file_mapping(m->old);
	if (!page_mapped(m->old) && !in_cache(m))
		return -ENOENT;
	if (!page_test(m->old, PG_uptodate))
		return -EAGAIN;
	m->av = m->as ? NULL : get_anon_vma(m->old);
	if (!page_trylock(m->new))
		VM_BUG_ON("a fresh page is locked");
	err = move_page(m);
	put_anon_vma(m->av);
	page_unlock(m->e, m->new);
	return err;
}

static bool lock_old(struct page *p, bool wait)
{
	if (wait)
		page_lock(p);
	else if (!page_trylock(p))
		return false;
	return true;
}

/* Frames allocated together, for the next pages to move. */
struct fresh {
	struct page *page[MIGRATE_BATCH_MAX];
	unsigned nr;
};

static int take_frames(struct engine *e, unsigned node, struct fresh *f, unsigned n)
{
	VM_ASSERT(n > 0 && node < e->nr_nodes);
	if (frames_alloc_node(e, node, f->page, n) != 0)
		return -ENOMEM;
	if (e->mmu->ops->bring_frames(e->mmu, f->page, n) == 0) {
		f->nr = n;
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		page_put(e, f->page[i]);
	return -ENOMEM;
}

/* Take one of them; if none is left, allocate @want, or one if there is not enough room. */
static int new_page(struct engine *e, unsigned node, struct fresh *f, unsigned want,
		    struct page **new)
{
	if (f->nr == 0 && (want == 1 || take_frames(e, node, f, want) != 0) &&
	    take_frames(e, node, f, 1) != 0)
		return -ENOMEM;
	*new = f->page[--f->nr];
	return 0;
}

/* Put pages back on their lists and drop our references, the last ones if the users are gone. */
static void put_back(struct engine *e, struct page **pages, unsigned n)
{
	lru_add_many(pages, n);
	for (unsigned i = 0; i < n; i++) {
		mlock_recheck(e, pages[i]);
		page_put(e, pages[i]);
	}
}

/* 0: the old page is finished, the caller puts @new back. -ENOENT: @old is gone, the caller puts
 * it. -EAGAIN: @old is still there. @new is consumed in both error cases. */
static int migrate_one(struct engine *e, struct page *old, struct page *new,
		       enum migrate_reason reason)
{
	struct migration m = { .e = e, .old = old, .new = new, .reason = reason };
	bool wait = reason == MIGRATE_SYSCALL;
	int err;

	if (!lock_old(old, wait)) {
		page_put(e, new);
		return -EAGAIN;
	}
	if (wait)
		page_wait_writeback(old);
	err = page_test(old, PG_writeback) ? -EAGAIN : migrate_locked(&m);
	page_unlock(e, old);
	if (err) {
		page_put(e, new);
		return err;
	}
	if (bug_follows(MIGRATION_COUNTED_LATE))
		count_success(&m);
	page_put(e, old);
	return 0;
}

/* Migrate @p, the first of @left pages, in up to PASSES_MAX passes; *@survivor is the new or the
 * old page. As migrate_one, or -ENOMEM. */
static int migrate_next(struct engine *e, struct page *p, unsigned left, unsigned node,
			enum migrate_reason reason, struct fresh *f, struct page **survivor)
{
	int err = -EAGAIN;

	*survivor = p;
	for (int pass = 0; err == -EAGAIN && pass < PASSES_MAX; pass++) {
		struct page *new;

		if (pass)
			plat_yield();
		err = new_page(e, node, f, left, &new);
		if (!err) {
			err = migrate_one(e, p, new, reason);
			*survivor = err ? p : new;
		}
	}
	return err;
}

static void fail_page(struct page *p, struct page **failed, struct migrate_result *r)
{
	page_stat(p, STAT_PGMIGRATE_FAIL, 1);
	failed[r->failed++] = p;
}

/* Migrate up to MIGRATE_BATCH_MAX pages. Failed ones are added to @failed, all others are put back.
 * 0 or the most significant error. */
static int migrate_batch(struct engine *e, struct page **pages, unsigned n, unsigned node,
			 enum migrate_reason reason, struct page **failed, struct migrate_result *r)
{
	struct page *survivor[MIGRATE_BATCH_MAX];
	unsigned done = 0;
	struct fresh f;
	int ret = 0;

	f.nr = 0;
	for (unsigned i = 0; i < n; i++) {
		int err = migrate_next(e, pages[i], n - i, node, reason, &f, &survivor[done]);

		r->migrated += err == 0;
		r->gone += err == -ENOENT;
		if (err == 0 || err == -ENOENT) {
			done++;
			continue;
		}
		fail_page(pages[i], failed, r);
		ret = ret == 0 || err == -ENOMEM ? err : ret;
	}
	VM_BUG_ON(f.nr > 0); /* never more than the pages left, each of which used at least one */
	put_back(e, survivor, done);
	return ret;
}

int migrate_isolated(struct engine *e, struct page **pages, unsigned n, unsigned node,
		     enum migrate_reason reason, struct migrate_result *r)
{
	int ret = !e->mmu->ops->shares ? -EOPNOTSUPP : node >= e->nr_nodes ? -EINVAL : 0;

	*r = (struct migrate_result){ 0 };
	if (ret) {
		for (unsigned i = 0; i < n; i++)
			fail_page(pages[i], pages, r);
		return ret;
	}
	for (unsigned done = 0; done < n;) {
		unsigned part = n - done < MIGRATE_BATCH_MAX ? n - done : MIGRATE_BATCH_MAX;
		int err = migrate_batch(e, pages + done, part, node, reason, pages, r);

		ret = ret == 0 || err == -ENOMEM ? err : ret;
		done += part;
	}
	return ret;
}

int migrate_pages(struct engine *e, struct page **pages, unsigned n, unsigned node,
		  enum migrate_reason reason, struct migrate_result *r)
{
	int ret = migrate_isolated(e, pages, n, node, reason, r);

	put_back(e, pages, r->failed);
	return ret;
}

/* ---- a range ---- */

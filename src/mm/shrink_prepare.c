/* mm/shrink_prepare.c - which pages of an isolated batch are cold: each is locked if its lock is
 * free, its mappings are found and asked whether it was used, and it gets a slot. Races: shrink.c.
 */
#include "mm/shrink.h"

#include "mm/engine.h"
#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/rmap.h"

#define PLACES_MAX 64 /* mappings of one page */

/* Was any of the entries used since reclaim last checked? Clears PTE_YOUNG. Only some MMUs maintain
 * it. */
static bool test_clear_young(struct mmu_req *reqs, unsigned n)
{
	bool young = false;

	for (unsigned i = 0; i < n; i++) {
		struct leaf *leaf;

		rcu_rd_lock();
		leaf = leaf_find(reqs[i].mm, reqs[i].va);
		if (leaf && a64_load(&leaf->pte[leaf_slot(reqs[i].va)]) & PTE_YOUNG) {
			spin_lock(&leaf->lock);
			if (pte_present(pte_read(leaf, reqs[i].va)) &&
			    pte_pfn(pte_read(leaf, reqs[i].va)) == reqs[i].page->pfn) {
				pte_set(leaf, reqs[i].va,
					pte_read(leaf, reqs[i].va) & ~(pte_t)PTE_YOUNG);
				young = true;
			}
			spin_unlock(&leaf->lock);
		}
		rcu_rd_unlock();
	}
	return young;
}

void shrink_drop_reqs(struct shrink *s, unsigned first)
{
	VM_ASSERT(first <= s->nr_reqs);
	while (s->nr_reqs > first)
		if (s->reqs[--s->nr_reqs].mm)
			mm_put(s->reqs[s->nr_reqs].mm);
}

/* Add a request for every mapping of a page. False: leave the page alone. */
static bool find_mappings(struct shrink *s, struct victim *v)
{
	struct rmap_place places[PLACES_MAX];
	unsigned room = MMU_BATCH_MAX - s->nr_reqs;
	int n = rmap_places(v->page, places, room < PLACES_MAX ? room : PLACES_MAX);
	bool locked = false, dying = false;

	if (n < 0) {
		s->r->busy++;
		return false;
	}
	v->first_req = s->nr_reqs;
	for (int i = 0; i < n; i++) {
		locked |= places[i].vm_flags & VM_LOCKED;
		dying |= a32_load(&places[i].mm->no_reclaim) != 0;
		s->reqs[s->nr_reqs++] = (struct mmu_req){
			.page = v->page,
			.mm = places[i].mm,
			.va = places[i].va,
			.result = MMU_WITHDRAWN,
		};
	}
	v->nr_reqs = (unsigned)n;
	if (locked)
		page_set(v->page, PG_unevictable);
	else if (dying)
		s->r->busy++;
	else if (!test_clear_young(s->reqs + v->first_req, v->nr_reqs) || s->flags & RECLAIM_USED)
		return true;
	else if (!page_set(v->page, PG_active))
		page_stat(v->page, STAT_PGACTIVATE, 1);
	return false;
}

static void swap_refused(struct page *p, int err)
{
	struct mem_cgroup *memcg = err == -ENODEV ? NULL : page_cgroup_get_memcg(&p->pcg);

	if (!memcg)
		return;
	if (err == -EDQUOT)
		event_add(memcg, EVENT_SWAP_MAX, 1);
	event_add(memcg, EVENT_SWAP_FAIL, 1);
	memcg_put(memcg);
}

/* Is a locked page of a file or of shared memory cold? False: put it back. A file's page must be
 * found in use twice to become active: most are used once. */
static bool file_is_cold(struct shrink *s, struct page *p)
{
	bool withdraws = s->e->mmu->ops->withdraws;
	struct file_use use;

	lockdep_assert_held(&p->flags);
	rmap_file_look(p, &use);
	if (use.vm_flags & VM_LOCKED) {
		page_set(p, PG_unevictable);
		return false;
	}
	/* Withdrawing shared memory involves no address space. */
	if ((use.no_reclaim && !withdraws) || (withdraws && s->nr_reqs == MMU_BATCH_MAX)) {
		s->r->busy++;
		return false;
	}
	if (!use.young || s->flags & RECLAIM_USED)
		return true;
	if (page_test(p, PG_file) && !page_set(p, PG_referenced))
		return false;
	page_clear(p, PG_referenced);
	if (!page_set(p, PG_active))
		page_stat(p, STAT_PGACTIVATE, 1);
	return false;
}

/* If the page is cold and shared memory, give it a slot. */
static bool prepare_file(struct shrink *s, struct victim *v)
{
	struct page *p = v->page;
	int err;

	lockdep_assert_held(&v->page->flags);
	if (!file_is_cold(s, p))
		return false;
	if (page_test(p, PG_file))
		return true;
	err = swap_add_page(s->e, p, &s->near);
	if (err)
		swap_refused(p, err);
	v->fresh_slot = err == 0;
	if (!err && s->e->mmu->ops->withdraws) {
		v->first_req = s->nr_reqs;
		v->nr_reqs = 1;
		s->reqs[s->nr_reqs++] = (struct mmu_req){ .page = p, .result = MMU_WITHDRAWN };
	}
	return err == 0;
}

/* Do not retry a slot for which a full disk had no block: a mapped page gets another slot, others
 * wait for the disk. */
static bool page_may_be_written(struct engine *e, struct page *p)
{
	if (!page_test(p, PG_swapcache) || !swap_slot_refused(e, p))
		return true;
	return swapcache_try_free(e, p) || swap_disk_take_try(e);
}

bool shrink_prepare(struct shrink *s, struct victim *v)
{
	struct page *p = v->page;
	int err;

	if (!page_trylock(p)) {
		s->r->busy++;
		return false;
	}
	v->locked = true;
	if (!recheck(!page_test(p, PG_writeback))) {
		s->r->busy++;
		return false;
	}
	if (!page_is_anon(p))
		return prepare_file(s, v);
	if (!page_may_be_written(s->e, p)) {
		page_set(p, PG_active); /* else such pages fill the inactive list and others are
					   never scanned */
		return false;
	}
	if (page_mapped(p) && !find_mappings(s, v))
		return false;
	if (!page_mapped(p) && !page_test(p, PG_swapcache) && !bug_on(SWAP_OUT_OF_UNCHARGED_PAGE))
		return false; /* its last user is gone, perhaps just now; our put frees it */
	if (!page_test(p, PG_swapcache)) {
		err = swap_add_page(s->e, p, &s->near);
		if (err) {
			swap_refused(p, err);
			return false;
		}
		v->fresh_slot = true;
	}
	if (v->nr_reqs)
		page_set(p,
			 PG_dirty); /* the write compares it with the slot's content by checksum */
	return true;
}

bool shrink_may_demote(struct shrink *s, struct page *p)
{
	struct victim v = { .page = p };
	unsigned first = s->nr_reqs;
	bool cold = false;

	if (!page_trylock(p)) {
		s->r->busy++;
		return false;
	}
	if (page_test(p, PG_writeback))
		s->r->busy++;
	else if (!page_is_anon(p))
		cold = file_is_cold(s, p);
	else
		cold = page_mapped(p) ? find_mappings(s, &v) : page_test(p, PG_swapcache);
	shrink_drop_reqs(s, first);
	page_unlock(s->e, p);
	return cold;
}

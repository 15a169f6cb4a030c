/* tests/unit/audit/recount_test.c - each check of the audit can fail: corrupt one field, expect the
 * number, restore the field. */
#include "base/bitmap.h"
#include "soft_fixture.h"

static struct soft_fixture fx;
static struct mem_cgroup *g, *h;
static struct mm *mm, *child;
static struct audit_report report;

/* A group of groups, two address spaces, pages in memory, in swap and in both. */
static void up(void)
{
	fx_up(&fx, SOFT_SHARED, 1024, 128);
	memset(&report, 0, sizeof(report));
	g = fx_group(&fx, NULL, "g", 500);
	h = fx_group(&fx, g, "h", 400);
	mm = fx_mapped_mm(&fx, h, 60);
	fx_fill_run(&fx, mm, FX_BASE, 60, 1);
	assert_int_equal(fx_reclaim(&fx, g, 60), 60);
	fx_check_run(&fx, mm, FX_BASE, 20, 1);
	child = fx_fork(&fx, mm, h);
	assert_int_equal(audit_engine(&fx.e, &report), 0);
}

static void down(void)
{
	assert_int_equal(audit_engine(&fx.e, &report), 0);
	fx_exit(&fx, mm);
	fx_exit(&fx, child);
	fx_ungroup(&fx, h);
	fx_ungroup(&fx, g);
	fx_down(&fx);
}

/* The audit must name @invariant. */
static void expect(int invariant)
{
	char name[8];

	snprintf(name, sizeof(name), "I%d: ", invariant);
	assert_int_equal(audit_engine(&fx.e, &report), 1);
	if (!report.by_invariant[invariant] || !strstr(report.text, name))
		fail_msg("no %s in\n%s", name, report.text);
	assert_true(report.violations > 0);
}

static struct page *page_at(uint64_t i)
{
	return pfn_page(&fx.e, pte_pfn(fx_pte(mm, FX_BASE + i * PAGE_SIZE)));
}

static uint32_t slot_at(uint64_t i)
{
	assert_true(pte_is_swap(fx_pte(mm, FX_BASE + i * PAGE_SIZE)));
	return pte_entry(fx_pte(mm, FX_BASE + i * PAGE_SIZE)) - 1;
}

static void add64(atomic64_t *field, int64_t d, int invariant)
{
	a64_add(field, d);
	expect(invariant);
	a64_add(field, -d);
}

static void add32(atomic32_t *field, int32_t d, int invariant)
{
	a32_add(field, d);
	expect(invariant);
	a32_add(field, -d);
}

static void flip(atomic32_t *field, uint32_t bits, int invariant)
{
	uint32_t old = a32_load(field);

	a32_store(field, old ^ bits);
	expect(invariant);
	a32_store(field, old);
}

TEST(counters_that_do_not_match_the_pages_are_seen)
{
	up();
	add64(&h->memory.usage, 1, 1);
	add64(&g->memory.usage, -1, 1);
	add64(&h->memsw.usage, 1, 2);
	add64(&h->swap.usage, -1, 3);
	add64(&fx.e.tree.root->swap.usage, 1, 3);
	flip(&fx.e.swap->map[slot_at(50)], SLOT_MEMSW, 2);
	down();
}

TEST(statistics_that_do_not_match_the_pages_are_seen)
{
	up();
	for (int i = 0; i < NR_STATS; i++)
		if (stat_is_gauge(i) && i != STAT_UNMANAGED && i != STAT_PAGETABLES &&
		    i != STAT_OWN_TABLES)
			add64(&h->stat.cpu[0].v[i], 1, 4);
	add64(&h->stat.cpu[3].v[STAT_ANON], -1000, 4);
	add64(&h->stat.cpu[0].v[STAT_PGFAULT], -1000000, 4);
	/* Unmanaged memory is a statistic that counts in memory. */
	add64(&h->stat.cpu[0].v[STAT_UNMANAGED], 1, 1);
	down();
}

TEST(usage_above_a_limit_is_seen_unless_it_was_forced)
{
	up();
	page_counter_force_max(&h->memory, 1);
	expect(6);
	report.flags = AUDIT_FORCED;
	assert_int_equal(audit_engine(&fx.e, &report), 0);
	report.flags = 0;
	page_counter_force_max(&h->memory, 400);
	a64_add(&h->memsw.usage, -1000);
	expect(6);
	a64_add(&h->memsw.usage, 1000);
	down();
}

TEST(charges_and_handles_that_disagree_are_seen)
{
	struct page *p;
	int64_t word;

	up();
	p = page_at(0);
	word = a64_load(&p->pcg);
	a64_store(&p->pcg, 0);
	expect(7);
	a64_store(&p->pcg, word & ~(int64_t)PCG_USED);
	expect(7);
	a64_store(&p->pcg, word | PCG_MIGRATION);
	expect(8);
	a64_store(&p->pcg, (int64_t)(uintptr_t)g->handle | PCG_USED);
	expect(9);
	a64_store(&p->pcg, word);
	add32(&h->handle->ref, 1, 7);
	p = list_first(&fx.e.node[0].free, struct page, lru);
	a64_store(&p->pcg, word);
	expect(7);
	a64_store(&p->pcg, 0);
	down();
}

TEST(lists_that_disagree_with_flags_are_seen)
{
	up();
	flip(&page_at(0)->flags, PG_lru, 9);
	flip(&page_at(0)->flags, PG_active, 9);
	flip(&page_at(0)->flags, PG_unevictable, 9);
	add64(&memcg_lruvec(h, 0)->nr[LRU_INACTIVE_ANON], 1, 9);
	assert_true(lru_isolate_page(page_at(1)));
	expect(9);
	lru_add(page_at(1));
	down();
}

TEST(slots_that_disagree_with_entries_are_seen)
{
	atomic32_t *map;
	uint32_t slot;
	void *cache;

	up();
	slot = slot_at(50);
	map = &fx.e.swap->map[slot];
	add32(map, 1, 10);
	flip(map, SLOT_CACHE, 10);
	flip(map, SLOT_USED, 10);
	flip(map, SLOT_VALID, 10);
	fx.e.swap->bitmap[slot / 64] ^= 1ull << slot % 64;
	expect(10);
	fx.e.swap->bitmap[slot / 64] ^= 1ull << slot % 64;
	add64(&fx.e.swap->nr_used, 1, 33);
	cache = aptr_xchg(&fx.e.swap->cache[slot], page_at(0));
	expect(10);
	aptr_store(&fx.e.swap->cache[slot], cache);
	down();
}

TEST(a_swap_cache_that_is_no_bijection_is_seen)
{
	struct page *p;
	uint32_t entry;

	up();
	p = page_at(3);
	assert_true(page_test(p, PG_swapcache));
	entry = a32_load(&p->entry);
	a32_store(&p->entry, entry + 1);
	expect(12);
	a32_store(&p->entry, entry);
	flip(&p->flags, PG_swapcache, 12);
	down();
}

/* A slot whose only user is an idle page in the cache: the result of a lost zap race. */
TEST(a_stranded_swap_entry_is_seen)
{
	struct page *p;
	uint32_t entry;

	up();
	assert_int_equal(fx_check(&fx, mm, FX_BASE + 50 * PAGE_SIZE, 1), 0);
	fx_discard(&fx, child, FX_BASE + 50 * PAGE_SIZE, 1);
	p = page_at(50);
	entry = page_entry(p);
	assert_true(entry != 0);
	page_get(p);
	a32_store(&p->mapcount, 0);
	expect(11);
	a32_store(&p->mapcount, 1);
	page_put(&fx.e, p);
	assert_int_equal(entry, page_entry(p));
	down();
}

TEST(references_and_mappings_that_disagree_with_entries_are_seen)
{
	struct leaf *l;
	pte_t pte;

	up();
	add32(&page_at(0)->refcount, 1, 13);
	add32(&page_at(0)->mapcount, 1, 17);
	l = leaf_find(mm, FX_BASE);
	pte = pte_read(l, FX_BASE);
	a64_store(&l->pte[leaf_slot(FX_BASE)], PTE_MIGRATION);
	expect(17);
	a64_store(&l->pte[leaf_slot(FX_BASE)], pte_make_present(0xfffff, true));
	expect(17);
	a64_store(&l->pte[leaf_slot(FX_BASE)], 0);
	expect(13);
	expect(30);
	a64_store(&l->pte[leaf_slot(FX_BASE)], pte_make_swap(100000));
	expect(10);
	a64_store(&l->pte[leaf_slot(FX_BASE)], pte);
	down();
}

TEST(a_mapping_that_the_reverse_mapping_does_not_find_is_seen)
{
	struct page *p;
	void *av;

	up();
	p = page_at(0);
	p->index++;
	expect(15);
	p->index--;
	av = aptr_xchg(&p->mapping, mm);
	expect(15);
	aptr_store(&p->mapping, av);
	down();
}

TEST(a_group_that_does_not_go_is_seen)
{
	up();
	report.flags = AUDIT_FLUSHED;
	rcu_flush();
	add32(&fx.e.tree.nr_groups, 1, 14);
	add32(&fx.e.tree.nr_handles, 1, 14);
	down();
}

TEST(counts_of_events_that_go_back_are_seen)
{
	up();
	event_add(h, EVENT_MAX, 5);
	assert_int_equal(audit_engine(&fx.e, &report), 0);
	a64_add(&h->stat.event[EVENT_MAX], -1);
	expect(22);
	stat_add(h, STAT_PSWPOUT, -1);
	expect(23);
	down();
}

TEST(address_spaces_that_miscount_are_seen)
{
	uint64_t end;

	up();
	add64(&mm->rss, 1, 30);
	add64(&mm->swapents, 1, 30);
	add64(&mm->locked, 1, 30);
	end = mm->vmas[0]->end;
	mm->vmas[0]->end -= 50 * PAGE_SIZE;
	expect(31);
	mm->vmas[0]->end = mm->vmas[0]->start;
	expect(31);
	mm->vmas[0]->end = end;
	add64(&fx.e.nr_mms, -1, 33);
	add64(&fx.e.nr_leaves, 1, 33);
	add64(&fx.e.nr_vmas, 1, 33);
	add64(&fx.e.nr_chains, 1, 33);
	add64(&fx.e.nr_anon_vmas, 100, 33);
	down();
}

TEST(frames_that_are_not_blank_or_not_idle_are_seen)
{
	struct page *p;

	up();
	p = list_first(&fx.e.node[0].free, struct page, lru);
	flip(&p->flags, PG_dirty, 32);
	add64(&fx.e.nr_free, 1, 32);
	flip(&page_at(0)->flags, PG_locked, 32);
	flip(&page_at(0)->flags, PG_uptodate, 32);
	down();
}

/* A frame on the wrong side of its node's end, in use above it, or miscounted. */
TEST(frames_that_do_not_agree_with_the_end_of_their_node_are_seen)
{
	struct frame_node *node = &fx.e.node[0];
	struct page *p;

	up();
	p = list_first(&node->free, struct page, lru);
	node->end = p->pfn;
	expect(34);
	node->end = UINT32_MAX;
	node->end = page_at(0)->pfn;
	node->nr_above = node->nr_frames - node->end;
	expect(34);
	assert_non_null(strstr(report.text, "is in use, and node 0 ends at"));
	node->end = UINT32_MAX;
	node->nr_above = 0;
	node->max = 1;
	expect(34);
	node->max = 1024;
	node->nr_frames++;
	expect(34);
	node->nr_frames--;
	node->nr_offline++;
	expect(32);
	node->nr_offline--;
	bitmap_clear(fx.e.unused, p->pfn);
	expect(34);
	bitmap_set(fx.e.unused, p->pfn);
	bitmap_set(fx.e.unused, page_at(0)->pfn);
	expect(34);
	bitmap_clear(fx.e.unused, page_at(0)->pfn);
	down();
}

TEST(a_report_names_what_fits_and_counts_the_rest)
{
	up();
	for (uint64_t i = 0; i < 60; i++)
		if (pte_present(fx_pte(mm, FX_BASE + i * PAGE_SIZE)))
			a32_add(&page_at(i)->refcount, 7);
	for (uint32_t i = 0; i < 128; i++)
		fx.e.swap->bitmap[i / 64] ^= 1ull << i % 64;
	expect(10);
	assert_true(report.violations > 128);
	assert_true(strlen(report.text) < AUDIT_TEXT);
	assert_int_equal(report.text[strlen(report.text) - 1], '\n');
	for (uint64_t i = 0; i < 60; i++)
		if (pte_present(fx_pte(mm, FX_BASE + i * PAGE_SIZE)))
			a32_add(&page_at(i)->refcount, -7);
	for (uint32_t i = 0; i < 128; i++)
		fx.e.swap->bitmap[i / 64] ^= 1ull << i % 64;
	down();
}

TEST(a_stale_translation_is_seen)
{
	struct leaf *l;
	pte_t pte;

	up();
	assert_int_equal(fx_fill(&fx, mm, FX_BASE, 1), 0);
	assert_int_equal(soft_stale_translations(&fx.soft), 0);
	l = leaf_find(mm, FX_BASE);
	pte = pte_read(l, FX_BASE);
	a64_store(&l->pte[leaf_slot(FX_BASE)], pte & ~(pte_t)PTE_WRITE);
	assert_true(soft_stale_translations(&fx.soft) > 0);
	a64_store(&l->pte[leaf_slot(FX_BASE)], pte);
	down();
}

TEST(without_memory_the_audit_says_so)
{
	up();
	fault_arm(FAULT_ALLOC, 2);
	assert_int_equal(audit_engine(&fx.e, &report), -ENOMEM);
	fault_arm(FAULT_ALLOC, 0);
	down();
}

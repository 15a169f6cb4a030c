/* check/scenario/fixture.c - see fixture.h. */
#include "scenario/fixture.h"

#include <string.h>

#define WORDS 4 /* at the start of a page's content */

struct check_fixture *fx;

/* ---- names ---- */

void fx_name_frames(void)
{
	for (unsigned i = 0; i < fx->e.nr_chunks * FRAME_CHUNK; i++) {
		struct page *p = pfn_page(&fx->e, i);

		sim_name(p, sizeof(*p), "page %u", i);
		sim_name(&p->flags, sizeof(p->flags), "page %u flags", i);
		sim_name(&p->refcount, sizeof(p->refcount), "page %u refcount", i);
		sim_name(&p->mapcount, sizeof(p->mapcount), "page %u mapcount", i);
		sim_name(&p->entry, sizeof(p->entry), "page %u entry", i);
	}
}

static void name_slots(struct swap_device *d)
{
	sim_name(d, sizeof(*d), "swap");
	sim_name(&d->index.lock, sizeof(d->index.lock), "swap index lock");
	for (unsigned i = 0; i < d->nr_slots; i++) {
		sim_name(&d->map[i], sizeof(d->map[0]), "slot %u map", i);
		sim_name(&d->cache[i], sizeof(d->cache[0]), "slot %u cache", i);
		sim_name(&d->owner[i], sizeof(d->owner[0]), "slot %u owner", i);
	}
}

static void name_group(struct mem_cgroup *g, const char *name)
{
	sim_name(g, sizeof(*g), "%s", name);
	sim_name(&g->memory, sizeof(g->memory), "%s memory", name);
	sim_name(&g->memsw, sizeof(g->memsw), "%s memsw", name);
	sim_name(&g->swap, sizeof(g->swap), "%s swap", name);
	sim_name(&g->stock, sizeof(g->stock), "%s stock", name);
	sim_name(g->handle, sizeof(*g->handle), "%s handle", name);
	sim_name(memcg_lruvec(g, 0), sizeof(struct lruvec), "%s lists", name);
	for (unsigned cpu = 0; cpu < 2; cpu++) { /* tasks run on these */
		sim_name(&g->stat.cpu[cpu].v[STAT_ANON], sizeof(g->stat.cpu[0].v[0]),
			 "%s anon, CPU %u", name, cpu);
		sim_name(&g->stat.cpu[cpu].v[STAT_FILE_MAPPED], sizeof(g->stat.cpu[0].v[0]),
			 "%s file_mapped, CPU %u", name, cpu);
	}
	if (fx->e.nr_nodes > 1)
		sim_name(memcg_lruvec(g, 1), sizeof(struct lruvec), "%s slow lists", name);
}

static void name_leaf(struct mm *mm, const char *name)
{
	struct leaf *leaf = leaf_find(mm, FX_BASE);

	if (!leaf)
		return;
	sim_name(leaf, sizeof(*leaf), "%s leaf", name);
	for (unsigned i = 0; i < 4; i++)
		sim_name(&leaf->pte[leaf_slot(FX_VA(i))], sizeof(leaf->pte[0]), "%s pte %u", name,
			 i);
}

/* ---- set-up ---- */

static void need(bool ok, const char *what)
{
	if (!ok)
		sim_fail(SIM_WRONG, __FILE__, 0, "set-up: %s", what);
}

static void up(unsigned nr_slots, unsigned nr_nodes, enum soft_kind kind)
{
	struct store *store = store_sim_create(nr_slots);

	fx = plat_alloc(sizeof(*fx));
	fx->e.nr_nodes = nr_nodes;
	fx->e.demotion[0] = nr_nodes > 1 ? 2 : 0;
	need(soft_init(&fx->soft, kind, nr_nodes * FX_FRAMES, handle_fault) == 0, "no MMU");
	need(engine_init(&fx->e, &fx->soft.mmu, store, nr_nodes * FX_FRAMES) == 0, "no engine");
	sim_name(&fx->e, sizeof(fx->e), "engine");
	sim_name(&fx->soft, sizeof(fx->soft), "mmu");
	name_group(fx->e.tree.root, "root");
	name_slots(fx->e.swap);
}

void fx_up(unsigned nr_slots)
{
	up(nr_slots, 1, SOFT_SHARED);
}

void fx_up_withdrawing(unsigned nr_slots)
{
	up(nr_slots, 1, SOFT_EXCLUSIVE);
}

void fx_up_tiers(unsigned nr_slots)
{
	struct page *p;

	up(nr_slots, 2, SOFT_SHARED);
	/* Every frame gets its record, and its name, before the first task. */
	for (unsigned node = 0; node < 2; node++) {
		need(frames_alloc_node(&fx->e, node, &p, 1) == 0, "no frames");
		page_put(&fx->e, p);
	}
	fx_name_frames();
}

struct mem_cgroup *fx_group(const char *name, int64_t stock)
{
	return fx_subgroup(NULL, name, stock);
}

struct mem_cgroup *fx_subgroup(struct mem_cgroup *parent, const char *name, int64_t stock)
{
	int err;
	struct mem_cgroup *g = group_create(&fx->e, parent, name, &err);

	need(g != NULL, "no group");
	for (unsigned cpu = 0; cpu < PLAT_NR_CPUS && stock; cpu++) {
		page_counter_charge(&g->memsw, stock);
		page_counter_charge(&g->memory, stock);
		a64_store(&g->stock.cpu[cpu].nr, stock);
	}
	name_group(g, name);
	fx->group[fx->nr_groups++] = g;
	return g;
}

static struct mm *new_mm(struct mem_cgroup *group, const char *name)
{
	struct mm *mm = mm_create(&fx->e, group, NULL);

	need(mm != NULL, "no address space");
	sim_name(mm, sizeof(*mm), "%s", name);
	sim_name(&mm->mmap_lock, sizeof(mm->mmap_lock), "%s mmap_lock", name);
	fx->mm[fx->nr_mms++] = mm;
	return mm;
}

struct mm *fx_empty_mm(struct mem_cgroup *group, const char *name)
{
	return new_mm(group, name);
}

/* Enters its only area in the table. */
static void make_tables(struct mm *mm, const char *name)
{
	need(leaf_get(mm, FX_BASE) != NULL && anon_vma_prepare(mm->vmas[0]) == 0, "no tables");
	name_leaf(mm, name);
	sim_name(aptr_load(&mm->vmas[0]->anon_vma), sizeof(struct anon_vma), "%s anon_vma", name);
}

struct mm *fx_mm(struct mem_cgroup *group, const char *name, unsigned npages)
{
	struct mm *mm = new_mm(group, name);

	rw_wrlock(&mm->mmap_lock);
	need(vma_insert(mm, FX_BASE, FX_VA(npages), VM_READ | VM_WRITE) == 0, "no area");
	rw_wrunlock(&mm->mmap_lock);
	make_tables(mm, name);
	return mm;
}

static void make_words(unsigned page, unsigned age, uint64_t *w)
{
	for (unsigned i = 0; i < WORDS; i++)
		w[i] = (page + 1) * 0x9e3779b97f4a7c15ull + age * WORDS + i;
}

/* ---- files that fill private memory ---- */

static int backing_read(struct backing *b, uint64_t index, void *to, unsigned n)
{
	(void)b;
	for (unsigned i = 0; i < n; i++)
		make_words((unsigned)index + i, 0, (uint64_t *)((char *)to + i * PAGE_SIZE));
	return (int)n;
}

static void backing_release(struct backing *b)
{
	(void)b;
	fx->nr_backings--;
}

struct mm *fx_backed_mm(struct mem_cgroup *group, const char *name, unsigned npages)
{
	static const struct backing_ops ops = { .read = backing_read, .release = backing_release };
	struct mm *mm = new_mm(group, name);

	fx->e.may_back = true;
	fx->nr_backings++;
	fx->backing.ops = &ops;
	a32_store(&fx->backing.refcount, 1);
	sim_name(&fx->backing, sizeof(fx->backing), "backing");
	rw_wrlock(&mm->mmap_lock);
	need(vma_insert_backed(mm, FX_BASE, FX_VA(npages), VM_READ | VM_WRITE, &fx->backing, 0) ==
		     0,
	     "no area");
	rw_wrunlock(&mm->mmap_lock);
	backing_put(&fx->backing);
	make_tables(mm, name);
	return mm;
}

/* ---- files ---- */

static void io_done(struct store_batch *b)
{
	(void)b;
}

static void page_io(struct store *store, bool write, unsigned page, void *data)
{
	struct store_batch b = {
		.write = write, .n = 1, .io = { { .slot = page, .data = data } }, .end_io = io_done
	};

	store_submit(store, &b);
	store_wait(store, &b);
	need(b.io[0].error == 0, "a store refuses");
}

static struct address_space *new_file(struct store *store, unsigned npages)
{
	struct address_space *as = file_create(&fx->e, store, npages);

	need(as != NULL, "no file");
	sim_name(as, sizeof(*as), "file");
	sim_name(&as->lock, sizeof(as->lock), "file table");
	sim_name(&as->i_mmap_lock, sizeof(as->i_mmap_lock), "file i_mmap");
	fx->file[fx->nr_files++] = as;
	return as;
}

struct address_space *fx_file(unsigned npages)
{
	struct store *store = store_sim_create(npages);
	uint64_t *w = plat_alloc(PAGE_SIZE);

	for (unsigned i = 0; i < npages; i++) {
		make_words(i, 0, w);
		page_io(store, true, i, w);
	}
	plat_free(w);
	return new_file(store, npages);
}

struct address_space *fx_shmem(unsigned npages)
{
	return new_file(NULL, npages);
}

struct mm *fx_file_mm(struct mem_cgroup *group, const char *name, struct address_space *as)
{
	struct mm *mm = new_mm(group, name);

	need(file_mmap(mm, FX_BASE, FX_VA(as->nr_pages), VM_READ | VM_WRITE | VM_SHARED, as, 0) ==
		     0,
	     "no area");
	need(leaf_get(mm, FX_BASE) != NULL, "no tables");
	name_leaf(mm, name);
	return mm;
}

void fx_file_holds(struct address_space *as, unsigned page, unsigned age)
{
	uint64_t *w = plat_alloc(PAGE_SIZE), good[WORDS];
	uint32_t entry;
	struct page *p = filemap_lookup(as, page, &entry);

	make_words(page, age, good);
	if (p) {
		plat_copy(w, mmu_data(fx->e.mmu, p), PAGE_SIZE);
		page_put(&fx->e, p);
	} else {
		page_io(as->store, false, page, w);
	}
	if (memcmp(w, good, sizeof(good)) != 0)
		sim_fail(SIM_WRONG, NULL, 0,
			 "I19: page %u of the file, %s, does not hold what was stored last", page,
			 p ? "in memory" : "in its store");
	plat_free(w);
}

/* ---- set-up, of pages ---- */

void fx_set_young(struct mm *mm, unsigned page, bool young)
{
	struct leaf *leaf = leaf_find(mm, FX_VA(page));
	pte_t pte = pte_read(leaf, FX_VA(page));

	pte_set(leaf, FX_VA(page), young ? pte | PTE_YOUNG : pte & ~(pte_t)PTE_YOUNG);
}

/* A small limit disables fault-around: the other pages of the area stay as they are. */
void fx_fill(struct mm *mm, unsigned page)
{
	uint64_t w[WORDS];

	make_words(page, 0, w);
	page_counter_force_max(&mm_memcg(mm)->memory, 16);
	need(soft_write(&fx->soft, mm, 0, FX_VA(page), w, sizeof(w)) == 0, "no page");
	page_counter_force_max(&mm_memcg(mm)->memory, PAGE_COUNTER_MAX);
	memset(mm->streams, 0, sizeof(mm->streams));
	fx_set_young(mm, page, false);
	fx_name_frames();
}

struct page *fx_isolate(struct mm *mm, unsigned page)
{
	pte_t pte = fx_pte(mm, page);
	struct page *p = pte_present(pte) ? pfn_page(&fx->e, pte_pfn(pte))
					  : swapcache_get(&fx->e, pte_entry(pte));

	if (pte_present(pte))
		page_get(p);
	need(p && lru_isolate_page(p), "not on a list");
	fx_name_frames();
	return p;
}

void fx_push_out(struct mm *mm, unsigned page)
{
	struct page *p = fx_isolate(mm, page);
	struct reclaim_result r = { 0 };

	shrink_pages(&fx->e, &p, 1, 0, &r);
	need(pte_is_swap(fx_pte(mm, page)), "not pushed out");
}

void fx_push_out_shared(struct mm *mm, unsigned page)
{
	struct page *p = fx_isolate(mm, page);
	struct reclaim_result r = { 0 };

	shrink_pages(&fx->e, &p, 1, 0, &r);
	need(r.reclaimed == 1, "not pushed out");
}

void fx_push_to_cache(struct mm *mm, unsigned page, bool dirty)
{
	struct page *p = fx_isolate(mm, page);
	struct reclaim_result r = { 0 };

	page_get(p); /* keeps reclaim from dropping it */
	fault_arm(FAULT_WRITE, dirty);
	shrink_pages(&fx->e, &p, 1, 0, &r);
	need(page_test(p, PG_swapcache) && page_test(p, PG_dirty) == dirty,
	     "not in the swap cache");
	page_put(&fx->e, p);
}

struct mm *fx_fork(struct mm *parent, const char *name)
{
	struct mm *child = new_mm(mm_memcg(parent), name);

	fx_fork_into(parent, child);
	name_leaf(child, name);
	return child;
}

void fx_move(struct mm *mm, struct mem_cgroup *group)
{
	memcg_get(group);
	memcg_put(mm_memcg(mm));
	aptr_store(&mm->memcg, group);
}

pte_t fx_pte(struct mm *mm, unsigned page)
{
	struct leaf *leaf = leaf_find(mm, FX_VA(page));

	return leaf ? pte_read(leaf, FX_VA(page)) : 0;
}

/* ---- actions of tasks ---- */

void fx_discard(struct mm *mm, unsigned page, unsigned n)
{
	rw_wrlock(&mm->mmap_lock);
	mm_discard_locked(mm, FX_VA(page), FX_VA(page + n));
	rw_wrunlock(&mm->mmap_lock);
}

void fx_unmap(struct mm *mm, unsigned page, unsigned n)
{
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, FX_VA(page), FX_VA(page + n));
	rw_wrunlock(&mm->mmap_lock);
}

void fx_fork_into(struct mm *parent, struct mm *child)
{
	int err;

	rw_wrlock(&parent->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	err = mm_fork_locked(parent, child, 0);
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&parent->mmap_lock);
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "fork failed: %d", err);
}

void fx_read(struct mm *mm, unsigned page, unsigned age)
{
	uint64_t w[WORDS], good[WORDS];
	int err = soft_read(&fx->soft, mm, plat_cpu(), FX_VA(page), w, sizeof(w));

	make_words(page, age, good);
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "page %u cannot be read: %d", page, err);
	if (memcmp(w, good, sizeof(w)) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "page %u holds other words than were written last",
			 page);
}

void fx_write(struct mm *mm, unsigned page, unsigned age)
{
	uint64_t w[WORDS];
	int err;

	make_words(page, age, w);
	err = soft_write(&fx->soft, mm, plat_cpu(), FX_VA(page), w, sizeof(w));
	if (err)
		sim_fail(SIM_WRONG, NULL, 0, "page %u cannot be written: %d", page, err);
}

int fx_fault(struct mm *mm, unsigned page, bool write)
{
	return handle_fault(mm, FX_VA(page), write);
}

void fx_exit(struct mm *mm)
{
	mm_teardown(mm);
}

void fx_ungroup(struct mem_cgroup *group)
{
	int err = group_remove(&fx->e, group);

	if (err)
		sim_fail(SIM_LEAK, NULL, 0, "a group cannot be removed: %d", err);
	for (unsigned i = 0; i < fx->nr_groups; i++)
		if (fx->group[i] == group)
			fx->group[i] = NULL;
	memcg_put(group);
}

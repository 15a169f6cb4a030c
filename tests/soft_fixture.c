/* tests/soft_fixture.c - see soft_fixture.h. */
#include <pthread.h>

#include "soft_fixture.h"

#define WORDS (PAGE_SIZE / sizeof(uint64_t))

/* ---- the store ---- */

/* As in a sparse file. */
static bool take_block(struct test_store *t, uint64_t slot)
{
	if (t->has_block[slot])
		return true;
	if (a64_add(&t->blocks, -1) < 0) {
		a64_add(&t->blocks, 1);
		return false;
	}
	t->has_block[slot] = 1;
	return true;
}

static int test_io(struct test_store *t, bool write, uint64_t slot, char *data)
{
	int64_t nr = a64_add(write ? &t->nr_writes : &t->nr_reads, 1);
	uint32_t err = a32_load(write ? &t->write_errno : &t->read_errno),
		 every = a32_load(&t->fail_every);

	if (err)
		return -(int)err;
	if (fault_hit(write ? FAULT_WRITE : FAULT_READ) || (every && nr % every == 0))
		return -EIO;
	VM_BUG_ON(slot >= t->store.nr_slots);
	if (write && !take_block(t, slot))
		return -ENOSPC;
	if (write)
		memcpy(t->slots + slot * PAGE_SIZE, data, PAGE_SIZE);
	else
		memcpy(data, t->slots + slot * PAGE_SIZE, PAGE_SIZE);
	if (!write && a32_load(&t->corrupt_reads))
		data[100] ^= 1;
	return 0;
}

static void test_submit(struct store *s, struct store_batch *b)
{
	struct test_store *t = (struct test_store *)s;
	void (**during)(void *arg) = b->write ? &t->during_write : &t->during_read;
	void (*fn)(void *arg) = *during;
	bool refuse = b->write && a32_load(&t->refuse);

	VM_BUG_ON(b->n > STORE_BATCH_MAX);
	if (fn) {
		*during = NULL;
		fn(t->during_arg);
	}
	if (refuse)
		a32_add(&t->refuse, -1);
	for (unsigned i = 0; i < b->n; i++)
		b->io[i].error = refuse ? -ENOSPC : test_io(t, b->write, b->io[i].slot, b->io[i].data);
	b->end_io(b);
}

static void test_wait(struct store *s, struct store_batch *b)
{
	(void)s, (void)b;
}

static void test_destroy(struct store *s)
{
	struct test_store *t = (struct test_store *)s;

	plat_free_big(t->slots, s->nr_slots * PAGE_SIZE);
	plat_free(t->has_block);
	plat_free(t);
}

static const struct store_ops test_ops = {
	.name = "test",
	.submit = test_submit,
	.wait = test_wait,
	.destroy = test_destroy,
};

struct test_store *fx_store(uint64_t nr_slots)
{
	struct test_store *t = plat_alloc(sizeof(*t));

	if (!t)
		return NULL;
	t->store.ops = &test_ops;
	t->store.nr_slots = nr_slots;
	a64_store(&t->blocks, (int64_t)nr_slots);
	t->has_block = plat_alloc(nr_slots);
	t->slots = plat_alloc_big(nr_slots * PAGE_SIZE);
	if (t->slots && t->has_block)
		return t;
	if (t->slots)
		plat_free_big(t->slots, nr_slots * PAGE_SIZE);
	plat_free(t->has_block);
	plat_free(t);
	return NULL;
}

/* ---- up and down ---- */

static void on_kill(void *arg, struct mm *mm)
{
	struct soft_fixture *fx = arg;

	if (!fx->reap)
		return;
	soft_client_exit(&fx->soft, mm);
	mm_teardown(mm);
}

static void on_notice(void *arg, const char *text)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct soft_fixture *fx = arg;

	pthread_mutex_lock(&mutex);
	snprintf(fx->notice, sizeof(fx->notice), "%s", text);
	pthread_mutex_unlock(&mutex);
}

static int try_up(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots,
		  const struct fx_memory *memory)
{
	int err;

	memset(fx, 0, sizeof(*fx));
	fx->reap = true;
	max_frames = (max_frames + FRAME_CHUNK - 1) / FRAME_CHUNK * FRAME_CHUNK;
	if (soft_init(&fx->soft, kind, max_frames, handle_fault) != 0)
		return -ENOMEM;
	fx->soft.killed = on_kill;
	fx->soft.killed_arg = fx;
	if (nr_slots) {
		fx->store = fx_store(nr_slots);
		if (!fx->store) {
			soft_fini(&fx->soft);
			return -ENOMEM;
		}
	}
	fx->e.nr_nodes = memory->nr_nodes;
	memcpy(fx->e.distance, memory->distance, sizeof(fx->e.distance));
	memcpy(fx->e.demotion, memory->demotion, sizeof(fx->e.demotion));
	err = engine_init(&fx->e, &fx->soft.mmu, fx->store ? &fx->store->store : NULL, max_frames);
	if (err)
		soft_fini(&fx->soft);
	fx->e.notice = on_notice;
	fx->e.notice_arg = fx;
	return err;
}

int fx_try_up(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots)
{
	return try_up(fx, kind, max_frames, nr_slots, &(struct fx_memory){ 0 });
}

void fx_up(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots)
{
	assert_int_equal(fx_try_up(fx, kind, max_frames, nr_slots), 0);
}

void fx_up_nodes(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots,
		 unsigned nr_nodes)
{
	fx_up_memory(fx, kind, max_frames, nr_slots, &(struct fx_memory){ .nr_nodes = nr_nodes });
}

void fx_up_memory(struct soft_fixture *fx, enum soft_kind kind, uint32_t max_frames, uint32_t nr_slots,
		  const struct fx_memory *memory)
{
	assert_int_equal(try_up(fx, kind, max_frames, nr_slots, memory), 0);
}

void fx_audit(struct soft_fixture *fx, unsigned flags)
{
	fx->report.flags = flags;
	if (flags & AUDIT_FLUSHED)
		for (int i = 0; i < 4; i++) /* a deferred call may defer another */
			rcu_flush();
	if (audit_engine(&fx->e, &fx->report) != 0)
		fail_msg("audit: %u violations\n%s", fx->report.violations, fx->report.text);
	assert_int_equal(soft_stale_translations(&fx->soft), 0);
}

void fx_nothing_left(struct soft_fixture *fx)
{
	struct engine *e = &fx->e;

	assert_int_equal(a64_load(&e->nr_mms), 0);
	assert_int_equal(a64_load(&e->nr_leaves), 0);
	assert_int_equal(a64_load(&e->nr_vmas), 0);
	assert_int_equal(a64_load(&e->nr_anon_vmas), 0);
	assert_int_equal(a64_load(&e->nr_chains), 0);
	assert_int_equal(a64_load(&e->nr_free), a64_load(&e->nr_frames));
	assert_int_equal(a64_load(&fx->soft.nr_home), 0);
	assert_int_equal(a64_load(&fx->soft.nr_client), 0);
	assert_int_equal(a32_load(&e->reclaimers), 0);
	if (e->swap)
		assert_int_equal(a64_load(&e->swap->nr_used), 0);
	stock_drain(e->tree.root);
	assert_int_equal(page_counter_read(&e->tree.root->memory), 0);
	assert_int_equal(page_counter_read(&e->tree.root->memsw), 0);
	assert_int_equal(page_counter_read(&e->tree.root->swap), 0);
}

void fx_down(struct soft_fixture *fx)
{
	engine_stop(&fx->e);
	fx_audit(fx, AUDIT_FLUSHED);
	fx_nothing_left(fx);
	assert_int_equal(a32_load(&fx->e.tree.nr_groups), 1);
	assert_int_equal(a32_load(&fx->e.tree.nr_handles), 1);
	engine_fini(&fx->e);
	soft_fini(&fx->soft);
}

/* ---- groups and address spaces ---- */

struct mem_cgroup *fx_group(struct soft_fixture *fx, struct mem_cgroup *parent, const char *name,
			    int64_t max)
{
	int err;
	struct mem_cgroup *memcg = group_create(&fx->e, parent, name, &err);

	if (memcg && max)
		page_counter_force_max(&memcg->memory, max);
	return memcg;
}

void fx_ungroup(struct soft_fixture *fx, struct mem_cgroup *memcg)
{
	assert_int_equal(group_remove(&fx->e, memcg), 0);
	memcg_put(memcg);
}

struct mm *fx_mm(struct soft_fixture *fx, struct mem_cgroup *memcg)
{
	return mm_create(&fx->e, memcg ? memcg : fx->e.tree.root, NULL);
}

void fx_exit(struct soft_fixture *fx, struct mm *mm)
{
	soft_client_exit(&fx->soft, mm);
	mm_teardown(mm);
	soft_client_exit(&fx->soft, mm); /* what its threads touched meanwhile */
	mm_put(mm);
}

/* In the order of a real fork's books: no new reclaim, then the tables, then the memory itself. */
int fx_fork_into(struct soft_fixture *fx, struct mm *parent, struct mm *child)
{
	int err;

	a32_add(&parent->no_reclaim, 1);
	rw_wrlock(&parent->mmap_lock);
	rw_wrlock(&child->mmap_lock);
	err = mm_fork_locked(parent, child, 0);
	if (!err)
		err = soft_client_fork(&fx->soft, parent, child);
	rw_wrunlock(&child->mmap_lock);
	rw_wrunlock(&parent->mmap_lock);
	a32_add(&parent->no_reclaim, -1);
	if (!err)
		charge_settle(&fx->e, mm_memcg(child));
	return err;
}

struct mm *fx_fork(struct soft_fixture *fx, struct mm *parent, struct mem_cgroup *memcg)
{
	struct mm *child = fx_mm(fx, memcg);

	if (!child)
		return NULL;
	if (fx_fork_into(fx, parent, child) == 0)
		return child;
	fx_exit(fx, child);
	return NULL;
}

int fx_map(struct mm *mm, uint64_t va, uint64_t npages)
{
	int err;

	rw_wrlock(&mm->mmap_lock);
	err = vma_insert(mm, va, va + npages * PAGE_SIZE, FX_RW);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

void fx_unmap(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages)
{
	soft_client_discard(&fx->soft, mm, va, va + npages * PAGE_SIZE);
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, va, va + npages * PAGE_SIZE);
	/* A fault in between may have brought pages that the engine just forgot; their client is
	 * unmapping them. */
	soft_client_discard(&fx->soft, mm, va, va + npages * PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
}

void fx_discard(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages)
{
	rw_wrlock(&mm->mmap_lock);
	soft_client_discard(&fx->soft, mm, va, va + npages * PAGE_SIZE);
	mm_discard_locked(mm, va, va + npages * PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
}

int fx_remap(struct soft_fixture *fx, struct mm *mm, uint64_t from, uint64_t to, uint64_t npages)
{
	int err;

	rw_wrlock(&mm->mmap_lock);
	soft_client_move(&fx->soft, mm, from, to, npages * PAGE_SIZE);
	err = mm_remap_locked(mm, from, to, npages * PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

int fx_mlock(struct mm *mm, uint64_t va, uint64_t npages)
{
	int err;

	rw_wrlock(&mm->mmap_lock);
	err = mm_lock_locked(mm, va, va + npages * PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

int fx_munlock(struct mm *mm, uint64_t va, uint64_t npages)
{
	int err;

	rw_wrlock(&mm->mmap_lock);
	err = mm_unlock_locked(mm, va, va + npages * PAGE_SIZE);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* ---- content ---- */

static uint64_t word(uint64_t va, uint64_t seed, unsigned i)
{
	return (va * 0x9e3779b97f4a7c15ull) ^ (seed * 0xbf58476d1ce4e5b9ull) ^ i;
}

int fx_fill(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t seed)
{
	uint64_t w[WORDS];

	for (unsigned i = 0; i < WORDS; i++)
		w[i] = word(va, seed, i);
	return soft_write(&fx->soft, mm, plat_cpu(), va, w, sizeof(w));
}

static int check_at(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t at, uint64_t seed)
{
	uint64_t w[WORDS];
	unsigned zero = 0, good = 0;
	int err = soft_read(&fx->soft, mm, plat_cpu(), va, w, sizeof(w));

	if (err)
		return err;
	for (unsigned i = 0; i < WORDS; i++) {
		zero += w[i] == 0;
		good += w[i] == word(at, seed, i);
	}
	if (good == WORDS)
		return 0;
	return zero == WORDS ? 1 : -EILSEQ;
}

int fx_check(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t seed)
{
	return check_at(fx, mm, va, va, seed);
}

void fx_fill_run(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages,
		 uint64_t seed)
{
	for (uint64_t i = 0; i < npages; i++)
		assert_int_equal(fx_fill(fx, mm, va + i * PAGE_SIZE, seed), 0);
}

void fx_check_moved(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t at,
		    uint64_t npages, uint64_t seed)
{
	for (uint64_t i = 0; i < npages; i++)
		assert_int_equal(check_at(fx, mm, va + i * PAGE_SIZE, at + i * PAGE_SIZE, seed), 0);
}

void fx_check_run(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages,
		  uint64_t seed)
{
	fx_check_moved(fx, mm, va, va, npages, seed);
}

void fx_check_zero(struct soft_fixture *fx, struct mm *mm, uint64_t va, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		assert_int_equal(fx_check(fx, mm, va + i * PAGE_SIZE, 0), 1);
}

pte_t fx_pte(struct mm *mm, uint64_t va)
{
	struct leaf *l = leaf_find(mm, va);

	return l ? pte_read(l, va) : 0;
}

int64_t fx_reclaim(struct soft_fixture *fx, struct mem_cgroup *memcg, int64_t n)
{
	struct reclaim_result r;
	int64_t freed = 0;
	int idle = 0;

	/* The first look at a page that was used clears its mark. */
	while (freed < n && idle < 3) {
		reclaim_group(&fx->e, memcg, n - freed, 0, &r);
		freed += r.reclaimed;
		idle = r.reclaimed ? 0 : idle + 1;
	}
	return freed;
}

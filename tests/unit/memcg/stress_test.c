/* tests/unit/memcg/stress_test.c - charge, uncharge, transfer, limits, creation, removal and walks
 * at once, on real threads. At the end nothing is left: counters, statistics, groups, handles.
 *
 * The pages are bare charge words. The groups are in slots that all threads read under RCU; one
 * thread makes and removes them, in up to NR_SLOTS levels.
 */
#include "memcg/page_cgroup.h"
#include "test.h"

#define NR_SLOTS   8
#define NR_WORDS   128
#define RUN_NS_MIN 300000000u
#define RUN_NS_MAX 200000000000ull /* busy machine; tools/soak.sh ends it 40 s later */
#define EACH_MIN   20              /* minimum number of each kind of event */

enum seen {
	SEEN_CHARGE,
	SEEN_FULL,
	SEEN_LOST,
	SEEN_UNCHARGE,
	SEEN_TRANSFER,
	SEEN_LIMIT,
	SEEN_CREATE,
	SEEN_REMOVE,
	SEEN_WALK,
	NR_SEEN
};

static struct memcg_tree tree;
static atomicptr_t slots[NR_SLOTS]; /* struct mem_cgroup *, with the maker's reference; or NULL */
static atomic64_t words[NR_WORDS];
static atomic64_t seen[NR_SEEN];
static atomic32_t stop;

struct worker {
	struct plat_thread thread;
	uint64_t random;
};

static void saw(enum seen what)
{
	a64_add_relaxed(&seen[what], 1);
}

static unsigned draw(struct worker *w, unsigned n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)(w->random >> 33) % n;
}

/* Some group with a reference; the root if the slot is empty or its group is being removed. */
static struct mem_cgroup *some_group(struct worker *w)
{
	struct mem_cgroup *memcg;

	rcu_rd_lock();
	memcg = aptr_load(&slots[draw(w, NR_SLOTS)]);
	if (!memcg || !memcg_tryget(memcg)) {
		memcg = tree.root;
		memcg_get(memcg);
	}
	rcu_rd_unlock();
	return memcg;
}

static bool charge_counters(struct mem_cgroup *memcg, int64_t n)
{
	if (!page_counter_try_charge(&memcg->memsw, n, NULL))
		return false;
	if (page_counter_try_charge(&memcg->memory, n, NULL))
		return true;
	page_counter_uncharge(&memcg->memsw, n);
	return false;
}

/* Charge one page to @memcg, in the order of the charge path: stock, a batch, a single page. */
static bool charge_one(struct mem_cgroup *memcg)
{
	if (stock_consume(memcg, 1))
		return true;
	if (charge_counters(memcg, STOCK_BATCH)) {
		stock_refill(memcg, STOCK_BATCH - 1);
		return true;
	}
	if (charge_counters(memcg, 1))
		return true;
	saw(SEEN_FULL);
	stock_drain_tree(memcg);
	return false;
}

static void count_anon(struct memcg_handle *h, int64_t d)
{
	rcu_rd_lock();
	stat_add(handle_memcg(h), STAT_ANON, d);
	rcu_rd_unlock();
}

static void uncharge_word(atomic64_t *word)
{
	struct memcg_handle *h = page_cgroup_uncharge(word);

	if (!h)
		return;
	saw(SEEN_UNCHARGE);
	count_anon(h, -1);
	handle_uncharge(h, 1);
	handle_put_many(h, 1);
}

static void charger(void *arg)
{
	struct worker *w = arg;

	while (!a32_load(&stop)) {
		struct mem_cgroup *memcg = some_group(w);
		atomic64_t *word = &words[draw(w, NR_WORDS)];

		if (charge_one(memcg)) {
			/* The statistic first: a charged page may be uncharged at once. */
			count_anon(memcg->handle, 1);
			if (page_cgroup_charge(word, memcg->handle)) {
				saw(SEEN_CHARGE);
			} else {
				saw(SEEN_LOST);
				count_anon(memcg->handle, -1);
				stock_refill(memcg, 1);
			}
		}
		memcg_put(memcg);
		uncharge_word(&words[draw(w, NR_WORDS)]);
	}
}

/* Charge moving as far as the books are concerned: precharge, transfer, or cancel. */
static void mover(void *arg)
{
	struct worker *w = arg;

	while (!a32_load(&stop)) {
		struct mem_cgroup *to = some_group(w);
		atomic64_t *word = &words[draw(w, NR_WORDS)];
		struct memcg_handle *from;

		if (charge_one(to)) {
			rcu_rd_lock();
			from = page_cgroup_handle(word);
			if (from && page_cgroup_transfer(word, from, to->handle)) {
				saw(SEEN_TRANSFER);
				count_anon(from, -1);
				count_anon(to->handle, 1);
				handle_uncharge(from, 1);
			} else {
				stock_refill(to, 1);
			}
			rcu_rd_unlock();
		}
		if (page_cgroup_set_migration(word)) {
			plat_yield();
			VM_BUG_ON(!page_cgroup_used(word));
			page_cgroup_clear_migration(word);
		}
		memcg_put(to);
	}
}

static void limiter(void *arg)
{
	struct worker *w = arg;

	while (!a32_load(&stop)) {
		struct mem_cgroup *memcg = some_group(w);
		int64_t max = draw(w, 2 * STOCK_BATCH);

		if (page_counter_set_max(&memcg->memory, max) == 0)
			saw(SEEN_LIMIT);
		if (draw(w, 2))
			page_counter_force_max(&memcg->memsw, max + STOCK_BATCH);
		plat_yield();
		page_counter_force_max(&memcg->memory, PAGE_COUNTER_MAX);
		page_counter_force_max(&memcg->memsw, PAGE_COUNTER_MAX);
		memcg_put(memcg);
	}
}

static void remove_slot(unsigned i)
{
	struct mem_cgroup *memcg = aptr_load(&slots[i]);

	if (!memcg || memcg_offline(memcg) != 0)
		return;
	aptr_store(&slots[i], NULL);
	memcg_release(memcg);
	memcg_put(memcg);
	saw(SEEN_REMOVE);
}

static void maker(void *arg)
{
	struct worker *w = arg;
	char name[] = "0";

	while (!a32_load(&stop)) {
		unsigned i = draw(w, NR_SLOTS);
		struct mem_cgroup *parent, *memcg;
		int err;

		remove_slot(draw(w, NR_SLOTS));
		if (aptr_load(&slots[i]))
			continue;
		parent = some_group(w);
		name[0] = (char)('0' + i);
		memcg = memcg_create(parent, name, &err);
		VM_BUG_ON(!memcg);
		memcg_put(parent);
		aptr_store(&slots[i], memcg);
		saw(SEEN_CREATE);
		plat_yield();
	}
}

/* Walks the tree both ways, and reads what readers read. */
static void walker(void *arg)
{
	struct worker *w = arg;
	struct mem_cgroup *pos = NULL, *next, *owner;

	while (!a32_load(&stop)) {
		rcu_rd_lock();
		next = memcg_next(tree.root, pos);
		if (next && !memcg_tryget(next))
			next = NULL;
		rcu_rd_unlock();
		if (pos)
			memcg_put(pos);
		pos = next;
		if (!pos)
			saw(SEEN_WALK);
		owner = page_cgroup_get_memcg(&words[draw(w, NR_WORDS)]);
		if (owner) {
			event_add(owner, EVENT_LOW, 1);
			VM_BUG_ON(!memcg_is_descendant(owner, tree.root));
			VM_BUG_ON(page_counter_margin(&owner->memory) < 0);
			memcg_put(owner);
		}
		stat_read(tree.root, STAT_ANON);
		stock_drain_tree(tree.root);
	}
	if (pos)
		memcg_put(pos);
}

static bool seen_enough(uint64_t since)
{
	if (plat_now_ns() - since < RUN_NS_MIN)
		return false;
	for (int i = 0; i < NR_SEEN; i++)
		if (a64_load(&seen[i]) < EACH_MIN && plat_now_ns() - since < RUN_NS_MAX)
			return false;
	return true;
}

static void run_workers(void)
{
	static void (*const fns[])(void *) = { charger, charger, charger, mover,
					       limiter, maker,   walker };
	enum { NR = sizeof(fns) / sizeof(fns[0]) };
	struct worker workers[NR];
	uint64_t since = plat_now_ns();

	for (unsigned i = 0; i < NR; i++) {
		workers[i].random = 0x9e3779b97f4a7c15u * (i + 1);
		assert_int_equal(
			plat_thread_start(&workers[i].thread, "stress", fns[i], &workers[i]), 0);
	}
	while (!seen_enough(since))
		plat_sleep_ns(10000000);
	a32_store(&stop, 1);
	for (unsigned i = 0; i < NR; i++)
		plat_thread_join(&workers[i].thread);
}

/* Every counter of @memcg equals the pages it and its subtree own, and their stocks. At rest. */
static void assert_exact(struct mem_cgroup *memcg)
{
	int64_t pages = 0, stocks = 0;

	rcu_rd_lock();
	for (int i = 0; i < NR_WORDS; i++) {
		struct mem_cgroup *owner = page_cgroup_memcg(&words[i]);

		pages += owner && memcg_is_descendant(owner, memcg);
	}
	for (struct mem_cgroup *pos = memcg; pos; pos = memcg_next(memcg, pos))
		stocks += stock_read(pos);
	rcu_rd_unlock();
	assert_int_equal(page_counter_read(&memcg->memory), pages + stocks);
	assert_int_equal(page_counter_read(&memcg->memsw), pages + stocks);
	assert_int_equal(stat_read(memcg, STAT_ANON), pages);
}

static void wait_for_frees(void)
{
	for (int i = 0; i < NR_SLOTS + 2; i++)
		rcu_flush();
}

TEST(after_everything_at_once_nothing_is_left)
{
	assert_int_equal(memcg_tree_init(&tree), 0);
	run_workers();
	for (int i = 0; i < NR_SEEN; i++)
		assert_true(a64_load(&seen[i]) >= EACH_MIN);
	wait_for_frees();
	for (unsigned i = 0; i < NR_SLOTS; i++)
		if (aptr_load(&slots[i]))
			assert_exact(aptr_load(&slots[i]));
	assert_exact(tree.root);
	for (unsigned i = 0; i < NR_WORDS; i++)
		uncharge_word(&words[i]);
	/* Children first: a group that still has children is refused, and goes in a later round. */
	for (unsigned i = 0; i < NR_SLOTS * NR_SLOTS; i++)
		remove_slot(i % NR_SLOTS);
	stock_drain(tree.root);
	wait_for_frees();
	assert_exact(tree.root);
	assert_int_equal(page_counter_read(&tree.root->memory), 0);
	assert_true(event_read_local(tree.root, EVENT_LOW) > 0);
	assert_int_equal(a32_load(&tree.nr_groups), 1);
	assert_int_equal(a32_load(&tree.nr_handles), 1);
	memcg_tree_fini(&tree);
}

/* ---- a limit lowered against a charge ----------------------------------------------------- */

#define ROUNDS 3000

static struct page_counter outer, inner;
static atomic32_t round_open, charge_done;
static bool charge_ok; /* written before charge_done, read after it */

static void charge_each_round(void *arg)
{
	(void)arg;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		while (a32_load(&round_open) < round)
			plat_yield();
		charge_ok = page_counter_try_charge(&inner, 6, NULL);
		a32_store(&charge_done, round);
	}
}

/* Whichever comes first, usage <= max holds when both are done. */
TEST(a_limit_lowered_against_a_charge_holds)
{
	struct plat_thread thread;

	page_counter_init(&outer, NULL);
	assert_int_equal(plat_thread_start(&thread, "charger", charge_each_round, NULL), 0);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		int err;

		page_counter_init(&inner, &outer);
		page_counter_force_max(&inner, 10);
		a32_store(&round_open, round);
		for (unsigned spin = 0; spin < round % 64; spin++)
			page_counter_read(&inner);
		err = page_counter_set_max(&inner, 4);
		while (a32_load(&charge_done) < round)
			plat_yield();
		VM_BUG_ON(err != 0 && err != -EBUSY);
		VM_BUG_ON(a64_load(&inner.max) != (err ? 10 : 4));
		VM_BUG_ON(page_counter_read(&inner) != (charge_ok ? 6 : 0));
		VM_BUG_ON(page_counter_read(&inner) > a64_load(&inner.max));
		VM_BUG_ON(page_counter_read(&outer) != page_counter_read(&inner));
		if (charge_ok)
			page_counter_uncharge(&inner, 6);
	}
	plat_thread_join(&thread);
}

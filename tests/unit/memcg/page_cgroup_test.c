/* tests/unit/memcg/page_cgroup_test.c - the charge word of a page: each transition, and who wins
 * it. */
#include "memcg/page_cgroup.h"
#include "test.h"

struct world {
	struct memcg_tree tree;
	struct mem_cgroup *a, *b;
	atomic64_t word;
};

static void world_init(struct world *w)
{
	int err;

	assert_int_equal(memcg_tree_init(&w->tree), 0);
	w->a = memcg_create(w->tree.root, "a", &err);
	w->b = memcg_create(w->tree.root, "b", &err);
	assert_non_null(w->a);
	assert_non_null(w->b);
	a64_store(&w->word, 0);
}

static void remove_group(struct mem_cgroup *memcg)
{
	assert_int_equal(memcg_offline(memcg), 0);
	memcg_release(memcg);
	memcg_put(memcg);
}

static void world_fini(struct world *w)
{
	assert_int_equal(a64_load(&w->word), 0);
	remove_group(w->a);
	remove_group(w->b);
	memcg_tree_fini(&w->tree);
}

static uint32_t refs(struct mem_cgroup *memcg)
{
	return a32_load(&memcg->handle->ref) - 1; /* excludes the group's own */
}

static void assert_uncharge(struct world *w, struct memcg_handle *expect)
{
	assert_ptr_equal(page_cgroup_uncharge(&w->word), expect);
	assert_false(page_cgroup_used(&w->word));
	if (expect)
		handle_put_many(expect, 1);
}

TEST(a_page_is_charged_at_most_once)
{
	struct world w;

	world_init(&w);
	assert_false(page_cgroup_used(&w.word));
	assert_true(page_cgroup_charge(&w.word, w.a->handle));
	assert_false(page_cgroup_charge(&w.word, w.a->handle));
	assert_false(page_cgroup_charge(&w.word, w.b->handle));
	assert_true(page_cgroup_used(&w.word));
	assert_ptr_equal(page_cgroup_handle(&w.word), w.a->handle);
	assert_int_equal(refs(w.a), 1);
	assert_int_equal(refs(w.b), 0);
	assert_uncharge(&w, w.a->handle);
	assert_int_equal(refs(w.a), 0);
	world_fini(&w);
}

TEST(a_page_is_uncharged_exactly_once)
{
	struct world w;

	world_init(&w);
	assert_uncharge(&w, NULL);
	assert_true(page_cgroup_charge(&w.word, w.a->handle));
	assert_uncharge(&w, w.a->handle);
	assert_uncharge(&w, NULL);
	world_fini(&w);
}

TEST(a_transfer_moves_the_charge_and_its_reference_from_the_named_owner_only)
{
	struct world w;

	world_init(&w);
	assert_false(page_cgroup_transfer(&w.word, w.a->handle, w.b->handle));
	assert_true(page_cgroup_charge(&w.word, w.a->handle));
	assert_false(page_cgroup_transfer(&w.word, w.b->handle, w.a->handle));
	assert_true(page_cgroup_transfer(&w.word, w.a->handle, w.b->handle));
	assert_false(page_cgroup_transfer(&w.word, w.a->handle, w.b->handle));
	assert_int_equal(refs(w.a), 0);
	assert_int_equal(refs(w.b), 1);
	assert_uncharge(&w, w.b->handle);
	world_fini(&w);
}

/* Seed 0: while MIGRATION is set the charge stays, whatever the map count is. */
TEST(migration_keeps_the_charge_until_it_ends)
{
	struct world w;

	world_init(&w);
	assert_false(page_cgroup_set_migration(&w.word));
	assert_true(page_cgroup_charge(&w.word, w.a->handle));
	assert_false(page_cgroup_clear_migration(&w.word));
	assert_true(page_cgroup_set_migration(&w.word));
	assert_false(page_cgroup_set_migration(&w.word));
	assert_null(page_cgroup_uncharge(&w.word));
	assert_false(page_cgroup_transfer(&w.word, w.a->handle, w.b->handle));
	assert_ptr_equal(page_cgroup_handle(&w.word), w.a->handle);
	assert_true(page_cgroup_used(&w.word));
	assert_true(page_cgroup_clear_migration(&w.word));
	assert_uncharge(&w, w.a->handle);
	world_fini(&w);
}

/* The record moves to the replacement page: one charge, one reference, marked until the end. */
TEST(a_replaced_page_hands_its_charge_to_the_new_one)
{
	atomic64_t new = { 0 };
	struct world w;

	world_init(&w);
	assert_false(page_cgroup_replace(&w.word, &new));
	assert_true(page_cgroup_charge(&w.word, w.a->handle));
	assert_true(page_cgroup_set_migration(&w.word));
	assert_true(page_cgroup_replace(&w.word, &new));
	assert_int_equal(a64_load(&w.word), 0);
	assert_int_equal(refs(w.a), 1);
	assert_null(page_cgroup_uncharge(&new));
	assert_true(page_cgroup_clear_migration(&new));
	assert_ptr_equal(page_cgroup_uncharge(&new), w.a->handle);
	handle_put_many(w.a->handle, 1);
	world_fini(&w);
}

TEST(the_owner_of_a_page_is_the_parent_once_its_group_is_removed)
{
	struct world w;
	struct mem_cgroup *c, *owner;
	struct memcg_handle *h;
	int err;

	world_init(&w);
	assert_null(page_cgroup_get_memcg(&w.word));
	c = memcg_create(w.a, "c", &err);
	assert_non_null(c);
	h = c->handle;
	assert_true(page_cgroup_charge(&w.word, h));
	owner = page_cgroup_get_memcg(&w.word);
	assert_ptr_equal(owner, c);
	memcg_put(owner);
	remove_group(c);
	owner = page_cgroup_get_memcg(&w.word);
	assert_ptr_equal(owner, w.a);
	memcg_put(owner);
	rcu_rd_lock();
	assert_ptr_equal(page_cgroup_memcg(&w.word), w.a);
	rcu_rd_unlock();
	assert_uncharge(&w, h);
	world_fini(&w);
}

/* ---- races ------------------------------------------------------------------------------ */

#define RACERS 2
#define ROUNDS 20000
/* On a busy machine a round takes until all racers have got a CPU: as many rounds as fit in, but at
 * least this many. */
#define TIME_NS    5000000000ull
#define ROUNDS_MIN 200

struct race {
	struct world w;
	atomic32_t round; /* the round that everybody may play */
	atomic32_t done;  /* number of racers that played it */
	atomic32_t wins;
	atomic32_t over; /* this round has nothing to play */
	void (*play)(struct race *r, unsigned who);
};

struct racer {
	struct race *race;
	unsigned who;
};

/* Spin, so that the racers start within nanoseconds of each other; yield where CPUs are scarce. */
static void wait_for(atomic32_t *field, uint32_t value)
{
	for (unsigned spins = 1; a32_load(field) < value; spins++)
		if (spins % 256 == 0)
			plat_yield();
}

static void racer_main(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->race;

	for (uint32_t round = 1;; round++) {
		wait_for(&r->round, round);
		if (a32_load(&r->over))
			return;
		r->play(r, me->who);
		a32_add(&r->done, 1);
	}
}

/* Play up to ROUNDS rounds: @setup, then everybody at once, then @verify. The caller plays too: on
 * two CPUs a third thread that only watches would keep one of the racers from running. */
static void run_race(struct race *r, void (*setup)(struct race *), void (*verify)(struct race *))
{
	struct plat_thread threads[RACERS];
	struct racer racers[RACERS];
	uint64_t end = plat_now_ns() + TIME_NS;
	uint32_t round;

	a32_store(&r->round, 0);
	a32_store(&r->over, 0);
	for (unsigned i = 1; i < RACERS; i++) {
		racers[i] = (struct racer){ r, i };
		assert_int_equal(plat_thread_start(&threads[i], "racer", racer_main, &racers[i]),
				 0);
	}
	for (round = 1; round <= ROUNDS && (round <= ROUNDS_MIN || plat_now_ns() < end); round++) {
		a32_store(&r->done, 0);
		a32_store(&r->wins, 0);
		setup(r);
		a32_store(&r->round, round);
		r->play(r, 0);
		wait_for(&r->done, RACERS - 1);
		verify(r);
	}
	a32_store(&r->over, 1);
	a32_store(&r->round, round);
	for (unsigned i = 1; i < RACERS; i++)
		plat_thread_join(&threads[i]);
}

static void setup_charged(struct race *r)
{
	VM_BUG_ON(!page_cgroup_charge(&r->w.word, r->w.a->handle));
}

static void setup_nothing(struct race *r)
{
	VM_BUG_ON(page_cgroup_used(&r->w.word));
}

static void verify_one_win(struct race *r)
{
	VM_BUG_ON(a32_load(&r->wins) != 1);
	VM_BUG_ON(page_cgroup_used(&r->w.word));
	VM_BUG_ON(refs(r->w.a) != 0 || refs(r->w.b) != 0);
}

static void verify_one_charge(struct race *r)
{
	VM_BUG_ON(a32_load(&r->wins) != 1);
	VM_BUG_ON(refs(r->w.a) + refs(r->w.b) != 1);
	handle_put_many(page_cgroup_uncharge(&r->w.word), 1);
}

static void play_uncharge(struct race *r, unsigned who)
{
	struct memcg_handle *h;

	/* The odd one moves the charge: the uncharge meets a different word than it read. */
	if (who & 1) {
		page_cgroup_transfer(&r->w.word, r->w.a->handle, r->w.b->handle);
		page_cgroup_transfer(&r->w.word, r->w.b->handle, r->w.a->handle);
	}
	h = page_cgroup_uncharge(&r->w.word);
	if (!h)
		return;
	a32_add(&r->wins, 1);
	handle_put_many(h, 1);
}

static void play_charge(struct race *r, unsigned who)
{
	if (page_cgroup_charge(&r->w.word, who & 1 ? r->w.a->handle : r->w.b->handle))
		a32_add(&r->wins, 1);
}

/* Seed 1's double uncharge: all racers saw USED, only one may uncharge. */
TEST(of_many_uncharges_one_wins)
{
	struct race r = { .play = play_uncharge };

	world_init(&r.w);
	run_race(&r, setup_charged, verify_one_win);
	world_fini(&r.w);
}

TEST(of_many_charges_one_wins)
{
	struct race r = { .play = play_charge };

	world_init(&r.w);
	run_race(&r, setup_nothing, verify_one_charge);
	world_fini(&r.w);
}

/* tests/unit/plat/machine_test.c - the native machine keeps the contract of plat/plat.h. */
#include <stdlib.h>
#include <unistd.h>

#include "plat/plat.h"
#include "test.h"

#define BIT_A   1u
#define BIT_B   2u
#define WAITERS 4u
#define NOISE   0x100u
#define MS      UINT64_C(1000000)

#define NR_THREADS 4
#define ROUNDS     20000

static void run_threads(unsigned n, void (*fn)(void *), void *arg)
{
	struct plat_thread threads[NR_THREADS];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(plat_thread_start(&threads[i], "worker", fn, arg), 0);
	for (unsigned i = 0; i < n; i++)
		plat_thread_join(&threads[i]);
}

/* ---- bit locks ------------------------------------------------------------------------ */

struct bits {
	atomic32_t word;
	atomic32_t stop;
	unsigned long under_a, under_b; /* plain: the bit locks protect them */
};

static void add_under_bits(void *arg)
{
	struct bits *b = arg;

	for (int i = 0; i < ROUNDS; i++) {
		bit_lock(&b->word, BIT_A, WAITERS, RANK_PAGE);
		b->under_a++;
		if (i % 64 == 0)
			plat_yield();
		bit_unlock(&b->word, BIT_A, WAITERS, RANK_PAGE);
	}
}

static void flip_noise(void *arg)
{
	struct bits *b = arg;

	while (!a32_load(&b->stop)) {
		a32_or(&b->word, NOISE);
		a32_and(&b->word, ~NOISE);
		plat_yield();
	}
}

/* Other bits of the word change all the time: no waiter may be lost, or let in twice. */
TEST(bit_lock_excludes_while_other_bits_change)
{
	struct bits b = { 0 };
	struct plat_thread noise;

	assert_int_equal(plat_thread_start(&noise, "noise", flip_noise, &b), 0);
	run_threads(NR_THREADS, add_under_bits, &b);
	a32_store(&b.stop, 1);
	plat_thread_join(&noise);
	assert_int_equal(b.under_a, NR_THREADS * ROUNDS);
	assert_int_equal(a32_load(&b.word), 0);
}

static void set_b_under_a(void *arg)
{
	struct bits *b = arg;

	for (int i = 0; i < ROUNDS / 4; i++) {
		bit_lock(&b->word, BIT_A, WAITERS, RANK_PAGE);
		bit_wait(&b->word, BIT_B, WAITERS);
		assert_false(a32_or(&b->word, BIT_B) & BIT_B);
		b->under_a++;
		bit_unlock(&b->word, BIT_A, WAITERS, RANK_PAGE);
		if (i % 16 == 0)
			plat_yield();
		b->under_b++; /* the setter of B owns it until it clears it */
		bit_clear_wake(&b->word, BIT_B, WAITERS);
	}
}

/* Like page lock and writeback: two bits, one waiters bit; a wake-up for one must not be taken from
 * the other. */
TEST(two_bits_share_a_waiters_bit_and_lose_no_wake_up)
{
	struct bits b = { 0 };

	run_threads(NR_THREADS, set_b_under_a, &b);
	assert_int_equal(b.under_a, NR_THREADS * (ROUNDS / 4));
	assert_int_equal(b.under_b, b.under_a);
	assert_int_equal(a32_load(&b.word), 0);
}

TEST(bit_trylock_fails_only_while_the_bit_is_set)
{
	atomic32_t word = { 0 };

	a32_or(&word, NOISE);
	assert_true(bit_trylock(&word, BIT_A, RANK_PAGE));
	assert_false(bit_trylock(&word, BIT_A, RANK_PAGE));
	bit_unlock(&word, BIT_A, WAITERS, RANK_PAGE);
	assert_int_equal(a32_load(&word), NOISE);
}

/* ---- wait queues ---------------------------------------------------------------------- */

TEST(waitq_times_out_when_nobody_wakes)
{
	struct waitq q;
	uint64_t start = plat_now_ns();

	waitq_init(&q);
	assert_false(waitq_sleep(&q, waitq_prepare(&q), 20 * MS));
	assert_true(plat_now_ns() - start >= 20 * MS);
	assert_false(waitq_sleep(&q, waitq_prepare(&q), 0));
}

/* The wake-up between prepare and sleep is the one that is easily lost. */
TEST(waitq_wake_between_prepare_and_sleep_is_not_lost)
{
	struct waitq q;
	uint32_t ticket;

	waitq_init(&q);
	ticket = waitq_prepare(&q);
	waitq_wake(&q);
	assert_true(waitq_sleep(&q, ticket, -1));
}

struct ping {
	struct waitq q;
	atomic32_t turn;
};

static void take_turns(struct ping *p, uint32_t mine)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		for (;;) {
			uint32_t ticket = waitq_prepare(&p->q);

			if (a32_load(&p->turn) == mine)
				break;
			waitq_sleep(&p->q, ticket, -1);
		}
		a32_store(&p->turn, !mine);
		waitq_wake(&p->q);
	}
}

static void take_turns_1(void *arg)
{
	take_turns(arg, 1);
}

TEST(waitq_two_threads_take_turns_for_ever)
{
	struct plat_thread t;
	struct ping p = { 0 };

	waitq_init(&p.q);
	assert_int_equal(plat_thread_start(&t, "ping", take_turns_1, &p), 0);
	take_turns(&p, 0);
	plat_thread_join(&t);
	assert_int_equal(a32_load(&p.q.sleepers), 0);
}

/* ---- read-write locks ------------------------------------------------------------------ */

static void write_once(void *arg)
{
	rw_wrlock(arg);
	rw_wrunlock(arg);
}

/* A stream of readers must not keep a writer out: once it waits, no new reader gets in. */
TEST(rw_waiting_writer_keeps_new_readers_out)
{
	uint64_t give_up = plat_now_ns() + 10000 * MS;
	struct plat_thread writer;
	struct rwsem sem;

	rw_init(&sem, RANK_MMAP);
	rw_rdlock(&sem);
	assert_int_equal(plat_thread_start(&writer, "writer", write_once, &sem), 0);
	while (rw_tryrdlock(&sem)) {
		rw_rdunlock(&sem);
		assert_true(plat_now_ns() < give_up);
		plat_yield();
	}
	assert_false(rw_tryrdlock(&sem));
	rw_rdunlock(&sem);
	plat_thread_join(&writer);
	assert_true(rw_tryrdlock(&sem));
	rw_rdunlock(&sem);
	rw_fini(&sem);
}

TEST(rw_try_locks_respect_holders)
{
	struct rwsem sem;

	rw_init(&sem, RANK_MMAP);
	assert_true(rw_tryrdlock(&sem));
	assert_true(rw_tryrdlock(&sem));
	assert_false(rw_trywrlock(&sem));
	rw_rdunlock(&sem);
	rw_rdunlock(&sem);
	assert_true(rw_trywrlock(&sem));
	assert_false(rw_tryrdlock(&sem));
	rw_wrunlock(&sem);
	rw_fini(&sem);
}

/* ---- RCU ------------------------------------------------------------------------------ */

#define LIVE 0x600dUL
#define DEAD 0xdeadUL

struct object {
	struct plat_rcu_head rcu;
	unsigned long magic;
};

struct rcu_world {
	atomicptr_t object;
	atomic32_t stop;
	atomic32_t freed;
};

static struct rcu_world world;

static struct object *object_create(void)
{
	struct object *o = plat_alloc(sizeof(*o));

	assert_non_null(o);
	o->magic = LIVE;
	return o;
}

static void object_free(struct plat_rcu_head *head)
{
	struct object *o = (struct object *)((char *)head - offsetof(struct object, rcu));

	o->magic = DEAD;
	plat_free(o);
	a32_add(&world.freed, 1);
}

static void read_object(void *arg)
{
	struct rcu_world *w = arg;

	while (!a32_load(&w->stop)) {
		struct object *o;

		rcu_rd_lock();
		o = aptr_load(&w->object);
		VM_BUG_ON(o->magic != LIVE);
		rcu_rd_lock();
		VM_BUG_ON(o->magic != LIVE);
		rcu_rd_unlock();
		VM_BUG_ON(o->magic != LIVE);
		rcu_rd_unlock();
	}
}

/* Readers look at an object that is replaced all the time: never at a freed one. Half of the old
 * objects are deferred, half waited for; after the flush all are gone. */
TEST(rcu_readers_never_see_a_freed_object)
{
	enum { REPLACEMENTS = 300 };
	struct plat_thread readers[2];

	memset(&world, 0, sizeof(world));
	aptr_store(&world.object, object_create());
	for (int i = 0; i < 2; i++)
		assert_int_equal(plat_thread_start(&readers[i], "reader", read_object, &world), 0);
	for (int i = 0; i < REPLACEMENTS; i++) {
		struct object *old = aptr_xchg(&world.object, object_create());

		if (i % 2 == 0) {
			rcu_defer(&old->rcu, object_free);
		} else {
			rcu_synchronize();
			object_free(&old->rcu);
		}
	}
	rcu_flush();
	assert_int_equal(a32_load(&world.freed), REPLACEMENTS);
	a32_store(&world.stop, 1);
	for (int i = 0; i < 2; i++)
		plat_thread_join(&readers[i]);
	plat_free(aptr_load(&world.object));
}

static void read_in_deferred(struct plat_rcu_head *head)
{
	rcu_rd_lock();
	a32_add(&world.freed, 1);
	rcu_rd_unlock();
	plat_free(head);
}

TEST(a_deferred_function_may_read_under_rcu)
{
	struct object *o = object_create();

	a32_store(&world.freed, 0);
	rcu_defer(&o->rcu, read_in_deferred);
	rcu_flush();
	assert_int_equal(a32_load(&world.freed), 1);
}

/* ---- threads and time ----------------------------------------------------------------- */

struct seen {
	atomic32_t slots; /* one bit per slot */
	char name[16];
};

static void look_around(void *arg)
{
	struct seen *seen = arg;

	VM_BUG_ON(plat_cpu() >= PLAT_NR_CPUS);
	a32_or(&seen->slots, 1u << plat_cpu());
	rcu_rd_lock();
	rcu_rd_unlock();
}

TEST(threads_get_slots_round_robin)
{
	struct seen seen = { 0 };

	for (int i = 0; i < PLAT_NR_CPUS; i++)
		run_threads(1, look_around, &seen);
	assert_int_equal(a32_load(&seen.slots), (1u << PLAT_NR_CPUS) - 1);
}

static void read_own_name(void *arg)
{
	struct seen *seen = arg;

	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
}

TEST(thread_names_are_set_and_cut_to_fit)
{
	struct plat_thread t;
	struct seen seen = { 0 };

	assert_int_equal(plat_thread_start(&t, "a-name-longer-than-15", read_own_name, &seen), 0);
	plat_thread_join(&t);
	assert_string_equal(seen.name, "a-name-longer-t");
}

TEST(sleeping_takes_at_least_the_time_asked_for)
{
	uint64_t start = plat_now_ns();

	plat_sleep_ns(5 * MS);
	assert_true(plat_now_ns() - start >= 5 * MS);
}

/* ---- atomics, memory, faults ------------------------------------------------------------ */

static void take_references(void *arg)
{
	atomic32_t *ref = arg;

	for (int i = 0; i < ROUNDS; i++)
		if (a32_inc_not_zero(ref))
			a32_add(ref, -1);
}

TEST(a_reference_is_never_taken_from_zero)
{
	atomic32_t ref = { 0 };

	assert_false(a32_inc_not_zero(&ref));
	assert_int_equal(a32_load(&ref), 0);
	a32_store(&ref, 1);
	run_threads(NR_THREADS, take_references, &ref);
	assert_int_equal(a32_load(&ref), 1);
}

TEST(an_armed_fault_fails_the_nth_call_once)
{
	for (unsigned long nth = 1; nth <= 3; nth++) {
		fault_arm(FAULT_ALLOC, nth);
		for (unsigned long call = 1; call <= 5; call++) {
			void *p = plat_alloc(16);

			assert_int_equal(p == NULL, call == nth);
			plat_free(p);
		}
	}
	assert_false(fault_hit(FAULT_READ));
	fault_arm(FAULT_WRITE, 1);
	assert_false(fault_hit(FAULT_READ));
	assert_true(fault_hit(FAULT_WRITE));
	assert_false(fault_hit(FAULT_WRITE));
}

TEST(memory_comes_zeroed_and_big_memory_is_lazy)
{
	const size_t big = (size_t)1 << 36; /* more than available */
	unsigned char *p = plat_alloc(1000);

	for (int i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	plat_free(p);
	p = plat_alloc_big(big);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 4096, 0);
	assert_int_equal(p[0] | p[big - 1], 0);
	p[big / 2] = 1;
	plat_free_big(p, big);
	assert_null(plat_alloc_big(SIZE_MAX / 2));
	plat_free_big(NULL, 0);
}

static void hit_a_bug(void)
{
	VM_BUG_ON(1 + 1 == 2);
}

TEST(a_bug_says_what_and_where_and_aborts)
{
	test_expect_abort(hit_a_bug, "umemcg: BUG: 1 + 1 == 2 (");
	test_expect_abort(hit_a_bug, "machine_test.c:");
}

static void read_unregistered(void)
{
	plat_thread_exit();
	rcu_rd_lock();
}

/* A reader RCU does not know about would be silently unprotected. */
TEST(an_unregistered_thread_cannot_read_under_rcu)
{
	test_expect_abort(read_unregistered, "!plat_thread_registered_");
}

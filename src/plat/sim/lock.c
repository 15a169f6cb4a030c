/* plat/sim/lock.c - locks and waits of the simulated machine.
 *
 * A lock is its state word; taking it is one operation, enabled while it is free. Every task keeps
 * a stack of held locks; a violation of lockorder.def is a finding, as it stops a debug build.
 *
 * A wait has three operations (prepare, the caller's check of its condition, sleep), so a lost
 * wake-up shows as a deadlock. A wait with a time limit times out only if no task can continue
 * otherwise (task.c): the limit is longer than everything else.
 */
#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"

#define PC __builtin_return_address(0)

static const struct {
	const char *name;
	bool nesting;
} ranks[NR_LOCK_RANKS] = {
#define LOCK_RANK(name, nesting) { #name, nesting },
#include "plat/lockorder.def"
#undef LOCK_RANK
};

/* May the running task wait for a lock of this rank? */
static void held_check(enum lock_rank rank, sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t)
		return;
	for (unsigned i = 0; i < t->nr_held; i++) {
		enum lock_rank r = t->held[i].rank;

		if (r > rank || (r == rank && !ranks[rank].nesting))
			sim_fail(SIM_LOCK_ORDER, at->file, at->line,
				 "%s (%s) is taken while %s (%s) is held", at->expr,
				 ranks[rank].name, t->held[i].at->expr, ranks[r].name);
	}
}

/* The task has the lock. Not recorded earlier: another task's unlock of a page lock must not match
 * a waiter. */
static void held_push(const void *lock, enum lock_rank rank, sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t)
		return;
	if (t->nr_held == SIM_HELD_MAX)
		sim_fail(SIM_LOCK_ORDER, at->file, at->line, "more than %d locks are held",
			 SIM_HELD_MAX);
	t->held[t->nr_held++] = (struct sim_held){ lock, rank, at };
}

static void held_pop(const void *lock, sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t)
		return;
	for (unsigned i = t->nr_held; i-- > 0;) {
		if (t->held[i].lock != lock)
			continue;
		memmove(&t->held[i], &t->held[i + 1], (t->nr_held - i - 1) * sizeof(t->held[0]));
		t->nr_held--;
		return;
	}
	/* A page lock may be released by the task that ends its I/O. */
	for (unsigned k = 0; k < sim_nr_tasks; k++)
		for (unsigned i = 0; i < sim_tasks[k].nr_held; i++) {
			t = &sim_tasks[k];
			if (t->held[i].lock != lock || t->held[i].rank != RANK_PAGE)
				continue;
			memmove(&t->held[i], &t->held[i + 1],
				(t->nr_held - i - 1) * sizeof(t->held[0]));
			t->nr_held--;
			return;
		}
	sim_fail(SIM_LOCK_ORDER, at->file, at->line,
		 "%s is given back by a task that does not hold it", at->expr);
}

void sim_assert_held(const void *lock, const char *name, const char *file, int line)
{
	if (sim_current < 0)
		return;
	for (unsigned i = 0; i < sim_tasks[sim_current].nr_held; i++)
		if (sim_tasks[sim_current].held[i].lock == lock)
			return;
	if (mutant_on())
		return; /* this lock is the one left out */
	sim_fail(SIM_LOCK_ORDER, file, line, "%s must be held here", name);
}

static void point(enum op_kind kind, const void *p, uint64_t mask, sim_at at, void *pc)
{
	if (sim_current < 0)
		return;
	arena_check(p, 4, true, at, pc);
	sim_point((struct sim_op){ .kind = (uint8_t)kind,
				   .width = 4,
				   .obj = arena_object(p),
				   .mask = mask,
				   .at = at,
				   .pc = pc });
	arena_check(p, 4, true, at, pc);
	if (kind == OP_UNLOCK || kind == OP_RDUNLOCK)
		clocks_release(arena_object(p));
	else
		clocks_acquire(arena_object(p));
}

/* An unlock whose fence is left out (mutant.h) is a store into the buffer: as point(), and true if
 * so. */
static bool put(enum op_kind kind, void *p, uint64_t mask, uint64_t keep, uint64_t add, sim_at at,
		void *pc)
{
	if (mutant_keeps_fence(at, pc))
		return false;
	arena_check(p, 4, true, at, pc);
	tso_store((struct sim_op){ .kind = (uint8_t)kind,
				   .width = 4,
				   .obj = arena_object(p),
				   .mask = mask,
				   .at = at,
				   .pc = pc },
		  keep, 0, add, true);
	return true;
}

void sim_lock_init(uint32_t *state, enum lock_rank *where, enum lock_rank rank)
{
	*state = 0;
	*where = rank;
}

void sim_lock_fini(uint32_t *state)
{
	if (*state)
		sim_fail(SIM_BUG, NULL, 0, "a lock that is held is destroyed");
}

static void must_be(bool ok, sim_at at)
{
	if (!ok)
		sim_fail(SIM_DEADLOCK, at->file, at->line,
			 "%s would never be had: nobody else runs", at->expr);
}

void sim_lock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(state, at, PC))
		return;
	held_check(rank, at);
	point(OP_LOCK, state, UINT32_MAX, at, PC);
	must_be(*state == 0, at);
	*state = SIM_WRITER;
	held_push(state, rank, at);
}

bool sim_trylock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(state, at, PC))
		return true;
	point(OP_TRYLOCK, state, UINT32_MAX, at, PC);
	if (*state)
		return false;
	*state = SIM_WRITER;
	held_push(state, rank, at);
	return true;
}

void sim_unlock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	(void)rank;
	if (mutant_skips_unlock(state))
		return;
	held_pop(state, at);
	if (put(OP_UNLOCK, state, UINT32_MAX, 0, 0, at, PC))
		return;
	point(OP_UNLOCK, state, UINT32_MAX, at, PC);
	*state = 0;
}

void sim_rdlock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(state, at, PC))
		return;
	held_check(rank, at);
	point(OP_RDLOCK, state, UINT32_MAX, at, PC);
	must_be(!(*state & SIM_WRITER), at);
	++*state;
	held_push(state, rank, at);
}

bool sim_tryrdlock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(state, at, PC))
		return true;
	point(OP_TRYRD, state, UINT32_MAX, at, PC);
	if (*state & SIM_WRITER)
		return false;
	++*state;
	held_push(state, rank, at);
	return true;
}

void sim_rdunlock(uint32_t *state, enum lock_rank rank, sim_at at)
{
	(void)rank;
	if (mutant_skips_unlock(state))
		return;
	held_pop(state, at);
	if (put(OP_RDUNLOCK, state, UINT32_MAX, UINT32_MAX, UINT64_MAX, at, PC))
		return;
	point(OP_RDUNLOCK, state, UINT32_MAX, at, PC);
	--*state;
}

/* ---- bits of a word ---- */

bool sim_bit_trylock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(word, at, PC))
		return true;
	point(OP_TRYLOCK, word, bit, at, PC);
	if (word->v_ & bit)
		return false;
	word->v_ |= bit;
	held_push(word, rank, at);
	return true;
}

void sim_bit_lock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at)
{
	if (mutant_skips_lock(word, at, PC))
		return;
	held_check(rank, at);
	point(OP_LOCK, word, bit, at, PC);
	must_be(!(word->v_ & bit), at);
	word->v_ |= bit;
	held_push(word, rank, at);
}

void sim_bit_unlock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at)
{
	(void)rank;
	if (mutant_skips_unlock(word))
		return;
	held_pop(word, at);
	if (put(OP_UNLOCK, word, bit, ~(uint64_t)bit, 0, at, PC))
		return;
	point(OP_UNLOCK, word, bit, at, PC);
	word->v_ &= ~bit;
}

/* @drains: it is a system call even if the value is there already. */
static void await(const atomic32_t *word, uint32_t mask, uint32_t value, bool not, bool drains,
		  sim_at at, void *pc)
{
	arena_check(word, 4, false, at, pc);
	sim_point((struct sim_op){ .kind = OP_AWAIT,
				   .width = 4,
				   .obj = arena_object(word),
				   .mask = mask,
				   .arg = value,
				   .arg_not = not,
				   .drains = drains,
				   .at = at,
				   .pc = pc });
	clocks_acquire(arena_object(word));
}

void sim_bit_wait(atomic32_t *word, uint32_t bit, sim_at at)
{
	if (sim_current < 0)
		must_be(!(word->v_ & bit), at);
	else
		await(word, bit, 0, false, false, at, PC);
}

bool sim_waitq_sleep(struct waitq *q, uint32_t ticket, int64_t timeout_ns, sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t) {
		must_be(q->seq.v_ != ticket || timeout_ns >= 0, at);
		return q->seq.v_ != ticket;
	}
	t->timed = timeout_ns >= 0;
	t->deadline = sim_now + (uint64_t)(timeout_ns > 0 ? timeout_ns : 0);
	await(&q->seq, UINT32_MAX, ticket, true, true, at, PC);
	t->timed = t->timed_out = false;
	return q->seq.v_ != ticket;
}

/* plat/sim/atomic.c - atomics of the simulated machine: announce, then do. One task runs at a time,
 * so the operation itself is plain; machine.h says how each is named in the source. */
#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"

static inline void announce(enum op_kind kind, const void *p, unsigned width, uint64_t mask,
			    bool relaxed, sim_at at, void *pc)
{
	arena_check(p, width, kind != OP_READ, at, pc);
	if (sim_current < 0)
		return;
	sim_point((struct sim_op){ .kind = (uint8_t)kind,
				   .width = (uint8_t)width,
				   .relaxed = relaxed,
				   .obj = arena_object(p),
				   .mask = mask,
				   .at = at,
				   .pc = pc });
	arena_check(p, width, kind != OP_READ, at,
		    pc); /* it may have been freed while we waited to run */
	if (relaxed || (kind == OP_READ && tso_own(p, width)))
		return;
	clocks_acquire(arena_object(p));
	if (kind != OP_READ)
		clocks_release(arena_object(p));
}

#define PC __builtin_return_address(0)

/* A store whose fence is left out (mutant.h) enters the store buffer. */
static bool put(void *p, unsigned width, uint64_t v, sim_at at, void *pc)
{
	if (mutant_keeps_fence(at, pc))
		return false;
	arena_check(p, width, true, at, pc);
	tso_store((struct sim_op){ .kind = OP_WRITE,
				   .width = (uint8_t)width,
				   .obj = arena_object(p),
				   .mask = width == 4 ? UINT32_MAX : UINT64_MAX,
				   .at = at,
				   .pc = pc },
		  0, v, 0, true);
	return true;
}

/* Not an operation: no other task comes in between, and nothing depends on it. */
uint32_t sim_peek32(const atomic32_t *p)
{
	return p->v_;
}

uint32_t sim_load32(const atomic32_t *p, uint32_t mask, sim_at at)
{
	announce(OP_READ, p, 4, mask, false, at, PC);
	return p->v_;
}

void sim_store32(atomic32_t *p, uint32_t v, sim_at at)
{
	if (put(p, 4, v, at, PC))
		return;
	announce(OP_WRITE, p, 4, UINT32_MAX, false, at, PC);
	p->v_ = v;
}

uint32_t sim_add32(atomic32_t *p, int32_t d, sim_at at)
{
	announce(OP_WRITE, p, 4, UINT32_MAX, false, at, PC);
	return p->v_ += (uint32_t)d;
}

void sim_wake(atomic32_t *p, sim_at at)
{
	if (!mutant_keeps(at, PC))
		return;
	announce(OP_ADD, p, 4, UINT32_MAX, false, at, PC);
	p->v_++;
}

void sim_acc32(atomic32_t *p, int32_t d, int32_t least, sim_at at)
{
	announce(OP_ADD, p, 4, UINT32_MAX, false, at, PC);
	p->v_ += (uint32_t)d;
	if (least != INT32_MIN && (int32_t)p->v_ < least)
		sim_fail(SIM_BUG, at->file, at->line, "a reference of what has none: %s is %d",
			 at->expr, (int)p->v_ - d);
}

uint32_t sim_or32(atomic32_t *p, uint32_t m, sim_at at)
{
	uint32_t old;

	announce(OP_WRITE, p, 4, m, false, at, PC);
	old = p->v_;
	p->v_ |= m;
	return old & m;
}

uint32_t sim_and32(atomic32_t *p, uint32_t m, sim_at at)
{
	uint32_t old;

	announce(OP_WRITE, p, 4, (uint32_t)~m, false, at, PC);
	old = p->v_;
	p->v_ &= m;
	return old & ~m;
}

uint32_t sim_xchg32(atomic32_t *p, uint32_t v, sim_at at)
{
	uint32_t old;

	announce(OP_WRITE, p, 4, UINT32_MAX, false, at, PC);
	old = p->v_;
	p->v_ = v;
	return old;
}

bool sim_cas32(atomic32_t *p, uint32_t old, uint32_t new_, sim_at at)
{
	announce(OP_WRITE, p, 4, UINT32_MAX, false, at, PC);
	if (p->v_ != old && mutant_keeps(at, PC))
		return false;
	p->v_ = new_;
	return true;
}

/* The effect of the native loop in one step: what happens between two failed exchanges is not
 * observable. */
bool sim_inc_not_zero(atomic32_t *p, sim_at at)
{
	announce(OP_WRITE, p, 4, UINT32_MAX, false, at, PC);
	if (p->v_ == 0 && mutant_keeps(at, PC))
		return false;
	p->v_++;
	return true;
}

int64_t sim_load64(const atomic64_t *p, bool relaxed, sim_at at)
{
	announce(OP_READ, p, 8, UINT64_MAX, relaxed, at, PC);
	return p->v_;
}

void sim_store64(atomic64_t *p, int64_t v, sim_at at)
{
	if (put(p, 8, (uint64_t)v, at, PC))
		return;
	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	p->v_ = v;
}

int64_t sim_add64(atomic64_t *p, int64_t d, sim_at at)
{
	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	return p->v_ += d;
}

void sim_acc64(atomic64_t *p, int64_t d, int64_t least, bool relaxed, sim_at at)
{
	announce(OP_ADD, p, 8, UINT64_MAX, relaxed, at, PC);
	p->v_ += d;
	if (least != INT64_MIN && p->v_ < least)
		sim_fail(SIM_BUG, at->file, at->line, "more was taken than was there: %s is %lld",
			 at->expr, (long long)p->v_);
}

int64_t sim_or64(atomic64_t *p, int64_t m, sim_at at)
{
	int64_t old;

	announce(OP_WRITE, p, 8, (uint64_t)m, false, at, PC);
	old = p->v_;
	p->v_ |= m;
	return old & m;
}

int64_t sim_and64(atomic64_t *p, int64_t m, sim_at at)
{
	int64_t old;

	announce(OP_WRITE, p, 8, (uint64_t)~m, false, at, PC);
	old = p->v_;
	p->v_ &= m;
	return old & ~m;
}

int64_t sim_xchg64(atomic64_t *p, int64_t v, sim_at at)
{
	int64_t old;

	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	old = p->v_;
	p->v_ = v;
	return old;
}

bool sim_cas64(atomic64_t *p, int64_t old, int64_t new_, sim_at at)
{
	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	if (p->v_ != old && mutant_keeps(at, PC))
		return false;
	p->v_ = new_;
	return true;
}

void *sim_loadptr(const atomicptr_t *p, sim_at at)
{
	announce(OP_READ, p, 8, UINT64_MAX, false, at, PC);
	return p->v_;
}

void sim_storeptr(atomicptr_t *p, void *v, sim_at at)
{
	if (put(p, 8, (uintptr_t)v, at, PC))
		return;
	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	p->v_ = v;
}

void *sim_xchgptr(atomicptr_t *p, void *v, sim_at at)
{
	void *old;

	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	old = p->v_;
	p->v_ = v;
	return old;
}

bool sim_casptr(atomicptr_t *p, void *old, void *new_, sim_at at)
{
	announce(OP_WRITE, p, 8, UINT64_MAX, false, at, PC);
	if (p->v_ != old && mutant_keeps(at, PC))
		return false;
	p->v_ = new_;
	return true;
}

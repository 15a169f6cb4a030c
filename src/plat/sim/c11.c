/* plat/sim/c11.c - see c11.h; and the thread sanitizer's functions for atomics, which the compiler
 * calls in their place. An access of one or two bytes is one to those bits of its 4-byte cell. */
#include "plat/sim/c11.h"

#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"

#define SITES 4096

/* ---- places ---- */

static struct site {
	const void *pc, *p;
	struct sim_site site;
	char name[48];
} sites[SITES];

void c11_reset(void)
{
	memset(sites, 0, sizeof(sites));
}

/* The place @pc, for the word @p. Drawings show the word's name, if it has one; the line comes from
 * @pc. */
static sim_at site_of(const void *p, const char *op, void *pc)
{
	static const struct sim_site unknown = { .file = "?", .func = "?", .expr = "a word" };
	unsigned i = (unsigned)(((uintptr_t)pc ^ (uintptr_t)p) * 2654435761u >> 8) % SITES;
	struct site *s = &sites[i];

	for (unsigned n = 0; s->pc && n < SITES; n++) {
		if (s->pc == pc && s->p == p)
			return &s->site;
		i = (i + 1) % SITES;
		s = &sites[i];
	}
	if (s->pc)
		return &unknown;
	if (!p || !sim_name_of(p, s->name, sizeof(s->name)))
		strcpy(s->name, p ? "a word" : "the store buffer");
	s->pc = pc;
	s->p = p;
	s->site = (struct sim_site){ .file = "?", .func = "?", .expr = s->name, .op = op };
	return &s->site;
}

/* ---- a value in its cell ---- */

struct cell {
	void *p;
	unsigned width, shift;
	uint64_t bits; /* of the value, in the cell */
};

static struct cell cell_of(const void *p, unsigned width)
{
	uintptr_t at = (uintptr_t)p;
	struct cell c = { (void *)at, width, 0, width == 8 ? UINT64_MAX : UINT32_MAX };

	if (width < 4) {
		c.p = (void *)(at & ~(uintptr_t)3);
		c.shift = (unsigned)(at & 3) * 8;
		c.width = 4;
		c.bits = (width == 1 ? 0xffull : 0xffffull) << c.shift;
	}
	return c;
}

static uint64_t read_cell(const struct cell *c)
{
	uint64_t v = 0;

	memcpy(&v, c->p, c->width);
	return v;
}

static void write_cell(const struct cell *c, uint64_t v)
{
	uint64_t all = (read_cell(c) & ~c->bits) | (v << c->shift & c->bits);

	memcpy(c->p, &all, c->width);
}

static struct sim_op op_on(const struct cell *c, enum op_kind kind, sim_at at, void *pc)
{
	return (struct sim_op){ .kind = (uint8_t)kind,
				.width = (uint8_t)c->width,
				.obj = arena_object(c->p),
				.mask = c->bits,
				.at = at,
				.pc = pc };
}

/* Is the word shared? The first question of every access. */
static bool is_shared(const void *p)
{
	if (sim_current >= 0 && sim_on_access)
		sim_on_access();
	return sim_current >= 0 && arena_object(p) &&
	       (uintptr_t)p - (uintptr_t)arena_stack(sim_current) >= SIM_STACK_SIZE;
}

static void do_at(const struct cell *c, enum op_kind kind, enum c11_order order, const char *op,
		  void *pc)
{
	sim_at at = site_of(c->p, op, pc);

	arena_check(c->p, c->width, kind != OP_READ, at, pc);
	sim_point(op_on(c, kind, at, pc));
	arena_check(c->p, c->width, kind != OP_READ, at, pc);
	if (kind == OP_READ && tso_own(c->p, c->width))
		return;
	if (order != C11_RELAXED && order != C11_RELEASE)
		clocks_acquire(arena_object(c->p));
	if (kind != OP_READ && order >= C11_RELEASE)
		clocks_release(arena_object(c->p));
}

/* ---- operations ---- */

uint64_t c11_load(const void *p, unsigned width, enum c11_order order, void *pc)
{
	struct cell c = cell_of(p, width);

	if (is_shared(p))
		do_at(&c, OP_READ, order, "load", pc);
	return (read_cell(&c) & c.bits) >> c.shift;
}

void c11_store(void *p, unsigned width, uint64_t v, enum c11_order order, void *pc)
{
	struct cell c = cell_of(p, width);
	sim_at at;

	if (!is_shared(p)) {
		write_cell(&c, v);
		return;
	}
	at = site_of(p, "store", pc);
	if (tso_buffers() && (order != C11_SEQ_CST || !mutant_keeps_fence(at, pc))) {
		arena_check(c.p, c.width, true, at, pc);
		tso_store(op_on(&c, OP_WRITE, at, pc), ~c.bits, v << c.shift & c.bits, 0,
			  order >= C11_RELEASE);
		return;
	}
	do_at(&c, OP_WRITE, order, "store", pc);
	write_cell(&c, v);
}

uint64_t c11_change(void *p, unsigned width, const struct c11_change *change, enum c11_order order,
		    void *pc)
{
	struct cell c = cell_of(p, width);
	uint64_t old;

	if (is_shared(p))
		do_at(&c, OP_WRITE, order, "change", pc);
	old = (read_cell(&c) & c.bits) >> c.shift;
	write_cell(&c, (((old & change->keep) | change->set) ^ change->flip) + change->add);
	return old;
}

bool c11_cas(void *p, unsigned width, uint64_t *old, uint64_t new_, enum c11_order order, void *pc)
{
	struct cell c = cell_of(p, width);
	uint64_t is;

	if (is_shared(p))
		do_at(&c, OP_WRITE, order, "cas", pc);
	is = (read_cell(&c) & c.bits) >> c.shift;
	if (is != *old) {
		*old = is;
		return false;
	}
	write_cell(&c, new_);
	return true;
}

void c11_fence(enum c11_order order, void *pc)
{
	sim_at at;

	if (sim_current < 0 || order != C11_SEQ_CST)
		return;
	at = site_of(NULL, "fence", pc);
	if (mutant_keeps_fence(at, pc))
		sim_point((struct sim_op){ .kind = OP_FENCE, .at = at, .pc = pc });
}

/* ---- what the compiler calls ---- */

#define PC __builtin_return_address(0)

#define CHANGES(bits, type, name, ...)                                                             \
	type __tsan_atomic##bits##_##name(volatile void *p, type v, int order);                    \
	type __tsan_atomic##bits##_##name(volatile void *p, type v, int order)                     \
	{                                                                                          \
		struct c11_change c = { UINT64_MAX, 0, 0, 0 };                                     \
                                                                                                   \
		__VA_ARGS__;                                                                       \
		return (type)c11_change((void *)(uintptr_t)p, bits / 8, &c, (enum c11_order)order, \
					PC);                                                       \
	}

#define CAS(bits, type, name)                                                                      \
	bool __tsan_atomic##bits##_##name(volatile void *p, void *old, type v, int order,          \
					  int fail);                                               \
	bool __tsan_atomic##bits##_##name(volatile void *p, void *old, type v, int order,          \
					  int fail)                                                \
	{                                                                                          \
		uint64_t o = *(type *)old;                                                         \
		bool done =                                                                        \
			c11_cas((void *)(uintptr_t)p, bits / 8, &o, v, (enum c11_order)order, PC); \
                                                                                                   \
		(void)fail;                                                                        \
		*(type *)old = (type)o;                                                            \
		return done;                                                                       \
	}

#define ATOMICS(bits, type)                                                                        \
	type __tsan_atomic##bits##_load(const volatile void *p, int order);                        \
	type __tsan_atomic##bits##_load(const volatile void *p, int order)                         \
	{                                                                                          \
		return (type)c11_load((const void *)(uintptr_t)p, bits / 8, (enum c11_order)order, \
				      PC);                                                         \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile void *p, type v, int order);                     \
	void __tsan_atomic##bits##_store(volatile void *p, type v, int order)                      \
	{                                                                                          \
		c11_store((void *)(uintptr_t)p, bits / 8, v, (enum c11_order)order, PC);           \
	}                                                                                          \
	CHANGES(bits, type, exchange, (c.keep = 0, c.set = v))                                     \
	CHANGES(bits, type, fetch_add, (c.add = v))                                                \
	CHANGES(bits, type, fetch_sub, (c.add = -(uint64_t)v))                                     \
	CHANGES(bits, type, fetch_or, (c.set = v))                                                 \
	CHANGES(bits, type, fetch_and, (c.keep = v))                                               \
	CHANGES(bits, type, fetch_xor, (c.flip = v))                                               \
	CAS(bits, type, compare_exchange_strong)                                                   \
	CAS(bits, type, compare_exchange_weak)

ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	c11_fence((enum c11_order)order, PC);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
	(void)order;
}

/* plat/sim/c11.h - C11 atomics on the simulated machine, for code that is not written against
 * plat.h: the agent's. The compiler calls them at every atomic access (c11.c).
 *
 * As on x86: a sequentially consistent store is an exchange, any other one enters the store buffer
 * (tso.h); every read-modify-write is locked; a fence that is not sequentially consistent does
 * nothing. What is relaxed orders no plain access (clocks.c).
 *
 * @width is 1, 2, 4 or 8 bytes; @pc the place in the program.
 */
#ifndef UMEMCG_PLAT_SIM_C11_H
#define UMEMCG_PLAT_SIM_C11_H

#include "plat/sim/sim.h"

enum c11_order { C11_RELAXED, C11_CONSUME, C11_ACQUIRE, C11_RELEASE, C11_ACQ_REL, C11_SEQ_CST };

/* A program is loaded: its words have other names. */
void c11_reset(void);

uint64_t c11_load(const void *p, unsigned width, enum c11_order order, void *pc);
void c11_store(void *p, unsigned width, uint64_t v, enum c11_order order, void *pc);
/* The value becomes ((value & @keep) | @set) ^ @flip, plus @add. Returns the old one. */
struct c11_change {
	uint64_t keep, set, flip, add;
};
uint64_t c11_change(void *p, unsigned width, const struct c11_change *c, enum c11_order order,
		    void *pc);
/* False: the value was another one, and *@old is set to it. */
bool c11_cas(void *p, unsigned width, uint64_t *old, uint64_t new_, enum c11_order order, void *pc);
void c11_fence(enum c11_order order, void *pc);

#endif

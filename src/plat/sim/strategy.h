/* plat/sim/strategy.h - what explore.c asks of a strategy. */
#ifndef UMEMCG_PLAT_SIM_STRATEGY_H
#define UMEMCG_PLAT_SIM_STRATEGY_H

#include "plat/sim/sim.h"

struct strategy {
	void (*begin)(void);        /* before an execution */
	sim_pick pick;
	void (*quiet)(void);        /* no task can go on */
	void (*end)(void);          /* after it */
	bool (*next)(void);         /* prepare another; false: there is none */
};

void bounded_setup(unsigned preemptions);
void bounded_begin(void);
int bounded_pick(uint32_t enabled);
bool bounded_next(void);

void random_setup(uint64_t seed);
void random_begin(void);
int random_pick(uint32_t enabled);
bool random_next(void);

/* Event @i of the trace runs another task than event @i - 1, which could have gone on. */
bool preempted(unsigned i);

#endif

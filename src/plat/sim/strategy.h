/* plat/sim/strategy.h - what a strategy provides to explore.c. */
#ifndef UMEMCG_PLAT_SIM_STRATEGY_H
#define UMEMCG_PLAT_SIM_STRATEGY_H

#include "plat/sim/sim.h"

struct strategy {
	void (*begin)(void); /* before an execution */
	sim_pick pick;
	void (*quiet)(void); /* no task can continue */
	void (*end)(void);   /* after it */
	bool (*next)(void);  /* prepare the next one; false: there is none */
};

void bounded_setup(unsigned preemptions);
void bounded_begin(void);
int bounded_pick(uint32_t enabled);
bool bounded_next(void);

void random_setup(uint64_t seed);
void random_begin(void);
int random_pick(uint32_t enabled);
bool random_next(void);

/* Does event @i of the trace switch away from a task that could have continued? */
bool preempted(unsigned i);

#endif

/* plat/sim/mutant.h - leaving out one piece of synchronisation at a time: a lock (and its unlock),
 * an RCU section, a grace period, the failed comparison of a compare-and-swap or inc-not-zero, a
 * wake-up, a mark of plat.h. A piece is a place in the compiled program: an inlined accessor is a
 * separate piece in each of its callers. */
#ifndef UMEMCG_PLAT_SIM_MUTANT_H
#define UMEMCG_PLAT_SIM_MUTANT_H

#include "plat/sim/sim.h"

#define MUTANTS_MAX          2048
#define MUTANT_SCENARIOS_MAX 256

struct mutant {
	void *pc;
	sim_at at;
	bool fence;                         /* a store's or an unlock's */
	bool reached[MUTANT_SCENARIOS_MAX]; /* scenarios that reach it */
};
extern struct mutant mutants[MUTANTS_MAX];
extern unsigned nr_mutants;

/* Record every piece reached from now on, for scenario @number (below MUTANT_SCENARIOS_MAX); -1:
 * stop. */
void mutants_record(int number);
/* Leave out the piece at @pc; NULL: none. */
void mutant_set(void *pc);
bool mutant_on(void);

/* ---- for the machine ---- */

void mutant_reset(void); /* before an execution */
bool mutant_skips_lock(const void *lock, sim_at at, void *pc);
bool mutant_skips_unlock(const void *lock); /* was its lock left out? */
bool mutant_keeps(sim_at at, void *pc);
/* The same for the fence behind a store, or of an unlock, in the memory model that has one. */
bool mutant_keeps_fence(sim_at at, void *pc);

#endif

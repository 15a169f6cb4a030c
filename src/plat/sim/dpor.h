/* plat/sim/dpor.h - the exhaustive strategy's stack, shared with the search over several
 * processes. */
#ifndef UMEMCG_PLAT_SIM_DPOR_H
#define UMEMCG_PLAT_SIM_DPOR_H

#include "plat/sim/explore.h"

struct dpor_node {
	uint32_t enabled;   /* tasks that can continue here */
	uint32_t sleep;     /* their next operation is covered elsewhere */
	uint32_t backtrack; /* to be tried */
	uint32_t done;      /* tried */
	uint32_t begun;     /* tasks that have done something before */
	uint8_t chosen;
	uint8_t given_away; /* choices that other processes are trying */
	unsigned nr_tasks;
	uint16_t seq;    /* of the event, among its task's */
	int32_t prev;    /* the previous event on the same object, -1: none */
	sim_clock clock; /* of the event: what happens before it */
	struct sim_op next[SIM_TASKS_MAX];
};

extern struct dpor_node *dpor_nodes;
extern unsigned dpor_len; /* nodes of the stack */
extern unsigned
	dpor_floor; /* nodes below it belong to another process: choices are added, not tried */
extern bool dpor_naive, dpor_time_passed;

void dpor_begin(void); /* before an execution */
int dpor_pick(uint32_t enabled);
void dpor_quiet(void);
void dpor_end(void);  /* after it, unless it was complete */
bool dpor_next(void); /* false: nothing left to try, or the top node waits for others */
uint32_t dpor_choices(unsigned d); /* the choices left to try at node @d */

#endif

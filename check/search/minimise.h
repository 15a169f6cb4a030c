/* check/search/minimise.h - the schedule that shows a finding best.
 *
 * Fewest preemptions first, then fewest tasks, fewest operations, fewest changes of task. Every candidate is run: what
 * comes out fails with the same finding, and was replayed twice with the same operations.
 */
#ifndef UMEMCG_CHECK_MINIMISE_H
#define UMEMCG_CHECK_MINIMISE_H

#include "search/replay.h"

/* @s fails in the scenario that is loaded; make it smaller. At most about @budget executions a step. False: it
 * does not fail the same way twice. Leaves sim_trace and sim_failure as of @s. */
bool minimise(struct schedule *s, const struct sim_failure *failure, uint64_t budget);

/* Do @a and @b tell of the same fault? Their numbers may differ. */
bool same_finding(const struct sim_failure *a, const struct sim_failure *b);

/* What a schedule did, for following it when the program does something else now and then. */
struct schedule_trace {
	struct sim_event event[SIM_DEPTH_MAX];
	unsigned len;
};
void schedule_keep_trace(struct schedule_trace *to);
/* Run @s, which once did what @as has, again: a task that does something else now changes no turns of the others.
 * @does_more: what is different is taken for more than it did then, not for less, as long as that may be.
 * minimise_follow.c. */
void schedule_follow(const struct schedule *s, const struct schedule_trace *as, bool does_more);

/* @decisive[i]: the failure of @s goes away when its operation @i comes earlier or later among the others':
 * minimise_slice.c. */
void find_decisive(const struct schedule *s, bool *decisive);

/* Rewrite @s, which was just run, so that independent operations of one task stand together: minimise_order.c. */
void join_runs(struct schedule *s);

#endif

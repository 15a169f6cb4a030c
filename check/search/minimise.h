/* check/search/minimise.h - the schedule that shows a finding best.
 *
 * Fewest preemptions first, then fewest tasks, fewest operations, fewest task switches. Every
 * candidate is run: the result fails with the same finding, and was replayed twice with the same
 * operations.
 */
#ifndef UMEMCG_CHECK_MINIMISE_H
#define UMEMCG_CHECK_MINIMISE_H

#include "search/replay.h"

/* @s fails in the loaded scenario; make it smaller. At most about @budget executions per step.
 * False: it does not fail the same way twice. Leaves sim_trace and sim_failure as of @s. */
bool minimise(struct schedule *s, const struct sim_failure *failure, uint64_t budget);

/* Do @a and @b report the same fault? Their numbers may differ. */
bool same_finding(const struct sim_failure *a, const struct sim_failure *b);

/* What a schedule did, for following it in a program that differs here and there. */
struct schedule_trace {
	struct sim_event event[SIM_DEPTH_MAX];
	unsigned len;
};
void schedule_keep_trace(struct schedule_trace *to);
/* Rerun @s, which once did what @as has: a task that does something else now changes no turns of
 * the others. @does_more: a difference is taken for additional operations, not for missing ones, as
 * long as possible. minimise_follow.c. */
void schedule_follow(const struct schedule *s, const struct schedule_trace *as, bool does_more);

/* @decisive[i]: the failure of @s goes away when its operation @i comes earlier or later among the
 * others': minimise_slice.c. */
void find_decisive(const struct schedule *s, bool *decisive);

/* Rewrite @s, which was just run, so that independent operations of one task are adjacent:
 * minimise_order.c. */
void join_runs(struct schedule *s);

#endif

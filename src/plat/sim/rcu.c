/* plat/sim/rcu.c - grace periods of the simulated machine.
 *
 * The start of a grace period records the current readers; its end is enabled once each of them has
 * left. So it is as short as allowed: the worst case for a reader that relies on more. A deferred
 * call is a task that starts with such an end.
 *
 * The end of a grace period is ordered after every read section that it waits for and after those
 * that had ended when it started; a section that began later is not ordered with it. A section
 * whose end is still in a store buffer (tso.h) has not ended.
 *
 * Outside an execution there are no readers; deferred calls wait in a list for rcu_flush, or the
 * end of set-up.
 */
#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"

#define PC __builtin_return_address(0)

static uint32_t waits_for[SIM_SPAWN_MAX];            /* tasks whose section the period waits for */
static uint16_t noted[SIM_SPAWN_MAX][SIM_TASKS_MAX]; /* each task's section at the start; 0: none */
static uint16_t sections[SIM_TASKS_MAX];             /* sections begun so far */
static uint16_t buffered[SIM_TASKS_MAX];             /* ends of sections in the store buffer */
static unsigned nr_periods;
static struct plat_rcu_head *deferred; /* outside executions */

void rcu_reset(void)
{
	nr_periods = 0;
	deferred = NULL;
	memset(sections, 0, sizeof(sections));
	memset(buffered, 0, sizeof(buffered));
}

bool rcu_gp_waits_for(unsigned gp, unsigned task, unsigned section)
{
	return noted[gp][task] == section;
}

bool rcu_gp_over(unsigned gp)
{
	return waits_for[gp] == 0;
}

/* @mask: the readers concerned. */
static void point(enum op_kind kind, uint64_t mask, uint64_t arg, sim_at at, void *pc)
{
	sim_point((struct sim_op){ .kind = (uint8_t)kind,
				   .obj = OBJ_RCU,
				   .mask = mask,
				   .arg = arg,
				   .at = at,
				   .pc = pc });
}

void sim_rcu_lock(sim_at at)
{
	if (sim_current >= 0 && mutant_skips_lock(&nr_periods, at, PC))
		return;
	if (sim_current < 0 || sim_tasks[sim_current].rcu_nesting++ > 0)
		return;
	sim_tasks[sim_current].rcu_nesting--;
	point(OP_RCU_LOCK, 1ull << sim_current, 0, at, PC);
	sim_tasks[sim_current].rcu_nesting++;
	sections[sim_current]++;
}

/* In memory: the periods that wait for @task's section @section no longer do. */
static void section_ended(int task, const sim_clock *clock, unsigned section)
{
	buffered[task]--;
	clock_join(&sim_object(OBJ_SECTIONS)->released, clock);
	for (unsigned i = 0; i < nr_periods; i++)
		if (waits_for[i] & 1u << task && noted[i][task] == section) {
			waits_for[i] &= ~(1u << task);
			clock_join(&sim_object(OBJ_PERIOD(i))->released, clock);
		}
}

static void end_in_buffer(sim_at at, void *pc)
{
	unsigned section = sections[sim_current];

	tso_call((struct sim_op){ .kind = OP_RCU_UNLOCK,
				  .obj = OBJ_RCU,
				  .mask = 1ull << sim_current,
				  .arg = section,
				  .at = at,
				  .pc = pc },
		 section_ended, section);
	buffered[sim_current]++;
	sim_tasks[sim_current].rcu_nesting = 0;
}

void sim_rcu_unlock(sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t || mutant_skips_unlock(&nr_periods))
		return;
	if (t->rcu_nesting == 0)
		sim_fail(SIM_BUG, at->file, at->line, "an RCU section ends that never began");
	if (t->rcu_nesting > 1) {
		t->rcu_nesting--;
		return;
	}
	if (tso_buffers()) {
		end_in_buffer(at, PC);
		return;
	}
	point(OP_RCU_UNLOCK, 1ull << sim_current, sections[sim_current], at, PC);
	t->rcu_nesting = 0;
	clocks_release(OBJ_SECTIONS);
	for (unsigned i = 0; i < nr_periods; i++)
		if (waits_for[i] & 1u << sim_current) {
			waits_for[i] &= ~(1u << sim_current);
			clocks_release(OBJ_PERIOD(i));
		}
}

/* Announce the start; returns the number of the period. */
static unsigned period_begins(sim_at at, void *pc)
{
	uint32_t readers = 0;

	point(OP_GP_START, UINT64_MAX, 0, at, pc);
	if (nr_periods == SIM_SPAWN_MAX)
		sim_fail(SIM_LIVELOCK, at->file, at->line,
			 "more than %d grace periods in one execution", SIM_SPAWN_MAX);
	memset(noted[nr_periods], 0, sizeof(noted[0]));
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if ((sim_tasks[t].alive && sim_tasks[t].rcu_nesting) || buffered[t]) {
			readers |= 1u << t;
			noted[nr_periods][t] = sections[t];
		}
	waits_for[nr_periods] = readers;
	clock_join(&sim_object(OBJ_PERIOD(nr_periods))->released,
		   &sim_object(OBJ_SECTIONS)->released);
	return nr_periods++;
}

void sim_rcu_synchronize(sim_at at)
{
	unsigned gp;

	if (sim_current < 0)
		return;
	if (sim_tasks[sim_current].rcu_nesting)
		sim_fail(SIM_DEADLOCK, at->file, at->line,
			 "a grace period is waited for inside a read section");
	if (!mutant_keeps(at, PC))
		return;
	gp = period_begins(at, PC);
	point(OP_GP_END, waits_for[gp], gp, at, PC);
	clocks_acquire(OBJ_PERIOD(gp));
}

static void run_deferred(void *arg)
{
	struct plat_rcu_head *head = arg;
	const struct sim_op *end = &sim_tasks[sim_current].next;

	clocks_acquire(OBJ_PERIOD((unsigned)end->arg));
	arena_check(head, sizeof(*head), false, end->at, end->pc);
	head->fn(head);
	sim_task_ends();
}

void sim_rcu_defer(struct plat_rcu_head *head, void (*fn)(struct plat_rcu_head *), sim_at at)
{
	struct sim_op end = { .kind = OP_GP_END, .obj = OBJ_RCU, .at = at, .pc = PC };

	arena_check(head, sizeof(*head), true, at, PC);
	head->fn = fn;
	if (sim_current < 0) {
		head->next = deferred;
		deferred = head;
		return;
	}
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].alive && sim_tasks[t].fn == run_deferred &&
		    sim_tasks[t].arg == head)
			sim_fail(SIM_BUG, at->file, at->line, "%s is deferred twice for one object",
				 at->expr);
	if (!mutant_keeps(at, PC)) {
		fn(head);
		return;
	}
	end.arg = period_begins(at, PC);
	end.mask = waits_for[end.arg];
	sim_spawn(at->expr, run_deferred, head, &end);
}

void rcu_settle(void)
{
	while (deferred) {
		struct plat_rcu_head *head = deferred;

		deferred = head->next;
		head->fn(head);
	}
}

/* Waits for every task that is a deferred call, in the order of the calls. */
void sim_rcu_flush(sim_at at)
{
	if (sim_current < 0) {
		rcu_settle();
		return;
	}
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].fn == run_deferred && sim_tasks[t].alive)
			sim_point((struct sim_op){ .kind = OP_AWAIT,
						   .obj = OBJ_TASK(t),
						   .mask = 1,
						   .arg = 1,
						   .at = at,
						   .pc = PC });
}

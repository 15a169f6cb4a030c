/* plat/sim/task.c - tasks and executions: which task runs, the trace, the outcome.
 *
 * The scheduler has no stack of its own: a task that announces an operation asks the strategy for
 * the next task and switches to it directly, or continues if it is picked itself.
 *
 * A new task runs at once up to its first announcement, so every live task always has a next
 * operation to compare others with.
 *
 * Time stands still while any task can continue. If none can, it advances to the first deadline.
 *
 * A store buffer (tso.h) is a task without a stack: the scheduler itself does its drains.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "plat/sim/c11.h"
#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"

struct sim_task sim_tasks[SIM_TASKS_MAX];
unsigned sim_nr_tasks;
int sim_current = -1;
struct sim_failure sim_failure;
struct sim_event sim_trace[SIM_DEPTH_MAX + 1];
unsigned sim_depth;
bool sim_stopped, sim_running;
uint64_t sim_now;
enum sim_bug_id sim_bug;
bool sim_bug_here = true;
void (*sim_on_event)(int task);
void (*sim_on_access)(void);
bool (*sim_on_bug)(void *pc);
uint32_t sim_left_out;

static struct sim_task declared[SIM_TASKS_MAX];
static unsigned nr_declared;
static const struct sim_program *program;
static sim_pick pick;
static void (*at_rest)(void);
static unsigned long fault_left[NR_FAULT_KINDS], fault_saved[NR_FAULT_KINDS];

const char *sim_finding_name(enum sim_finding f)
{
	static const char *const names[] = {
		[SIM_OK] = "nothing",
		[SIM_DEADLOCK] = "DEADLOCK",
		[SIM_LIVELOCK] = "LIVELOCK",
		[SIM_BUG] = "BUG",
		[SIM_USE_AFTER_FREE] = "USE AFTER FREE",
		[SIM_RACE] = "DATA RACE",
		[SIM_LEAK] = "LEAK",
		[SIM_AUDIT] = "AUDIT",
		[SIM_LOCK_ORDER] = "LOCK ORDER",
		[SIM_WRONG] = "WRONG",
		[SIM_BAD_REPLAY] = "REPLAY DOES NOT FIT",
	};
	return names[f];
}

static struct {
	void *pc, *other_pc;
	int other;
} fail_pc = { NULL, NULL, -1 };

void sim_fail_pc(void *pc, void *other_pc, int other)
{
	fail_pc.pc = pc;
	fail_pc.other_pc = other_pc;
	fail_pc.other = other;
}

void sim_fail(enum sim_finding kind, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	if (sim_failure.kind == SIM_OK) {
		sim_failure = (struct sim_failure){ .kind = kind,
						    .task = sim_current,
						    .step = sim_depth,
						    .file = file,
						    .line = line,
						    .pc = fail_pc.pc,
						    .other_pc = fail_pc.other_pc,
						    .other = fail_pc.other };
		va_start(ap, fmt);
		vsnprintf(sim_failure.text, sizeof(sim_failure.text), fmt, ap);
		va_end(ap);
	}
	sim_fail_pc(NULL, NULL, -1);
	if (sim_current >= 0)
		coro_switch(-1, true);
	if (!sim_running) { /* in the set-up: there is nothing to return to */
		fprintf(stderr, "umemcg check: the set-up failed: %s (%s:%d)\n", sim_failure.text,
			file ? file : "?", line);
		exit(125);
	}
}

void plat_bug(const char *what, const char *file, int line)
{
	sim_fail_pc(__builtin_return_address(0), NULL, -1);
	sim_fail(SIM_BUG, file, line, "%s", what);
	crash_leave_end();
	fprintf(stderr, "umemcg check: BUG outside of an execution: %s (%s:%d)\n", what, file,
		line);
	abort();
}

/* A finding about the execution as a whole. The caller writes its text. */
static void nobody_fails(enum sim_finding kind)
{
	sim_failure.kind = kind;
	sim_failure.task = sim_failure.other = -1;
	sim_failure.step = sim_depth;
	sim_failure.file = NULL;
	sim_failure.line = 0;
	sim_failure.pc = sim_failure.other_pc = NULL;
}

/* ---- scheduling ---- */

static uint32_t enabled_tasks(void)
{
	uint32_t mask = 0;

	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_task_enabled((int)t))
			mask |= 1u << t;
	return mask;
}

/* No task can continue: wake the sleepers with the earliest deadline. False: there are none. */
static bool time_passes(void)
{
	uint64_t deadline = UINT64_MAX;

	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].alive && sim_tasks[t].timed && sim_tasks[t].deadline < deadline)
			deadline = sim_tasks[t].deadline;
	if (deadline == UINT64_MAX || program->no_time)
		return false;
	if (deadline > sim_now)
		sim_now = deadline;
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (sim_tasks[t].alive && sim_tasks[t].timed && sim_tasks[t].deadline == deadline) {
			sim_tasks[t].timed_out = true;
			clocks_join_all((int)t);
		}
	return true;
}

static void finish_event(void)
{
	if (sim_depth)
		sim_trace[sim_depth - 1].after = op_value(&sim_trace[sim_depth - 1].op);
}

/* Let the program check the current state. False: it failed. */
static bool looks_well(void)
{
	int current = sim_current;

	sim_current = -1; /* its reads are not operations */
	program->look(program->arg);
	sim_current = current;
	if (sim_failure.kind != SIM_OK)
		sim_failure.task = sim_trace[sim_depth - 1].task;
	return sim_failure.kind == SIM_OK;
}

static void begin_event(int t, uint32_t enabled)
{
	sim_trace[sim_depth].enabled = enabled;
	sim_trace[sim_depth].op = sim_tasks[t].next;
	sim_trace[sim_depth].task = t;
	sim_trace[sim_depth].before = op_value(&sim_tasks[t].next);
	if (__builtin_expect(sim_on_event != NULL, 0))
		sim_on_event(t);
	sim_depth++;
	sim_tasks[t].ops_done++;
}

/* The next task, whose operation is begun; -1: the execution is over. */
static int pick_next(void)
{
	uint32_t enabled;
	int t;

	finish_event();
	if (program->look && sim_depth && !looks_well())
		return -1;
	enabled = enabled_tasks();
	if (!enabled) {
		if (at_rest)
			at_rest();
		if (time_passes())
			enabled = enabled_tasks();
	}
	if (!enabled)
		return -1;
	if (sim_depth == SIM_DEPTH_MAX) {
		nobody_fails(SIM_LIVELOCK);
		snprintf(sim_failure.text, sizeof(sim_failure.text), "no end after %d operations",
			 SIM_DEPTH_MAX);
		return -1;
	}
	t = pick(enabled);
	if (t < 0) {
		sim_stopped = true;
		return -1;
	}
	begin_event(t, enabled);
	return t;
}

/* The next task with a stack; -1: the execution is over. */
static int schedule(void)
{
	int t;

	while ((t = pick_next()) >= 0 && tso_owner(t) >= 0)
		if (!tso_drain(t))
			return -1;
	return t;
}

static void announce(const struct sim_op *op)
{
	struct sim_task *me = &sim_tasks[sim_current];
	int starter, next;

	me->next = *op;
	if (op->kind == OP_NONE) {
		if (me->nr_held)
			sim_fail(SIM_BUG, me->held[0].at->file, me->held[0].at->line,
				 "a task ends and holds %s", me->held[0].at->expr);
		if (me->rcu_nesting)
			sim_fail(SIM_BUG, NULL, 0, "a task ends inside an RCU section");
		me->alive = false;
	}
	starter = me->starter;
	if (starter != -2) {
		me->starter = -2;
		coro_switch(starter, op->kind == OP_NONE);
		return;
	}
	next = schedule();
	if (next == sim_current)
		return;
	coro_switch(next, op->kind == OP_NONE || next < 0);
}

void sim_point(struct sim_op op)
{
	if (sim_current < 0)
		return;
	op.by = (uint8_t)(sim_current + 1);
	op.drains |= op_drains(&op);
	tso_hide(sim_current);
	announce(&op);
	tso_show(sim_current);
	if (op.obj >= OBJ_FIRST)
		clocks_used(op.obj);
}

/* ---- tasks ---- */

int sim_task(const char *name, void (*fn)(void *arg), void *arg, unsigned cpu, unsigned group)
{
	if (nr_declared == SIM_TASKS_MAX)
		return -1;
	declared[nr_declared] = (struct sim_task){ .name = name,
						   .fn = fn,
						   .arg = arg,
						   .cpu = cpu,
						   .group = group,
						   .parent = -1,
						   .starter = -2 };
	return (int)nr_declared++;
}

static int new_task(const struct sim_task *like)
{
	unsigned t = sim_nr_tasks;
	struct sim_task *k = &sim_tasks[t];

	if (t == SIM_TASKS_MAX)
		sim_fail(SIM_LIVELOCK, NULL, 0, "more than %d tasks in one execution",
			 SIM_TASKS_MAX);
	*k = *like;
	k->alive = true;
	k->starter = sim_current;
	coro_prepare((int)t, arena_stack((int)t));
	sim_nr_tasks++;
	return (int)t;
}

int sim_spawn(const char *name, void (*fn)(void *arg), void *arg, struct sim_op *first)
{
	struct sim_task like = { .name = name,
				 .fn = fn,
				 .arg = arg,
				 .parent = sim_current,
				 .cpu = sim_tasks[sim_current].cpu };
	int t = new_task(&like);

	clocks_fork(sim_current, t);
	if (first) { /* it starts with a wait: its code runs after that */
		sim_tasks[t].starter = -2;
		sim_tasks[t].next = *first;
		return t;
	}
	coro_switch(t, false);
	return t;
}

struct start {
	void (*fn)(void *);
	void *arg;
};

void sim_task_ends(void)
{
	unsigned me = (unsigned)sim_current;

	sim_point((struct sim_op){ .kind = OP_WRITE,
				   .obj = OBJ_TASK(me),
				   .mask = 1,
				   .at = SIM_SITE("the end of a task") });
	clocks_release(OBJ_TASK(me));
}

static void thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	s.fn(s.arg);
	sim_task_ends();
}

int sim_thread_start(struct plat_thread *t, const char *name, void (*fn)(void *), void *arg,
		     sim_at at)
{
	struct start *s;

	if (sim_current < 0)
		sim_fail(SIM_BUG, at->file, at->line,
			 "a thread is started outside of an execution");
	s = sim_alloc(sizeof(*s));
	*s = (struct start){ fn, arg };
	sim_point((struct sim_op){
		.kind = OP_READ, .obj = OBJ_MISC, .mask = 0, .drains = true, .at = at });
	t->task = sim_spawn(name, thread_main, s, NULL);
	return 0;
}

void sim_thread_join(struct plat_thread *t, sim_at at)
{
	sim_point((struct sim_op){ .kind = OP_AWAIT,
				   .obj = OBJ_TASK((unsigned)t->task),
				   .mask = 1,
				   .arg = 1,
				   .drains = true,
				   .at = at });
	clocks_acquire(OBJ_TASK((unsigned)t->task));
}

unsigned plat_cpu(void)
{
	return sim_current < 0 ? 0 : sim_tasks[sim_current].cpu % PLAT_NR_CPUS;
}

uint64_t plat_now_ns(void)
{
	return sim_now;
}

void sim_sleep_ns(uint64_t ns, sim_at at)
{
	struct sim_task *t = sim_running_task();

	if (!t)
		return;
	t->timed = true;
	t->deadline = sim_now + ns;
	sim_point((struct sim_op){ .kind = OP_SLEEP, .at = at });
	t->timed = t->timed_out = false;
}

bool sim_bug_met(void)
{
	sim_bug_here = !sim_on_bug || sim_on_bug(__builtin_return_address(0));
	return sim_bug_here;
}

/* ---- injected faults ---- */

void fault_arm(enum fault_kind kind, unsigned long nth)
{
	fault_left[kind] = nth;
}

bool fault_hit(enum fault_kind kind)
{
	if (!fault_left[kind])
		return false;
	sim_point((struct sim_op){ .kind = OP_WRITE, .obj = OBJ_MISC + 1 + kind, .mask = 1 });
	return --fault_left[kind] == 0;
}

/* ---- executions ---- */

int sim_load(const struct sim_program *p)
{
	program = p;
	nr_declared = 0;
	sim_failure.kind = SIM_OK;
	sim_now = 0;
	memset(fault_left, 0, sizeof(fault_left));
	sim_on_access = NULL;
	c11_reset();
	crash_catch();
	arena_init();
	rcu_reset();
	p->setup(p->arg);
	rcu_settle();
	arena_save();
	memcpy(fault_saved, fault_left, sizeof(fault_left));
	return sim_failure.kind == SIM_OK ? 0 : -1;
}

static void describe_deadlock(void)
{
	size_t n = 0;

	nobody_fails(SIM_DEADLOCK);
	for (unsigned t = 0; t < sim_nr_tasks && n < sizeof(sim_failure.text); t++) {
		const struct sim_task *k = &sim_tasks[t];

		if (!k->alive)
			continue;
		n += (size_t)snprintf(sim_failure.text + n, sizeof(sim_failure.text) - n,
				      "%s%s waits for %s (%s)", n ? "; " : "", k->name,
				      k->next.at ? k->next.at->expr : "the end of a task",
				      op_name(k->next.kind));
	}
}

enum sim_finding sim_run(sim_pick strategy, void (*quiet_point)(void))
{
	uint32_t alive = 0;
	int first;

	pick = strategy;
	at_rest = quiet_point;
	sim_depth = 0;
	sim_nr_tasks = 0;
	sim_now = 0;
	sim_stopped = false;
	sim_failure.kind = SIM_OK;
	memcpy(fault_left, fault_saved, sizeof(fault_left));
	arena_reset();
	rcu_reset();
	clocks_reset();
	mutant_reset();
	tso_reset();
	sim_running = true;
	for (unsigned t = 0; t < nr_declared && sim_failure.kind == SIM_OK; t++)
		if (sim_left_out & 1u << t)
			sim_tasks[new_task(&declared[t])].alive = false;
		else
			coro_switch(new_task(&declared[t]), false);
	first = sim_failure.kind == SIM_OK ? schedule() : -1;
	if (first >= 0)
		coro_switch(first, false);
	finish_event();
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		alive |= (uint32_t)sim_tasks[t].alive << t;
	if (sim_failure.kind == SIM_OK && !sim_stopped && alive)
		describe_deadlock();
	if (sim_failure.kind == SIM_OK && !sim_stopped && program->end)
		crash_run_end(program->end, program->arg);
	sim_running = false;
	return sim_failure.kind;
}

void sim_unload(void)
{
	program = NULL;
}

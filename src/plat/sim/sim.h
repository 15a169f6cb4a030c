/* plat/sim/sim.h - the simulated machine from inside and from above: tasks, operations, executions.
 *
 * One execution runs at a time, on one thread. A task announces its next operation and yields; the
 * strategy (explore.h) picks one of the tasks whose operation is enabled; that task does it and
 * runs up to its next announcement. All memory of the program is in one arena, restored by copying
 * before every execution; the simulator's own state is outside.
 *
 * Executions are deterministic: the same picks give the same operations on the same addresses.
 * Memory a task allocates comes from a region of its own, so addresses do not depend on the order
 * of tasks.
 *
 * Locks: none; one thread.
 */
#ifndef UMEMCG_PLAT_SIM_SIM_H
#define UMEMCG_PLAT_SIM_SIM_H

#include "plat/plat.h"

#define SIM_TASKS_MAX 32
#define SIM_DEPTH_MAX 20000 /* operations per execution; more is a LIVELOCK */
#define SIM_SPAWN_MAX 64    /* grace periods per execution */

/* ---- operations ---- */

enum op_kind {
	OP_NONE,
	OP_READ,
	OP_WRITE,
	OP_ADD, /* ADD: the sum is not used */
	OP_LOCK,
	OP_UNLOCK,
	OP_TRYLOCK, /* also of a rwsem for writing */
	OP_RDLOCK,
	OP_RDUNLOCK,
	OP_TRYRD,
	OP_AWAIT, /* until the masked value is @arg (arg_not: is not) */
	OP_RCU_LOCK,
	OP_RCU_UNLOCK,
	OP_GP_START,
	OP_GP_END, /* arg of GP_END: the grace period's number */
	OP_SLEEP,  /* until time passes */
	OP_FENCE,  /* nothing but an empty store buffer */
	OP_PUT,    /* a store enters its task's buffer: tso.h */
	NR_OP_KINDS
};

struct sim_op {
	uint8_t kind;
	uint8_t width; /* bytes of the object's value: 4 or 8; 0: it has none */
	bool arg_not;
	bool relaxed;  /* orders nothing but itself */
	bool drains;   /* it needs an empty store buffer */
	bool drain;    /* the buffer of @by writes to memory */
	uint8_t by;    /* 1 + the task whose operation it is */
	uint32_t obj;  /* 4-byte cell of the arena, or one of the numbers below */
	uint64_t mask; /* bits of the value that it reads or changes */
	uint64_t arg;
	sim_at at;
	void *pc; /* in the function that announced it */
};

#define OBJ_RCU       1u
#define OBJ_TASK(t)   (2u + (t))
#define OBJ_MISC      (2u + SIM_TASKS_MAX) /* injected faults, one per kind */
#define OBJ_SECTIONS  128u                 /* read sections that have ended */
#define OBJ_PERIOD(g) (129u + (g))         /* what grace period @g waits for */
#define OBJ_FIRST     256u                 /* cells of the arena */

/* How two operations on one object relate. */
enum op_class { CLASS_NONE, CLASS_READ, CLASS_ADD, CLASS_WRITE };
enum op_class op_class(const struct sim_op *op);
bool op_dependent(const struct sim_op *a, const struct sim_op *b);
/* Everything that depends on @op depends on @e. */
bool op_covers(const struct sim_op *e, const struct sim_op *op);
/* Is @op enabled when its object's value is @value? Only for operations that op_may_block. */
bool op_may_block(const struct sim_op *op);
bool op_enabled_at(const struct sim_op *op, uint64_t value);
uint64_t op_value(const struct sim_op *op);
/* Does this kind need an empty store buffer? */
bool op_drains(const struct sim_op *op);
const char *op_name(enum op_kind kind);

/* For the explorer's own test: one kind of dependence to overlook. */
enum op_fault {
	OP_FAULT_NONE,
	OP_FAULT_READ_WRITE,
	OP_FAULT_ADD_READ,
	OP_FAULT_ADD_WRITE,
	OP_FAULT_TRYLOCK,
	OP_FAULT_SHARED,
	OP_FAULT_AWAIT,
	OP_FAULT_PERIOD,
	OP_FAULT_MASK,
	OP_FAULT_DRAIN_COVERS, /* only with store buffers */
	NR_OP_FAULTS
};
extern unsigned op_fault;

/* ---- tasks ---- */

#define SIM_CALLS_MAX 24 /* remembered callers of an operation */
#define SIM_HELD_MAX  16

struct sim_held {
	const void *lock;
	enum lock_rank rank;
	sim_at at;
};

struct sim_task {
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	bool alive;
	int parent;  /* -1: declared by the set-up */
	int owner;   /* 1 + the task whose store buffer this is, 0: a task of its own */
	int buffer;  /* 1 + its store buffer, 0: it has none yet */
	int starter; /* the task that waits for its first announcement, -1: the main program; -2:
			none */
	unsigned cpu;
	unsigned group; /* tasks of one group > 0 are identical */
	unsigned ops_done;
	struct sim_op next;
	bool timed, timed_out; /* its operation also ends when time passes */
	uint64_t deadline;
	unsigned rcu_nesting;
	struct sim_held held[SIM_HELD_MAX];
	unsigned nr_held;
	void *calls[SIM_CALLS_MAX]; /* where each function was called from, outermost first: hooks.c
				     */
	unsigned nr_calls;
	uint32_t heap_used;
	void *sp; /* coro.c */
	void *fake_stack;
};

extern struct sim_task sim_tasks[SIM_TASKS_MAX];
extern unsigned sim_nr_tasks;
extern int sim_current; /* the running task; -1: the main program */

/* NULL: the main program. */
static inline struct sim_task *sim_running_task(void)
{
	return sim_current < 0 ? NULL : &sim_tasks[sim_current];
}

/* Declare a task during set-up. @group > 0: interchangeable with the others of that number. */
int sim_task(const char *name, void (*fn)(void *arg), void *arg, unsigned cpu, unsigned group);
/* From inside a task: create one, stopped at its first operation. */
int sim_spawn(const char *name, void (*fn)(void *arg), void *arg, struct sim_op *first);
/* The last operation of a task that others may wait for. */
void sim_task_ends(void);
/* Announce; returns when the operation may be done. A no-op outside an execution. */
void sim_point(struct sim_op op);
bool sim_task_enabled(int t);

/* ---- findings ---- */

enum sim_finding {
	SIM_OK,
	SIM_DEADLOCK,
	SIM_LIVELOCK,
	SIM_BUG /* VM_BUG_ON */,
	SIM_USE_AFTER_FREE,
	SIM_RACE,
	SIM_LEAK,
	SIM_AUDIT,
	SIM_LOCK_ORDER,
	SIM_WRONG /* a scenario's own claim */,
	SIM_BAD_REPLAY
};
const char *sim_finding_name(enum sim_finding f);

struct sim_failure {
	enum sim_finding kind;
	int task;      /* the task that found it, -1: the final check */
	unsigned step; /* operations done before it */
	char text[1024];
	const char *file; /* NULL: only @pc is known, or nothing */
	int line;
	void *pc, *other_pc; /* of the access, and of the one it races with */
	int other;           /* the task of that access, -1: none */
};
extern struct sim_failure sim_failure;
/* For the access under check: sim_fail puts it into sim_failure. */
void sim_fail_pc(void *pc, void *other_pc, int other);

/* Record a finding and end the execution; does not return inside one. Only the first finding is
 * kept. */
__attribute__((format(printf, 4, 5))) void sim_fail(enum sim_finding kind, const char *file,
						    int line, const char *fmt, ...);

/* ---- executions ---- */

struct sim_event {
	struct sim_op op;
	int task;
	uint32_t enabled; /* tasks that could have run instead */
	uint64_t before, after;
};
extern struct sim_event sim_trace[SIM_DEPTH_MAX + 1];
extern unsigned sim_depth; /* operations done or being done */

/* Picks the next task out of @enabled (never 0), or -1: end the execution here. */
typedef int (*sim_pick)(uint32_t enabled);

struct sim_program {
	const char *name;
	void (*setup)(void *arg); /* once: allocates, calls sim_task */
	void (*end)(void *arg);   /* after every complete execution; calls sim_fail */
	void *arg;
	bool no_time; /* a sleep with a time limit never times out */
	/* Called between any two operations, with no task running; NULL: none. Reads only; calls
	 * sim_fail, which ends the execution and attributes it to the task of the last
	 * operation. */
	void (*look)(void *arg);
};

/* Run set-up and keep the image. -1: the program failed in it (sim_failure). */
int sim_load(const struct sim_program *program);
/* One execution. SIM_OK also if the strategy stopped it: see sim_stopped. @quiet_point, if not
 * NULL, is called when no task can continue, before time passes or the execution ends. */
enum sim_finding sim_run(sim_pick pick, void (*quiet_point)(void));
extern bool sim_stopped;
/* Called for every operation before it is done, with its task still where it announced it; NULL:
 * none. */
extern void (*sim_on_event)(int task);
/* Called by a task before each of its accesses in instrumented code, plain ones included: a
 * scenario delivers signals there. Set by the set-up; NULL: none. */
extern void (*sim_on_access)(void);
/* Decides at every place of the named bug whether the engine goes wrong there; NULL: it does. */
extern bool (*sim_on_bug)(void *pc);
/* Tasks of the set-up that do not run: to find out which ones a failure needs. */
extern uint32_t sim_left_out;
/* Free what a program holds outside the arena. */
void sim_unload(void);

/* ---- coroutines: coro.c ---- */

#define SIM_STACK_SIZE (192u << 10)
void coro_prepare(int t, char *stack);
/* Switch from the running task (or main) to @t (-1: main). @ending: the caller never comes back. */
void coro_switch(int t, bool ending);

/* ---- crashes: crash.c ---- */

/* From now on a task's wild pointer is a finding. */
void crash_catch(void);
/* Run the final checks; a crash or a failed VM_BUG_ON ends them. */
void crash_run_end(void (*end)(void *arg), void *arg);
/* Does not return from inside crash_run_end. */
void crash_leave_end(void);

/* ---- arena: arena.c ---- */

void arena_init(void);
void arena_save(void); /* the state that reset restores */
void arena_reset(void);
uint32_t arena_object(const void *p); /* 0: not in the arena */
char *arena_stack(int t);
size_t arena_image_size(void);
/* Stop if @p is not allocated memory. */
void arena_check(const void *p, size_t n, bool write, sim_at at, void *pc);
bool arena_in_use(const void *p);
/* Number of allocations since set-up that were not freed; *@first: one of them. */
unsigned arena_leaks(const void **first);
void *sim_alloc(size_t n); /* plat_alloc for the machine's own devices: without injected faults */
/* Names for drawings. */
void sim_name(const void *p, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool sim_name_of(const void *p, char *buf, size_t n);
/* The same, returning the name; *@start and *@size are the named thing's. NULL: @p is in none. */
const char *sim_name_at(const void *p, const void **start, size_t *size);
/* The largest named thing that begins at @p, or NULL. */
const char *sim_name_from(const void *p);
const void *sim_object_address(uint32_t obj);

/* ---- per-object state during one execution: clocks.c ---- */

typedef struct {
	uint16_t c[SIM_TASKS_MAX];
} sim_clock;

static inline void clock_join(sim_clock *into, const sim_clock *from)
{
	for (unsigned i = 0; i < SIM_TASKS_MAX; i++)
		into->c[i] = into->c[i] > from->c[i] ? into->c[i] : from->c[i];
}

struct sim_object {
	int32_t last;       /* the last event on it, -1: none (explore.c) */
	sim_clock released; /* the clock that an acquirer joins */
	sim_clock used;     /* when each task last used it; 0: never */
};
struct sim_object *sim_object(uint32_t obj);

/* ---- order of plain accesses: clocks.c, fed by atomic.c, lock.c and the compiler's hooks ---- */

void clocks_reset(void);
void clocks_fork(int parent, int child);
void clocks_acquire(uint32_t obj);
void clocks_release(uint32_t obj);
/* The running task's clock, for whoever acquires what it publishes with it. */
void clocks_publish(sim_clock *to);
void clocks_plain(const void *p, size_t n, bool write, void *pc);
void clocks_join_all(int t);
/* The running task does an operation on @obj. */
void clocks_used(uint32_t obj);
/* The running task frees [p, p + n): counts as a write of all of it, which every use, atomics and
 * locks included, must precede. */
void clocks_free(const void *p, size_t n, void *pc);

/* rcu.c */
void rcu_reset(void);
bool rcu_gp_over(unsigned gp);
/* Does the end of @gp come after the end of that section? */
bool rcu_gp_waits_for(unsigned gp, unsigned task, unsigned section);
void rcu_settle(void); /* outside executions: run what was deferred */

/* task.c */
extern uint64_t sim_now;
extern bool sim_running;

#endif

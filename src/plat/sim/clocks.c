/* plat/sim/clocks.c - happens-before between plain accesses: data races.
 *
 * Vector clocks (FastTrack's scheme). An atomic access acquires and releases its object; taking a
 * lock acquires it, unlocking releases it; a task starts with its parent's clock. The last write
 * and the last reads of every 8 bytes of plain memory are kept; an access that conflicts with one
 * of them, and is not ordered after it, is a race, whether or not anything went wrong in this
 * execution.
 *
 * Freeing is not an operation, so the explorer does not reorder it with another task's atomic
 * access. Instead every operation is recorded, too: one that does not happen before the free of its
 * object is a use after free, in whichever order the two ran.
 *
 * The explorer has separate clocks, which order every two dependent operations.
 */
#include <stdio.h>

#include "plat/sim/sim.h"

#define CELLS_MAX   (5u << 20) /* 4-byte cells of the arena, and the object numbers before them */
#define OBJECTS_MAX 16384
#define PLAIN_MAX   65536
#define READERS     3

static uint32_t number_of[CELLS_MAX]; /* cell -> 1 + index in objects */
static struct sim_object objects[OBJECTS_MAX];
static uint32_t touched[OBJECTS_MAX];
static unsigned nr_objects;

struct plain {
	struct {
		uint16_t task1, clock;
	} write, read[READERS]; /* task1: task + 1, 0 = none */
	void *write_pc, *read_pc[READERS];
};
static uint32_t plain_of[CELLS_MAX / 2]; /* 8-byte cell -> 1 + index in plains */
static struct plain plains[PLAIN_MAX];
static uint32_t plain_touched[PLAIN_MAX];
static unsigned nr_plains;

static sim_clock task_clock[SIM_TASKS_MAX];

struct sim_object *sim_object(uint32_t obj)
{
	struct sim_object *o;

	if (number_of[obj])
		return &objects[number_of[obj] - 1];
	if (nr_objects == OBJECTS_MAX)
		sim_fail(SIM_LIVELOCK, NULL, 0, "more than %d objects in one execution",
			 OBJECTS_MAX);
	touched[nr_objects] = obj;
	o = &objects[nr_objects];
	memset(o, 0, sizeof(*o));
	o->last = -1;
	number_of[obj] = ++nr_objects;
	return o;
}

void clocks_reset(void)
{
	for (unsigned i = 0; i < nr_objects; i++)
		number_of[touched[i]] = 0;
	for (unsigned i = 0; i < nr_plains; i++)
		plain_of[plain_touched[i]] = 0;
	nr_objects = nr_plains = 0;
	memset(task_clock, 0, sizeof(task_clock));
	for (unsigned t = 0; t < SIM_TASKS_MAX; t++)
		task_clock[t].c[t] = 1;
}

void clocks_fork(int parent, int child)
{
	task_clock[child] = task_clock[parent];
	task_clock[child].c[child] = 1;
	task_clock[parent].c[parent]++;
}

void clocks_acquire(uint32_t obj)
{
	if (sim_current >= 0)
		clock_join(&task_clock[sim_current], &sim_object(obj)->released);
}

void clocks_release(uint32_t obj)
{
	sim_clock *mine;

	if (sim_current < 0)
		return;
	mine = &task_clock[sim_current];
	clock_join(&sim_object(obj)->released, mine);
	mine->c[sim_current]++;
}

void clocks_publish(sim_clock *to)
{
	*to = task_clock[sim_current];
	task_clock[sim_current].c[sim_current]++;
}

void clocks_join_all(int t)
{
	for (unsigned i = 0; i < sim_nr_tasks; i++)
		clock_join(&task_clock[t], &task_clock[i]);
}

static struct plain *plain_at(uint32_t cell)
{
	if (!plain_of[cell]) {
		if (nr_plains == PLAIN_MAX)
			return NULL;
		plain_touched[nr_plains] = cell;
		memset(&plains[nr_plains], 0, sizeof(plains[0]));
		plain_of[cell] = ++nr_plains;
	}
	return &plains[plain_of[cell] - 1];
}

static void race(const void *p, bool write, unsigned other, bool other_write, void *pc,
		 void *other_pc)
{
	char name[80];

	sim_fail_pc(pc, other_pc, (int)other);
	if (!sim_name_of(p, name, sizeof(name)))
		snprintf(name, sizeof(name), "%p", p);
	sim_fail(SIM_RACE, NULL, 0,
		 "plain %s of %s, and a plain %s of it by %s: nothing orders them",
		 write ? "write" : "read", name, other_write ? "write" : "read",
		 sim_tasks[other].name);
}

/* One 8-byte cell. A field smaller than that shares its cell with its neighbours; the engine's
 * neighbours under different locks are 8 bytes apart. */
static void plain_cell(const void *p, bool write, void *pc)
{
	int me = sim_current;
	struct plain *c = plain_at(arena_object(p) / 2);
	const sim_clock *mine = &task_clock[me];
	unsigned free = 0;

	if (!c)
		return;
	if (c->write.task1 && c->write.task1 != me + 1 &&
	    c->write.clock > mine->c[c->write.task1 - 1])
		race(p, write, c->write.task1 - 1u, true, pc, c->write_pc);
	for (unsigned i = 0; i < READERS; i++) {
		unsigned r = c->read[i].task1;

		if (write && r && (int)r != me + 1 && c->read[i].clock > mine->c[r - 1])
			race(p, true, r - 1, false, pc, c->read_pc[i]);
		if (r == 0 || (int)r == me + 1 || c->read[i].clock <= mine->c[r - 1])
			free = i;
	}
	if (write) {
		c->write.task1 = (uint16_t)(me + 1);
		c->write.clock = mine->c[me];
		c->write_pc = pc;
	} else {
		c->read[free].task1 = (uint16_t)(me + 1);
		c->read[free].clock = mine->c[me];
		c->read_pc[free] = pc;
	}
}

void clocks_plain(const void *p, size_t n, bool write, void *pc)
{
	uintptr_t at = (uintptr_t)p & ~(uintptr_t)7, end = (uintptr_t)p + n;

	if (sim_current < 0 || !arena_object(p))
		return;
	for (; at < end; at += 8)
		plain_cell((const void *)at, write, pc);
}

void clocks_used(uint32_t obj)
{
	sim_object(obj)->used.c[sim_current] = task_clock[sim_current].c[sim_current];
}

/* Where @task last used @obj. */
static void *used_at(uint32_t obj, unsigned task)
{
	for (unsigned i = sim_depth; i-- > 0;)
		if (sim_trace[i].task == (int)task && sim_trace[i].op.obj == obj)
			return sim_trace[i].op.pc;
	return NULL;
}

static void check_unused(uint32_t obj, void *pc)
{
	const struct sim_object *o = number_of[obj] ? &objects[number_of[obj] - 1] : NULL;
	char name[80];

	for (unsigned t = 0; o && t < sim_nr_tasks; t++) {
		const void *p = sim_object_address(obj);

		if ((int)t == sim_current || o->used.c[t] <= task_clock[sim_current].c[t])
			continue;
		if (!sim_name_of(p, name, sizeof(name)))
			snprintf(name, sizeof(name), "%p", p);
		sim_fail_pc(pc, used_at(obj, t), (int)t);
		sim_fail(SIM_USE_AFTER_FREE, NULL, 0,
			 "free of %s, and its use by %s: nothing orders them", name,
			 sim_tasks[t].name);
	}
}

void clocks_free(const void *p, size_t n, void *pc)
{
	if (sim_current < 0)
		return;
	for (size_t i = 0; i < n; i += 4)
		check_unused(arena_object((const char *)p + i), pc);
	clocks_plain(p, n, true, pc);
}

/* plat/sim/tso.c - see tso.h. */
#include "plat/sim/tso.h"

#include <stdio.h>

enum what { WORD, CALL, DEAD };

struct store {
	enum what what;
	struct sim_op op; /* the drain */
	unsigned put;     /* its OP_PUT in the trace */
	void *at;
	uint64_t keep, set, add; /* WORD */
	uint64_t below, shown;   /* the word in memory, and as the task sees it */
	tso_step call;
	unsigned arg;
	bool release;
	sim_clock clock; /* of the task, at the store */
};

/* By the task that stores. The oldest is the first. */
static struct buffer {
	struct store store[TSO_STORES_MAX];
	unsigned n;
	char name[64];
} buffers[SIM_TASKS_MAX];

bool sim_tso;
unsigned tso_fault;

void tso_reset(void)
{
	for (unsigned t = 0; t < SIM_TASKS_MAX; t++)
		buffers[t].n = 0;
}

bool tso_pending(int t)
{
	return buffers[t].n > 0;
}

unsigned tso_put_event(int t)
{
	return buffers[tso_owner(t)].store[0].put;
}

/* ---- words ---- */

static uint64_t get(const void *p, unsigned width)
{
	return width == 4 ? *(const uint32_t *)p : *(const uint64_t *)p;
}

static void put(void *p, unsigned width, uint64_t v)
{
	if (width == 4)
		*(uint32_t *)p = (uint32_t)v;
	else
		*(uint64_t *)p = v;
}

static uint64_t changed(const struct store *s, uint64_t v)
{
	return ((v & s->keep) | s->set) + s->add;
}

static void show(struct store *s)
{
	if (s->what != WORD || tso_fault == TSO_FAULT_NO_FORWARDING)
		return;
	s->below = get(s->at, s->op.width);
	s->shown = changed(s, s->below);
	put(s->at, s->op.width, s->shown);
}

/* A plain store of the task to its own word came behind this one: nobody else could tell. */
static void hide(struct store *s)
{
	uint64_t is;

	if (s->what != WORD || tso_fault == TSO_FAULT_NO_FORWARDING)
		return;
	is = get(s->at, s->op.width);
	if (is != s->shown) {
		s->keep = s->add = 0;
		s->set = is;
	}
	put(s->at, s->op.width, s->below);
}

void tso_show(int t)
{
	for (unsigned i = 0; i < buffers[t].n; i++)
		show(&buffers[t].store[i]);
}

void tso_hide(int t)
{
	for (unsigned i = buffers[t].n; i-- > 0;)
		hide(&buffers[t].store[i]);
}

/* ---- stores ---- */

static void oldest_is_next(int owner)
{
	struct sim_task *b = &sim_tasks[tso_buffer(owner)];
	struct buffer *f = &buffers[owner];

	b->alive = f->n > 0;
	b->next = f->n ? f->store[0].op : (struct sim_op){ .kind = OP_NONE };
}

/* The running task stores for the first time: a task without a stack, which drains. */
static void buffer_born(const char *name)
{
	unsigned t = sim_nr_tasks;

	if (t == SIM_TASKS_MAX)
		sim_fail(SIM_LIVELOCK, NULL, 0, "more than %d tasks and store buffers",
			 SIM_TASKS_MAX);
	sim_tasks[t] = (struct sim_task){ .name = name,
					  .parent = sim_current,
					  .owner = sim_current + 1,
					  .cpu = sim_tasks[sim_current].cpu,
					  .starter = -2 };
	sim_tasks[sim_current].buffer = (int)t + 1;
	sim_nr_tasks++;
}

/* Announce the store; returns its place in the running task's buffer. */
static struct store *entered(const struct sim_op *op)
{
	struct sim_op announced = *op;
	struct buffer *f = &buffers[sim_current];
	struct store *s;

	announced.kind = OP_PUT;
	sim_point(announced);
	if (f->n == TSO_STORES_MAX)
		sim_fail(SIM_LIVELOCK, op->at ? op->at->file : NULL, op->at ? op->at->line : 0,
			 "more than %d stores of one task wait in its buffer", TSO_STORES_MAX);
	if (tso_buffer(sim_current) < 0) {
		snprintf(f->name, sizeof(f->name), "%s: store buffer", sim_tasks[sim_current].name);
		buffer_born(f->name);
	}
	s = &f->store[f->n];
	s->op = *op;
	s->op.by = (uint8_t)(sim_current + 1);
	s->op.drain = true;
	s->op.drains = false;
	s->put = sim_depth - 1;
	s->release = false;
	return s;
}

/* It is complete: the buffer may drain it. */
static void wait_for_drain(void)
{
	struct buffer *f = &buffers[sim_current];

	f->n++;
	if (f->n > 1 && tso_fault == TSO_FAULT_NOT_FIFO) {
		struct store newest = f->store[f->n - 1];

		memmove(&f->store[1], &f->store[0], (f->n - 1) * sizeof(newest));
		f->store[0] = newest;
	}
	oldest_is_next(sim_current);
}

void tso_store(struct sim_op op, uint64_t keep, uint64_t set, uint64_t add, bool release)
{
	void *p = (void *)(uintptr_t)sim_object_address(op.obj);
	struct store *s;

	s = entered(&op);
	arena_check(p, op.width, true, op.at, op.pc); /* freed while we waited to run? */
	s->what = WORD;
	s->at = p;
	s->keep = keep;
	s->set = set;
	s->add = add;
	s->release = release;
	if (release)
		clocks_publish(&s->clock);
	show(s);
	wait_for_drain();
}

void tso_call(struct sim_op op, tso_step call, unsigned arg)
{
	struct store *s = entered(&op);

	s->what = CALL;
	s->at = NULL;
	s->call = call;
	s->arg = arg;
	clocks_publish(&s->clock);
	wait_for_drain();
}

/* ---- views ---- */

bool tso_own(const void *p, unsigned width)
{
	const struct buffer *f = &buffers[sim_current];

	for (unsigned i = 0; i < f->n; i++) {
		const struct store *s = &f->store[i];
		uintptr_t at = (uintptr_t)s->at;

		if (s->what == WORD && at < (uintptr_t)p + width && at + s->op.width > (uintptr_t)p)
			return tso_fault != TSO_FAULT_NO_FORWARDING;
	}
	return false;
}

uint64_t tso_value(int t, const struct sim_op *op)
{
	uint64_t v;

	tso_show(t);
	v = op_value(op);
	tso_hide(t);
	return v;
}

void tso_freed(const void *p, size_t n)
{
	struct buffer *f;

	if (sim_current < 0)
		return;
	f = &buffers[sim_current];
	for (unsigned i = 0; i < f->n; i++)
		if (f->store[i].at && (char *)f->store[i].at - (const char *)p >= 0 &&
		    (size_t)((char *)f->store[i].at - (const char *)p) < n)
			f->store[i].what = DEAD;
}

/* ---- drains ---- */

static bool still_there(const struct store *s, int owner)
{
	int current = sim_current;

	if (arena_in_use(s->at))
		return true;
	sim_current = -1; /* whoever is switching tasks just now has no part in it */
	arena_check(s->at, 1, true, s->op.at, s->op.pc);
	sim_current = current;
	if (sim_failure.kind == SIM_OK)
		return true; /* a stack */
	sim_failure.task = owner;
	return false;
}

bool tso_drain(int t)
{
	int owner = tso_owner(t);
	struct buffer *f = &buffers[owner];
	struct store *s = &f->store[0];

	if (s->what == WORD && !still_there(s, owner))
		return false;
	if (s->what == WORD)
		put(s->at, s->op.width, changed(s, get(s->at, s->op.width)));
	else if (s->what == CALL)
		s->call(owner, &s->clock, s->arg);
	if (s->what == WORD && s->release)
		clock_join(&sim_object(s->op.obj)->released, &s->clock);
	f->n--;
	memmove(&f->store[0], &f->store[1], f->n * sizeof(*s));
	oldest_is_next(owner);
	return true;
}

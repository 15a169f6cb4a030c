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

/* ---- stores ---- */

static void oldest_is_next(int owner)
{
	struct sim_task *b = &sim_tasks[tso_buffer(owner)];
	struct buffer *f = &buffers[owner];

	b->alive = f->n > 0;
	b->next = f->n ? f->store[0].op : (struct sim_op){ .kind = OP_NONE };
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
		snprintf(f->name, sizeof(f->name), "%s: store buffer",
			 sim_tasks[sim_current].name);
		sim_buffer_born(f->name);
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

bool tso_view(int t, const void *p, unsigned width, uint64_t *v)
{
	const struct buffer *f = &buffers[t];
	bool own = false;

	*v = get(p, width);
	if (tso_fault == TSO_FAULT_NO_FORWARDING)
		return false;
	for (unsigned i = 0; i < f->n; i++) {
		const struct store *s = &f->store[i];
		const char *at = s->at;

		if (s->what != WORD || at + s->op.width <= (const char *)p ||
		    at >= (const char *)p + width)
			continue;
		if (at != p || s->op.width != width)
			sim_fail(SIM_BUG, s->op.at->file, s->op.at->line,
				 "%s is read with another size than it was stored with",
				 s->op.at->expr);
		*v = changed(s, *v);
		own = true;
	}
	return own;
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

/* agent/user/hazard.c - see hazard.h for the protocol.
 *
 * A reader that finds a slot half written has read @n from before or after. Before: then the
 * thread's fence comes after the reader's, and the thread will see the mark. After: then the ranges
 * below @n are whole, or belong to a call that is over.
 */
#include "agent/user/hazard.h"

#ifndef HAZARD_BUG
#define HAZARD_BUG(id) 0 /* the checker has a switch here: plat/bugs.def */
#endif

#define SAME_STACK (16ull << 20) /* two stack pointers further apart are of different stacks */

static void fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool overlaps(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

/* A call in progress has its stack pointer above those of all calls that interrupt it: one at or
 * below ours, on the same stack, is over. */
static void take_away_stale(struct hazard_slot *s, uint64_t sp)
{
	while (s->depth) {
		struct hazard_level *top = &s->level[s->depth - 1];

		if (!top->sp || top->sp > sp || sp - top->sp > SAME_STACK)
			return;
		top->sp = 0;
		__atomic_store_n(&s->n, top->n, __ATOMIC_RELEASE);
		__atomic_store_n(&s->all, top->all, __ATOMIC_RELEASE);
		s->reserved = top->n;
		s->depth--;
	}
}

/* A handler may interrupt between any two lines, and leaves all as it has found it. */
struct hazard_before hazard_publish(struct hazard_slot *s, uint64_t sp, const struct hazard_list *l)
{
	struct hazard_before b;
	uint32_t i, first;
	bool all = l->all;

	take_away_stale(s, sp);
	b = (struct hazard_before){ s->n, s->all, s->reserved, s->depth };
	first = b.reserved;
	if (first + l->n > HAZARD_RANGES)
		all = true;
	if (b.depth < HAZARD_LEVELS) {
		__atomic_store_n(&s->depth, b.depth + 1, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		s->level[b.depth].n = b.n;
		s->level[b.depth].all = b.all;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		s->level[b.depth].sp = sp;
	}
	if (all) {
		__atomic_store_n(&s->all, b.all + 1, __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&s->reserved, first + l->n, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		for (i = 0; i < l->n; i++) {
			struct hazard_range *r = &s->range[first + i];

			__atomic_store_n(&r->start, l->range[i].start, __ATOMIC_RELAXED);
			__atomic_store_n(&r->end, l->range[i].end, __ATOMIC_RELAXED);
		}
		__atomic_store_n(&s->n, first + l->n, __ATOMIC_RELEASE);
	}
	fence();
	return b;
}

bool hazard_marked(const struct hazards *h, const struct hazard_list *l)
{
	uint64_t end = __atomic_load_n(&h->mark_end, __ATOMIC_ACQUIRE);
	uint64_t start = __atomic_load_n(&h->mark_start, __ATOMIC_RELAXED);
	uint32_t i;

	if (!end)
		return false;
	if (l->all)
		return true;
	for (i = 0; i < l->n; i++)
		if (overlaps(start, end, l->range[i].start, l->range[i].end))
			return true;
	return false;
}

void hazard_drop(struct hazard_slot *s, const struct hazard_before *b)
{
	__atomic_store_n(&s->n, b->n, __ATOMIC_RELEASE);
	__atomic_store_n(&s->all, b->all, __ATOMIC_RELEASE);
	if (b->depth < HAZARD_LEVELS)
		s->level[b->depth].sp = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	s->reserved = b->reserved;
	__atomic_store_n(&s->depth, b->depth, __ATOMIC_RELAXED);
}

void hazard_reset(struct hazard_slot *s)
{
	uint32_t i;

	__atomic_store_n(&s->n, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->all, 0, __ATOMIC_RELEASE);
	s->reserved = s->depth = 0;
	for (i = 0; i < HAZARD_LEVELS; i++)
		s->level[i].sp = 0;
}

void hazard_inherit(struct hazards *h, struct hazard_slot *s, const struct hazard_slot *mine)
{
	if (s != mine)
		*s = *mine;
	__atomic_store_n(&h->mark_end, 0, __ATOMIC_RELEASE);
}

void hazard_mark(struct hazards *h, uint64_t start, uint64_t end)
{
	__atomic_store_n(&h->mark_start, start, __ATOMIC_RELAXED);
	__atomic_store_n(&h->mark_end, end, __ATOMIC_RELEASE);
	if (!HAZARD_BUG(EVICTOR_SKIPS_FENCE))
		fence();
}

uint64_t hazard_first(const struct hazards *h, uint32_t slots, uint64_t start, uint64_t end)
{
	uint32_t i, k;

	for (i = 0; i < slots && start < end; i++) {
		const struct hazard_slot *s = &h->slot[i];
		uint32_t n = __atomic_load_n(&s->n, __ATOMIC_ACQUIRE);

		if (__atomic_load_n(&s->all, __ATOMIC_ACQUIRE))
			return start;
		for (k = 0; k < n && k < HAZARD_RANGES; k++) {
			uint64_t a = __atomic_load_n(&s->range[k].start, __ATOMIC_RELAXED);
			uint64_t b = __atomic_load_n(&s->range[k].end, __ATOMIC_RELAXED);

			if (overlaps(a, b, start, end))
				end = a > start ? a : start;
		}
	}
	return end;
}

void hazard_unmark(struct hazards *h)
{
	__atomic_store_n(&h->mark_end, 0, __ATOMIC_RELEASE);
}

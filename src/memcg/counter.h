/* memcg/counter.h - hierarchical page counters: lock-free, speculative add and roll-back.
 *
 * Unit: pages. A charge walks from the group to the root. Each level adds first and checks
 * afterwards; a level that ends above its max rolls its addition back, and so do the levels below
 * it. So usage may briefly exceed max by what concurrent chargers tried, never after they are done,
 * unless a charge was forced (page_counter_charge).
 *
 * Lowering max races with a charge. The setter exchanges max first and reads usage afterwards; a
 * charger adds first and reads max afterwards: one of the two sees the other (Linux page_counter.c,
 * 3e32cb2e0a12).
 *
 * Locks: none. Every field is atomic; parent is constant after init.
 */
#ifndef UMEMCG_MEMCG_COUNTER_H
#define UMEMCG_MEMCG_COUNTER_H

#include "plat/plat.h"

#define PAGE_COUNTER_MAX (INT64_MAX / 4096) /* pages; means "no limit" */

struct page_counter {
	atomic64_t usage;     /* charged, the subtree's included */
	atomic64_t max;       /* hard limit; PAGE_COUNTER_MAX = none */
	atomic64_t high;      /* reclaim from here on; PAGE_COUNTER_MAX = none */
	atomic64_t watermark; /* largest usage seen */
	atomic64_t failcnt;   /* charges that met max at this level */
	struct page_counter *parent;
};

void page_counter_init(struct page_counter *c, struct page_counter *parent);

/* Charge @n pages (n > 0) to @c and its ancestors. False: nothing was charged, and *@fail, when
 * @fail is not NULL, is the counter that was full. */
bool page_counter_try_charge(struct page_counter *c, int64_t n, struct page_counter **fail);

/* Charge unconditionally; max may be exceeded. For charges that must not fail; each call site says
 * why. */
void page_counter_charge(struct page_counter *c, int64_t n);

/* Uncharge @n pages. Stops the program if usage would fall below 0. */
void page_counter_uncharge(struct page_counter *c, int64_t n);

/* Set max. 0, or -EBUSY if usage is above @max: the old max then stays in force. */
int page_counter_set_max(struct page_counter *c, int64_t max);

/* Set max even when usage is above it (v2 semantics): the caller reclaims. */
void page_counter_force_max(struct page_counter *c, int64_t max);

static inline int64_t page_counter_read(const struct page_counter *c)
{
	return a64_load(&c->usage);
}

/* Pages that can still be charged before @c or an ancestor is full; never negative. */
int64_t page_counter_margin(const struct page_counter *c);

#endif

/* memcg/counter.c - hierarchical page counters. The rules and the argument: counter.h.
 *
 * I1  usage is never below 0: every uncharge follows its charge.
 * I2  A failed charge leaves every level as it was, except for failcnt of the full one.
 * I3  watermark is the largest usage that a successful charge has produced; a failed charge leaves
 *     no trace in it.
 * Locks: none.
 */
#include "memcg/counter.h"

void page_counter_init(struct page_counter *c, struct page_counter *parent)
{
	a64_store(&c->usage, 0);
	a64_store(&c->max, PAGE_COUNTER_MAX);
	a64_store(&c->high, PAGE_COUNTER_MAX);
	a64_store(&c->watermark, 0);
	a64_store(&c->failcnt, 0);
	c->parent = parent;
}

/* Raise the watermark to @usage. A user's reset may race with it; either order is right. */
static void raise_watermark(struct page_counter *c, int64_t usage)
{
	int64_t seen;

	do {
		seen = a64_load(&c->watermark);
		if (seen >= usage)
			return;
	} while (!a64_cas(&c->watermark, seen, usage));
}

/* Charge this level and those above it. Recursion keeps each level's own sum for the watermark; its
 * depth is that of the nesting. */
static bool try_charge_from(struct page_counter *c, int64_t n, struct page_counter **fail)
{
	int64_t usage;

	VM_ASSERT(n > 0);
	if (!c)
		return true;
	usage = a64_add(&c->usage, n);
	if (usage > a64_load(&c->max)) {
		a64_acc(&c->failcnt, 1);
		if (fail)
			*fail = c;
	} else if (try_charge_from(c->parent, n, fail)) {
		raise_watermark(c, usage);
		return true;
	}
	a64_acc(&c->usage, -n);
	return false;
}

bool page_counter_try_charge(struct page_counter *c, int64_t n, struct page_counter **fail)
{
	VM_BUG_ON(n <= 0);
	return try_charge_from(c, n, fail);
}

void page_counter_charge(struct page_counter *c, int64_t n)
{
	VM_BUG_ON(n <= 0);
	for (; c; c = c->parent)
		raise_watermark(c, a64_add(&c->usage, n));
}

void page_counter_uncharge(struct page_counter *c, int64_t n)
{
	VM_BUG_ON(n <= 0);
	for (; c; c = c->parent)
		a64_sub(&c->usage, n);
}

int page_counter_set_max(struct page_counter *c, int64_t max)
{
	int64_t old;

	VM_ASSERT(max >= 0);
	if (a64_load(&c->usage) > max)
		return -EBUSY;
	if (bug_on(LIMIT_LOWERED_AGAINST_CHARGE)) {
		a64_store(&c->max, max); /* a charge after the check stays above max */
		return 0;
	}
	old = a64_xchg(&c->max, max);
	if (max >= old || recheck(a64_load(&c->usage) <= max))
		return 0;
	/* A charge came in between. It may still roll back (it saw the new max), so this can refuse
	 * a max that would have fitted; the caller reclaims and retries anyhow. If another thread
	 * has set max since, that value stays. */
	a64_cas(&c->max, max, old);
	return -EBUSY;
}

void page_counter_force_max(struct page_counter *c, int64_t max)
{
	VM_ASSERT(max >= 0);
	a64_store(&c->max, max);
}

int64_t page_counter_margin(const struct page_counter *c)
{
	int64_t margin = PAGE_COUNTER_MAX;

	for (; c; c = c->parent) {
		int64_t here = a64_load(&c->max) - a64_load(&c->usage);

		if (here < margin)
			margin = here;
	}
	return margin > 0 ? margin : 0;
}

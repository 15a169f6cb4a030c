/* serve/account/reserve.c - pages charged ahead for a process that takes memory without asking.
 *
 * While such a process grows in a full group it has a reserve: pages that are charged, for which
 * other pages have been reclaimed, and that it has not taken yet. What it takes moves from the
 * reserve to its unmanaged RSS. The watcher requests more in time, and stops the process when half
 * of the reserve is gone (watcher.c). So the limit is exceeded only by what it takes beyond that
 * half before the watcher gets a CPU. The reserve is given back when the process stops growing, and
 * before an OOM kill.
 *
 * Locks: none. client->reserve is changed by compare-and-swap. Whoever adds to it checks afterwards
 * whether the client has ended.
 */
#include "mm/charge.h"
#include "serve/account/account.h"

#define RESERVE_PAGES 1024
#define RESERVE_SHARE 16                /* of memory.max, at most, for all clients together */
#define RESERVE_STEP  128               /* charged at once */
#define RESERVE_NS    (50 * 1000000ull) /* an exec waits no longer for it */

int64_t reserve_size(const struct supervisor *s, unsigned nr)
{
	int64_t share = a64_load(&s->group->memory.max) / RESERVE_SHARE;

	VM_ASSERT(s->group);
	if (nr > 1)
		share /= nr;
	return share < RESERVE_PAGES ? share : RESERVE_PAGES;
}

int64_t reserve_take(struct client *c, int64_t n)
{
	int64_t has;

	VM_ASSERT(n > 0);
	do {
		has = a64_load(&c->reserve);
		if (n > has)
			n = has;
	} while (n > 0 && !a64_cas(&c->reserve, has, has - n));
	if (n > 0)
		charge_set_aside(c->s->group, -n);
	return n;
}

void reserve_end(struct client *c)
{
	int64_t n;

	a64_store(&c->reserve_want, 0);
	n = a64_xchg(&c->reserve, 0);
	charge_set_aside(c->s->group, -n);
	uncharge_pages(c->s->group, n);
}

void reserve_make(struct client *c, int64_t want)
{
	struct supervisor *s = c->s;

	VM_ASSERT(want >= 0);
	assert_referenced(c);
	uint64_t until = plat_now_ns() + RESERVE_NS;

	a64_store(&c->reserve_want, want);
	while (a64_load(&c->reserve) < a64_load(&c->reserve_want) && !client_has_ended(c) &&
	       plat_now_ns() < until) {
		int64_t n = want - a64_load(&c->reserve);

		if (n > RESERVE_STEP)
			n = RESERVE_STEP;
		if (n <= 0)
			break;
		if (charge_pages(&s->engine, s->group, NULL, n, CHARGE_NOOOM) != 0)
			break;
		charge_set_aside(s->group, n);
		a64_add(&c->reserve, n);
	}
	if (client_has_ended(c))
		reserve_end(c);
}

bool reserves_give_back(struct supervisor *s)
{
	struct client *c = NULL;
	bool any = false;

	while ((c = client_next(s, c))) {
		any |= a64_load(&c->reserve) > 0;
		reserve_end(c);
	}
	return any;
}

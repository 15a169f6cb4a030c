/* serve/account/reserve.c - pages charged ahead for a process that is not managed, and the thread that makes room for it.
 *
 * Such a process asks nobody before it takes memory. While it grows in a group that is full it has a reserve: pages that are
 * charged, for which others have made room, and that it has not taken yet. What it takes is moved from the reserve to
 * its figure; the watcher asks for more in time, and stops the process when half of it is gone (watcher.c). So the limit is
 * exceeded only by what it takes, beyond that half, until the watcher gets a CPU. When it grows no more the
 * reserve is given back; and before anybody is killed: nobody ends for the sake of pages that nobody has.
 *
 * Locks: none. client->reserve is changed by compare-and-swap; who adds to it looks afterwards whether the client has ended.
 */
#include "mm/charge.h"
#include "serve/internal.h"

#define RESERVE_PAGES  1024
#define RESERVE_SHARE  16               /* of memory.max, at most, for all together */
#define RESERVE_STEP   128              /* charged at once */
#define RESERVE_NS     (50 * 1000000ull)     /* an exec waits no longer for it */
#define KILL_AFTER_NS  (200 * 1000000ull)    /* over the limit, and nothing helps; */
#define KILL_LOOSE_NS  (20 * 1000000ull)     /* ... while somebody takes more who cannot be stopped */
#define KILL_HELD_NS   (2 * 1000000000ull)   /* ... while somebody can give nothing yet */
#define SETTLE_NS      (10 * 1000000ull)     /* between two tries */

int64_t reserve_size(const struct supervisor *s, unsigned nr)
{
	int64_t share = a64_load(&s->group->memory.max) / RESERVE_SHARE;

	if (nr > 1)
		share /= nr;
	return share < RESERVE_PAGES ? share : RESERVE_PAGES;
}

int64_t reserve_take(struct client *c, int64_t n)
{
	int64_t has;

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

	uint64_t until = plat_now_ns() + RESERVE_NS;

	a64_store(&c->reserve_want, want);
	while (a64_load(&c->reserve) < a64_load(&c->reserve_want) && !a32_load(&c->ended) && plat_now_ns() < until) {
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
	if (a32_load(&c->ended))
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

static void make_reserves(struct supervisor *s)
{
	struct client *c = NULL;

	while ((c = client_next(s, c))) {
		int64_t want = a64_load(&c->reserve_want);

		if (want <= a64_load(&c->reserve))
			continue;
		reserve_make(c, want);
		if (a64_load(&c->reserve) < a64_load(&c->reserve_want))
			a32_store(&s->reserves_wanted, 1);
	}
}

/* Is it one of which nothing can be taken, but soon can, or that is about to give all back? It forks, its
 * helper is about to start, or is late; or it has executed a program. */
static bool is_held(const struct client *c)
{
	const struct mm *mm = c->host.mm;

	if (c->foreign)
		return false;
	return a32_load(&c->closing) ? a64_load(&mm->rss) > 0 : a32_load(&mm->held) > 0 || a32_load(&mm->no_reclaim) > 0;
}

static bool somebody_held(struct supervisor *s)
{
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= is_held(c);
	return yes;
}

/* Over the limit since @since_ns (0: only now), is it time to kill? */
static bool may_kill(struct supervisor *s, uint64_t since_ns)
{
	uint64_t over_ns = since_ns ? plat_now_ns() - since_ns : 0;
	uint64_t after_ns = a32_load(&s->unstopped) ? KILL_LOOSE_NS : KILL_AFTER_NS;

	return over_ns > after_ns && (over_ns > KILL_HELD_NS || !somebody_held(s));
}

/* Nobody is killed for what may be gone at the next look. */
void settler_main(void *arg)
{
	struct supervisor *s = arg;
	uint64_t since_ns = 0;

	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->settle_wait);
		bool done = true;

		if (a32_xchg(&s->unsettled, 0)) {
			done = may_kill(s, since_ns) ?
			       charge_settle(&s->engine, s->group) : charge_try_settle(&s->engine, s->group);
			if (!done)
				a32_store(&s->unsettled, 1);
		}
		if (done) {
			since_ns = 0;
			a32_store(&s->unstopped, 0);
		} else if (!since_ns) {
			since_ns = plat_now_ns();
		}
		if (a32_xchg(&s->reserves_wanted, 0))
			make_reserves(s);
		waitq_sleep(&s->settle_wait, ticket, done && !a32_load(&s->reserves_wanted) ? -1 : (int64_t)SETTLE_NS);
	}
}

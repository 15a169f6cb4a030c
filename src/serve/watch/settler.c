/* serve/watch/settler.c - the settler thread: makes room for what was charged by force, and for
 * reserves. That takes longer than the watcher may wait.
 *
 * Locks: none.
 */
#include "mm/charge.h"
#include "serve/account/account.h"
#include "serve/watch/parts.h"

#define KILL_AFTER_NS (200 * 1000000ull)  /* over the limit, and reclaim does not help; */
#define KILL_LOOSE_NS (20 * 1000000ull)   /* ... while an unstoppable process takes more */
#define KILL_SOON_NS  (2 * 1000000000ull) /* ... while a client can give no pages yet */
#define SETTLE_NS     (10 * 1000000ull)   /* between two tries */

static void make_reserves(struct supervisor *s)
{
	struct client *c = NULL;

	assert_thread(THREAD_SETTLER);
	while ((c = client_next(s, c))) {
		int64_t want = a64_load(&c->reserve_want);

		if (want <= a64_load(&c->reserve))
			continue;
		reserve_make(c, want);
		if (a64_load(&c->reserve) < a64_load(&c->reserve_want))
			a32_store(&s->reserves_wanted, 1);
	}
}

/* Can it give no pages now, but soon, or is it about to give all back? It forks, its helper is
 * about to start, or is late; or it has executed a program. */
static bool gives_soon(const struct client *c)
{
	const struct mm *mm = c->host.mm;

	if (c->unmanaged)
		return false;
	return client_is_leaving(c) ? a64_load(&mm->rss) > 0
				    : a32_load(&mm->held) > 0 || a32_load(&mm->no_reclaim) > 0;
}

static bool any_gives_soon(struct supervisor *s)
{
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= gives_soon(c);
	return yes;
}

/* The group has been over the limit since @since_ns (0: only now): is it time to kill? */
static bool may_kill(struct supervisor *s, uint64_t since_ns)
{
	uint64_t over_ns = since_ns ? plat_now_ns() - since_ns : 0;
	uint64_t after_ns = a32_load(&s->unstopped) ? KILL_LOOSE_NS : KILL_AFTER_NS;

	assert_thread(THREAD_SETTLER);
	return over_ns > after_ns && (over_ns > KILL_SOON_NS || !any_gives_soon(s));
}

/* Never kill for what may be gone at the next look. */
void settler_main(void *arg)
{
	struct supervisor *s = arg;
	uint64_t since_ns = 0;

	thread_begin(THREAD_SETTLER);
	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->wake.settler);
		bool done = true;

		if (a32_xchg(&s->unsettled, 0)) {
			done = may_kill(s, since_ns) ? charge_settle(&s->engine, s->group)
						     : charge_try_settle(&s->engine, s->group);
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
		waitq_sleep(&s->wake.settler, ticket,
			    done && !a32_load(&s->reserves_wanted) ? -1 : (int64_t)SETTLE_NS);
	}
}

/* serve/watch/search.c - looks for memory before an OOM kill.
 *
 *   reserves   pages charged ahead (account/reserve.c) are given back
 *   ends       a process has ended or executed a program, so its memory is gone, but the control
 *              thread or the watcher has had no CPU to take it out of the books: wait, at most
 *              LEAVING_NS
 *   unseen     memory mapped past the agent is entered into the books (finder.c), and can be
 *              reclaimed
 *
 * Locks: none. The first thread to see an end sets search->since; so does the first after a pause
 * in the searches.
 */
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/watch/parts.h"

#define LEAVING_NS (2 * 1000000000ll)
#define LOOK_NS    1000000
#define PAUSE_NS   (100 * 1000000ll)

struct search {
	atomic64_t since; /* (A) when such an end was first seen */
	atomic64_t last;  /* (A) ... and last */
};

int search_init(struct supervisor *s)
{
	return supervisor_part(&s->search, sizeof(*s->search));
}

static bool is_leaving(const struct client *c)
{
	const struct mm *mm = c->host.mm;

	if (client_has_ended(c) || a64_load(&mm->rss) + a64_load(&mm->unmanaged) == 0)
		return false;
	return c->host.uffd >= 0 ? uffd_dead(c->host.uffd) : client_exited(c);
}

static bool any_leaves(struct supervisor *s)
{
	int64_t now = (int64_t)plat_now_ns(), since = a64_load(&s->search->since);
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= is_leaving(c);
	if (!yes)
		return false;
	/* Searches follow each other before a kill. After a pause this is another end. */
	if (now - a64_xchg(&s->search->last, now) > PAUSE_NS) {
		a64_store(&s->search->since, now);
		since = now;
	}
	return now - since < LEAVING_NS;
}

bool search_room(struct supervisor *s, bool wait)
{
	if (reserves_give_back(s))
		return true;
	if (!any_leaves(s))
		return finder_search(s, wait);
	waitq_wake(&s->wake.watcher);
	if (wait)
		plat_sleep_ns(LOOK_NS);
	return true;
}

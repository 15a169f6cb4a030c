/* serve/watch/search.c - what is looked for before anybody is killed for memory: pages that are charged and that nobody has,
 * and those that could be had.
 *
 *   reserves   pages charged ahead for what processes take without asking (reserve.c) are given back
 *   ends       a process is over, or has executed a program, and its memory is gone, but not from the books: the control
 *              thread, or the watcher, has had no processor to hear of it. That is waited for, LEAVING_NS at most
 *   memory that came past the agent is taken into the books (finder.c), where reclaim finds it
 *
 * Locks: none. search->since is set by whoever sees such an end first, or after a pause in the searches.
 */
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/watch/parts.h"

#define LEAVING_NS (2 * 1000000000ll)
#define LOOK_NS    1000000
#define PAUSE_NS   (100 * 1000000ll)

struct search {
	atomic64_t since;              /* (A) an end that the books do not have was seen first */
	atomic64_t last;               /* (A) ... and last */
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

static bool somebody_leaves(struct supervisor *s)
{
	int64_t now = (int64_t)plat_now_ns(), since = a64_load(&s->search->since);
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= is_leaving(c);
	if (!yes)
		return false;
	/* Searches come in a row before a kill. After a pause it is another end. */
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
	if (!somebody_leaves(s))
		return finder_search(s, wait);
	waitq_wake(&s->wake.watcher);
	if (wait)
		plat_sleep_ns(LOOK_NS);
	return true;
}

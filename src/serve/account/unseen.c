/* serve/account/unseen.c - unmanaged RSS that the finder has not examined (watch/finder.c).
 *
 * Locks: none. client->known is the finder's; others only lower it.
 */
#include "serve/account/account.h"

#define LEAST       256 /* pages */
#define NEARLY_FULL 8   /* margin below max / NEARLY_FULL */

bool unseen_possible(const struct client *c)
{
	return !c->unmanaged && c->hooked && a32_load(&c->host.can_evict) &&
	       !a32_load(&c->entering) && !client_is_leaving(c) && !a32_load(&c->host.dead) &&
	       !a32_load(&c->host.mm->dying);
}

/* Pages of its unmanaged RSS that no pass has seen. */
int64_t unseen_pages(struct client *c)
{
	int64_t now = a64_load(&c->host.mm->unmanaged) - a64_load(&c->shared_pages);
	int64_t left = a64_load(&c->known);

	assert_referenced(c);
	if (now < left) {
		(void)a64_cas(&c->known, left, now > 0 ? now : 0);
		return 0;
	}
	return now - left;
}

bool unseen_is_urgent(const struct supervisor *s)
{
	const struct page_counter *memory = &s->group->memory;

	return page_counter_margin(memory) < a64_load(&memory->max) / NEARLY_FULL;
}

/* A fork child has what its parent has, which was examined there. */
int64_t unseen_threshold(const struct client *c, bool urgent)
{
	return (urgent ? UNSEEN_URGENT : LEAST) + (a64_load(&c->known) ? 0 : c->inherited);
}

void unseen_note(struct client *c)
{
	if (unseen_pages(c) >= unseen_threshold(c, unseen_is_urgent(c->s)) && unseen_possible(c))
		waitq_wake(&c->s->wake.finder);
}

void unseen_none(struct client *c)
{
	int64_t left = a64_load(&c->host.mm->unmanaged) - a64_load(&c->shared_pages);

	assert_thread(THREAD_FINDER);
	assert_referenced(c);
	a64_store(&c->known, left > 0 ? left : 0);
}

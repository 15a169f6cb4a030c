/* serve/watch/finder.c - the finder thread: looks for unmanaged memory that could be managed, in
 * processes whose unmanaged RSS grew.
 *
 * What the hooks do not see - .bss of a library loaded later, what a runtime maps with its own
 * system call instructions - is measured with all other unmanaged memory. When that has grown, the
 * finder compares the process's mappings with what is registered and adopts what it can (live.c).
 * The rest - copied data pages, stacks - is then known, and examined again when it grows.
 *
 * A pass over a process costs about a millisecond (smaps.c). It runs when LEAST pages are new, or
 * URGENT while the group is nearly full, and takes at most 1 / SHARE of the time, or
 * 1 / SHARE_URGENT. Before an OOM kill (finder_search) it runs in any case.
 *
 * Typical sequence: measure -> finder_note -> the finder: smaps_areas, live_enter, live_fill ->
 * unmanaged RSS falls, reclaim has pages.
 *
 * Locks: none of its own. client->find_left and find_next_ns belong to the finder; others only read
 * the former. measure.c and threads about to kill wake the finder; the latter wait for it, bounded
 * by WAIT_NS.
 */
#include <stdlib.h>

#include "mm/charge.h"
#include "serve/watch/finder.h"

#define LEAST         256      /* pages */
#define URGENT        64
#define NEARLY_FULL   8        /* margin below max / NEARLY_FULL */
#define PAUSE_NS      (20 * 1000000ull)
#define SHARE         20
#define PAUSE_URGENT_NS (1000000ull)
#define SHARE_URGENT  2
#define WAIT_NS       (2 * 1000000000ll)
#define AREAS_MAX     65536    /* examined in one pass */
#define TRIES_MAX     16       /* incomplete passes; then the rest stays as it is */

struct pass {
	struct smaps_area *area;
	unsigned nr, cap;
	int64_t registered;     /* pages present in registered areas */
};

static bool can_find(const struct client *c)
{
	return !c->foreign && c->hooked && a32_load(&c->host.can_evict) &&
	       !a32_load(&c->entering) && !a32_load(&c->closing) && !a32_load(&c->ended) &&
	       !a32_load(&c->host.dead) && !a32_load(&c->host.mm->dying);
}

/* Pages of its unmanaged RSS that no pass has seen. */
static int64_t news(struct client *c)
{
	int64_t now = a64_load(&c->host.mm->unmanaged) - a64_load(&c->shared_pages);
	int64_t left = a64_load(&c->find_left);

	if (now < left) {
		(void)a64_cas(&c->find_left, left, now > 0 ? now : 0);
		return 0;
	}
	return now - left;
}

static bool nearly_full(const struct supervisor *s)
{
	const struct page_counter *memory = &s->group->memory;

	return page_counter_margin(memory) < a64_load(&memory->max) / NEARLY_FULL;
}

/* A fork child has what its parent has, which was examined there. */
static int64_t threshold(const struct client *c, bool urgent)
{
	return (urgent ? URGENT : LEAST) + (a64_load(&c->find_left) ? 0 : c->inherited);
}

void finder_note(struct client *c)
{
	if (news(c) >= threshold(c, nearly_full(c->s)) && can_find(c))
		waitq_wake(&c->s->find_wait);
}

static void keep_area(const struct smaps_area *a, void *arg)
{
	struct pass *p = arg;
	struct smaps_area *more;

	if (!a->at.manageable || !(a->at.flags & VM_WRITE) ||
	    a->flags & (SMAPS_GROWSDOWN | SMAPS_SPECIAL))
		return;
	if (a->flags & SMAPS_REGISTERED) {
		p->registered += a->anon;
		if (!a->anon)
			return;
	}
	if (p->nr == p->cap) {
		unsigned cap = p->cap ? 2 * p->cap : 64;

		more = cap > AREAS_MAX ? NULL : realloc(p->area, cap * sizeof(*more));
		if (!more)
			return;
		p->area = more;
		p->cap = cap;
	}
	p->area[p->nr++] = *a;
}

/* Adopt either the registered areas or the others. Enter all of them before filling, so that later
 * page faults there are ours. False: incomplete. */
static bool adopt_areas(struct live *l, struct pass *p, bool registered)
{
	bool all = true;

	for (unsigned i = 0; i < p->nr; i++) {
		struct smaps_area *a = &p->area[i];

		if (!(a->flags & SMAPS_REGISTERED) != !registered)
			continue;
		a->entered = live_enter(l, a) == 0;
		all &= a->entered;
	}
	for (unsigned i = 0; i < p->nr; i++)
		if (p->area[i].entered && !(p->area[i].flags & SMAPS_REGISTERED) == !registered)
			live_fill(l, &p->area[i]);
	return all;
}

/* False: it must be done again. */
static bool look_at(struct client *c, bool urgent)
{
	uint64_t start = plat_now_ns(), cost, pause;
	struct mm *mm = c->host.mm;
	struct pass p = { 0 };
	struct live l;
	bool all = true;

	if (smaps_areas(c->host.task, keep_area, &p) == 0) {
		live_open(&l, c);
		/* Registered areas may have gained pages without us: in place of the zero page, or
		 * from the kernel's swap. */
		if (p.registered - a64_load(&mm->rss) + a64_load(&mm->rss_shared) < URGENT)
			p.registered = 0;
		all = adopt_areas(&l, &p, false);
		if (p.registered)
			all &= adopt_areas(&l, &p, true);
		a64_add(&c->s->find_pages, (int64_t)l.found);
		live_close(&l);
	}
	free(p.area);
	if (all || ++c->find_tries > TRIES_MAX) {
		int64_t left = a64_load(&mm->unmanaged) - a64_load(&c->shared_pages);

		a64_store(&c->find_left, left > 0 ? left : 0);
		c->find_tries = 0;
		all = true;
	}
	cost = plat_now_ns() - start;
	pause = urgent ? PAUSE_URGENT_NS + cost * SHARE_URGENT : PAUSE_NS + cost * SHARE;
	c->find_next_ns = start + cost + pause;
	return all;
}

/* One round over all clients. Returns when the next one is due, in ns from now; negative: when
 * woken. */
static int64_t look_around(struct supervisor *s, bool asked)
{
	bool urgent = asked || nearly_full(s);
	uint64_t now = plat_now_ns();
	struct client *c = NULL;
	int64_t next = -1;

	while ((c = client_next(s, c))) {
		bool again = false;

		if (!can_find(c) || (news(c) < threshold(c, urgent) && !(asked && news(c) > 0)))
			continue;
		if (asked || now >= c->find_next_ns)
			again = !look_at(c, urgent);
		else
			again = true;
		if (again) {
			int64_t left = (int64_t)(c->find_next_ns - plat_now_ns());

			left = left > 0 ? left : 0;
			next = next < 0 || left < next ? left : next;
		}
	}
	return next;
}

void finder_main(void *arg)
{
	struct supervisor *s = arg;

	/* processes that allocate unmanaged memory are not stopped in the meantime */
	watcher_hurry();
	s->stacks_marked = smaps_marks_stacks();
	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->find_wait);
		int64_t asked = a64_load(&s->find_asked), next;

		next = look_around(s, asked != a64_load(&s->find_answered));
		kinds_note(s);
		a64_store(&s->find_answered, asked);
		waitq_wake(&s->find_done);
		waitq_sleep(&s->find_wait, ticket, next);
	}
	waitq_wake(&s->find_done);
}

static bool anything_new(struct supervisor *s)
{
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= can_find(c) && news(c) >= URGENT;
	return yes;
}

bool finder_search(struct supervisor *s, bool wait)
{
	int64_t found = a64_load(&s->find_pages), number, until;

	if (!anything_new(s) || a32_load(&s->stopping))
		return false;
	number = a64_add(&s->find_asked, 1);
	waitq_wake(&s->find_wait);
	if (!wait)
		return true;
	until = (int64_t)plat_now_ns() + WAIT_NS;
	for (;;) {
		uint32_t ticket = waitq_prepare(&s->find_done);
		int64_t left = until - (int64_t)plat_now_ns();

		if (a64_load(&s->find_answered) >= number || left <= 0 || a32_load(&s->stopping))
			break;
		(void)waitq_sleep(&s->find_done, ticket, left);
	}
	return a64_load(&s->find_pages) != found;
}

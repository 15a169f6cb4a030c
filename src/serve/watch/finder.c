/* serve/watch/finder.c - the finder thread: looks for unmanaged memory that could be managed, in
 * processes whose unmanaged RSS grew.
 *
 * What the hooks do not see - .bss of a library loaded later, what a runtime maps with its own
 * system call instructions - is measured with all other unmanaged memory. When that has grown, the
 * finder compares the process's mappings with what is registered and adopts what it can (live.c).
 * The rest - copied data pages, stacks - is then known, and examined again when it grows.
 *
 * A pass over a process costs about a millisecond (smaps.c). It runs when LEAST pages are new
 * (unseen.c), or UNSEEN_URGENT while the group is nearly full, and takes at most 1 / SHARE of the
 * time, or 1 / SHARE_URGENT. Before an OOM kill (finder_search) it runs in any case.
 *
 * Typical sequence: measure -> unseen_note -> the finder: smaps_areas, live_enter, live_fill ->
 * unmanaged RSS falls, reclaim has pages.
 *
 * Locks: none of its own. client->finding belongs to the finder. measure.c and threads about to
 * kill wake the finder; the latter wait for it, bounded by WAIT_NS.
 */
#include <stdlib.h>

#include "mm/charge.h"
#include "serve/account/account.h"
#include "serve/shared/shared.h"
#include "serve/watch/parts.h"

#define PAUSE_NS        (20 * 1000000ull)
#define SHARE           20
#define PAUSE_URGENT_NS (1000000ull)
#define SHARE_URGENT    2
#define WAIT_NS         (2 * 1000000000ll)
#define AREAS_MAX       65536 /* examined in one pass */
#define TRIES_MAX       16    /* incomplete passes; then the rest stays as it is */

struct finder {
	struct waitq done;
	atomic64_t asked, answered; /* (A) passes requested before a kill, and done */
	atomic64_t pages;           /* (A) pages the finder has entered */
	bool stacks_marked;         /* finder: smaps_marks_stacks */
};

struct pass {
	struct smaps_area *area;
	unsigned nr, cap;
	int64_t registered; /* pages present in registered areas */
	bool guards;        /* what is registered may have a guard (agent/fork.c) */
};

static void keep_area(const struct smaps_area *a, void *arg)
{
	struct pass *p = arg;
	struct smaps_area *more;

	assert_thread(THREAD_FINDER);
	if (!a->at.manageable || !(a->at.flags & VM_WRITE) ||
	    a->flags & (SMAPS_GROWSDOWN | SMAPS_SPECIAL))
		return;
	/* The agent's own, or kept from children: but for guards. */
	if (a->flags & SMAPS_DONTFORK && !(p->guards && a->flags & SMAPS_REGISTERED))
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
static bool adopt_found(struct live *l, struct pass *p, bool registered)
{
	bool all = true;

	assert_thread(THREAD_FINDER);
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
	struct pass p = { .guards = serve_mode_own_forks(c->s->mode) };
	struct live l;
	bool all = true;

	assert_thread(THREAD_FINDER);
	assert_referenced(c);
	/* In mode user what came past the agent would be touched by system calls that nobody has
	 * seen: it stays unmanaged. */
	if (c->s->mode != SERVE_MODE_USER && smaps_areas(c->host.task, keep_area, &p) == 0) {
		live_open(&l, c, c->s->finder->stacks_marked);
		/* Registered areas may have gained pages without us: in place of the zero page, or
		 * from the kernel's swap. */
		if (p.registered - a64_load(&mm->rss) + a64_load(&mm->rss_shared) < UNSEEN_URGENT)
			p.registered = 0;
		all = adopt_found(&l, &p, false);
		if (p.registered)
			all &= adopt_found(&l, &p, true);
		a64_add(&c->s->finder->pages, (int64_t)l.found);
		live_close(&l);
	}
	free(p.area);
	if (all || ++c->finding.tries > TRIES_MAX) {
		unseen_none(c);
		c->finding.tries = 0;
		all = true;
	}
	cost = plat_now_ns() - start;
	pause = urgent ? PAUSE_URGENT_NS + cost * SHARE_URGENT : PAUSE_NS + cost * SHARE;
	c->finding.next_ns = start + cost + pause;
	return all;
}

/* One round over all clients. Returns when the next one is due, in ns from now; negative: when
 * woken. */
static int64_t look_around(struct supervisor *s, bool asked)
{
	bool urgent = asked || unseen_is_urgent(s);
	uint64_t now = plat_now_ns();
	struct client *c = NULL;
	int64_t next = -1;

	assert_thread(THREAD_FINDER);
	while ((c = client_next(s, c))) {
		bool again = false;

		if (!unseen_possible(c) || (unseen_pages(c) < unseen_threshold(c, urgent) &&
					    !(asked && unseen_pages(c) > 0)))
			continue;
		if (asked || now >= c->finding.next_ns)
			again = !look_at(c, urgent);
		else
			again = true;
		if (again) {
			int64_t left = (int64_t)(c->finding.next_ns - plat_now_ns());

			left = left > 0 ? left : 0;
			next = next < 0 || left < next ? left : next;
		}
	}
	return next;
}

void finder_main(void *arg)
{
	struct supervisor *s = arg;

	thread_begin(THREAD_FINDER);
	/* processes that allocate unmanaged memory are not stopped in the meantime */
	thread_hurry();
	s->finder->stacks_marked = smaps_marks_stacks();
	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->wake.finder);
		int64_t asked = a64_load(&s->finder->asked), next;

		next = look_around(s, asked != a64_load(&s->finder->answered));
		a64_add(&s->finder->pages, copies_look(s, asked != a64_load(&s->finder->answered)));
		kinds_note(s);
		memfds_tend(s);
		a64_store(&s->finder->answered, asked);
		waitq_wake(&s->finder->done);
		waitq_sleep(&s->wake.finder, ticket, next);
	}
	waitq_wake(&s->finder->done);
}

static bool anything_new(struct supervisor *s)
{
	struct client *c = NULL;
	bool yes = false;

	while ((c = client_next(s, c)))
		yes |= unseen_possible(c) && unseen_pages(c) >= UNSEEN_URGENT;
	return yes;
}

bool finder_search(struct supervisor *s, bool wait)
{
	int64_t found = a64_load(&s->finder->pages), number, until;

	if ((!anything_new(s) && !copies_worth(s)) || a32_load(&s->stopping))
		return false;
	number = a64_add(&s->finder->asked, 1);
	waitq_wake(&s->wake.finder);
	if (!wait)
		return true;
	until = (int64_t)plat_now_ns() + WAIT_NS;
	for (;;) {
		uint32_t ticket = waitq_prepare(&s->finder->done);
		int64_t left = until - (int64_t)plat_now_ns();

		if (a64_load(&s->finder->answered) >= number || left <= 0 || a32_load(&s->stopping))
			break;
		(void)waitq_sleep(&s->finder->done, ticket, left);
	}
	return a64_load(&s->finder->pages) != found;
}

int finder_init(struct supervisor *s)
{
	if (supervisor_part(&s->finder, sizeof(*s->finder)))
		return -ENOMEM;
	waitq_init(&s->finder->done);
	return 0;
}

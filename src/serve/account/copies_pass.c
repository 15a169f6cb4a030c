/* serve/account/copies_pass.c - a pass over a family: how many pages does each member share, and
 * with how many others? smaps has the proportional share of every area.
 *
 * A pass (the finder's thread) costs a millisecond per member. It is due where the charges have
 * risen by LEAST since the last one, the group is nearly full, and a part of it that matters is
 * unmanaged; it takes 1 / SHARE of the time at most. Before a kill it is done in any case. The
 * limit does not depend on it: a charge that no pass has corrected is too high.
 *
 * Order, per member: minor faults, own pages, smaps, pagemap, own pages and minor faults again.
 * Whatever happens in between is counted as a copy. The pass ends if a member's address space is
 * gone or was replaced.
 *
 * Typical sequence: copies_look -> family_pass_begin, walk each member, family_pass_publish (both
 * shares count), measure (charges rise), family_pass_finish, measure (charges fall).
 *
 * Locks: none of its own. client->copying: at and turn are the finder's.
 */
#include "serve/account/copies.h"

#include <string.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mmu/host/uffd.h"

#define TRACKED_MAX 16384 /* pages of all places of a client: more takes too long */
#define PLACES_MAX  1024
#define MEMBERS_MAX 1024
#define LEAST       256 /* pages */
#define LEAST_ASKED 16
#define MATTERS     8 /* memory.max / MATTERS is unmanaged, and no more than that is free */
#define SHARE       10
#define PAUSE_NS    (20 * 1000000ull)
#define KIB         ((int64_t)PAGE_SIZE / 1024)

struct member {
	struct client *c; /* referenced */
	int64_t faults;
	int64_t less, part;    /* KiB */
	struct places *places; /* being made; NULL: none, or too many */
	int64_t tracked;
};

struct look {
	struct supervisor *s;
	struct family_pass pass;
	unsigned n;
	struct member member[MEMBERS_MAX];
	struct kin *kin[MEMBERS_MAX];
	struct share share[MEMBERS_MAX];
};

static void add_place(struct member *m, const struct smaps_area *a)
{
	uint64_t npages = (a->at.end - a->at.start) / PAGE_SIZE;

	m->tracked += (int64_t)npages;
	if (!m->places || m->places->n == PLACES_MAX || m->tracked > TRACKED_MAX) {
		m->tracked = INT32_MAX;
		return;
	}
	m->places->at[m->places->n++] = (struct host_range){ a->at.start, npages };
}

/* The file pages of a private mapping are in its share as well: it is too high by them. */
static void add_area(const struct smaps_area *a, void *arg)
{
	struct member *m = arg;
	int64_t anon = a->anon * KIB, pss = a->pss_kib + 1; /* it was rounded down */

	if (a->flags & SMAPS_REGISTERED || a->at.shared || !a->anon)
		return;
	if (a->rss_kib == a->private_kib)
		pss = a->rss_kib;
	if (pss > a->private_kib)
		m->part += pss - a->private_kib;
	if (pss < anon)
		m->less += anon - pss;
	add_place(m, a);
}

static bool is_there(const struct client *c)
{
	return c->host.pid && c->host.uffd >= 0 && !client_is_leaving(c) && !client_has_ended(c) &&
	       !uffd_dead(c->host.uffd);
}

/* Reads its own pages twice, since pages in transit count for an instant; the smaller number is
 * right. */
static bool own_before(struct look *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct member *m = &l->member[i];

		m->faults = copies_faults(m->c);
		l->share[i] =
			(struct share){ .valid = true, .own = measure_own(m->c), .tracked = -1 };
		if (m->faults < 0 || l->share[i].own < 0 || !is_there(m->c))
			return false;
	}
	measure_pause();
	for (unsigned i = 0; i < l->n; i++) {
		int64_t again = measure_own(l->member[i].c);

		if (again < 0)
			return false;
		if (again < l->share[i].own)
			l->share[i].own = again;
	}
	return true;
}

static void track(struct member *m, struct share *sh)
{
	int fd;

	if (!m->places || m->tracked > TRACKED_MAX)
		return;
	fd = copies_open(m->c, "pagemap");
	sh->tracked = places_shared(fd, m->places, m->c->s->copies->zero_frame);
	if (fd >= 0)
		close(fd);
	if (sh->tracked < 0)
		return;
	sh->places = m->places;
	m->places = NULL;
}

static bool walk(struct member *m, struct share *sh)
{
	int64_t less, own, grown;

	m->places = plat_alloc(sizeof(*m->places) + PLACES_MAX * sizeof(m->places->at[0]));
	if (m->places)
		a32_store(&m->places->ref, 1);
	m->less = m->part = m->tracked = 0;
	if (smaps_areas(m->c->host.task, add_area, m) != 0)
		return false;
	less = m->less / KIB;
	sh->paid = share_paid(sh->own, less);
	sh->part = (m->part + KIB - 1) / KIB;
	track(m, sh);
	/* A page that goes between the two looks is counted as a copy. In the opposite order it
	 * would not be counted at all. */
	own = measure_own(m->c);
	grown = own - sh->own;
	sh->own = own;
	sh->faults = copies_faults(m->c);
	sh->copied = sh->faults - m->faults;
	/* A huge page is one fault. */
	if (sh->copied >= 0 && sh->copied < grown)
		sh->copied = grown;
	/* Others may have been seen to share the pages that it has given up since. */
	sh->part += sh->copied + (grown < 0 ? -grown : 0);
	/* Checked last: so all of the above was about this process. */
	return sh->copied >= 0 && own >= 0 && is_there(m->c);
}

static void collect(struct look *l)
{
	struct client *c = NULL;

	while ((c = client_next(l->s, c))) {
		if (l->n == MEMBERS_MAX ||
		    !family_has(&l->s->copies->families, l->pass.family, &c->kin))
			continue;
		client_ref(c);
		c->copying.turn = l->s->copies->turn;
		l->kin[l->n] = &c->kin;
		l->member[l->n++] = (struct member){ .c = c };
	}
}

static int64_t charges(const struct look *l)
{
	int64_t n = 0;

	for (unsigned i = 0; i < l->n; i++)
		n += a64_load(&l->member[i].c->host.mm->unmanaged);
	return n;
}

/* Pages that a pass may find to be shared. */
static int64_t worth(const struct look *l)
{
	int64_t n = charges(l) + l->pass.debt;

	for (unsigned i = 0; i < l->n; i++)
		n -= l->member[i].c->copying.at;
	return n;
}

static void measure_all(struct look *l)
{
	for (unsigned i = 0; i < l->n; i++)
		measure_settled(l->member[i].c);
}

/* Most of what a member's charge rises by is in the family's debt already, left there by members
 * that have ended. The debt is reduced by as much, so that both are charged for a moment only. */
static void raise_all(struct look *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct client *c = l->member[i].c;
		int64_t before = a64_load(&c->host.mm->unmanaged), n;

		measure_settled(c);
		n = a64_load(&c->host.mm->unmanaged) - before;
		n = n > 0 ? family_pass_pay(&l->s->copies->families, &l->pass, l->kin, l->n, n) : 0;
		if (n > 0)
			charge_unmanaged(&l->s->engine, l->s->group, n, 0);
	}
}

/* False: a member came or went during the pass. */
static bool do_pass(struct look *l)
{
	struct families *fs = &l->s->copies->families;
	bool good = l->n == l->pass.nr && own_before(l);
	int64_t debt;

	for (unsigned i = 0; good && i < l->n; i++)
		good = walk(&l->member[i], &l->share[i]);
	good = good && family_pass_publish(fs, &l->pass, l->kin, l->share, l->n);
	if (good) {
		raise_all(l);
		debt = family_pass_finish(fs, &l->pass, l->kin, l->n);
		charge_unmanaged(&l->s->engine, l->s->group, debt > 0 ? debt : 0,
				 debt < 0 ? -debt : 0);
		measure_all(l);
	}
	for (unsigned i = 0; i < l->n; i++) {
		struct member *m = &l->member[i];

		m->c->copying.at = good ? a64_load(&m->c->host.mm->unmanaged) : m->c->copying.at;
		if (l->share[i].places)
			places_put(l->share[i].places);
		if (m->places)
			places_put(m->places);
	}
	return good;
}

/* False: try again. */
static bool look_at_family(struct look *l, struct client *c, int64_t least)
{
	bool done = true;

	l->n = 0;
	memset(l->share, 0, sizeof(l->share));
	c->copying.turn = l->s->copies->turn;
	if (!family_pass_begin(&l->s->copies->families, &c->kin, &l->pass) || l->pass.nr < 2 ||
	    l->pass.nr > MEMBERS_MAX)
		return true;
	collect(l);
	if (worth(l) >= least)
		done = do_pass(l);
	while (l->n)
		client_put(l->member[--l->n].c);
	return done;
}

static bool look_around(struct supervisor *s, int64_t least)
{
	struct look *l = plat_alloc(sizeof(*l));
	struct client *c = NULL;
	bool all = true;

	if (!l)
		return true;
	l->s = s;
	s->copies->turn++;
	while ((c = client_next(s, c)))
		if (c->copying.turn != s->copies->turn)
			all &= look_at_family(l, c, least);
	plat_free(l);
	return all;
}

static bool matters(const struct supervisor *s)
{
	int64_t some = a64_load(&s->group->memory.max) / MATTERS;

	return page_counter_margin(&s->group->memory) < some &&
	       stat_read_local(s->group, STAT_UNMANAGED) > some;
}

static bool is_due(struct supervisor *s)
{
	return a64_load(&s->copies->news) >= LEAST &&
	       (int64_t)plat_now_ns() >= a64_load(&s->copies->next_ns) && matters(s);
}

void copies_wake(struct supervisor *s)
{
	if (is_due(s))
		waitq_wake(&s->wake.finder);
}

bool copies_worth(struct supervisor *s)
{
	return a64_load(&s->copies->news) >= LEAST_ASKED;
}

int64_t copies_look(struct supervisor *s, bool asked)
{
	int64_t before = stat_read_local(s->group, STAT_UNMANAGED), freed;
	int64_t least = asked ? LEAST_ASKED : LEAST;
	uint64_t start = plat_now_ns(), cost;
	bool done = false;

	assert_thread(THREAD_FINDER);
	if (!(asked ? copies_worth(s) : is_due(s)))
		return 0;
	for (unsigned i = 0; pass_again(i, done, asked); i++)
		done = look_around(s, least);
	if (done)
		a64_store(&s->copies->news, 0);
	freed = before - stat_read_local(s->group, STAT_UNMANAGED);
	cost = plat_now_ns() - start;
	a64_store(&s->copies->next_ns, (int64_t)(start + cost + PAUSE_NS + cost * SHARE));
	return freed > 0 ? freed : 0;
}

/* serve/client/family.c - see family.h. Arithmetic only: who asks has looked up what is passed in.
 *
 * Locks: families->lock, LEAF, in every function.
 */
#include "serve/client/family.h"

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t share_pages(const struct share *s, int64_t own, int64_t faults)
{
	if (!s->valid)
		return own;
	if (faults < 0)
		return own + s->part;
	/* Its kernel has forgotten it: it has ended, and its memory went before that. */
	if (faults < s->faults)
		return s->part;
	/* What was moved may be more than was paid for it: reads of /proc that do not agree. */
	return most(0, least(s->paid + s->copied + s->left + s->moved + (faults - s->faults) +
				     most(own - s->own, 0),
			     own + s->part));
}

static bool is_alone(const struct families *fs, const struct kin *k)
{
	lockdep_assert_held(&fs->lock);
	return !k->family || k->family->nr < 2;
}

int64_t family_pages(struct families *fs, const struct kin *k, int64_t own, int64_t faults)
{
	int64_t n = own;

	spin_lock(&fs->lock);
	if (!is_alone(fs, k)) {
		n = share_pages(&k->now, own, faults);
		if (k->next.valid)
			n = most(n, share_pages(&k->next, own, faults));
	}
	spin_unlock(&fs->lock);
	return n;
}

bool family_shares(struct families *fs, const struct kin *k)
{
	bool yes;

	spin_lock(&fs->lock);
	yes = !is_alone(fs, k) && (k->now.valid || k->next.valid);
	spin_unlock(&fs->lock);
	return yes;
}

/* The caller drops what is returned, without the lock. */
static struct places *untrack(const struct families *fs, struct kin *k, struct share *s)
{
	struct places *old = s->places;

	lockdep_assert_held(&fs->lock);
	s->copied += s->left + s->moved;
	s->left = s->moved = 0;
	s->tracked = -1;
	s->places = NULL;
	k->turn++;
	return old;
}

static void put(struct families *fs, struct places *p)
{
	if (p)
		fs->put(p);
}

void family_announce(struct families *fs, struct kin *k, int64_t own, int64_t faults)
{
	struct places *old = NULL;

	spin_lock(&fs->lock);
	if (is_alone(fs, k) || !k->now.valid) {
		old = untrack(fs, k, &k->now);
		k->now = (struct share){ .valid = faults >= 0,
					 .paid = own,
					 .own = own,
					 .tracked = -1,
					 .faults = faults };
	}
	if (k->family)
		k->family->changes++;
	spin_unlock(&fs->lock);
	put(fs, old);
}

/* Its child may use all that it was charged for, including pages that came since: their charge does
 * not end with the page. */
static void owe(struct share *s, int64_t own, int64_t charged)
{
	s->part = most(s->part, charged);
	s->copied += most(own - s->own, 0);
	s->own = most(s->own, own);
}

static void enter(const struct families *fs, struct kin *parent, struct kin *child,
		  struct family *fresh)
{
	lockdep_assert_held(&fs->lock);
	if (!parent->family) {
		*fresh = (struct family){ .nr = 1 };
		parent->family = fresh;
	}
	child->family = parent->family;
	child->family->nr++;
	child->family->changes++;
}

bool family_join(struct families *fs, struct kin *parent, struct kin *child, bool announced,
		 int64_t own, int64_t charged)
{
	struct family *fresh = plat_alloc(sizeof(*fresh));
	struct places *old[2] = { NULL, NULL };
	bool shares = false;

	spin_lock(&fs->lock);
	if (fresh && !parent->gone && !child->gone) {
		enter(fs, parent, child, fresh);
		/* Pages that were not shared are, from now on. */
		old[0] = untrack(fs, parent, &parent->now);
		old[1] = untrack(fs, parent, &parent->next);
		shares = announced && parent->now.valid;
	}
	if (shares) {
		owe(&parent->now, own, charged);
		owe(&parent->next, own, charged);
		child->now = (struct share){ .valid = true, .own = own, .tracked = -1 };
	}
	if (parent->family == fresh)
		fresh = NULL;
	spin_unlock(&fs->lock);
	if (fresh)
		plat_free(fresh);
	put(fs, old[0]);
	put(fs, old[1]);
	return shares;
}

void family_forsake(struct families *fs, struct kin *k)
{
	spin_lock(&fs->lock);
	k->now.valid = false;
	if (k->family)
		k->family->changes++;
	spin_unlock(&fs->lock);
}

static int64_t owed(const struct kin *k)
{
	return most(k->now.valid ? k->now.part : 0, k->next.valid ? k->next.part : 0);
}

int64_t family_leave(struct families *fs, struct kin *k)
{
	struct places *old[2] = { NULL, NULL };
	struct family *f, *over = NULL;
	int64_t n = 0;

	spin_lock(&fs->lock);
	f = k->gone ? NULL : k->family;
	k->gone = true;
	k->family = NULL;
	if (f) {
		n = owed(k);
		f->nr--;
		f->changes++;
		f->debt += n;
		old[0] = untrack(fs, k, &k->now);
		old[1] = untrack(fs, k, &k->next);
	}
	if (f && !f->nr) {
		n -= f->debt;
		over = f;
	}
	spin_unlock(&fs->lock);
	put(fs, old[0]);
	put(fs, old[1]);
	if (over)
		plat_free(over);
	return n;
}

int64_t family_alone(struct families *fs, struct kin *k)
{
	int64_t n = 0;

	spin_lock(&fs->lock);
	if (k->family && k->family->nr == 1 && k->family->debt) {
		n = k->family->debt;
		k->family->debt = 0;
		k->family->changes++;
		/* What it has paid is too little without that, were it to have a child. */
		k->now.valid = false;
	}
	spin_unlock(&fs->lock);
	return n;
}

bool family_scan(struct families *fs, const struct kin *k, struct share *now, uint64_t *turn,
		 void (*hold)(struct places *p))
{
	bool tracks;

	spin_lock(&fs->lock);
	tracks = !is_alone(fs, k) && k->now.valid && k->now.tracked >= 0 && !k->next.valid &&
		 k->now.places;
	*now = k->now;
	*turn = k->turn;
	if (tracks)
		hold(now->places);
	spin_unlock(&fs->lock);
	return tracks;
}

void family_scanned(struct families *fs, struct kin *k, uint64_t turn, int64_t faults, int64_t own,
		    int64_t shared)
{
	struct share *s = &k->now;

	spin_lock(&fs->lock);
	/* Only a fork makes pages shared again, and that is another turn. */
	if (k->turn == turn && s->valid && s->tracked >= 0 && !k->next.valid &&
	    faults >= s->faults) {
		s->left = most(s->tracked - shared, 0);
		s->moved += own - s->own;
		s->own = own;
		s->faults = faults;
	}
	spin_unlock(&fs->lock);
}

bool family_has(struct families *fs, const struct family *f, const struct kin *k)
{
	bool yes;

	spin_lock(&fs->lock);
	yes = k->family == f;
	spin_unlock(&fs->lock);
	return yes;
}

bool family_pass_begin(struct families *fs, const struct kin *k, struct family_pass *p)
{
	spin_lock(&fs->lock);
	p->family = k->family;
	if (k->family) {
		p->changes = k->family->changes;
		p->debt = k->family->debt;
		p->paid = 0;
		p->nr = k->family->nr;
	}
	spin_unlock(&fs->lock);
	return p->family != NULL;
}

/* The family is there at all as long as a member is. */
static bool unchanged(const struct families *fs, const struct family_pass *p, struct kin *const *k,
		      unsigned n)
{
	lockdep_assert_held(&fs->lock);
	if (n != p->nr)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (k[i]->family != p->family)
			return false;
	return n && p->family->changes == p->changes;
}

bool family_pass_publish(struct families *fs, const struct family_pass *p, struct kin **k,
			 struct share *share, unsigned n)
{
	bool good;

	spin_lock(&fs->lock);
	good = unchanged(fs, p, k, n);
	for (unsigned i = 0; good && i < n; i++) {
		k[i]->next = share[i];
		share[i].places = NULL;
	}
	spin_unlock(&fs->lock);
	return good;
}

static struct places *settle(const struct families *fs, struct kin *k, bool good)
{
	struct share *drop = good ? &k->now : &k->next;
	struct places *old = drop->places;

	lockdep_assert_held(&fs->lock);
	if (good) {
		k->now = k->next;
		k->turn++;
	}
	k->next = (struct share){ .valid = false, .tracked = -1 };
	return old;
}

int64_t family_pass_pay(struct families *fs, struct family_pass *p, struct kin *const *k,
			unsigned n_kin, int64_t n)
{
	spin_lock(&fs->lock);
	n = unchanged(fs, p, k, n_kin) ? least(n, p->debt - p->paid) : 0;
	if (n > 0) {
		p->family->debt -= n;
		p->paid += n;
	}
	spin_unlock(&fs->lock);
	return most(n, 0);
}

/* What was paid becomes debt again, if anybody is left to have it. */
static int64_t owe_again(struct families *fs, const struct family_pass *p, struct kin *const *k,
			 unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (k[i]->family == p->family) {
			lockdep_assert_held(&fs->lock);
			p->family->debt += p->paid;
			return -p->paid;
		}
	return 0;
}

int64_t family_pass_finish(struct families *fs, const struct family_pass *p, struct kin **k,
			   unsigned n)
{
	int64_t pages;
	bool good;

	spin_lock(&fs->lock);
	good = unchanged(fs, p, k, n);
	pages = good ? p->debt - p->paid : owe_again(fs, p, k, n);
	if (good)
		p->family->debt -= pages;
	spin_unlock(&fs->lock);
	for (unsigned i = 0; i < n; i++) {
		struct places *old;

		spin_lock(&fs->lock);
		old = settle(fs, k[i], good);
		spin_unlock(&fs->lock);
		put(fs, old);
	}
	return pages;
}

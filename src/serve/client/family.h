/* serve/client/family.h - unmanaged pages that a fork's parent and child still share are charged
 * once.
 *
 * A family is the clients that descend from one address space by fork without an exec in between.
 * The kernel tells of every fork of a client before it goes on (worker.c). So whoever shares a page
 * with a member is a member, too.
 *
 * A member with a valid share is charged less than the unmanaged pages that it has ("own"). Its
 * charge is an upper bound that needs no walk to stay one:
 *
 *   min(paid + copied + left + moved + faults since + growth of own since, own + part)
 *
 * A page of its own, where it shared one, costs it a minor fault, although its own stays the same.
 * Counting the shared pages that are no longer shared tells such faults from others: left + moved
 * is then how many pages have come, less those that have gone and were not shared. The second term
 * is what it has now, plus the part of its charge that others may still use.
 *
 * I1  The sum of the charges and of the family's debt is at least the number of different unmanaged
 *     pages of its members, at any time. tests/unit/serve/client/family_test.c counts them.
 *
 *   fork    the child has paid nothing; part of the parent becomes all that the parent was charged
 *   end     part becomes the family's debt, until the next pass
 *   pass    (copies_pass.c) every member's pages are looked up: its proportional share is what it
 *           has paid. Valid only if no member came, went or forked meanwhile. Published in two
 *           steps: first whatever rises, then what falls
 *   alone   the last member has what it has; there is no debt
 *
 * A child of a fork that was not announced has no share until a pass: it may change memory before
 * anybody measures it.
 */
#ifndef UMEMCG_SERVE_FAMILY_H
#define UMEMCG_SERVE_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "plat/plat.h"

struct places;

/* Pages, all of them, except for the count of faults. */
struct share {
	bool valid;
	int64_t paid;          /* charged at the beginning */
	int64_t own;           /* what it had then; from the first look on, at the last one */
	int64_t part;          /* of what it was charged, what others may use when it ends */
	int64_t copied;        /* it may have copied so many before there was @tracked */
	int64_t tracked;       /* pages in @places that were shared; -1: not known */
	int64_t left;          /* of them, those that were no longer shared at the last look */
	int64_t moved;         /* by how much its own had grown at that look; may be negative */
	int64_t faults;        /* its minor faults at that look */
	struct places *places; /* where it has pages that may be shared; NULL. A reference */
};

/* All fields: families->lock. */
struct family {
	unsigned nr;      /* members */
	uint64_t changes; /* members that came, went, or announced a fork; debts that were paid */
	int64_t debt;     /* pages: charged, but to no member */
};

struct kin {                    /* families->lock */
	struct family *family;  /* NULL: none */
	struct share now, next; /* next: of a pass that is being published. Both count */
	uint64_t turn;          /* shares that it has had */
	bool gone;
};

struct families {
	struct spinlock lock;          /* rank LEAF */
	void (*put)(struct places *p); /* drop a reference */
};

struct family_pass {
	struct family *family;
	uint64_t changes;
	int64_t debt; /* at the beginning */
	int64_t paid; /* of it, since it was published */
	unsigned nr;
};

/* What @k is charged if it has @own unmanaged pages. @faults: its minor faults; 0: it has been
 * reaped; negative: unknown. */
int64_t family_pages(struct families *fs, const struct kin *k, int64_t own, int64_t faults);
/* Does anybody share pages with it? */
bool family_shares(struct families *fs, const struct kin *k);

/* @k, which has @own pages, is about to fork. @faults was read before. */
void family_announce(struct families *fs, struct kin *k, int64_t own, int64_t faults);
/* @parent has forked. @charged: what it is charged; @own: what the child has. True: the child has a
 * share, and has paid nothing. False: charge it for all it has. */
bool family_join(struct families *fs, struct kin *parent, struct kin *child, bool announced,
		 int64_t own, int64_t charged);
/* The child of an announced fork turns out to have another parent: no share. */
void family_forsake(struct families *fs, struct kin *k);
/* @k has ended. Pages to charge, before its charge is given back; negative: to uncharge, after it.
 */
int64_t family_leave(struct families *fs, struct kin *k);
/* @k is charged for all it has. Pages to uncharge: the debt, if it is the last member. */
int64_t family_alone(struct families *fs, struct kin *k);

/* Between two looks at where its shared pages are. False: nothing is tracked. @p is referenced by
 * @hold for the caller; @turn goes to family_scanned. */
bool family_scan(struct families *fs, const struct kin *k, struct share *now, uint64_t *turn,
		 void (*hold)(struct places *p));
/* @shared of the tracked pages still are. Read in this order: @faults, @own, @shared. */
void family_scanned(struct families *fs, struct kin *k, uint64_t turn, int64_t faults, int64_t own,
		    int64_t shared);

/* Is @k a member of @f? */
bool family_has(struct families *fs, const struct family *f, const struct kin *k);
/* A pass over @k's family. False: it has none. */
bool family_pass_begin(struct families *fs, const struct kin *k, struct family_pass *p);
/* The first step, for all @n members: from now on each counts for the larger of both shares. Takes
 * the references in
 * @share. False: the family has changed, and nothing was done. */
bool family_pass_publish(struct families *fs, const struct family_pass *p, struct kin **k,
			 struct share *share, unsigned n);
/* In between a charge has risen by @n: as much of the debt is paid. Pages to uncharge. */
int64_t family_pass_pay(struct families *fs, struct family_pass *p, struct kin *const *k,
			unsigned n_kin, int64_t n);
/* The second, once all charges have risen: pages to uncharge; negative: to charge, as the family
 * has changed. Then the shares are as they were before. */
int64_t family_pass_finish(struct families *fs, const struct family_pass *p, struct kin **k,
			   unsigned n);

#endif

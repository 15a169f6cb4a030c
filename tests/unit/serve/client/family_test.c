/* tests/unit/serve/client/family_test.c - what a family of forks is charged for pages that it
 * shares is at least what there is, whatever its members do and whenever they are looked at (I1 of
 * serve/client/family.h); and after a pass in which nothing happened, no more.
 *
 * The model: every page has the set of processes that map it. A write to a shared page is a minor
 * fault and a page of the writer's own. Between any two steps of a pass others fork, write, unmap,
 * and end.
 */
#include <stdlib.h>

#include "serve/client/family.h"
#include "test.h"

#define PROCESSES 8
#define PAGES     600
#define STEPS     400
#define SEEDS     400

struct process {
	bool alive;
	int64_t faults;
	struct kin kin;
};

static struct families fs;
static struct process process[PROCESSES];
static unsigned page[PAGES]; /* who maps it: a bit for each; 0: free */
static int64_t debt;         /* as family_leave and family_pass_finish have said */
static uint64_t state;

static unsigned number(unsigned below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % below;
}

static int64_t own_of(unsigned p)
{
	int64_t n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		n += page[i] >> p & 1;
	return n;
}

static int64_t shared_of(unsigned p)
{
	int64_t n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		n += page[i] >> p & 1 && page[i] != 1u << p;
	return n;
}

static int64_t charge_of(unsigned p)
{
	return family_pages(&fs, &process[p].kin, own_of(p), process[p].faults);
}

static int64_t charged(void)
{
	int64_t n = debt;

	for (unsigned p = 0; p < PROCESSES; p++)
		n += process[p].alive ? charge_of(p) : 0;
	return n;
}

static int64_t there(void)
{
	int64_t n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		n += page[i] != 0;
	return n;
}

static unsigned alive(void)
{
	unsigned n = 0;

	for (unsigned p = 0; p < PROCESSES; p++)
		n += process[p].alive;
	return n;
}

/* ---- what a process does ---- */

static void take(unsigned p, unsigned n)
{
	for (unsigned i = 0; i < PAGES && n; i++)
		if (!page[i]) {
			page[i] = 1u << p;
			process[p].faults++;
			n--;
		}
}

/* A write to one page that it has. */
static void write_page(unsigned p, unsigned from)
{
	for (unsigned k = 0; k < PAGES; k++) {
		unsigned i = (from + k) % PAGES;

		if (!(page[i] >> p & 1))
			continue;
		if (page[i] == 1u << p)
			return;
		for (unsigned j = 0; j < PAGES; j++)
			if (!page[j]) {
				page[j] = 1u << p;
				page[i] &= ~(1u << p);
				process[p].faults++;
				return;
			}
		return;
	}
}

static void unmap(unsigned p, unsigned from, unsigned n)
{
	for (unsigned i = from; i < PAGES && i < from + n; i++)
		page[i] &= ~(1u << p);
}

static void end(unsigned p)
{
	debt += family_leave(&fs, &process[p].kin);
	unmap(p, 0, PAGES);
	process[p].alive = false;
}

static void start_process(unsigned p)
{
	process[p] =
		(struct process){ .alive = true, .kin = { .now.tracked = -1, .next.tracked = -1 } };
}

/* With something in between what the call thread and what the worker do. */
static void fork_process(unsigned p, bool announced, void (*meanwhile)(void))
{
	unsigned child = 0;
	int64_t own = own_of(p);

	while (child < PROCESSES && process[child].alive)
		child++;
	if (child == PROCESSES)
		return;
	if (announced) {
		family_announce(&fs, &process[p].kin, own, process[p].faults);
		meanwhile();
	}
	start_process(child);
	for (unsigned i = 0; i < PAGES; i++)
		page[i] |= (page[i] >> p & 1) << child;
	(void)family_join(&fs, &process[p].kin, &process[child].kin, announced, own, charge_of(p));
}

static void scan(unsigned p)
{
	int64_t faults = process[p].faults;

	/* Without a list of places: the whole process is the place. */
	family_scanned(&fs, &process[p].kin, process[p].kin.turn, faults, own_of(p), shared_of(p));
}

static void settle_alone(unsigned p)
{
	debt -= family_alone(&fs, &process[p].kin);
}

static void nothing(void) {}

static bool calm;

static void anything(bool may_fork)
{
	unsigned p = number(PROCESSES);

	if (calm)
		return;
	if (!process[p].alive) {
		if (!alive()) {
			start_process(p);
			take(p, 40);
		}
		return;
	}
	switch (number(may_fork ? 12 : 9)) {
	case 0:
		take(p, number(6));
		break;
	case 1:
		unmap(p, number(PAGES), number(40));
		break;
	case 2:
		if (number(4) == 0)
			end(p);
		break;
	case 3:
		process[p].faults += number(5); /* elsewhere */
		break;
	case 4:
		scan(p);
		break;
	case 5:
		settle_alone(p);
		break;
	case 9:
		fork_process(p, number(4) != 0, nothing);
		break;
	default:
		write_page(p, number(PAGES));
		break;
	}
	assert_true(charged() >= there());
}

static void some(void)
{
	for (unsigned n = number(6); n; n--)
		anything(true);
}

/* While the thread that forks waits, no other thread of its process, or of the others, forks; and
 * it does not end. */
static void some_writes(void)
{
	for (unsigned n = number(6); n; n--) {
		unsigned p = number(PROCESSES);

		if (process[p].alive && !calm)
			number(2) ? scan(p) : settle_alone(p);
	}
}

/* ---- a pass ---- */

/* What smaps says: of its pages the discount, rounded down, and the share of others, rounded up. */
static void walk(unsigned p, struct share *s)
{
	double less = 0, part = 0;

	for (unsigned i = 0; i < PAGES; i++) {
		int m = __builtin_popcount(page[i]);

		if (page[i] >> p & 1 && m > 1) {
			less += 1 - 1.0 / m;
			part += 1.0 / m;
		}
	}
	s->paid = s->own - (int64_t)(less + 1e-6);
	s->part = (int64_t)(part + 1 - 1e-6);
}

/* What the charges have risen by is paid. */
static void pay(struct family_pass *ps, struct kin **k, const unsigned *who, unsigned n,
		const int64_t *before)
{
	for (unsigned i = 0; i < n; i++) {
		int64_t more = process[who[i]].alive ? charge_of(who[i]) - before[i] : 0;

		debt -= more > 0 ? family_pass_pay(&fs, ps, k, n, more) : 0;
	}
	assert_true(charged() >= there());
}

static bool pass(unsigned of)
{
	struct kin *k[PROCESSES];
	struct share share[PROCESSES];
	unsigned who[PROCESSES], n = 0;
	struct family_pass ps;
	int64_t from[PROCESSES], worth[PROCESSES], before;

	if (!process[of].alive || !family_pass_begin(&fs, &process[of].kin, &ps))
		return false;
	for (unsigned p = 0; p < PROCESSES; p++)
		if (process[p].alive && process[p].kin.family == ps.family) {
			k[n] = &process[p].kin;
			from[n] = process[p].faults;
			share[n] = (struct share){ .valid = true, .own = own_of(p) };
			who[n++] = p;
			some();
		}
	for (unsigned i = 0; i < n; i++) {
		walk(who[i], &share[i]);
		some();
		share[i].tracked = number(4) ? shared_of(who[i]) : -1;
		some();
		before = share[i].own;
		share[i].own = own_of(who[i]);
		some();
		share[i].faults = process[who[i]].faults;
		share[i].copied = share[i].faults - from[i];
		/* What it gave up meanwhile others may have been seen to share with it. */
		share[i].part +=
			share[i].copied + (before > share[i].own ? before - share[i].own : 0);
		some();
	}
	for (unsigned i = 0; i < n; i++)
		worth[i] = process[who[i]].alive ? charge_of(who[i]) : 0;
	if (!family_pass_publish(&fs, &ps, k, share, n))
		return false;
	assert_true(charged() >= there());
	if (number(2))
		pay(&ps, k, who, n, worth);
	some();
	debt -= family_pass_finish(&fs, &ps, k, n);
	return true;
}

static void clear(void)
{
	for (unsigned p = 0; p < PROCESSES; p++)
		if (process[p].alive)
			end(p);
	assert_int_equal(debt, 0);
	assert_int_equal(there(), 0);
}

static void put_nothing(struct places *p)
{
	(void)p;
}

static void begin(uint64_t seed)
{
	spin_init(&fs.lock, RANK_LEAF);
	fs.put = put_nothing;
	state = seed * 2654435761u + 1;
	calm = false;
	debt = 0;
	memset(process, 0, sizeof(process));
	memset(page, 0, sizeof(page));
	start_process(0);
	take(0, 100);
}

TEST(whatever_a_family_does_it_is_charged_for_every_page)
{
	unsigned passes = 0, cheaper = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed);
		for (unsigned i = 0; i < STEPS; i++) {
			unsigned p = number(PROCESSES);

			if (number(12) == 0)
				passes += pass(p);
			else if (number(12) == 0 && process[p].alive)
				fork_process(p, true, some_writes);
			else
				anything(true);
			assert_true(charged() >= there());
			cheaper += alive() > 2 && charged() < 2 * there();
		}
		clear();
		spin_fini(&fs.lock);
	}
	/* Otherwise nothing was tried. */
	assert_true(passes > SEEDS && cheaper > SEEDS);
}

TEST(a_fork_costs_nothing_until_somebody_writes)
{
	begin(1);
	for (int i = 0; i < 7; i++)
		fork_process(0, true, nothing);
	assert_int_equal(charged(), 100);
	write_page(3, 0);
	write_page(0, 0);
	assert_int_equal(there(), 102);
	assert_int_equal(charged(), 102);
	clear();
	spin_fini(&fs.lock);
}

TEST(a_child_that_was_not_announced_is_charged_in_full)
{
	begin(1);
	fork_process(0, false, nothing);
	assert_int_equal(charged(), 200);
	clear();
	spin_fini(&fs.lock);
}

TEST(what_an_ended_parent_shared_stays_charged)
{
	begin(1);
	fork_process(0, true, nothing);
	fork_process(0, true, nothing);
	end(0);
	assert_int_equal(charged(), 100);
	end(1);
	/* Alone, it has what it has, and the debt is over. */
	settle_alone(2);
	assert_int_equal(debt, 0);
	assert_int_equal(charged(), 100);
	clear();
	spin_fini(&fs.lock);
}

TEST(a_pass_finds_what_there_is)
{
	begin(5);
	for (int i = 0; i < 5; i++)
		fork_process(0, i % 2, nothing);
	for (unsigned i = 0; i < 60; i++)
		write_page(i % 6, i);
	end(0);
	for (unsigned p = 1; p < 6; p++)
		process[p].faults += 1000;
	calm = true;
	assert_true(charged() > there());
	assert_true(pass(1));
	/* Each share is rounded. */
	assert_in_range(charged(), there(), there() + 5);
	clear();
	spin_fini(&fs.lock);
}

TEST(a_look_tells_copies_from_other_faults)
{
	begin(5);
	for (int i = 0; i < 3; i++)
		fork_process(0, true, nothing);
	calm = true;
	while (!pass(1) || process[1].kin.now.tracked < 0)
		;
	process[1].faults += 50;
	write_page(1, 0);
	assert_in_range(charged(), there() + 50, there() + 54);
	scan(1);
	assert_in_range(charged(), there(), there() + 4);
	clear();
	spin_fini(&fs.lock);
}

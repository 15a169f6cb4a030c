/* tests/check/explorer_test.c - the explorer against itself: random small programs over every kind
 * of operation the contract has, searched with the reduction and without. Both must find the same
 * final states: what memory holds, what every task saw, who is stuck where. That is what makes the
 * word EXHAUSTED mean something. The same for both memory models.
 *
 * Usage: explorer_test [PROGRAMS [SEED [sc|tso]]]. TAP. The seed of a program that differs is
 * printed; run it alone with 1 SEED. With a memory model nothing else is tested.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "plat/sim/tso.h"
#include "random_program.h"

#define STATES_MAX 65536
#define NAIVE_MAX  (sim_tso ? 20000u : 6000u) /* executions; more: passed over */

static unsigned nr_tests;
static int failed;

__attribute__((format(printf, 2, 3))) static void ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%s %u - ", good ? "ok" : "not ok", ++nr_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	failed |= !good;
}

/* ---- sets of final states ---- */

struct set {
	uint64_t hash[STATES_MAX];
	unsigned n;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0xff51afd7ed558ccdull;
	return h ^ h >> 32;
}

/* A task by what it saw and where it stopped; children by their parent's. Twins count as one. */
static uint64_t task_hash(unsigned t)
{
	const struct sim_task *k = &sim_tasks[t];
	uint64_t h = mix(0x1234, k->parent < 0 ? (k->group ? 77 : t) : 1000);

	for (unsigned p = t; sim_tasks[p].parent >= 0; p = (unsigned)sim_tasks[p].parent) {
		const struct sim_task *parent = &sim_tasks[sim_tasks[p].parent];

		/* Numbers of tasks that were not there at the beginning depend on the schedule. */
		h = mix(h, parent->group        ? 77
			   : parent->parent < 0 ? (uint64_t)sim_tasks[p].parent
						: 1000);
	}
	for (unsigned i = 0; i < mem->nr_log[t]; i++)
		h = mix(h, mem->log[t][i]);
	return mix(h, k->alive ? 1 + k->next.kind + (uint64_t)k->ops_done * 64 : 0);
}

static uint64_t state_hash(void)
{
	uint64_t h = 0;

	for (unsigned t = 0; t < sim_nr_tasks; t++)
		if (tso_owner((int)t) < 0)
			h += task_hash(t); /* in any order */
	for (unsigned i = 0; i < VARS; i++)
		h = mix(h, mem->var[i].v_);
	h = mix(h, *(uint64_t *)content);
	return mix(h, *(uint64_t *)(content + 8));
}

static void add_state(void *arg)
{
	struct set *s = arg;
	uint64_t h = state_hash();

	for (unsigned i = h % STATES_MAX;; i = (i + 1) % STATES_MAX) {
		if (s->hash[i] == h)
			return;
		if (s->hash[i] == 0) {
			s->hash[i] = h;
			s->n++;
			return;
		}
	}
}

static bool same(const struct set *a, const struct set *b)
{
	for (unsigned i = 0; i < STATES_MAX; i++) {
		bool found = a->hash[i] == 0;

		for (unsigned k = a->hash[i] % STATES_MAX; !found && b->hash[k];
		     k = (k + 1) % STATES_MAX)
			found = b->hash[k] == a->hash[i];
		if (!found)
			return false;
	}
	return a->n == b->n;
}

static struct set reduced, naive;
static struct explore x;
static struct explore_stats reduced_stats;

/* 1 equal, 0 different, -1 too large. */
static int compare(uint64_t seed)
{
	struct sim_program p = { .name = "random", .setup = program_setup };

	program_generate(seed, sim_tso);
	memset(&naive, 0, sizeof(naive));
	memset(&reduced, 0, sizeof(reduced));
	sim_load(&p);
	x.keep_going = true;
	x.each = add_state;
	x.mode = EXPLORE_EXHAUSTIVE;
	x.budget = NAIVE_MAX;
	x.arg = &reduced;
	explore_run(&x);
	reduced_stats = x.stats;
	if (x.stats.executions + x.stats.blocked >= NAIVE_MAX)
		return -1;
	x.mode = EXPLORE_NAIVE;
	x.arg = &naive;
	explore_run(&x);
	if (x.stats.executions >= NAIVE_MAX)
		return -1;
	return same(&reduced, &naive);
}

static void dump(void)
{
	static const char *const names[NR_CODES] = {
		"load",   "store",       "add",      "acc",        "cas",        "inc_not_zero",
		"or",     "and",         "test",     "xchg",       "release",    "fence",
		"lock",   "unlock",      "trylock",  "rdlock",     "rdunlock",   "tryrd",
		"wrlock", "wrunlock",    "bit_lock", "bit_unlock", "bit_wait",   "prepare",
		"sleep",  "sleep_timed", "wake",     "rcu_lock",   "rcu_unlock", "synchronize",
		"defer",  "spawn",       "join",     "copy",       "time",
	};

	for (unsigned t = 0; t <= TASKS_MAX; t++) {
		if (t >= prog.nr_tasks && t != TASKS_MAX)
			continue;
		printf("#   task %u%s:", t, t < TASKS_MAX && prog.group[t] ? " (twin)" : "");
		for (unsigned k = 0; k < prog.nr_code[t]; k++)
			printf(" %s(%u,%u)", names[prog.code[t][k].code], prog.code[t][k].obj,
			       prog.code[t][k].value);
		printf("\n");
	}
}

/* ---- a broken program is a finding, and the search goes on ---- */

static void wild_task(void *arg)
{
	if (a32_load(&mem->var[0]) == 1)
		*(volatile int *)((uintptr_t)arg + 64) = 1;
	a32_store(&mem->var[1], 1);
}

static void wild_writer(void *arg)
{
	(void)arg;
	a32_store(&mem->var[0], 1);
}

static void wild_setup(void *arg)
{
	mem = plat_alloc(sizeof(*mem));
	sim_task("wild", wild_task, arg, 0, 0);
	sim_task("writer", wild_writer, NULL, 1, 0);
}

/* One of the two orders crashes in the task, the other one at the end. */
static void wild_end(void *arg)
{
	(void)arg;
	VM_BUG_ON(a32_load(&mem->var[1]) == 1);
}

__attribute__((unused)) static bool crashes_are_findings(void)
{
	static const struct sim_program wild = { .name = "wild",
						 .setup = wild_setup,
						 .end = wild_end };
	static struct explore search;

	memset(&search, 0, sizeof(search));
	search.mode = EXPLORE_EXHAUSTIVE;
	search.keep_going = true;
	sim_load(&wild);
	explore_run(&search);
	return search.failure.kind == SIM_BUG && search.stats.executions == 2 &&
	       search.stats.failures == 2;
}

/* ---- a free that may come before a use is a finding, even if it came after it ---- */

static void freer(void *arg)
{
	plat_free(*(atomic32_t **)arg);
}

static void user(void *arg)
{
	if (a32_load(*(atomic32_t **)arg))
		VM_BUG_ON("fresh memory is zero");
}

static void free_setup(void *arg)
{
	*(atomic32_t **)arg = plat_alloc(sizeof(atomic32_t));
	sim_task("user", user, arg, 0, 0);
	sim_task("freer", freer, arg, 1, 0);
}

static bool unordered_frees_are_findings(void)
{
	static atomic32_t *word;
	static const struct sim_program program = { .name = "free",
						    .setup = free_setup,
						    .arg = &word };
	static struct explore search;

	memset(&search, 0, sizeof(search));
	search.mode = EXPLORE_EXHAUSTIVE;
	search.keep_going = true;
	sim_load(&program);
	explore_run(&search);
	return search.failure.kind == SIM_USE_AFTER_FREE &&
	       search.stats.executions == search.stats.failures;
}

/* ---- a budget that is over for one of several processes is over ---- */

/* Few orders where the first choices lead, many behind those that are given away. */
static void writer_of_many(void *arg)
{
	unsigned n = a32_load(&mem->var[0]) ? 6 : 5;

	(void)arg;
	while (n--)
		a32_store(&mem->var[1], n);
}

static void many_setup(void *arg)
{
	(void)arg;
	mem = plat_alloc(sizeof(*mem));
	sim_task("one", writer_of_many, NULL, 0, 0);
	sim_task("two", writer_of_many, NULL, 1, 0);
	sim_task("writer", wild_writer, NULL, 0, 0);
}

static bool budgets_are_shared(void)
{
	static const struct sim_program many = { .name = "many", .setup = many_setup };
	static struct explore search;
	uint64_t all;

	memset(&search, 0, sizeof(search));
	search.mode = EXPLORE_EXHAUSTIVE;
	sim_load(&many);
	if (explore_run_jobs(&search, 2) != EXPLORE_DONE)
		return false;
	all = search.stats.executions + search.stats.blocked;
	for (search.budget = 300; search.budget < all; search.budget += 400)
		if (explore_run_jobs(&search, 2) == EXPLORE_DONE) {
			printf("# %llu of %llu executions were to be done, and all are said to be: "
			       "%llu\n",
			       (unsigned long long)search.budget, (unsigned long long)all,
			       (unsigned long long)(search.stats.executions +
						    search.stats.blocked));
			return false;
		}
	return true;
}

/* @want random programs from @first on, under the memory model that is set. */
static bool all_equal(unsigned want, uint64_t first)
{
	uint64_t seed = first, runs = 0, states = 0;
	unsigned n = 0, large = 0, bad = 0;

	for (; n < want; seed++) {
		int r = compare(seed);

		if (r < 0) {
			large++;
			continue;
		}
		n++;
		runs += reduced_stats.executions + reduced_stats.blocked;
		states += naive.n;
		if (r == 0 && bad++ < 3) {
			printf("# seed %llu: %u states with the reduction, %u without\n",
			       (unsigned long long)seed, reduced.n, naive.n);
			dump();
		}
	}
	ok(!bad,
	   "%s: %u random programs, %llu states, %llu executions with the reduction: %u "
	   "differ (%u too large)",
	   sim_tso ? "TSO" : "SC", n, (unsigned long long)states, (unsigned long long)runs, bad,
	   large);
	return !bad;
}

/* Does a program differ while *@fault is set to @value? */
static void noticed(unsigned *fault, unsigned value, const char *what, uint64_t first)
{
	unsigned tried = 0;
	int r = 1;

	*fault = value;
	for (uint64_t seed = first; tried < 20000 && r != 0; seed++, tried++)
		r = compare(seed);
	*fault = 0;
	ok(r == 0, "%s: %s %u is noticed (program %u)", sim_tso ? "TSO" : "SC", what, value, tried);
}

static void both_searches_agree(unsigned want, uint64_t first, bool tso)
{
	sim_tso = tso;
	all_equal(want, first);
	for (unsigned f = 1; f < (tso ? NR_OP_FAULTS : OP_FAULT_DRAIN_COVERS); f++)
		noticed(&op_fault, f, "dependence overlooked", first);
	for (unsigned f = 1; tso && f < NR_TSO_FAULTS; f++)
		if (f != TSO_FAULT_NO_BUFFER) /* sequential consistency: litmus_test */
			noticed(&tso_fault, f, "error of the store buffer", first);
	sim_tso = false;
}

int main(int argc, char **argv)
{
	unsigned want = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	if (argc > 3) {
		sim_tso = strcmp(argv[3], "tso") == 0;
		printf("1..1\n");
		return !all_equal(want, first);
	}
	printf("1..%d\n", 2 * NR_OP_FAULTS + NR_TSO_FAULTS + 0);
	both_searches_agree(want, first, false);
	both_searches_agree(want, first, true);
#if defined(__SANITIZE_ADDRESS__)
	ok(true, "a crash of a task, and of the looks at the end, is a finding # SKIP the "
		 "sanitizer takes the signal");
#else
	ok(crashes_are_findings(), "a crash of a task, and of the looks at the end, is a finding");
#endif
	ok(unordered_frees_are_findings(),
	   "a free that nothing orders after an atomic use is a finding");
	ok(budgets_are_shared(), "a budget that is over in one process of several is over");
	return failed;
}

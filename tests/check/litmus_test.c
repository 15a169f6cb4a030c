/* tests/check/litmus_test.c - the textbook litmus tests on the simulated machine: the outcomes that
 * x86-TSO permits are found, those that it forbids are not; likewise for sequential consistency.
 * With the reduction and without. Each mistake in the store buffer must give a wrong answer.
 *
 * Names and verdicts: Sewell, Sarkar, Owens, Zappa Nardelli, Myreen, "x86-TSO", CACM 2010 (n4, n5,
 * n6); Alglave, Maranget, Tautschnig, "Herding cats", TOPLAS 2014 (the families). TAP.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plat/sim/c11.h"
#include "plat/sim/explore.h"
#include "plat/sim/tso.h"

#define THREADS 4
#define REGS    6

/* A thread: "x=1" a store without a fence, "x:=1" one that is sequentially consistent, "x" a load
 * into the next register of the test, "f" a fence, "x+1" a locked addition. Registers are numbered
 * thread by thread. An outcome: "r0=0 x=1". */
static const struct litmus {
	const char *name, *thread[THREADS], *outcome;
	bool sc, tso; /* permitted */
} tests[] = {
	/* clang-format off */
	{ "SB",           { "x=1 y", "y=1 x" },                      "r0=0 r1=0", false, true },
	{ "SB+fences",    { "x=1 f y", "y=1 f x" },                  "r0=0 r1=0", false, false },
	{ "SB+fence",     { "x=1 f y", "y=1 x" },                    "r0=0 r1=0", false, true },
	{ "SB+xchgs",     { "x:=1 y", "y:=1 x" },                    "r0=0 r1=0", false, false },
	{ "SB+locked",    { "x=1 z+1 y", "y=1 z+1 x" },              "r0=0 r1=0", false, false },
	{ "SB+rfis",      { "x=1 x y", "y=1 y x" },      "r0=1 r1=0 r2=1 r3=0", false, true },
	{ "SB+rfis+fences", { "x=1 x f y", "y=1 y f x" }, "r0=1 r1=0 r2=1 r3=0", false, false },
	{ "3.SB",         { "x=1 y", "y=1 z", "z=1 x" },        "r0=0 r1=0 r2=0", false, true },
	{ "MP",           { "x=1 y=1", "y x" },                      "r0=1 r1=0", false, false },
	{ "LB",           { "x y=1", "y x=1" },                      "r0=1 r1=1", false, false },
	{ "S",            { "x=2 y=1", "y x=1" },                    "r0=1 x=2",  false, false },
	{ "R",            { "x=1 y=1", "y=2 x" },                    "r0=0 y=2",  false, true },
	{ "R+fence",      { "x=1 y=1", "y=2 f x" },                  "r0=0 y=2",  false, false },
	{ "R+fence of the writer", { "x=1 f y=1", "y=2 x" },         "r0=0 y=2",  false, true },
	{ "2+2W",         { "x=1 y=2", "y=1 x=2" },                  "x=1 y=1",   false, false },
	{ "WRC",          { "x=1", "x y=1", "y x" },            "r0=1 r1=1 r2=0", false, false },
	{ "RWC",          { "x=1", "x y", "y=1 x" },            "r0=1 r1=0 r2=0", false, true },
	{ "RWC+fence",    { "x=1", "x y", "y=1 f x" },          "r0=1 r1=0 r2=0", false, false },
	{ "ISA2",         { "x=1 y=1", "y z=1", "z x" },        "r0=1 r1=1 r2=0", false, false },
	{ "IRIW",         { "x=1", "y=1", "x y", "y x" },  "r0=1 r1=0 r2=1 r3=0", false, false },
	{ "WWC",          { "x=2", "x y=1", "y x=1" },         "r0=2 r1=1 x=2",   false, false },
	{ "CoRR",         { "x=1", "x x" },                          "r0=1 r1=0", false, false },
	{ "CoWR",         { "x=1 x", "x=2" },                        "r0=2 x=1",  false, false },
	{ "CoRW",         { "x x=1" },                               "r0=1",      false, false },
	{ "CoWW",         { "x=1 x=2" },                             "x=1",       false, false },
	{ "n4",           { "x x=1", "x x=2" },                      "r0=2 r1=1", false, false },
	{ "n5",           { "x=1 x", "x=2 x" },                      "r0=2 r1=1", false, false },
	{ "n6",           { "x=1 x y", "y=2 x=2" },             "r0=1 r1=0 x=1",  false, true },
	{ "n6+fence",     { "x=1 x f y", "y=2 x=2" },           "r0=1 r1=0 x=1",  false, false },
	{ "MP, the other way", { "x=1 y=1", "y x" },                 "r0=0 r1=1", true,  true },
	/* clang-format on */
};

static struct shared {
	uint32_t var[3], reg[REGS];
} * mem;
static const struct litmus *test;
static bool seen, agree;

/* ---- one thread ---- */

static void run_thread(void *arg)
{
	unsigned t = (unsigned)(uintptr_t)arg, reg = 0;

	for (unsigned i = 0; i < t; i++)
		for (const char *s = test->thread[i]; *s; s++)
			reg += *s >= 'x' && *s <= 'z' && (s[1] == ' ' || !s[1]);
	for (const char *s = test->thread[t]; *s; s += strcspn(s, " "), s += strspn(s, " ")) {
		uint32_t *v = *s == 'f' ? NULL : &mem->var[*s - 'x'];
		void *pc = (void *)(uintptr_t)s;

		if (*s == 'f')
			c11_fence(C11_SEQ_CST, pc);
		else if (s[1] == '=')
			c11_store(v, 4, (uint64_t)(s[2] - '0'), C11_RELEASE, pc);
		else if (s[1] == ':')
			c11_store(v, 4, (uint64_t)(s[3] - '0'), C11_SEQ_CST, pc);
		else if (s[1] == '+')
			c11_change(v, 4, &(struct c11_change){ UINT64_MAX, 0, 0, 1 }, C11_SEQ_CST,
				   pc);
		else
			mem->reg[reg++] = (uint32_t)c11_load(v, 4, C11_ACQUIRE, pc);
	}
}

static void setup(void *arg)
{
	(void)arg;
	mem = plat_alloc(sizeof(*mem));
	for (uintptr_t t = 0; t < THREADS && test->thread[t]; t++)
		sim_task("thread", run_thread, (void *)t, (unsigned)t, 0);
}

/* ---- outcomes ---- */

static void look_at_outcome(void *arg)
{
	bool all = true;

	(void)arg;
	for (const char *s = test->outcome; *s; s += strcspn(s, " "), s += strspn(s, " ")) {
		bool is_reg = *s == 'r';
		uint32_t is = is_reg ? mem->reg[s[1] - '0'] : mem->var[*s - 'x'];

		all &= is == (uint32_t)(s[is_reg ? 3 : 2] - '0');
	}
	seen |= all;
}

static bool permits(enum explore_mode mode)
{
	static struct explore x;
	static const struct sim_program p = { .name = "litmus", .setup = setup };

	x = (struct explore){ .mode = mode, .keep_going = true, .each = look_at_outcome };
	seen = false;
	sim_load(&p);
	explore_run(&x);
	return seen;
}

/* Is the verdict right? Sets agree to whether both searches have the same one. */
static bool right(const struct litmus *l)
{
	bool with, without;

	test = l;
	with = permits(EXPLORE_EXHAUSTIVE);
	without = permits(EXPLORE_NAIVE);
	agree = with == without;
	return agree && with == (sim_tso ? l->tso : l->sc);
}

#define NR_TESTS (sizeof(tests) / sizeof(tests[0]))

/* Under TSO, some test has another outcome with this mistake than it should have. */
static const char *wrong_with(unsigned fault)
{
	const char *name = NULL;

	tso_fault = fault;
	for (unsigned i = 0; i < NR_TESTS && !name; i++)
		if (!right(&tests[i]))
			name = tests[i].name;
	tso_fault = TSO_FAULT_NONE;
	return name;
}

int main(void)
{
	unsigned n = 0, bad = 0;

	printf("1..%u\n", (unsigned)NR_TESTS * 2 + NR_TSO_FAULTS - 1);
	for (unsigned i = 0; i < NR_TESTS * 2; i++) {
		const struct litmus *l = &tests[i / 2];
		bool good;

		sim_tso = i % 2;
		good = right(l);
		bad += !good;
		printf("%s %u - %s: %s is %s under %s%s\n", good ? "ok" : "not ok", ++n, l->name,
		       l->outcome, (sim_tso ? l->tso : l->sc) ? "permitted" : "forbidden",
		       sim_tso ? "TSO" : "SC", agree ? "" : " (the searches differ)");
	}
	sim_tso = true;
	for (unsigned f = 1; f < NR_TSO_FAULTS; f++) {
		const char *name = wrong_with(f);

		bad += !name;
		printf("%s %u - error %u of the store buffer is noticed (%s)\n",
		       name ? "ok" : "not ok", ++n, f, name ? name : "by none");
	}
	return bad != 0;
}

/* check/search/mutate.c - which synchronisation of the engine is shown to be needed?
 *
 * Every lock with its unlock, RCU section, grace period and mark of plat.h that a scenario reaches
 * is left out, one at a time, and the scenarios that reach it are searched until one finds
 * something. A mutant that none finds survives: either no scenario shows why it is there, or it is
 * not needed. Survivors with a known reason are in mutants.def.
 *
 * A mutant runs in a process of its own: an engine without a lock may do anything. A crash or a
 * timeout counts as noticed; the limit is CPU time, so that other load on the machine changes no
 * verdict. Each row is printed once all rows before it are.
 *
 * With -t on a machine with store buffers (sim/tso.h), and the pieces are the fences: every store
 * that is sequentially consistent, and every unlock, is in turn one that enters the buffer. A
 * survivor would do as a release store. None is removed for that: the scenarios are few, and other
 * machines than x86 are weaker.
 *
 * Usage: umemcg-mutate [-b EXECUTIONS] [-j PROCESSES] [-m MINIMUM_PERCENT] [-t] [SCENARIO...]
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plat/sim/explore.h"
#include "plat/sim/mutant.h"
#include "plat/sim/tso.h"
#include "search/symbols.h"
#include "scenario/scenario.h"

#define SCENARIOS_MAX MUTANT_SCENARIOS_MAX
#define SECONDS_MAX   240 /* CPU time per mutant */
#define JOBS_MAX      16

struct verdict {
	bool killed;
	bool known;
	int signal; /* it crashed, or ran out of time (SIGPROF) */
	unsigned scenario;
	enum sim_finding kind;
	char text[160];
};

static const struct reason {
	const char *func, *expr, *text;
} reasons[] = {
#define SURVIVOR(func, expr, text) { func, expr, text },
#include "search/mutants.def"
#undef SURVIVOR
	{ NULL, NULL, NULL },
};

static const struct scenario *chosen[SCENARIOS_MAX];
static double cost[SCENARIOS_MAX]; /* seconds without a mutant */
static unsigned nr_chosen, budget = 40000, jobs = 2, minimum;
static struct verdict verdicts[MUTANTS_MAX];
static struct explore x;

static void setup(void *arg)
{
	((const struct scenario *)arg)->setup();
}
static void end(void *arg)
{
	((const struct scenario *)arg)->end();
}
static void look(void *arg)
{
	((const struct scenario *)arg)->look();
}

static enum explore_end run(const struct scenario *s, uint64_t executions)
{
	struct sim_program p = { .name = s->name,
				 .setup = setup,
				 .end = end,
				 .arg = (void *)(uintptr_t)s,
				 .no_time = s->no_time,
				 .look = s->look ? look : NULL };

	x = (struct explore){ .mode = EXPLORE_EXHAUSTIVE, .budget = executions };
	sim_load(&p);
	return explore_run(&x);
}

struct place {
	char where[96];
	const char *func;
	char what[96];
};

/* The innermost function that is not in a header: an inlined accessor is named by its caller. */
static void place_of(const struct mutant *m, struct place *p)
{
	struct source_line lines[8];
	unsigned n = symbols_at(m->pc, lines, 8), i = 0;

	while (i + 1 < n && strstr(lines[i].file, ".h"))
		i++;
	if (n) {
		snprintf(p->where, sizeof(p->where), "%s:%d", lines[i].file, lines[i].line);
		p->func = lines[i].func;
	} else {
		snprintf(p->where, sizeof(p->where), "%s:%d", source_name(m->at->file),
			 m->at->line);
		p->func = m->at->func;
	}
	snprintf(p->what, sizeof(p->what), "%s%s%.80s", m->at->op ? m->at->op : "",
		 m->at->op ? " " : "", m->at->expr);
}

/* Scenarios take locks as callers of the engine would, and the software MMU imitates hardware:
 * neither is under test. */
static bool of_the_engine(const struct place *p)
{
	return strncmp(p->where, "src/mm/", 7) == 0 || strncmp(p->where, "src/memcg/", 10) == 0;
}

/* What each scenario reaches, and how long it takes. */
static bool record_all(void)
{
	for (unsigned i = 0; i < nr_chosen; i++) {
		mutants_record((int)i);
		if (run(chosen[i], budget) == EXPLORE_FAILED) {
			fprintf(stderr, "umemcg-mutate: %s finds something without a mutant: %s\n",
				chosen[i]->name, x.failure.text);
			return false;
		}
		cost[i] = x.stats.seconds;
		if (isatty(2))
			fprintf(stderr, "\r\033[K%u of %u scenarios, %u pieces", i + 1, nr_chosen,
				nr_mutants);
	}
	mutants_record(-1);
	for (unsigned i = 0; i < nr_mutants;) {
		struct place p;

		place_of(&mutants[i], &p);
		if (of_the_engine(&p) && mutants[i].fence == sim_tso)
			i++;
		else
			mutants[i] = mutants[--nr_mutants];
	}
	return true;
}

/* The fastest untried scenario that reaches @m; -1: none is left. */
static int next_scenario(const struct mutant *m)
{
	int best = -1;

	for (unsigned i = 0; i < nr_chosen; i++)
		if (m->reached[i] && (best < 0 || cost[i] < cost[best]))
			best = (int)i;
	return best;
}

/* In a process of its own. */
static void try_mutant(struct mutant *m, int out)
{
	struct verdict v = { .killed = false };
	int best;

	setitimer(ITIMER_PROF, &(struct itimerval){ .it_value = { .tv_sec = SECONDS_MAX } }, NULL);
	mutant_set(m->pc);
	while (!v.killed && (best = next_scenario(m)) >= 0) {
		m->reached[best] = false;
		if (run(chosen[best], budget) != EXPLORE_FAILED)
			continue;
		v.killed = true;
		v.scenario = (unsigned)best;
		v.kind = x.failure.kind;
		snprintf(v.text, sizeof(v.text), "%.150s", x.failure.text);
	}
	if (write(out, &v, sizeof(v)) != sizeof(v))
		_exit(1);
	_exit(0);
}

struct job {
	pid_t pid;
	int in;
	unsigned mutant;
};

static void start(struct job *j, unsigned mutant)
{
	int fds[2];

	if (pipe(fds) < 0)
		abort();
	fflush(NULL);
	j->pid = fork();
	if (j->pid < 0)
		abort();
	if (j->pid == 0) {
		close(fds[0]);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		try_mutant(&mutants[mutant], fds[1]);
	}
	close(fds[1]);
	j->in = fds[0];
	j->mutant = mutant;
}

static void finish(struct job *j)
{
	struct verdict *v = &verdicts[j->mutant];
	int status;

	if (read(j->in, v, sizeof(*v)) != sizeof(*v))
		memset(v, 0, sizeof(*v));
	close(j->in);
	waitpid(j->pid, &status, 0);
	if (WIFSIGNALED(status)) {
		v->killed = true;
		v->signal = WTERMSIG(status);
	} else if (WEXITSTATUS(status) != 0) { /* the machine gave up: out of memory, for example */
		v->killed = true;
		v->signal = SIGABRT;
	}
	v->known = true;
	j->pid = 0;
}

/* ---- report ---- */

static const char *reason_of(const struct place *p, const struct mutant *m)
{
	for (const struct reason *r = reasons; r->func; r++)
		if (!m->fence && strcmp(r->func, p->func) == 0 && strcmp(r->expr, m->at->expr) == 0)
			return r->text;
	return NULL;
}

static unsigned nr_printed, nr_killed, nr_explained;

static void print_row(unsigned i)
{
	const struct verdict *v = &verdicts[i];
	const char *reason;
	struct place p;

	place_of(&mutants[i], &p);
	reason = reason_of(&p, &mutants[i]);
	nr_killed += v->killed;
	nr_explained += !v->killed && reason;
	printf("%s\t%s\t%s\t", p.where, p.func, p.what);
	if (v->signal)
		printf("noticed\t%s\n",
		       v->signal == SIGPROF ? "it does not end" : strsignal(v->signal));
	else if (v->killed)
		printf("noticed\t%s: %s: %.100s\n", chosen[v->scenario]->name,
		       sim_finding_name(v->kind), v->text);
	else
		printf("SURVIVES\t%s\n", reason ? reason : "");
}

static void print_known(void)
{
	while (nr_printed < nr_mutants && verdicts[nr_printed].known)
		print_row(nr_printed++);
	fflush(stdout);
}

static int print_sum(void)
{
	unsigned n = nr_mutants;

	printf("%u of %u noticed: %u %%; %u of the %u survivors have a reason in "
	       "check/search/mutants.def\n",
	       nr_killed, n, n ? nr_killed * 100 / n : 0, nr_explained, n - nr_killed);
	return n && nr_killed * 100 / n >= minimum ? 0 : 1;
}

/* ---- */

static void try_all(void)
{
	struct job job[JOBS_MAX] = { 0 };
	struct pollfd p[JOBS_MAX];
	unsigned next = 0, done = 0;

	printf("place\tfunction\tpiece\tresult\tby\n");
	while (done < nr_mutants) {
		for (unsigned i = 0; i < jobs; i++) {
			if (!job[i].pid && next < nr_mutants)
				start(&job[i], next++);
			p[i] = (struct pollfd){ .fd = job[i].pid ? job[i].in : -1,
						.events = POLLIN };
		}
		if (poll(p, jobs, -1) < 0)
			continue;
		for (unsigned i = 0; i < jobs; i++)
			if (job[i].pid && p[i].revents) {
				finish(&job[i]);
				done++;
			}
		print_known();
		if (isatty(2))
			fprintf(stderr, "\r\033[K%u of %u mutants", done, nr_mutants);
	}
	if (isatty(2))
		fprintf(stderr, "\r\033[K");
}

static int wrong_use(const char *what, const char *value)
{
	fprintf(stderr,
		"umemcg-mutate: %s '%s'; usage: umemcg-mutate [-b EXECUTIONS] [-j PROCESSES] [-m "
		"MINIMUM_PERCENT] "
		"[-t] [SCENARIO...]\n",
		what, value);
	return 125;
}

int main(int argc, char **argv)
{
	bool all;
	int c;

	while ((c = getopt(argc, argv, "b:j:m:t")) != -1) {
		unsigned v = c == '?' || c == 't' ? 0 : (unsigned)atoi(optarg);

		if (c == '?')
			return wrong_use("unknown option", argv[optind - 1]);
		if ((c == 'b' && v == 0) || (c == 'j' && (v == 0 || v > JOBS_MAX)) || v > 1u << 30)
			return wrong_use("cannot use", optarg);
		if (c == 't') {
			sim_tso = true;
			continue;
		}
		*(c == 'b' ? &budget : c == 'j' ? &jobs : &minimum) = v;
	}
	all = optind == argc;
	for (; optind < argc; optind++) {
		if (!scenario_find(argv[optind]))
			return wrong_use("there is no scenario", argv[optind]);
		if (nr_chosen < SCENARIOS_MAX)
			chosen[nr_chosen++] = scenario_find(argv[optind]);
	}
	for (unsigned i = 0; all && i < nr_scenarios && i < SCENARIOS_MAX; i++)
		chosen[nr_chosen++] = scenarios[i];
	if (!record_all())
		return 1;
	try_all();
	return print_sum();
}

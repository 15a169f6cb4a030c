/* check/search/textbook.c - the programs used in the literature to compare explorers, written
 * against the contract. The number of complete traces of each is known: an explorer that counts
 * differently loses schedules, or repeats them.
 *   lastzero(n)       n writers in a chain and a reader that looks for the last zero
 *   indexer(n)        n threads fill a hash table; collisions begin with the 12th (Flanagan,
 *                     Godefroid, POPL 2005)
 *   filesystem(n)     n threads allocate blocks for inodes; threads that share an inode begin
 *                     with the 14th (same paper)
 *   philosophers(n)   each takes his left fork, then his right one: one trace ends in a deadlock
 */
#include "search/textbook.h"

#include "plat/sim/explore.h"

#define CELLS  128
#define BLOCKS 26
#define INODES 32

static atomic32_t *cell, *block;
static struct spinlock *lock, *block_lock;
static unsigned count;

static void writer(void *arg)
{
	uintptr_t j = (uintptr_t)arg;

	a32_store(&cell[j], a32_load(&cell[j - 1]) + 1);
}

static void zero_finder(void *arg)
{
	unsigned i = count;

	(void)arg;
	while (a32_load(&cell[i]) != 0)
		i--;
}

static void indexer(void *arg)
{
	for (unsigned m = 1; m <= 4; m++) {
		uint32_t w = m * 11 + (unsigned)(uintptr_t)arg, h = w * 7 % CELLS;

		while (!a32_cas(&cell[h], 0, w))
			h = (h + 1) % CELLS;
	}
}

static void filesystem(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg % INODES, b = i * 2 % BLOCKS;

	spin_lock(&lock[i]);
	for (bool found = a32_load(&cell[i]) != 0; !found; b = (b + 1) % BLOCKS) {
		spin_lock(&block_lock[b]);
		if (a32_load(&block[b]) == 0) {
			a32_store(&block[b], 1);
			a32_store(&cell[i], b + 1);
			found = true;
		}
		spin_unlock(&block_lock[b]);
	}
	spin_unlock(&lock[i]);
}

static void philosopher(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	spin_lock(&lock[i]);
	spin_lock(&lock[(i + 1) % count]);
	spin_unlock(&lock[(i + 1) % count]);
	spin_unlock(&lock[i]);
}

static struct textbook programs[] = {
	{ .name = "lastzero", .n = 12, .traces = 15360, .deadlocks = 0, .task = writer },
	{ .name = "indexer", .n = 13, .traces = 64, .deadlocks = 0, .task = indexer },
	{ .name = "filesystem", .n = 18, .traces = 32, .deadlocks = 0, .task = filesystem },
	{ .name = "philosophers", .n = 4, .traces = 15, .deadlocks = 1, .task = philosopher },
};

static void setup(void *arg)
{
	const struct textbook *p = arg;
	unsigned first = p->task == writer;

	count = p->n;
	cell = plat_alloc(CELLS * sizeof(*cell));
	block = plat_alloc(BLOCKS * sizeof(*block));
	lock = plat_alloc(INODES * sizeof(*lock));
	block_lock = plat_alloc(BLOCKS * sizeof(*block_lock));
	for (unsigned i = 0; i < INODES; i++)
		spin_init(&lock[i], RANK_PTE); /* locks may nest: the program's order */
	for (unsigned i = 0; i < BLOCKS; i++)
		spin_init(&block_lock[i], RANK_PTE);
	for (uintptr_t t = 0; t < p->n; t++)
		sim_task(p->name, p->task, (void *)(t + first), 0, 0);
	if (first)
		sim_task("reader", zero_finder, NULL, 0, 0);
}

bool textbook_run(struct textbook *p)
{
	static struct explore x;
	struct sim_program program = { .name = p->name, .setup = setup, .arg = p };

	x = (struct explore){ .mode = EXPLORE_EXHAUSTIVE, .keep_going = true };
	sim_load(&program);
	p->done = explore_run(&x) != EXPLORE_BUDGET;
	p->stats = x.stats;
	return p->done && x.stats.executions == p->traces && x.stats.failures == p->deadlocks &&
	       (!p->deadlocks || x.failure.kind == SIM_DEADLOCK);
}

struct textbook *textbook_program(unsigned i)
{
	return i < sizeof(programs) / sizeof(programs[0]) ? &programs[i] : NULL;
}

bool textbook_bench(FILE *out)
{
	bool good = true;
	struct textbook *p;

	fprintf(out, "%-18s %9s %9s %9s %10s %9s\n", "program", "traces", "expected", "blocked",
		"steps", "exec/s");
	for (unsigned i = 0; (p = textbook_program(i)); i++) {
		char name[32];
		bool ok = textbook_run(p);
		double s = p->stats.seconds > 0 ? p->stats.seconds : 1e-9;

		good &= ok;
		snprintf(name, sizeof(name), "%s(%u)", p->name, p->n);
		fprintf(out, "%-18s %9llu %9u %9llu %10llu %9.0f%s%s\n", name,
			(unsigned long long)p->stats.executions, p->traces,
			(unsigned long long)p->stats.blocked, (unsigned long long)p->stats.steps,
			(double)(p->stats.executions + p->stats.blocked) / s,
			p->deadlocks && ok ? "  its deadlock found" : "", ok ? "" : "  WRONG");
	}
	return good;
}

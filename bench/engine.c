/* bench/engine.c - what the engine itself costs: migration, moving of charges, removal of groups,
 * charges and faults.
 *
 *     bench-engine [-r REPETITIONS] [-n PAGES] [-w WORK]
 *
 * The engine on the software MMU (engine_world.h), one thread, nothing else to wait for: no
 * process, no I/O. Every figure is the median of the repetitions, after one that does not count. A
 * ratio is the median of the ratios of neighbours in time, so that a machine that is busy for a
 * while changes it little.
 *
 * Migration is compared with the same copies between the same frames in the same order, without the
 * engine. Both begin with neither frames nor records in a cache, as for pages that nobody has used
 * for long: those are the ones that are demoted or compacted. "Cached" is the other end, a few
 * pages that go to and fro.
 *
 * A goal that is missed is said so, and is no failure: timings are no tests. Exit status 1:
 * something could not be measured.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_world.h"
#include "mm/charge.h"
#include "mm/filemap.h"
#include "mm/lru.h"
#include "mm/migrate.h"
#include "mm/move.h"

#define REPEATS_MAX   99
#define MOVE_PAGES    100000
#define REMOVE_PAGES  1000000
#define CACHED_PAGES  32
#define CACHED_ROUNDS 100
#define CHARGES       1000000
#define GROWTH_GOAL   2.0 /* 100 times the pages; what a longer list would cost shows as 100 */

static unsigned repeats = 9, migrate_nr = 16384;
static unsigned works; /* bits of work_names; 0: all */
static const char *const work_names[] = { "migrate", "move", "remove", "charge" };
enum { WORK_MIGRATE = 1, WORK_MOVE = 2, WORK_REMOVE = 4, WORK_CHARGE = 8 };
static bool missed;

/* ---- figures ---- */

struct samples {
	double v[REPEATS_MAX + 1];
	unsigned n;
};

static void sample(struct samples *s, double v)
{
	s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The first, a warm-up, does not count. */
static double median(const struct samples *s, double *least, double *greatest)
{
	double v[REPEATS_MAX];
	unsigned n = s->n - 1;

	memcpy(v, s->v + 1, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_value);
	*least = v[0];
	*greatest = v[n - 1];
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* @goal: at most; 0: none. */
static void row(const char *what, const char *unit, const struct samples *s, double goal)
{
	double least, greatest, m = median(s, &least, &greatest);
	char range[48];

	snprintf(range, sizeof(range), "(%.3f-%.3f)", least, greatest);
	printf("%-46s %-8s %9.3f  %-20s", what, unit, m, range);
	if (goal > 0)
		printf(" at most %g: %s", goal, m <= goal ? "met" : "MISSED");
	printf("\n");
	fflush(stdout);
	missed |= goal > 0 && m > goal;
}

/* Of the same repetition each. */
static void row_ratio(const char *what, const struct samples *of, const struct samples *to,
		      double goal)
{
	struct samples ratio = { .n = 0 };

	for (unsigned i = 0; i < of->n; i++)
		sample(&ratio, of->v[i] / to->v[i]);
	row(what, "times", &ratio, goal);
}

/* Processor time of this thread: it waits for nobody in what is measured by it, and others who use
 * the machine do not count. */
static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- migration ---- */

struct migration_bench {
	struct world w;
	struct mm *mm[2];         /* both map the pages */
	struct address_space *as; /* NULL: anonymous */
	unsigned n, node;         /* pages, and where they are to go next */
	void **from, **to;        /* the frames of the last migration, in its order */
	struct samples migrate, copy;
};

static void note_frames(struct migration_bench *b, void **frames)
{
	for (unsigned i = 0; i < b->n; i++)
		frames[i] = world_data(&b->w, b->mm[0], WORLD_BASE + i * PAGE_SIZE);
}

static void migrate_all(struct migration_bench *b)
{
	struct migrate_result r;
	int err = migrate_range(b->mm[0], WORLD_BASE, WORLD_BASE + b->n * PAGE_SIZE, b->node,
				MIGRATE_SYSCALL, &r);

	world_need(err == 0 && r.migrated == b->n, "not all pages were migrated");
	b->node = !b->node;
}

/* What is copied lies in free frames by now, unchanged. */
static void copy_all(struct migration_bench *b)
{
	for (unsigned i = 0; i < b->n; i++)
		plat_copy(b->to[i], b->from[i], PAGE_SIZE);
}

static void measure_cold(struct migration_bench *b)
{
	double start;

	note_frames(b, b->from);
	world_cool(&b->w);
	start = cpu_us();
	migrate_all(b);
	sample(&b->migrate, (cpu_us() - start) / b->n);
	note_frames(b, b->to);
	world_cool(&b->w);
	start = cpu_us();
	copy_all(b);
	sample(&b->copy, (cpu_us() - start) / b->n);
}

static void measure_cached(struct migration_bench *b)
{
	double start = cpu_us();

	for (unsigned i = 0; i < CACHED_ROUNDS; i++)
		migrate_all(b);
	sample(&b->migrate, (cpu_us() - start) / CACHED_ROUNDS / b->n);
	note_frames(b, b->from);
	migrate_all(b);
	note_frames(b, b->to);
	start = cpu_us();
	for (unsigned i = 0; i < CACHED_ROUNDS; i++)
		copy_all(b);
	sample(&b->copy, (cpu_us() - start) / CACHED_ROUNDS / b->n);
}

enum kind { ANON, SHMEM, FILE_PAGES };

static void migration_up(struct migration_bench *b, enum kind kind, unsigned n)
{
	memset(b, 0, sizeof(*b));
	b->n = n;
	world_up(&b->w, 2 * n + 4 * FRAME_CHUNK, UINT32_MAX, 2);
	b->from = plat_alloc(n * sizeof(*b->from));
	b->to = plat_alloc(n * sizeof(*b->to));
	world_need(b->from && b->to, "no memory");
	b->mm[0] = world_mm(&b->w, b->w.e.tree.root, kind == ANON ? n : 0);
	if (kind != ANON) {
		b->as = world_file(&b->w, n, kind == SHMEM);
		b->mm[1] = world_mm(&b->w, b->w.e.tree.root, 0);
		world_map(b->mm[0], WORLD_BASE, n, b->as);
		world_map(b->mm[1], WORLD_BASE, n, b->as);
	}
	world_fill(&b->w, b->mm[0], WORLD_BASE, n);
	if (kind == ANON)
		b->mm[1] = world_fork(&b->w, b->mm[0]);
	/* On another CPU, so that both are asked to forget each page. */
	world_load(&b->w, b->mm[1], 1, WORLD_BASE, n);
	/* To where they all are on one node. */
	migrate_range(b->mm[0], WORLD_BASE, WORLD_BASE + n * PAGE_SIZE, 1, MIGRATE_SYSCALL,
		      &(struct migrate_result){ 0 });
}

static void migration_down(struct migration_bench *b)
{
	world_check(&b->w, b->mm[0], WORLD_BASE, b->n);
	world_check(&b->w, b->mm[1], WORLD_BASE, b->n);
	world_exit(b->mm[0]);
	world_exit(b->mm[1]);
	if (b->as)
		file_put(b->as);
	world_down(&b->w);
	plat_free(b->from);
	plat_free(b->to);
}

static void bench_migration(enum kind kind, bool cached)
{
	static const char *const names[] = { "anonymous", "shared memory", "file" };
	static struct migration_bench b;
	char what[64], cost[64];

	migration_up(&b, kind, cached ? CACHED_PAGES : migrate_nr);
	for (unsigned i = 0; i <= repeats; i++)
		(cached ? measure_cached : measure_cold)(&b);
	snprintf(what, sizeof(what), "migrate, %s, 2 mappings%s", names[kind],
		 cached ? ", cached" : "");
	snprintf(cost, sizeof(cost), "  copy between the same frames");
	row(what, "us/page", &b.migrate, 0);
	row(cost, "us/page", &b.copy, 0);
	row_ratio("  migration / copy", &b.migrate, &b.copy, cached ? 0 : 3);
	migration_down(&b);
}

/* ---- moving ---- */

static void bench_move(uint64_t anon, uint64_t file, bool cool)
{
	static struct world w;
	struct mem_cgroup *group[2];
	struct samples s = { .n = 0 };
	struct address_space *as = NULL;
	struct mm *mm;
	char what[64];

	world_up(&w, (uint32_t)(anon + file) + 4 * FRAME_CHUNK, 64, 1);
	group[0] = world_group(&w, "a");
	group[1] = world_group(&w, "b");
	mm = world_mm(&w, group[0], anon);
	world_load(&w, mm, 0, WORLD_BASE, anon);
	if (file) {
		uint64_t va = WORLD_BASE + (anon + LEAF_ENTRIES) * PAGE_SIZE;

		as = world_file(&w, file, false);
		world_map(mm, va, file, as);
		world_load(&w, mm, 0, va, file);
	}
	for (unsigned i = 0; i <= repeats; i++) {
		double start;

		if (cool)
			world_cool(&w);
		start = cpu_us();
		world_need(mm_move_group(mm, group[!(i & 1)], MOVE_ANON | MOVE_FILE) == 0,
			   "a move was refused");
		sample(&s, (cpu_us() - start) / (double)(anon + file));
		stock_drain(group[i & 1]);
		world_need(page_counter_read(&group[i & 1]->memory) == 0,
			   "not all pages were moved");
	}
	snprintf(what, sizeof(what), "move %u pages%s%s", (unsigned)(anon + file),
		 file ? ", half of a file" : ", anonymous", cool ? ", cold" : "");
	row(what, "us/page", &s, 0.2);
	world_exit(mm);
	if (as)
		file_put(as);
	world_ungroup(&w, group[0]);
	world_ungroup(&w, group[1]);
	world_down(&w);
}

/* ---- removal ---- */

static int64_t listed(const struct mem_cgroup *memcg)
{
	return group_list_size(memcg, LRU_INACTIVE_ANON) + group_list_size(memcg, LRU_ACTIVE_ANON);
}

/* A group with all of @mm's pages on its lists, which has no address space. @mm comes from the
 * root, and goes there. */
static struct mem_cgroup *full_group(struct world *w, struct mm *mm, uint64_t n)
{
	struct mem_cgroup *memcg = world_group(w, "full");

	world_need(mm_move_group(mm, memcg, MOVE_ANON) == 0, "pages could not be moved");
	world_need(listed(memcg) == (int64_t)n, "not all pages were moved");
	world_need(mm_move_group(mm, w->e.tree.root, 0) == 0,
		   "an address space could not be moved");
	return memcg;
}

static void measure_removal(struct world *w, struct mm *mm, uint64_t n, struct samples *call,
			    struct samples *freed)
{
	struct mem_cgroup *memcg = full_group(w, mm, n);
	uint64_t start_ns;
	double start;

	/* The group before last is gone altogether. */
	rcu_flush();
	world_cool(w);
	start_ns = plat_now_ns();
	start = cpu_us();
	world_need(group_remove(&w->e, memcg) == 0, "a group could not be removed");
	sample(call, cpu_us() - start);
	memcg_put(memcg);
	while (a32_load(&w->e.tree.nr_groups) > 1)
		rcu_flush();
	sample(freed, (double)(plat_now_ns() - start_ns) / 1e3);
	world_need(listed(w->e.tree.root) == REMOVE_PAGES, "the pages did not go to the parent");
}

/* There are as many pages each time; the others are the root's. So all that differs is how many the
 * group has. */
static void removal_of(uint64_t n, struct samples *call, struct samples *freed)
{
	static struct world w;
	struct mm *mm, *others;
	char what[64];

	world_up(&w, REMOVE_PAGES + 4 * FRAME_CHUNK, 64, 1);
	mm = world_mm(&w, w.e.tree.root, n);
	world_load(&w, mm, 0, WORLD_BASE, n);
	others = world_mm(&w, w.e.tree.root, REMOVE_PAGES - n);
	world_load(&w, others, 0, WORLD_BASE, REMOVE_PAGES - n);
	for (unsigned i = 0; i <= repeats; i++)
		measure_removal(&w, mm, n, call, freed);
	world_exit(mm);
	world_exit(others);
	world_down(&w);
	snprintf(what, sizeof(what), "remove a group of %u pages", (unsigned)n);
	row(what, "us", call, 0);
	row("  until it is freed, waiting included", "us", freed, 0);
}

static void bench_removal(void)
{
	static struct samples call[3], freed[3];

	removal_of(REMOVE_PAGES / 100, &call[0], &freed[0]);
	removal_of(REMOVE_PAGES / 10, &call[1], &freed[1]);
	removal_of(REMOVE_PAGES, &call[2], &freed[2]);
	row_ratio("  10^6 pages / 10^4 pages", &call[2], &call[0], GROWTH_GOAL);
	row_ratio("  the same, until it is freed", &freed[2], &freed[0], GROWTH_GOAL);
}

/* ---- charges and faults ---- */

static void bench_charge(void)
{
	static struct world w;
	struct mem_cgroup *memcg;
	struct samples one = { .n = 0 }, fault = { .n = 0 }, unmap = { .n = 0 };

	world_up(&w, MOVE_PAGES + 4 * FRAME_CHUNK, 64, 1);
	memcg = world_group(&w, "a");
	for (unsigned i = 0; i <= repeats; i++) {
		double start = cpu_us();
		struct mm *mm;

		for (unsigned k = 0; k < CHARGES; k++) {
			world_need(charge_pages(&w.e, memcg, NULL, 1, 0) == 0, "a charge failed");
			uncharge_pages(memcg, 1);
		}
		sample(&one, (cpu_us() - start) / CHARGES);
		mm = world_mm(&w, memcg, MOVE_PAGES);
		start = cpu_us();
		world_load(&w, mm, 0, WORLD_BASE, MOVE_PAGES);
		sample(&fault, (cpu_us() - start) / MOVE_PAGES);
		start = cpu_us();
		world_exit(mm);
		sample(&unmap, (cpu_us() - start) / MOVE_PAGES);
	}
	row("charge and uncharge one page", "us", &one, 0);
	row("first touch, in order, zeroing included", "us/page", &fault, 0);
	row("exit", "us/page", &unmap, 0);
	world_ungroup(&w, memcg);
	world_down(&w);
}

/* ---- */

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: bench-engine [-r REPETITIONS] [-n PAGES] [-w WORK]\n"
		"What the engine costs, on its software MMU, in one thread.\n\n"
		"  -r N   repetitions of each measurement, 1 to %d (%u)\n"
		"  -n N   pages that are migrated at a time, 128 to 1000000 (%u)\n"
		"  -w W   what to measure, of migrate, move, remove, charge; may be given again "
		"(all)\n"
		"  -h, --help\n\n"
		"Medians (least-greatest). A goal that is missed does not change the exit "
		"status.\n",
		REPEATS_MAX, repeats, migrate_nr);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v < least || v > most) {
		fprintf(stderr, "bench-engine: '%s' is not a number from %u to %u\n", text, least,
			most);
		exit(2);
	}
	return (unsigned)v;
}

static unsigned work_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(work_names) / sizeof(*work_names); i++)
		if (!strcmp(name, work_names[i]))
			return 1u << i;
	fprintf(stderr, "bench-engine: '%s' is not migrate, move, remove or charge\n", name);
	exit(2);
}

static void options(int argc, char **argv)
{
	static const struct option names[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "r:n:w:h", names, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			exit(0);
		} else if (c == 'r') {
			repeats = number(optarg, 1, REPEATS_MAX);
		} else if (c == 'n') {
			migrate_nr = number(optarg, 128, 1000000);
		} else if (c == 'w') {
			works |= work_of(optarg);
		} else {
			usage(stderr);
			exit(2);
		}
	}
	if (!works)
		works = ~0u;
	if (optind == argc)
		return;
	fprintf(stderr, "bench-engine: '%s' is no option\n", argv[optind]);
	exit(2);
}

static void nothing(struct plat_rcu_head *head)
{
	(void)head;
}

int main(int argc, char **argv)
{
	static struct plat_rcu_head first;

	options(argc, argv);
	plat_thread_enter();
	/* Alone in its process, a thread would get its locks for less: start the one that frees
	 * what is deferred. */
	rcu_defer(&first, nothing);
	rcu_flush();
	printf("%-46s %-8s %9s  %-20s goal\n", "work", "unit", "median", "(least-greatest)");
	if (works & WORK_MIGRATE) {
		bench_migration(ANON, false);
		bench_migration(SHMEM, false);
		bench_migration(FILE_PAGES, false);
		bench_migration(ANON, true);
	}
	if (works & WORK_MOVE)
		for (int cool = 0; cool < 2; cool++) {
			bench_move(MOVE_PAGES, 0, cool);
			bench_move(MOVE_PAGES / 2, MOVE_PAGES / 2, cool);
		}
	if (works & WORK_REMOVE)
		bench_removal();
	if (works & WORK_CHARGE)
		bench_charge();
	printf("\n%u repetitions after one that does not count; %u pages migrated at a time. %s\n",
	       repeats, migrate_nr, missed ? "A GOAL WAS MISSED." : "All goals are met.");
	plat_thread_exit();
	return 0;
}

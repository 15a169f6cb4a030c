/* tests/native/prog/workers.c - workers [N] [MIB] [PERCENT] [ROUNDS] [DEPTH]
 *
 * Prepare memory, then fork workers that use it: N of them over MIB MiB. Each checks all of it,
 * ROUNDS times, and in the first round changes PERCENT of a hundred pages, others than its
 * relatives do. DEPTH times that deep each worker forks N more after its first round, who begin
 * with what it has by then. The parent checks its own at the end, in which nothing has changed.
 * Default: 4 workers, 16 MiB, nothing changed, 2 rounds, no depth. Prints the seconds from the
 * first fork to the last exit.
 */
#include <sys/wait.h>

#include "prog.h"

#define IDS_MAX   4096
#define DEPTH_MAX 4

struct job {
	char *area;
	size_t n;
	unsigned long workers, percent, rounds, depth;
	unsigned long line[DEPTH_MAX + 1]; /* ids, 1 to IDS_MAX, of a worker and those it descends
					      from, oldest first */
	unsigned nr_line;
};

static bool is_changed(const struct job *j, unsigned long id, size_t i)
{
	return mix(i * IDS_MAX + id) % 100 < j->percent;
}

/* What page @i is after the first @n of the line have changed theirs. */
static unsigned long version_of(const struct job *j, unsigned n, size_t i)
{
	while (n > 0 && !is_changed(j, j->line[n - 1], i))
		n--;
	return n ? j->line[n - 1] : 0;
}

static void check_round(const struct job *j, unsigned n, unsigned long round)
{
	for (size_t i = 0; i < j->n; i++)
		if (!page_is(j->area + i * PAGE, i, version_of(j, n, i)))
			fail("page %zu of %zu of worker %lu is wrong in round %lu", i, j->n,
			     j->line[j->nr_line - 1], round);
}

static void check_and_change(const struct job *j)
{
	unsigned long id = j->line[j->nr_line - 1];

	for (size_t i = 0; i < j->n; i++) {
		char *page = j->area + i * PAGE;

		if (!page_is(page, i, version_of(j, j->nr_line - 1, i)))
			fail("page %zu of %zu of worker %lu is wrong", i, j->n, id);
		if (is_changed(j, id, i))
			page_change(page, i, id);
	}
}

static void collect(unsigned long n)
{
	int status;

	for (unsigned long i = 0; i < n; i++) {
		if (wait(&status) < 0)
			fail("wait: %s", strerror(errno));
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail("a worker ended with %#x", (unsigned)status);
	}
}

static void start_all(const struct job *parent);

static void work(const struct job *j)
{
	bool forks = j->nr_line <= j->depth;

	check_and_change(j);
	if (forks)
		start_all(j);
	for (unsigned long round = 1; round < j->rounds; round++)
		check_round(j, j->nr_line, round);
	if (forks)
		collect(j->workers);
}

static void start_all(const struct job *parent)
{
	unsigned long id = parent->nr_line ? parent->line[parent->nr_line - 1] : 0;

	for (unsigned long i = 1; i <= parent->workers; i++) {
		struct job j = *parent;
		pid_t pid = fork();

		if (pid < 0)
			fail("fork of worker %lu: %s", i, strerror(errno));
		if (pid > 0)
			continue;
		j.line[j.nr_line++] = id * parent->workers + i;
		work(&j);
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 2, 16), ids = 1;
	struct job j = {
		.n = mib * PAGES_PER_MIB,
		.workers = arg_number(argc, argv, 1, 4),
		.percent = arg_number(argc, argv, 3, 0),
		.rounds = arg_number(argc, argv, 4, 2),
		.depth = arg_number(argc, argv, 5, 0),
	};
	double from;

	for (unsigned long i = 0; i <= j.depth && i <= DEPTH_MAX && ids < IDS_MAX; i++)
		ids = ids * j.workers + 1;
	if (!j.workers || !j.n || j.depth >= DEPTH_MAX || ids >= IDS_MAX)
		fail("usage: workers [N] [MIB] [PERCENT] [ROUNDS] [DEPTH], of which at most %d in "
		     "all",
		     IDS_MAX);
	j.area = map_bytes(j.n * PAGE);
	area_fill(j.area, j.n, 0, 0);
	from = now_us();
	start_all(&j);
	collect(j.workers);
	from = now_us() - from;
	area_check(j.area, j.n, 0, 0, "in the parent");
	return ok("%lu workers over %lu MiB: %.1f s", j.workers, mib, from / 1e6);
}

/* tests/native/prog/threads.c - threads MIB [PASSES] [THREADS]
 *
 * Each thread fills, checks and changes a slice of its own; in between all count on every page of a
 * shared slice with atomic increments. No change is lost, no page is mixed up.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "prog.h"

#define MAX_THREADS 64
#define COUNTER     (WORDS / 4) /* which word of a shared page counts */

struct worker {
	pthread_t thread;
	unsigned id;
	char *slice;
};

static char *shared;
static size_t n; /* pages a slice */
static unsigned long passes;

static atomic_ulong *counter(size_t i)
{
	return (atomic_ulong *)(shared + i * PAGE) + COUNTER;
}

static void *work(void *arg)
{
	struct worker *me = arg;
	uint64_t id = (uint64_t)(me->id + 1) << 32, random = me->id;

	area_fill(me->slice, n, id, 0);
	for (unsigned long pass = 0; pass < passes; pass++) {
		size_t start = rnd(&random) % n;

		for (size_t k = 0; k < n; k++) {
			size_t i = (start + k) % n;
			char *page = me->slice + i * PAGE;

			if (!page_is(page, id + i, pass))
				fail("thread %u, pass %lu: page %zu is wrong", me->id, pass, i);
			page_change(page, id + i, pass + 1);
			atomic_fetch_add(counter(rnd(&random) % 2 ? i : n - 1 - i), 1);
		}
	}
	area_check(me->slice, n, id, passes, "at the end");
	return NULL;
}

/* How much was counted; what lies around the counters is as it was filled. */
static unsigned long check_shared(void)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += atomic_exchange(counter(i), pattern_word(i, COUNTER));
		if (!page_is(shared + i * PAGE, i, 0))
			fail("shared page %zu is wrong", i);
	}
	return sum;
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 64);
	unsigned long nr = arg_number(argc, argv, 3, 4), sum;
	struct worker workers[MAX_THREADS];

	passes = arg_number(argc, argv, 2, 3);
	if (!nr || nr > MAX_THREADS)
		fail("1 to %d threads", MAX_THREADS);
	n = mib * PAGES_PER_MIB / (nr + 1);
	if (!n)
		fail("too small for %lu threads", nr);
	shared = map_bytes(n * PAGE);
	area_fill(shared, n, 0, 0);
	for (size_t i = 0; i < n; i++)
		atomic_store(counter(i), 0);
	for (unsigned i = 0; i < nr; i++) {
		workers[i].id = i;
		workers[i].slice = map_bytes(n * PAGE);
		EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (unsigned i = 0; i < nr; i++)
		EXPECT(pthread_join(workers[i].thread, NULL) == 0);
	sum = check_shared();
	if (sum != nr * passes * n)
		fail("counted %lu of %lu increments", sum, nr * passes * n);
	return ok("%lu MiB, %lu threads, %lu passes", mib, nr, passes);
}

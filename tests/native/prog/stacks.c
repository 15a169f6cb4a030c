/* tests/native/prog/stacks.c - stacks [THREADS] [KIB]
 *
 * Threads that live at the same time, each with KIB of its stack in use and checked after all the
 * others have used theirs.
 */
#include <pthread.h>

#include "prog.h"

#define MAX_THREADS 1024

static pthread_barrier_t all_filled;
static size_t n; /* pages of stack */

static void *use_stack(void *arg)
{
	uint64_t id = (uint64_t)(uintptr_t)arg << 32;
	char area[n * PAGE] __attribute__((aligned(8)));

	for (int round = 0; round < 2; round++) {
		/* Downwards, as a stack grows. */
		for (size_t i = n; i-- > 0;)
			page_fill(area + i * PAGE, id + i, (uint64_t)round);
		pthread_barrier_wait(&all_filled);
		area_check(area, n, id, (uint64_t)round, "of a stack");
		pthread_barrier_wait(&all_filled);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long nr = arg_number(argc, argv, 1, 64);
	unsigned long kib = arg_number(argc, argv, 2, 1024);
	pthread_t threads[MAX_THREADS];
	pthread_attr_t attr;

	if (!nr || nr > MAX_THREADS)
		fail("1 to %d threads", MAX_THREADS);
	n = kib * 1024 / PAGE;
	EXPECT(pthread_attr_init(&attr) == 0);
	EXPECT(pthread_attr_setstacksize(&attr, kib * 1024 + 256 * 1024) == 0);
	EXPECT(pthread_barrier_init(&all_filled, NULL, (unsigned)nr) == 0);
	for (unsigned long i = 0; i < nr; i++)
		EXPECT(pthread_create(&threads[i], &attr, use_stack, (void *)(i + 1)) == 0);
	for (unsigned long i = 0; i < nr; i++)
		EXPECT(pthread_join(threads[i], NULL) == 0);
	return ok("%lu threads, %lu KiB each", nr, kib);
}

/* tests/native/prog/ownstacks.c - ownstacks [THREADS] [MIB] [ROUNDS]
 *
 * Threads on stacks that the program supplies (pthread_attr_setstack) can be joined. libc's record
 * of such a thread is at the top of its stack, and in it the word that the kernel clears when the
 * thread has gone. While the threads sleep far below it, MIB of other memory are filled, so that
 * what can be taken out is. Then they end, by the system call alone, and are joined when they have
 * ended: nobody touches the record before the kernel does. The same stacks serve every round.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include "prog.h"

#define MAX_THREADS 1024
#define STACK_BYTES (512ul << 10)
#define FAR_BYTES   (384ul << 10)
#define BOUND_S     40

static int go, asleep, left;
static volatile int wrong;

/* Neither sleeping nor leaving touches more of the stack than this end of it. */
static void *sleep_far_below(void *arg)
{
	static const struct timespec a_while = { .tv_nsec = 20000000 };
	char between[FAR_BYTES];

	if (*(unsigned long *)arg >= MAX_THREADS)
		wrong = 1;
	between[0] = 1;
	__asm__ volatile("" : : "r"(between) : "memory");
	__atomic_fetch_add(&asleep, 1, __ATOMIC_ACQ_REL);
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		syscall(SYS_nanosleep, &a_while, NULL);
	__atomic_fetch_add(&left, 1, __ATOMIC_ACQ_REL);
	syscall(SYS_exit, 0);
	return NULL;
}

static void one_round(char *stacks, unsigned long nr, char *area, size_t pages)
{
	static pthread_t threads[MAX_THREADS];
	static unsigned long ids[MAX_THREADS];
	pthread_attr_t attr;

	asleep = go = left = 0;
	EXPECT(pthread_attr_init(&attr) == 0);
	for (unsigned long i = 0; i < nr; i++) {
		ids[i] = i;
		EXPECT(pthread_attr_setstack(&attr, stacks + i * STACK_BYTES, STACK_BYTES) == 0);
		EXPECT(pthread_create(&threads[i], &attr, sleep_far_below, &ids[i]) == 0);
	}
	while (__atomic_load_n(&asleep, __ATOMIC_ACQUIRE) < (int)nr)
		usleep(10000);
	area_fill(area, pages, 7, nr);
	area_check(area, pages, 7, nr, "after it was filled");
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&left, __ATOMIC_ACQUIRE) < (int)nr)
		usleep(10000);
	usleep(100000);
	for (unsigned long i = 0; i < nr; i++)
		EXPECT(pthread_join(threads[i], NULL) == 0);
	EXPECT(!wrong);
}

int main(int argc, char **argv)
{
	unsigned long nr = arg_number(argc, argv, 1, 16);
	unsigned long mib = arg_number(argc, argv, 2, 64);
	unsigned long rounds = arg_number(argc, argv, 3, 2);
	char *stacks, *area;

	if (!nr || nr > MAX_THREADS)
		fail("1 to %d threads", MAX_THREADS);
	alarm(BOUND_S); /* a join that never returns */
	stacks = map_bytes(nr * STACK_BYTES);
	area = map_bytes(mib * MIB);
	for (unsigned long i = 0; i < rounds; i++)
		one_round(stacks, nr, area, mib * PAGES_PER_MIB);
	return ok("%lu threads, %lu times", nr, rounds);
}

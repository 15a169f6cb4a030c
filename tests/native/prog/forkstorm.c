/* tests/native/prog/forkstorm.c - forkstorm [MIB] [THREADS] [ROUNDS] [AT_ONCE] [SEED]
 *
 * THREADS threads share MIB of memory, a slice each. In a round a thread changes pages of its
 * slice, checks all of it, and forks a child that checks the whole memory, changes part of it,
 * perhaps forks on, and checks again; up to AT_ONCE of a thread's children are left running.
 * Threads fork at any time, several at once.
 *
 * A page tells its version in its first word and again in its last one; version[] has it too,
 * written after both. A child finds its own thread's slice exactly as it was. Of another thread's
 * it may find a page newer than version[] says, never older, and at most one half changed: that
 * thread was running.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "prog.h"

#define THREADS_MAX 16
#define AT_ONCE_MAX 16

static char *area;
static uint64_t *version;
static size_t slice; /* pages of a thread */
static unsigned long threads, rounds, at_once, seed;
static pthread_barrier_t filled;

static void write_page(size_t i, uint64_t v)
{
	volatile uint64_t *w = (uint64_t *)(area + i * PAGE);

	w[0] = v;
	w[WORDS - 1] = ~v ^ i;
	__atomic_store_n(&version[i], v, __ATOMIC_RELEASE);
}

static void check_body(size_t i, const char *who)
{
	const uint64_t *w = (uint64_t *)(area + i * PAGE);

	for (unsigned k = 1; k < WORDS - 1; k++)
		if (w[k] != pattern_word(i, k))
			fail("%s (%d): page %zu, word %u is %#lx, not %#lx", who, (int)getpid(), i,
			     k, (unsigned long)w[k], (unsigned long)pattern_word(i, k));
}

static void check_exact(size_t from, size_t to, const char *who)
{
	for (size_t i = from; i < to; i++) {
		const uint64_t *w = (uint64_t *)(area + i * PAGE);

		if (w[0] != version[i] || w[WORDS - 1] != (~version[i] ^ i))
			fail("%s (%d): page %zu has version %#lx, %#lx, not %#lx", who,
			     (int)getpid(), i, (unsigned long)w[0],
			     (unsigned long)(~w[WORDS - 1] ^ i), (unsigned long)version[i]);
		check_body(i, who);
	}
}

/* The slice of a thread that ran while we were forked; from now on it is ours. */
static void check_foreign(size_t from, size_t to)
{
	unsigned torn = 0;

	for (size_t i = from; i < to; i++) {
		const uint64_t *w = (uint64_t *)(area + i * PAGE);
		uint64_t first = w[0], last = ~w[WORDS - 1] ^ i;

		if (last < version[i] || first < last || first - last > 1 ||
		    (torn += first != last) > 1)
			fail("a child (%d): page %zu of another thread has version %#lx, %#lx, not "
			     "%#lx",
			     (int)getpid(), i, (unsigned long)first, (unsigned long)last,
			     (unsigned long)version[i]);
		check_body(i, "a child");
		if (first != last || version[i] != first)
			write_page(i, first);
	}
}

static void collect(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		fail("a child (%d) was killed by signal %d", (int)pid, WTERMSIG(status));
	if (status)
		_exit(1); /* it has said why */
}

static __attribute__((noreturn)) void child(unsigned long mine, uint64_t state, int depth)
{
	size_t n = threads * slice;
	pid_t grandchild = 0;

	for (unsigned long t = 0; t < threads; t++)
		if (t == mine || depth)
			check_exact(t * slice, (t + 1) * slice, "a child");
		else
			check_foreign(t * slice, (t + 1) * slice);
	for (size_t k = 0; k < n / 4; k++) {
		size_t i = rnd(&state) % n;

		write_page(i, version[i] + 1);
		if (k == n / 8 && !depth && rnd(&state) % 4 == 0) {
			grandchild = fork();
			EXPECT(grandchild >= 0);
			if (!grandchild)
				child(mine, rnd(&state), depth + 1);
		}
	}
	check_exact(0, n, "a child, after its changes");
	if (grandchild)
		collect(grandchild);
	_exit(0);
}

static void *run(void *arg)
{
	unsigned long mine = (uintptr_t)arg;
	size_t from = mine * slice;
	uint64_t state = mix(seed) + mine;
	pid_t running[AT_ONCE_MAX];
	unsigned long n = 0;

	for (size_t i = from; i < from + slice; i++) {
		page_fill(area + i * PAGE, i, 0);
		write_page(i, 1);
	}
	(void)pthread_barrier_wait(&filled);
	for (unsigned long r = 0; r < rounds; r++) {
		pid_t pid;

		for (size_t k = rnd(&state) % (slice / 2 + 1); k; k--) {
			size_t i = from + rnd(&state) % slice;

			write_page(i, version[i] + 1);
		}
		if (n == at_once)
			collect(running[--n]);
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid)
			child(mine, rnd(&state), 0);
		running[n++] = pid;
		if (rnd(&state) % 2)
			check_exact(from, from + slice, "a thread");
	}
	while (n)
		collect(running[--n]);
	check_exact(from, from + slice, "a thread, at its end");
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 16);
	pthread_t t[THREADS_MAX];

	threads = arg_number(argc, argv, 2, 4);
	rounds = arg_number(argc, argv, 3, 5);
	at_once = arg_number(argc, argv, 4, 2);
	seed = arg_number(argc, argv, 5, 1);
	if (!threads || threads > THREADS_MAX || !at_once || at_once > AT_ONCE_MAX || !mib)
		fail("1 to %d threads, 1 to %d children at once", THREADS_MAX, AT_ONCE_MAX);
	slice = mib * PAGES_PER_MIB / threads;
	area = map_bytes(threads * slice * PAGE);
	version = (uint64_t *)map_bytes(threads * slice * sizeof(*version));
	EXPECT(pthread_barrier_init(&filled, NULL, (unsigned int)threads) == 0);
	for (unsigned long i = 0; i < threads; i++)
		EXPECT(pthread_create(&t[i], NULL, run, (void *)(uintptr_t)i) == 0);
	for (unsigned long i = 0; i < threads; i++)
		EXPECT(pthread_join(t[i], NULL) == 0);
	return ok("%lu MiB, %lu threads, %lu rounds, %lu at once", mib, threads, rounds, at_once);
}

/* tests/native/prog/futexes.c - futexes [MIB] [ROUNDS]
 *
 * Words of futexes in memory that was pushed out, or was never touched: every operation in which
 * the kernel changes the word itself, in private and in shared memory; a waiter that gets a mutex
 * with priority inheritance after its page went out; libc's mutexes of that kind, between threads,
 * and between processes; a bad address.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define WORDS_APART 4 /* pages */
#define NR_MUTEXES  64
#define NR_THREADS  3

static unsigned long mib;
static int dummy;

static long futex(uint32_t *word, int op, unsigned long value, unsigned long value2, void *second,
		  unsigned long value3)
{
	return syscall(SYS_futex, word, (long)op, value, value2, second, value3);
}

/* The @i-th word of an area: each on a page of its own. */
static uint32_t *word_at(char *area, size_t i)
{
	return (uint32_t *)(area + i * WORDS_APART * PAGE + 64);
}

static void all_operations(char *area, int private)
{
	const unsigned long add = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
	uint32_t tid = (uint32_t)syscall(SYS_gettid), *w;
	struct timespec soon = { .tv_nsec = 1000000 };

	w = word_at(area, 0);
	EXPECT(futex((uint32_t *)&dummy, FUTEX_WAKE_OP | private, 1, 1, w, add) == 0 && *w == 5);
	w = word_at(area, 1);
	EXPECT(futex(w, FUTEX_LOCK_PI | private, 0, 0, NULL, 0) == 0 &&
	       (*w & FUTEX_TID_MASK) == tid);
	w = word_at(area, 2);
	EXPECT(futex(w, FUTEX_TRYLOCK_PI | private, 0, 0, NULL, 0) == 0 &&
	       (*w & FUTEX_TID_MASK) == tid);
	w = word_at(area, 3);
	EXPECT(futex((uint32_t *)&dummy, FUTEX_CMP_REQUEUE_PI | private, 1, 8, w, 0) == 0);
	w = word_at(area, 4);
	EXPECT(futex((uint32_t *)&dummy, FUTEX_CMP_REQUEUE | private, 1, 8, w, 0) == 0);
	w = word_at(area, 5);
	errno = 0;
	EXPECT(futex(w, FUTEX_WAIT | private, 7, 0, NULL, 0) == -1 && errno == EAGAIN);
	w = word_at(area, 6);
	errno = 0;
	EXPECT(futex(w, FUTEX_WAIT_REQUEUE_PI | private, 7, 0, word_at(area, 7), 0) == -1 &&
	       errno == EAGAIN);
	w = word_at(area, 8);
	errno = 0;
	EXPECT(futex(w, FUTEX_WAIT | private, 0, (unsigned long)&soon, NULL, 0) == -1 &&
	       errno == ETIMEDOUT);
	press(mib);
	EXPECT(futex(word_at(area, 1), FUTEX_UNLOCK_PI | private, 0, 0, NULL, 0) == 0 &&
	       *word_at(area, 1) == 0);
	EXPECT(futex(word_at(area, 2), FUTEX_UNLOCK_PI | private, 0, 0, NULL, 0) == 0 &&
	       *word_at(area, 2) == 0);
}

static void operations(void)
{
	const size_t bytes = 16 * WORDS_APART * PAGE;
	char *own = map_bytes(bytes), *fresh = map_bytes(bytes);
	char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(shared != MAP_FAILED);
	for (size_t i = 0; i < 16; i++)
		word_at(own, i)[1] = word_at(shared, i)[1] = 1;
	press(mib);
	all_operations(own, FUTEX_PRIVATE_FLAG);
	all_operations(fresh, FUTEX_PRIVATE_FLAG);
	all_operations(shared, 0);
	EXPECT(munmap(fresh, bytes) == 0);
	fresh = map_bytes(bytes);
	press(mib);
	all_operations(fresh, 0);
	EXPECT(munmap(fresh, bytes) == 0);
	errno = 0;
	EXPECT(futex((uint32_t *)&dummy, FUTEX_WAKE_OP, 1, 1, fresh, 0) == -1 && errno == EFAULT);
	errno = 0;
	EXPECT(futex((uint32_t *)fresh, FUTEX_LOCK_PI, 0, 0, NULL, 0) == -1 && errno == EFAULT);
	EXPECT(munmap(own, bytes) == 0 && munmap(shared, bytes) == 0);
}

/* ---- who waits gets it ---- */

struct handover {
	uint32_t *word;
	int private;
};

static void *take_raw(void *arg)
{
	struct handover *h = arg;

	EXPECT(futex(h->word, FUTEX_LOCK_PI | h->private, 0, 0, NULL, 0) == 0);
	EXPECT((*h->word & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
	EXPECT(futex(h->word, FUTEX_UNLOCK_PI | h->private, 0, 0, NULL, 0) == 0);
	return NULL;
}

static void hand_over(char *area, int private)
{
	struct handover h = { .word = word_at(area, 3), .private = private };
	pthread_t thread;

	EXPECT(futex(h.word, FUTEX_LOCK_PI | private, 0, 0, NULL, 0) == 0);
	EXPECT(pthread_create(&thread, NULL, take_raw, &h) == 0);
	while (!(__atomic_load_n(h.word, __ATOMIC_ACQUIRE) & FUTEX_WAITERS))
		usleep(1000);
	press(mib);
	EXPECT(futex(h.word, FUTEX_UNLOCK_PI | private, 0, 0, NULL, 0) == 0);
	EXPECT(pthread_join(thread, NULL) == 0);
}

/* ---- libc's mutexes ---- */

struct counted {
	pthread_mutex_t mutex;
	unsigned long n;
};

static struct counted *counted_at(char *area, size_t i)
{
	return (struct counted *)(area + i * PAGE);
}

static void make(char *area, int shared)
{
	pthread_mutexattr_t attr;

	EXPECT(pthread_mutexattr_init(&attr) == 0 &&
	       pthread_mutexattr_setpshared(&attr, shared) == 0);
	EXPECT(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
	for (size_t i = 0; i < NR_MUTEXES; i++)
		EXPECT(pthread_mutex_init(&counted_at(area, i)->mutex, &attr) == 0);
}

static unsigned long rounds;

static void *count(void *arg)
{
	for (unsigned long r = 0; r < rounds; r++)
		for (size_t i = 0; i < NR_MUTEXES; i++) {
			struct counted *c = counted_at(arg, i);

			EXPECT(pthread_mutex_lock(&c->mutex) == 0);
			c->n++;
			EXPECT(pthread_mutex_unlock(&c->mutex) == 0);
		}
	return NULL;
}

static void check_counts(char *area, unsigned long want, const char *by)
{
	for (size_t i = 0; i < NR_MUTEXES; i++)
		if (counted_at(area, i)->n != want)
			fail("mutex %zu was taken %lu times of %lu by %s", i,
			     counted_at(area, i)->n, want, by);
}

static void by_threads(char *area)
{
	pthread_t thread[NR_THREADS];

	for (int i = 0; i < NR_THREADS; i++)
		EXPECT(pthread_create(&thread[i], NULL, count, area) == 0);
	press(mib);
	for (int i = 0; i < NR_THREADS; i++)
		EXPECT(pthread_join(thread[i], NULL) == 0);
	check_counts(area, NR_THREADS * rounds, "threads");
}

static void by_processes(char *area)
{
	pid_t pid[NR_THREADS];
	int status;

	for (int i = 0; i < NR_THREADS; i++) {
		pid[i] = fork();
		EXPECT(pid[i] >= 0);
		if (!pid[i])
			_exit(count(area) != NULL);
	}
	press(mib);
	for (int i = 0; i < NR_THREADS; i++)
		EXPECT(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
	check_counts(area, NR_THREADS * rounds, "processes");
}

/* The child's mutexes are its own; its parent's unlocking of everything changes nothing. */
static void in_a_child(char *area)
{
	pid_t pid;
	int status;

	EXPECT(munlockall() == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		for (size_t i = 0; i < NR_MUTEXES; i++)
			counted_at(area, i)->n = 0;
		press(mib);
		by_threads(area);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	const size_t bytes = NR_MUTEXES * PAGE;
	char *own = map_bytes(bytes);
	char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	mib = arg_number(argc, argv, 1, 32);
	rounds = arg_number(argc, argv, 2, 100);
	EXPECT(shared != MAP_FAILED);
	operations();
	hand_over(own, FUTEX_PRIVATE_FLAG);
	hand_over(shared, 0);
	memset(own, 0, bytes);
	memset(shared, 0, bytes);
	make(own, PTHREAD_PROCESS_PRIVATE);
	make(shared, PTHREAD_PROCESS_SHARED);
	press(mib);
	by_threads(own);
	by_processes(shared);
	in_a_child(own);
	return ok("all operations, %d mutexes, %lu rounds", NR_MUTEXES, rounds);
}

/* plat/native/futex.c - sleeping: bit locks, bit waits, wait queues.
 *
 * A bit lock is one bit of a word whose other bits change at any time; a second bit, @waiters, says
 * that a thread sleeps on the word. Several lock bits of a word may share one waiters bit. No
 * wake-up is lost:
 *
 * I1  A thread sets @waiters only by a compare-and-swap that sees its bit set.
 * I2  It sleeps only if the kernel finds the word unchanged: its bit and @waiters both set.
 * I3  Clearing a lock bit clears @waiters in the same step and then, if it was set, wakes all
 *     sleepers. So the next clearing of any bit wakes every sleeper, which checks again and sets
 *     @waiters again.
 *
 * If an unrelated bit changes, the kernel refuses the sleep (EAGAIN) and the loop checks again. I1
 * also means that @waiters is clear whenever no bit that can be waited for is set.
 *
 * A wait queue is an event count. The sleeper announces itself, then compares seq; the waker
 * changes seq, then checks for sleepers: one of the two sees the other.
 *
 * Locks: none. Every access is an atomic or the kernel's own check of a futex.
 */
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "plat/plat.h"

#define SPIN_MAX 100 /* checks before sleeping: most holders release a bit in well under 1 us */
#define NS_PER_S 1000000000

static long futex(atomic32_t *word, int op, uint32_t val, const struct timespec *until)
{
	return syscall(SYS_futex, &word->v_, op | FUTEX_PRIVATE_FLAG, val, until, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

/* Sleep while *@word == @val, at most until @until on the monotonic clock (NULL: for ever).
 * Spurious returns are possible; -ETIMEDOUT on time-out. */
static int futex_wait(atomic32_t *word, uint32_t val, const struct timespec *until)
{
	if (futex(word, FUTEX_WAIT_BITSET, val, until) == 0)
		return 0;
	VM_BUG_ON(errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT);
	return -errno;
}

void futex_wake_all(atomic32_t *word)
{
	futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Spin briefly until @bit clears. */
static bool spin_for_bit(atomic32_t *word, uint32_t bit)
{
	for (int i = 0; i < SPIN_MAX; i++) {
		if (!(a32_load(word) & bit))
			return true;
		cpu_relax();
	}
	return false;
}

/* Sleep until @bit may be clear. */
static void sleep_on_bit(atomic32_t *word, uint32_t bit, uint32_t waiters)
{
	uint32_t v = a32_load(word);

	if (!(v & bit))
		return;
	if (!(v & waiters) && !a32_cas(word, v, v | waiters))
		return;
	futex_wait(word, v | waiters, NULL);
}

void bit_lock_slow(atomic32_t *word, uint32_t bit, uint32_t waiters)
{
	spin_for_bit(word, bit);
	while (a32_or(word, bit) & bit)
		sleep_on_bit(word, bit, waiters);
}

void bit_wait(atomic32_t *word, uint32_t bit, uint32_t waiters)
{
	if (spin_for_bit(word, bit))
		return;
	while (a32_load(word) & bit)
		sleep_on_bit(word, bit, waiters);
}

void waitq_init(struct waitq *q)
{
	a32_store(&q->seq, 0);
	a32_store(&q->sleepers, 0);
}

static struct timespec deadline(int64_t timeout_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ns / NS_PER_S;
	t.tv_nsec += timeout_ns % NS_PER_S;
	if (t.tv_nsec >= NS_PER_S) {
		t.tv_nsec -= NS_PER_S;
		t.tv_sec++;
	}
	return t;
}

bool waitq_sleep(struct waitq *q, uint32_t ticket, int64_t timeout_ns)
{
	struct timespec until;

	if (timeout_ns >= 0)
		until = deadline(timeout_ns);
	a32_add(&q->sleepers, 1);
	while (a32_load(&q->seq) == ticket)
		if (futex_wait(&q->seq, ticket, timeout_ns < 0 ? NULL : &until) == -ETIMEDOUT)
			break;
	a32_add(&q->sleepers, -1);
	return a32_load(&q->seq) != ticket;
}

void waitq_wake(struct waitq *q)
{
	a32_add(&q->seq, 1);
	if (a32_load(&q->sleepers) != 0)
		futex_wake_all(&q->seq);
}

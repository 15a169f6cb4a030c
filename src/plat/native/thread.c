/* plat/native/thread.c - threads, their slots, locks that sleep for long, and time.
 *
 * A thread has one slot (plat_cpu) for life, assigned round robin: this spreads per-CPU structures,
 * and a slot is never exclusive. plat_thread_enter nests: a library and its caller may both call
 * it. Threads started here are registered with RCU and block every signal that can be blocked:
 * signals belong to the main thread.
 *
 * Locks: none held here.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "plat/native/registered.h"

#define NS_PER_S 1000000000

_Thread_local unsigned plat_cpu_slot_;
_Thread_local unsigned plat_thread_registered_;
static atomic32_t next_slot;

void rw_init(struct rwsem *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	/* A stream of page faults (readers) must not keep an unmap (the writer) waiting. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->rw, &attr);
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

void rw_fini(struct rwsem *l)
{
	pthread_rwlock_destroy(&l->rw);
}

void plat_thread_enter(void)
{
	if (plat_thread_registered_++ > 0)
		return;
	plat_cpu_slot_ = (a32_add(&next_slot, 1) - 1) % PLAT_NR_CPUS;
	rcu_thread_begin();
}

void plat_thread_exit(void)
{
	VM_BUG_ON(!plat_thread_registered_);
	if (--plat_thread_registered_ == 0)
		rcu_thread_end();
}

static void *thread_main(void *arg)
{
	struct plat_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	plat_thread_enter();
	t->fn(t->arg);
	plat_thread_exit();
	return NULL;
}

int plat_thread_start(struct plat_thread *t, const char *name, void (*fn)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	t->fn = fn;
	t->arg = arg;
	snprintf(t->name, sizeof(t->name), "%s", name);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t->t, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

void plat_thread_join(struct plat_thread *t)
{
	int err = pthread_join(t->t, NULL);

	VM_BUG_ON(err != 0);
}

void plat_yield(void)
{
	sched_yield();
}

uint64_t plat_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void plat_sleep_ns(uint64_t ns)
{
	struct timespec left = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

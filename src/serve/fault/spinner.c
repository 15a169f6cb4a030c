/* serve/fault/spinner.c - keeps CPUs awake while faults come fast.
 *
 * A fault costs two wake-ups: the worker's and, after the copy, the faulting thread's. Each finds
 * its CPU idle, and waking an idle CPU takes 20-40 us in a virtual machine (it has left the guest),
 * more than everything else about the fault. So while faults come fast, one thread per CPU spins at
 * the lowest priority (SCHED_IDLE): the scheduler treats such a CPU as idle and preempts the
 * spinner at once, but the CPU is awake. Random access to 256 MiB in 64 MiB: 50 -> 24 us per page.
 *
 * The cost is otherwise idle CPU time, for at most SPIN_NS after the last fault. Spins
 * only after RATE_MIN faults in a 1 ms sample; never on a CPU that the supervisor may not use.
 *
 * Where no CPU is idle, a thread of that priority cannot even exit: that takes 0.1-0.5 s each, and
 * a process ends with its last thread. So we make them ordinary threads again before they exit, if
 * permitted (CAP_SYS_NICE); the keeper does it when we are killed. They also have no descriptors:
 * the last thread of a killed process closes them, and only then do the helpers and the keeper see
 * that it is gone.
 */
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "serve/fault/fault.h"

#define SPIN_NS  150000ull  /* spin this long after the last fault */
#define LOOK_NS  1000000ull /* one sample of the rate */
#define RATE_MIN 4          /* faults per sample that make it worthwhile */

struct spinner {
	struct plat_thread t;
	struct supervisor *s;
	unsigned cpu;
};

struct spinners {
	atomic64_t last_fault_ns; /* (A) when a worker took up a fault last */
	atomic32_t rate;          /* (A) faults in this sample */
	struct waitq wait;
	struct spinner spinner[NR_SPINNERS_MAX];
	unsigned nr; /* (C) */
};

int spinners_init(struct supervisor *s)
{
	if (supervisor_part(&s->spinners, sizeof(*s->spinners)))
		return -ENOMEM;
	waitq_init(&s->spinners->wait);
	return 0;
}

void spinners_note(struct supervisor *s)
{
	assert_thread(THREAD_FAULT);
	if (s->spinners->nr == 0)
		return;
	a64_store(&s->spinners->last_fault_ns, (int64_t)plat_now_ns());
	if (a32_add(&s->spinners->rate, 1) == RATE_MIN)
		waitq_wake(&s->spinners->wait);
}

static bool hot(struct supervisor *s)
{
	return plat_now_ns() - (uint64_t)a64_load(&s->spinners->last_fault_ns) < SPIN_NS;
}

static void spin(void)
{
	for (int i = 0; i < 64; i++) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#else
		__asm__ volatile("" ::: "memory");
#endif
	}
}

static bool settle_on_cpu(unsigned cpu)
{
	struct sched_param param = { 0 };
	cpu_set_t set;

	if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_UNSHARE) != 0)
		return false;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setscheduler(0, SCHED_IDLE, &param) == 0 &&
	       sched_setaffinity(0, sizeof(set), &set) == 0;
}

static void spinner_main(void *arg)
{
	struct spinner *w = arg;
	struct supervisor *s = w->s;

	if (a32_load(&s->stopping) || !settle_on_cpu(w->cpu))
		return; /* not allowed: faults are just slower */
	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->spinners->wait);
		uint64_t look = plat_now_ns();

		a32_store(&s->spinners->rate, 0);
		while (plat_now_ns() - look < LOOK_NS && hot(s))
			spin();
		if (a32_load(&s->spinners->rate) < RATE_MIN && !a32_load(&s->stopping))
			waitq_sleep(&s->spinners->wait, ticket, -1);
	}
}

int spinners_start(struct supervisor *s)
{
	cpu_set_t set;
	int err = 0;

	assert_thread(THREAD_MAIN);
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	for (unsigned cpu = 0; !err && cpu < CPU_SETSIZE && s->spinners->nr < NR_SPINNERS_MAX;
	     cpu++) {
		struct spinner *w = &s->spinners->spinner[s->spinners->nr];

		if (!CPU_ISSET(cpu, &set))
			continue;
		w->s = s;
		w->cpu = cpu;
		err = plat_thread_start(&w->t, "umemcg-spin", spinner_main, w);
		s->spinners->nr += !err;
	}
	return err;
}

void spinners_stop(struct supervisor *s)
{
	const struct sched_param ordinary = { 0 };

	assert_thread(THREAD_MAIN);
	VM_ASSERT(a32_peek(&s->stopping));
	for (unsigned i = 0; i < s->spinners->nr; i++)
		(void)pthread_setschedparam(s->spinners->spinner[i].t.t, SCHED_OTHER, &ordinary);
	waitq_wake(&s->spinners->wait);
	for (unsigned i = 0; i < s->spinners->nr; i++)
		plat_thread_join(&s->spinners->spinner[i].t);
	s->spinners->nr = 0;
}

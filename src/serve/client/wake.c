/* serve/client/wake.c - wakes the threads of the rooms above: each sleeps on a queue of its own.
 *
 * Locks: none.
 */
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "serve/client/supervisor.h"

#define PAGE_NS 500 /* to touch a page takes at least this long, on two CPUs */
#define NICE    (-20)

void wake_init(struct supervisor *s)
{
	waitq_init(&s->wake.watcher);
	waitq_init(&s->wake.settler);
	waitq_init(&s->wake.finder);
	waitq_init(&s->wake.find);
}

void find_wake(struct supervisor *s)
{
	waitq_wake(&s->wake.find);
}

/* As long as what is left cannot be used up. */
uint64_t limit_lasts_ns(const struct supervisor *s)
{
	int64_t left = page_counter_margin(&s->group->memory);

	if (left > (int64_t)(WATCH_TICK_NS / PAGE_NS))
		return WATCH_TICK_NS;
	return left > 0 ? (uint64_t)left * PAGE_NS : 0;
}

void watcher_wake(struct supervisor *s)
{
	if (limit_lasts_ns(s) < WATCH_TICK_NS)
		waitq_wake(&s->wake.watcher);
}

void watcher_fresh(struct supervisor *s)
{
	if (limit_lasts_ns(s) < WATCH_TICK_NS)
		find_wake(s);
}

/* Where that is allowed: it sleeps nearly all the time, and is late at once where CPUs are
 * short. */
void thread_hurry(void)
{
	struct sched_param rt = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &rt) != 0)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static _Thread_local enum serve_thread this_thread;

void thread_begin(enum serve_thread self)
{
	VM_ASSERT(this_thread == THREAD_MAIN && self != THREAD_MAIN);
	this_thread = self;
}

bool thread_is(unsigned threads)
{
	return threads ? (threads & this_thread) != 0 : this_thread == THREAD_MAIN;
}

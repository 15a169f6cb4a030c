/* mm/ahead.c - readahead for streams, in dedicated threads.
 *
 * A fault that is part of a stream queues reads of the windows after its own, then brings in its
 * own, which may block. So the device has the next reads queued while this one is checked, mapped
 * and used. Where a read is just a copy, a thread is not worthwhile.
 *
 * A request is dropped if AHEAD_MAX are pending: its stream does without.
 *
 * Locks: ahead.lock covers the queue. An address space in it is referenced.
 */
#include "mm/ahead.h"

#include "mm/engine.h"
#include "mm/fault.h"

static bool take(struct ahead *a, struct ahead_ask *ask)
{
	bool some;

	spin_lock(&a->lock);
	some = a->n > 0;
	if (some) {
		*ask = a->ask[a->first];
		a->first = (a->first + 1) % AHEAD_MAX;
		a->n--;
	}
	spin_unlock(&a->lock);
	return some;
}

static bool put(struct ahead *a, struct mm *mm, uint64_t start, unsigned n)
{
	bool room;

	VM_ASSERT(n > 0);
	spin_lock(&a->lock);
	room = a->running && a->n < AHEAD_MAX;
	if (room) {
		mm_get(mm);
		a->ask[(a->first + a->n++) % AHEAD_MAX] = (struct ahead_ask){ mm, start, n };
	}
	spin_unlock(&a->lock);
	return room;
}

void ahead_ask(struct engine *e, struct mm *mm, uint64_t start, unsigned n)
{
	uint64_t end = start + ((uint64_t)n << PAGE_SHIFT);

	VM_ASSERT(n > 0 && start % PAGE_SIZE == 0);
	if (!ahead_wanted(e))
		return;
	/* Each request stays within one leaf, as its fault will. */
	while (start < end) {
		uint64_t leaf_end = (start & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		uint64_t to = start + FAULT_PAGES_MAX * PAGE_SIZE;

		if (to > end)
			to = end;
		if (to > leaf_end)
			to = leaf_end;
		if (!put(&e->ahead, mm, start, (unsigned)((to - start) >> PAGE_SHIFT)))
			break;
		start = to;
	}
	waitq_wake(&e->ahead.wait);
}

static void ahead_main(void *arg)
{
	struct engine *e = arg;
	struct ahead *a = &e->ahead;

	while (!a32_load(&a->stop)) {
		uint32_t ticket = waitq_prepare(&a->wait);
		struct ahead_ask ask;

		if (!take(a, &ask)) {
			if (!a32_load(&a->stop))
				waitq_sleep(&a->wait, ticket, -1);
			continue;
		}
		fault_read_ahead(ask.mm, ask.start, ask.n);
		mm_put(ask.mm);
	}
}

static void set_running(struct ahead *a, bool running)
{
	spin_lock(&a->lock);
	a->running = running;
	spin_unlock(&a->lock);
}

int ahead_start(struct engine *e)
{
	struct ahead *a = &e->ahead;
	int err = 0;

	if (!ahead_wanted(e))
		return 0;
	a32_store(&a->stop, 0);
	while (!err && a->nr_threads < AHEAD_THREADS) {
		err = plat_thread_start(&a->thread[a->nr_threads], "umemcg-ahead", ahead_main, e);
		a->nr_threads += !err;
	}
	set_running(a, !err);
	return err;
}

void ahead_stop(struct engine *e)
{
	struct ahead *a = &e->ahead;
	struct ahead_ask ask;

	set_running(a, false);
	a32_store(&a->stop, 1);
	waitq_wake(&a->wait);
	while (a->nr_threads > 0)
		plat_thread_join(&a->thread[--a->nr_threads]);
	while (take(a, &ask))
		mm_put(ask.mm);
}

/* agent/hold.c - holds pages in place that the kernel needs when it cannot fault.
 *
 * A missing page costs a fault that another thread serves. The kernel cannot take one, and fails,
 * where it must not sleep (futex.c) and at thread exit (clone.c); and where it holds a reference to
 * the page itself, a page that comes back is a different one (pipe.c). So ranges can be held: the
 * helper does not move their pages. Records are in the region; a forked child starts without any.
 *
 * I1  hold->tid is 0 (free), or the thread for which it is held: during one of its calls, or until
 *     it has ended. Records of threads that have ended are reused.
 * I2  After hold_take the present pages of the range stay: every move that starts later sees the
 *     record, and one in progress has ended.
 *
 * This applies to private memory. Pages of shared objects go out without the helper: hold_shared
 * keeps those in the supervisor's books.
 *
 * Locks: none; a record belongs to the thread that set its tid.
 */
#include <sys/mman.h>

#include "agent/hooks.h"
#include "agent/user/user.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define KNOWN    64 /* pages */
#define NR_HOLDS (HOLD_BYTES / sizeof(struct hold))

static struct hold *hold_at(size_t i)
{
	AGENT_ASSERT(i < NR_HOLDS);
	return (struct hold *)agent_holds() + i;
}

static bool has_ended(uint32_t tid)
{
	return sys_call2(SYS_tkill, tid, 0) == -ESRCH;
}

/* The helper looks at the records up to the last one ever used. */
static void note_used(uint32_t n)
{
	uint32_t used = __atomic_load_n(&agent->holds, __ATOMIC_RELAXED);

	AGENT_ASSERT(n > 0 && n <= NR_HOLDS);
	while (used < n && !__atomic_compare_exchange_n(&agent->holds, &used, n, false,
							__ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

static struct hold *find_free(uint32_t tid)
{
	AGENT_ASSERT(tid != 0);
	for (int ended = 0; ended < 2; ended++) {
		for (size_t i = 0; i < NR_HOLDS; i++) {
			struct hold *h = hold_at(i);
			uint32_t was = __atomic_load_n(&h->tid, __ATOMIC_RELAXED);

			if (was && (!ended || !has_ended(was)))
				continue;
			if (__atomic_compare_exchange_n(&h->tid, &was, tid, false, __ATOMIC_ACQ_REL,
							__ATOMIC_RELAXED)) {
				note_used((uint32_t)i + 1);
				return h;
			}
		}
	}
	return NULL;
}

struct hold *hold_take(uint64_t start, uint64_t end)
{
	struct hold *h;
	uint64_t mask;

	if (!agent_managed())
		return NULL;
	h = find_free((uint32_t)sys_call0(SYS_gettid));
	if (!h)
		return NULL;
	h->kind = HOLD_CALL;
	/* A reader of a half-written record finds end 0 and holds nothing. */
	__atomic_store_n(&h->end, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&h->start, to_page_start(start), __ATOMIC_RELEASE);
	__atomic_store_n(&h->end, to_page_end(end), __ATOMIC_RELEASE);
	sys_block_signals(&mask);
	maplock_lock(); /* wait for a move that has not seen it */
	maplock_unlock();
	sys_restore_signals(&mask);
	return h;
}

struct hold *hold_of(uint32_t kind)
{
	uint32_t tid = (uint32_t)sys_call0(SYS_gettid),
		 used = __atomic_load_n(&agent->holds, __ATOMIC_RELAXED);

	AGENT_ASSERT(agent);
	for (size_t i = 0; i < used; i++)
		if (__atomic_load_n(&hold_at(i)->tid, __ATOMIC_RELAXED) == tid &&
		    hold_at(i)->kind == kind)
			return hold_at(i);
	return NULL;
}

void hold_give(struct hold *h, uint32_t tid)
{
	if (h)
		__atomic_store_n(&h->tid, tid, __ATOMIC_RELEASE);
}

void hold_drop(struct hold *h)
{
	if (!h)
		return;
	__atomic_store_n(&h->end, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&h->tid, 0, __ATOMIC_RELEASE);
}

/* Ask the kernel, which checks that the memory exists: our own touch could crash. */
long hold_bring(uint64_t start, uint64_t end)
{
	AGENT_ASSERT(!maplock_is_mine());
	if (agent->user_mode)
		return user_fetch(start, end) ? 0 : -EFAULT;
	start = to_page_start(start);
	return sys_madvise((void *)start, to_page_end(end) - start, MADV_POPULATE_WRITE);
}

/* Was the same page asked for before? A mutex of the program costs one question, not one per
 * call. */
static bool known(uint64_t page)
{
	static uint64_t asked[KNOWN];
	const size_t i = page / agent_page % KNOWN;

	return __atomic_exchange_n(&asked[i], page, __ATOMIC_RELAXED) == page;
}

void hold_shared(uint64_t start, uint64_t end, bool again)
{
	AGENT_ASSERT(!maplock_is_mine());
	start = to_page_start(start);
	end = to_page_end(end);
	if (agent_managed() && (again || !known(start)) &&
	    !channel_call(CALL_SHARED_AT, start, end - start))
		channel_call(CALL_KEEP, start, end - start);
}

/* How many of the @n pages from @start may be moved, up to the first that is held. Under
 * maplock. */
uint64_t hold_movable(uint64_t start, uint64_t n)
{
	uint32_t used = __atomic_load_n(&agent->holds, __ATOMIC_ACQUIRE);

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(start % agent_page == 0);
	for (size_t i = 0; i < used && n; i++) {
		struct hold *h = hold_at(i);
		uint32_t tid = __atomic_load_n(&h->tid, __ATOMIC_ACQUIRE);
		uint64_t end = __atomic_load_n(&h->end, __ATOMIC_ACQUIRE);
		uint64_t first = __atomic_load_n(&h->start, __ATOMIC_ACQUIRE);

		if (!tid || end <= start || end <= first || first >= start + n * agent_page ||
		    has_ended(tid))
			continue;
		n = first > start ? (first - start) / agent_page : 0;
	}
	return n;
}

/* agent/thread.c - keeps present what the kernel touches of libc's threads and mutexes: records of
 * threads, mutexes it changes.
 *
 * libc's record of a thread lies at the top of its stack. At thread exit the kernel clears in it
 * the word that pthread_join waits for, and reads the list of robust mutexes. userfaultfd refuses
 * to serve a missing page to an exiting task: the word would stay, and the join would wait forever.
 * Where libc makes the stack, managed_end() of maps.c leaves these pages to the kernel. Where the
 * program does, with pthread_attr_setstack, pthread_create is caught here: the thread notes its
 * record, and the helper does not move the pages of a living thread's record.
 *
 * Typical sequence: pthread_create -> slot_take -> (new thread) begin: note the record, wait for a
 * move in progress, touch the record -> the program's function. The slot is reused when its thread
 * has ended.
 *
 * I1  slot->tid is 0 (free), CLAIMED (pthread_create is in progress), or the thread's.
 * I2  When the program's function begins, the record is present, and stays until the thread has
 *     ended: every move that starts after the note sees it.
 *
 * Robust mutexes: the kernel marks those that an exiting thread holds, for their waiters. If the
 * page is missing the mutex stays unmarked, and the next lock waits forever. Mutexes with priority
 * inheritance: the kernel changes their words when it cannot wait for a page (futex.c), in calls
 * that libc makes inline. So the supervisor is asked to leave the page of each in place (in its
 * books only: the program's kernel has nothing locked).
 *
 * Locks: none; a slot belongs to the thread that set its tid. The slots are in the region, so a
 * forked child starts without any. When all slots are taken the supervisor is asked, as for robust
 * mutexes, to leave the top of the stack in place for as long as it is mapped.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "agent/agent.h"
#include "agent/sys.h"

#define CLAIMED      UINT32_MAX
#define RECORD_BYTES 4096u /* enough for libc's struct pthread */
#define RECORD_USED  1024u /* at thread exit the kernel looks at its first part only */

struct thread_slot {
	uint32_t tid;   /* (A) I1 */
	uint64_t start; /* (A) first and last page of the record; 0 before the thread has noted them
			 */
	uint64_t end;
	void *(*function)(void *);
	void *arg;
};

#define NR_SLOTS (THREAD_BYTES / sizeof(struct thread_slot))

static int (*libc_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static struct thread_slot *slot_at(size_t i)
{
	AGENT_ASSERT(i < NR_SLOTS);
	return (struct thread_slot *)agent_threads() + i;
}

/* The pages of libc's record of the calling thread: below the thread pointer, or upwards from
 * it. */
void thread_record(uint64_t *start, uint64_t *end)
{
	uint64_t at = (uintptr_t)__builtin_thread_pointer();

#if defined(__x86_64__)
	*start = at;
	*end = at + RECORD_BYTES;
#else
	*start = at - RECORD_BYTES;
	*end = at;
#endif
	*start &= ~(agent_page - 1);
	*end = (*end + agent_page - 1) & ~(agent_page - 1);
}

static bool has_ended(uint32_t tid)
{
	AGENT_ASSERT(tid != 0);
	return tid != CLAIMED && !filter_forbids(FILTER_TKILL) &&
	       sys_call2(SYS_tkill, tid, 0) == -ESRCH;
}

/* The helper looks at the slots up to the last one ever used. */
static void note_used(uint32_t n)
{
	uint32_t used = __atomic_load_n(&agent->threads, __ATOMIC_RELAXED);

	AGENT_ASSERT(n > 0 && n <= NR_SLOTS);
	while (used < n && !__atomic_compare_exchange_n(&agent->threads, &used, n, false,
							__ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

/* A free slot, or one whose thread has ended; NULL if there is none. */
static struct thread_slot *slot_take(void)
{
	for (int ended = 0; ended < 2; ended++) {
		for (size_t i = 0; i < NR_SLOTS; i++) {
			struct thread_slot *s = slot_at(i);
			uint32_t tid = __atomic_load_n(&s->tid, __ATOMIC_RELAXED);

			if (tid && (!ended || !has_ended(tid)))
				continue;
			if (!__atomic_compare_exchange_n(&s->tid, &tid, CLAIMED, false,
							 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				continue;
			note_used((uint32_t)i + 1);
			return s;
		}
	}
	return NULL;
}

/* How many of the @n pages from @start may be moved, up to the first of a living thread's record.
 * Under maplock. */
uint64_t thread_movable(uint64_t start, uint64_t n)
{
	uint32_t used = __atomic_load_n(&agent->threads, __ATOMIC_ACQUIRE);

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(start % agent_page == 0);
	for (size_t i = 0; i < used && n; i++) {
		struct thread_slot *s = slot_at(i);
		uint32_t tid = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE);
		uint64_t first = __atomic_load_n(&s->start, __ATOMIC_RELAXED);
		uint64_t end = __atomic_load_n(&s->end, __ATOMIC_RELAXED);

		if (!tid || tid == CLAIMED || end <= start || first >= start + n * agent_page ||
		    has_ended(tid))
			continue;
		n = first > start ? (first - start) / agent_page : 0;
	}
	return n;
}

static void *begin(void *arg)
{
	struct thread_slot *s = arg;
	void *(*function)(void *) = s->function;
	uint64_t start, end, mask;

	arg = s->arg;
	thread_record(&start, &end);
	__atomic_store_n(&s->start, start, __ATOMIC_RELAXED);
	__atomic_store_n(&s->end, end, __ATOMIC_RELAXED);
	__atomic_store_n(&s->tid, (uint32_t)sys_call0(SYS_gettid), __ATOMIC_RELEASE);
	sys_block_signals(&mask);
	maplock_lock(); /* wait for a move that has not seen the note */
	maplock_unlock();
	sys_restore_signals(&mask);
	/* Add zero. Touches both ends of what the kernel looks at. */
	__atomic_fetch_add((char *)pthread_self(), 0, __ATOMIC_RELAXED);
	__atomic_fetch_add((char *)pthread_self() + RECORD_USED, 0, __ATOMIC_RELAXED);
	return function(arg);
}

/* Every other attribute leaves the stack's end at address 0. */
static bool has_own_stack(const pthread_attr_t *attr)
{
	void *base;
	size_t size;

	return attr && !pthread_attr_getstack(attr, &base, &size) && (uintptr_t)base + size != 0;
}

/* No slot is left for a thread on this stack. */
static void keep_top(const pthread_attr_t *attr)
{
	void *base;
	size_t size;
	uint64_t end, start;

	if (pthread_attr_getstack(attr, &base, &size))
		return;
	end = ((uintptr_t)base + size + agent_page - 1) & ~(agent_page - 1);
	start = end - STACK_TOP_PAGES * agent_page;
	if (start < (uintptr_t)base)
		start = (uintptr_t)base & ~(agent_page - 1);
	channel_call(CALL_MLOCK, start, end - start);
	/* Adding zero: the page is present from now on. */
	for (; start < end; start += agent_page)
		__atomic_fetch_add((char *)(start < (uintptr_t)base ? (uintptr_t)base : start), 0,
				   __ATOMIC_RELAXED);
}

AGENT_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
				void *(*function)(void *), void *arg)
{
	struct thread_slot *s = NULL;
	bool own;
	int err;

	if (!libc_pthread_create)
		libc_pthread_create =
			(__typeof__(libc_pthread_create))dlsym(RTLD_NEXT, "pthread_create");
	if (!libc_pthread_create)
		return EAGAIN;
	own = agent_managed() && has_own_stack(attr);
	if (own)
		s = slot_take();
	if (own && !s)
		keep_top(attr);
	if (!s)
		return libc_pthread_create(thread, attr, function, arg);
	s->start = s->end = 0;
	s->function = function;
	s->arg = arg;
	err = libc_pthread_create(thread, attr, begin, s);
	if (err)
		__atomic_store_n(&s->tid, 0, __ATOMIC_RELEASE);
	return err;
}

static int (*libc_pthread_mutex_init)(pthread_mutex_t *, const pthread_mutexattr_t *);

static bool kernel_changes(const pthread_mutexattr_t *attr)
{
	int robust = PTHREAD_MUTEX_STALLED, protocol = PTHREAD_PRIO_NONE;

	(void)pthread_mutexattr_getrobust(attr, &robust);
	(void)pthread_mutexattr_getprotocol(attr, &protocol);
	return robust == PTHREAD_MUTEX_ROBUST || protocol == PTHREAD_PRIO_INHERIT;
}

/* It stays there until the mapping ends: a process that maps the mutex elsewhere uses the same
 * page. */
AGENT_EXPORT int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	const uint64_t first = (uintptr_t)mutex & ~(agent_page - 1);
	const uint64_t end = ((uintptr_t)(mutex + 1) + agent_page - 1) & ~(agent_page - 1);
	int err;

	if (!libc_pthread_mutex_init)
		libc_pthread_mutex_init =
			(__typeof__(libc_pthread_mutex_init))dlsym(RTLD_NEXT, "pthread_mutex_init");
	if (!libc_pthread_mutex_init)
		return EAGAIN;
	err = libc_pthread_mutex_init(mutex, attr);
	if (!err && attr && kernel_changes(attr) && agent_managed())
		channel_call(CALL_KEEP, first, end - first);
	return err;
}

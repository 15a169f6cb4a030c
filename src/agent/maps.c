/* agent/maps.c - the replacements for libc's mmap family, and the lock around them.
 *
 * The functions here are both the exported symbols (for callers through the PLT) and the targets of
 * the redirected bodies inside libc (hook.c). They make the system call themselves, set errno as
 * libc does, and keep new private anonymous memory registered with the supervisor.
 *
 * maplock word: bit 0 held, bit 1 has waiters, above them the number of times that the helper moved
 * pages.
 *
 * Memory may outlive a process (standby.c). The process may be killed, or execute a program, while
 * one of its threads, most likely the helper, holds the lock. So the owner is noted, and
 * maplock_inherit() takes the lock over from a dead owner. The winner is the one whose
 * compare-and-swap changes the owner; the loser goes on waiting.
 *
 * I1  Between a successful maplock_lock() and maplock_unlock() the holder's stack is present: the
 *     stack was touched after the word was read, and the helper changes the word when it moves.
 * I2  Nothing that populates memory (mlock, MAP_POPULATE, MADV_POPULATE_*) runs under maplock: its
 *     faults must be served, which may need the helper.
 * I3  munmap, mremap and madvise wait under maplock until the supervisor has read their event; the
 *     supervisor reads events without asking the helper for anything.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "agent/fork.h"
#include "agent/hooks.h"
#include "agent/maps.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define LOCK_HELD   1u
#define LOCK_WAITED 2u
#define LOCK_MOVED  4u

#define OWNER_WAIT_NS 50000000 /* before an owner is suspected to be dead */

#define STACK_BELOW 256 /* stack used by what a hook calls under the lock */
#define STACK_ABOVE 256 /* the hook's own frame */

#define SHARED_BYTES_MIN (64u << 10) /* an object costs the supervisor a descriptor */
#define SHARED_BYTES_MAX (1ull << 44)

/* libc's idea of the break, which sbrk reads; our own if libc does not expose it. */
static void *own_curbrk;
static void **libc_curbrk = &own_curbrk;

void maps_set_curbrk(void **curbrk)
{
	if (curbrk)
		libc_curbrk = curbrk;
}

/* Adding zero writes the page without losing a concurrent store. */
static inline void touch_stack(void)
{
	char *frame = __builtin_frame_address(0);

	__atomic_fetch_add(frame - STACK_BELOW, 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(frame, 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(frame + STACK_ABOVE, 0, __ATOMIC_RELAXED);
}

static void own(void)
{
	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(sys_signals_blocked());
	__atomic_store_n(&agent->maplock_owner, (uint32_t)sys_call0(SYS_gettid), __ATOMIC_RELEASE);
}

bool maplock_is_held(void)
{
	return agent && __atomic_load_n(&agent->maplock, __ATOMIC_RELAXED) & LOCK_HELD;
}

bool maplock_is_mine(void)
{
	return agent && __atomic_load_n(&agent->maplock_owner, __ATOMIC_RELAXED) ==
				(uint32_t)sys_call0(SYS_gettid);
}

bool maplock_trylock(void)
{
	uint32_t v = __atomic_load_n(&agent->maplock, __ATOMIC_RELAXED);

	AGENT_ASSERT(!maplock_is_mine());
	if (v & LOCK_HELD || !__atomic_compare_exchange_n(&agent->maplock, &v, v | LOCK_HELD, false,
							  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	own();
	return true;
}

/* Take the lock over from a dead thread. False: its owner lives, or is unknown. */
bool maplock_inherit(void)
{
	uint32_t dead = __atomic_load_n(&agent->maplock_owner, __ATOMIC_ACQUIRE);

	return dead && !filter_forbids(FILTER_TKILL) && sys_call2(SYS_tkill, dead, 0) == -ESRCH &&
	       __atomic_compare_exchange_n(&agent->maplock_owner, &dead,
					   (uint32_t)sys_call0(SYS_gettid), false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* False: no wake-up arrived for a while. */
static bool wait_for_owner(const uint32_t *word, uint32_t v)
{
	const struct timespec most = { .tv_nsec = OWNER_WAIT_NS };

	return sys_call4(SYS_futex, word, FUTEX_WAIT_PRIVATE, v, &most) != -ETIMEDOUT;
}

/* The caller has blocked signals. A thread that has slept takes the lock with the waiters bit set:
 * there may be more sleepers, and only one is woken. */
__attribute__((noinline)) void maplock_lock(void)
{
	uint32_t *word = &agent->maplock, take = LOCK_HELD, v;

	AGENT_ASSERT(agent);
	AGENT_ASSERT(sys_signals_blocked());
	AGENT_ASSERT(!maplock_is_mine());
	for (;;) {
		v = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		touch_stack();
		if (!(v & LOCK_HELD)) {
			if (!__atomic_compare_exchange_n(word, &v, v | take, false,
							 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				continue;
			own();
			return;
		}
		if (!(v & LOCK_WAITED) &&
		    !__atomic_compare_exchange_n(word, &v, v | LOCK_WAITED, false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED))
			continue;
		/* I1: taken again from the start. */
		if (!wait_for_owner(word, v | LOCK_WAITED) && maplock_inherit())
			maplock_unlock();
		take = LOCK_HELD | LOCK_WAITED;
	}
}

void maplock_unlock(void)
{
	uint32_t v;

	/* A madvise(MADV_DONTNEED) of half the address space fails only after it has dropped all
	 * that the program has, and us. Its end is its own. */
	AGENT_ASSERT(maplock_is_held() || !agent->pid);
	__atomic_store_n(&agent->maplock_owner, 0, __ATOMIC_RELAXED);
	v = __atomic_fetch_and(&agent->maplock, ~(LOCK_HELD | LOCK_WAITED), __ATOMIC_RELEASE);

	if (v & LOCK_WAITED)
		sys_futex_wake(&agent->maplock, 1);
}

/* The helper's unlock after a move. */
void maplock_unlock_moved(void)
{
	AGENT_ASSERT(maplock_is_mine());
	__atomic_fetch_add(&agent->maplock, LOCK_MOVED, __ATOMIC_RELAXED);
	maplock_unlock();
}

/* Run one system call: under maplock, or without it as libc would if the agent was not there. */
#define UNDER_MAPLOCK(result, call)                                                                \
	do {                                                                                       \
		uint64_t mask_;                                                                    \
		if (!agent_managed()) {                                                            \
			(result) = (call);                                                         \
			break;                                                                     \
		}                                                                                  \
		sys_block_signals(&mask_);                                                         \
		maplock_lock();                                                                    \
		(result) = (call);                                                                 \
		maplock_unlock();                                                                  \
		sys_restore_signals(&mask_);                                                       \
	} while (0)

/* Register a new mapping; under maplock. False if the supervisor must do it: our descriptor is
 * gone, or a filter forbids its use. */
static bool register_new(uint64_t start, uint64_t end)
{
	struct uffdio_register r = {
		.range = { .start = start, .len = end - start },
		.mode = agent->mode,
	};
	long err;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(start % agent_page == 0 && end % agent_page == 0);
	if (start >= end)
		return true;
	if (agent->uffd < 0 || filter_forbids(FILTER_REGISTER))
		return false;
	err = sys_ioctl(agent->uffd, UFFDIO_REGISTER, &r);
	if (err != -EBADF && err != -ENOTTY)
		return true;
	agent->uffd = -1;
	agent_debug("userfaultfd lost", err);
	return false;
}

static void adopt(uint64_t start, uint64_t end)
{
	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(start % agent_page == 0 && end % agent_page == 0);
	channel_call(CALL_ADOPT, start, end - start);
}

/* Do what MAP_POPULATE and MAP_LOCKED ask for once the mapping is registered. Best effort, as in
 * the kernel. */
static void populate(uint64_t start, size_t len, int prot, int flags)
{
	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(start % agent_page == 0);
	if (flags & MAP_LOCKED)
		lock_range(start, len, false, 0);
	else if ((flags & MAP_POPULATE) && (prot & PROT_WRITE))
		sys_madvise((void *)start, len, MADV_POPULATE_WRITE);
	else if ((flags & MAP_POPULATE) && prot != PROT_NONE)
		sys_madvise((void *)start, len, MADV_POPULATE_READ);
}

/* Do what mlockall asks for, else what the flags ask for. A mapping that cannot be locked is
 * unmapped, unless it has replaced another. */
static long fill_new(uint64_t start, uint64_t end, size_t len, int prot, int flags)
{
	long err = 0;

	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(start % agent_page == 0);
	if (lock_fills())
		err = lock_new(start, end, prot);
	else if (flags & (MAP_POPULATE | MAP_LOCKED))
		populate(start, len, prot, flags);
	if (!err || (flags & MAP_FIXED))
		return (long)start;
	UNDER_MAPLOCK(err, sys_munmap((void *)start, len));
	return -EAGAIN;
}

/* The top of a thread's stack holds libc's record of the thread, and in it the word that the kernel
 * clears at thread exit, for pthread_join. userfaultfd refuses to serve a missing page to an
 * exiting task: the word would stay, and the join would wait forever. So these pages stay with the
 * kernel; they are measured. For stacks that the program makes see thread.c. */
static uint64_t managed_end(uint64_t start, size_t len, bool of_thread)
{
	const uint64_t top = STACK_TOP_PAGES * agent_page, end = start + page_up(len);

	if (!of_thread)
		return end;
	/* The rest of the agent runs on it, and passes what lies there to system calls. */
	if (agent->user_mode)
		return start;
	return end - start > top ? end - top : start;
}

static long map_managed(void *addr, size_t len, int prot, int flags, int fd, off_t off,
			bool of_thread)
{
	uint64_t mask, end;
	bool known = true;
	long ret;

	AGENT_ASSERT(agent_managed());
	sys_block_signals(&mask);
	maplock_lock();
	ret = sys_mmap(addr, len, prot, flags & ~(MAP_POPULATE | MAP_LOCKED), fd, off);
	end = managed_end((uint64_t)ret, len, of_thread);
	if ((unsigned long)ret <= -4096ul && end > (uint64_t)ret)
		known = register_new((uint64_t)ret, end);
	maplock_unlock();
	sys_restore_signals(&mask);
	if ((unsigned long)ret > -4096ul)
		return ret;
	if (!known)
		adopt((uint64_t)ret, end);
	return fill_new((uint64_t)ret, end, len, prot, flags);
}

/* Shared anonymous memory is a memfd of the supervisor's. The supervisor enters the area in its
 * books and registers it before anybody knows the address, so a child forked in the meantime cannot
 * touch unregistered memory. Adopted or not, it is shared memory. */
static long map_shared(void *addr, size_t len, int prot, int flags)
{
	uint64_t mask;
	long ret;
	int fd;

	AGENT_ASSERT(agent_managed());
	sys_block_signals(&mask);
	fd = channel_call_fd(CALL_SHARED, 0, page_up(len));
	if (fd < 0) {
		agent_debug("shared memory stays with the kernel:", fd);
		maplock_lock();
		ret = sys_mmap(addr, len, prot, flags, -1, 0);
		maplock_unlock();
		sys_restore_signals(&mask);
		if ((unsigned long)ret > -4096ul || !lock_fills())
			return ret;
		return fill_new((uint64_t)ret, (uint64_t)ret + page_up(len), len, prot, flags);
	}
	maplock_lock();
	ret = sys_mmap(addr, len, prot, flags & ~(MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED), fd,
		       0);
	if ((unsigned long)ret <= -4096ul)
		guard_new((uint64_t)ret, (uint64_t)ret + page_up(len));
	maplock_unlock();
	sys_close(fd);
	sys_restore_signals(&mask);
	if ((unsigned long)ret > -4096ul)
		return ret;
	adopt((uint64_t)ret, (uint64_t)ret + page_up(len));
	return fill_new((uint64_t)ret, (uint64_t)ret + page_up(len), len, prot, flags);
}

/* Huge pages and small areas stay with the kernel. */
static bool shared_fits(size_t len, int flags)
{
	const int type = flags & MAP_TYPE;

	return (flags & MAP_ANONYMOUS) && (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) &&
	       !(flags & MAP_HUGETLB) && len >= SHARED_BYTES_MIN && len <= SHARED_BYTES_MAX &&
	       agent_managed() && !agent->user_mode;
}

static long map_unmanaged(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	long ret;

	UNDER_MAPLOCK(ret, sys_mmap(addr, len, prot, flags, fd, off));
	if (ret == -EBADF && memfd_restore(fd) > 0) /* it became a stub in between */
		UNDER_MAPLOCK(ret, sys_mmap(addr, len, prot, flags, fd, off));
	if ((unsigned long)ret <= -4096ul && lock_fills())
		lock_new_unmanaged((uint64_t)ret, len, prot, flags);
	return ret;
}

static long map_backed(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	long ret = backed_map(addr, len, prot, flags, fd, off);

	if (!ret)
		return map_unmanaged(addr, len, prot, flags, fd, off);
	return (unsigned long)ret > -4096ul
		       ? ret
		       : fill_new((uint64_t)ret, (uint64_t)ret + page_up(len), len, prot, flags);
}

static long map_memfd(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	long ret = memfd_map(addr, len, prot, flags, fd, off);

	if (!ret && backed_fits(addr, len, prot, flags, fd, off))
		return map_backed(addr, len, prot, flags, fd, off);
	if (!ret)
		return map_unmanaged(addr, len, prot, flags, fd, off);
	if ((unsigned long)ret > -4096ul)
		return ret;
	return fill_new((uint64_t)ret, (uint64_t)ret + page_up(len), len, prot, flags);
}

void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	const int unfit = MAP_GROWSDOWN | MAP_HUGETLB;
	const bool of_thread =
		flags & MAP_STACK && ((agent_managed() && agent->user_mode) ||
				      origin_makes_threads(__builtin_return_address(0)));
	long ret;

	if (agent_managed())
		flags = origin_flags(len, prot, flags, fd, off);
	if (shared_fits(len, flags))
		ret = map_shared(addr, len, prot, flags);
	else if ((flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE && !(flags & unfit) &&
		 agent_managed())
		ret = map_managed(addr, len, prot, flags, fd, off, of_thread);
	else if (remap_is_ours(flags, fd))
		ret = remap_object(addr, len, prot, flags, fd, off);
	else if (memfd_any() && !(flags & MAP_ANONYMOUS))
		ret = map_memfd(addr, len, prot, flags, fd, off);
	else if (backed_fits(addr, len, prot, flags, fd, off))
		ret = map_backed(addr, len, prot, flags, fd, off);
	else
		ret = map_unmanaged(addr, len, prot, flags, fd, off);
	return (void *)libc_result(ret);
}

int hook_munmap(void *addr, size_t len)
{
	long ret;

	UNDER_MAPLOCK(ret, sys_munmap(addr, len));
	if (!ret)
		huge_split_edges(addr, len);
	return (int)libc_result(ret);
}

/* Is what grows locked? The kernel would fill the new part before it reports the move, and while an
 * event is to come it takes no page from us: the call would never end. */
static bool grows_locked(uint64_t start, size_t old_len, size_t len)
{
	return agent_managed() && old_len && page_up(len) > page_up(old_len) &&
	       (lock_fills() || lock_is_locked(start));
}

/* A mapping that moves or grows keeps its registration. */
void *hook_mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	void *target = NULL;
	va_list ap;
	bool grows;
	long ret;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		target = va_arg(ap, void *);
		va_end(ap);
	}
	grows = grows_locked((uint64_t)old, old_len, len);
	if (grows)
		lock_before_growth((uint64_t)old, page_up(old_len));
	ret = backed_grow(old, old_len, len, flags, target);
	if (!ret)
		UNDER_MAPLOCK(ret, sys_call5(SYS_mremap, old, old_len, len, flags, target));
	/* One mapping is in fact two if a part of it was mapped without the hooks. */
	if (ret == -EFAULT && agent_managed() && page_up((uint64_t)old + old_len) > (uint64_t)old) {
		UNDER_MAPLOCK(ret, register_new(page_down((uint64_t)old),
						page_up((uint64_t)old + old_len)));
		UNDER_MAPLOCK(ret, sys_call5(SYS_mremap, old, old_len, len, flags, target));
	}
	if ((unsigned long)ret <= -4096ul && old_len > len)
		huge_split_edges((char *)ret + len, old_len - len);
	/* Without room to lock the new part, its pages arrive as they are touched. */
	if (grows && (unsigned long)ret <= -4096ul)
		lock_after_growth((uint64_t)ret, page_up(old_len), page_up(len));
	return (void *)libc_result(ret);
}

/* Move the break to @addr and register the new part. Returns the new break; *@old: the break
 * before. */
static uint64_t move_break(uint64_t addr, uint64_t *old)
{
	uint64_t mask, new;
	bool known;

	AGENT_ASSERT(agent_managed());
	sys_block_signals(&mask);
	maplock_lock();
	*old = (uint64_t)sys_call1(SYS_brk, 0);
	new = (uint64_t)sys_call1(SYS_brk, addr);
	known = register_new(page_up(*old), page_up(new));
	maplock_unlock();
	sys_restore_signals(&mask);
	if (!known)
		adopt(page_up(*old), page_up(new));
	return new;
}

/* The new break, as the system call returns it. */
void *maps_brk(void *addr)
{
	uint64_t old, new;

	if (!agent_managed()) {
		*libc_curbrk = (void *)sys_call1(SYS_brk, addr);
		return *libc_curbrk;
	}
	new = move_break((uint64_t)addr, &old);
	if (lock_fills() && lock_new(page_up(old), page_up(new), PROT_READ | PROT_WRITE))
		new = move_break(old, &old);
	*libc_curbrk = (void *)new;
	return (void *)new;
}

int hook_brk(void *addr)
{
	if (maps_brk(addr) >= addr)
		return 0;
	errno = ENOMEM;
	return -1;
}

AGENT_EXPORT_AS(mmap, hook_mmap);
AGENT_EXPORT_AS(mmap64, hook_mmap);
AGENT_EXPORT_AS(munmap, hook_munmap);
AGENT_EXPORT_AS(mremap, hook_mremap);
AGENT_EXPORT_AS(brk, hook_brk);

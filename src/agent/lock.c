/* agent/lock.c - replaces libc's mlock family, and does what mlockall(MCL_FUTURE) asks for new
 * mappings.
 *
 * The supervisor is asked first, because its books say what is locked: it refuses more than the
 * limit leaves room for. Then the kernel locks; the resulting faults are served and charged like
 * any others, outside maplock (I2 of maps.c).
 *
 * MCL_FUTURE. With it the kernel would fill each new mapping before anybody could register it, or
 * charge for it. So the kernel gets MCL_FUTURE | MCL_ONFAULT, which fills nothing, and the hooks
 * lock what they have mapped and registered (lock_new). What is refused is not mapped. What a
 * program cannot touch yet (PROT_NONE) is not locked at all: mprotect makes it accessible piece by
 * piece, and its pages arrive as they are touched.
 *
 * Locks: none.
 */
#include <errno.h>
#include <sys/mman.h>

#include "agent/agent.h"
#include "agent/maps.h"
#include "agent/sys.h"
#include "agent/user/user.h"

#define INTERRUPTED_MAX 1000

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* The call fills memory, and a tracer of the thread, even a brief one, interrupts that. */
static long tell_kernel(uint64_t start, uint64_t len, bool second, unsigned int flags)
{
	struct user_hold hold = { 0 };
	long err;
	int i;

	AGENT_ASSERT(!maplock_is_mine());
	if (agent_managed() && agent->user_mode && !(flags & MLOCK_ONFAULT))
		user_hold(&hold, start, start + len);
	for (i = 0, err = -EINTR; i < INTERRUPTED_MAX && err == -EINTR; i++)
		err = second ? sys_call3(SYS_mlock2, start, len, flags)
			     : sys_call2(SYS_mlock, start, len);
	user_drop(&hold);
	return err;
}

long lock_range(uint64_t start, uint64_t len, bool second, unsigned int flags)
{
	uint64_t first = page_down(start), bytes = page_up(start + len) - first;
	long err = 0;

	AGENT_ASSERT(!maplock_is_mine());
	/* Nothing to lock, or an error of the arguments: the kernel tells. */
	if (first + bytes <= first || flags & ~(unsigned int)MLOCK_ONFAULT)
		return tell_kernel(start, len, second, flags);
	if (agent_managed())
		err = channel_call(CALL_MLOCK, first, bytes) ? -ENOMEM : 0;
	if (err)
		return err;
	err = tell_kernel(start, len, second, flags);
	if (err < 0 && agent_managed())
		channel_call(CALL_MUNLOCK, first, bytes);
	return err;
}

bool lock_fills(void)
{
	return agent_managed() &&
	       __atomic_load_n(&agent->lock_future, __ATOMIC_RELAXED) == LOCK_FUTURE_FILL;
}

/* Like the kernel's own filling, it may end early without an error. */
long lock_new(uint64_t start, uint64_t end, int prot)
{
	long err;

	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(start % agent_page == 0 && end % agent_page == 0);
	if (start >= end)
		return 0;
	if (prot == PROT_NONE) {
		sys_call2(SYS_munlock, start, end - start);
		return 0;
	}
	if (channel_call(CALL_MLOCK, start, end - start) == -ENOMEM) {
		sys_call2(SYS_munlock, start, end - start);
		return -EAGAIN;
	}
	err = tell_kernel(start, end - start, false, 0);
	if (err < 0)
		agent_debug("a new mapping is not filled:", err);
	return 0;
}

/* The kernel's own copies would come all at once, and uncharged: let them come as they are written
 * to. */
void lock_new_unmanaged(uint64_t start, size_t len, int prot, int flags)
{
	bool copies = (flags & MAP_TYPE) == MAP_PRIVATE && (prot & PROT_WRITE);

	AGENT_ASSERT(!maplock_is_mine());
	if (prot != PROT_NONE && !copies)
		sys_call2(SYS_mlock, start, len);
}

/* msync refuses to invalidate locked memory. Where it does not, MS_ASYNC has no effect. */
bool lock_is_locked(uint64_t start)
{
	return sys_call3(SYS_msync, page_down(start), agent_page, MS_ASYNC | MS_INVALIDATE) ==
	       -EBUSY;
}

/* Locked memory is filled as it grows, and that would be under maplock. */
void lock_before_growth(uint64_t start, size_t len)
{
	AGENT_ASSERT(!maplock_is_mine());
	sys_call3(SYS_mlock2, start, len, MLOCK_ONFAULT);
}

/* What was locked before is locked as before, that is, one area with the new part again. */
void lock_after_growth(uint64_t start, size_t old_len, size_t len)
{
	if (!lock_new(start + old_len, start + len, PROT_READ))
		tell_kernel(start, old_len, false, 0);
}

int hook_mlock(const void *addr, size_t len)
{
	return (int)libc_result(lock_range((uint64_t)addr, len, false, 0));
}

int hook_mlock2(const void *addr, size_t len, unsigned int flags)
{
	return (int)libc_result(lock_range((uint64_t)addr, len, true, flags));
}

int hook_munlock(const void *addr, size_t len)
{
	uint64_t first = page_down((uint64_t)addr);
	long ret = sys_call2(SYS_munlock, addr, len);

	if (!ret && agent_managed())
		channel_call(CALL_MUNLOCK, first, page_up((uint64_t)addr + len) - first);
	return (int)libc_result(ret);
}

/* Two steps where one would fill future mappings: the second leaves existing ones alone. */
static long lock_all(int flags)
{
	long ret = 0;

	AGENT_ASSERT(!maplock_is_mine());
	if (!(flags & MCL_FUTURE) || (flags & MCL_ONFAULT))
		return sys_call1(SYS_mlockall, flags);
	if (flags & ~MCL_FUTURE)
		ret = sys_call1(SYS_mlockall, flags & ~MCL_FUTURE);
	return ret < 0 ? ret : sys_call1(SYS_mlockall, MCL_FUTURE | MCL_ONFAULT);
}

int hook_mlockall(int flags)
{
	uint32_t future = !(flags & MCL_FUTURE) ? 0
			  : flags & MCL_ONFAULT ? LOCK_FUTURE_ONFAULT
						: LOCK_FUTURE_FILL;
	long ret;

	if (!agent_managed())
		return (int)libc_result(sys_call1(SYS_mlockall, flags));
	if (channel_call(CALL_MLOCKALL, (uint64_t)(unsigned int)flags, 0))
		return (int)libc_result(-ENOMEM);
	ret = lock_all(flags);
	agent_unlock_region();
	if (ret < 0)
		channel_call(CALL_MUNLOCKALL, 0, 0);
	else
		__atomic_store_n(&agent->lock_future, future, __ATOMIC_RELAXED);
	return (int)libc_result(ret);
}

int hook_munlockall(void)
{
	long ret = sys_call0(SYS_munlockall);

	if (!ret && agent_managed()) {
		__atomic_store_n(&agent->lock_future, 0, __ATOMIC_RELAXED);
		channel_call(CALL_MUNLOCKALL, 0, 0);
	}
	return (int)libc_result(ret);
}

AGENT_EXPORT_AS(mlock, hook_mlock);
AGENT_EXPORT_AS(mlock2, hook_mlock2);
AGENT_EXPORT_AS(mlockall, hook_mlockall);
AGENT_EXPORT_AS(munlock, hook_munlock);
AGENT_EXPORT_AS(munlockall, hook_munlockall);

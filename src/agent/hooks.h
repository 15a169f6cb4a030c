/* agent/hooks.h - shared by the files that replace a function of libc: error returns, and the lock
 * around a change of mappings.
 *
 *     uint64_t mask;
 *     bool held = mappings_lock(&mask);
 *     ret = sys_...
 *     mappings_unlock(held, &mask);
 *
 * Lock: maplock, with signals blocked (agent.h). Nothing that populates memory runs under it (I2 of
 * maps.c).
 */
#ifndef UMEMCG_AGENT_HOOKS_H
#define UMEMCG_AGENT_HOOKS_H

#include <errno.h>

#include "agent/agent.h"
#include "agent/sys.h"

/* Did the system call that returned @ret fail? */
static inline bool sys_failed(long ret)
{
	return (unsigned long)ret > -4096ul;
}

/* Return a system call's result as libc does: -1 and errno, or @ret. */
static inline long hook_result(long ret)
{
	if (!sys_failed(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

/* False: no helper moves pages of this process, and nothing was locked. */
static inline bool mappings_lock(uint64_t *mask)
{
	if (!agent_managed())
		return false;
	sys_block_signals(mask);
	maplock_lock();
	return true;
}

static inline void mappings_unlock(bool held, const uint64_t *mask)
{
	if (!held)
		return;
	maplock_unlock();
	sys_restore_signals(mask);
}

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

/* The word of a futex operation that the kernel itself changes (futex.c); 0: none. Inline for
 * raw.c, which must not use a stack. */
#define FUTEX_FIRST  1u
#define FUTEX_SECOND 2u
#define FUTEX_WAITS  4u /* ... and needs again after it has waited */

static inline unsigned int futex_changes(int op)
{
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAKE_OP:
	case FUTEX_CMP_REQUEUE_PI:
		return FUTEX_SECOND;
	case FUTEX_TRYLOCK_PI:
	case FUTEX_UNLOCK_PI:
		return FUTEX_FIRST;
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return FUTEX_FIRST | FUTEX_WAITS;
	case FUTEX_WAIT_REQUEUE_PI:
		return FUTEX_SECOND | FUTEX_WAITS;
	default:
		return 0;
	}
}

/* get_NAME(): the next function called NAME, which one of ours stands before. Needs dlfcn.h. */
#define NEXT(name)                                                                                 \
	static __typeof__(name) *next_##name;                                                      \
	static __typeof__(name) *get_##name(void)                                                  \
	{                                                                                          \
		if (!__atomic_load_n(&next_##name, __ATOMIC_ACQUIRE))                              \
			__atomic_store_n(&next_##name,                                             \
					 (__typeof__(next_##name))dlsym(RTLD_NEXT, #name),         \
					 __ATOMIC_RELEASE);                                        \
		return next_##name;                                                                \
	}

static inline uint64_t to_page_start(uint64_t x)
{
	return x & ~(agent_page - 1);
}

static inline uint64_t to_page_end(uint64_t x)
{
	return to_page_start(x + agent_page - 1);
}

#endif

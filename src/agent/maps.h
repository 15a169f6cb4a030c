/* agent/maps.h - shared by the replacements of libc's mmap family (maps.c) and mlock family
 * (lock.c).
 *
 * Locks: see maps.c.
 */
#ifndef UMEMCG_AGENT_MAPS_H
#define UMEMCG_AGENT_MAPS_H

#include <errno.h>

#include "agent/agent.h"

#define AGENT_EXPORT_AS(name, hook)                                                                \
	AGENT_EXPORT extern __typeof__(name) name __attribute__((alias(#hook)))

static inline long libc_result(long ret)
{
	if ((unsigned long)ret <= -4096ul)
		return ret;
	errno = (int)-ret;
	return -1;
}

static inline uint64_t page_down(uint64_t x)
{
	return x & ~(agent_page - 1);
}

static inline uint64_t page_up(uint64_t x)
{
	return page_down(x + agent_page - 1);
}

/* ---- lock.c; never under maplock ---- */

/* mlock, or mlock2 with @flags if @second: 0 or -errno. */
long lock_range(uint64_t start, uint64_t len, bool second, unsigned int flags);
/* mlockall asked for future mappings to be filled and locked. */
bool lock_fills(void);
/* Fill and lock a page-aligned range that was mapped and registered. 0; -EAGAIN: the limit has no
 * room for it, and it is not locked. */
long lock_new(uint64_t start, uint64_t end, int prot);
/* The same for what is not registered: best effort. */
void lock_new_unmanaged(uint64_t start, size_t len, int prot, int flags);
/* Is the area at @start locked? */
bool lock_is_locked(uint64_t start);
/* Around the growth of a locked mapping from @old_len to @len bytes: its kernel must not fill the
 * new part in between. Page-aligned. */
void lock_before_growth(uint64_t start, size_t len);
void lock_after_growth(uint64_t start, size_t old_len, size_t len);

#endif

/* agent/guard.c - programs that close every descriptor do not close ours.
 *
 * Daemons and shells sweep the descriptor table. Our userfaultfd answers EBADF to close, is left
 * out of ranges, and moves away when a program claims its number. Only calls through the PLT are
 * caught; if a raw system call closes it, maps.c falls back to asking the supervisor. The same
 * happens when a program insists: one that closes what /proc/self/fd shows until nothing is left
 * would loop forever. The calls themselves are libc's, so cancellation works as before.
 */
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"

#define INSISTS 4 /* closes of what was never opened; a daemon sweeps once or twice */

static int (*libc_close)(int);
static int (*libc_close_range)(unsigned int, unsigned int, int);
static void (*libc_closefrom)(int);
static int (*libc_dup2)(int, int);
static int (*libc_dup3)(int, int, int);

void guard_init(void)
{
	libc_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
	libc_close_range =
		(int (*)(unsigned int, unsigned int, int))dlsym(RTLD_NEXT, "close_range");
	libc_closefrom = (void (*)(int))dlsym(RTLD_NEXT, "closefrom");
	libc_dup2 = (int (*)(int, int))dlsym(RTLD_NEXT, "dup2");
	libc_dup3 = (int (*)(int, int, int))dlsym(RTLD_NEXT, "dup3");
}

/* Constructors of other libraries may run before ours. */
static inline void guard_ready(void)
{
	if (!libc_close)
		guard_init();
}

/* The descriptor to protect, or -1. */
static int ours(void)
{
	return agent_managed() ? __atomic_load_n(&agent->uffd, __ATOMIC_RELAXED) : -1;
}

/* @fd is about to be overwritten. A vfork child shares our memory but not our table: there the
 * parent's number must stay as it is, and the child's copy may go. */
static void make_way(int fd)
{
	uint64_t mask;

	if (fd < 0 || fd != ours() || sys_getpid() != agent->pid)
		return;
	sys_block_signals(&mask);
	maplock_lock();
	if (fd == agent->uffd) {
		long moved = agent_high_fd(fd);

		__atomic_store_n(&agent->uffd, moved < 0 ? -1 : (int)moved, __ATOMIC_RELAXED);
	}
	maplock_unlock();
	sys_restore_signals(&mask);
}

/* It really is closed: from now on the supervisor registers new mappings. */
static void give_up(int fd)
{
	uint64_t mask;

	AGENT_ASSERT(fd >= 0);
	sys_block_signals(&mask);
	maplock_lock();
	if (fd == agent->uffd)
		__atomic_store_n(&agent->uffd, -1, __ATOMIC_RELAXED);
	maplock_unlock();
	sys_restore_signals(&mask);
}

/* May @fd, which is ours, be closed? A vfork child's is a copy, and does not count for its
 * parent. */
static bool insists(int fd)
{
	AGENT_ASSERT(agent_managed());
	if (sys_getpid() != agent->pid)
		return true;
	if (__atomic_add_fetch(&agent->closes, 1, __ATOMIC_RELAXED) < INSISTS)
		return false;
	give_up(fd);
	return true;
}

int guard_fd(void)
{
	return ours();
}

bool guard_refuses(int fd)
{
	return fd >= 0 && fd == ours() && !insists(fd);
}

void guard_make_way(int fd)
{
	make_way(fd);
}

AGENT_EXPORT int close(int fd)
{
	guard_ready();
	if (fd >= 0 && fd == ours() && !insists(fd)) {
		errno = EBADF;
		return -1;
	}
	return libc_close(fd);
}

/* Each function calls the next one of its own name: see hide.c. */
static int range(unsigned int first, unsigned int last, int flags)
{
	if (libc_close_range)
		return libc_close_range(first, last, flags);
	errno = ENOSYS;
	return -1;
}

AGENT_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	int fd;
	unsigned int u;

	guard_ready();
	fd = ours();
	u = (unsigned int)fd;
	if (fd < 0 || first > last || u < first || u > last)
		return range(first, last, flags);
	if (u > first && range(first, u - 1, flags))
		return -1;
	return u < last ? range(u + 1, last, flags) : 0;
}

AGENT_EXPORT void closefrom(int low)
{
	int fd, i;

	guard_ready();
	fd = ours();
	if (low < 0)
		low = 0;
	if (fd >= low) {
		if (fd > low && sys_call3(SYS_close_range, low, fd - 1, 0)) {
			for (i = low; i < fd; i++)
				sys_close(i);
		}
		low = fd + 1;
	}
	if (libc_closefrom)
		libc_closefrom(low);
	else
		sys_call3(SYS_close_range, low, ~0u, 0);
}

AGENT_EXPORT int dup2(int from, int to)
{
	guard_ready();
	if (memfd_refused(&from, 1))
		return -1;
	make_way(to);
	return libc_dup2(from, to);
}

AGENT_EXPORT int dup3(int from, int to, int flags)
{
	guard_ready();
	if (memfd_refused(&from, 1))
		return -1;
	make_way(to);
	return libc_dup3(from, to, flags);
}

/* agent/hide.c - the helper does not count as a thread of the program's.
 *
 * Chromium, and what is made of it, asks whether it has one thread only, by the number of links of /proc/self/task,
 * and stops where it has more: its processes are forks, and what other threads hold at a fork stays held. That is not
 * true of the helper, which holds nothing. So the number that stat(2) tells a process about its own threads is without
 * it.
 *
 * What looks like that directory is looked at once more; nothing else of a program's stat costs more than a call.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/sys.h"

#if defined(__x86_64__)
#define CALL_FSTATAT SYS_newfstatat
#else
#define CALL_FSTATAT SYS_fstatat
#endif

#define TASK_MODE (S_IFDIR | 0555)
#define LINKS_MIN 4  /* ".", "..", the thread that asks, and the helper */

/* On 64 bits there is one struct stat: libc's is the kernel's. */
static int (*libc_fstatat)(int, const char *, struct stat *, int);
static int (*libc_fstat)(int, struct stat *);

void hide_init(void)
{
	libc_fstat = (__typeof__(libc_fstat))dlsym(RTLD_NEXT, "fstat64");
	__atomic_store_n(&libc_fstatat, (__typeof__(libc_fstatat))dlsym(RTLD_NEXT, "fstatat64"), __ATOMIC_RELEASE);
}

/* Constructors of other libraries may run before ours. */
static inline void hide_ready(void)
{
	if (!__atomic_load_n(&libc_fstatat, __ATOMIC_ACQUIRE))
		hide_init();
}

static bool is_own_task(const struct stat *st)
{
	struct stat own;

	return agent_managed() && agent->pid == sys_getpid() &&
	       sys_call4(CALL_FSTATAT, AT_FDCWD, "/proc/self/task", &own, 0) == 0 && own.st_dev == st->st_dev &&
	       own.st_ino == st->st_ino;
}

static int without_helper(int ret, struct stat *st)
{
	if (!ret && st->st_mode == TASK_MODE && !st->st_size && st->st_nlink >= LINKS_MIN && is_own_task(st))
		st->st_nlink--;
	return ret;
}

static int hide_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	hide_ready();
	if (libc_fstatat)
		return without_helper(libc_fstatat(dir, path, st, flags), st);
	errno = ENOSYS;
	return -1;
}

static int hide_stat(const char *path, struct stat *st)
{
	return hide_fstatat(AT_FDCWD, path, st, 0);
}

static int hide_lstat(const char *path, struct stat *st)
{
	return hide_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

static int hide_fstat(int fd, struct stat *st)
{
	hide_ready();
	if (libc_fstat)
		return without_helper(libc_fstat(fd, st), st);
	errno = ENOSYS;
	return -1;
}

/* What programs that were linked with an older libc call. */
static int hide_xstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return hide_stat(path, st);
}

static int hide_lxstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return hide_lstat(path, st);
}

static int hide_fxstat(int version, int fd, struct stat *st)
{
	(void)version;
	return hide_fstat(fd, st);
}

static int hide_fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
	(void)version;
	return hide_fstatat(dir, path, st, flags);
}

#define EXPORT(symbol, hook) \
	AGENT_EXPORT extern __typeof__(hook) export_##symbol __asm__(#symbol) __attribute__((alias(#hook)))

EXPORT(stat, hide_stat);
EXPORT(stat64, hide_stat);
EXPORT(lstat, hide_lstat);
EXPORT(lstat64, hide_lstat);
EXPORT(fstat, hide_fstat);
EXPORT(fstat64, hide_fstat);
EXPORT(fstatat, hide_fstatat);
EXPORT(fstatat64, hide_fstatat);
EXPORT(__xstat, hide_xstat);
EXPORT(__xstat64, hide_xstat);
EXPORT(__lxstat, hide_lxstat);
EXPORT(__lxstat64, hide_lxstat);
EXPORT(__fxstat, hide_fxstat);
EXPORT(__fxstat64, hide_fxstat);
EXPORT(__fxstatat, hide_fxstatat);
EXPORT(__fxstatat64, hide_fxstatat);

/* agent/hide.c - the helper does not count as one of the program's threads.
 *
 * Chromium, and what is built on it, checks by the link count of /proc/self/task that it has only
 * one thread, and aborts otherwise: its processes are forks, and locks held by other threads at a
 * fork stay held. That does not apply to the helper, which holds none. So the count that stat(2)
 * reports to a process about its own threads excludes it.
 *
 * Only results that look like that directory are checked again; any other stat of the program costs
 * one extra call. A sandbox may look at it by a descriptor of /proc, from a root directory where
 * /proc is not visible (Chromium's zygote). Then the directory itself is asked whether one of the
 * two threads in it is a helper.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/sys.h"

#if defined(__x86_64__)
#define CALL_FSTATAT SYS_newfstatat
#else
#define CALL_FSTATAT SYS_fstatat
#endif

#define TASK_MODE (S_IFDIR | 0555)
#define LINKS_MIN 4 /* ".", "..", the calling thread, and the helper */

#define NAME_BYTES    32
#define ENTRIES_BYTES 512 /* four entries of 24 or 32 bytes */

/* Every function calls the next one of its own name, never another: if another preloaded library
 * has one of these call the other by name, it would recurse into us without end (libfakeroot does).
 * X(name, kind of parameters, flags of fstatat). */
#define STAT_FUNCTIONS(X)                                                                          \
	X(stat, PATH, 0)                                                                           \
	X(stat64, PATH, 0)                                                                         \
	X(lstat, PATH, AT_SYMLINK_NOFOLLOW)                                                        \
	X(lstat64, PATH, AT_SYMLINK_NOFOLLOW)                                                      \
	X(fstat, FD, AT_EMPTY_PATH)                                                                \
	X(fstat64, FD, AT_EMPTY_PATH)                                                              \
	X(fstatat, AT, 0)                                                                          \
	X(fstatat64, AT, 0)                                                                        \
	X(__xstat, XPATH, 0)                                                                       \
	X(__xstat64, XPATH, 0)                                                                     \
	X(__lxstat, XPATH, AT_SYMLINK_NOFOLLOW)                                                    \
	X(__lxstat64, XPATH, AT_SYMLINK_NOFOLLOW)                                                  \
	X(__fxstat, XFD, AT_EMPTY_PATH)                                                            \
	X(__fxstat64, XFD, AT_EMPTY_PATH)                                                          \
	X(__fxstatat, XAT, 0)                                                                      \
	X(__fxstatat64, XAT, 0)

#define INDEX(symbol, kind, flags) NEXT_##symbol,
enum { STAT_FUNCTIONS(INDEX) NR_NEXT };

#define NAME(symbol, kind, flags) [NEXT_##symbol] = #symbol,
static const char *const names[] = { STAT_FUNCTIONS(NAME) };

/* NULL if there is none: the system call is made instead. */
static void *next[NR_NEXT];
static uint32_t ready;

void hide_init(void)
{
	for (int i = 0; i < NR_NEXT; i++)
		next[i] = dlsym(RTLD_NEXT, names[i]);
	__atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

/* Constructors of other libraries may run before ours. */
static inline void *next_of(int i)
{
	if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		hide_init();
	return next[i];
}

/* Is the entry @name of the list of threads @list a helper? */
static bool names_helper(int list, const char *name)
{
	char path[NAME_BYTES], text[sizeof HELPER_NAME];
	size_t n = strlen(name);
	long fd, got;

	AGENT_ASSERT(list >= 0);
	if (*name < '0' || *name > '9' || n + sizeof "/comm" > sizeof path)
		return false;
	memcpy(path, name, n);
	memcpy(path + n, "/comm", sizeof "/comm");
	fd = sys_call4(SYS_openat, list, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	got = sys_call3(SYS_read, fd, text, sizeof text);
	sys_close((int)fd);
	return got == (long)sizeof text && !memcmp(text, HELPER_NAME, sizeof text - 1);
}

/* Does the directory, of two threads, list a helper? */
static bool lists_helper(int dir, const char *path)
{
	_Alignas(struct dirent64) char entries[ENTRIES_BYTES];
	long list = sys_call4(SYS_openat, dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), n;
	bool found = false;

	if (list < 0)
		return false;
	n = sys_call3(SYS_getdents64, list, entries, sizeof entries);
	for (long at = 0; at < n && !found;) {
		const struct dirent64 *e = (const struct dirent64 *)(entries + at);

		found = names_helper((int)list, e->d_name);
		at += e->d_reclen;
	}
	sys_close((int)list);
	return found;
}

static bool is_own_task(const struct stat *st, int dir, const char *path)
{
	struct stat own;

	if (!agent_managed() || agent->pid != sys_getpid())
		return false;
	if (sys_call4(CALL_FSTATAT, AT_FDCWD, "/proc/self/task", &own, 0) == 0)
		return own.st_dev == st->st_dev && own.st_ino == st->st_ino;
	return st->st_nlink == LINKS_MIN && lists_helper(dir, path);
}

/* @ret and @st: the result for @path in directory @dir. */
static int without_helper(int ret, struct stat *st, int dir, const char *path)
{
	if (!ret && st->st_mode == TASK_MODE && !st->st_size && st->st_nlink >= LINKS_MIN &&
	    is_own_task(st, dir, path))
		st->st_nlink--;
	return ret;
}

static int kernel_stat(int dir, const char *path, struct stat *st, int flags)
{
	long err = sys_call4(CALL_FSTATAT, dir, path, st, flags);

	if (!err)
		return 0;
	errno = (int)-err;
	return -1;
}

/* On 64 bits there is one struct stat: libc's is the kernel's. Programs linked with an older libc
 * call the names with x. */
#define TYPE_PATH  const char *path, struct stat *st
#define TYPE_FD    int fd, struct stat *st
#define TYPE_AT    int dir, const char *path, struct stat *st, int how
#define TYPE_XPATH int version, TYPE_PATH
#define TYPE_XFD   int version, TYPE_FD
#define TYPE_XAT   int version, TYPE_AT

#define PASS_PATH  path, st
#define PASS_FD    fd, st
#define PASS_AT    dir, path, st, how
#define PASS_XPATH version, PASS_PATH
#define PASS_XFD   version, PASS_FD
#define PASS_XAT   version, PASS_AT

#define WHERE_PATH  AT_FDCWD, path
#define WHERE_FD    fd, "."
#define WHERE_AT    dir, *path ? path : "."
#define WHERE_XPATH WHERE_PATH
#define WHERE_XFD   WHERE_FD
#define WHERE_XAT   WHERE_AT

#define ASK_PATH(flags)  kernel_stat(AT_FDCWD, path, st, flags)
#define ASK_FD(flags)    kernel_stat(fd, "", st, flags)
#define ASK_AT(flags)    kernel_stat(dir, path, st, how)
#define ASK_XPATH(flags) ((void)version, ASK_PATH(flags))
#define ASK_XFD(flags)   ((void)version, ASK_FD(flags))
#define ASK_XAT(flags)   ((void)version, ASK_AT(flags))

#define EXPORT(symbol, kind, flags)                                                                \
	AGENT_EXPORT int export_##symbol(TYPE_##kind) __asm__(#symbol);                            \
	int export_##symbol(TYPE_##kind)                                                           \
	{                                                                                          \
		int (*fn)(TYPE_##kind) = (__typeof__(fn))next_of(NEXT_##symbol);                   \
                                                                                                   \
		return without_helper(fn ? fn(PASS_##kind) : ASK_##kind(flags), st, WHERE_##kind); \
	}

STAT_FUNCTIONS(EXPORT)

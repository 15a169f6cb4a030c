/* tests/native/prog/cross.c - a library to preload, whose functions call each other by name.
 *
 * As libraries do that see to files (libfakeroot) or to time: each function of a pair ends in the
 * other, which ends in the next of its own name. A library beside it that does the same the other
 * way round would call for ever. At its end it says how many calls came by, if $CROSS_TELL is set.
 */
/* Each name is one function here. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned calls;

#define NEXT(name, type, parameters, arguments)                                                    \
	type name parameters;                                                                      \
	type name parameters                                                                       \
	{                                                                                          \
		static type(*next) parameters;                                                     \
                                                                                                   \
		if (!next)                                                                         \
			next = (__typeof__(next))dlsym(RTLD_NEXT, #name);                          \
		calls++;                                                                           \
		return next arguments;                                                             \
	}

/* Names that the headers give a kind of their own are written as the linker knows them. */
#define STAT  (const char *path, struct stat *st)
#define FSTAT (int fd, struct stat *st)
#define AT    (int dir, const char *path, struct stat *st, int flags)
#define IN    (int fd, void *buf, size_t n, off_t at)
#define OUT   (int fd, const void *buf, size_t n, off_t at)

int by_stat64 STAT __asm__("stat64");
int by_stat64 STAT
{
	return stat(path, st);
}
int by_lstat64 STAT __asm__("lstat64");
int by_lstat64 STAT
{
	return lstat(path, st);
}
int by_fstat64 FSTAT __asm__("fstat64");
int by_fstat64 FSTAT
{
	return fstat(fd, st);
}
int by_fstatat64 AT __asm__("fstatat64");
int by_fstatat64 AT
{
	return flags || dir != -100 ? fstatat(dir, path, st, flags) : stat(path, st);
}
ssize_t by_pread64 IN __asm__("pread64");
ssize_t by_pread64 IN
{
	return pread(fd, buf, n, at);
}
ssize_t by_pwrite64 OUT __asm__("pwrite64");
ssize_t by_pwrite64 OUT
{
	return pwrite(fd, buf, n, at);
}

NEXT(stat, int, STAT, (path, st))
NEXT(lstat, int, STAT, (path, st))
NEXT(fstat, int, FSTAT, (fd, st))
NEXT(fstatat, int, AT, (dir, path, st, flags))
NEXT(pread, ssize_t, IN, (fd, buf, n, at))
NEXT(pwrite, ssize_t, OUT, (fd, buf, n, at))
NEXT(read, ssize_t, (int fd, void *buf, size_t n), (fd, buf, n))
NEXT(write, ssize_t, (int fd, const void *buf, size_t n), (fd, buf, n))
NEXT(close, int, (int fd), (fd))
NEXT(dup2, int, (int from, int to), (from, to))

void closefrom(int low)
{
	(void)close_range((unsigned)low, ~0u, 0);
}

__attribute__((destructor)) static void tell(void)
{
	if (getenv("CROSS_TELL"))
		fprintf(stderr, "cross: %s\n", calls ? "called" : "never called");
}

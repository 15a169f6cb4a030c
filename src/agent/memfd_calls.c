/* agent/memfd_calls.c - what a program can do with a managed memfd that only the kernel can: the
 * file becomes the kernel's, and the call is made with a real descriptor (memfd.c).
 *
 * Calls that the kernel refuses with EBADF are made first, and once more afterwards (AGAIN): they
 * cost nothing where no memfd is meant. Calls that would pass a stub on, or that libc makes in ways
 * that we do not see, look first (FIRST).
 *
 * Each function calls the next one of its own name: see hide.c.
 *
 * Locks: none.
 */
#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/hooks.h"

/* What libc calls where sources are compiled with checks, and functions newer than the oldest libc
 * that this is built with. */
extern int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);
extern ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
extern ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size);
extern ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t size);
extern int pidfd_getfd(int pidfd, int fd, unsigned int flags);

#ifdef SYS_pidfd_getfd
#define CALL_GETFD SYS_pidfd_getfd
#else
#define CALL_GETFD 438
#endif

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

#define AGAIN(failure, name, parameters, arguments, ...)                                           \
	NEXT(name)                                                                                 \
	AGENT_EXPORT __typeof__(failure) export_##name parameters __asm__(#name);                  \
	__typeof__(failure) export_##name parameters                                               \
	{                                                                                          \
		const int fds[] = { __VA_ARGS__ };                                                 \
		__typeof__(failure) ret = get_##name() arguments;                                  \
                                                                                                   \
		if (ret == failure && memfd_again(fds, COUNT(fds)))                                \
			ret = get_##name() arguments;                                              \
		return ret;                                                                        \
	}

#define ERROR ((ssize_t)-1)

AGAIN(ERROR, readv, (int fd, const struct iovec *piece, int n), (fd, piece, n), fd)
AGAIN(ERROR, writev, (int fd, const struct iovec *piece, int n), (fd, piece, n), fd)
AGAIN(ERROR, preadv2, (int fd, const struct iovec *piece, int n, off_t at, int flags),
      (fd, piece, n, at, flags), fd)
AGAIN(ERROR, preadv64v2, (int fd, const struct iovec *piece, int n, off64_t at, int flags),
      (fd, piece, n, at, flags), fd)
AGAIN(ERROR, pwritev2, (int fd, const struct iovec *piece, int n, off_t at, int flags),
      (fd, piece, n, at, flags), fd)
AGAIN(ERROR, pwritev64v2, (int fd, const struct iovec *piece, int n, off64_t at, int flags),
      (fd, piece, n, at, flags), fd)
AGAIN(ERROR, __read_chk, (int fd, void *buf, size_t n, size_t size), (fd, buf, n, size), fd)
AGAIN(ERROR, __pread_chk, (int fd, void *buf, size_t n, off_t at, size_t size),
      (fd, buf, n, at, size), fd)
AGAIN(ERROR, __pread64_chk, (int fd, void *buf, size_t n, off64_t at, size_t size),
      (fd, buf, n, at, size), fd)
AGAIN((off_t)-1, lseek, (int fd, off_t at, int whence), (fd, at, whence), fd)
AGAIN((off64_t)-1, lseek64, (int fd, off64_t at, int whence), (fd, at, whence), fd)
AGAIN(ERROR, sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n), out, in)
AGAIN(ERROR, sendfile64, (int out, int in, off64_t *at, size_t n), (out, in, at, n), out, in)
AGAIN(ERROR, copy_file_range,
      (int in, off64_t *at, int out, off64_t *to, size_t n, unsigned int flags),
      (in, at, out, to, n, flags), in, out)
AGAIN(ERROR, readahead, (int fd, off64_t at, size_t n), (fd, at, n), fd)
AGAIN(-1, fsync, (int fd), (fd), fd)
AGAIN(-1, fdatasync, (int fd), (fd), fd)
AGAIN(-1, syncfs, (int fd), (fd), fd)
AGAIN(-1, sync_file_range, (int fd, off64_t at, off64_t n, unsigned int flags), (fd, at, n, flags),
      fd)
AGAIN(-1, flock, (int fd, int how), (fd, how), fd)
AGAIN(-1, lockf, (int fd, int how, off_t n), (fd, how, n), fd)
AGAIN(-1, lockf64, (int fd, int how, off64_t n), (fd, how, n), fd)
AGAIN(-1, fchmod, (int fd, mode_t to), (fd, to), fd)
AGAIN(-1, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), fd)
AGAIN(-1, futimens, (int fd, const struct timespec *times), (fd, times), fd)
AGAIN(-1, futimes, (int fd, const struct timeval *times), (fd, times), fd)
AGAIN(-1, fsetxattr, (int fd, const char *name, const void *value, size_t n, int flags),
      (fd, name, value, n, flags), fd)
AGAIN(ERROR, fgetxattr, (int fd, const char *name, void *value, size_t n), (fd, name, value, n), fd)
AGAIN(ERROR, flistxattr, (int fd, char *list, size_t n), (fd, list, n), fd)
AGAIN(-1, fremovexattr, (int fd, const char *name), (fd, name), fd)

NEXT(ioctl)
AGENT_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	ret = get_ioctl()(fd, request, arg);
	return ret == -1 && memfd_again(&fd, 1) ? get_ioctl()(fd, request, arg) : ret;
}

/* They return the error. */
#define ADVISE(name)                                                                               \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, off_t at, off_t n, int advice) __asm__(#name);      \
	int export_##name(int fd, off_t at, off_t n, int advice)                                   \
	{                                                                                          \
		const int saved = errno;                                                           \
		int err = get_##name()(fd, at, n, advice);                                         \
                                                                                                   \
		if (err == EBADF) {                                                                \
			errno = err;                                                               \
			err = memfd_again(&fd, 1) ? get_##name()(fd, at, n, advice) : errno;       \
			errno = saved;                                                             \
		}                                                                                  \
		return err;                                                                        \
	}

ADVISE(posix_fadvise)
ADVISE(posix_fadvise64)

/* ---- before the call ---- */

#define FIRST(failure, name, parameters, arguments, ...)                                           \
	NEXT(name)                                                                                 \
	AGENT_EXPORT __typeof__(failure) export_##name parameters __asm__(#name);                  \
	__typeof__(failure) export_##name parameters                                               \
	{                                                                                          \
		const int fds[] = { __VA_ARGS__ };                                                 \
                                                                                                   \
		if (memfd_any() && memfd_refused(fds, COUNT(fds)))                                 \
			return failure;                                                            \
		return get_##name() arguments;                                                     \
	}

FIRST(-1, dup, (int fd), (fd), fd)
FIRST((FILE *)NULL, fdopen, (int fd, const char *how), (fd, how), fd)
FIRST(-1, vdprintf, (int fd, const char *format, va_list ap), (fd, format, ap), fd)
FIRST(-1, __vdprintf_chk, (int fd, int flag, const char *format, va_list ap),
      (fd, flag, format, ap), fd)
FIRST(-1, aio_read, (struct aiocb * cb), (cb), cb->aio_fildes)
FIRST(-1, aio_read64, (struct aiocb64 * cb), (cb), cb->aio_fildes)
FIRST(-1, aio_write, (struct aiocb * cb), (cb), cb->aio_fildes)
FIRST(-1, aio_write64, (struct aiocb64 * cb), (cb), cb->aio_fildes)
FIRST(ENOMEM, posix_spawn_file_actions_adddup2,
      (posix_spawn_file_actions_t * actions, int fd, int to), (actions, fd, to), fd)

#define LIST(name, type)                                                                           \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int how, type *const list[], int n,                         \
				       struct sigevent *done) __asm__(#name);                      \
	int export_##name(int how, type *const list[], int n, struct sigevent *done)               \
	{                                                                                          \
		for (int i = 0; memfd_any() && i < n; i++)                                         \
			if (list[i] && memfd_refused(&list[i]->aio_fildes, 1))                     \
				return -1;                                                         \
		return get_##name()(how, list, n, done);                                           \
	}

LIST(lio_listio, struct aiocb)
LIST(lio_listio64, struct aiocb64)

AGENT_EXPORT int export_dprintf(int fd, const char *format, ...) __asm__("dprintf");
int export_dprintf(int fd, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = export_vdprintf(fd, format, ap);
	va_end(ap);
	return n;
}

AGENT_EXPORT int export_dprintf_chk(int fd, int flag, const char *format,
				    ...) __asm__("__dprintf_chk");
int export_dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = export___vdprintf_chk(fd, flag, format, ap);
	va_end(ap);
	return n;
}

/* Does fcntl do with a stub what it would do with the descriptor that the program made? */
static bool is_harmless(int command, long arg)
{
	return command == F_GETFD || (command == F_SETFD && arg & FD_CLOEXEC);
}

/* 0: the kernel is to do it. 1: *@ret is the answer. */
static bool control(int fd, int command, long arg, int *ret)
{
	struct stat st;

	if (!memfd_any() || is_harmless(command, arg) || !memfd_is_stub(fd, &st))
		return false;
	if (command == F_GETFL)
		*ret = memfd_mode();
	else if (command == F_GET_SEALS)
		*ret = F_SEAL_SEAL;
	else if (memfd_refused(&fd, 1))
		*ret = -1;
	else
		return false;
	return true;
}

#define CONTROL(name)                                                                              \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, int command, ...) __asm__(#name);                   \
	int export_##name(int fd, int command, ...)                                                \
	{                                                                                          \
		va_list ap;                                                                        \
		long arg;                                                                          \
		int ret;                                                                           \
                                                                                                   \
		va_start(ap, command);                                                             \
		arg = va_arg(ap, long);                                                            \
		va_end(ap);                                                                        \
		return control(fd, command, arg, &ret) ? ret : get_##name()(fd, command, arg);     \
	}

CONTROL(fcntl)
CONTROL(fcntl64)

/* ---- descriptors that another process gets ---- */

static bool refuses_passed(const struct msghdr *m)
{
	for (const struct cmsghdr *c = m->msg_control ? CMSG_FIRSTHDR(m) : NULL; c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, (struct cmsghdr *)(uintptr_t)c)) {
		const int *fd = (const int *)(const void *)CMSG_DATA(c);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len >= CMSG_LEN(0) &&
		    memfd_refused(fd, (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof *fd)))
			return true;
	}
	return false;
}

NEXT(sendmsg)
AGENT_EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (memfd_any() && m && refuses_passed(m))
		return -1;
	return get_sendmsg()(fd, m, flags);
}

NEXT(sendmmsg)
AGENT_EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	for (unsigned int i = 0; memfd_any() && m && i < n; i++)
		if (refuses_passed(&m[i].msg_hdr))
			return -1;
	return get_sendmmsg()(fd, m, n, flags);
}

/* The owner's is a stub. */
AGENT_EXPORT int pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
	const long got = sys_call3(CALL_GETFD, pidfd, fd, flags);

	return (int)hook_result(got < 0 ? got : memfd_taken((int)got));
}

/* ---- its execution ---- */

long memfd_copy(const char *path)
{
	struct stat st;
	long from, to, got = 1;
	off_t at = 0;

	if (!memfd_find_path(path, &st))
		return -EINVAL;
	from = sys_call4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (from < 0)
		return from;
	to = sys_call2(SYS_memfd_create, "copy", MFD_CLOEXEC);
	while (to >= 0 && at < st.st_size && got > 0)
		got = sys_call4(SYS_sendfile, to, from, &at, st.st_size - at);
	sys_close((int)from);
	if (to >= 0 && at == st.st_size)
		return to;
	if (to >= 0)
		sys_close((int)to);
	return -ENOMEM;
}

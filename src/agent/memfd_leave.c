/* agent/memfd_leave.c - what a program can do with a managed memfd that only the kernel can: it
 * becomes the kernel's first (memfd.c).
 *
 * F_SEAL_WRITE; sendfile, splice, copy_file_range; stdio and POSIX asynchronous I/O; a descriptor
 * that another process gets, by a socket or by exec; execution of the file. (Private mappings and
 * those for reading only are in memfd.c, rings of io_uring in pin.c and raw.c.)
 *
 * Each function calls the next one of its own name: see hide.c.
 *
 * Locks: none.
 */
#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hooks.h"

/* Behind dprintf, where sources are compiled with checks. */
extern int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);

#define ALL_SEALS_OF_WRITE (F_SEAL_WRITE | 0x10 /* F_SEAL_FUTURE_WRITE */)

/* Leave, then make the call; it fails if the content does not fit into memory. */
#define LEAVING(failure, name, parameters, arguments, ...)                                         \
	NEXT(name)                                                                                 \
	AGENT_EXPORT __typeof__(failure) export_##name parameters __asm__(#name);                  \
	__typeof__(failure) export_##name parameters                                               \
	{                                                                                          \
		const int fds[] = { __VA_ARGS__ };                                                 \
                                                                                                   \
		for (size_t i = 0; memfd_any() && i < sizeof fds / sizeof fds[0]; i++)             \
			if (memfd_leave(fds[i])) {                                                 \
				errno = ENOMEM;                                                    \
				return failure;                                                    \
			}                                                                          \
		return get_##name() arguments;                                                     \
	}

LEAVING((ssize_t)-1, sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n), out, in)
LEAVING((ssize_t)-1, sendfile64, (int out, int in, off_t *at, size_t n), (out, in, at, n), out, in)
LEAVING((ssize_t)-1, copy_file_range,
	(int in, off64_t *at, int out, off64_t *to, size_t n, unsigned int flags),
	(in, at, out, to, n, flags), in, out)
LEAVING((FILE *)NULL, fdopen, (int fd, const char *mode), (fd, mode), fd)
LEAVING(-1, vdprintf, (int fd, const char *format, va_list ap), (fd, format, ap), fd)
LEAVING(-1, __vdprintf_chk, (int fd, int flag, const char *format, va_list ap),
	(fd, flag, format, ap), fd)
LEAVING(-1, aio_read, (struct aiocb * cb), (cb), cb->aio_fildes)
LEAVING(-1, aio_read64, (struct aiocb64 * cb), (cb), cb->aio_fildes)
LEAVING(-1, aio_write, (struct aiocb * cb), (cb), cb->aio_fildes)
LEAVING(-1, aio_write64, (struct aiocb64 * cb), (cb), cb->aio_fildes)

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

/* libc reads and writes a stream past our functions; its file may have been named in /proc. */
#define STREAM(name, parameters, arguments)                                                        \
	NEXT(name)                                                                                 \
	AGENT_EXPORT FILE *export_##name parameters __asm__(#name);                                \
	FILE *export_##name parameters                                                             \
	{                                                                                          \
		FILE *f = get_##name() arguments;                                                  \
                                                                                                   \
		if (f && memfd_any() && memfd_leave(fileno(f))) {                                  \
			fclose(f);                                                                 \
			errno = ENOMEM;                                                            \
			return NULL;                                                               \
		}                                                                                  \
		return f;                                                                          \
	}

STREAM(fopen, (const char *path, const char *mode), (path, mode))
STREAM(fopen64, (const char *path, const char *mode), (path, mode))
STREAM(freopen, (const char *path, const char *mode, FILE *stream), (path, mode, stream))
STREAM(freopen64, (const char *path, const char *mode, FILE *stream), (path, mode, stream))

#define CONTROL(name)                                                                              \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, int command, ...) __asm__(#name);                   \
	int export_##name(int fd, int command, ...)                                                \
	{                                                                                          \
		va_list ap;                                                                        \
		long arg;                                                                          \
                                                                                                   \
		va_start(ap, command);                                                             \
		arg = va_arg(ap, long);                                                            \
		va_end(ap);                                                                        \
		if (command == F_ADD_SEALS && arg & ALL_SEALS_OF_WRITE && memfd_leave(fd)) {       \
			errno = ENOMEM;                                                            \
			return -1;                                                                 \
		}                                                                                  \
		return get_##name()(fd, command, arg);                                             \
	}

CONTROL(fcntl)
CONTROL(fcntl64)

/* ---- descriptors that another process gets ---- */

static long leave_passed(const struct msghdr *m)
{
	for (const struct cmsghdr *c = CMSG_FIRSTHDR(m); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, (struct cmsghdr *)(uintptr_t)c)) {
		const int *fd = (const int *)(const void *)CMSG_DATA(c);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len < CMSG_LEN(0))
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof *fd; i++) {
			long err = memfd_leave(fd[i]);

			if (err)
				return err;
		}
	}
	return 0;
}

NEXT(sendmsg)
AGENT_EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (memfd_any() && m && m->msg_control && leave_passed(m)) {
		errno = ENOMEM;
		return -1;
	}
	return get_sendmsg()(fd, m, flags);
}

NEXT(sendmmsg)
AGENT_EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	for (unsigned int i = 0; memfd_any() && m && i < n; i++)
		if (m[i].msg_hdr.msg_control && leave_passed(&m[i].msg_hdr)) {
			errno = ENOMEM;
			return -1;
		}
	return get_sendmmsg()(fd, m, n, flags);
}

struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

#define LIST_BYTES 512  /* children of vfork have small stacks */
#define SWEPT      1024 /* descriptors looked at where /proc is not mounted */

static long leave_one(int fd, bool of_exec)
{
	long flags = sys_fcntl(fd, F_GETFD, 0);

	return flags < 0 || (of_exec && flags & FD_CLOEXEC) ? 0 : memfd_leave(fd);
}

long memfd_leave_all(bool of_exec)
{
	char list[LIST_BYTES] __attribute__((aligned(8)));
	long dir = sys_call4(SYS_openat, AT_FDCWD, "/proc/self/fd",
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
	     n, err = 0;

	if (dir < 0) {
		for (int fd = 0; !err && fd < SWEPT; fd++)
			err = leave_one(fd, of_exec);
		return err;
	}
	while (!err && (n = sys_call3(SYS_getdents64, dir, list, sizeof list)) > 0)
		for (long at = 0; !err && at < n;) {
			const struct entry *e = (const struct entry *)(const void *)(list + at);
			const char *name = e->name;
			long fd = proc_number(&name);

			at += e->bytes;
			if (fd >= 0 && fd != dir)
				err = leave_one((int)fd, of_exec);
		}
	sys_close((int)dir);
	return err;
}

long memfd_before_exec(const char *path)
{
	long err = memfd_leave_path(path);

	return err || !memfd_any() ? err : memfd_leave_all(true);
}

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

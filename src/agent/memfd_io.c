/* agent/memfd_io.c - read(2), write(2) and their relatives on memfds that the supervisor manages.
 *
 * The kernel would read a page that is out as zeros, and write into a page of zeros. So the part of
 * the file is mapped for the call, as the program could have done itself, and the kernel copies
 * between that mapping and the program's buffer: process_vm_readv(2) waits for pages of both, and
 * finds bad addresses.
 *
 * The position of the file moves after the transfer, in a system call of its own: two threads that
 * read the same descriptor at once may get the same bytes.
 *
 * Locks: none.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/hooks.h"

#define WINDOW   (4ul << 20)
#define MOST     0x7ffff000ul /* bytes of one call, as in the kernel */
#define PIECES   1024         /* UIO_MAXIOV */
#define NOT_OURS 1

/* Copy between @buf and byte @at of the file, all in one window. Bytes, or -errno; -ENOENT: it is
 * the kernel's. */
static long copy_window(bool out, int fd, char *buf, size_t n, uint64_t at)
{
	const uint64_t base = to_page_start(at), span = to_page_end(at + n) - base;
	long map = memfd_map(NULL, span, PROT_READ | (out ? PROT_WRITE : 0), MAP_SHARED, fd,
			     (long)base),
	     got;
	struct iovec its = { buf, n }, own;

	if (!map)
		return -ENOENT;
	if (sys_failed(map))
		return map;
	own = (struct iovec){ (void *)(map + (long)(at - base)), n };
	got = sys_call6(out ? SYS_process_vm_writev : SYS_process_vm_readv, sys_getpid(),
			(long)&its, 1, (long)&own, 1, 0);
	hook_munmap((void *)map, span);
	return got;
}

/* Bytes, or -errno; NOT_OURS with *@done bytes: the kernel's for the rest. */
static long copy(bool out, int fd, char *buf, size_t n, uint64_t at, size_t *done)
{
	for (*done = 0; *done < n;) {
		const uint64_t end = to_page_start(at + *done) + WINDOW;
		const size_t k = n - *done < end - (at + *done) ? n - *done : end - (at + *done);
		const long got = copy_window(out, fd, buf + *done, k, at + *done);

		if (got == -ENOENT)
			return NOT_OURS;
		if (sys_failed(got))
			return got;
		*done += (size_t)got;
		if ((size_t)got < k)
			break;
	}
	return 0;
}

/* The rest of a piece, by the kernel. */
static long rest(bool out, int fd, char *buf, size_t n, uint64_t at)
{
	return sys_call4(out ? SYS_pwrite64 : SYS_pread64, fd, buf, n, at);
}

/* Copy all pieces. Bytes, or -errno if there are none. */
static long copy_pieces(bool out, int fd, const struct iovec *piece, int n, uint64_t at,
			size_t most)
{
	size_t sum = 0;
	long err = 0;

	for (int i = 0; i < n && !err && sum < most; i++) {
		const size_t want = piece[i].iov_len < most - sum ? piece[i].iov_len : most - sum;
		size_t done;

		err = copy(out, fd, piece[i].iov_base, want, at + sum, &done);
		sum += done;
		if (err == NOT_OURS) {
			err = rest(out, fd, (char *)piece[i].iov_base + done, want - done,
				   at + sum);
			done += err > 0 ? (size_t)err : 0;
			sum += err > 0 ? (size_t)err : 0;
			err = err < 0 ? err : 0;
		}
		if (done < want && !err)
			break;
	}
	return sum ? (long)sum : err;
}

static bool sum_of(const struct iovec *piece, int n, size_t *sum)
{
	*sum = 0;
	for (int i = 0; i < n; i++) {
		if ((ssize_t)piece[i].iov_len < 0 || (ssize_t)(*sum + piece[i].iov_len) < 0)
			return false;
		*sum += piece[i].iov_len;
	}
	if (*sum > MOST)
		*sum = MOST;
	return true;
}

static bool size_is_limited(void)
{
	struct rlimit l;

	return sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &l) || l.rlim_cur != RLIM_INFINITY;
}

/* Make room for @n bytes at @at. 0, -errno, or NOT_OURS. */
static long room_for(int fd, struct stat *st, uint64_t at, size_t n)
{
	long seals;

	/* A new mapping for writing needs this, too, but would say so differently. */
	seals = sys_fcntl(fd, F_GET_SEALS, 0);
	if (seals > 0 && seals & F_SEAL_WRITE)
		return NOT_OURS;
	if (at + n <= (uint64_t)st->st_size)
		return 0;
	return memfd_resize(st, (long)(at + n));
}

static long transfer(bool out, int fd, const struct iovec *piece, int n, long at, struct stat *st)
{
	const long mode = sys_fcntl(fd, F_GETFL, 0);
	const bool moves = at == -1, append = out && mode & O_APPEND;
	size_t most;
	long got;

	if (moves && !append)
		at = sys_call3(SYS_lseek, fd, 0, SEEK_CUR);
	if (append)
		at = st->st_size;
	if (at < 0 || !sum_of(piece, n, &most))
		return -EINVAL;
	if (!out && (uint64_t)at + most > (uint64_t)st->st_size)
		most = at < st->st_size ? (size_t)(st->st_size - at) : 0;
	got = out && most ? room_for(fd, st, (uint64_t)at, most) : 0;
	if (got == NOT_OURS)
		return -ENOENT;
	if (!got)
		got = copy_pieces(out, fd, piece, n, (uint64_t)at, most);
	if (moves && got > 0)
		sys_call3(SYS_lseek, fd, at + got, SEEK_SET);
	return got;
}

bool memfd_transfer(bool out, int fd, const struct iovec *piece, int n, long at, ssize_t *done)
{
	struct stat st;
	long mode, got;

	if (!memfd_find(fd, &st) || n < 0 || n > PIECES)
		return false;
	mode = sys_fcntl(fd, F_GETFL, 0);
	if (mode < 0 || mode & O_PATH || (mode & O_ACCMODE) == (out ? O_RDONLY : O_WRONLY))
		return false;
	/* What a mapping cannot do, or would do differently. */
	if ((mode & O_ACCMODE) != O_RDWR || !agent_managed() || agent->pid != sys_getpid() ||
	    (out && size_is_limited()))
		got = -ENOENT;
	else
		got = transfer(out, fd, piece, n, at, &st);
	if (got == -ENOENT)
		got = memfd_leave(fd) ? -ENOMEM : -ENOENT;
	if (got == -ENOENT)
		return false;
	*done = hook_result(got);
	return true;
}

bool memfd_transfer_one(bool out, int fd, const void *buf, size_t n, long at, ssize_t *done)
{
	const struct iovec piece = { (void *)(uintptr_t)buf, n };

	return memfd_transfer(out, fd, &piece, 1, at, done);
}

/* ---- calls that peek.c does not have ---- */

#define POSITION ((off_t)-1)

#define PIECES_AT_POSITION(name, out)                                                              \
	AGENT_EXPORT ssize_t export_##name(int fd, const struct iovec *piece,                      \
					   int n) __asm__(#name);                                  \
	ssize_t export_##name(int fd, const struct iovec *piece, int n)                            \
	{                                                                                          \
		static ssize_t (*next)(int, const struct iovec *, int);                            \
		ssize_t done;                                                                      \
                                                                                                   \
		if (memfd_any() && memfd_transfer(out, fd, piece, n, POSITION, &done))             \
			return done;                                                               \
		if (!__atomic_load_n(&next, __ATOMIC_ACQUIRE))                                     \
			__atomic_store_n(&next, (__typeof__(next))dlsym(RTLD_NEXT, #name),         \
					 __ATOMIC_RELEASE);                                        \
		return next(fd, piece, n);                                                         \
	}

PIECES_AT_POSITION(readv, false)
PIECES_AT_POSITION(writev, true)

/* With flags, which a mapping does not know, the kernel does it. */
#define PIECES_WITH_FLAGS(name, out)                                                               \
	AGENT_EXPORT ssize_t export_##name(int fd, const struct iovec *piece, int n, off_t at,     \
					   int flags) __asm__(#name);                              \
	ssize_t export_##name(int fd, const struct iovec *piece, int n, off_t at, int flags)       \
	{                                                                                          \
		static ssize_t (*next)(int, const struct iovec *, int, off_t, int);                \
		ssize_t done;                                                                      \
                                                                                                   \
		if (memfd_any() && !flags && at >= POSITION &&                                     \
		    memfd_transfer(out, fd, piece, n, at, &done))                                  \
			return done;                                                               \
		if (flags && memfd_leave(fd)) {                                                    \
			errno = ENOMEM;                                                            \
			return -1;                                                                 \
		}                                                                                  \
		if (!__atomic_load_n(&next, __ATOMIC_ACQUIRE))                                     \
			__atomic_store_n(&next, (__typeof__(next))dlsym(RTLD_NEXT, #name),         \
					 __ATOMIC_RELEASE);                                        \
		return next(fd, piece, n, at, flags);                                              \
	}

PIECES_WITH_FLAGS(preadv2, false)
PIECES_WITH_FLAGS(preadv64v2, false)
PIECES_WITH_FLAGS(pwritev2, true)
PIECES_WITH_FLAGS(pwritev64v2, true)

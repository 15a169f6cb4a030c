/* agent/pipe.c - vmsplice(2): pages of the program stay in place while a pipe refers to them.
 *
 * The pipe holds the page itself: its reader sees later stores to it. A page that is swapped out
 * and back is a different one, and the link is gone. The helper cannot detect such a reference
 * (UFFDIO_MOVE refuses one for I/O, but not this one). So the supervisor is told which pages went
 * into which pipe; it leaves them alone until the pipe is done with them (serve/shared/pipes.c). It
 * learns of them after the call; from before the call until then they are held (hold.c).
 *
 * tee and splice pass the references on to another pipe or a socket. The supervisor is told before
 * that, if this process or an ancestor of it has ever used vmsplice.
 *
 * I1  A piece of a call is reported before the next one is made, and has few pages: a call for a
 *     large range does not hold all of it.
 * I2  Only the first piece waits for room in the pipe, as the whole call would.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "agent/hooks.h"

#define PIECE_PAGES   64
#define IOV_COUNT_MAX 1024

static ssize_t (*libc_vmsplice)(int, const struct iovec *, size_t, unsigned int);
static ssize_t (*libc_tee)(int, int, size_t, unsigned int);
static ssize_t (*libc_splice)(int, off64_t *, int, off64_t *, size_t, unsigned int);
static bool used; /* a forked child inherits it */

#define LIBC(name) (libc_##name || (libc_##name = (__typeof__(libc_##name))dlsym(RTLD_NEXT, #name)))

static mode_t type_of(int fd)
{
	struct stat st;

	return sys_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) ? 0 : st.st_mode & S_IFMT;
}

static bool takes_references(int fd)
{
	long flags = agent_managed() ? sys_fcntl(fd, F_GETFL, 0) : -1;

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static ssize_t put_piece(int fd, uint64_t at, size_t len, unsigned int flags)
{
	const struct iovec piece = { .iov_base = (void *)at, .iov_len = len };
	struct hold *h = hold_take(at, at + len);
	ssize_t got = libc_vmsplice(fd, &piece, 1, flags);

	if (got > 0) {
		struct msg_call call = {
			.op = CALL_PIPE,
			.arg = (uint32_t)fd,
			.start = at,
			.len = (uint64_t)got,
		};
		struct msg_call_reply reply;
		int attached;

		(void)channel_ask(&call, &reply, &attached);
	}
	hold_drop(h);
	return got;
}

/* *@done: bytes already in the pipe. False: no more can be added. */
static bool put_all(int fd, uint64_t at, size_t len, unsigned int flags, ssize_t *done)
{
	while (len) {
		size_t n = PIECE_PAGES * agent_page - at % agent_page;
		ssize_t got;

		if (n > len)
			n = len;
		got = put_piece(fd, at, n, *done ? flags | SPLICE_F_NONBLOCK : flags);
		if (got < 0 && !*done)
			*done = -1;
		if (got <= 0)
			return false;
		*done += got;
		if ((size_t)got < n)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

AGENT_EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t n, unsigned int flags)
{
	ssize_t done = 0;
	int saved = errno;

	if (!LIBC(vmsplice)) {
		errno = ENOSYS;
		return -1;
	}
	if (n > IOV_COUNT_MAX || !takes_references(fd))
		return libc_vmsplice(fd, iov, n, flags);
	__atomic_store_n(&used, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n; i++)
		if (!put_all(fd, (uintptr_t)iov[i].iov_base, iov[i].iov_len, flags, &done))
			break;
	if (done > 0)
		errno = saved;
	return done;
}

static void pass_on(int in, int out)
{
	struct msg_call call = { .op = CALL_PIPE_ON, .start = (uint32_t)in, .len = (uint32_t)out };
	struct msg_call_reply reply;
	mode_t type;
	int attached;

	if (!agent_managed() || !__atomic_load_n(&used, __ATOMIC_RELAXED) || type_of(in) != S_IFIFO)
		return;
	type = type_of(out);
	if (type == S_IFIFO || type == S_IFSOCK)
		(void)channel_ask(&call, &reply, &attached);
}

AGENT_EXPORT ssize_t tee(int in, int out, size_t len, unsigned int flags)
{
	if (!LIBC(tee)) {
		errno = ENOSYS;
		return -1;
	}
	pass_on(in, out);
	return libc_tee(in, out, len, flags);
}

AGENT_EXPORT ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t len,
			    unsigned int flags)
{
	ssize_t done;

	if (!LIBC(splice)) {
		errno = ENOSYS;
		return -1;
	}
	pass_on(in, out);
	done = libc_splice(in, in_at, out, out_at, len, flags);
	if (done < 0 && memfd_again((const int[]){ in, out }, 2))
		done = libc_splice(in, in_at, out, out_at, len, flags);
	return done;
}

/* agent/user/transfer.c - long transfers, in chunks.
 *
 * What a call touches stays in memory while it lasts, and may be more than the limit. A chunk that
 * is transferred whole is followed by the next where the kernel would go on as well: in writing,
 * and in reading a file. Else the transfer is a short one.
 *
 * Locks: none.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/sys.h"
#include "agent/user/user.h"

#if defined(__x86_64__)

static bool is_vector(long nr)
{
	return nr == SYS_readv || nr == SYS_writev || nr == SYS_preadv || nr == SYS_pwritev ||
	       nr == SYS_preadv2 || nr == SYS_pwritev2;
}

/* The argument that is the offset; 0: none. */
static int offset_argument(const struct user_regs *r)
{
	switch (r->nr) {
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
		return 3;
	case SYS_preadv2:
	case SYS_pwritev2:
		return r->arg[3] == -1 ? 0 : 3;
	default:
		return 0;
	}
}

/* Would the kernel, after a part that was transferred whole, go on until all is? */
static bool goes_on(const struct user_regs *r)
{
	if (user_how_of(r->nr) == USER_WRITE || r->nr == SYS_getrandom)
		return true;
	if (r->nr == SYS_recvfrom)
		return (r->arg[3] & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	return sys_call3(SYS_lseek, r->arg[0], 0, 1 /* SEEK_CUR */) >= 0;
}

static long in_chunks(const struct user_regs *r)
{
	const int at = r->nr == SYS_getrandom ? 0 : 1, size = at + 1, off = offset_argument(r);
	const uint64_t len = (uint64_t)r->arg[size];
	struct user_regs mine = *r;
	uint64_t done = 0;
	long ret;

	for (;;) {
		mine.arg[at] = r->arg[at] + (long)done;
		mine.arg[size] = (long)(len - done < USER_CHUNK ? len - done : USER_CHUNK);
		if (off)
			mine.arg[off] = r->arg[off] + (long)done;
		ret = user_plain(&mine);
		if (ret < 0)
			return done ? (long)done : ret;
		done += (uint64_t)ret;
		if (done >= len || ret < mine.arg[size] || !goes_on(r))
			return (long)done;
	}
}

static uint64_t vector_bytes(const struct user_regs *r)
{
	uint64_t total = 0, i, n = (uint64_t)r->arg[2];
	struct iovec v;

	for (i = 0; i < n && i < 1024; i++) {
		if (entry_copy(&v, (const void *)(r->arg[1] + (long)(i * sizeof v)), sizeof v))
			return 0;
		if (v.iov_len > 1ull << 40)
			return 0; /* EINVAL */
		total += v.iov_len;
	}
	return n > 1024 ? 0 : total;
}

/* The next part of the vector @r, from byte @skip of element @i on: 0, or how many bytes of them
 * are to be transferred by @mine. @one: room for a part of an element. */
static uint64_t next_part(const struct user_regs *r, uint64_t i, uint64_t skip,
			  struct user_regs *mine, struct iovec *one)
{
	const struct iovec *list = (const struct iovec *)r->arg[1];
	uint64_t bytes = 0, n = (uint64_t)r->arg[2], k;
	struct iovec v;

	for (k = i; !skip && k < n; k++) {
		if (entry_copy(&v, list + k, sizeof v) || bytes + v.iov_len > USER_CHUNK)
			break;
		bytes += v.iov_len;
	}
	mine->arg[1] = (long)(list + i);
	mine->arg[2] = (long)(k - i);
	if (k > i)
		return bytes;
	if (entry_copy(one, list + i, sizeof *one))
		return 0;
	one->iov_base = (char *)one->iov_base + skip;
	one->iov_len -= skip;
	if (one->iov_len > USER_CHUNK)
		one->iov_len = USER_CHUNK;
	mine->arg[1] = (long)one;
	mine->arg[2] = 1;
	return one->iov_len;
}

static long vector_in_chunks(const struct user_regs *r)
{
	const int off = offset_argument(r);
	struct user_regs mine = *r;
	uint64_t done = 0, i = 0, skip = 0, bytes;
	struct iovec one, v;
	long ret;

	while (i < (uint64_t)r->arg[2]) {
		bytes = next_part(r, i, skip, &mine, &one);
		if (off)
			mine.arg[off] = r->arg[off] + (long)done;
		ret = user_plain(&mine);
		if (ret < 0)
			return done ? (long)done : ret;
		done += (uint64_t)ret;
		if ((uint64_t)ret < bytes || !goes_on(r))
			return (long)done;
		if (mine.arg[1] != (long)&one) {
			i += (uint64_t)mine.arg[2];
			continue;
		}
		skip += bytes;
		if (entry_copy(&v, (const struct iovec *)r->arg[1] + i, sizeof v))
			return (long)done;
		if (skip >= v.iov_len) {
			i++;
			skip = 0;
		}
	}
	return (long)done;
}

/* A datagram is one whatever its size. */
static bool is_one_piece(const struct user_regs *r)
{
	int type = 0, size = sizeof type;
	const struct user_regs q = {
		.nr = SYS_getsockopt,
		.arg = { r->arg[0], SOL_SOCKET, SO_TYPE, (long)&type, (long)&size },
		.sp = r->sp,
	};

	return r->nr != SYS_getrandom && user_plain(&q) == 0 && type != SOCK_STREAM;
}

long user_transfer(const struct user_regs *r)
{
	const bool vector = is_vector(r->nr);
	const uint64_t bytes =
		vector ? vector_bytes(r) : (uint64_t)r->arg[r->nr == SYS_getrandom ? 1 : 2];

	if (bytes <= USER_CHUNK || is_one_piece(r))
		return user_plain(r);
	return vector ? vector_in_chunks(r) : in_chunks(r);
}

#endif

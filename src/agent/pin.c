/* agent/pin.c - memory that the kernel pins, for a device or for itself.
 *
 * Direct I/O, RDMA and registered buffers of io_uring release the lock of the address space where a
 * page is missing, and userfaultfd has it brought. A socket for XDP does not: a page of its frames
 * (XDP_UMEM_REG) that is swapped out yields EFAULT, or ENOMEM behind others that are present. So
 * they are faulted in, and held until they are pinned.
 *
 * From then on UFFDIO_MOVE refuses pages of private memory. Those of shared memory go out another
 * way, by which the kernel would keep one page, and the program get another: what is pinned for
 * long, frames and what is registered with io_uring, is kept in the supervisor's books, before the
 * call, until it is unmapped.
 *
 * I1  The call itself decides: it refuses what cannot be faulted in, with its own error.
 * I2  The program's pointers are not dereferenced but read through the kernel: rejecting a bad one
 *     is up to the call.
 *
 * Caught: setsockopt(2), io_uring_register(2) through syscall(2), and liburing's functions, which
 * make the call inline.
 */
#include <dlfcn.h>
#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/hooks.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#define XDP_UMEM_REG 4 /* linux/if_xdp.h */

#ifndef IORING_REGISTER_PBUF_RING
#define IORING_REGISTER_PBUF_RING 22
#endif
#define REGISTERED_RING (1ul << 31) /* in the operation: the ring is named by its index */
#define BUFFERS_MAX     16384u      /* io_uring refuses more */

struct io_uring;
struct io_uring_buf_reg;

static int (*libc_setsockopt)(int, int, int, const void *, socklen_t);

static bool copy_in(void *to, const void *from, size_t n)
{
	const struct iovec own = { to, n }, its = { (void *)(uintptr_t)from, n };

	return sys_call6(SYS_process_vm_readv, sys_getpid(), (long)&own, 1, (long)&its, 1, 0) ==
	       (long)n;
}

/* The frames that @value describes: every version of the option begins with their address and
 * length. */
static bool frames_of(const void *value, socklen_t size, uint64_t *start, uint64_t *len)
{
	uint64_t words[2];

	if (size < sizeof words || !copy_in(words, value, sizeof words))
		return false;
	*start = words[0];
	*len = words[1];
	return *start % agent_page == 0 && *len && to_page_end(*start + *len) > *start;
}

AGENT_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	struct hold *hold = NULL;
	uint64_t start, len;
	int ret;

	if (!libc_setsockopt)
		libc_setsockopt = (__typeof__(libc_setsockopt))dlsym(RTLD_NEXT, "setsockopt");
	if (level == SOL_XDP && option == XDP_UMEM_REG && agent_managed() &&
	    frames_of(value, size, &start, &len)) {
		hold = hold_take(start, start + len);
		hold_shared(start, start + len, true);
		hold_bring(start, start + len);
	}
	ret = libc_setsockopt(fd, level, option, value, size);
	hold_drop(hold);
	return ret;
}

/* ---- io_uring ---- */

static void keep_range(uint64_t start, uint64_t len)
{
	if (len && to_page_end(start + len) > start)
		hold_shared(start, start + len, true);
}

static void keep_buffers(const struct iovec *buffer, unsigned long n)
{
	struct iovec one;

	for (unsigned long i = 0; i < n && i < BUFFERS_MAX && copy_in(&one, buffer + i, sizeof one);
	     i++)
		keep_range((uintptr_t)one.iov_base, one.iov_len);
}

/* A ring of provided buffers: an address and a number of entries come first. */
static void keep_ring(const void *arg)
{
	struct {
		uint64_t start;
		uint32_t entries;
	} ring;

	if (copy_in(&ring, arg, sizeof ring))
		keep_range(ring.start, (uint64_t)ring.entries * sizeof(struct io_uring_buf));
}

void pin_registered(unsigned long operation, const void *arg, unsigned long n)
{
	struct io_uring_rsrc_register all;
	struct io_uring_rsrc_update2 some;

	switch (operation & ~REGISTERED_RING) {
	case IORING_REGISTER_BUFFERS:
		keep_buffers(arg, n);
		break;
	case IORING_REGISTER_BUFFERS2:
		if (copy_in(&all, arg, sizeof all))
			keep_buffers((const struct iovec *)(uintptr_t)all.data, all.nr);
		break;
	case IORING_REGISTER_BUFFERS_UPDATE:
		if (copy_in(&some, arg, sizeof some))
			keep_buffers((const struct iovec *)(uintptr_t)some.data, some.nr);
		break;
	case IORING_REGISTER_PBUF_RING:
		keep_ring(arg);
		break;
	default:
		break;
	}
}

/* liburing's function @name, called after keeping what it is about to register. */
#define LIBURING(name, keep, parameters, ...)                                                      \
	AGENT_EXPORT int name parameters;                                                          \
	int name parameters                                                                        \
	{                                                                                          \
		int(*next) parameters = (__typeof__(next))dlsym(RTLD_NEXT, #name);                 \
                                                                                                   \
		if (!next)                                                                         \
			return -ENOSYS;                                                            \
		if (agent_managed())                                                               \
			keep;                                                                      \
		return next(__VA_ARGS__);                                                          \
	}

LIBURING(io_uring_register_buffers, keep_buffers(buffer, n),
	 (struct io_uring * ring, const struct iovec *buffer, unsigned int n), ring, buffer, n)
LIBURING(io_uring_register_buffers_tags, keep_buffers(buffer, n),
	 (struct io_uring * ring, const struct iovec *buffer, const uint64_t *tags, unsigned int n),
	 ring, buffer, tags, n)
LIBURING(io_uring_register_buffers_update_tag, keep_buffers(buffer, n),
	 (struct io_uring * ring, unsigned int at, const struct iovec *buffer, const uint64_t *tags,
	  unsigned int n),
	 ring, at, buffer, tags, n)
LIBURING(io_uring_register_buf_ring, keep_ring(reg),
	 (struct io_uring * ring, struct io_uring_buf_reg *reg, unsigned int flags), ring, reg,
	 flags)
LIBURING(io_uring_register, pin_registered(operation, arg, n),
	 (unsigned int fd, unsigned int operation, const void *arg, unsigned int n), fd, operation,
	 arg, n)

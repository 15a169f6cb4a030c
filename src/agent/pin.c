/* agent/pin.c - memory that the kernel pins for a device while it holds the lock of the address
 * space.
 *
 * Registered buffers of io_uring, RDMA and direct I/O let go of that lock where a page is missing,
 * and userfaultfd has it brought. A socket for XDP does not: a page of its frames (XDP_UMEM_REG)
 * that is out is EFAULT, or ENOMEM behind others that are there. So they are brought, and held until
 * they are pinned. From then on UFFDIO_MOVE refuses them; pages of shared memory go out another way,
 * and are kept in the supervisor's books.
 *
 * I1  The call itself decides: what cannot be brought it refuses, with its own error.
 *
 * Caught: setsockopt(2), by its name and through syscall(2).
 */
#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/hooks.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#define XDP_UMEM_REG 4   /* linux/if_xdp.h */

static int (*libc_setsockopt)(int, int, int, const void *, socklen_t);

/* The frames that @value names: every version of the option begins with their address and length. Asked for and not
 * touched: a pointer to nowhere is the call's to refuse. */
static bool frames_of(const void *value, socklen_t size, uint64_t *start, uint64_t *len)
{
	uint64_t words[2];
	const struct iovec own = { words, sizeof words }, its = { (void *)(uintptr_t)value, sizeof words };

	if (size < sizeof words ||
	    sys_call6(SYS_process_vm_readv, sys_getpid(), (long)&own, 1, (long)&its, 1, 0) != sizeof words)
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
	if (level == SOL_XDP && option == XDP_UMEM_REG && agent_managed() && frames_of(value, size, &start, &len)) {
		hold = hold_take(start, start + len);
		hold_shared(start, start + len, true);
		hold_bring(start, start + len);
	}
	ret = libc_setsockopt(fd, level, option, value, size);
	hold_drop(hold);
	return ret;
}

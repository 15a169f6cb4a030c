/* mmu/host/uffd.c - userfaultfd calls. */
#include "mmu/host/uffd.h"

#include <errno.h>
#include <sys/ioctl.h>

#define PAGE 4096ul

int uffd_api(int fd, bool forks)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = (forks ? UFFD_FEATURE_EVENT_FORK : 0) | UFFD_FEATURE_EVENT_REMAP |
			    UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
			    UFFD_FEATURE_THREAD_ID,
	};

	return ioctl(fd, UFFDIO_API, &api) == 0 ? 0 : -errno;
}

int uffd_register(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_register r = { .range = { start, len },
				     .mode = UFFDIO_REGISTER_MODE_MISSING };

	return ioctl(fd, UFFDIO_REGISTER, &r) == 0 ? 0 : -errno;
}

int uffd_unregister(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range r = { start, len };

	return ioctl(fd, UFFDIO_UNREGISTER, &r) == 0 ? 0 : -errno;
}

int uffd_copy(int fd, uint64_t va, const void *src, unsigned n)
{
	unsigned done = 0, most = n;

	while (done < n) {
		unsigned k = n - done < most ? n - done : most;
		struct uffdio_copy c = {
			.dst = va + done * PAGE,
			.src = (uintptr_t)src + done * PAGE,
			.len = k * PAGE,
		};

		if (ioctl(fd, UFFDIO_COPY, &c) == 0) {
			done += k;
			continue;
		}
		/* The kernel does not copy across the boundary of two mappings, and we do not know
		 * its boundaries. */
		if (errno == ENOENT && k > 1) {
			most = k / 2;
			continue;
		}
		if (c.copy > 0) {
			done += (unsigned)((uint64_t)c.copy / PAGE);
			continue;
		}
		if (errno == EINTR)
			continue;
		return done ? (int)done : -errno;
	}
	return (int)done;
}

int uffd_wake(int fd, uint64_t va, uint64_t npages)
{
	struct uffdio_range r = { va, npages * PAGE };

	return ioctl(fd, UFFDIO_WAKE, &r) == 0 ? 0 : -errno;
}

int uffd_poison(int fd, uint64_t va)
{
	struct uffdio_poison p = { .range = { va, PAGE } };

	return ioctl(fd, UFFDIO_POISON, &p) == 0 ? 0 : -errno;
}

/* Make a request that the kernel refuses at every address: copy a page write-protected, although no
 * area is registered for write protection. The kernel first checks for unread events, then the
 * address space, then the area, and does nothing in any case. Any request with an effect could hit
 * memory of the program, which can be at any address. Returns the errno. */
static int refused(int fd)
{
	static const _Alignas(PAGE) char nothing[PAGE];
	struct uffdio_copy c = {
		.dst = 16 * PAGE,
		.src = (uintptr_t)nothing,
		.len = PAGE,
		.mode = UFFDIO_COPY_MODE_WP,
	};

	return ioctl(fd, UFFDIO_COPY, &c) == 0 ? 0 : errno;
}

bool uffd_changing(int fd)
{
	return refused(fd) == EAGAIN;
}

int uffd_dead(int fd)
{
	return refused(fd) == ESRCH;
}

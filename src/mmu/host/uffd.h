/* mmu/host/uffd.h - the parts of userfaultfd that Debian 12's headers lack, and thin wrappers.
 *
 * Every call returns 0 (or a count) or -errno.
 */
#ifndef UMEMCG_MMU_HOST_UFFD_H
#define UMEMCG_MMU_HOST_UFFD_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef UFFDIO_POISON
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON       _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#define UFFD_FEATURE_POISON (1 << 14)
#endif

/* Enable the events that the supervisor depends on. @forks: those of forks, too, which need
 * CAP_SYS_PTRACE (-EPERM). */
int uffd_api(int fd, bool forks);
int uffd_register(int fd, uint64_t start, uint64_t len);
/* Wakes threads that wait there. */
int uffd_unregister(int fd, uint64_t start, uint64_t len);
/* Is there an event about the address space that was not read, or whose thread has not resumed
 * yet? */
bool uffd_changing(int fd);
/* Copy @n pages from @src. Returns pages copied (> 0), or the error of the first. Wakes threads
 * that wait there. */
int uffd_copy(int fd, uint64_t va, const void *src, unsigned n);
int uffd_wake(int fd, uint64_t va, uint64_t npages);
int uffd_poison(int fd, uint64_t va);
/* Is the address space behind @fd gone? */
int uffd_dead(int fd);

#endif

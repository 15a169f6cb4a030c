/* mmu/host/uffd.h - the parts of userfaultfd that Debian 12's headers do not have yet, and thin calls.
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
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#define UFFD_FEATURE_POISON (1 << 14)
#endif

/* Switch the events on that the supervisor lives by. -EPERM: fork events need CAP_SYS_PTRACE. */
int uffd_api(int fd);
int uffd_register(int fd, uint64_t start, uint64_t len);
/* Whoever waits there is woken. */
int uffd_unregister(int fd, uint64_t start, uint64_t len);
/* Is an event about the address space on its way that was not read, or its thread has not gone on
 * after yet? */
bool uffd_changing(int fd);
/* Copy @n pages from @src. Returns pages copied (> 0) or what stopped the first. Wakes whoever waits there. */
int uffd_copy(int fd, uint64_t va, const void *src, unsigned n);
int uffd_wake(int fd, uint64_t va, uint64_t npages);
int uffd_poison(int fd, uint64_t va);
/* Is the address space behind @fd gone? */
int uffd_dead(int fd);

#endif

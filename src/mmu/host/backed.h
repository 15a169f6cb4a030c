/* mmu/host/backed.h - files behind private memory of clients: our own descriptors.
 *
 * One per file, for all clients that map it, open as long as an area refers to it. We open it anew,
 * for reading: our own description holds none of the program's locks, and does not interfere when
 * the program changes its flags.
 *
 * Lock: objects_lock, rank LEAF: the list.
 */
#ifndef UMEMCG_MMU_HOST_BACKED_H
#define UMEMCG_MMU_HOST_BACKED_H

#include "plat/backing.h"
#include "mmu/host/host.h"

/* The file open as @fd in process @pid (a helper has its own table), verified to be file @ino on
 * @dev; referenced. NULL: *@err is -EOPNOTSUPP (not a regular file, or on a file system that must
 * not be waited for while other faults queue), -EMFILE, -ENOMEM, -ESTALE or -errno. */
struct backing *host_backed_open(struct mmu_host *h, pid_t pid, int fd, uint64_t dev, uint64_t ino,
				 int *err);
/* Its descriptor, open as long as the caller has a reference. */
int host_backed_fd(const struct backing *b);

#endif

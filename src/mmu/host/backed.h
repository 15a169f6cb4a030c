/* mmu/host/backed.h - files that private memory of clients is filled from: descriptors of ours.
 *
 * One a file, whoever maps it, open as long as an area refers to it. It is opened anew, for
 * reading: a description of our own holds no lock of the program's, and is in nobody's way when the
 * program changes its flags.
 *
 * Lock: objects_lock, rank LEAF: the list.
 */
#ifndef UMEMCG_MMU_HOST_BACKED_H
#define UMEMCG_MMU_HOST_BACKED_H

#include "plat/backing.h"
#include "mmu/host/host.h"

/* The file that is descriptor @fd of process @pid (a helper has a table of its own) and, to be
 * sure, file @ino on @dev: referenced. NULL: *@err is -EOPNOTSUPP (no regular file, or on a file
 * system that is not waited for with others' faults behind it), -EMFILE, -ENOMEM, -ESTALE or
 * -errno. */
struct backing *host_backed_open(struct mmu_host *h, pid_t pid, int fd, uint64_t dev, uint64_t ino, int *err);
/* Its descriptor, open as long as the caller has a reference. */
int host_backed_fd(const struct backing *b);

#endif

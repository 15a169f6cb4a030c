/* mmu/host/memfd.h - memfds that a program made: shared memory objects (shared.h) of which it has
 * descriptors.
 *
 * Its pages go out and come back like those of any other object. But there the descriptor itself
 * reaches the content, too: a page that is out is a hole, which read(2) would give as zeros. So
 * whatever the program does with the descriptor comes here first (agent/memfd.c): changes of the
 * size and holes are made here, by our own descriptor, together with the books; for everything that
 * cannot be followed the object becomes the kernel's: all its content is put back, and nothing is
 * taken out again.
 *
 * I1  Once host_memfd_bring has succeeded, all content is in the file, and stays there.
 * I2  We hold the object as long as anybody outside the books may have a descriptor of it. The
 *     kernel tells: it grants a lease to the only one who has a file open. It does not count the
 *     descriptor of memfd_create(2) itself, so the agent opens the file anew; a process forked
 *     before may still have the first, and is looked for.
 * I3  The file has the mark (its sticky bit) from before a page of it can be out until all are
 * back.
 *
 * Locks: begin_lock: no file is begun twice. size_lock over each of the functions that change the
 * file. grow_lock: host_memfd_cover.
 */
#ifndef UMEMCG_MMU_HOST_MEMFD_H
#define UMEMCG_MMU_HOST_MEMFD_H

#include "mmu/host/shared.h"

/* Begin file @ino on @dev, which process @pid has as descriptor @number, opened. What it contains
 * is charged to @mm. 0, also if it has begun; -ESTALE: it is another file; -EOPNOTSUPP: no such
 * memory; or as host_shared_create. */
int host_memfd_add(struct mmu_host *h, struct mm *mm, pid_t pid, int number, uint64_t dev,
		   uint64_t ino);
/* Is the object one of these? */
bool host_memfd_is(const struct address_space *as);
/* The engine's table is to reach up to page @nr_pages. 0 or -ENOMEM. */
int host_memfd_cover(struct address_space *as, uint64_t nr_pages);
/* ftruncate(2). 0, -ENOENT: it is the kernel's; or -errno as the kernel's. @mm is charged with
 * what must be in memory for it. No locks may be held, here and below. */
int host_memfd_resize(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t bytes);
/* fallocate(2). Space is not reserved: it is charged when it is touched. */
int host_memfd_allocate(struct mmu_host *h, struct address_space *as, struct mm *mm, int mode,
			uint64_t at, uint64_t bytes);
/* lseek(2) with SEEK_DATA or SEEK_HOLE: *@to. 0, -ENOENT: it is the kernel's; -ENXIO. */
int host_memfd_seek(struct address_space *as, int whence, uint64_t at, uint64_t *to);
/* Put all content into the file, charged to @mm, and take nothing out from now on. 0; 1: somebody
 * else has done it; -ENOMEM: more than @most pages, or no room: it stays managed. */
int host_memfd_bring(struct mmu_host *h, struct address_space *as, struct mm *mm, int64_t most);
/* It is the kernel's from now on: nobody finds it. Its areas are up to the caller. */
void host_memfd_part(struct mmu_host *h, struct address_space *as);
/* Drop the objects that nobody maps, and of which nobody but us has a descriptor: @has looks for
 * descriptors that the kernel does not count. For one thread. It may take as long as they have
 * pages. */
void host_memfd_sweep(struct mmu_host *h, bool (*has)(void *arg, uint64_t dev, uint64_t ino),
		      void *arg);
/* Is there one? */
bool host_memfd_unused(struct mmu_host *h);
/* At the end, when there is no client any more: drop all. */
void host_memfd_fini(struct mmu_host *h);

#endif

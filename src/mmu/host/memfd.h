/* mmu/host/memfd.h - memfds that a program made: shared memory objects (shared.h) of which it has
 * descriptors.
 *
 * Its pages go out and come back like those of any other object. But a descriptor reaches the
 * content, too, and would find a page that is out to be a hole. So as long as it is managed nobody
 * but us has a descriptor that can read, write or map it: the program's is a stub, opened with
 * O_PATH (agent/memfd.c). Mappings are made of ours; sizes and holes are set by ours, together with
 * the books. For everything else the object becomes the kernel's: all content is put back, nothing
 * is taken out again, and the program gets our descriptor.
 *
 * I1  Once host_memfd_bring has succeeded, all content is in the file, and stays there.
 * I2  Nobody else can have a descriptor or a mapping of the file that the program made: it had a
 *     record lock before, which ends with the last of them, and had ended when we began.
 * I3  Whoever opens it, by its name in /proc, waits: we have a lease on it, and give it back once
 *     all content is there, or gone for good.
 *
 * Locks: begin_lock: no file is begun twice. size_lock over each of the functions that change the
 * file. grow_lock: host_memfd_cover.
 */
#ifndef UMEMCG_MMU_HOST_MEMFD_H
#define UMEMCG_MMU_HOST_MEMFD_H

#include "mmu/host/shared.h"

struct host_memfd_new {
	pid_t pid;  /* this process has it */
	int number; /* ... as this descriptor, a stub */
	uint64_t dev, ino;
	int64_t locked; /* the byte of I2 */
};

/* Begin a file that is new and empty. 0, also if it has begun; -ESTALE: it is another file;
 * -EOPNOTSUPP: it has content, somebody else has it, or it can have seals; or as
 * host_shared_create. */
int host_memfd_add(struct mmu_host *h, const struct host_memfd_new *n);
/* Is the object one of these? */
bool host_memfd_is(const struct address_space *as);
/* Its inode number. */
uint64_t host_memfd_ino(const struct address_space *as);
/* The engine's table is to reach up to page @nr_pages. 0 or -ENOMEM. */
int host_memfd_cover(struct address_space *as, uint64_t nr_pages);
/* ftruncate(2). 0, -ENOENT: it is the kernel's; or -errno as the kernel's. @mm is charged with
 * what must be in memory for it. No locks may be held, here and below. */
int host_memfd_resize(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t bytes);
/* fallocate(2). Space is not reserved: it is charged when it is touched. */
int host_memfd_allocate(struct mmu_host *h, struct address_space *as, struct mm *mm, int mode,
			uint64_t at, uint64_t bytes);
/* Put all content into the file, charged to @mm, and take nothing out from now on. 0; 1: somebody
 * else has done it; -ENOMEM: more than @most pages, or no room; -ETIME: not before @until_ns. After
 * an error it stays managed. */
int host_memfd_bring(struct mmu_host *h, struct address_space *as, struct mm *mm, int64_t most,
		     uint64_t until_ns);
/* It is the kernel's from now on: nobody finds it. Its areas are up to the caller. */
void host_memfd_part(struct mmu_host *h, struct address_space *as);
/* Whoever waits to open it may go on. Its content is there, or gone. */
void host_memfd_open(struct address_space *as);
/* Its content is gone for good. */
void host_memfd_clear(struct mmu_host *h, struct address_space *as);
/* Does somebody wait to open it? */
bool host_memfd_asked(const struct address_space *as);
/* Drop the objects that nobody maps, and of which nobody has a descriptor: @has looks for one. For
 * one thread. It may take as long as they have pages. */
void host_memfd_sweep(struct mmu_host *h, bool (*has)(void *arg, uint64_t dev, uint64_t ino),
		      void *arg);
/* Is there one that somebody waits for, or that may have to be dropped? */
bool host_memfd_needs(struct mmu_host *h);
/* At the end, when there is no client any more: drop all. */
void host_memfd_fini(struct mmu_host *h);

#endif

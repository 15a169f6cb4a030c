/* mmu/host/shared.h - shared memory of clients: one memfd an object, which every client maps.
 *
 * Where a page of an object is: in its memfd ("away"), there for all who map it; or at home, in a frame, and then the memfd has a
 * hole. The engine's table of the object (mm/filemap.h) has the page in both cases. Who maps which page the kernel knows; the
 * engine's entries are those that were faulted for, which may be fewer.
 *
 * Out (host_shared_withdraw; the page is locked): splice(2) takes references of the memfd's pages into a pipe; the hole is punched,
 * which takes the page out of every page table at once, of whatever process; the pipe is read. A store that came before the
 * punch is in the page that the pipe holds; one that comes after faults. So none is lost, nobody is asked, and nobody has to
 * answer (docs/decisions/0010-shared-memory.md).
 * In (host_shared_map): UFFDIO_COPY by the client that faulted.
 *
 * Lock: objects_lock, rank LEAF: the list of objects and whether they are fresh. pipe_lock, rank HOST_BATCH: the pipe.
 */
#ifndef UMEMCG_MMU_HOST_SHARED_H
#define UMEMCG_MMU_HOST_SHARED_H

#include "mmu/host/host.h"

/* The pipe; and whether this kernel does what the scheme needs. It may not: then host_shared_create says -EOPNOTSUPP. */
void host_shared_init(struct mmu_host *h);
void host_shared_fini(struct mmu_host *h);

/* A new object of @nr_pages zeros. *@fd is its memfd, not to be closed. It lives until host_shared_adopted, or
 * host_shared_forget of @maker, and from then on as long as it is mapped. 0, -EOPNOTSUPP, -ENOMEM, -EMFILE (half of our
 * descriptors are in use) or -errno. */
int host_shared_create(struct mmu_host *h, uint64_t nr_pages, uint64_t maker, int *fd);
/* A new object that is the System V segment @id (not 0), with a reference for the caller. NULL: *@err is as above. */
struct address_space *host_shared_segment(struct mmu_host *h, uint64_t nr_pages, int id, int *err);
/* The segment @id, referenced; NULL: there is none, or it is going. */
struct address_space *host_shared_segment_find(struct mmu_host *h, int id);
/* Is there one, be it only for a moment longer? */
bool host_shared_segment_lives(struct mmu_host *h, int id);
/* Which segment it is; 0: none. */
int host_shared_segment_id(const struct address_space *as);
/* Its memfd, open as long as the caller has a reference. */
int host_shared_fd(const struct address_space *as);
/* The object whose memfd is file @ino on device @dev, referenced; NULL: it is none of ours. */
struct address_space *host_shared_find(struct mmu_host *h, uint64_t dev, uint64_t ino);
/* It is mapped: areas refer to it. */
void host_shared_adopted(struct mmu_host *h, struct address_space *as);
/* madvise(MADV_REMOVE) was done to [first, first + n): what the memfd has there is gone; now what we have, and what came meanwhile. */
void host_shared_discard(struct address_space *as, uint64_t first, uint64_t n);
/* @maker is gone: what it made and did not map goes too. */
void host_shared_forget(struct mmu_host *h, uint64_t maker);

/* Walk: the object after @prev (NULL: the first), referenced; @prev's reference is given up. NULL: there is no other. */
struct address_space *host_shared_next(struct mmu_host *h, struct address_space *prev);

/* For mmu_host.c and withdraw.c. */
int host_shared_map(struct mmu_host *h, struct host_client *c, uint64_t va, struct page *page);
void host_shared_withdraw(struct mmu_host *h, struct mmu_req **reqs, unsigned n);
void host_shared_release(struct mmu *mmu, struct address_space *as);

#endif

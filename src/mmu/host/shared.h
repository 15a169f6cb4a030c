/* mmu/host/shared.h - shared memory of clients: one memfd per object, which every client maps.
 *
 * A page of an object is either in its memfd ("away"), present for all clients that map it, or at
 * home, in a frame, and then the memfd has a hole. The engine's table of the object (mm/filemap.h)
 * has the page in both cases. Only the kernel knows which process maps which page; the engine has
 * entries only for pages that were faulted, which may be fewer.
 *
 * Out (host_shared_withdraw; the page is locked): splice(2) takes references on the memfd's pages
 * into a pipe; punching the hole removes the page from the page tables of all processes at once;
 * then the pipe is read. A store before the punch is in the page that the pipe holds; a later one
 * faults. So no store is lost, and no client has to cooperate
 * (docs/decisions/0010-shared-memory.md).
 * In (host_shared_map): UFFDIO_COPY by the client that faulted.
 *
 * An object is our own memfd; or it is one that the program made, and has descriptors of: memfd.h.
 *
 * Lock: objects_lock, rank LEAF: the list of objects and their fresh flags. pipe_lock, rank
 * HOST_BATCH: the pipe.
 */
#ifndef UMEMCG_MMU_HOST_SHARED_H
#define UMEMCG_MMU_HOST_SHARED_H

#include "mmu/host/host.h"

/* Create the pipe, and check whether this kernel does what the scheme needs. If not,
 * host_shared_create returns -EOPNOTSUPP. */
void host_shared_init(struct mmu_host *h);
void host_shared_fini(struct mmu_host *h);

/* A new object of @nr_pages zeros. *@fd is its memfd, not to be closed. It lives until
 * host_shared_adopted, or host_shared_forget of @maker, and after adoption as long as it is mapped.
 * 0, -EOPNOTSUPP, -ENOMEM, -EMFILE (half of our descriptors are in use) or -errno. */
int host_shared_create(struct mmu_host *h, uint64_t nr_pages, uint64_t maker, int *fd);
/* A new object for the System V segment @id (not 0), referenced for the caller. NULL: *@err is as
 * above. */
struct address_space *host_shared_segment(struct mmu_host *h, uint64_t nr_pages, int id, int *err);
/* The segment @id, referenced; NULL: there is none, or it is being freed. */
struct address_space *host_shared_segment_find(struct mmu_host *h, int id);
/* Does the segment exist, even if it is being freed? */
bool host_shared_segment_lives(struct mmu_host *h, int id);
/* The object's segment id; 0: none. */
int host_shared_segment_id(const struct address_space *as);
/* Its memfd, open as long as the caller has a reference. */
int host_shared_fd(const struct address_space *as);
/* The object whose memfd is file @ino on device @dev, referenced; NULL: it is not ours. */
struct address_space *host_shared_find(struct mmu_host *h, uint64_t dev, uint64_t ino);
/* It is mapped: areas refer to it. */
void host_shared_adopted(struct mmu_host *h, struct address_space *as);
/* After madvise(MADV_REMOVE) of [first, first + n): the memfd's content there is gone; discard
 * ours, and what arrived since. */
void host_shared_discard(struct address_space *as, uint64_t first, uint64_t n);
/* @maker is gone: drop the objects that it created and did not map. */
void host_shared_forget(struct mmu_host *h, uint64_t maker);

/* Walk: the object after @prev (NULL: the first), referenced; drops @prev's reference. NULL: the
 * end. */
struct address_space *host_shared_next(struct mmu_host *h, struct address_space *prev);

/* For memfd.c. */
struct host_shared {
	struct list_head link;    /* objects_lock */
	struct address_space *as; /* (C) */
	int fd;                   /* (C) */
	uint64_t dev, ino;        /* (C) */
	uint64_t maker;           /* (C) */
	int segment;              /* (C) its id; 0: no System V segment */
	bool fresh;               /* objects_lock: not mapped yet; its maker's reference keeps it */
	bool memfd;               /* (C) the program made it: */
	pid_t pid;                /* (C) ... in this process, */
	int number;               /* (C) ... as this descriptor; */
	bool held;                /* objects_lock: ... it may have descriptors: one reference */
	bool gone;                /* objects_lock: ... and it is the kernel's: nobody finds it */
	atomic32_t stays;         /* (A) 1: nothing is taken out any more */
	unsigned idle;            /* looks at which it was unused, one after the other; */
	uint64_t idle_ns;         /* ... no look for descriptors before: host_memfd_sweep */
	struct spinlock size_lock; /* rank OBJECT: its size, its holes, its way to the kernel */
	struct spinlock grow_lock; /* rank OBJECT_TABLE: the size of the engine's table */
};

/* Make the object that @like describes, with its memfd open in @like->fd, which is closed on
 * failure. 0, -EOPNOTSUPP, -ENOMEM, -EMFILE (half of our descriptors are in use). */
int host_shared_enter(struct mmu_host *h, uint64_t nr_pages, const struct host_shared *like,
		      struct host_shared **out);
/* Put the page's content, which is at home, into its file; nothing if it is there. Page locked.
 * 0 or -ENOMEM. */
int host_shared_put_back(struct mmu_host *h, const struct host_shared *o, const struct page *page);
/* No withdrawal that began before is under way. */
void host_shared_settle(struct mmu_host *h);

/* For mmu_host.c and withdraw.c. */
int host_shared_map(struct mmu_host *h, struct host_client *c, uint64_t va, struct page *page);
void host_shared_withdraw(struct mmu_host *h, struct mmu_req **reqs, unsigned n);
void host_shared_release(struct mmu *mmu, struct address_space *as);

#endif

/* mmu/host/host.h - the host MMU: page-table decisions made true in real processes.
 *
 * A mapped page lives in the client ("away"); an unmapped one in a home frame. Taking a page out:
 *   1. read its entry and the client's event_seq
 *   2. the client's helper moves it to the client's staging area (UFFDIO_MOVE: atomic; refuses
 *      pinned pages)
 *   3. copy the staging area with process_vm_readv, let the helper drop it
 *   4. if an event was applied in the meantime, recheck the entries (withdraw.c)
 * How requests reach the helper is hidden behind struct host_transport.
 *
 * A helper that does not answer in time (stopped client, heavy load) may still do the work later.
 * Then its request stays "late": the pages are referenced, faults on them wait, and nothing else is
 * asked of that client until it ends, or the answer comes and their content is at home
 * (host_late_done); the next fault maps it from there.
 */
#ifndef UMEMCG_MMU_HOST_HOST_H
#define UMEMCG_MMU_HOST_HOST_H

#include <sys/types.h>

#include "mm/mm_types.h"
#include "mmu/host/home.h"
#include "plat/mmu.h"

struct host_range {
	uint64_t start;
	uint64_t npages;
};

enum host_status { HOST_MOVED, HOST_GONE, HOST_PINNED, HOST_REFUSED, HOST_BUSY };

struct host_client;

struct mmu_host;

struct host_transport {
	/* Ask the helper to move @n ranges (@npages in all) to its staging area and wait for one
	 * status per page. 0; -ETIMEDOUT: no answer yet; -EPIPE: the client is gone; -EPROTO:
	 * invalid answer (the client is being killed). */
	int (*evict)(struct host_client *c, const struct host_range *r, unsigned n, uint8_t *status,
		     unsigned npages);
	/* Ask the helper to fill the LEAF_SPAN bytes from @start on, and wait. HOST_MOVED: done.
	 * HOST_GONE: something was there, a part may be done. HOST_REFUSED, HOST_BUSY: nothing was
	 * done. -ETIMEDOUT, -EPIPE, -EPROTO as above. */
	int (*fill)(struct host_client *c, uint64_t start);
	/* The client has a page at @va that the books may not have: enter it. Nothing locked. */
	void (*adopt)(struct host_client *c, uint64_t va);
	/* Drop the first @n pages of the staging area, which were copied. Does not wait. */
	void (*zap)(struct host_client *c, unsigned n);
	/* A request went late: tell host_late_done when the answer comes. */
	void (*late)(struct host_client *c);
	/* Content of the client is lost: kill it, as it must not run on without. But not if it is
	 * ending anyway: after exec its process is another program. */
	void (*lost)(struct host_client *c);
	/* The fault worker that serves the client is about to wait. */
	void (*blocking)(struct host_client *c);
	/* The client's record is no longer reachable through its address space: free it. */
	void (*release)(struct host_client *c);
	/* As struct mmu_ops has it. */
	bool (*search)(struct mmu_host *h, bool wait);
	/* The OOM killer is about to kill the client, whose memory is still counted. */
	void (*killed)(struct host_client *c);
};

struct host_late {
	unsigned n;
	struct page *page[MMU_BATCH_MAX]; /* referenced */
	uint64_t va[MMU_BATCH_MAX];       /* where the helper was sent */
	uint64_t place[MMU_BATCH_MAX];    /* where the page's entry is now: mremap moves it */
	bool rescued[MMU_BATCH_MAX];      /* content is at home already, without an answer */
};

/* Pages that stay in the client: something outside holds references on them. */
struct host_hold {
	struct list_head link; /* batch_lock */
	uint64_t start, end;
};

struct host_client {
	struct mm *mm;        /* (C) referenced */
	int uffd;             /* (C) until the client ends */
	pid_t pid;            /* 0: not known yet (forked, no hello yet) */
	pid_t task;           /* the helper, as a program may outlive its main thread. 0: as pid */
	int pidfd;            /* -1: none */
	uint64_t staging;     /* (C) once can_evict */
	atomic64_t event_seq; /* counts applied events that changed mappings */
	int pagemap_fd;       /* batch_lock; -1: not open */
	int mem_fd;           /* the same; peek.c */
	atomic32_t
		spare_task;   /* another task with this memory, in case the helper exits; 0: none */
	atomic32_t can_evict; /* there is a helper that can move pages */
	atomic32_t frozen;    /* its process forks without an event (serve/session/fork.c): no page
			       * comes, no message is read. mmap_lock held for writing to set */
	atomic32_t dead;
	struct spinlock batch_lock; /* rank HOST_BATCH: one request at a time; protects late and the
				       transport */
	atomic32_t is_late;
	atomic32_t asking; /* a request is under way; set and cleared under batch_lock */
	struct host_late late;
	struct spinlock fill_lock; /* rank HOST_FILL: from the start of a fill to its end, or until
				      it is late */
	atomic64_t
		fill; /* base of the leaf that is being filled with a huge page; 0: none (huge.c) */
	atomic32_t fill_torn; /* the leaf's pages must be looked up */
	atomic32_t fill_late; /* the late request is a fill; batch_lock to write */
	uint64_t
		fill_next_ns; /* no fill before this: the last one failed. A hint, without a lock */
	struct list_head holds; /* batch_lock: struct host_hold */
	void *serve;            /* the supervisor's own record */
};

struct mmu_host {
	struct mmu mmu;
	struct engine *engine;
	struct home home;
	const struct host_transport *transport;
	const void *zeros; /* (C) FAULT-window of zero bytes, never written */
	atomic64_t moved, refused, pinned, busy, gone, late; /* pages; statistics */
	struct spinlock objects_lock;                        /* shared.h */
	struct list_head objects;                            /* objects_lock: struct host_shared */
	struct list_head backed;                             /* objects_lock: backed.h */
	unsigned nr_backed;                                  /* objects_lock */
	struct spinlock begin_lock;                          /* memfd.h */
	struct spinlock pipe_lock;                           /* shared.h */
	int pipe[2];                                         /* pipe_lock; empty when it is free */
	unsigned pipe_pages; /* (C) what it holds; 0: shared memory stays with the kernel */
};

#define HOST_ZERO_PAGES 64

int mmu_host_init(struct mmu_host *h, struct engine *e, uint32_t max_frames,
		  const struct host_transport *t);
void mmu_host_fini(struct mmu_host *h);

void host_client_init(struct host_client *c, struct mm *mm, int uffd);
/* A late answer came: bring the moved pages home, wake their waiters. Takes batch_lock. */
void host_late_done(struct mmu_host *h, struct host_client *c, const uint8_t *status, unsigned n);
/* @p belongs at @va and is missing there: is its content's place unknown? 0: no; if it was in the
 * staging area, it is at home now. -EBUSY: yes; the fault is woken once it is known. -EAGAIN:
 * cannot tell now. Under a leaf lock. */
int host_is_late(struct mmu_host *h, struct host_client *c, uint64_t va, struct page *p);
/* Entries have moved. batch_lock held. */
void host_late_moved(struct host_client *c, uint64_t from, uint64_t to, uint64_t len);
/* The helper is gone and the program no longer runs: forget its late pages. Requests of its kernel
 * are still served. */
void host_helper_gone(struct mmu_host *h, struct host_client *c);
/* huge.c, for the worker. An event about [start, end) is applied; mmap_lock held for writing. */
void host_fill_event(struct host_client *c, uint64_t start, uint64_t end);
/* Can a late fill still put zeros into [start, end), whatever is there by then? batch_lock held. */
bool host_fill_awaits(struct host_client *c, uint64_t start, uint64_t end);
/* The helper is gone, but its memory lives on: @task is the new helper, with its own staging area.
 * batch_lock held. */
void host_helper_replaced(struct mmu_host *h, struct host_client *c, pid_t task, uint64_t staging);
/* ... and, without the lock, finish what the old one had begun. */
void host_helper_settled(struct mmu_host *h, struct host_client *c);
/* The client is gone. */
void host_client_end(struct mmu_host *h, struct host_client *c);
/* Wait until no request is under way for @c (before a fork). False: one is late. */
bool host_client_quiesce(struct host_client *c);

#endif

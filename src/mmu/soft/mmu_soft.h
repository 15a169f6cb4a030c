/* mmu/soft/mmu_soft.h - MMUs in software, for tests and the checker.
 *
 * Two personalities.
 *   shared     Page tables are walked as hardware does, each CPU has a TLB. An access through a
 *              cached translation takes no lock of the engine; it holds its TLB's lock, so a flush
 *              waits for it, as it waits for the answer to an interrupt. Pages are always at home.
 *   exclusive  Imitates the host MMU: an address space has memory of its own (the client's), the
 *              engine's page tables are only what the engine believes. A page is at home or in one
 *              client; withdraw takes it away, accesses then fault. The client can discard and move
 *              memory before the engine learns of it.
 *
 * Every page's content is an allocation of its own, so the address sanitizer sees a use after the
 * frame was freed.
 *
 * Locks: TLBs and client memory have locks of rank LEAF, taken under the leaf lock or alone.
 */
#ifndef UMEMCG_MMU_SOFT_MMU_SOFT_H
#define UMEMCG_MMU_SOFT_MMU_SOFT_H

#include "plat/mmu.h"

#define SOFT_TLB_SIZE       64
#define SOFT_CLIENT_BUCKETS 1024
#define SOFT_CLIENT_LOCKS   64

enum soft_kind { SOFT_SHARED, SOFT_EXCLUSIVE };

struct soft_tlb_entry {
	struct mm *mm; /* NULL: unused */
	uint64_t va;
	void *data;
	bool write;
};

struct soft_cpu {
	atomic32_t used;      /* 1: has held a translation; set under the leaf lock of the first */
	struct spinlock lock; /* rank LEAF: the entries, and accesses through them */
	struct soft_tlb_entry tlb[SOFT_TLB_SIZE];
};

/* One page of a client's memory (exclusive). */
struct soft_client_page {
	struct soft_client_page *next; /* bucket's lock */
	struct mm *mm;
	uint64_t va;
	void *data;
};

/* Injected answers other than success; tests set these. 0: off. */
struct soft_inject {
	atomic32_t map_errno;    /* the next map fails with -map_errno; cleared by it */
	atomic32_t map_max;      /* most pages that one map makes present */
	atomic32_t busy_every;   /* every nth request of a withdrawal is busy */
	atomic32_t refuse_every; /* likewise, refused */
	atomic32_t no_frames;    /* bring_frames fails */
};

struct mmu_soft {
	struct mmu mmu;
	enum soft_kind kind;                            /* (C) */
	uint32_t max_frames;                            /* (C) */
	atomicptr_t *home;                              /* pfn -> content at home, or NULL */
	struct soft_cpu cpu[PLAT_NR_CPUS];              /* shared */
	struct soft_client_page **client;               /* exclusive: buckets by (mm, va) */
	struct spinlock client_lock[SOFT_CLIENT_LOCKS]; /* rank LEAF; bucket % SOFT_CLIENT_LOCKS */
	int (*fault)(struct mm *mm, uint64_t va, bool write); /* (C) the engine's */
	void (*killed)(void *arg, struct mm *mm);             /* called by kill; may be NULL */
	void *killed_arg;
	/* Called at the end of a withdrawal, before the engine learns the results: tests do here
	 * what a client might do at that moment. May be NULL. */
	void (*withdrawn)(void *arg, struct mmu_req *reqs, unsigned n);
	void *withdrawn_arg;
	struct soft_inject inject;
	bool freezes;        /* (C) soft_freeze is used */
	atomic32_t frozen;   /* no page comes to any client; mmap_lock of whose it is, to set */
	struct waitq thawed; /* with @freezes */
	atomic64_t nr_home, nr_client; /* pages of content */
	atomic64_t nr_requests, nr_kills, nr_poisons, nr_flushes;
};

/* @fault is handle_fault. 0 or -ENOMEM. */
int soft_init(struct mmu_soft *s, enum soft_kind kind, uint32_t max_frames,
	      int (*fault)(struct mm *mm, uint64_t va, bool write));
void soft_fini(struct mmu_soft *s);

/* Access memory as a thread of @mm on CPU @cpu would. 0, or what the fault said: -EFAULT, -EACCES,
 * -EIO (SIGBUS), -ENOMEM and -ESRCH (killed). Bytes before the failing page are done. */
int soft_read(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, void *buf, size_t len);
int soft_write(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, const void *buf,
	       size_t len);

/* ---- actions of a client on its own memory (exclusive; no-ops in shared) ---- */

void soft_client_discard(struct mmu_soft *s, struct mm *mm, uint64_t start, uint64_t end);
void soft_client_move(struct mmu_soft *s, struct mm *mm, uint64_t from, uint64_t to, uint64_t len);
/* fork: every page of @parent is copied into @child. 0 or -ENOMEM. */
int soft_client_fork(struct mmu_soft *s, struct mm *parent, struct mm *child);
/* Around a fork that is not reported: the books of @mm stay what its memory is, unless something is
 * withdrawn. Needs s->freezes and s->thawed, which the fixture sets. */
void soft_freeze(struct mmu_soft *s, struct mm *mm);
void soft_thaw(struct mmu_soft *s);
/* Process exit: free its memory. NULL: of all processes. */
void soft_client_exit(struct mmu_soft *s, struct mm *mm);
/* Put zeros at @va behind the engine's back. */
int soft_client_touch(struct mmu_soft *s, struct mm *mm, uint64_t va);

/* At rest every cached translation must be one that the page tables allow. Returns how many are
 * not. */
unsigned soft_stale_translations(struct mmu_soft *s);

#endif

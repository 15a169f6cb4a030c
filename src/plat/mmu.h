/* plat/mmu.h - the MMU contract: who makes the engine's page-table decisions true.
 *
 * The engine owns page tables, rmap and lists; an MMU owns where the bytes are and how a mapping is put
 * into force. Two of them: soft (page tables walked in software, a TLB per CPU) and host (userfaultfd:
 * real processes).
 *
 * Where a page's content is. "Home": a frame the engine can read, mmu_data(page) points to it. "Away": only
 * in the client process it is mapped into (host). Soft pages are always at home.
 *
 * Words: map = make translations true; withdraw = take a page's content back so that no further
 * access reaches it without a fault (host: into a home frame); flush = no CPU keeps an old translation.
 *
 * Rules of a call: lock letters of lockorder.def. map and flush are called under the leaf lock of the
 * range; withdraw with the pages locked and nothing else held, it may block (bounded).
 */
#ifndef UMEMCG_PLAT_MMU_H
#define UMEMCG_PLAT_MMU_H

#include "plat/plat.h"

struct address_space;
struct mm;
struct mmu;
struct page;

#define MMU_BATCH_MAX 128   /* pages a withdrawal */

enum mmu_result {
	MMU_WITHDRAWN,   /* content is home, every access faults */
	MMU_GONE,        /* the client discarded it: an event about it is on its way */
	MMU_BUSY,        /* not now: pinned by I/O, mapping being changed, client not answering */
	MMU_REFUSED,     /* this mapping cannot be withdrawn as it is (protection, locked) */
};

struct mmu_req {
	struct page *page;
	struct mm *mm;        /* referenced by the caller; NULL: a page of shared memory, wherever it is mapped */
	uint64_t va;
	enum mmu_result result;
};

struct mmu_ops {
	const char *name;

	/* A page may be mapped by several page tables (copy-on-write after fork, shared swap cache).
	 * False: a page lives in one address space; fork gives the child pages of its own. */
	bool shares;
	/* withdraw ends all access, so content is stable before the entries are cleared; and mapping
	 * neighbours of a fault in one go is worth it. */
	bool withdraws;

	/* Content at home, or NULL when away. Stable while the page is locked and not mapped. */
	void *(*data)(struct mmu *mmu, struct page *page);
	/* Give home frames (content undefined) to pages that are away; neighbours in memory when it can.
	 * 0 or -ENOMEM: none was given. */
	int (*bring_frames)(struct mmu *mmu, struct page **pages, unsigned n);
	/* The page is being freed, or its content now lives in the client: the frame is not needed. */
	void (*drop_frame)(struct mmu *mmu, struct page *page);

	/* Make @pages present at @va, @va + 1 page...: from home, or zero-filled when @zero. Returns how many (from
	 * the first on) are now true, 0 < k <= n, or: -EEXIST something is there already (of the first page), -EAGAIN
	 * the client is changing mappings, read its events first; -EBUSY it is not known where the content is: whoever
	 * learns it wakes the faulting thread; -ENOENT no such mapping any more, -ESRCH
	 * the client is gone, -ENOMEM the host is out of memory. */
	int (*map)(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n, bool zero);
	/* A thread found nothing at @va although its entry maps @page, and nobody holds the page: make it true, or find that it is
	 * (-EEXIST). -ENODATA: its content was discarded, and @mm has areas that are filled from files. Under the leaf lock.
	 * Returns as map does; NULL for an MMU whose entries are the truth. */
	int (*refresh)(struct mmu *mmu, struct mm *mm, uint64_t va, struct page *page);
	void (*withdraw)(struct mmu *mmu, struct mmu_req *reqs, unsigned n);
	void (*flush)(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages);
	/* Put zeros, as a huge page if it can, into the whole leaf from @base on, of which the caller has seen that it is empty. Asks the
	 * client; nothing locked. 0: they are there, and until fill_end nothing else is mapped in the leaf (map: -EBUSY; whoever ends
	 * it wakes). -EAGAIN: nothing was done. -EBUSY: not known yet; whoever learns it enters it in the books, and wakes. NULL:
	 * this MMU has no huge pages. */
	int (*fill)(struct mmu *mmu, struct mm *mm, uint64_t base);
	/* Is all that was filled still there, as far as the events tell that were read? mmap_lock held. */
	bool (*fill_holds)(struct mmu *mmu, struct mm *mm);
	/* The end of a fill. @entered: the books have it; else what is found there is entered now. Nothing locked. */
	void (*fill_end)(struct mmu *mmu, struct mm *mm, uint64_t base, bool entered);
	/* An access to @va shall fail with SIGBUS from now on: its content is lost. */
	void (*poison)(struct mmu *mmu, struct mm *mm, uint64_t va);
	/* Whoever waits for a fault at @va may try again. */
	void (*wake)(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages);
	/* The caller works for @mm and is about to wait for reclaim: let somebody else serve its other threads. NULL: nothing to
	 * do. */
	void (*blocking)(struct mmu *mmu, struct mm *mm);
	/* The last reference of @mm is gone: its host record is not needed any more. NULL: there is none. */
	void (*release)(struct mmu *mmu, struct mm *mm);
	/* @as, which has a record of ours, is being freed. NULL: there are none. */
	void (*release_file)(struct mmu *mmu, struct address_space *as);
	/* Nobody can be reclaimed from any more, and somebody is about to be killed: give back what
	 * was charged ahead, and take into the books what is in memory and could be. True: there
	 * was something, or, where @wait is false, it is being looked for: look again. NULL: the
	 * books have everything. */
	bool (*search)(struct mmu *mmu, bool wait);
	/* End the process behind @mm: the group is out of memory. Must not block. */
	void (*kill)(struct mmu *mmu, struct mm *mm);
};

struct mmu {
	const struct mmu_ops *ops;
};

static inline void *mmu_data(struct mmu *mmu, struct page *page) { return mmu->ops->data(mmu, page); }

#endif

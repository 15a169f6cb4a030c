/* plat/mmu.h - the MMU contract: how the engine's page table decisions take effect.
 *
 * The engine owns page tables, rmap and lists; an MMU owns where the bytes are and how a mapping
 * takes effect. There are two: soft (page tables walked in software, a TLB per CPU) and host
 * (userfaultfd: real processes).
 *
 * A page's content is at "home", in a frame the engine can read through mmu_data(page), or "away",
 * only in the client process that maps it (host). Soft pages are always at home.
 *
 * Words: map = make translations valid; withdraw = take a page's content back so that every further
 * access faults (host: into a home frame); flush = no CPU keeps an old translation.
 *
 * Locks (ranks: lockorder.def): map and flush are called under the leaf lock of the range; withdraw
 * with the pages locked and nothing else held; it may block (bounded).
 */
#ifndef UMEMCG_PLAT_MMU_H
#define UMEMCG_PLAT_MMU_H

#include "plat/plat.h"

struct address_space;
struct mm;
struct mmu;
struct page;

#define MMU_BATCH_MAX 128 /* pages per withdrawal */

enum mmu_result {
	MMU_WITHDRAWN, /* content is home, every access faults */
	MMU_GONE,      /* the client discarded it: an event about it is on its way */
	MMU_BUSY,      /* not now: pinned by I/O, mapping changing, client not answering */
	MMU_REFUSED,   /* this mapping cannot be withdrawn as it is (protection, locked) */
};

struct mmu_req {
	struct page *page;
	struct mm *mm; /* referenced by the caller; NULL: a page of shared memory, wherever it is
			  mapped */
	uint64_t va;
	enum mmu_result result;
};

struct mmu_ops {
	const char *name;

	/* A page may be mapped by several page tables (copy-on-write after fork, shared swap
	 * cache). False: a page lives in one address space; fork gives the child pages of its
	 * own. */
	bool shares;
	/* withdraw ends all access, so content is stable before the entries are cleared; and
	 * mapping a fault's neighbours in one go pays off. */
	bool withdraws;

	/* Content at home, or NULL when away. Stable while the page is locked and not mapped. */
	void *(*data)(struct mmu *mmu, struct page *page);
	/* Give home frames (content undefined) to pages that are away, adjacent in memory if
	 * possible.
	 * 0 or -ENOMEM: none was given. */
	int (*bring_frames)(struct mmu *mmu, struct page **pages, unsigned n);
	/* The page is being freed, or its content is now in the client: release the frame. */
	void (*drop_frame)(struct mmu *mmu, struct page *page);

	/* Make @pages present at @va, @va + 1 page...: from home, or zero-filled when @zero.
	 * Returns how many are now present, from the first on: 0 < k <= n. -EEXIST: something is
	 * there already (at the first page); -EAGAIN: the client is changing mappings, read its
	 * events first; -EBUSY: it is unknown where the content is; the faulting thread is woken
	 * once it is known; -ENOENT: the mapping is gone; -ESRCH: the client is gone; -ENOMEM: the
	 * host is out of memory. */
	int (*map)(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
		   bool zero);
	/* A thread faulted at @va although the entry maps @page, and no other thread is working on
	 * the page (the caller has it locked): make it present, or find that it is (-EEXIST).
	 * -ENODATA: its content was discarded, and @mm has areas that are filled from files.
	 * Otherwise returns as map does. Under the leaf lock. NULL for an MMU whose entries are
	 * authoritative. */
	int (*refresh)(struct mmu *mmu, struct mm *mm, uint64_t va, struct page *page);
	void (*withdraw)(struct mmu *mmu, struct mmu_req *reqs, unsigned n);
	void (*flush)(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages);
	/* Fill the whole leaf at @base, which the caller has seen to be empty, with zeros, as a
	 * huge page if possible. Asks the client; called without locks. 0: done; until fill_end
	 * nothing else is mapped in the leaf (map: -EBUSY; the end of the fill wakes). -EAGAIN:
	 * nothing was done. -EBUSY: not known yet; once it is known, the pages are entered in the
	 * books and waiters woken. NULL: this MMU has no huge pages. */
	int (*fill)(struct mmu *mmu, struct mm *mm, uint64_t base);
	/* As far as the events read so far tell, is everything filled still there? mmap_lock
	 * held. */
	bool (*fill_holds)(struct mmu *mmu, struct mm *mm);
	/* End a fill. @entered: the books have the pages; otherwise enter what is found there now.
	 * Called without locks. */
	void (*fill_end)(struct mmu *mmu, struct mm *mm, uint64_t base, bool entered);
	/* The content at @va is lost: accesses fail with SIGBUS from now on. */
	void (*poison)(struct mmu *mmu, struct mm *mm, uint64_t va);
	/* Let threads that wait for a fault at @va retry. */
	void (*wake)(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages);
	/* The caller serves @mm and is about to wait for reclaim: let another worker serve its
	 * other threads. NULL: nothing to do. */
	void (*blocking)(struct mmu *mmu, struct mm *mm);
	/* The last reference on @mm is gone: release its host record. NULL: there is none. */
	void (*release)(struct mmu *mmu, struct mm *mm);
	/* @as, which has an MMU record, is being freed. NULL: there are none. */
	void (*release_file)(struct mmu *mmu, struct address_space *as);
	/* Reclaim finds nothing more, and an OOM kill is next: uncharge what was charged ahead, and
	 * enter unmanaged memory in the books where possible. True: there was something or, if
	 * !@wait, a search is under way: retry. NULL: the books have everything. */
	bool (*search)(struct mmu *mmu, bool wait);
	/* Kill the process behind @mm: the group is out of memory. Must not block. */
	void (*kill)(struct mmu *mmu, struct mm *mm);
};

struct mmu {
	const struct mmu_ops *ops;
};

static inline void *mmu_data(struct mmu *mmu, struct page *page)
{
	return mmu->ops->data(mmu, page);
}

#endif

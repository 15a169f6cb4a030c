/* mm/fault.h - page faults. */
#ifndef UMEMCG_MM_FAULT_H
#define UMEMCG_MM_FAULT_H

#include "mm/mm_types.h"

/* Make @va accessible in @mm (for writing if @write). No locks may be held; may block for reclaim
 * and I/O. 0: resolved, waiters were woken. -EFAULT: no area there. -EACCES: the area does not
 * allow it. -EIO: the content is lost, the access fails with SIGBUS. -ENOMEM: the process is being
 * killed, or the host has no memory. Errors of the MMU's map: -EAGAIN, -ENOENT, -ESRCH. */
int handle_fault(struct mm *mm, uint64_t va, bool write);

/* Bring swapped pages of [start, end) back ahead of use, as far as the limit allows without
 * evicting many others. */
void fault_willneed(struct mm *mm, uint64_t start, uint64_t end);

/* Start tracking a page that the client had before the area was managed. Charged by force: it
 * exists. No locks held. 0, -ENOMEM, -EFAULT (no area), -EEXIST (already known). */
int fault_adopt(struct mm *mm, uint64_t va);

/* Read swapped pages of [start, start + n pages) into the swap cache, where their faults will find
 * them. Stays within one area and one leaf, and within what can be charged without much pressure on
 * others. n <= FAULT_PAGES_MAX. */
void fault_read_ahead(struct mm *mm, uint64_t start, unsigned n);

#define FAULT_PAGES_MAX 64 /* most pages brought by one fault */

/* ---- shared by fault.c, swapin.c and huge.c ---- */

struct fault {
	struct mm *mm;
	uint64_t va; /* page aligned */
	bool write;
	struct mem_cgroup *memcg; /* group of @mm when the fault began, referenced; is charged */
	uint32_t paid;            /* entry whose page it charged to @memcg and read; 0: none */
	uint64_t start;           /* the window: [start, start + n pages), holds va */
	unsigned n;
	uint64_t ahead; /* if ahead_n > 0: the pages from here on are expected next */
	unsigned ahead_n;
	bool readonly; /* a store, but the entry is read-only: the page must be copied */
};

/* What a run of pages is mapped from: an MMU's map, and the entries that follow. */
struct mapping {
	struct fault *f;
	struct vma *v;     /* holds f->va */
	struct leaf *leaf; /* f->va's, locked */
	void *pages;       /* the mapper's */
};

/* Map pages [first, first + n) of m->pages: the number mapped from @first on, or -errno. */
typedef int (*map_run_fn)(const struct mapping *m, unsigned first, unsigned n);

/* fault.c: map a run that has the faulting page, number @self, with @map. -EEXIST and -ENOENT may
 * be about a neighbour: then the faulting page alone is mapped, and *@first is its number. Leaf
 * lock held. Returns as @map. */
int fault_map_run(const struct mapping *m, map_run_fn map, unsigned *first, unsigned n,
		  unsigned self);
/* fault.c: a store to @old, mapped read-only at f->va by @pte. Returns as handle_fault. */
int fault_cow(struct fault *f, pte_t pte, struct page *old);
/* Its second half: map a copy. @pte 0: @old is a page of a file, not yet mapped there. */
int fault_cow_copy(struct fault *f, pte_t pte, struct page *old);
/* backing.c: f->va is unmapped, in an area filled from a file. 1: retry. */
int fault_backed(struct fault *f);
/* swapin.c: @pte is the swap entry seen at f->va. */
int fault_swap(struct fault *f, pte_t pte);
/* fault.c: commit the charge of @p to @memcg and enter it as the page at @va in @v. Leaf lock held;
 * the caller puts it on a list. */
void finish_new_page(struct mem_cgroup *memcg, struct page *p, struct vma *v, struct leaf *leaf,
		     uint64_t va);
/* fault.c: narrow the window to the area, the leaf and the run of empty entries around f->va. Leaf
 * lock held. */
void clip_to_empty(struct fault *f, const struct vma *v, const struct leaf *leaf);
/* fault.c: charge the one page that a fault cannot do without. 0 or as charge_pages. */
int charge_fault_page(struct fault *f);
/* stream.c: choose the window for a fault at f->va from earlier faults. @first: window of a new
 * stream, in pages. @skips: pages in between that do not fault do not end a stream. */
void stream_window(struct fault *f, unsigned first, bool skips);
/* The maximum window, in pages, if @limit is the smallest limit: a window must not evict a small
 * group's working set. Pure. */
unsigned window_max(int64_t limit);

#endif

/* mm/fault.h - page faults. */
#ifndef UMEMCG_MM_FAULT_H
#define UMEMCG_MM_FAULT_H

#include "mm/mm_types.h"

/* Make @va accessible in @mm (for writing when @write). Nothing may be locked; may block for reclaim and I/O.
 * 0: resolved, whoever waits was woken. -EFAULT: no area there. -EACCES: the area does not allow it. -EIO: the content is lost, the access
 * fails with SIGBUS. -ENOMEM: the process is being killed, or the host has no memory. What the MMU's map returned: -EAGAIN, -ENOENT, -ESRCH. */
int handle_fault(struct mm *mm, uint64_t va, bool write);

/* Bring swapped pages of [start, end) back ahead of use, as far as the limit allows without pushing others out much. */
void fault_willneed(struct mm *mm, uint64_t start, uint64_t end);

/* The client has this page already, from before we managed the area: take it into the books. Charged by force: it exists.
 * Nothing locked. 0, -ENOMEM, -EFAULT (no area), -EEXIST (known). */
int fault_adopt(struct mm *mm, uint64_t va);

/* Read swapped pages of [start, start + n pages) into the swap cache, to be found there by their faults: as far as they lie in one area
 * and one table, and are charged without pressing anybody hard. n <= FAULT_PAGES_MAX. */
void fault_read_ahead(struct mm *mm, uint64_t start, unsigned n);

#define FAULT_PAGES_MAX 64   /* most pages brought by one fault */

/* ---- shared by fault.c, swapin.c and huge.c ---- */

struct fault {
	struct mm *mm;
	uint64_t va;          /* page aligned */
	bool write;
	struct mem_cgroup *memcg;  /* the group of @mm when the fault began, referenced: charges, and gives back, there */
	uint32_t paid;        /* the entry whose page it has charged to @memcg and read; 0: none */
	uint64_t start;       /* the window: [start, start + n pages), holds va */
	unsigned n;
	uint64_t ahead;       /* ahead_n > 0: pages from here on that the stream is expected to want next */
	unsigned ahead_n;
	bool readonly;        /* a store, but the entry was made for reading: the page has to be copied */
};

/* fault.c: a store to @old, which is mapped at f->va by @pte for reading only. As handle_fault. */
int fault_cow(struct fault *f, pte_t pte, struct page *old);
/* Its second half: map a copy. @pte 0: @old is a page of a file that is not mapped there yet. */
int fault_cow_copy(struct fault *f, pte_t pte, struct page *old);
/* backing.c: nothing is at f->va, in an area that is filled from a file. 1: look again. */
int fault_backed(struct fault *f);
/* swapin.c: @pte is the swap entry seen at f->va. */
int fault_swap(struct fault *f, pte_t pte);
/* fault.c: @p becomes the page at @va in @v, charged to @memcg: commit the charge, enter it. Leaf lock held; the caller puts it on a list. */
void finish_new_page(struct mem_cgroup *memcg, struct page *p, struct vma *v, struct leaf *leaf, uint64_t va);
/* fault.c: narrow the window to the area, the leaf and the run of empty entries around f->va. Leaf lock held. */
void clip_to_empty(struct fault *f, const struct vma *v, const struct leaf *leaf);
/* fault.c: charge the one page that a fault cannot do without. 0 or as charge_pages. */
int charge_fault_page(struct fault *f);
/* stream.c: choose the window for a fault at f->va by who faulted where before; @first: how many pages a new stream gets. @skips: pages
 * in between that do not fault end no stream. */
void stream_window(struct fault *f, unsigned first, bool skips);
/* Most pages a window may have where @limit is the smallest limit: a window must not push out what a small group works with. Pure. */
unsigned window_max(int64_t limit);

#endif

/* mmu/host/withdraw.c - taking pages out of clients.
 *
 * A request names an address; at any time the program may unmap it and map something else there.
 * While the event about the unmapping is unread, the move finds nothing: the kernel refuses every
 * copy into the new mapping. Once it was applied, the move may find the content of another page
 * that a fault has put there. No lock that a fault needs is held over the request (it takes as long
 * as a context switch of the client), so this is detected afterwards:
 *
 *   event_seq   tells that an unmapping or a discard was applied since we read the entries. Then
 *               recheck each: if it maps another page now, and its place in the client is empty, we
 *               took that page's content, and return it as a home frame (look_again).
 *   asking      set from before the entries are read until after that: the content of an empty
 *               place whose entry says present may be with us. A fault there is not resolved but
 *               retried (host_refresh), which leaves the place empty for look_again.
 *   batch_lock  held throughout: one request at a time per client. Moves (mremap) are applied under
 *               it, so the requested page is still in its place, or is gone from the program.
 *
 * A request without an answer is "late" (go_late). Then batch_lock and asking are released, and
 * is_late takes over (late.c).
 *
 * Frames. A requested page gets a home frame before the request, without content. So a frame counts
 * as content only for a thread that holds the page lock, or knows that it is free (mm/fork.c). The
 * page keeps the frame only if its content arrived.
 *
 * We read the helper's memory, as a program may outlive its main thread. At exec and exit the
 * helper goes first, and its memory before its channel: ESRCH says that; the control thread sees
 * the channel close and does the rest. Send no signal then: after exec the process is another
 * program.
 *
 * Locks: the pages are locked by the caller. batch_lock, then leaf locks.
 */
#include "mmu/host/withdraw.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "mm/page.h"
#include "mm/pgtable.h"
#include "mmu/host/host.h"
#include "mmu/host/shared.h"

/* What is asked of one client: the caller's requests in address order. */
struct ask {
	struct mmu_req *req[MMU_BATCH_MAX];
	unsigned n;
	struct host_range range[MMU_BATCH_MAX];
	unsigned nr_ranges;
	uint8_t status[MMU_BATCH_MAX];
};

static int by_place(const void *a, const void *b)
{
	const struct mmu_req *x = *(struct mmu_req *const *)a, *y = *(struct mmu_req *const *)b;

	if (x->mm != y->mm)
		return x->mm < y->mm ? -1 : 1;
	return x->va < y->va ? -1 : x->va > y->va;
}

bool host_maps(struct mm *mm, uint64_t va, const struct page *p)
{
	struct leaf *leaf = leaf_find(mm, va);
	bool yes;

	VM_ASSERT(va % PAGE_SIZE == 0);
	if (!leaf)
		return false;
	spin_lock(&leaf->lock);
	yes = pte_present(pte_read(leaf, va)) && pte_pfn(pte_read(leaf, va)) == p->pfn;
	spin_unlock(&leaf->lock);
	return yes;
}

/* batch_lock held. */
static bool is_held(const struct host_client *c, uint64_t va)
{
	lockdep_assert_held(&c->batch_lock);
	list_for_each(d, &c->holds, const struct host_hold, link)
		if (va >= d->start && va < d->end)
			return true;
	return false;
}

/* Drop requests that are settled already, or whose pages stay; build ranges of the rest. batch_lock
 * held. */
static void build_ranges(struct mmu_host *h, const struct host_client *c, struct ask *a)
{
	unsigned kept = 0;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(a->n <= MMU_BATCH_MAX);
	a->nr_ranges = 0;
	for (unsigned i = 0; i < a->n; i++) {
		struct mmu_req *q = a->req[i];
		struct host_range *last = a->nr_ranges ? &a->range[a->nr_ranges - 1] : NULL;

		if (home_data(&h->home, q->page->pfn)) {
			q->result = MMU_WITHDRAWN; /* it never left us */
			continue;
		}
		if (!host_maps(q->mm, q->va, q->page)) {
			q->result = MMU_GONE;
			continue;
		}
		if (is_held(c, q->va)) {
			a64_add_relaxed(&h->pinned, 1);
			continue; /* MMU_BUSY, the initial result */
		}
		if (last && last->start + last->npages * PAGE_SIZE == q->va)
			last->npages++;
		else
			a->range[a->nr_ranges++] = (struct host_range){ q->va, 1 };
		a->req[kept++] = q;
	}
	a->n = kept;
}

static void set_all(struct ask *a, enum mmu_result result)
{
	for (unsigned i = 0; i < a->n; i++)
		a->req[i]->result = result;
}

static int take_frames(struct mmu_host *h, struct ask *a)
{
	uint32_t pfns[MMU_BATCH_MAX];

	VM_ASSERT(a->n > 0 && a->n <= MMU_BATCH_MAX);
	for (unsigned i = 0; i < a->n; i++)
		pfns[i] = a->req[i]->page->pfn;
	return home_take(&h->home, pfns, a->n);
}

/* The helper is gone: copy the pages one by one. batch_lock held. */
static bool read_left(struct mmu_host *h, struct host_client *c, const struct ask *a)
{
	lockdep_assert_held(&c->batch_lock);
	for (unsigned i = 0; i < a->n; i++)
		if (a->status[i] == HOST_MOVED &&
		    !host_peek(c, c->staging + i * PAGE_SIZE,
			       home_data(&h->home, a->req[i]->page->pfn)))
			return false;
	return true;
}

/* Copy the moved pages from the staging area into their frames. */
static bool read_staging(struct mmu_host *h, struct host_client *c, struct ask *a)
{
	struct iovec local[MMU_BATCH_MAX], remote[MMU_BATCH_MAX];
	unsigned n = 0;
	ssize_t want = 0;

	lockdep_assert_held(&c->batch_lock);
	for (unsigned i = 0; i < a->n; i++) {
		if (a->status[i] != HOST_MOVED)
			continue;
		local[n] = (struct iovec){ home_data(&h->home, a->req[i]->page->pfn), PAGE_SIZE };
		remote[n] = (struct iovec){ (void *)(uintptr_t)(c->staging + i * PAGE_SIZE),
					    PAGE_SIZE };
		if (n &&
		    (char *)remote[n - 1].iov_base + remote[n - 1].iov_len == remote[n].iov_base &&
		    (char *)local[n - 1].iov_base + local[n - 1].iov_len == local[n].iov_base) {
			remote[n - 1].iov_len += PAGE_SIZE;
			local[n - 1].iov_len += PAGE_SIZE;
		} else {
			n++;
		}
		want += (ssize_t)PAGE_SIZE;
	}
	errno = 0;
	return want == 0 || process_vm_readv(c->task, local, n, remote, n, 0) == want;
}

static void apply_status(struct mmu_host *h, struct ask *a)
{
	static const enum mmu_result result[] = {
		[HOST_MOVED] = MMU_WITHDRAWN, [HOST_GONE] = MMU_GONE, [HOST_PINNED] = MMU_BUSY,
		[HOST_REFUSED] = MMU_REFUSED, [HOST_BUSY] = MMU_BUSY,
	};
	atomic64_t *const count[] = {
		[HOST_MOVED] = &h->moved,     [HOST_GONE] = &h->gone, [HOST_PINNED] = &h->pinned,
		[HOST_REFUSED] = &h->refused, [HOST_BUSY] = &h->busy,
	};

	for (unsigned i = 0; i < a->n; i++) {
		VM_ASSERT(a->status[i] <= HOST_BUSY);
		a->req[i]->result = result[a->status[i]];
		a64_add_relaxed(count[a->status[i]], 1);
		if (a->status[i] != HOST_MOVED)
			home_drop(&h->home, a->req[i]->page->pfn);
	}
}

/* No answer: remember what may still happen. batch_lock held. */
static void go_late(struct mmu_host *h, struct host_client *c, struct ask *a)
{
	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(!a32_peek(&c->is_late));
	c->late.n = a->n;
	for (unsigned i = 0; i < a->n; i++) {
		c->late.page[i] = a->req[i]->page;
		c->late.va[i] = c->late.place[i] = a->req[i]->va;
		c->late.rescued[i] = false;
		page_get(a->req[i]->page);
		home_drop(&h->home, a->req[i]->page->pfn);
	}
	a64_add_relaxed(&h->late, a->n);
	a32_add(&c->mm->no_reclaim, 1);
	a32_store(&c->is_late, 1);
	h->transport->late(c);
	set_all(a, MMU_BUSY);
}

/* Events were applied since the entries were read: whose content did request @i bring? If the entry
 * no longer maps the page, the page is gone from the program: moves (mremap) are applied under
 * batch_lock, so not since. batch_lock held. */
static void look_again(struct mmu_host *h, struct host_client *c, struct ask *a, unsigned i)
{
	struct mmu_req *q = a->req[i];
	struct leaf *leaf = leaf_find(q->mm, q->va);
	struct page *now;
	pte_t pte;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(i < a->n);
	if (!leaf)
		return;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, q->va);
	now = pte_present(pte) ? pfn_page(h->engine, pte_pfn(pte)) : NULL;
	if (now && now != q->page && !home_data(&h->home, now->pfn) && !host_client_has(c, q->va)) {
		/* It is the other page's content, which is at home from now on. */
		if (home_take(&h->home, &now->pfn, 1) == 0)
			memcpy(home_data(&h->home, now->pfn), home_data(&h->home, q->page->pfn),
			       PAGE_SIZE);
		else
			h->transport->lost(c);
	}
	spin_unlock(&leaf->lock);
}

bool host_was_moved(struct host_client *c, uint64_t va, unsigned slot)
{
	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(slot < MMU_BATCH_MAX);
	return host_client_has(c, c->staging + slot * PAGE_SIZE) && !host_client_has(c, va);
}

/* The helper ended, but the memory may live on: access it through another task from now on, if one
 * is known. The staging area is not used again. batch_lock held. */
static void use_spare(struct host_client *c)
{
	uint32_t task = a32_load(&c->spare_task);

	lockdep_assert_held(&c->batch_lock);
	if (task)
		c->task = (pid_t)task;
	a32_store(&c->can_evict, 0);
}

/* The helper ended during this request: which part of it was done? Nothing, if the memory went with
 * it. batch_lock held. */
static void done_by_the_gone(struct host_client *c, struct ask *a)
{
	lockdep_assert_held(&c->batch_lock);
	use_spare(c);
	for (unsigned i = 0; i < a->n; i++)
		a->status[i] = host_was_moved(c, a->req[i]->va, i) ? HOST_MOVED : HOST_BUSY;
}

/* The helper may end between its answer and this. batch_lock held. */
static bool read_moved(struct mmu_host *h, struct host_client *c, struct ask *a)
{
	lockdep_assert_held(&c->batch_lock);
	if (read_staging(h, c, a))
		return true;
	if (errno && errno != ESRCH)
		return false;
	use_spare(c);
	return read_left(h, c, a);
}

/* batch_lock held. */
static void ask_client(struct mmu_host *h, struct host_client *c, struct ask *a)
{
	int64_t seq = a64_load(&c->event_seq);
	unsigned moved = 0;
	int err;

	lockdep_assert_held(&c->batch_lock);
	build_ranges(h, c, a);
	if (a->n == 0)
		return;
	if (take_frames(h, a) != 0) {
		set_all(a, MMU_BUSY);
		return;
	}
	host_peek_open(c);
	err = h->transport->evict(c, a->range, a->nr_ranges, a->status, a->n);
	if (err == -EPIPE) {
		done_by_the_gone(c, a);
		err = 0;
	}
	if (err == -ETIMEDOUT) {
		go_late(h, c, a);
		return;
	}
	if (!err && !read_moved(h, c, a)) {
		/* ESRCH: the client is exiting, and its memory went first. */
		if (errno != ESRCH)
			h->transport->lost(c);
		err = -EPIPE;
	}
	if (err) {
		/* A helper goes before its program: the kernel may still need the other pages. */
		a32_store(err == -EPIPE ? &c->can_evict : &c->dead, err != -EPIPE);
		for (unsigned i = 0; i < a->n; i++)
			home_drop(&h->home, a->req[i]->page->pfn);
		set_all(a, MMU_BUSY);
		return;
	}
	for (unsigned i = 0; i < a->n; i++) {
		moved += a->status[i] == HOST_MOVED;
		if (a->status[i] == HOST_MOVED && a64_load(&c->event_seq) != seq)
			look_again(h, c, a, i);
	}
	if (moved && a32_load(&c->can_evict))
		h->transport->zap(c, a->n);
	apply_status(h, a);
}

static void withdraw_client(struct mmu_host *h, struct host_client *c, struct ask *a)
{
	set_all(a, MMU_BUSY);
	if (a32_load(&c->dead) || !a32_load(&c->can_evict) || a32_load(&c->mm->no_reclaim))
		return;
	spin_lock(&c->batch_lock);
	if (!a32_load(&c->is_late) && !a32_load(&c->mm->no_reclaim) && !a32_load(&c->dead) &&
	    a32_load(&c->can_evict)) {
		a32_store(&c->asking, 1);
		ask_client(h, c, a);
		a32_store(&c->asking, 0);
	}
	spin_unlock(&c->batch_lock);
}

void host_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n)
{
	struct mmu_host *h = (struct mmu_host *)mmu;
	struct mmu_req *sorted[MMU_BATCH_MAX];
	struct ask a;

	VM_BUG_ON(n > MMU_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		VM_ASSERT(a32_peek(&reqs[i].page->flags) & PG_locked);
		sorted[i] = &reqs[i];
	}
	qsort(sorted, n, sizeof(*sorted), by_place);
	for (unsigned i = 0, k; i < n; i += k) {
		for (k = 0; i + k < n && sorted[i + k]->mm == sorted[i]->mm; k++)
			a.req[k] = sorted[i + k];
		a.n = k;
		if (sorted[i]->mm)
			withdraw_client(h, sorted[i]->mm->host, &a);
		else
			host_shared_withdraw(h, a.req, k);
	}
}

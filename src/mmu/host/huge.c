/* mmu/host/huge.c - filling a leaf of a client with one huge page.
 *
 * Only the client itself can do it without a copy: its helper fills a huge page in an area of its own, and moves it in one piece
 * to where it belongs (UFFDIO_MOVE). The move finds no entry there, or does nothing to what it finds.
 *
 *   fill        the base of the leaf, from before we look whether it is empty until the books have the pages. As long as it
 *               is set nothing else is mapped in the leaf (host_fill_covers, under the leaf lock), no fork begins
 *               (host_client_quiesce), and the pages count as charged, not as memory beside the books (serve/measure.c).
 *   fill_torn   an event was applied that is about the leaf, or not all of it was filled: what is there is looked up page by page.
 *   fill_late   the helper has not answered in time. As with a late withdrawal nothing else is asked of the client until it does;
 *               then, what is there is looked up. Entries that an mremap brings into the leaf meanwhile could be those of pages in
 *               swap, which a late move would put zeros over: host_fill_awaits, the client cannot go on.
 *
 * Locks: fill_lock from the beginning to the end: one at a time. batch_lock over the request, as over a withdrawal; an mremap that arrives waits for that. fill and fill_torn are
 * atomic: set by who fills, and fill_torn by events under mmap_lock held for writing, which who enters the pages holds for reading.
 */
#include "mm/pgtable.h"
#include "mmu/host/host.h"
#include "mmu/host/uffd.h"
#include "mmu/host/withdraw.h"

#define PAUSE_REFUSED_NS 1000000000ull  /* the client wants none, or its kernel cannot */
#define PAUSE_BUSY_NS    10000000ull
#define START_NS         200000         /* between two looks whether the helper has started, */
#define START_TRIES      100            /* and how many of them */

static bool leaf_empty(struct mm *mm, uint64_t base)
{
	struct leaf *leaf = leaf_find(mm, base);
	bool empty = true;

	if (!leaf)
		return true;
	spin_lock(&leaf->lock);
	for (unsigned i = 0; i < LEAF_ENTRIES && empty; i++)
		empty = pte_none(a64_load(&leaf->pte[i]));
	spin_unlock(&leaf->lock);
	return empty;
}

static void let_go(struct host_client *c, uint64_t base)
{
	a64_store(&c->fill, 0);
	(void)uffd_wake(c->uffd, base, LEAF_ENTRIES);
}

void host_fill_forget(struct host_client *c)
{
	let_go(c, (uint64_t)a64_load(&c->fill));
}

/* No answer: as go_late of withdraw.c. batch_lock held. */
static void fill_go_late(struct mmu_host *h, struct host_client *c)
{
	a32_store(&c->fill_late, 1);
	a32_add(&c->mm->no_reclaim, 1);
	a32_store(&c->is_late, 1);
	h->transport->late(c);
}

/* Ask. 0; -EAGAIN: nothing was filled; -EBUSY: late. batch_lock held. */
static int ask(struct mmu_host *h, struct host_client *c, uint64_t base)
{
	int got = h->transport->fill(c, base);

	switch (got) {
	case HOST_MOVED:
		return 0;
	case HOST_GONE:
		a32_store(&c->fill_torn, 1);
		return 0;
	case -ETIMEDOUT:
		fill_go_late(h, c);
		return -EBUSY;
	case -EPIPE:
		a32_store(&c->can_evict, 0);
		return -EAGAIN;
	case HOST_REFUSED:
		c->fill_next_ns = plat_now_ns() + PAUSE_REFUSED_NS;
		return -EAGAIN;
	default:
		c->fill_next_ns = plat_now_ns() + PAUSE_BUSY_NS;
		return -EAGAIN;
	}
}

/* A program may want its memory before its helper has said that it listens: a few pages now would mean no huge page there ever. */
static bool helper_listens(struct host_client *c)
{
	for (unsigned i = 0; i < START_TRIES && !a32_load(&c->can_evict); i++) {
		if (!c->task || a32_load(&c->dead) || a32_load(&c->mm->dying))
			break;
		plat_sleep_ns(START_NS);
	}
	if (!a32_load(&c->can_evict))
		c->fill_next_ns = plat_now_ns() + PAUSE_BUSY_NS;
	return a32_load(&c->can_evict);
}

int host_fill(struct mmu *mmu, struct mm *mm, uint64_t base)
{
	struct mmu_host *h = (struct mmu_host *)mmu;
	struct host_client *c = mm->host;
	int err = -EAGAIN;

	if (a32_load(&c->dead) || plat_now_ns() < c->fill_next_ns)
		return -EAGAIN;
	h->transport->blocking(c);
	if (!helper_listens(c))
		return -EAGAIN;
	spin_lock(&c->fill_lock);
	spin_lock(&c->batch_lock);
	/* A fork says no_reclaim before it looks at fill, we the other way round. */
	if (!a64_load(&c->fill) && !a32_load(&c->is_late)) {
		a32_store(&c->fill_torn, 0);
		a64_store(&c->fill, (int64_t)base);
		if (!a32_load(&mm->no_reclaim) && !a32_load(&mm->has_backing) && !a32_load(&c->dead) && leaf_empty(mm, base))
			err = ask(h, c, base);
		if (err == -EAGAIN)
			let_go(c, base);
	}
	spin_unlock(&c->batch_lock);
	if (err)
		spin_unlock(&c->fill_lock);
	return err;
}

bool host_fill_holds(struct mmu *mmu, struct mm *mm)
{
	struct host_client *c = mm->host;

	(void)mmu;
	return !a32_load(&c->fill_torn);
}

/* What the client's kernel has there, and the books have not. Nothing locked. */
static void enter_what_is_there(struct mmu_host *h, struct host_client *c, uint64_t base)
{
	bool there[LEAF_ENTRIES];

	spin_lock(&c->batch_lock);
	for (unsigned i = 0; i < LEAF_ENTRIES; i++)
		there[i] = host_client_has(c, base + i * PAGE_SIZE);
	spin_unlock(&c->batch_lock);
	/* One that is gone by now is found to be at its next fault (host_refresh). */
	for (unsigned i = 0; i < LEAF_ENTRIES; i++)
		if (there[i])
			h->transport->adopt(c, base + i * PAGE_SIZE);
}

void host_fill_end(struct mmu *mmu, struct mm *mm, uint64_t base, bool entered)
{
	struct host_client *c = mm->host;

	if (!entered)
		enter_what_is_there((struct mmu_host *)mmu, c, base);
	let_go(c, base);
	spin_unlock(&c->fill_lock);
}

bool host_fill_covers(struct host_client *c, uint64_t va)
{
	uint64_t base = (uint64_t)a64_load(&c->fill);

	return base && va - base < LEAF_SPAN;
}

void host_fill_event(struct host_client *c, uint64_t start, uint64_t end)
{
	uint64_t base = (uint64_t)a64_load(&c->fill);

	if (base && start < base + LEAF_SPAN && base < end)
		a32_store(&c->fill_torn, 1);
}

bool host_fill_awaits(struct host_client *c, uint64_t start, uint64_t end)
{
	uint64_t base = (uint64_t)a64_load(&c->fill);

	return a32_load(&c->fill_late) && base && start < base + LEAF_SPAN && base < end;
}

void host_fill_answered(struct mmu_host *h, struct host_client *c, unsigned n)
{
	uint64_t base = (uint64_t)a64_load(&c->fill);

	spin_lock(&c->batch_lock);
	host_late_forget(h, c);
	spin_unlock(&c->batch_lock);
	if (n != 1)
		h->transport->lost(c);
	enter_what_is_there(h, c, base);
	let_go(c, base);
}

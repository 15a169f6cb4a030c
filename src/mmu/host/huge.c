/* mmu/host/huge.c - filling a leaf of a client with one huge page.
 *
 * Only the client itself can do it without a copy: its helper fills a huge page in an area of its
 * own and moves it in one piece to its place (UFFDIO_MOVE). The move either finds no entry there or
 * leaves what it finds untouched.
 *
 *   fill        the base of the leaf, set from before the check that it is empty until the books
 *               have the pages. While it is set nothing else is mapped in the leaf
 *               (host_fill_covers, under the leaf lock), no fork begins (host_client_quiesce), and
 *               the pages count as charged, not as unmanaged memory (serve/account/measure.c).
 *   fill_torn   an event concerning the leaf was applied, or the leaf was only partly filled: look
 *               up page by page what is there.
 *   fill_late   the helper has not answered in time. As with a late withdrawal nothing else is
 *               asked of the client until it does; then look up what is there. Entries that an
 *               mremap brings into the leaf before that could be those of pages in swap, and a late
 *               move would put zeros over them: host_fill_awaits, the client cannot go on.
 *
 * Locks: fill_lock throughout: one fill at a time. batch_lock over the request, as over a
 * withdrawal; an arriving mremap waits for it. fill and fill_torn are atomic: the filler sets both,
 * and events set fill_torn under mmap_lock held for writing; the thread that enters the pages holds
 * mmap_lock for reading.
 */
#include "mm/pgtable.h"
#include "mmu/host/host.h"
#include "mmu/host/uffd.h"
#include "mmu/host/withdraw.h"

#define PAUSE_REFUSED_NS 1000000000ull /* the client refuses, or its kernel cannot do it */
#define PAUSE_BUSY_NS    10000000ull
#define START_NS         200000 /* between two checks whether the helper has started, */
#define START_TRIES      100    /* and the number of checks */

static bool leaf_empty(struct mm *mm, uint64_t base)
{
	struct leaf *leaf = leaf_find(mm, base);
	bool empty = true;

	VM_ASSERT(base % LEAF_SPAN == 0);
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
	VM_ASSERT(base % LEAF_SPAN == 0);
	a64_store(&c->fill, 0);
	(void)uffd_wake(c->uffd, base, LEAF_ENTRIES);
}

void host_fill_forget(struct host_client *c)
{
	lockdep_assert_held(&c->batch_lock);
	let_go(c, (uint64_t)a64_load(&c->fill));
}

/* No answer: like go_late in withdraw.c. batch_lock held. */
static void fill_go_late(struct mmu_host *h, struct host_client *c)
{
	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(!a32_peek(&c->is_late));
	a32_store(&c->fill_late, 1);
	a32_add(&c->mm->no_reclaim, 1);
	a32_store(&c->is_late, 1);
	h->transport->late(c);
}

/* Ask the helper. 0; -EAGAIN: nothing was filled; -EBUSY: late. batch_lock held. */
static int ask(struct mmu_host *h, struct host_client *c, uint64_t base)
{
	int got = h->transport->fill(c, base);

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(base % LEAF_SPAN == 0);
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

/* A program may fault before its helper has reported that it listens: mapping a few pages now would
 * rule out a huge page there for good. */
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

	VM_ASSERT(base > 0 && base % LEAF_SPAN == 0);
	if (a32_load(&c->dead) || plat_now_ns() < c->fill_next_ns)
		return -EAGAIN;
	h->transport->blocking(c);
	if (!helper_listens(c))
		return -EAGAIN;
	spin_lock(&c->fill_lock);
	spin_lock(&c->batch_lock);
	/* A fork sets no_reclaim before it checks fill; we do it the other way round. */
	if (!a64_load(&c->fill) && !a32_load(&c->is_late)) {
		a32_store(&c->fill_torn, 0);
		a64_store(&c->fill, (int64_t)base);
		if (!a32_load(&mm->no_reclaim) && !a32_load(&mm->has_backing) &&
		    !a32_load(&c->dead) && leaf_empty(mm, base))
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

/* Enter the pages that the client's kernel has there and the books lack. Nothing locked. */
static void enter_what_is_there(struct mmu_host *h, struct host_client *c, uint64_t base)
{
	bool there[LEAF_ENTRIES];

	VM_ASSERT(base % LEAF_SPAN == 0);
	spin_lock(&c->batch_lock);
	for (unsigned i = 0; i < LEAF_ENTRIES; i++)
		there[i] = host_client_has(c, base + i * PAGE_SIZE);
	spin_unlock(&c->batch_lock);
	/* If a page is gone by now, its next fault finds out (host_refresh). */
	for (unsigned i = 0; i < LEAF_ENTRIES; i++)
		if (there[i])
			h->transport->adopt(c, base + i * PAGE_SIZE);
}

void host_fill_end(struct mmu *mmu, struct mm *mm, uint64_t base, bool entered)
{
	struct host_client *c = mm->host;

	lockdep_assert_held(&c->fill_lock);
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

	lockdep_assert_held(&c->mm->mmap_lock);
	VM_ASSERT(start <= end);
	if (base && start < base + LEAF_SPAN && base < end)
		a32_store(&c->fill_torn, 1);
}

bool host_fill_awaits(struct host_client *c, uint64_t start, uint64_t end)
{
	uint64_t base = (uint64_t)a64_load(&c->fill);

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(start <= end);
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

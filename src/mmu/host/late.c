/* mmu/host/late.c - requests that a client has not answered in time.
 *
 * The late pages stay referenced. Until the answer comes, or is known not to come, nothing is asked
 * of the client, faults on those pages wait (host_is_late), and moves of the mapping are tracked
 * (host_late_moved). Then the moved content is sorted out: it belongs to the page that was asked
 * for, to the page that is there now, or to one that is gone (late_moved).
 *
 * Locks: batch_lock, then leaf locks.
 */
#include <errno.h>

#include "mm/page.h"
#include "mm/pgtable.h"
#include "mmu/host/host.h"
#include "mmu/host/uffd.h"
#include "mmu/host/withdraw.h"

/* Bring home the content of one page that was moved late; its entry still says present, and the
 * next fault there maps it from its frame. The late reference keeps page and frame. 0; -ESRCH: the
 * helper is gone; -ENOMEM, -EIO: the content is unavailable. batch_lock held. */
static int bring_home(struct mmu_host *h, struct host_client *c, struct page *p, uint64_t staged)
{
	int err;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(staged % PAGE_SIZE == 0);
	if (home_take(&h->home, &p->pfn, 1) != 0)
		return -ENOMEM;
	if (host_peek(c, staged, home_data(&h->home, p->pfn)))
		return 0;
	/* If memory is accessible only through a task: a program may outlive its main thread, but
	 * not its helper. */
	err = errno == ESRCH && (c->mem_fd >= 0 || c->task != c->pid) ? -ESRCH : -EIO;
	home_drop(&h->home, p->pfn);
	return err;
}

/* Handle what the helper found at va[@i], perhaps after the program changed its mapping: the
 * content of the page, or of the page that is there now, or of one that is gone. 0 or as
 * bring_home. batch_lock held. */
static int late_moved(struct mmu_host *h, struct host_client *c, unsigned i)
{
	uint64_t va = c->late.va[i], place = c->late.place[i], staged = c->staging + i * PAGE_SIZE;
	struct page *p = c->late.page[i], *now;
	struct leaf *leaf;
	int err = 0;
	pte_t pte;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(i < c->late.n);
	if (host_maps(c->mm, place, p) && (place == va || !host_client_has(c, place)))
		return bring_home(h, c, p, staged);
	leaf = leaf_find(c->mm, va);
	if (!leaf)
		return 0;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	now = pte_present(pte) ? pfn_page(h->engine, pte_pfn(pte)) : NULL;
	if (now && now != p && !home_data(&h->home, now->pfn) && !host_client_has(c, va))
		err = bring_home(h, c, now, staged);
	spin_unlock(&leaf->lock);
	return err;
}

void host_late_forget(struct mmu_host *h, struct host_client *c)
{
	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(a32_peek(&c->is_late));
	for (unsigned i = 0; i < c->late.n; i++)
		page_put(h->engine, c->late.page[i]);
	c->late.n = 0;
	a32_store(&c->fill_late, 0);
	a32_store(&c->is_late, 0);
	a32_add(&c->mm->no_reclaim, -1);
}

void host_late_done(struct mmu_host *h, struct host_client *c, const uint8_t *status, unsigned n)
{
	uint64_t place[MMU_BATCH_MAX], va[MMU_BATCH_MAX];
	int err;

	if (a32_load(&c->fill_late)) {
		host_fill_answered(h, c, n);
		return;
	}
	spin_lock(&c->batch_lock);
	err = a32_load(&c->is_late) && n == c->late.n ? 0 : -EPROTO;
	for (unsigned i = 0; !err && i < n; i++) {
		va[i] = c->late.va[i];
		place[i] = c->late.place[i];
		if (status[i] == HOST_MOVED && !c->late.rescued[i])
			err = late_moved(h, c, i);
	}
	if (!err) {
		h->transport->zap(c, n);
		host_late_forget(h, c);
	} else if (err != -ESRCH) { /* otherwise host_helper_gone forgets them */
		h->transport->lost(c);
	}
	spin_unlock(&c->batch_lock);
	for (unsigned i = 0; !err && i < n; i++) {
		(void)uffd_wake(c->uffd, va[i], 1);
		if (place[i] != va[i])
			(void)uffd_wake(c->uffd, place[i], 1);
	}
}

void host_late_moved(struct host_client *c, uint64_t from, uint64_t to, uint64_t len)
{
	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(from % PAGE_SIZE == 0 && to % PAGE_SIZE == 0);
	for (unsigned i = 0; i < c->late.n; i++)
		if (c->late.place[i] - from < len)
			c->late.place[i] += to - from;
}

/* A helper stopped after moving the page but before answering may have been stopped by the thread
 * that waits for the page. A moved page stays in the staging area until we have it dropped, and is
 * moved only once. So if @p is missing in its place and there is something in its part of the
 * staging area, that is its content, as in late_moved. False: it is not there. batch_lock held. */
static bool rescue(struct mmu_host *h, struct host_client *c, unsigned i, uint64_t va,
		   struct page *p)
{
	uint64_t staged = c->staging + i * PAGE_SIZE;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(i < c->late.n);
	if (c->late.page[i] != p || c->late.place[i] != va || !host_client_has(c, staged) ||
	    host_client_has(c, va))
		return false;
	c->late.rescued[i] = bring_home(h, c, p, staged) == 0;
	return c->late.rescued[i];
}

int host_is_late(struct mmu_host *h, struct host_client *c, uint64_t va, struct page *p)
{
	bool late = false;

	VM_ASSERT(va % PAGE_SIZE == 0);
	if (!a32_load(&c->is_late))
		return 0;
	/* The caller holds a leaf lock, which a withdrawal takes under batch_lock: only try. */
	if (!spin_trylock(&c->batch_lock))
		return -EAGAIN;
	for (unsigned i = 0; i < c->late.n; i++)
		if (!c->late.rescued[i] && (c->late.page[i] == p || c->late.va[i] == va))
			late |= !rescue(h, c, i, va, p);
	spin_unlock(&c->batch_lock);
	return late ? -EBUSY : 0;
}

/* No answer will come any more: bring home what was moved, and wake its waiters.
 * host_helper_settled handles a late fill, without the lock. batch_lock held. */
static void settle_late(struct mmu_host *h, struct host_client *c)
{
	const struct host_late late = c->late;

	lockdep_assert_held(&c->batch_lock);
	if (!a32_load(&c->is_late) || a32_load(&c->fill_late))
		return;
	for (unsigned i = 0; i < late.n; i++) {
		int err = 0;

		if (!late.rescued[i] && !home_data(&h->home, late.page[i]->pfn) &&
		    host_was_moved(c, late.place[i], i))
			err = late_moved(h, c, i);
		if (err && err != -ESRCH)
			h->transport->lost(c);
	}
	host_late_forget(h, c);
	for (unsigned i = 0; i < late.n; i++) {
		(void)uffd_wake(c->uffd, late.va[i], 1);
		if (late.place[i] != late.va[i])
			(void)uffd_wake(c->uffd, late.place[i], 1);
	}
}

void host_helper_gone(struct mmu_host *h, struct host_client *c)
{
	a32_store(&c->can_evict, 0);
	spin_lock(&c->batch_lock);
	settle_late(h, c);
	/* Waiters for a fill have nothing else to wait for. */
	if (a32_load(&c->fill_late))
		host_fill_forget(c);
	if (a32_load(&c->is_late))
		host_late_forget(h, c);
	spin_unlock(&c->batch_lock);
}

void host_helper_replaced(struct mmu_host *h, struct host_client *c, pid_t task, uint64_t staging)
{
	lockdep_assert_held(&c->batch_lock);
	c->task = task;
	settle_late(h, c);
	c->staging = staging;
}

void host_helper_settled(struct mmu_host *h, struct host_client *c)
{
	if (a32_load(&c->fill_late))
		host_fill_answered(h, c, 1);
}

void host_client_end(struct mmu_host *h, struct host_client *c)
{
	a32_store(&c->dead, 1);
	host_helper_gone(h, c);
}

bool host_client_quiesce(struct host_client *c)
{
	bool quiet;

	spin_lock(&c->batch_lock);
	quiet = !a32_load(&c->is_late) && !a64_load(&c->fill);
	spin_unlock(&c->batch_lock);
	return quiet;
}

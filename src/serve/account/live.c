/* serve/account/live.c - adopts memory of a running process: what was mapped without the agent (by
 * ld.so, which makes its own system calls, or by the instruction itself), and pages that came into
 * registered memory without us.
 *
 * An area is registered, then entered, then its present pages are entered one by one. The process
 * runs freely in the meantime:
 *
 * I1  An entry says present only where the client's kernel reports misses to us: what is in the
 *     books is registered. The area is entered in the same critical section (mmap_lock for writing)
 *     in which it was registered and checked again, and no event is read in between. The check
 *     shows what happened before the registration; an event follows for anything after it.
 * I2  A fork in progress is the exception: the child was made before the registration, and the
 *     event that copies the books for it is read after. The kernel reports that something is in
 *     progress (uffd_changing): then nothing is entered, this time. An area that is registered and
 *     not entered is entered at its first fault (adopt_at).
 * I3  A page that is entered and no longer there has been discarded, and reads as zeros: the next
 *     fault there finds that (fault_refresh), and so does eviction (MMU_GONE). A page that is there
 *     and not entered stays the kernel's and is measured.
 *
 * Left out: the agent's own memory, what lies there for the kernel at a thread's end (private
 * ranges; pages right behind a stack), areas that grow downwards, and what smaps.c calls special.
 */
#include <unistd.h>

#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/vma.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"

#define MEASURE_PAGES 256 /* entered between two corrections of double charge */

void live_open(struct live *l, struct client *c, bool stacks_marked)
{
	assert_thread(THREAD_FINDER);
	assert_referenced(c);
	*l = (struct live){ .c = c, .maps_fd = -1, .statm_fd = -1, .stacks_marked = stacks_marked };
	(void)pagemap_open(&l->pagemap, c->host.task);
}

void live_close(struct live *l)
{
	if (l->maps_fd >= 0)
		close(l->maps_fd);
	if (l->statm_fd >= 0)
		close(l->statm_fd);
	pagemap_close(&l->pagemap);
}

static bool booked_until(const struct mm *mm, uint64_t va)
{
	const struct vma *v = vma_find(mm, va - 1);

	lockdep_assert_held(&mm->mmap_lock);
	return v && v->end == va;
}

/* Is [@start, @end) still part of one area that can be managed? */
static bool still_manageable(struct live *l, uint64_t start, uint64_t end)
{
	struct proc_area now;

	lockdep_assert_held(&l->c->host.mm->mmap_lock);
	return proc_area_at(l->c->host.task, &l->maps_fd, start, &now) == 0 && now.start <= start &&
	       now.end >= end && now.manageable && now.flags & VM_WRITE;
}

static bool is_our_object(struct client *c, const struct proc_area *a)
{
	struct address_space *as = host_shared_find(&c->s->mmu, a->dev, a->ino);

	if (as)
		file_put(as);
	return as != NULL;
}

/* Is exactly what smaps showed still there? Another mapping may have replaced it: one that the
 * agent is about to mark as its own. */
static bool as_seen(struct live *l, uint64_t start, uint64_t end)
{
	const struct proc_area *seen = &l->area->at;
	struct proc_area now;

	lockdep_assert_held(&l->c->host.mm->mmap_lock);
	return proc_area_at(l->c->host.task, &l->maps_fd, start, &now) == 0 && now.start <= start &&
	       now.end >= end && now.start >= seen->start && now.end <= seen->end &&
	       now.manageable && now.flags == seen->flags && now.dev == seen->dev &&
	       now.ino == seen->ino;
}

/* Memory that is not private replaced it and would wait for us for ever. What the hooks have
 * registered is never unregistered. */
static void take_back(struct live *l, uint64_t start, uint64_t end)
{
	struct proc_area now;

	assert_thread(THREAD_FINDER);
	lockdep_assert_held(&l->c->host.mm->mmap_lock);
	for (uint64_t va = start; va < end; va += PAGE_SIZE) {
		uint64_t stop;

		if (proc_area_at(l->c->host.task, &l->maps_fd, va, &now) != 0 || now.start > va ||
		    now.end <= va)
			continue;
		stop = now.end < end ? now.end : end;
		if (now.shared && !is_our_object(l->c, &now))
			(void)uffd_unregister(l->c->host.uffd, va, stop - va);
		va = stop - PAGE_SIZE;
	}
}

/* I1, I2. @top: it may be the top of a thread's stack. 0: entered, perhaps already before; or not
 * manageable, stays the kernel's own and measured. -EAGAIN. */
static int enter_area(struct live *l, uint64_t start, uint64_t end, bool top, uint32_t flags)
{
	struct client *c = l->c;
	struct mm *mm = c->host.mm;
	int err = -ESRCH;

	assert_thread(THREAD_FINDER);
	VM_ASSERT(start < end);
	rw_wrlock(&mm->mmap_lock);
	/* libc's thread record is at the end of a stack whose rest is managed. */
	if (top && booked_until(mm, start))
		start += STACK_TOP_PAGES * PAGE_SIZE;
	if (!client_has_ended(c))
		err = start >= end ? -ERANGE : as_seen(l, start, end) ? 0 : -EAGAIN;
	if (!err)
		err = uffd_register(c->host.uffd, start, end - start);
	if (!err && uffd_changing(c->host.uffd)) {
		err = -EAGAIN;
	} else if (!err && !still_manageable(l, start, end)) {
		take_back(l, start, end);
		err = -EAGAIN;
	}
	if (!err)
		err = vma_insert_gaps(mm, start, end, flags, NULL, 0);
	rw_wrunlock(&mm->mmap_lock);
	return err == -EAGAIN ? err : 0;
}

static void enter_page(struct live *l, uint64_t va)
{
	assert_thread(THREAD_FINDER);
	if (fault_adopt(l->c->host.mm, va) != 0)
		return;
	/* It also counts in its unmanaged RSS until that is updated. */
	if (++l->found % MEASURE_PAGES == 0)
		measure_lower(l->c, &l->statm_fd);
}

static void enter_run(uint64_t start, uint64_t end, void *arg)
{
	struct live *l = arg;

	for (uint64_t va = start; va < end && !client_has_ended(l->c); va += PAGE_SIZE)
		enter_page(l, va);
}

/* Call @fn for the parts of the area that are neither the agent's nor by themselves the top of a
 * thread's stack. */
static int each_part(struct live *l, const struct smaps_area *a,
		     int (*fn)(struct live *l, uint64_t, uint64_t, bool, uint32_t))
{
	bool top = !(a->flags & SMAPS_REGISTERED) && (a->flags & SMAPS_NOHUGE || !l->stacks_marked);
	int err = 0;

	l->area = a;
	for (uint64_t va = a->at.start, stop; va < a->at.end && !err; va = stop) {
		stop = a->at.end;
		if (!client_private(l->c, va, &stop) &&
		    !(top && stop - va <= STACK_TOP_PAGES * PAGE_SIZE))
			err = fn(l, va, stop, top, a->at.flags);
	}
	return err;
}

static int enter_pages(struct live *l, uint64_t start, uint64_t end, bool top, uint32_t flags)
{
	(void)top, (void)flags;
	if (l->pagemap.fd >= 0)
		(void)pagemap_anon(&l->pagemap, start, end, enter_run, l);
	return 0;
}

int live_enter(struct live *l, const struct smaps_area *a)
{
	assert_thread(THREAD_FINDER);
	VM_ASSERT(a->at.start < a->at.end);
	return each_part(l, a, enter_area);
}

void live_fill(struct live *l, const struct smaps_area *a)
{
	assert_thread(THREAD_FINDER);
	(void)each_part(l, a, enter_pages);
	measure_lower(l->c, &l->statm_fd);
}

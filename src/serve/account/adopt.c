/* serve/account/adopt.c - adopts a client's existing areas and pages. The cost depends on what is
 * present: areas may be terabytes of nothing (what sanitizers reserve before the agent starts). A
 * page that is present but not found stays the kernel's and is measured.
 *
 * Locks: mmap_lock, one area or one page at a time.
 */
#include "mm/fault.h"
#include "mm/filemap.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mmu/host/memfd.h"
#include "mmu/host/pagemap.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"

#define OBJECT_PAGES_MAX (1ull << 28) /* 1 TiB; the engine's table of more would be too large */
#define ADVICE           (VM_DONTFORK | VM_WIPEONFORK | VM_HUGEPAGE | VM_NOHUGEPAGE)

/* Advice given to part of an area (CALL_FORK_ADVICE, CALL_HUGE_ADVICE) also applies to what it has
 * grown by since: its kernel has one area for all of it. mmap_lock held. */
static uint32_t advice_flags(const struct mm *mm, uint64_t start, uint64_t end)
{
	const struct vma *v = vma_next(mm, start);

	lockdep_assert_held(&mm->mmap_lock);
	VM_ASSERT(start < end);
	return v && v->start < end ? v->flags & ADVICE : 0;
}

static int insert_area(struct client *c, uint64_t start, uint64_t end, uint32_t flags)
{
	struct mm *mm = c->host.mm;
	int err = -ESRCH;

	VM_ASSERT(start < end);
	rw_wrlock(&mm->mmap_lock);
	if (!client_has_ended(c))
		err = vma_insert_gaps(mm, start, end, flags | advice_flags(mm, start, end), NULL,
				      0);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* An area of shared memory that we created. Its protection may change without notice to us.
 * -ENOENT: not ours. */
static int insert_shared(struct client *c, const struct proc_area *area)
{
	struct address_space *as =
		area->shared ? host_shared_find(&c->s->mmu, area->dev, area->ino) : NULL;
	struct mm *mm = c->host.mm;
	const uint64_t pages = (area->offset + (area->end - area->start)) >> PAGE_SHIFT;
	int err = -ESRCH;
	uint32_t flags;

	if (!as)
		return -ENOENT;
	/* The program makes its own file longer. */
	if (host_memfd_is(as) && (pages > OBJECT_PAGES_MAX || host_memfd_cover(as, pages) != 0)) {
		file_put(as);
		return -ENOMEM;
	}
	rw_wrlock(&mm->mmap_lock);
	flags = VM_READ | VM_WRITE | VM_SHARED | advice_flags(mm, area->start, area->end);
	if (!client_has_ended(c))
		err = vma_insert_gaps(mm, area->start, area->end, flags, as,
				      area->offset >> PAGE_SHIFT);
	rw_wrunlock(&mm->mmap_lock);
	if (!err)
		host_shared_adopted(&c->s->mmu, as);
	file_put(as);
	return err;
}

struct adopt {
	struct client *c;
	struct pagemap pagemap;
	uint64_t from, to; /* only this part of the address space */
	int error;
};

/* In this order: a child of a fork in between has the area in its books whether or not its kernel
 * reports faults there to us. If it does not, the child has no address to touch yet, because the
 * call that requested this has not returned. */
static void adopt_shared(struct adopt *a, const struct proc_area *area)
{
	int err = insert_shared(a->c, area);

	if (!err)
		err = uffd_register(a->c->host.uffd, area->start, area->end - area->start);
	if (err && err != -ENOENT)
		a->error = err;
}

int adopt_object(struct client *c, uint64_t start, uint64_t len)
{
	struct mm *mm = c->host.mm;
	struct proc_area a;
	int err;

	if (!len || proc_area_at(c->host.task, &c->maps_fd, start, &a) != 0 || a.start > start ||
	    a.end < start + len || !a.shared)
		return -ESTALE;
	/* It may be one mapping with its neighbour. */
	a.offset += start - a.start;
	a.start = start;
	a.end = start + len;
	err = insert_shared(c, &a);
	if (!err)
		err = uffd_register(c->host.uffd, start, len);
	if (!err || err == -ENOENT)
		return err;
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, start, start + len);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

/* Charge pages that the client already has. */
static void adopt_present(uint64_t start, uint64_t end, void *arg)
{
	const struct client *c = arg;

	VM_ASSERT(start < end);
	for (uint64_t va = start; va < end; va += PAGE_SIZE)
		(void)fault_adopt(c->host.mm, va);
}

static void adopt_area(struct adopt *a, uint64_t start, uint64_t end, uint32_t flags)
{
	VM_ASSERT(start < end);
	if (uffd_register(a->c->host.uffd, start, end - start) != 0)
		return; /* stays the kernel's own, measured */
	if (insert_area(a->c, start, end, flags) != 0)
		a->error = -ENOMEM;
	else if (a->pagemap.fd >= 0)
		(void)pagemap_anon(&a->pagemap, start, end, adopt_present, a->c);
}

/* Adopt the parts of one area that are not the agent's own. */
static void consider(const struct proc_area *area, void *arg)
{
	struct adopt *a = arg;
	uint64_t start = area->start > a->from ? area->start : a->from;
	uint64_t end = area->end < a->to ? area->end : a->to;

	if (area->shared && start < end && !a->error)
		adopt_shared(a, area);
	if (!area->manageable || start >= end || !(area->flags & VM_WRITE) || a->error)
		return;
	/* The agent's memory may have been merged with a neighbour's: leave out its own. */
	for (uint64_t va = start, stop; va < end && !a->error; va = stop) {
		stop = end;
		if (!client_private(a->c, va, &stop))
			adopt_area(a, va, stop, area->flags);
	}
}

/* The top of a thread's stack, with libc's record, is the kernel's: its own area, just above one of
 * the books (account.h). mmap_lock held. */
static bool is_stack_top(const struct mm *mm, uint64_t start, uint64_t end)
{
	return end - start <= STACK_TOP_PAGES * PAGE_SIZE && !vma_find(mm, start) &&
	       vma_find(mm, start - PAGE_SIZE);
}

static bool is_object(struct client *c, const struct proc_area *area)
{
	struct address_space *as = host_shared_find(&c->s->mmu, area->dev, area->ino);

	if (as)
		file_put(as);
	return as != NULL;
}

/* Register what the parent had registered. What the books have must be. */
static void register_forked(const struct proc_area *area, void *arg)
{
	struct adopt *a = arg;
	struct mm *mm = a->c->host.mm;

	if (area->shared ? !is_object(a->c, area) : !area->manageable)
		return;
	for (uint64_t va = area->start, stop; va < area->end; va = stop) {
		const struct vma *v;
		int err = 0;

		stop = area->end;
		if (client_private(a->c, va, &stop))
			continue;
		rw_rdlock(&mm->mmap_lock);
		if (area->shared || !is_stack_top(mm, va, stop))
			err = uffd_register(a->c->host.uffd, va, stop - va);
		v = err ? vma_next(mm, va) : NULL;
		if (v && v->start < stop)
			a->error = err;
		rw_rdunlock(&mm->mmap_lock);
	}
}

int adopt_forked(struct client *c)
{
	struct adopt a = { .c = c };
	int err = proc_areas(c->host.task, register_forked, &a);

	assert_thread(THREAD_CONTROL);
	assert_referenced(c);
	return err ? err : a.error;
}

static int adopt_between(struct client *c, uint64_t from, uint64_t to)
{
	struct adopt a = { .c = c, .from = from, .to = to };
	int err;

	(void)pagemap_open(&a.pagemap, c->host.task);
	err = proc_areas(c->host.task, consider, &a);
	pagemap_close(&a.pagemap);
	return err ? err : a.error;
}

int adopt_all(struct client *c)
{
	int err = adopt_between(c, 0, UINT64_MAX);

	assert_thread(THREAD_CONTROL);
	assert_referenced(c);
	huge_adopt(c);
	return err;
}

int adopt_range(struct client *c, uint64_t start, uint64_t len)
{
	assert_thread(THREAD_CALL);
	VM_ASSERT(!((start | len) & (PAGE_SIZE - 1)));
	assert_referenced(c);
	return adopt_between(c, start, start + len);
}

/* A page that is missing in shared memory that is not ours, where it is registered all the same:
 * the agent's mremap registers all of a range. Left to its kernel, the thread would fault again
 * without end. What is missing there is zero. mmap_lock, so that no event of the place is
 * overtaken: the kernel refuses the copy while one is unread. */
static void fill_unmanaged(struct client *c, uint64_t va)
{
	static const _Alignas(PAGE_SIZE) char zeros[PAGE_SIZE];
	struct mm *mm = c->host.mm;
	struct proc_area a;

	rw_wrlock(&mm->mmap_lock);
	if (!vma_find(mm, va) && proc_area_at(c->host.task, &c->maps_fd, va, &a) == 0 &&
	    va >= a.start && va < a.end && a.shared)
		(void)uffd_copy(c->host.uffd, va, zeros, 1);
	rw_wrunlock(&mm->mmap_lock);
}

int adopt_at(struct client *c, uint64_t va)
{
	struct proc_area a = { .start = va, .end = va + PAGE_SIZE, .flags = VM_READ | VM_WRITE };

	VM_ASSERT(thread_is(THREAD_FAULT | THREAD_CALL));
	VM_ASSERT(!(va & (PAGE_SIZE - 1)));
	if (client_has_ended(c))
		return -ENOENT;
	/* A forked child that has not spoken yet has no known pid in /proc: take the page alone. */
	if (c->host.task && proc_area_at(c->host.task, &c->maps_fd, va, &a) != 0)
		return -ENOENT;
	if (va < a.start || va >= a.end)
		return -ENOENT;
	if (a.shared) {
		if (insert_shared(c, &a) == 0)
			return 0;
		if (c->host.task)
			fill_unmanaged(c, va);
		return -ENOENT;
	}
	return insert_area(c, a.start, a.end, a.flags) == 0 ? 0 : -ENOENT;
}

/* The kernel knows the areas; ours are made at the first fault. */
void adopt_areas(struct client *c, uint64_t start, uint64_t len)
{
	assert_thread(THREAD_CALL);
	for (uint64_t va = start; va < start + len;) {
		struct proc_area a;

		if (proc_area_at(c->host.task, &c->maps_fd, va, &a) != 0 || va < a.start)
			break;
		/* Inaccessible areas are no memory: reserved for a heap of malloc's, or a
		 * runtime's. */
		if ((a.manageable && a.flags) || a.shared)
			(void)adopt_at(c, va);
		va = a.end;
	}
}

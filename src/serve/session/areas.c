/* serve/session/areas.c - what a client may have pages of in swap, as its kernel maps it: what a
 * child of a fork must have although it may be guarded (agent/fork.c).
 *
 * The kernel's areas are listed, and of them those that overlap an area of the books: they are
 * guarded whole (transport.c), and what is lifted in part would be missing in the child. What the
 * program itself keeps from its children (VM_DONTFORK) is not listed.
 *
 * Locks: mmap_lock for reading, one area of the kernel's at a time.
 */
#include <string.h>

#include "mm/vma.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"

struct list {
	struct client *c;
	uint64_t from;
	struct msg_areas *out;
};

static void add(struct msg_areas *out, uint64_t start, uint64_t end)
{
	struct evict_range *last = out->n ? &out->range[out->n - 1] : NULL;

	VM_ASSERT(start < end && !((start | end) & ~PAGE_MASK));
	if (out->next)
		return;
	if (last && last->start + last->npages * PAGE_SIZE == start)
		last->npages += (end - start) >> PAGE_SHIFT;
	else if (out->n < EVICT_PAGES_MAX)
		out->range[out->n++] = (struct evict_range){ start, (end - start) >> PAGE_SHIFT };
	else
		out->next = start;
}

/* The parts of [start, end) that the program does not keep from its children. */
static void add_parts(struct list *l, uint64_t start, uint64_t end)
{
	const struct mm *mm = l->c->host.mm;
	uint64_t va = start;

	lockdep_assert_held(&mm->mmap_lock);
	for (const struct vma *v = vma_next(mm, start); v && v->start < end;
	     v = vma_next(mm, v->end)) {
		if (!(v->flags & VM_DONTFORK))
			continue;
		if (v->start > va)
			add(l->out, va, v->start);
		va = v->end;
	}
	if (va < end)
		add(l->out, va, end);
}

static void consider(const struct proc_area *area, void *arg)
{
	struct list *l = arg;
	struct mm *mm = l->c->host.mm;

	if ((!area->manageable && !area->shared) || area->end <= l->from || l->out->next)
		return;
	rw_rdlock(&mm->mmap_lock);
	for (uint64_t va = area->start > l->from ? area->start : l->from, stop; va < area->end;
	     va = stop) {
		const struct vma *v;

		stop = area->end;
		if (client_private(l->c, va, &stop))
			continue;
		v = vma_next(mm, va);
		if (v && v->start < stop)
			add_parts(l, va, stop);
	}
	rw_rdunlock(&mm->mmap_lock);
}

static int list_from(struct client *c, uint64_t from, struct msg_areas *out)
{
	struct list l = { .c = c, .from = from, .out = out };

	assert_referenced(c);
	out->n = 0;
	out->next = 0;
	return proc_areas(c->host.task, consider, &l);
}

int areas_call(struct client *c, uint64_t from, uint32_t how, struct msg_areas *out)
{
	int err = how & AREAS_FREEZE ? fork_freeze(c) : 0;

	assert_thread(THREAD_CALL);
	out->n = 0;
	out->next = 0;
	return err || how & AREAS_NONE ? err : list_from(c, from, out);
}

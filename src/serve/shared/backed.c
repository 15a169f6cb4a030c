/* serve/shared/backed.c - private file mappings as anonymous memory that is filled from the file
 * (agent/backed.c makes them).
 *
 * The agent maps inaccessible anonymous memory elsewhere, and calls. Until the answer no thread can
 * touch it; from then on it is in the books with its file, and registered. Whatever is uncertain is
 * refused: the mapping is then the kernel's, as without us.
 *
 * Locks: mmap_lock, batch_lock.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/backing.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mmu/host/backed.h"
#include "mmu/host/uffd.h"
#include "serve/process/proc.h"
#include "serve/shared/shared.h"

/* Is exactly what was announced mapped there: anonymous and inaccessible? */
static bool is_announced(struct client *c, uint64_t start, uint64_t end)
{
	struct proc_area a;

	VM_ASSERT(start < end);
	return proc_area_at(c->host.task, &c->maps_fd, start, &a) == 0 && a.start <= start &&
	       a.end >= end && a.manageable && !a.shared &&
	       !(a.flags & (VM_READ | VM_WRITE | VM_EXEC));
}

/* Maximum of pages for such memory. All of it may be touched: if it could not be swapped, the
 * kernel, which drops clean pages, does better. */
static int64_t room(const struct client *c)
{
	const struct engine *e = &c->s->engine;
	int64_t slots = e->swap ? e->swap->nr_slots : 0, max = a64_load(&c->s->group->swap.max);

	return max < slots ? max : slots;
}

static int enter(struct client *c, uint64_t start, uint64_t end, struct backing *b, uint64_t first)
{
	struct mm *mm = c->host.mm;
	int err = -ESRCH;

	assert_thread(THREAD_CALL);
	VM_ASSERT(start < end);
	rw_wrlock(&mm->mmap_lock);
	if (!client_has_ended(c))
		err = vma_insert_backed(mm, start, end, VM_READ | VM_WRITE, b, first);
	rw_wrunlock(&mm->mmap_lock);
	if (err)
		return err;
	err = uffd_register(c->host.uffd, start, end - start);
	if (!err)
		return 0;
	rw_wrlock(&mm->mmap_lock);
	mm_unmap_locked(mm, start, end);
	rw_wrunlock(&mm->mmap_lock);
	return err;
}

int backed_map(struct client *c, pid_t pid, const struct msg_call *m)
{
	const int64_t n = (int64_t)(m->len >> PAGE_SHIFT);
	struct mm *mm = c->host.mm;
	struct backing *b;
	bool awaits;
	int err;

	assert_thread(THREAD_CALL);
	assert_referenced(c);
	if (!m->len || m->offset & ~PAGE_MASK || m->offset + m->len < m->offset)
		return -EINVAL;
	if (!c->host.task || !is_announced(c, m->start, m->start + m->len))
		return -ESTALE;
	b = host_backed_open(&c->s->mmu, pid, (int)m->arg, m->dev, m->ino, &err);
	if (!b)
		return err;
	if (!backing_reserve(&c->s->engine, n, room(c))) {
		backing_put(b);
		return -ENOSPC;
	}
	/* A fill sets @fill before it reads has_backing; this does it in the opposite order. */
	a32_store(&mm->has_backing, 1);
	spin_lock(&c->host.batch_lock);
	awaits = host_fill_awaits(&c->host, m->start, m->start + m->len) || a64_load(&c->host.fill);
	spin_unlock(&c->host.batch_lock);
	err = awaits ? -EBUSY : enter(c, m->start, m->start + m->len, b, m->offset >> PAGE_SHIFT);
	backing_unreserve(&c->s->engine, n);
	backing_put(b);
	return err;
}

int backed_at(struct client *c, uint64_t start, uint64_t end, struct msg_call_reply *r, int *fd)
{
	struct mm *mm = c->host.mm;
	struct proc_area a;
	const struct vma *v;
	int err = -ENOENT;

	assert_thread(THREAD_CALL);
	VM_ASSERT(start <= end);
	rw_rdlock(&mm->mmap_lock);
	for (v = vma_next(mm, start); v && v->start < end && err; v = vma_next(mm, v->end)) {
		if (!v->backing)
			continue;
		r->len = vma_page_index(v, v->start > start ? v->start : start) << PAGE_SHIFT;
		*fd = fcntl(host_backed_fd(v->backing), F_DUPFD_CLOEXEC, 0);
		err = *fd < 0 ? -errno : 0;
	}
	rw_rdunlock(&mm->mmap_lock);
	if (err == 0 && proc_area_at(c->host.task, &c->maps_fd, start, &a) == 0 && a.start <= start)
		r->value = (a.flags & VM_READ ? PROT_READ : 0) |
			   (a.flags & VM_WRITE ? PROT_WRITE : 0) |
			   (a.flags & VM_EXEC ? PROT_EXEC : 0);
	return err;
}

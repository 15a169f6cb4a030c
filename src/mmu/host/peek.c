/* mmu/host/peek.c - looking into a client's memory: which pages are present, and their content.
 *
 * A process may exit or exec while another one that shares its memory goes on. Pages that its
 * helper had moved to the staging area by then have no other copy, and we may know no other thread
 * that still has the memory. So both descriptors are opened before the first request: they belong
 * to the address space and stay valid while any process has it.
 *
 * Locks: batch_lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mmu/host/host.h"
#include "mmu/host/withdraw.h"

static void open_in(const struct host_client *c, int *fd, const char *name)
{
	char path[64];

	if (*fd >= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)c->task, name);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
}

void host_peek_open(struct host_client *c)
{
	lockdep_assert_held(&c->batch_lock);
	open_in(c, &c->pagemap_fd, "pagemap");
	open_in(c, &c->mem_fd, "mem");
}

bool host_client_has(struct host_client *c, uint64_t va)
{
	uint64_t word = 0;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(va % PAGE_SIZE == 0);
	open_in(c, &c->pagemap_fd, "pagemap");
	if (pread(c->pagemap_fd, &word, sizeof(word), (off_t)((va >> PAGE_SHIFT) * 8)) !=
	    (ssize_t)sizeof(word))
		return true;
	return word >> 63;
}

bool host_peek(struct host_client *c, uint64_t va, void *page)
{
	struct iovec local = { page, PAGE_SIZE }, remote = { (void *)(uintptr_t)va, PAGE_SIZE };
	ssize_t n;

	lockdep_assert_held(&c->batch_lock);
	VM_ASSERT(va % PAGE_SIZE == 0);
	errno = 0;
	if (process_vm_readv(c->task, &local, 1, &remote, 1, 0) == (ssize_t)PAGE_SIZE)
		return true;
	if (errno != ESRCH || c->mem_fd < 0)
		return false;
	n = pread(c->mem_fd, page, PAGE_SIZE, (off_t)va);
	if (n == 0)
		errno = ESRCH; /* no process has the memory any more */
	return n == (ssize_t)PAGE_SIZE;
}

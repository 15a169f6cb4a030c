/* agent/remap.c - shared memory that is mapped once more, and what the kernel maps over something
 * without an event.
 *
 * A mapping of the supervisor's shared memory must be in its books and registered before anybody
 * can touch it: until then a swapped-out page is a hole in the object, and would be filled with
 * zeros. So it is made elsewhere, without access, adopted, opened, and moved into place in one step
 * (mremap), for which the kernel sends an event. Three ways lead here:
 *
 *     remap_file_pages(2)       the kernel maps the same object over the range, unregistered, and
 *                               sends no event for it
 *     mmap of its descriptor    got by /proc/PID/map_files, as checkpointing programs do
 *     shmat(SHM_REMAP)          of a segment of the kernel's: over whatever is there, again without
 *                               an event
 *
 * I1  What was at the place is unmapped by a system call for which the kernel sends an event.
 */
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "agent/fork.h"
#include "agent/hooks.h"

#define OBJECT_NAME "/memfd:umemcg-shared"

/* Move what lies at @from over whatever is at @to. 0, or -errno and it is gone. */
long remap_over(uint64_t from, uint64_t to, uint64_t len)
{
	uint64_t mask;
	bool held = mappings_lock(&mask);
	long at = sys_call5(SYS_mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	AGENT_ASSERT(from % agent_page == 0);
	if (sys_failed(at))
		sys_munmap((void *)from, len);
	mappings_unlock(held, &mask);
	return sys_failed(at) ? at : 0;
}

/* Map @len bytes of the object @fd, adopted by call @op and with @prot, at an address that the
 * kernel chooses or that @flags ask for, but not over anything. The address or -errno; -ENOENT: it
 * is no object, and nothing was mapped. */
long remap_adopted(enum call_op op, void *hint, uint64_t len, int prot, int flags, int fd, long off)
{
	uint64_t mask;
	bool held = mappings_lock(&mask);
	long at = sys_mmap(hint, len, PROT_NONE, flags, fd, off), err;

	AGENT_ASSERT(fd >= 0);
	if (held && !sys_failed(at))
		guard_new((uint64_t)at, (uint64_t)at + to_page_end(len));
	mappings_unlock(held, &mask);
	if (sys_failed(at))
		return at;
	err = channel_call(op, (uint64_t)at, len);
	if (err && err != -ENOENT)
		err = -EAGAIN;
	if (!err)
		err = sys_call3(SYS_mprotect, at, len, prot);
	if (err)
		hook_munmap((void *)at, len);
	return err ? err : at;
}

/* Is @fd a descriptor of shared memory of the supervisor's? */
static bool is_object(int fd)
{
	char path[32] = "/proc/self/fd/", target[sizeof OBJECT_NAME];
	char digits[12];
	size_t n = strlen(path), d = 0;

	if (fd < 0)
		return false;
	do
		digits[d++] = (char)('0' + fd % 10);
	while (fd /= 10);
	while (d)
		path[n++] = digits[--d];
	path[n] = '\0';
	return sys_call4(SYS_readlinkat, -1, path, target, sizeof target) == (long)sizeof target &&
	       !memcmp(target, OBJECT_NAME " ", sizeof target);
}

/* A private mapping could not be filled from swap. */
bool remap_is_ours(int flags, int fd)
{
	const int type = flags & MAP_TYPE;

	return !(flags & MAP_ANONYMOUS) &&
	       (type == MAP_SHARED || type == MAP_SHARED_VALIDATE || type == MAP_PRIVATE) &&
	       agent_managed() && is_object(fd);
}

long remap_object(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	const uint64_t bytes = to_page_end(len);
	const int extra = MAP_FIXED | MAP_POPULATE | MAP_LOCKED;
	long at, err;

	if ((flags & MAP_TYPE) == MAP_PRIVATE)
		return -ENODEV;
	if (!(flags & MAP_FIXED) || flags & MAP_FIXED_NOREPLACE)
		return remap_adopted(CALL_ADOPT, addr, bytes, prot, flags & ~(extra & ~MAP_FIXED),
				     fd, off);
	if ((uintptr_t)addr % agent_page)
		return -EINVAL;
	at = remap_adopted(CALL_ADOPT, NULL, bytes, prot, flags & ~extra, fd, off);
	if (sys_failed(at))
		return at;
	err = remap_over((uint64_t)at, (uintptr_t)addr, bytes);
	return err ? err : (long)(uintptr_t)addr;
}

/* The supervisor answers only for its objects, as the kernel would: @len bytes from @start must
 * belong to one object, mapped with the same access. */
static long remap_pages(uint64_t start, uint64_t len, int fd, uint32_t answer, uint64_t first)
{
	const int prot = (int)(answer & (PROT_READ | PROT_WRITE | PROT_EXEC));
	long at = remap_adopted(CALL_ADOPT, NULL, len, prot, MAP_SHARED, fd,
				(long)(first * agent_page));
	long err;

	AGENT_ASSERT(fd >= 0);
	AGENT_ASSERT(start % agent_page == 0 && len % agent_page == 0);
	if (sys_failed(at))
		return at;
	err = remap_over((uint64_t)at, start, len);
	if (!err && answer & SHARED_AT_LOCKED)
		hook_mlock((void *)start, len);
	return err;
}

int hook_remap_file_pages(void *addr, size_t size, int prot, size_t first, int flags)
{
	const uint64_t start = to_page_start((uintptr_t)addr), len = to_page_start(size);
	struct msg_call call = { .op = CALL_SHARED_AT, .start = start, .len = len };
	struct msg_call_reply reply;
	int fd = -1;
	long err = -EOPNOTSUPP;
	uint64_t mask;
	bool held;

	if (agent_managed() && !prot && start + len > start && !channel_ask(&call, &reply, &fd))
		err = reply.error;
	if (!err)
		err = fd < 0 ? -EMFILE : remap_pages(start, len, fd, (uint32_t)reply.value, first);
	if (fd >= 0)
		sys_close(fd);
	if (err != -EOPNOTSUPP)
		return (int)hook_result(err);
	held = mappings_lock(&mask);
	err = sys_call5(SYS_remap_file_pages, addr, size, prot, first, flags);
	mappings_unlock(held, &mask);
	return (int)hook_result(err);
}

/* Attach a segment of the kernel's at the page-aligned @to, over whatever is there. The address or
 * -errno. */
long remap_attach(int id, uint64_t to, int flags)
{
	long at = sys_call3(SYS_shmat, id, 0, flags & ~(SHM_REMAP | SHM_RND)), err;
	struct shmid_ds ds;

	AGENT_ASSERT(to % agent_page == 0);
	if (sys_failed(at))
		return at;
	err = sys_call3(SYS_shmctl, id, IPC_STAT, &ds);
	if (!err && ds.shm_segsz)
		err = remap_over((uint64_t)at, to, to_page_end(ds.shm_segsz));
	if (err)
		sys_call1(SYS_shmdt, at);
	return err ? err : (long)to;
}

AGENT_EXPORT extern __typeof__(hook_remap_file_pages) remap_file_pages
	__attribute__((alias("hook_remap_file_pages")));

/* agent/memfd_map.c - mappings of a memfd that is a heap, its size, and its holes: what the program
 * does with one that stays managed (memfd.c).
 *
 * Locks: none.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hooks.h"
#include "agent/memfd.h"

/* ---- mappings ---- */

static bool is_plain(int prot, int flags)
{
	const int type = flags & MAP_TYPE;

	return (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) &&
	       !(flags & (MAP_GROWSDOWN | MAP_HUGETLB)) &&
	       !(prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) && agent_managed() &&
	       agent->pid == sys_getpid();
}

static bool is_fixed(int flags)
{
	return flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
}

static long map_over(uint64_t addr, uint64_t bytes, int prot, int flags, int fd, long off)
{
	long at, err;

	if (addr % agent_page)
		return -EINVAL;
	at = remap_adopted(CALL_MEMFD_MAPPED, NULL, bytes, prot, flags, fd, off);
	if (sys_failed(at))
		return at;
	err = remap_over((uint64_t)at, addr, bytes);
	return err ? err : (long)addr;
}

long memfd_map(void *addr, size_t len, int prot, int flags, int fd, long off)
{
	const uint64_t bytes = to_page_end(len);
	const bool over = flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE);
	const int plain = flags & ~(MAP_POPULATE | MAP_LOCKED | (over ? MAP_FIXED : 0));
	struct msg_call call = { .op = CALL_MEMFD_FILE };
	long at = -EAGAIN;
	struct stat st;
	int real;

	if (flags & MAP_ANONYMOUS || !bytes)
		return 0;
	if (is_plain(prot, flags) && is_fixed(flags) && prot & PROT_WRITE)
		memfd_begin(fd, 0);
	if (!memfd_is_stub(fd, &st))
		return 0;
	if (is_plain(prot, flags) && !memfd_ask_fd(&call, &st, &real) && real >= 0) {
		at = over ? map_over((uintptr_t)addr, bytes, prot, plain, real, off)
			  : remap_adopted(CALL_MEMFD_MAPPED, addr, bytes, prot, plain, real, off);
		sys_close(real);
	}
	if (at != -EAGAIN && at != -ENOENT)
		return at;
	at = memfd_restore(fd);
	return at < 0 ? at : 0;
}

/* ---- its size, and space ---- */

/* The supervisor's limit is not the program's. */
static bool size_is_limited(void)
{
	struct rlimit l;

	return sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &l) || l.rlim_cur != RLIM_INFINITY;
}

/* A call of ours that failed with EBADF. 0 or -errno; 1: the kernel is to try again. */
static long ask_size(struct msg_call *call, int fd)
{
	struct stat st;
	long err = -ENOENT;

	if (memfd_is_stub(fd, &st) && !size_is_limited())
		err = memfd_ask(call, &st);
	if (err != -ENOENT)
		return err;
	err = memfd_restore(fd);
	return err ? err : -EBADF;
}

/* Under both names: the width of off_t decides which of them the headers call ftruncate. Each calls
 * the next one of its own name: see hide.c. */
#define TRUNCATE(name)                                                                             \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, off_t bytes) __asm__(#name);                        \
	int export_##name(int fd, off_t bytes)                                                     \
	{                                                                                          \
		struct msg_call call = { .op = CALL_MEMFD_SIZE, .len = (uint64_t)bytes };          \
		int ret = get_##name()(fd, bytes);                                                 \
		long err;                                                                          \
                                                                                                   \
		if (!ret || errno != EBADF || !memfd_any())                                        \
			return ret;                                                                \
		err = ask_size(&call, fd);                                                         \
		return err == 1 ? get_##name()(fd, bytes) : (int)hook_result(err);                 \
	}

TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static long space(int fd, int how, off_t at, off_t bytes)
{
	struct msg_call call = { .op = CALL_MEMFD_SPACE,
				 .arg = (uint32_t)how,
				 .offset = (uint64_t)at,
				 .len = (uint64_t)bytes };

	return memfd_any() ? ask_size(&call, fd) : -EBADF;
}

/* It begins first: pages that the kernel reserves would be present, and nobody's. */
#define SPACE(name)                                                                                \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, int how, off_t at, off_t bytes) __asm__(#name);     \
	int export_##name(int fd, int how, off_t at, off_t bytes)                                  \
	{                                                                                          \
		int ret;                                                                           \
		long err;                                                                          \
                                                                                                   \
		if (!how && at >= 0 && bytes > 0)                                                  \
			memfd_begin(fd, (uint64_t)at + (uint64_t)bytes);                           \
		ret = get_##name()(fd, how, at, bytes);                                            \
		if (!ret || errno != EBADF)                                                        \
			return ret;                                                                \
		err = space(fd, how, at, bytes);                                                   \
		return err == 1 ? get_##name()(fd, how, at, bytes) : (int)hook_result(err);        \
	}

SPACE(fallocate)
SPACE(fallocate64)

#define POSIX_SPACE(name)                                                                          \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, off_t at, off_t bytes) __asm__(#name);              \
	int export_##name(int fd, off_t at, off_t bytes)                                           \
	{                                                                                          \
		int err = get_##name()(fd, at, bytes);                                             \
                                                                                                   \
		if (err == EBADF) {                                                                \
			err = -(int)space(fd, 0, at, bytes);                                       \
			if (err == -1)                                                             \
				err = get_##name()(fd, at, bytes);                                 \
		}                                                                                  \
		return err;                                                                        \
	}

POSIX_SPACE(posix_fallocate)
POSIX_SPACE(posix_fallocate64)

/* agent/origin.c - finds what a requested mapping really is: a thread stack of libc's, or memory by
 * way of /dev/zero.
 *
 * libc's record of a thread lies at the top of the stack that libc makes for it, and must stay with
 * the kernel (maps.c). A program's own MAP_STACK mapping - a coroutine's stack, say - has no such
 * record. Only libc itself, which makes threads, asks for the first kind: the caller's address
 * tells.
 *
 * A private mapping of /dev/zero is anonymous memory, a shared one is shared anonymous memory: the
 * kernel treats it so itself (mmap_zero in drivers/char/mem.c). They are made as such, and managed.
 *
 * Locks: none. The constructor writes the range of libc's code before there is a second thread.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/agent.h"
#include "agent/sys.h"

#define ZERO_MAJOR 1
#define ZERO_MINOR 5
#define ZERO_LEAST (64u << 10) /* bytes */

static uintptr_t thread_maker;           /* pthread_create, in the library that defines it */
static uintptr_t maker_start, maker_end; /* that library's code; 0, 0: unknown */

static int find_maker(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) ||
		    thread_maker - start >= p->p_memsz)
			continue;
		maker_start = start;
		maker_end = start + p->p_memsz;
		return 1;
	}
	return 0;
}

void origin_init(void)
{
	thread_maker = (uintptr_t)dlsym(RTLD_NEXT, "pthread_create");
	if (thread_maker)
		dl_iterate_phdr(find_maker, NULL);
}

bool origin_makes_threads(const void *caller)
{
	return !maker_end || ((uintptr_t)caller >= maker_start && (uintptr_t)caller < maker_end);
}

static bool is_zero_device(int fd)
{
	struct stat st;

	return sys_call2(SYS_fstat, fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(ZERO_MAJOR, ZERO_MINOR);
}

/* Left to /dev/zero: mappings that are too small to matter, so that /proc/PID/map_files has them;
 * those that the kernel would refuse (a descriptor not open for that, an offset within a page, code
 * from a file system without code) or would not allow to be changed later. */
int origin_flags(size_t len, int prot, int flags, int fd, long off)
{
	const int type = flags & MAP_TYPE;
	long mode;

	if (flags & MAP_ANONYMOUS || fd < 0 || len < ZERO_LEAST || (prot && !(prot & PROT_WRITE)) ||
	    prot & PROT_EXEC || (type != MAP_PRIVATE && type != MAP_SHARED) || off < 0 ||
	    off % (long)agent_page || off + (long)len < off || !is_zero_device(fd))
		return flags;
	mode = sys_fcntl(fd, F_GETFL, 0);
	if (mode < 0 || mode & O_PATH || (mode & O_ACCMODE) == O_WRONLY ||
	    (type == MAP_SHARED && (mode & O_ACCMODE) != O_RDWR))
		return flags;
	return flags | MAP_ANONYMOUS;
}

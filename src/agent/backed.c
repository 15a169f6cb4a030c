/* agent/backed.c - writable private mappings of files, made as anonymous memory that the supervisor
 * fills.
 *
 * userfaultfd does not register a private mapping of a file, so its changed pages could not be
 * swapped. So anonymous memory is mapped instead, elsewhere and without access. The supervisor
 * enters it with its file and registers it; then it is made accessible, and moved into place if
 * something else may be there. What the supervisor refuses is mapped as the program asked.
 *
 * I1  Nobody can touch such memory before the supervisor knows its file.
 * I2  It never grows by the kernel's mremap, whose new part would be zeros: backed_grow.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/fork.h"
#include "agent/hooks.h"

#define BYTES_MIN (1ul << 20)

static uint32_t any; /* (A) such memory has existed, in this process or one it was forked from */

bool backed_any(void)
{
	return __atomic_load_n(&any, __ATOMIC_RELAXED) && agent_managed();
}

bool backed_fits(const void *addr, size_t len, int prot, int flags, int fd, long off)
{
	const int unfit = MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_HUGETLB | MAP_32BIT;
	struct stat st;
	long mode;

	if (len < BYTES_MIN || !(prot & PROT_WRITE) || prot & ~(PROT_READ | PROT_WRITE) ||
	    flags & unfit || fd < 0 || (flags & MAP_TYPE) != MAP_PRIVATE || off < 0 ||
	    off % (long)agent_page || off + (long)to_page_end(len) < off || !agent_managed() ||
	    agent->pid != sys_getpid())
		return false;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && (uintptr_t)addr % agent_page)
		return false;
	mode = sys_fcntl(fd, F_GETFL, 0);
	return mode >= 0 && !(mode & O_PATH) && (mode & O_ACCMODE) != O_WRONLY &&
	       !sys_call2(SYS_fstat, fd, &st) && S_ISREG(st.st_mode);
}

/* False: the supervisor does not know it. *@lost: nor whether it will. */
static bool announce(uint64_t at, uint64_t bytes, int fd, long off, bool *lost)
{
	struct msg_call call = { .op = CALL_FILE,
				 .arg = (uint32_t)fd,
				 .start = at,
				 .len = bytes,
				 .offset = (uint64_t)off };
	struct msg_call_reply reply;
	struct stat st;
	int attached;

	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(at % agent_page == 0 && bytes % agent_page == 0);
	*lost = false;
	if (sys_call2(SYS_fstat, fd, &st))
		return false;
	call.dev = st.st_dev;
	call.ino = st.st_ino;
	__atomic_store_n(&any, 1, __ATOMIC_SEQ_CST);
	*lost = channel_ask(&call, &reply, &attached) != 0;
	if (!*lost && reply.error)
		agent_debug("private mapping of a file stays with the kernel:", reply.error);
	return !*lost && !reply.error;
}

long backed_map(void *addr, size_t len, int prot, int flags, int fd, long off)
{
	const bool over = flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE);
	const int kept = MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	const uint64_t bytes = to_page_end(len);
	uint64_t mask;
	bool held = mappings_lock(&mask), lost;
	long at = sys_mmap(over ? NULL : addr, bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | (flags & kept), -1, 0);
	long err;

	if (held && !sys_failed(at))
		guard_new((uint64_t)at, (uint64_t)at + bytes);
	mappings_unlock(held, &mask);
	if (sys_failed(at))
		return 0;
	if (!announce((uint64_t)at, bytes, fd, off, &lost)) {
		/* A late answer must not find anything else there: abandon the range. */
		if (!lost)
			hook_munmap((void *)at, bytes);
		return 0;
	}
	err = sys_call3(SYS_mprotect, at, bytes, prot);
	if (err) {
		hook_munmap((void *)at, bytes);
		return err;
	}
	if (!over)
		return at;
	err = remap_over((uint64_t)at, (uintptr_t)addr, bytes);
	return err ? err : (long)(uintptr_t)addr;
}

/* Is there such memory in [start, end)? *@reply: access and offset of the first, *@fd its file,
 * which the caller closes. */
static bool find(uint64_t start, uint64_t end, struct msg_call_reply *reply, int *fd)
{
	struct msg_call call = { .op = CALL_FILE_AT, .start = start, .len = end - start };

	AGENT_ASSERT(!maplock_is_mine());
	*fd = -1;
	return end > start && !channel_ask(&call, reply, fd) && !reply->error && *fd >= 0;
}

bool backed_within(uint64_t start, uint64_t len)
{
	struct msg_call_reply reply;
	int fd;

	if (!backed_any() || start % agent_page ||
	    !find(start, start + to_page_end(len), &reply, &fd))
		return false;
	sys_close(fd);
	return true;
}

/* Elsewhere, or at @target: make a new mapping of the whole size and move the old one onto its
 * beginning. The kernel moves one mapping at a time: several are left where they are. */
static long grow_elsewhere(uint64_t old, uint64_t old_bytes, uint64_t bytes, int prot, void *target,
			   int fd, long off)
{
	long at = backed_map(target, bytes, prot, MAP_PRIVATE | (target ? MAP_FIXED : 0), fd, off),
	     err;
	uint64_t mask;
	bool held;

	AGENT_ASSERT(old_bytes <= bytes);
	if (sys_failed(at) || !at)
		return at ? at : -ENOMEM;
	held = mappings_lock(&mask);
	err = sys_call5(SYS_mremap, old, old_bytes, old_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	mappings_unlock(held, &mask);
	if (!sys_failed(err))
		return at;
	hook_munmap((void *)at, bytes);
	return -ENOMEM;
}

long backed_grow(void *old, size_t old_len, size_t len, int flags, void *target)
{
	const uint64_t start = (uintptr_t)old, old_bytes = to_page_end(old_len),
		       bytes = to_page_end(len);
	const bool grows = bytes > old_bytes, stays = flags & 4 /* MREMAP_DONTUNMAP */;
	struct msg_call_reply reply;
	long at = 0;
	int fd;

	if (!backed_any() || !(grows || stays) || start % agent_page || !old_bytes ||
	    !find(start, start + agent_page, &reply, &fd))
		return 0;
	if (stays ||
	    (flags & MREMAP_FIXED &&
	     (!(flags & MREMAP_MAYMOVE) || (uintptr_t)target % agent_page ||
	      ((uintptr_t)target < start + old_bytes && start < (uintptr_t)target + bytes))))
		at = -EINVAL;
	if (!at && !(flags & MREMAP_FIXED))
		at = backed_map((void *)(start + old_bytes), bytes - old_bytes, (int)reply.value,
				MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
				(long)(reply.len + old_bytes));
	if (at == (long)(start + old_bytes))
		at = (long)start;
	else if (!at || (sys_failed(at) && at != -EINVAL))
		at = flags & MREMAP_MAYMOVE
			     ? grow_elsewhere(start, old_bytes, bytes, (int)reply.value,
					      flags & MREMAP_FIXED ? target : NULL, fd,
					      (long)reply.len)
			     : -ENOMEM;
	sys_close(fd);
	return at;
}

/* agent/memfd.c - memfds: shared memory of which the program has descriptors.
 *
 * The program makes the file itself, and until it maps it shared the file is the kernel's alone.
 * The first such mapping, or reservation, begins it (CALL_MEMFD): the supervisor opens the file,
 * too, and from then on takes pages out of it. Such a page is a hole, which the kernel would read
 * as zeros. So nothing may reach the content but a mapping that the supervisor knows:
 *
 *     mmap, shared       mapped without access, entered in the books, then made accessible
 *     read, write...     through such a mapping, made for the call (memfd_io.c)
 *     ftruncate, fallocate, lseek   by the supervisor, with its books
 *     everything else    first all content is brought back into the file, which is the kernel's
 *                        from then on (CALL_MEMFD_LEAVE; memfd_leave.c). If that does not fit the
 *                        limit, the call fails (ENOMEM)
 *
 * A file is recognised by its device and inode, whatever descriptor leads to it. That it is managed
 * is written on the file itself: it has the sticky bit, which every process sees at once and which
 * means nothing for such a file.
 *
 * I1  @any is set in every process that may have a descriptor of such a file and runs our hooks. A
 *     forked child inherits it, managed or not.
 * I2  Only a file that was made here, or in a process that this one was forked from, is begun, and
 *     only if nobody else can have got a descriptor: @made has the inodes. Where another process of
 *     the fork passed it on, the supervisor knows.
 *
 * Locks: none.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hooks.h"

#define MADE      256
#define BYTES_MIN (1u << 20) /* a smaller one is not worth a descriptor of the supervisor's */
#define MANAGED   S_ISVTX

static uint32_t any;        /* (A) */
static uint32_t unseen;     /* (A) the program can make requests that pass us by */
static uint64_t device;     /* (C) once @any is set */
static uint64_t made[MADE]; /* (A) inodes, by number; 0: none */

bool memfd_any(void)
{
	return __atomic_load_n(&any, __ATOMIC_ACQUIRE);
}

static bool is_memfd(const struct stat *st)
{
	return st->st_dev == device && S_ISREG(st->st_mode);
}

static bool find(int fd, struct stat *st)
{
	return memfd_any() && fd >= 0 && !sys_call2(SYS_fstat, fd, st) && is_memfd(st);
}

bool memfd_find(int fd, struct stat *st)
{
	return find(fd, st) && st->st_mode & MANAGED;
}

void memfd_hide(struct stat *st)
{
	if (memfd_any() && is_memfd(st))
		st->st_mode &= ~(mode_t)MANAGED;
}

static uint64_t *place(uint64_t ino)
{
	return &made[ino % MADE];
}

static bool is_made(const struct stat *st)
{
	return __atomic_load_n(place(st->st_ino), __ATOMIC_RELAXED) == st->st_ino;
}

/* 0 or -errno; -ENOENT: it is the kernel's. Without an answer nothing is known: it is not
 * touched. */
static long ask_value(struct msg_call *call, const struct stat *st, uint64_t *value)
{
	struct msg_call_reply reply;
	int attached, err;

	call->dev = st->st_dev;
	call->ino = st->st_ino;
	err = channel_ask(call, &reply, &attached);
	if (attached >= 0)
		sys_close(attached);
	if (!err)
		*value = reply.value;
	return err ? -ENOMEM : reply.error;
}

static long ask(struct msg_call *call, const struct stat *st)
{
	uint64_t none;

	return ask_value(call, st, &none);
}

static long leave(const struct stat *st)
{
	struct msg_call call = { .op = CALL_MEMFD_LEAVE };
	const bool ours = is_made(st);
	long err;

	if (!ours && !(st->st_mode & MANAGED))
		return 0;
	err = ask(&call, st);
	if (ours && (!err || err == -ENOENT))
		__atomic_store_n(place(st->st_ino), 0, __ATOMIC_RELAXED);
	return err == -ENOENT || !(st->st_mode & MANAGED) ? 0 : err;
}

#ifdef SYS_newfstatat
#define CALL_STAT SYS_newfstatat
#else
#define CALL_STAT SYS_fstatat
#endif

bool memfd_find_path(const char *path, struct stat *st)
{
	return memfd_any() && path && !sys_call4(CALL_STAT, AT_FDCWD, path, st, 0) && is_memfd(st);
}

long memfd_leave_path(const char *path)
{
	struct stat st;

	return memfd_find_path(path, &st) ? leave(&st) : 0;
}

long memfd_leave(int fd)
{
	struct stat st;

	return find(fd, &st) ? leave(&st) : 0;
}

/* ---- its making ---- */

AGENT_EXPORT int memfd_create(const char *name, unsigned int flags)
{
	long fd = sys_call2(SYS_memfd_create, name, flags);
	struct stat st;

	if (sys_failed(fd) || flags & MFD_HUGETLB || !agent_managed() || !agent->manage_memfd ||
	    agent->pid != sys_getpid() || __atomic_load_n(&unseen, __ATOMIC_RELAXED) ||
	    sys_call2(SYS_fstat, fd, &st))
		return (int)hook_result(fd);
	device = st.st_dev;
	__atomic_store_n(place(st.st_ino), st.st_ino, __ATOMIC_RELAXED);
	__atomic_store_n(&any, 1, __ATOMIC_RELEASE);
	return (int)fd;
}

static void number(char *to, const char *before, int n)
{
	char back[12];
	size_t at = strlen(before);
	int i = 0;

	memcpy(to, before, at);
	do
		back[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		to[at++] = back[--i];
	to[at] = '\0';
}

/* The kernel tells the supervisor when nobody has the file open any more, but does not count the
 * descriptor that memfd_create returns. So each of this process becomes one that was opened. (The
 * others it looks for: serve/shared/memfd.c.) */
static long open_anew(int fd, const struct stat *st)
{
	const long flags = sys_fcntl(fd, F_GETFD, 0), mode = sys_fcntl(fd, F_GETFL, 0);
	const long at = sys_call3(SYS_lseek, fd, 0, SEEK_CUR);
	struct stat now;
	char path[40];
	long again, err;

	if (flags < 0 || mode < 0 || at < 0)
		return -EBADF;
	number(path, "/proc/self/fd/", fd);
	again = sys_call4(SYS_openat, AT_FDCWD, path,
			  (mode & (O_APPEND | O_NONBLOCK)) | O_RDWR | O_CLOEXEC, 0);
	if (sys_failed(again))
		return again;
	err = sys_call2(SYS_fstat, again, &now);
	if (!err && now.st_ino == st->st_ino && now.st_dev == st->st_dev) {
		if (at)
			sys_call3(SYS_lseek, again, at, SEEK_SET);
		err = sys_call3(SYS_dup3, again, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	sys_close((int)again);
	return sys_failed(err) ? err : 0;
}

/* Is it, or does it become, managed? */
static bool begin(int fd, struct stat *st, uint64_t bytes)
{
	struct msg_call call = { .op = CALL_MEMFD, .arg = (uint32_t)fd };
	long err;

	if (st->st_mode & MANAGED)
		return true;
	if (!is_made(st) || bytes < BYTES_MIN || __atomic_load_n(&unseen, __ATOMIC_RELAXED))
		return false;
	err = open_anew(fd, st);
	if (!err)
		err = ask(&call, st);
	if (err) {
		agent_debug("memfd stays with the kernel:", err);
		__atomic_store_n(place(st->st_ino), 0, __ATOMIC_RELAXED);
	}
	return !err;
}

/* ---- mappings ---- */

/* The supervisor's userfaultfd cannot be registered where the program could never write. */
static bool is_plain(int prot, int flags, int fd)
{
	const int type = flags & MAP_TYPE;
	long mode = sys_fcntl(fd, F_GETFL, 0);

	return (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) &&
	       !(flags & (MAP_GROWSDOWN | MAP_HUGETLB)) &&
	       !(prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) && mode >= 0 && !(mode & O_PATH) &&
	       (mode & O_ACCMODE) == O_RDWR;
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
	struct stat st;
	long at;

	if (flags & MAP_ANONYMOUS || !bytes || !find(fd, &st))
		return 0;
	if (!is_plain(prot, flags, fd) || !agent_managed() || agent->pid != sys_getpid())
		return leave(&st);
	/* Once its kernel alone has mapped it, it stays so: what is taken out would be a hole
	 * there. */
	if (!begin(fd, &st, bytes))
		return leave(&st);
	at = over ? map_over((uintptr_t)addr, bytes, prot, plain, fd, off)
		  : remap_adopted(CALL_MEMFD_MAPPED, addr, bytes, prot, plain, fd, off);
	if (at != -EAGAIN)
		return at == -ENOENT ? 0 : at;
	st.st_mode |= MANAGED;
	return leave(&st);
}

/* ---- its size, and space ---- */

static bool may_write(int fd)
{
	long mode = sys_fcntl(fd, F_GETFL, 0);

	return mode >= 0 && !(mode & O_PATH) && (mode & O_ACCMODE) != O_RDONLY;
}

long memfd_resize(const struct stat *st, long bytes)
{
	struct msg_call call = { .op = CALL_MEMFD_SIZE, .len = (uint64_t)bytes };
	long err = bytes < 0 ? -ENOENT : ask(&call, st);

	return err == -ENOENT ? 1 : err;
}

/* Under both names: the width of off_t decides which of them the headers call ftruncate. Each calls
 * the next one of its own name: see hide.c. */
#define TRUNCATE(name)                                                                             \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, off_t bytes) __asm__(#name);                        \
	int export_##name(int fd, off_t bytes)                                                     \
	{                                                                                          \
		struct stat st;                                                                    \
		long err = memfd_find(fd, &st) && may_write(fd) ? memfd_resize(&st, bytes) : 1;    \
                                                                                                   \
		return err == 1 ? get_##name()(fd, bytes) : (int)hook_result(err);                 \
	}

TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

/* 0 or -errno; 1: the kernel must do it. */
static long allocate(int fd, int mode, off_t at, off_t bytes)
{
	struct msg_call call = { .op = CALL_MEMFD_SPACE,
				 .arg = (uint32_t)mode,
				 .offset = (uint64_t)at,
				 .len = (uint64_t)bytes };
	const long access = sys_fcntl(fd, F_GETFL, 0) & (O_ACCMODE | O_PATH);
	struct stat st;
	long err = -ENOENT;

	/* Pages that the kernel reserves before it begins would be present, and nobody's. */
	if (find(fd, &st) &&
	    (st.st_mode & MANAGED || (access == O_RDWR && begin(fd, &st, (uint64_t)bytes))) &&
	    may_write(fd))
		err = ask(&call, &st);
	return err == -ENOENT ? 1 : err;
}

/* Each calls the next one of its own name: see hide.c. */
#define SPACE(name, posix)                                                                         \
	NEXT(name)                                                                                 \
	AGENT_EXPORT int export_##name(int fd, SPACE_MODE_##posix off_t at,                        \
				       off_t bytes) __asm__(#name);                                \
	int export_##name(int fd, SPACE_MODE_##posix off_t at, off_t bytes)                        \
	{                                                                                          \
		long err = memfd_any() ? allocate(fd, SPACE_ARG_##posix, at, bytes) : 1;           \
                                                                                                   \
		if (err == 1)                                                                      \
			return get_##name()(fd, SPACE_PASS_##posix at, bytes);                     \
		return posix ? (int)-err : (int)hook_result(err);                                  \
	}

#define SPACE_MODE_0 int mode,
#define SPACE_MODE_1
#define SPACE_ARG_0  mode
#define SPACE_ARG_1  0
#define SPACE_PASS_0 mode,
#define SPACE_PASS_1

SPACE(fallocate, 0)
SPACE(fallocate64, 0)
SPACE(posix_fallocate, 1)
SPACE(posix_fallocate64, 1)

/* lseek to content, or to where there is none: a page that is out is no hole. 0 and *@to, or
 * -errno; 1: the kernel must do it. */
static long seek(int fd, long at, int whence, uint64_t *to)
{
	struct msg_call call = { .op = CALL_MEMFD_SEEK,
				 .arg = (uint32_t)whence,
				 .offset = (uint64_t)at };
	struct stat st;
	long err = -ENOENT;

	if ((whence == SEEK_DATA || whence == SEEK_HOLE) && at >= 0 && memfd_find(fd, &st))
		err = ask_value(&call, &st, to);
	return err == -ENOENT ? 1 : err;
}

#define SEEK(name)                                                                                 \
	NEXT(name)                                                                                 \
	AGENT_EXPORT off_t export_##name(int fd, off_t at, int whence) __asm__(#name);             \
	off_t export_##name(int fd, off_t at, int whence)                                          \
	{                                                                                          \
		uint64_t to = 0;                                                                   \
		long err = seek(fd, at, whence, &to);                                              \
                                                                                                   \
		if (err == 1)                                                                      \
			return get_##name()(fd, at, whence);                                       \
		return err ? hook_result(err) : get_##name()(fd, (off_t)to, SEEK_SET);             \
	}

SEEK(lseek)
SEEK(lseek64)

/* The mark stays. */
NEXT(fchmod)
AGENT_EXPORT int fchmod(int fd, mode_t mode)
{
	struct stat st;

	return get_fchmod()(fd, memfd_find(fd, &st) ? mode | MANAGED : mode);
}

void memfd_unseen(void)
{
	__atomic_store_n(&unseen, 1, __ATOMIC_RELAXED);
	if (memfd_any())
		memfd_leave_all(false);
}

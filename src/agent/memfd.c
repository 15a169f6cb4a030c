/* agent/memfd.c - memfds that are heaps: made here, large, and reached by mappings at fixed
 * addresses, as java's ZGC does.
 *
 * The first such mapping, or fallocate(2), begins it (CALL_MEMFD): from then on the supervisor
 * takes pages out of it. Such a page is a hole for whoever has a descriptor. So the program's
 * descriptor becomes a stub: it leads to the same file, but was opened with O_PATH, and the kernel
 * refuses to read, write or map by it (EBADF), whoever asks, in whatever way. What the program then
 * does with it
 *
 *     mmap, shared (memfd_map.c)       is done by a descriptor of the supervisor's
 *     ftruncate, fallocate (there)     is done by the supervisor, with its books
 *     everything else (memfd_calls.c)  makes the file the kernel's (CALL_MEMFD_LEAVE): all content
 *                                      is put back, and a real descriptor replaces the stub. If
 *                                      that does not fit the limit the call fails (ENOMEM)
 *
 * A call past our hooks fails with EBADF; it never finds wrong content.
 *
 * Nobody else may have the file's first descriptor, or a mapping of it, when it becomes a stub.
 * That is so if nobody could have got it (@made, only_here). The kernel proves it: the descriptor
 * has a record lock that ends with the last copy of it, and must have ended (MEMFD_LOCKED_AT).
 * Whoever opens the file by its name in /proc waits until it has become the kernel's (the
 * supervisor's lease).
 *
 * I1  @any is set in every process that may have a stub and runs our hooks. A forked child inherits
 *     it, managed or not.
 *
 * Locks: turn: descriptors become stubs, and real again. Held over requests, with signals blocked.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/hooks.h"
#include "agent/memfd.h"

#define MADE      256
#define BYTES_MIN (16ul << 20) /* of the file */
#define TURN_NS   1000000
#define TURNS     10000 /* then its owner is one that a fork has left behind */

#define STATUS_FLAGS                                                                               \
	(O_ACCMODE | O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK | O_SYNC | O_PATH)

#ifdef SYS_newfstatat
#define CALL_STAT SYS_newfstatat
#else
#define CALL_STAT SYS_fstatat
#endif

static uint32_t any;        /* (A) */
static uint32_t turn;       /* (A) 1: taken */
static uint32_t mode;       /* (C) once @any is set: F_GETFL of a new one */
static uint64_t device;     /* (C) once @any is set */
static uint64_t made[MADE]; /* (A) inodes, by number; 0: none */

bool memfd_any(void)
{
	return __atomic_load_n(&any, __ATOMIC_ACQUIRE);
}

int memfd_mode(void)
{
	return (int)mode;
}

static void turn_take(uint64_t *mask)
{
	const struct timespec nap = { .tv_nsec = TURN_NS };
	uint32_t none = 0;

	sys_block_signals(mask);
	for (int i = 0;
	     i < TURNS && !__atomic_compare_exchange_n(&turn, &none, 1, false, __ATOMIC_ACQUIRE,
						       __ATOMIC_RELAXED);
	     i++) {
		none = 0;
		sys_call2(SYS_nanosleep, &nap, 0);
	}
}

static void turn_give(const uint64_t *mask)
{
	__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
	sys_restore_signals(mask);
}

static bool is_memfd(int fd, struct stat *st)
{
	return !sys_call2(SYS_fstat, fd, st) && st->st_dev == device && S_ISREG(st->st_mode);
}

bool memfd_find_path(const char *path, struct stat *st)
{
	return memfd_any() && path && !sys_call4(CALL_STAT, AT_FDCWD, path, st, 0) &&
	       st->st_dev == device && S_ISREG(st->st_mode);
}

bool memfd_is_stub(int fd, struct stat *st)
{
	long now;

	if (!memfd_any() || fd < 0)
		return false;
	now = sys_fcntl(fd, F_GETFL, 0);
	return now >= 0 && now & O_PATH && is_memfd(fd, st);
}

long memfd_ask_fd(struct msg_call *call, const struct stat *st, int *attached)
{
	struct msg_call_reply reply;
	int err;

	call->dev = st->st_dev;
	call->ino = st->st_ino;
	err = channel_ask(call, &reply, attached);
	return err ? -ENOMEM : reply.error;
}

long memfd_ask(struct msg_call *call, const struct stat *st)
{
	int attached;
	long err = memfd_ask_fd(call, st, &attached);

	if (attached >= 0)
		sys_close(attached);
	return err;
}

static void path_of(int fd, char *to)
{
	static const char before[] = "/proc/self/fd/";
	char back[12];
	size_t at = sizeof before - 1;
	int i = 0;

	memcpy(to, before, at);
	do
		back[i++] = (char)('0' + fd % 10);
	while (fd /= 10);
	while (i)
		to[at++] = back[--i];
	to[at] = '\0';
}

/* The file of @fd, opened once more. A descriptor or -errno. */
static long open_again(int fd, int flags)
{
	char path[PROC_PATH_BYTES];

	AGENT_ASSERT(fd >= 0);
	path_of(fd, path);
	return sys_call4(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

/* @from takes the place of @fd, and is closed. 0 or -errno. */
static long put_in_place(int from, int fd)
{
	const long flags = sys_fcntl(fd, F_GETFD, 0);
	const long err =
		flags < 0 ? flags
			  : sys_call3(SYS_dup3, from, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);

	sys_close(from);
	return sys_failed(err) ? err : 0;
}

/* ---- the kernel's ---- */

/* turn is held. */
static long restore(int fd)
{
	struct msg_call call = { .op = CALL_MEMFD_LEAVE };
	struct stat st;
	int real;
	long err;

	if (!memfd_is_stub(fd, &st))
		return is_memfd(fd, &st);
	err = memfd_ask_fd(&call, &st, &real);
	if (err)
		return err == -ENOENT ? 0 : -ENOMEM;
	if (real < 0)
		real = (int)open_again(fd, O_RDWR);
	return real < 0 || put_in_place(real, fd) ? -ENOMEM : 1;
}

long memfd_restore(int fd)
{
	uint64_t mask;
	long ret;

	if (!memfd_any() || fd < 0)
		return 0;
	turn_take(&mask);
	ret = restore(fd);
	turn_give(&mask);
	return ret;
}

bool memfd_refused(const int *fd, int n)
{
	for (int i = 0; i < n; i++)
		if (memfd_restore(fd[i]) < 0) {
			errno = ENOMEM;
			return true;
		}
	return false;
}

/* Only after a call that failed: errno is its. */
bool memfd_again(const int *fd, int n)
{
	bool real = false;

	if (errno != EBADF || !memfd_any())
		return false;
	for (int i = 0; i < n; i++) {
		const long now = memfd_restore(fd[i]);

		if (now < 0) {
			errno = ENOMEM;
			return false;
		}
		real |= now > 0;
	}
	return real;
}

long memfd_taken(int fd)
{
	struct msg_call call = { .op = CALL_MEMFD_LEAVE };
	long now = sys_fcntl(fd, F_GETFL, 0);
	struct stat st;
	int real;

	if (now < 0 || !(now & O_PATH) || sys_call2(SYS_fstat, fd, &st) || !S_ISREG(st.st_mode) ||
	    st.st_nlink)
		return fd;
	if (memfd_ask_fd(&call, &st, &real))
		return fd;
	if (real < 0)
		real = (int)open_again(fd, O_RDWR);
	if (real < 0 || put_in_place(real, fd)) {
		sys_close(fd);
		return -ENOMEM;
	}
	return fd;
}

/* ---- its beginning ---- */

static uint64_t *place(uint64_t ino)
{
	return &made[ino % MADE];
}

AGENT_EXPORT int memfd_create(const char *name, unsigned int flags)
{
	long fd = sys_call2(SYS_memfd_create, name, flags);
	struct stat st;

	if (sys_failed(fd) || flags != MFD_CLOEXEC || !agent_managed() || agent->kernel_memfd ||
	    agent->pid != sys_getpid() || sys_call2(SYS_fstat, fd, &st))
		return (int)hook_result(fd);
	device = st.st_dev;
	mode = (uint32_t)sys_fcntl((int)fd, F_GETFL, 0);
	__atomic_store_n(place(st.st_ino), st.st_ino, __ATOMIC_RELAXED);
	__atomic_store_n(&any, 1, __ATOMIC_RELEASE);
	return (int)fd;
}

/* Those that have not begun never do: the child has them, too. */
void memfd_forks(void)
{
	for (int i = 0; memfd_any() && i < MADE; i++)
		__atomic_store_n(&made[i], 0, __ATOMIC_RELAXED);
}

void memfd_forked(void)
{
	__atomic_store_n(&turn, 0, __ATOMIC_RELAXED);
}

struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

#define LIST_BYTES 512

/* Has this process no other descriptor of the file? */
static bool only_here(int fd, const struct stat *st)
{
	char list[LIST_BYTES] __attribute__((aligned(8)));
	long dir = sys_call4(SYS_openat, AT_FDCWD, "/proc/self/fd",
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
	     n = -1;
	bool only = dir >= 0;
	struct stat now;

	while (only && (n = sys_call3(SYS_getdents64, dir, list, sizeof list)) > 0)
		for (long at = 0; only && at < n;) {
			const struct entry *e = (const struct entry *)(const void *)(list + at);
			const char *name = e->name;
			const long other = proc_number(&name);

			at += e->bytes;
			only = other < 0 || other == fd || !is_memfd((int)other, &now) ||
			       now.st_ino != st->st_ino;
		}
	if (dir >= 0)
		sys_close((int)dir);
	return only && n == 0;
}

static bool is_fresh(int fd, const struct stat *st)
{
	return sys_fcntl(fd, F_GETFD, 0) == FD_CLOEXEC &&
	       (sys_fcntl(fd, F_GETFL, 0) & STATUS_FLAGS) == O_RDWR &&
	       sys_call3(SYS_lseek, fd, 0, SEEK_CUR) == 0 && !st->st_blocks &&
	       sys_fcntl(fd, F_GET_SEALS, 0) == F_SEAL_SEAL && only_here(fd, st);
}

static long lock(int fd, short type)
{
	struct flock l = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = MEMFD_LOCKED_AT, .l_len = 1
	};

	return sys_fcntl(fd, F_OFD_SETLK, (long)&l);
}

/* turn is held. */
static bool begin(int fd, const struct stat *st)
{
	struct msg_call call = { .op = CALL_MEMFD, .arg = (uint32_t)fd };
	long stub, real, err;

	/* Once only, whatever happens. */
	__atomic_store_n(place(st->st_ino), 0, __ATOMIC_RELAXED);
	if (!is_fresh(fd, st) || lock(fd, F_WRLCK))
		return false;
	stub = open_again(fd, O_PATH);
	if (sys_failed(stub) || sys_failed(sys_call3(SYS_dup3, stub, fd, O_CLOEXEC))) {
		if (!sys_failed(stub))
			sys_close((int)stub);
		lock(fd, F_UNLCK);
		return false;
	}
	err = memfd_ask(&call, st);
	sys_close((int)stub);
	if (!err)
		return true;
	agent_debug("memfd stays with the kernel:", err);
	real = open_again(fd, O_RDWR);
	if (!sys_failed(real))
		put_in_place((int)real, fd);
	return false;
}

void memfd_begin(int fd, uint64_t bytes)
{
	struct stat st;
	uint64_t mask;

	if (!memfd_any() || !agent_managed() || agent->pid != sys_getpid() || fd < 0 ||
	    !is_memfd(fd, &st) ||
	    ((uint64_t)st.st_size > bytes ? (uint64_t)st.st_size : bytes) < BYTES_MIN ||
	    __atomic_load_n(place(st.st_ino), __ATOMIC_RELAXED) != st.st_ino)
		return;
	turn_take(&mask);
	if (__atomic_load_n(place(st.st_ino), __ATOMIC_RELAXED) == st.st_ino)
		begin(fd, &st);
	turn_give(&mask);
}

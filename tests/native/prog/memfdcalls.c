/* memfdcalls SEED CALLS - whatever can be done with a memfd, at random: mappings at fixed
 * addresses, as a heap has them, and every call that takes its descriptor, through libc, syscall(2)
 * and fortified functions; copies of the descriptor, by dup, fork, sockets, pidfd_getfd and its
 * name in /proc. Prints a line per call: result, errno, and a sum of what was read. For `diff` of a
 * run without umemcg and one under it.
 */
#include <aio.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define PLACE 0x200000000000ul
#define SIZE  (17 * MIB)
#define SLOTS 4
#define IO    (3 * PAGE)

extern ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
extern ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size);

static uint64_t state;
static int slot[SLOTS];
static char *const heap = (char *)PLACE;
static char buf[2 * IO];

static uint64_t draw(uint64_t n)
{
	return rnd(&state) % n;
}

static int any_fd(void)
{
	return slot[draw(SLOTS + 1) % SLOTS];
}

static void put_fd(int fd)
{
	int *s = &slot[1 + draw(SLOTS - 1)];

	if (fd < 0)
		return;
	if (*s >= 0)
		close(*s);
	*s = fd;
}

static unsigned int sum_of(const char *p, long n)
{
	unsigned int sum = 1;

	for (long i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

static void say(const char *what, long ret, const char *content, long n)
{
	const int err = ret < 0 ? errno : 0;

	printf("%s %ld %d %x\n", what, ret, err, n > 0 ? sum_of(content, n) : 0);
}

static void say_read(const char *what, long ret)
{
	say(what, ret, buf, ret);
}

static off_t some_place(void)
{
	return (off_t)(draw(8) ? draw(SIZE / PAGE) * PAGE + draw(64) : draw(SIZE + 4 * PAGE));
}

/* ---- its content by the descriptor ---- */

static void do_read(void)
{
	const struct iovec piece[2] = { { buf, 100 }, { buf + 100, IO - 100 } };
	const int fd = any_fd();
	const off_t at = some_place();

	switch (draw(9)) {
	case 0:
		return say_read("read", read(fd, buf, IO));
	case 1:
		return say_read("pread", pread(fd, buf, IO, at));
	case 2:
		return say_read("readv", readv(fd, piece, 2));
	case 3:
		return say_read("preadv", preadv(fd, piece, 2, at));
	case 4:
		return say_read("preadv2", preadv2(fd, piece, 2, at, 0));
	case 5:
		return say_read("read_chk", __read_chk(fd, buf, IO, sizeof(buf)));
	case 6:
		return say_read("pread_chk", __pread_chk(fd, buf, IO, at, sizeof(buf)));
	case 7:
		return say_read("syscall read", syscall(SYS_read, fd, buf, IO));
	default:
		return say_read("syscall pread", syscall(SYS_pread64, fd, buf, IO, at));
	}
}

static void do_write(void)
{
	const struct iovec piece[2] = { { buf, 10 }, { buf + 10, 500 } };
	const int fd = any_fd();
	const off_t at = some_place();

	for (int i = 0; i < 510; i++)
		buf[i] = (char)draw(256);
	switch (draw(7)) {
	case 0:
		return say("write", write(fd, buf, 510), NULL, 0);
	case 1:
		return say("pwrite", pwrite(fd, buf, 510, at), NULL, 0);
	case 2:
		return say("writev", writev(fd, piece, 2), NULL, 0);
	case 3:
		return say("pwritev", pwritev(fd, piece, 2, at), NULL, 0);
	case 4:
		return say("pwritev2", pwritev2(fd, piece, 2, at, 0), NULL, 0);
	case 5:
		return say("dprintf", dprintf(fd, "%d %s", 17, "text"), NULL, 0);
	default:
		return say("syscall write", syscall(SYS_write, fd, buf, 510), NULL, 0);
	}
}

static void do_transfer(void)
{
	off_t at = some_place();
	off64_t at64 = at;
	int to, pipes[2];
	long n;

	if (draw(2)) {
		EXPECT(pipe(pipes) == 0);
		n = splice(any_fd(), &at64, pipes[1], NULL, PAGE, SPLICE_F_NONBLOCK);
		say("splice", n, NULL, 0);
		close(pipes[1]);
		say_read("  pipe", read(pipes[0], buf, IO));
		close(pipes[0]);
		return;
	}
	to = memfd_create("to", 0);
	EXPECT(to >= 0);
	n = draw(2) ? sendfile(to, any_fd(), &at, IO)
		    : copy_file_range(any_fd(), &at64, to, NULL, IO, 0);
	say("copy", n, NULL, 0);
	say_read("  file", pread(to, buf, IO, 0));
	close(to);
}

static void do_stream(void)
{
	const int fd = dup(any_fd());
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f)
		return say("fdopen", -1, NULL, 0);
	say_read("fread", (long)fread(buf, 1, 300, f));
	fclose(f);
}

static void do_aio(void)
{
	struct aiocb cb = { .aio_fildes = any_fd(),
			    .aio_buf = buf,
			    .aio_nbytes = 600,
			    .aio_offset = some_place() };
	const struct aiocb *list[] = { &cb };

	if (aio_read(&cb))
		return say("aio", -1, NULL, 0);
	while (aio_error(&cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	errno = aio_error(&cb);
	say_read("aio", aio_return(&cb));
}

/* ---- mappings ---- */

static void do_map(void)
{
	const size_t first = draw(SIZE / PAGE), n = 1 + draw(SIZE / PAGE - first);
	const bool read_only = draw(8) == 0;
	char *at = mmap(heap + first * PAGE, n * PAGE, PROT_READ | (read_only ? 0 : PROT_WRITE),
			(draw(8) ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, any_fd(),
			(off_t)(first * PAGE));

	say("mmap", at == MAP_FAILED ? -1 : 0, NULL, 0);
	if (at != MAP_FAILED && read_only)
		mprotect(at, n * PAGE, PROT_READ | PROT_WRITE);
}

/* Elsewhere: the kernel chooses. */
static void do_look(void)
{
	const bool is_private = draw(2);
	struct stat st;
	const int fd = any_fd();
	char *at = mmap(NULL, SIZE, PROT_READ, is_private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	size_t page = draw(SIZE / PAGE) * PAGE;

	if (at == MAP_FAILED)
		return say("look", -1, NULL, 0);
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= page + PAGE)
		say("look", is_private, at + page, PAGE);
	munmap(at, SIZE);
}

/* Within the file, whose size may be anything: a fault behind its end would end us. */
static bool reachable(size_t page)
{
	int pipes[2];
	bool yes;

	EXPECT(pipe(pipes) == 0);
	yes = write(pipes[1], heap + page, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return yes;
}

static void do_store(void)
{
	for (int i = 0; i < 64; i++) {
		const size_t page = draw(SIZE / PAGE) * PAGE;
		const uint64_t seed = draw(1000);

		if (reachable(page) && mprotect(heap + page, PAGE, PROT_READ | PROT_WRITE) == 0)
			page_fill(heap + page, page, seed);
	}
	say("store", 0, NULL, 0);
}

static void do_load(void)
{
	const size_t page = draw(SIZE / PAGE) * PAGE;

	if (reachable(page))
		say("load", 0, heap + page, PAGE);
	else
		say("load", -1, NULL, 0);
}

static void do_advise(void)
{
	static const int advice[] = { MADV_DONTNEED, MADV_WILLNEED, MADV_REMOVE };
	const size_t page = draw(SIZE / PAGE - 16) * PAGE;

	/* On a private mapping of a file MADV_REMOVE has an error of its own: backed.c. */
	if (madvise(heap + page, (1 + draw(16)) * PAGE, advice[draw(3)]) == 0)
		say("madvise", 0, NULL, 0);
}

static void do_press(void)
{
	press(16);
	say("press", 0, NULL, 0);
}

/* ---- its size and state ---- */

static void do_size(void)
{
	const int fd = any_fd();
	const off_t at = some_place();

	switch (draw(5)) {
	case 0:
		return say("ftruncate", ftruncate(fd, draw(3) ? (off_t)SIZE : at), NULL, 0);
	case 1:
		return say("fallocate", fallocate(fd, 0, at, 5 * PAGE), NULL, 0);
	case 2:
		return say("reserve", fallocate(fd, FALLOC_FL_KEEP_SIZE, at, 5 * PAGE), NULL, 0);
	case 3:
		return say("posix_fallocate", posix_fallocate(fd, at, 5 * PAGE), NULL, 0);
	default:
		return say("punch",
			   fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 9 * PAGE),
			   NULL, 0);
	}
}

static void do_stat(void)
{
	struct stat st = { 0 };
	const int ret = fstat(any_fd(), &st);

	say("fstat", ret, NULL, 0);
	printf("  size %ld mode %o links %ld\n", (long)st.st_size, (unsigned int)st.st_mode,
	       (long)st.st_nlink);
}

static void do_control(void)
{
	static const int commands[] = { F_GETFD, F_GETFL, F_GET_SEALS };
	const int fd = any_fd();

	switch (draw(12)) {
	case 0:
		return say("set fd", fcntl(fd, F_SETFD, draw(2) ? FD_CLOEXEC : 0), NULL, 0);
	case 1:
		return say("set fl", fcntl(fd, F_SETFL, draw(2) ? O_APPEND : 0), NULL, 0);
	case 2:
		return say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), NULL, 0);
	case 3:
		return say("flock", flock(fd, LOCK_EX | LOCK_NB), NULL, 0);
	case 4:
		return say("fsync", draw(2) ? fsync(fd) : fdatasync(fd), NULL, 0);
	case 5:
		return say("fadvise", posix_fadvise(fd, 0, PAGE, POSIX_FADV_WILLNEED), NULL, 0);
	case 6:
		return say("fchmod", fchmod(fd, 0600 | (draw(2) ? 01000 : 0)), NULL, 0);
	case 7:
		return say("futimens", futimens(fd, NULL), NULL, 0);
	case 8:
		return say("ioctl", ioctl(fd, draw(2) ? FIOCLEX : FIONCLEX), NULL, 0);
	case 9:
		return say("seek", lseek(fd, some_place(), SEEK_SET), NULL, 0);
	case 10:
		return say("where", lseek(fd, 0, draw(2) ? SEEK_CUR : SEEK_END), NULL, 0);
	default:
		return say("get", fcntl(fd, commands[draw(3)]), NULL, 0);
	}
}

/* ---- more descriptors of it ---- */

static int by_socket(int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int pair[2], got = -1;

	EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1)
		memcpy(&got, CMSG_DATA(&control.head), sizeof(got));
	close(pair[0]);
	close(pair[1]);
	return got;
}

static int by_name(int fd)
{
	static const int flags[] = { O_RDWR, O_RDONLY, O_RDWR | O_APPEND, O_RDWR | O_TRUNC };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags[draw(draw(4) ? 3 : 4)] | O_CLOEXEC);
}

static int by_pidfd(int fd)
{
	const int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	const int got = (int)syscall(SYS_pidfd_getfd, self, fd, 0);
	const int saved = errno;

	close(self);
	errno = saved;
	return got;
}

static void do_copy(void)
{
	const int fd = any_fd();
	int got;

	switch (draw(6)) {
	case 0:
		got = dup(fd);
		break;
	case 1:
		got = dup2(fd, 40 + (int)draw(4));
		break;
	case 2:
		got = fcntl(fd, F_DUPFD_CLOEXEC, 50);
		break;
	case 3:
		got = by_socket(fd);
		break;
	case 4:
		got = by_name(fd);
		break;
	default:
		got = by_pidfd(fd);
	}
	say("copy of the descriptor", got < 0 ? -1 : 0, NULL, 0);
	for (int i = 0; i < SLOTS; i++)
		if (got == slot[i])
			return;
	put_fd(got);
}

static void do_close(void)
{
	int *s = &slot[draw(SLOTS)];

	if (draw(2) || *s < 0)
		return;
	say("close", close(*s), NULL, 0);
	*s = -1;
}

static void do_fork(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		do_load();
		do_store();
		do_read();
		do_write();
		do_control();
		fflush(stdout);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	say("fork", status, NULL, 0);
}

/* A new one; most are as java makes them. */
static void do_begin(void)
{
	static const unsigned int flags[] = { MFD_CLOEXEC, MFD_CLOEXEC, MFD_CLOEXEC, 0,
					      MFD_CLOEXEC | MFD_ALLOW_SEALING };

	EXPECT(mmap(heap, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == heap);
	for (int i = 0; i < SLOTS; i++) {
		if (slot[i] >= 0)
			close(slot[i]);
		slot[i] = -1;
	}
	slot[0] = draw(2) ? memfd_create("heap", flags[draw(5)])
			  : (int)syscall(SYS_memfd_create, "heap", flags[draw(5)]);
	EXPECT(slot[0] >= 0 && ftruncate(slot[0], SIZE) == 0);
	if (draw(4)) {
		EXPECT(fallocate(slot[0], 0, 0, draw(2) ? SIZE : PAGE) == 0);
		EXPECT(mmap(heap, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, slot[0],
			    0) == heap);
		if (draw(2))
			area_fill(heap, SIZE / PAGE, 0, 0);
		for (int i = 0; i < 8; i++)
			do_store();
		if (draw(2))
			do_press();
	}
	say("begin", 0, NULL, 0);
}

int main(int argc, char **argv)
{
	static void (*const act[])(void) = { do_map, do_map, do_look, do_store, do_store, do_store,
					     do_load, do_load, do_load, do_load, do_press, do_size,
					     do_advise, do_stat, do_load, do_store,
					     /* Each of these ends it as a heap, or nearly. */
					     do_control, do_read, do_write, do_copy, do_fork,
					     do_close, do_stream, do_aio, do_transfer };
	const unsigned int quiet = 16, all = sizeof(act) / sizeof(act[0]);
	unsigned long calls = arg_number(argc, argv, 2, 400);

	state = arg_number(argc, argv, 1, 1);
	for (int i = 0; i < SLOTS; i++)
		slot[i] = -1;
	for (unsigned long i = 0; i < calls; i++) {
		if (i % 50 == 0)
			do_begin();
		act[draw(draw(3) ? quiet : all)]();
	}
	return 0;
}

/* memfdleave MIB PRESSURE [CASE] - everything that reaches a memfd's content past its mappings. A
 * memfd of MIB MiB is filled, and pushed out by PRESSURE MiB of other memory; then a case of its
 * own gets at the content, and every byte must be there.
 *
 * As "memfdleave exec NUMBER PAGES" it is the program that a case
 * executes, to read what it got.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

extern char **environ;

static size_t pages;
static unsigned long pressure;
static int fd;
static char *map;
static const char *self;

static void check_file(int from, const char *when)
{
	char page[PAGE];

	for (size_t i = 0; i < pages; i++) {
		EXPECT(pread(from, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong %s", i, when);
	}
}

/* Past libc: what the kernel reads. */
static void check_raw(int from, const char *when)
{
	static char page[PAGE];

	EXPECT(lseek(from, 0, SEEK_SET) == 0);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(raw_syscall(SYS_read, from, (long)page, PAGE) == (long)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong for the kernel %s", i, when);
	}
}

static int make(unsigned int flags)
{
	fd = memfd_create("leave", flags);
	EXPECT(fd >= 0 && ftruncate(fd, (off_t)(pages * PAGE)) == 0);
	map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(map != MAP_FAILED);
	area_fill(map, pages, 0, 0);
	press(pressure);
	return fd;
}

static void ends_well(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
}

/* ---- the cases ---- */

static void by_read(void)
{
	check_file(make(MFD_CLOEXEC), "as it is read");
	area_check(map, pages, 0, 0, "after it was read");
}

static void by_sendfile(void)
{
	int to = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	off_t at = 0;

	EXPECT(to >= 0);
	make(MFD_CLOEXEC);
	while (at < (off_t)(pages * PAGE))
		EXPECT(sendfile(to, fd, &at, pages * PAGE) > 0);
	check_file(to, "after sendfile");
}

static void by_copy(void)
{
	int to = memfd_create("to", MFD_CLOEXEC);
	off64_t at = 0;

	make(MFD_CLOEXEC);
	EXPECT(ftruncate(to, (off_t)(pages * PAGE)) == 0);
	while (at < (off64_t)(pages * PAGE)) {
		ssize_t got = copy_file_range(fd, &at, to, NULL, pages * PAGE, 0);

		if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP))
			return;
		EXPECT(got > 0);
	}
	check_file(to, "after copy_file_range");
}

static void by_splice(void)
{
	char page[PAGE];
	int pipes[2];

	EXPECT(pipe(pipes) == 0);
	make(MFD_CLOEXEC);
	for (size_t i = 0; i < pages; i++) {
		off64_t at = (off64_t)(i * PAGE);

		EXPECT(splice(fd, &at, pipes[1], NULL, PAGE, 0) == (ssize_t)PAGE);
		EXPECT(read(pipes[0], page, PAGE) == (ssize_t)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong after splice", i);
	}
}

static void by_private(void)
{
	char *at;

	make(MFD_CLOEXEC);
	at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	EXPECT(at != MAP_FAILED);
	area_check(at, pages, 0, 0, "in a private mapping");
	page_change(at, 0, 7);
	area_check(map, pages, 0, 0, "after a change to a private mapping");
}

static void by_reader(void)
{
	char path[64], *at;
	int only;

	make(MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	only = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(only >= 0);
	check_file(only, "through a descriptor for reading only");
	at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, only, 0);
	EXPECT(at != MAP_FAILED);
	area_check(at, pages, 0, 0, "in a mapping for reading only");
}

static void by_seal(void)
{
	char c = 1;

	make(MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
	EXPECT(ftruncate(fd, PAGE) < 0 && errno == EPERM);
	EXPECT(ftruncate(fd, (off_t)(2 * pages * PAGE)) < 0 && errno == EPERM);
	EXPECT(pwrite(fd, &c, 1, (off_t)(pages * PAGE)) < 0 && errno == EPERM);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EBUSY);
	area_check(map, pages, 0, 0, "after a seal that is refused");
	EXPECT(munmap(map, pages * PAGE) == 0);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	EXPECT(pwrite(fd, &c, 1, 0) < 0 && errno == EPERM);
	check_raw(fd, "when it is sealed");
}

static void by_socket(void)
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
	int pair[2], got;

	EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	make(MFD_CLOEXEC);
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	EXPECT(sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1);
	memcpy(&got, CMSG_DATA(&control.head), sizeof(got));
	check_raw(got, "when it came by a socket");
	area_check(map, pages, 0, 0, "after it went through a socket");
}

/* A program gets the descriptor. */
static void by_exec(void)
{
	char number[16], count[16];
	char *argv[] = { (char *)self, (char *)"exec", number, count, NULL };
	pid_t pid;

	make(0);
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(count, sizeof(count), "%zu", pages);
	EXPECT(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
	ends_well(pid);
	pid = fork();
	if (pid == 0) {
		execv(self, argv);
		_exit(9);
	}
	ends_well(pid);
	area_check(map, pages, 0, 0, "after another program has read it");
}

/* The memfd is the program; @mapped: after it was mapped for writing. */
static void execute(bool mapped)
{
	char *argv[] = { (char *)self, (char *)"none", NULL };
	char buf[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t got;
	pid_t pid;

	fd = memfd_create("program", MFD_CLOEXEC);
	EXPECT(from >= 0 && fd >= 0);
	while ((got = read(from, buf, sizeof(buf))) > 0)
		EXPECT(write(fd, buf, (size_t)got) == got);
	if (mapped) {
		EXPECT(ftruncate(fd, (off_t)(pages * PAGE)) == 0);
		map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		EXPECT(map != MAP_FAILED && !memcmp(map, "\177ELF", 4));
		area_fill(map + pages / 2 * PAGE, pages / 2, 0, 0);
	}
	press(pressure);
	pid = fork();
	if (pid == 0) {
		fexecve(fd, argv, environ);
		_exit(9);
	}
	ends_well(pid);
}

static void by_execution(void)
{
	execute(false);
	execute(true);
}

static void by_stream(void)
{
	char page[PAGE];
	FILE *f;

	f = fdopen(make(MFD_CLOEXEC), "r+");
	EXPECT(f);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(fread(page, 1, PAGE, f) == PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong in a stream", i);
	}
}

static void by_seek(void)
{
	make(MFD_CLOEXEC);
	EXPECT(lseek(fd, 0, SEEK_HOLE) == (off_t)(pages * PAGE));
	EXPECT(lseek(fd, (off_t)PAGE, SEEK_DATA) == (off_t)PAGE);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(8 * PAGE),
			 4 * PAGE) == 0);
	EXPECT(lseek(fd, 3, SEEK_HOLE) == (off_t)(8 * PAGE));
	EXPECT(lseek(fd, 0, SEEK_CUR) == (off_t)(8 * PAGE));
	EXPECT(lseek(fd, (off_t)(9 * PAGE), SEEK_DATA) == (off_t)(12 * PAGE));
	EXPECT(lseek(fd, (off_t)(9 * PAGE + 5), SEEK_HOLE) == (off_t)(9 * PAGE + 5));
	EXPECT(lseek(fd, (off_t)(pages * PAGE), SEEK_HOLE) < 0 && errno == ENXIO);
}

static void by_print(void)
{
	make(MFD_CLOEXEC);
	EXPECT(lseek(fd, (off_t)(2 * PAGE), SEEK_SET) > 0 && dprintf(fd, "%s", "text") == 4);
	EXPECT(!memcmp(map + 2 * PAGE, "text", 4));
	page_fill(map + 2 * PAGE, 2, 0);
	area_check(map, pages, 0, 0, "after something was printed into it");
}

/* Requests of a ring are made without a system call. */
static void by_ring(void)
{
	struct io_uring_params p = { 0 };
	int ring;

	make(MFD_CLOEXEC);
	ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	EXPECT(ring >= 0 || errno == ENOSYS || errno == EPERM);
	check_raw(fd, "when there is a ring");
}

/* More than fits: the call fails, and nothing else happens. */
static void by_too_much(void)
{
	int to = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	make(MFD_CLOEXEC);
	EXPECT(sendfile(to, fd, &(off_t){ 0 }, PAGE) < 0 && errno == ENOMEM);
	EXPECT(lseek(fd, 0, SEEK_HOLE) == (off_t)(pages * PAGE));
	area_check(map, pages, 0, 0, "after a call that failed");
	check_file(fd, "after a call that failed");
}

/* A child that was forked past libc, which is no client, reads by libc. */
static void by_past(void)
{
	pid_t pid;

	make(MFD_CLOEXEC);
	pid = (pid_t)raw_syscall(SYS_clone, SIGCHLD, 0, 0);
	EXPECT(pid >= 0);
	if (pid == 0) {
		check_file(fd, "in a child that was forked past libc");
		_exit(0);
	}
	ends_well(pid);
}

/* It is closed, and lives in its mapping; then in nothing: its memory is free. */
static void by_close(void)
{
	for (int i = 0; i < 16; i++) {
		make(MFD_CLOEXEC);
		EXPECT(close(fd) == 0);
		area_check(map, pages, 0, 0, "after it was closed");
		EXPECT(munmap(map, pages * PAGE) == 0);
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
	{ "read", by_read },
	{ "sendfile", by_sendfile },
	{ "copy", by_copy },
	{ "splice", by_splice },
	{ "private", by_private },
	{ "reader", by_reader },
	{ "seal", by_seal },
	{ "socket", by_socket },
	{ "exec", by_exec },
	{ "execution", by_execution },
	{ "stream", by_stream },
	{ "seek", by_seek },
	{ "past", by_past },
	{ "close", by_close },
	{ "print", by_print },
	{ "ring", by_ring },
	/* Only where it is limited, and named. */
	{ "too-much", by_too_much },
};

int main(int argc, char **argv)
{
	unsigned int n = 0;

	if (argc > 3 && !strcmp(argv[1], "exec")) {
		pages = arg_number(argc, argv, 3, 0);
		check_raw((int)arg_number(argc, argv, 2, 0), "in another program");
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "none"))
		return 0;
	pages = arg_number(argc, argv, 1, 8) * PAGES_PER_MIB;
	pressure = arg_number(argc, argv, 2, 24);
	self = realpath("/proc/self/exe", NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc > 3 ? strcmp(argv[3], cases[i].name) != 0 : cases[i].fn == by_too_much)
			continue;
		/* Each in a process of its own: it begins with nothing. */
		pid_t pid = fork();

		if (pid == 0) {
			cases[i].fn();
			_exit(0);
		}
		ends_well(pid);
		n++;
	}
	EXPECT(n > 0);
	return ok("%u ways to %zu pages", n, pages);
}

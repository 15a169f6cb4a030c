/* memfdpass MIB PRESSURE [CASE] - as memfdleave; here others get at the content: by a descriptor
 * that is passed on, by the memfd's name in /proc, by system calls past libc.
 *
 * As "memfdpass exec NUMBER PAGES" it is the program that a case executes, to read what it got; as
 * "memfdpass open PATH" one that opens a memfd of another process.
 */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>

#include "memfdcase.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

extern char **environ;

static const char *self;

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

	make(MFD_CLOEXEC);
	EXPECT(fcntl(fd, F_SETFD, 0) == 0);
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

/* The memfd is the program: written to it; or, @heap, copied into a mapping. */
static void execute(bool heap)
{
	char *argv[] = { (char *)self, (char *)"none", NULL };
	char buf[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t got;
	pid_t pid;

	EXPECT(from >= 0);
	if (heap)
		make(MFD_CLOEXEC);
	else
		fd = memfd_create("program", MFD_CLOEXEC);
	while ((got = read(from, buf, sizeof(buf))) > 0) {
		if (heap)
			memcpy(map + at, buf, (size_t)got);
		else
			EXPECT(write(fd, buf, (size_t)got) == got);
		at += (size_t)got;
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

/* Past libc, which nobody sees: content, or an error. */
static void by_instruction(void)
{
	static char page[PAGE];
	char *at;
	long got;

	make(MFD_CLOEXEC);
	got = raw_syscall(SYS_read, fd, (long)page, PAGE);
	if (got >= 0 ? got != (long)PAGE || !page_is(page, 0, 0) : errno != EBADF)
		fail("a read past libc gave %ld (errno %d)", got, errno);
	at = (char *)raw_syscall6(SYS_mmap, 0, (long)(pages * PAGE), PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		EXPECT(errno == EBADF);
	else
		area_check(at, pages, 0, 0, "in a mapping past libc");
}

/* Copies that were made past libc before it was mapped: a descriptor, and a mapping. */
static void by_early(void)
{
	const size_t bytes = pages * PAGE;
	char *at, *place;
	int copy = -1;

	for (int i = 0; i < 2; i++) {
		place = map_bytes(bytes);
		fd = memfd_create("early", MFD_CLOEXEC);
		EXPECT(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
		if (i == 0)
			copy = (int)raw_syscall(SYS_dup, fd, 0, 0);
		at = i == 0 ? NULL
			    : (char *)raw_syscall6(SYS_mmap, 0, (long)bytes, PROT_READ, MAP_SHARED,
						   fd, 0);
		EXPECT(at != MAP_FAILED && copy >= 0);
		map = mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		EXPECT(map == place);
		area_fill(map, pages, 0, 0);
		press(pressure);
		if (i == 0)
			check_raw(copy, "by a copy made past libc");
		else
			area_check(at, pages, 0, 0, "in a mapping made past libc");
		EXPECT(munmap(map, bytes) == 0 && close(fd) == 0 && close(copy) == (i ? -1 : 0));
	}
}

/* Past libc, by its name: whoever opens it gets its content. */
static void by_name(void)
{
	char path[64];
	pid_t pid;

	make(MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	pid = (pid_t)raw_syscall(SYS_clone, SIGCHLD, 0, 0);
	EXPECT(pid >= 0);
	if (pid == 0) {
		int again = (int)raw_syscall6(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0);

		EXPECT(again >= 0);
		check_raw(again, "by its name");
		_exit(0);
	}
	ends_well(pid);
	area_check(map, pages, 0, 0, "after it was opened by its name");
	check_file(fd, "after it was opened by its name");
}

static void by_stdin(void)
{
	char page[PAGE];

	EXPECT(dup2(make(MFD_CLOEXEC), STDIN_FILENO) == STDIN_FILENO);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(fread(page, 1, PAGE, stdin) == PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong in standard input", i);
	}
}

static void by_spawn(void)
{
	char count[16];
	char *argv[] = { (char *)self, (char *)"exec", (char *)"5", count, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	make(MFD_CLOEXEC);
	snprintf(count, sizeof(count), "%zu", pages);
	EXPECT(posix_spawn_file_actions_init(&actions) == 0 &&
	       posix_spawn_file_actions_adddup2(&actions, fd, 5) == 0 &&
	       posix_spawn(&pid, self, &actions, NULL, argv, environ) == 0);
	ends_well(pid);
}

static void by_pidfd(void)
{
	const pid_t self_pid = getpid();
	pid_t pid;

	make(MFD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		int pidfd = (int)syscall(SYS_pidfd_open, self_pid, 0),
		    got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

		EXPECT(pidfd >= 0 && got >= 0);
		check_raw(got, "when it was taken from its process");
		_exit(0);
	}
	ends_well(pid);
	check_file(fd, "after it was taken from its process");
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

/* Another process opens it: the one that has it must not go on. */
static int outside(unsigned long mib, unsigned long pressed)
{
	char path[64];
	char *argv[] = { (char *)self, (char *)"open", path, NULL };
	int ready[2], status;
	pid_t pid, opener;

	pages = mib * PAGES_PER_MIB;
	pressure = pressed;
	EXPECT(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		make(MFD_CLOEXEC);
		EXPECT(write(ready[1], &fd, sizeof(fd)) == sizeof(fd));
		for (;;)
			pause();
	}
	EXPECT(read(ready[0], &fd, sizeof(fd)) == sizeof(fd));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	EXPECT(posix_spawn(&opener, self, NULL, NULL, argv, environ) == 0);
	ends_well(opener);
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return ok("it is killed");
}

static int open_other(const char *path)
{
	char c;
	int other = open(path, O_RDONLY | O_CLOEXEC);

	EXPECT(other >= 0);
	printf("opened, and read %zd\n", pread(other, &c, 1, PAGE));
	return 0;
}

static const struct memfd_case cases[] = {
	{ "socket", by_socket, false },       { "exec", by_exec, false },
	{ "execution", by_execution, false }, { "instruction", by_instruction, false },
	{ "early", by_early, false },         { "name", by_name, false },
	{ "stdin", by_stdin, false },         { "spawn", by_spawn, false },
	{ "pidfd", by_pidfd, false },         { "past", by_past, false },
};

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "exec")) {
		pages = arg_number(argc, argv, 3, 0);
		check_raw((int)arg_number(argc, argv, 2, 0), "in another program");
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "none"))
		return 0;
	if (argc > 2 && !strcmp(argv[1], "open"))
		return open_other(argv[2]);
	self = realpath("/proc/self/exe", NULL);
	if (argc > 3 && !strcmp(argv[3], "outside"))
		return outside(arg_number(argc, argv, 1, 16), arg_number(argc, argv, 2, 8));
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

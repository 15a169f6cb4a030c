/* tests/native/prog/usercalls.c - system calls on memory in every state: prints what each returns
 * and leaves, so that two runs can be compared.
 *
 * usercalls           every call of the list with its buffers resident, missing, half missing,
 *                     read-only, unmapped and without access: a line each
 *
 * Missing is what was never touched or has been dropped (MADV_DONTNEED): a hole like a page that is
 * in swap, but one that can be made at will.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usercalls.h"

enum state { RESIDENT, MISSING, HALF, READ_ONLY, UNMAPPED, NO_ACCESS, NR_STATES };
static const char *const state_names[] = { "resident",  "missing",  "half",
					   "read-only", "unmapped", "no-access" };

char *map[NR_BUFFERS], *p[NR_BUFFERS];
int file_fd, pipe_fd[2], pair_fd[2], dgram_fd[2], event_fd, epoll_fd, dir_fd;
const char path[15] = "usercalls.file";

/* ---- one test ---- */

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void make_buffers(void)
{
	for (int i = 0; i < NR_BUFFERS; i++) {
		map[i] = mmap((void *)(0x200000000000 + i * 0x10000000l), BYTES + PAGE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		must(map[i] != MAP_FAILED, "mmap");
		p[i] = map[i] + PAGE - BEFORE;
	}
}

static void set_state(enum state s)
{
	for (int i = 0; i < NR_BUFFERS; i++) {
		switch (s) {
		case RESIDENT:
			break;
		case MISSING:
			must(!madvise(map[i], BYTES + PAGE, MADV_DONTNEED), "madvise");
			break;
		case HALF:
			must(!madvise(map[i] + PAGE, BYTES, MADV_DONTNEED), "madvise");
			break;
		case READ_ONLY:
			must(!mprotect(map[i], BYTES + PAGE, PROT_READ), "mprotect");
			break;
		case UNMAPPED:
			must(!munmap(map[i] + PAGE, BYTES), "munmap");
			break;
		default:
			must(!mprotect(map[i] + PAGE, BYTES, PROT_NONE), "mprotect");
		}
	}
}

static void drop_buffers(void)
{
	for (int i = 0; i < NR_BUFFERS; i++)
		munmap(map[i], BYTES + PAGE);
}

static uint64_t sum_of(const char *at, size_t n, uint64_t sum)
{
	while (n--)
		sum = (sum ^ (unsigned char)*at++) * 0x100000001b3;
	return sum;
}

static uint64_t sum_buffers(void)
{
	uint64_t sum = 0xcbf29ce484222325;

	for (int i = 0; i < NR_BUFFERS; i++)
		if (!mprotect(map[i], BYTES + PAGE, PROT_READ))
			sum = sum_of(map[i], BYTES + PAGE, sum);
		else
			sum = sum_of(map[i], PAGE, sum);
	return sum;
}

static void open_all(void)
{
	static char data[FILE_BYTES];
	uint64_t one = 1;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	file_fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(file_fd >= 0 && write(file_fd, data, sizeof data) == sizeof data, path);
	must(lseek(file_fd, 0, SEEK_SET) == 0, "lseek");
	must(!pipe2(pipe_fd, O_NONBLOCK), "pipe");
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair_fd), "socketpair");
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram_fd), "socketpair");
	must(write(pair_fd[1], data, 7000) == 7000, "write");
	event_fd = eventfd(1, EFD_NONBLOCK);
	must(event_fd >= 0 && write(event_fd, &one, 8) == 8, "eventfd");
	epoll_fd = epoll_create1(0);
	must(epoll_fd >= 0 && !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair_fd[0],
					 &(struct epoll_event){ .events = EPOLLIN }),
	     "epoll");
	dir_fd = open("/", O_RDONLY | O_DIRECTORY);
	must(dir_fd >= 0, "/");
}

/* What went out: the file, and how much waits in the others. */
static uint64_t sum_files(void)
{
	static char back[2 * FILE_BYTES];
	ssize_t n = pread(file_fd, back, sizeof back, 0),
		m = read(pipe_fd[0], back + FILE_BYTES, 70000);
	uint64_t sum = sum_of(back, n > 0 ? (size_t)n : 0, 1);
	ssize_t k = recv(pair_fd[0], back, sizeof back, MSG_DONTWAIT);
	ssize_t j = recv(dgram_fd[0], back, sizeof back, MSG_DONTWAIT);

	sum = sum_of(back + FILE_BYTES, m > 0 ? (size_t)m : 0, sum);
	return sum ^ (uint64_t)k << 32 ^ (uint64_t)j << 8 ^ (uint64_t)m;
}

static void run_one(const struct test *t, enum state s)
{
	long ret, offset;
	pid_t child;
	int status;

	fflush(stdout);
	child = fork(); /* each finds the same descriptors, signals and limits */
	must(child >= 0, "fork");
	if (child) {
		must(waitpid(child, &status, 0) == child, "waitpid");
		if (status)
			printf("%s: %s: ended with %x\n", t->name, state_names[s], status);
		return;
	}
	open_all();
	make_buffers();
	for (int i = 0; i < NR_BUFFERS; i++)
		memset(map[i], 0x41 + i, BYTES + PAGE);
	if (t->fill) {
		for (int i = 0; i < NR_BUFFERS; i++)
			memset(map[i], 0, 3 * PAGE);
		t->fill();
	}
	set_state(s);
	ret = t->run();
	offset = lseek(file_fd, 0, SEEK_CUR);
	printf("%s: %s: %ld at %ld", t->name, state_names[s], ret, offset);
	if (!(t->flags & UNKNOWN))
		printf(" %016llx", (unsigned long long)sum_buffers());
	printf(" %016llx\n", (unsigned long long)sum_files());
	fflush(stdout);
	drop_buffers();
	_exit(0);
}

int main(void)
{
	for (size_t i = 0; i < nr_tests; i++)
		for (int s = 0; s < NR_STATES; s++)
			run_one(&tests[i], (enum state)s);
	unlink(path);
	return 0;
}

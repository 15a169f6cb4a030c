/* tests/native/prog/debugger.c - debugger [MIB]
 *
 * A debugger and the program it traces, from its first instruction on and with every thread it
 * makes. Stopped, the program has MIB of memory; the debugger needs as much itself then, without
 * letting any thread go on. It reads all of the program's memory and changes each page, by
 * ptrace(2) and by /proc/PID/mem, in each way there is, and lets the program look.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#define CHUNK 16 /* pages */

/* The program. It stops itself twice: with its memory filled, and changed. */
static int traced(int fd, size_t n)
{
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	EXPECT(write(fd, &area, sizeof(area)) == sizeof(area));
	raise(SIGSTOP);
	area_check(area, n, 0, 2, "in the program that was changed");
	return 0;
}

static pid_t start(char **argv, int fd, size_t n)
{
	char where[16], pages[32];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		snprintf(where, sizeof(where), "%d", fd);
		snprintf(pages, sizeof(pages), "%zu", n);
		EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		raise(SIGSTOP);
		execl("/proc/self/exe", argv[0], "traced", where, pages, NULL);
		_exit(127);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL,
		      (void *)(PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) ==
	       0);
	return pid;
}

/* From system call to system call, all of them, until @pid stops itself or ends: its status. */
static int follow(pid_t pid)
{
	EXPECT(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
	for (;;) {
		int status, sig;
		pid_t who = waitpid(-1, &status, __WALL);

		EXPECT(who > 0);
		if (who == pid && (!WIFSTOPPED(status) || status >> 8 == SIGSTOP))
			return status;
		if (!WIFSTOPPED(status))
			continue;
		sig = WSTOPSIG(status);
		sig = status >> 16 || sig == (SIGTRAP | 0x80) || sig == SIGTRAP || sig == SIGSTOP
			      ? 0
			      : sig;
		(void)ptrace(PTRACE_SYSCALL, who, NULL, (void *)(long)sig);
	}
}

static int open_memory(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	EXPECT(fd >= 0);
	return fd;
}

static void by_words(pid_t pid, char *area, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++) {
		const uint64_t head = pattern_head(i, 0), changed = pattern_head(i, 2);
		char *last = area + (i + 1) * PAGE - sizeof(long);

		errno = 0;
		EXPECT((uint64_t)ptrace(PTRACE_PEEKDATA, pid, area + i * PAGE, NULL) == head &&
		       !errno);
		EXPECT((uint64_t)ptrace(PTRACE_PEEKDATA, pid, last, NULL) == ~head && !errno);
		EXPECT(ptrace(PTRACE_POKEDATA, pid, area + i * PAGE, (void *)changed) == 0);
		EXPECT(ptrace(PTRACE_POKEDATA, pid, last, (void *)~changed) == 0);
	}
}

static void by_position(int fd, char *area, size_t first, size_t n)
{
	static char page[PAGE];

	for (size_t i = first; i < first + n; i++) {
		EXPECT(lseek(fd, (off_t)(uintptr_t)area + (off_t)(i * PAGE), SEEK_SET) > 0);
		EXPECT(read(fd, page, PAGE) == PAGE && page_is(page, i, 0));
		page_change(page, i, 2);
		EXPECT(lseek(fd, -(off_t)PAGE, SEEK_CUR) > 0);
		EXPECT(write(fd, page, PAGE) == PAGE);
	}
}

static void by_offset(int fd, char *area, size_t first, size_t n)
{
	static char pages[CHUNK * PAGE];

	for (size_t i = first; i + CHUNK <= first + n; i += CHUNK) {
		off_t at = (off_t)(uintptr_t)area + (off_t)(i * PAGE);

		EXPECT(pread(fd, pages, sizeof(pages), at) == sizeof(pages));
		area_check(pages, CHUNK, i, 0, "read from the program");
		for (size_t k = 0; k < CHUNK; k++)
			page_change(pages + k * PAGE, i + k, 2);
		EXPECT(pwrite(fd, pages, sizeof(pages), at) == sizeof(pages));
	}
}

/* Pieces of different sizes, the first pages of which the call may get, and the others not. */
static void by_pieces(int fd, char *area, size_t first, size_t n)
{
	static char pages[CHUNK * PAGE];
	const struct iovec piece[] = {
		{ pages, PAGE / 2 },
		{ pages + PAGE / 2, 0 },
		{ pages + PAGE / 2, 3 * PAGE },
		{ pages + 7 * PAGE / 2, (CHUNK - 4) * PAGE },
		{ pages + CHUNK * PAGE - PAGE / 2, PAGE / 2 },
	};

	for (size_t i = first; i + CHUNK <= first + n; i += CHUNK) {
		off_t at = (off_t)(uintptr_t)area + (off_t)(i * PAGE);

		memset(pages, 0, sizeof(pages));
		EXPECT(preadv(fd, piece, 5, at) == sizeof(pages));
		area_check(pages, CHUNK, i, 0, "read from the program in pieces");
		for (size_t k = 0; k < CHUNK; k++)
			page_change(pages + k * PAGE, i + k, 2);
		EXPECT(pwritev(fd, piece, 5, at) == sizeof(pages));
	}
}

/* By syscall(2), whose PTRACE_PEEKDATA stores the word. */
static void by_raw_calls(pid_t pid, int fd, char *area, size_t first, size_t n)
{
	static char page[PAGE];
	uint64_t word;

	for (size_t i = first; i < first + n; i++) {
		char *at = area + i * PAGE;

		EXPECT(syscall(SYS_ptrace, (long)PTRACE_PEEKDATA, (long)pid, at, &word) == 0);
		EXPECT(word == pattern_head(i, 0));
		EXPECT(syscall(SYS_pread64, (long)fd, page, PAGE, at) == PAGE &&
		       page_is(page, i, 0));
		page_change(page, i, 2);
		EXPECT(syscall(SYS_pwrite64, (long)fd, page, PAGE, at) == PAGE);
	}
	errno = 0;
	EXPECT(syscall(SYS_ptrace, (long)PTRACE_PEEKDATA, (long)pid, (void *)8, &word) == -1 &&
	       errno == EIO);
}

/* A thread of umemcg's, where there is one, cannot be attached to. */
static void attach_to_all(pid_t pid)
{
	char path[64], name[32] = "";
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	EXPECT(d);
	while ((e = readdir(d))) {
		pid_t tid = atoi(e->d_name);
		int fd;

		if (tid <= 0 || tid == pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		EXPECT(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
		close(fd);
		EXPECT(!strncmp(name, "umemcg-helper", 13));
		EXPECT(ptrace(PTRACE_SEIZE, tid, NULL, NULL) == -1 && errno == ESRCH);
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	size_t mib, n;
	int fds[2], memory, status;
	char *area;
	pid_t pid;

	if (argc == 4 && !strcmp(argv[1], "traced"))
		return traced(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	mib = arg_number(argc, argv, 1, 48);
	n = mib * PAGES_PER_MIB / (8 * CHUNK) * (8 * CHUNK);
	EXPECT(pipe(fds) == 0);
	pid = start(argv, fds[1], n);
	status = follow(pid);
	EXPECT(WIFSTOPPED(status));
	EXPECT(read(fds[0], &area, sizeof(area)) == sizeof(area));
	press(mib);
	attach_to_all(pid);
	memory = open_memory(pid);
	by_words(pid, area, 0, n / 4);
	by_position(memory, area, n / 4, n / 4);
	by_offset(memory, area, n / 2, n / 4);
	by_pieces(memory, area, 3 * n / 4, n / 8);
	by_raw_calls(pid, memory, area, 7 * n / 8, n / 8);
	press(mib);
	status = follow(pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return ok("%zu pages of another process", n);
}

/* tests/agent/entry_calls.c - see entry_calls.h. Usage: entry_calls GROUP [ROUNDS]: the last of so
 * many rounds speaks. After some, instructions that are used often have become jumps.
 */
#include "entry_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool quiet;

void say(const char *format, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (quiet)
		return;
	va_start(ap, format);
	n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (write(1, text, (size_t)n) != n)
		_exit(3);
}

void say_result(const char *what, long result)
{
	int err = errno;

	if (result == -1)
		say("%s: -1, %s\n", what, strerrorname_np(err));
	else
		say("%s: %ld\n", what, result);
}

void say_end(const char *what, int pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, __WALL) != pid)
		say_result(what, -1);
	else if (WIFSIGNALED(status))
		say("%s: signal %d\n", what, WTERMSIG(status));
	else
		say("%s: exit %d\n", what, WEXITSTATUS(status));
}

static void files(void)
{
	char buf[64] = { 0 };
	struct iovec v[2] = { { buf, 5 }, { buf + 5, 6 } };
	struct stat st;
	int p[2], fd = memfd_create("x", 0), copy;
	char *mapped;

	say_result("write", write(fd, "hello, world", 12));
	say_result("pread", pread(fd, buf, 5, 7));
	say("%s\n", buf);
	say_result("lseek", lseek(fd, 1, SEEK_SET));
	say_result("readv", readv(fd, v, 2));
	say("%s\n", buf);
	say_result("pwritev", pwritev(fd, v, 2, 3));
	say_result("fstat", fstat(fd, &st));
	say("size %ld\n", (long)st.st_size);
	say_result("ftruncate", ftruncate(fd, 3));
	say_result("read at the end", pread(fd, buf, 9, 3));
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	say_result("dup", copy);
	say_result("close", close(copy));
	say_result("close again", close(copy));
	say_result("pipe", pipe2(p, O_NONBLOCK));
	say_result("read empty", read(p[0], buf, 1));
	say_result("write pipe", write(p[1], buf, 64));
	say_result("fallocate", fallocate(fd, 0, 4096, 4096));
	say_result("pwrite", pwrite(fd, "second page", 11, 4096));
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
	say("mapped: %s\n", mapped == MAP_FAILED ? "no" : mapped);
	munmap(mapped, 4096);
	say_result("splice", splice(p[0], NULL, fd, NULL, 64, 0));
	say_result("open", open("/nonexistent/file", O_RDONLY));
	say_result("openat", openat(AT_FDCWD, "/dev/null", O_RDONLY | O_DIRECTORY));
	close(p[0]);
	close(p[1]);
	close(fd);
}

static void others(void)
{
	struct timespec ts = { 0, 1000 };
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 77 }, got;
	int s[2], ep = epoll_create1(0), ev = eventfd(3, EFD_NONBLOCK);
	uint64_t value = 0;
	char text[8] = { 0 };

	say_result("getppid twice", getppid() - getppid());
	say_result("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e));
	say_result("epoll_wait", epoll_wait(ep, &got, 1, 0));
	say_result("read event", read(ev, &value, 8));
	say("event %lu, data %lu\n", (unsigned long)value, (unsigned long)got.data.u64);
	say_result("epoll_pwait", epoll_pwait(ep, &got, 1, 0, NULL));
	say_result("nanosleep", nanosleep(&ts, NULL));
	say_result("clock", clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL));
	say_result("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	say_result("sendto", sendto(s[0], "packet", 6, 0, NULL, 0));
	say_result("recvfrom", recvfrom(s[1], text, 8, 0, NULL, NULL));
	say("%s\n", text);
	say_result("sched_yield", sched_yield());
	say_result("no such call", syscall(1000, 1, 2, 3));
	say_result("mincore", syscall(SYS_mincore, 1, 1, NULL));
	say_result("kill", kill(-2147483647, 0));
	say_result("umask", umask(umask(027)) == 027);
	say_result("futex", syscall(SYS_futex, &s[0], 0 /* WAIT */, s[0] + 1, NULL, NULL, 0));
	close(s[0]);
	close(s[1]);
	close(ep);
	close(ev);
}

/* The 32-bit way in, of a 64-bit program. */
static void old_instruction(void)
{
	long nr = 20; /* getpid */

	__asm__ volatile("int $0x80" : "+a"(nr) : : "r8", "r9", "r10", "r11", "memory");
	say("int 0x80: %d\n", nr == getpid());
}

void plain_calls(void)
{
	files();
	others();
	old_instruction();
}

void bad_pointers(void)
{
	char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct {
		void *at;
		size_t size;
	} packed = { none, 8 };
	int fd = open("/dev/zero", O_RDONLY), bad = 4;

	say_result("read", read(fd, none, 4));
	say_result("sigaction", syscall(SYS_rt_sigaction, SIGUSR1, none, NULL, 8));
	say_result("old sigaction", syscall(SYS_rt_sigaction, SIGUSR1, NULL, none, 8));
	say_result("sigaction of no signal", syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
	say_result("sigaction of SIGKILL", syscall(SYS_rt_sigaction, SIGKILL, &packed, NULL, 8));
	say_result("its size", syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
	say_result("sigprocmask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, none, NULL, 8));
	say_result("old mask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, none, 8));
	say_result("its way", syscall(SYS_rt_sigprocmask, 9, &packed, NULL, 8));
	say_result("its size", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &packed, NULL, 4));
	say_result("sigaltstack", syscall(SYS_sigaltstack, none, NULL));
	say_result("old stack", syscall(SYS_sigaltstack, NULL, none));
	say_result("ppoll", syscall(SYS_ppoll, NULL, 0, none, NULL, 8));
	say_result("ppoll mask", syscall(SYS_ppoll, NULL, 0, NULL, none, 8));
	say_result("pselect", syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, none));
	say_result("pselect mask", syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &packed));
	say_result("sigsuspend", syscall(SYS_rt_sigsuspend, none, 8));
	say_result("clone3", syscall(SYS_clone3, none, 88));
	say_result("clone3, short", syscall(SYS_clone3, &packed, 8));
	say_result("far", syscall(SYS_rt_sigprocmask, SIG_BLOCK, -4096l, NULL, 8));
	say_result("not canonical", syscall(SYS_sigaltstack, 1l << 60, NULL));
	close(fd);
	munmap(none, 4096);
	(void)bad;
}

/* Is there another handler of SIGSYS than ours? Signals that are caught: the kernel's own list. */
static bool is_taken_over(void)
{
	char line[256];
	unsigned long caught = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "SigCgt: %lx", &caught);
	if (f)
		fclose(f);
	return caught >> (SIGSYS - 1) & 1;
}

static void possible(void)
{
	say("%s\n",
	    syscall(SYS_prctl, 59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0) ? "no" : "yes");
}

static void active(void)
{
	say("%s\n", is_taken_over() ? "goes through" : "does not");
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* The least of several times: load does not make it smaller. */
static double least(void (*call)(void), int n)
{
	double best = 1e18, t;

	for (int k = 0; k < 20; k++) {
		t = cpu_ns();
		for (int i = 0; i < n; i++)
			call();
		t = (cpu_ns() - t) / n;
		best = t < best ? t : best;
	}
	return best;
}

static int ends[2];

static void by_number(void)
{
	getppid();
}

static void by_comparison(void)
{
	char c;

	(void)!read(ends[0], &c, 1);
}

/* No form of patch.c: it is dispatched each time. */
static void neither(void)
{
	long nr = SYS_getppid;

	__asm__ volatile("nop\n\tsyscall\n\tnop\n\tnop" : "+a"(nr) : : "rcx", "r11", "memory");
}

static void jumps(void)
{
	double a, b, c;

	if (pipe2(ends, O_NONBLOCK))
		exit(1);
	a = least(by_number, 200);
	b = least(by_comparison, 200);
	c = least(neither, 200);
	if (a > c / 3 || b > c / 3) {
		say("by number %.0f ns, by comparison %.0f ns, dispatched %.0f ns\n", a, b, c);
		exit(1);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "calls", plain_calls },   { "pointers", bad_pointers }, { "registers", registers },
	{ "actions", actions },     { "masks", masks },           { "frames", frames },
	{ "faults", faults },       { "stacks", stacks },         { "waits", waits },
	{ "threads", threads_run }, { "cancelled", cancelled },   { "processes", processes },
	{ "executes", executes },   { "active", active },         { "possible", possible },
	{ "storm", storm },         { "jumps", jumps },
};

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 1;
	size_t i;

	for (i = 0; argc > 1 && i < sizeof groups / sizeof groups[0]; i++) {
		if (strcmp(groups[i].name, argv[1]))
			continue;
		for (int k = 0; k < rounds; k++) {
			quiet = k < rounds - 1;
			groups[i].run();
		}
		return 0;
	}
	fprintf(stderr, "usage: entry_calls GROUP [ROUNDS]\n");
	return 2;
}

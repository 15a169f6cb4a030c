/* tests/native/prog/reporter.c - reporter MIB [fork|vm] [attach|seize] [ROUNDS]
 *
 * A crash reporter's work: fill memory; a child attaches to every thread of its parent that /proc
 * shows, by system calls of its own, reads all of the memory, and lets the threads go. The child is
 * a fork, or shares the memory (clone(CLONE_VM), as LeakSanitizer's). Threads that cannot be
 * attached to are passed over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#define TIDS_MAX 64
#define STACK    (256 << 10)
#define CHUNK    (1ul << 20)

static struct {
	pid_t victim;
	char *area;
	size_t pages;
	bool vm, seize;
} job;

/* By a call of our own, past libc. */
static long trace(long request, pid_t tid)
{
	long ret;

#if defined(__x86_64__)
	register long data __asm__("r10") = 0;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"((long)SYS_ptrace), "D"(request), "S"((long)tid), "d"(0l), "r"(data)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_ptrace, x0 __asm__("x0") = request,
			 x1 __asm__("x1") = tid;
	register long x2 __asm__("x2") = 0, x3 __asm__("x3") = 0;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	ret = x0;
#endif
	return ret;
}

/* As the kernel lists them, and not libc, of which a crash reporter uses nothing either. */
static int list_threads(pid_t tid[TIDS_MAX])
{
	static _Alignas(struct dirent64) char entries[4096];
	char path[64];
	int n = 0, fd;
	long got;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)job.victim);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EXPECT(fd >= 0);
	while ((got = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
		for (long at = 0; at < got;) {
			const struct dirent64 *e = (const void *)(entries + at);

			if (e->d_name[0] != '.' && n < TIDS_MAX)
				tid[n++] = (pid_t)strtol(e->d_name, NULL, 10);
			at += e->d_reclen;
		}
	EXPECT(got == 0 && close(fd) == 0);
	return n;
}

/* How many of @n were stopped; they come first then. */
static int stop_threads(pid_t *tid, int n)
{
	int stopped = 0, status;

	for (int i = 0; i < n; i++) {
		if (trace(job.seize ? PTRACE_SEIZE : PTRACE_ATTACH, tid[i]) != 0)
			continue;
		EXPECT(!job.seize || trace(PTRACE_INTERRUPT, tid[i]) == 0);
		EXPECT(waitpid(tid[i], &status, __WALL) == tid[i] && WIFSTOPPED(status));
		tid[stopped++] = tid[i];
	}
	return stopped;
}

static void read_page(char *to, size_t i)
{
	struct iovec local = { to, PAGE }, remote = { job.area + i * PAGE, PAGE };

	if (job.vm)
		memcpy(to, job.area + i * PAGE, PAGE);
	else
		EXPECT(process_vm_readv(job.victim, &local, 1, &remote, 1, 0) == (ssize_t)PAGE);
}

static int report(void *arg)
{
	static char page[PAGE];
	pid_t tid[TIDS_MAX];
	int n = stop_threads(tid, list_threads(tid));

	(void)arg;
	EXPECT(n >= 2);
	for (size_t i = 0; i < job.pages; i++) {
		read_page(page, i);
		if (!page_is(page, i, 1))
			fail("page %zu of %zu is wrong", i, job.pages);
	}
	for (int i = 0; i < n; i++)
		EXPECT(trace(PTRACE_DETACH, tid[i]) == 0);
	_exit(0);
}

static void *sleep_on(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void one_report(void)
{
	char *stack = map_bytes(STACK);
	pid_t child = job.vm ? clone(report, stack + STACK,
				     CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, NULL)
			     : fork();
	int status;

	EXPECT(child >= 0);
	if (!child)
		report(NULL);
	while (waitpid(child, &status, __WALL) < 0)
		EXPECT(errno == EINTR);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	munmap(stack, STACK);
}

int main(int argc, char **argv)
{
	unsigned long rounds = arg_number(argc, argv, 4, 1);
	pthread_t thread;

	job.pages = arg_number(argc, argv, 1, 16) * PAGES_PER_MIB;
	job.vm = argc > 2 && !strcmp(argv[2], "vm");
	job.seize = argc > 3 && !strcmp(argv[3], "seize");
	job.victim = getpid();
	job.area = map_bytes(job.pages * PAGE);
	EXPECT(pthread_create(&thread, NULL, sleep_on, NULL) == 0);
	(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	for (size_t i = 0; i < job.pages; i++)
		page_fill(job.area + i * PAGE, i, 1);
	for (unsigned long r = 0; r < rounds; r++)
		one_report();
	return ok("%lu reports of %zu pages", rounds, job.pages);
}

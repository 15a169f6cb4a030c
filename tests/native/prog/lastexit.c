/* tests/native/prog/lastexit.c - lastexit HOW [MIB]
 *
 * A process that ends without exit_group, as its last thread ends, by HOW: "raw" (syscall(2)),
 * "inline" (a system call past libc), "int80" (one of 32 bits), "strict" (strict seccomp kills the
 * thread), "filter" (a filter does); with status 7 or that signal. "later": the main thread ends
 * first, and another uses more memory than the limit and ends last. "forks": children end in each
 * of these ways, and their parent hears how; "vm": children that share its memory. Output says what
 * was done first.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define CODE        7
#define STACK_BYTES (64ul << 10)

static size_t mib;

static void no_core(void)
{
	const struct rlimit none = { 0, 0 };

	EXPECT(setrlimit(RLIMIT_CORE, &none) == 0);
}

/* This thread is killed when it asks for its parent's number. */
static void by_filter(void)
{
	struct sock_filter line[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(line) / sizeof(line[0]), line };

	no_core();
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
	raw_syscall(SYS_getppid, 0, 0, 0);
}

static void by_strict(void)
{
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	raw_syscall(SYS_getppid, 0, 0, 0);
}

static void by_int80(void)
{
#if defined(__x86_64__)
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(1L), "b"((long)CODE) : "memory");
#endif
	raw_syscall(SYS_exit, CODE, 0, 0);
}

static void *use_and_end(void *unused)
{
	const size_t n = mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	(void)unused;
	/* The main thread is over by now, as far as another thread can make sure. */
	usleep(50000);
	for (size_t i = 0; i < n; i++)
		page_fill(area + i * PAGE, i, 1);
	area_check(area, n, 0, 1, "after the main thread has ended");
	ok("later");
	raw_syscall(SYS_exit, CODE, 0, 0);
	return NULL;
}

static void by_thread(void)
{
	pthread_t t;

	EXPECT(pthread_create(&t, NULL, use_and_end, NULL) == 0);
	raw_syscall(SYS_exit, CODE, 0, 0);
}

static const char *const ways[] = { "raw", "inline", "int80", "strict", "filter", "later" };
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

static void end_by(const char *how)
{
	if (!strcmp(how, "raw"))
		syscall(SYS_exit, CODE);
	else if (!strcmp(how, "inline"))
		raw_syscall(SYS_exit, CODE, 0, 0);
	else if (!strcmp(how, "int80"))
		by_int80();
	else if (!strcmp(how, "strict"))
		by_strict();
	else if (!strcmp(how, "filter"))
		by_filter();
	else if (!strcmp(how, "later"))
		by_thread();
	fail("%s does not end it", how);
}

static int end_by_way(void *way)
{
	end_by(way);
	return 1;
}

static void wait_and_tell(const char *how, pid_t pid)
{
	int status;

	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	ok("%s: exit %d, signal %d", how, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	   WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void by_forks(void)
{
	for (size_t i = 0; i < NR_WAYS; i++) {
		pid_t pid = fork();

		if (!pid)
			end_by(ways[i]);
		wait_and_tell(ways[i], pid);
	}
}

/* "later" would have a thread made by pthread_create in a process that libc does not know. */
static void by_clones(void)
{
	for (size_t i = 0; i < NR_WAYS - 1; i++)
		wait_and_tell(ways[i], clone(end_by_way, map_bytes(STACK_BYTES) + STACK_BYTES,
					     CLONE_VM | SIGCHLD, (void *)(uintptr_t)ways[i]));
}

int main(int argc, char **argv)
{
	if (argc < 2)
		fail("usage: lastexit HOW [MIB]");
	mib = arg_number(argc, argv, 2, 1);
	if (!strcmp(argv[1], "forks"))
		by_forks();
	else if (!strcmp(argv[1], "vm"))
		by_clones();
	else
		end_by(argv[1]);
	return 0;
}

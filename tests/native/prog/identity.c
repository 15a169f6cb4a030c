/* tests/native/prog/identity.c - identity MIB STEPS
 *
 * A process that changes what it is, and checks its memory, and a child's, after each step:
 *     c  close every descriptor from 3 on     C  the same by a raw system call
 *     d  become a daemon: two forks, a session of its own
 *     r  chroot to /tmp                        u  become nobody
 *     t  go on in a second thread, the first one ends
 *     e  execute itself, with the steps that are left
 */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static size_t n;
static char **args;

static void verify(uint64_t id)
{
	char *area = map_bytes(n * PAGE);
	int status;
	pid_t pid;

	area_fill(area, n, id, 0);
	area_check(area, n, id, 0, "in its own process");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area_check(area, n, id, 0, "in a child");
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
	EXPECT(munmap(area, n * PAGE) == 0);
}

/* The first process waits for the last one and ends as it did; the pipe is where no step closes
 * it. */
static void become_daemon(void)
{
	char result = 1;
	int p[2];

	EXPECT(pipe2(p, O_CLOEXEC) == 0);
	if (fork()) {
		close(p[1]);
		if (read(p[0], &result, 1) != 1)
			result = 1;
		_exit(result);
	}
	EXPECT(dup2(p[1], STDIN_FILENO) == STDIN_FILENO);
	EXPECT(setsid() > 0);
	if (fork())
		_exit(0);
	EXPECT(chdir("/") == 0);
}

static void *steps(void *rest);

static void go_on_in_thread(const char *rest)
{
	pthread_t t;

	EXPECT(pthread_create(&t, NULL, steps, (void *)(uintptr_t)rest) == 0);
	pthread_exit(NULL);
}

static void step(const char *s)
{
	switch (*s) {
	case 'c':
		EXPECT(close_range(3, ~0u, 0) == 0);
		break;
	case 'C':
		EXPECT(raw_syscall(SYS_close_range, 3, ~0u, 0) == 0);
		break;
	case 'd':
		become_daemon();
		break;
	case 'r':
		EXPECT(chroot("/tmp") == 0 && chdir("/") == 0);
		break;
	case 'u':
		EXPECT(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
		break;
	case 't':
		go_on_in_thread(s + 1);
		break;
	case 'e':
		execl("/proc/thread-self/exe", "identity", args[1], s + 1, NULL);
		fail("exec: %s", strerror(errno));
	default:
		fail("no step '%c'", *s);
	}
}

static void *steps(void *rest)
{
	static uint64_t id;

	verify(++id << 32);
	for (const char *s = rest; *s; s++) {
		char *kept = map_bytes(n * PAGE);

		area_fill(kept, n, ++id << 32, 0);
		step(s);
		verify(++id << 32);
		area_check(kept, n, (id - 1) << 32, 0, "that was there before a step");
		EXPECT(munmap(kept, n * PAGE) == 0);
	}
	ok("%s", args[2]);
	/* Whoever waits for a daemon. */
	if (write(STDIN_FILENO, "", 1) < 0)
		errno = 0;
	exit(0);
}

int main(int argc, char **argv)
{
	n = arg_number(argc, argv, 1, 32) * PAGES_PER_MIB;
	if (argc < 3)
		fail("usage: identity MIB STEPS");
	args = argv;
	steps(argv[2]);
	return 0;
}

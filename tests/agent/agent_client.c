/* tests/agent/agent_client.c - programs that are hard on the preloaded agent; run under agent_peer.
 *
 *     agent_peer -v AGENT.so agent_client NAME
 *
 * Each checks what it can see: that memory keeps its content while pages are taken away, and that
 * calls behave as without the agent. Exits 0, or 1 with a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent_client.h"

static void test_keep(void)
{
	const size_t n = 4 << 20;
	char *p = map(n, 0), *q = malloc(n);
	int i;

	fill(p, n, 1);
	fill(q, n, 2);
	for (i = 0; i < 50; i++)
		CHECK(same(p, n, 1) && same(q, n, 2));
	free(q);
	CHECK(!munmap(p, n));
}

static void test_mremap(void)
{
	size_t n = 64 * PAGE;
	char *p = map(n, 0), *hole;
	int i;

	fill(p, n, 7);
	for (i = 0; i < 50; i++) {
		hole = map(PAGE, 0);
		p = mremap(p, n, n + 16 * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED && same(p, n, 7));
		fill(p + n, 16 * PAGE, 7 + n);
		n += 16 * PAGE;
		CHECK(same(p, n, 7));
		munmap(hole, PAGE);
	}
	hole = map(n, 0);
	CHECK(mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, hole) == hole && same(hole, n, 7));
	CHECK(mremap(hole, n, n / 2, 0) == hole && same(hole, n / 2, 7));
}

static void test_dontneed(void)
{
	const size_t n = 256 * PAGE;
	char *p = map(n, 0);
	int i, k;

	for (i = 0; i < 40; i++) {
		fill(p, n, 3);
		CHECK(!madvise(p + 8 * PAGE, 64 * PAGE, i & 1 ? MADV_DONTNEED : MADV_FREE));
		for (k = 8; k < 72; k++)
			CHECK(p[k * PAGE] == 0 && p[k * PAGE + 513] == 0);
		CHECK(same(p, 8 * PAGE, 3) && same(p + 72 * PAGE, n - 72 * PAGE, 3 + 72 * PAGE));
	}
}

static void test_populate(void)
{
	const size_t n = 64 * PAGE;
	unsigned char in[64];
	char *p = map(n, MAP_POPULATE), *q;
	int i;

	CHECK(!mincore(p, n, in));
	for (i = 0; i < 100; i++) {
		q = map(n, MAP_LOCKED);
		fill(q, n, 5);
		CHECK(!munlock(q, n) && !mlock(q, n) && same(q, n, 5) && !munmap(q, n));
	}
	CHECK(!mlock2(p, n, 1) && !munlockall());
	CHECK(!mlockall(MCL_FUTURE));
	q = map(n, 0);
	fill(q, n, 6);
	CHECK(!munlockall() && same(q, n, 6));
	for (i = 0; i < 20; i++) {
		CHECK(!mlockall(MCL_CURRENT | (i & 1 ? MCL_FUTURE : 0)));
		fill(q, n, 8);
		usleep(1000);
		CHECK(!munlockall() && same(q, n, 8));
	}
	errno = 0;
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	      errno == EINVAL);
	CHECK(munmap((void *)1, PAGE) == -1 && errno == EINVAL);
	CHECK(madvise(p, n, 12345) == -1 && errno == EINVAL);
}

static void test_brk(void)
{
	char *p = sbrk(0);
	int i;

	for (i = 1; i <= 100; i++) {
		CHECK(sbrk(10000) != (void *)-1);
		memset(p + (i - 1) * 10000, i, 10000);
	}
	for (i = 1; i <= 100; i++)
		CHECK(p[(i - 1) * 10000] == i && p[i * 10000 - 1] == i);
	CHECK(!brk(p) && sbrk(0) == p);
	errno = 0;
	CHECK(brk((void *)(1ul << 60)) == -1 && errno == ENOMEM);
	CHECK(!brk(p + PAGE * 4) && p[PAGE] == 0);
}

#define NR_OWNERS 4

/* The kernel finds the mutexes of a dying thread through a list in the thread's own memory, and
 * then no missing page is served any more: whoever waits for such a mutex would wait for ever. */
static void test_robust(void)
{
	struct owned {
		pthread_mutex_t mutex;
		volatile bool locked;
	} *o = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;
	struct timespec limit;
	pid_t pid[NR_OWNERS];
	int i;

	CHECK(o != MAP_FAILED && !pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	for (i = 0; i < NR_OWNERS; i++) {
		CHECK(!pthread_mutex_init(&o[i].mutex, &attr));
		pid[i] = fork();
		if (!pid[i]) {
			CHECK(!pthread_mutex_lock(&o[i].mutex));
			o[i].locked = true;
			pause();
			_exit(1);
		}
	}
	for (i = 0; i < NR_OWNERS; i++) {
		while (!o[i].locked)
			usleep(1000);
	}
	usleep(1000000); /* enough to lose every page that may be taken */
	for (i = 0; i < NR_OWNERS; i++) {
		CHECK(!kill(pid[i], SIGKILL) && waitpid(pid[i], NULL, 0) == pid[i]);
		CHECK(!clock_gettime(CLOCK_REALTIME, &limit));
		limit.tv_sec += 5;
		CHECK(pthread_mutex_timedlock(&o[i].mutex, &limit) == EOWNERDEAD);
	}
}

static void test_threads(void)
{
	pthread_t t[8];
	int i, k;

	for (k = 0; k < 20; k++) {
		stop = false;
		for (i = 0; i < 8; i++)
			CHECK(!pthread_create(&t[i], NULL, churn, (void *)(uintptr_t)(i + 1)));
		usleep(20000);
		stop = true;
		for (i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
}

/* Direct reads into memory that is being evicted must not be lost: pinned pages are refused. */
static void test_direct(void)
{
	const size_t n = 512 * PAGE;
	char name[] = "./agent-direct-XXXXXX";
	char *p = map(n, 0), *q = map(n, 0);
	int fd = mkstemp(name), i;

	CHECK(fd >= 0);
	unlink(name);
	fill(p, n, 21);
	CHECK(write(fd, p, n) == (ssize_t)n && !fsync(fd));
	if (fcntl(fd, F_SETFL, O_DIRECT))
		fprintf(stderr, "no O_DIRECT here: plain reads\n");
	for (i = 0; i < 60; i++) {
		memset(q, 0xff, n);
		CHECK(pread(fd, q, n, 0) == (ssize_t)n);
		CHECK(same(q, n, 21));
	}
}

static void test_sweep(void)
{
	char path[64];
	int fd, null = open("/dev/null", O_RDWR);

	for (fd = 3; fd < 1100; fd++) {
		if (fd != null)
			close(fd);
	}
	test_keep();
	for (fd = 500; fd < 1000; fd++)
		CHECK(dup2(null, fd) == fd);
	test_keep();
	closefrom(3);
	CHECK(!close_range(3, ~0u, 0));
	test_keep();
	fd = open("/dev/null", O_RDWR);
	CHECK(fd == 3);
	/* Taken by raw system calls: the supervisor adopts instead. */
	for (fd = 4; fd < 1100; fd++)
		syscall(SYS_close, fd);
	test_keep();
	snprintf(path, sizeof path, "/proc/self/fd/%d", 4);
	CHECK(access(path, F_OK));
}

static char handler_page;

static void handler(int sig)
{
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)sig;
	p[0] = 1;
	handler_page += p[0];
	munmap(p, 4 * PAGE);
}

/* A handler that maps memory, whatever it interrupts; forks and exits among it. */
static void test_signals(void)
{
	struct itimerval every = { { 0, 300 }, { 0, 300 } };
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	int i;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (i = 0; i < 300; i++) {
		char *p = map(16 * PAGE, 0);

		fill(p, 16 * PAGE, 9);
		CHECK(same(p, 16 * PAGE, 9) && !munmap(p, 16 * PAGE));
		if (i % 30 == 0) {
			pid_t pid = fork();

			if (!pid)
				_exit(0);
			wait_ok(pid);
		}
	}
}

static void test_nothing(void) {}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "keep", test_keep },
	{ "mremap", test_mremap },
	{ "dontneed", test_dontneed },
	{ "populate", test_populate },
	{ "brk", test_brk },
	{ "fork_shared", test_fork_shared },
	{ "fork_storm", test_fork_storm },
	{ "fork_threads", test_fork_threads },
	{ "robust", test_robust },
	{ "threads", test_threads },
	{ "direct", test_direct },
	{ "sweep", test_sweep },
	{ "signals", test_signals },
	{ "raw_clone", test_raw_clone },
	{ "fork_cost", test_fork_cost },
	{ "exec_cost", test_exec_cost },
	{ "nothing", test_nothing },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof tests / sizeof tests[0]; i++) {
		if (!strcmp(tests[i].name, argv[1])) {
			tests[i].run();
			return 0;
		}
	}
	fprintf(stderr, "usage: agent_client NAME\n");
	return 1;
}

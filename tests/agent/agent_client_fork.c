/* tests/agent/agent_client_fork.c - the tests of agent_client that fork, clone and exec. */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "agent_client.h"

volatile bool stop;

/* Parent and child share pages copy-on-write; the helper has to copy before it moves. */
void test_fork_shared(void)
{
	const size_t n = 256 * PAGE;
	char *p = map(n, 0);
	pid_t pid[4];
	int i, k;

	fill(p, n, 11);
	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		for (k = 0; k < 20; k++) {
			CHECK(same(p, n, 11));
			usleep(5000);
		}
		fill(p, n, 100 + i);
		for (k = 0; k < 20; k++)
			CHECK(same(p, n, 100 + i));
		_exit(0);
	}
	for (k = 0; k < 40; k++) {
		CHECK(same(p, n, 11));
		usleep(2000);
	}
	for (i = 0; i < 4; i++)
		wait_ok(pid[i]);
	CHECK(same(p, n, 11));
}

void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	void *p[16] = { NULL };

	while (!stop) {
		int k = rand_r(&seed) % 16;
		size_t n = (size_t)rand_r(&seed) % 300000 + 8;

		free(p[k]);
		p[k] = malloc(n);
		memset(p[k], k, n);
	}
	return NULL;
}

/* Threads that allocate while one forks: the order of our lock and malloc's. */
void test_fork_storm(void)
{
	pthread_t t[4];
	int i;

	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, churn, (void *)(uintptr_t)(i + 1)));
	for (i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (!pid) {
			char *p = malloc(200000);

			memset(p, 1, 200000);
			_exit(p[100000] != 1);
		}
		wait_ok(pid);
	}
	stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void *forker(void *arg)
{
	int i;

	for (i = 0; i < 25; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		wait_ok(pid);
	}
	return arg;
}

void test_fork_threads(void)
{
	pthread_t t[4];
	int i;

	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, forker, NULL));
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Children the agent hears nothing of: memory must still be right. */
void test_raw_clone(void)
{
	const size_t n = 64 * PAGE;
	char *p = map(n, 0), *q;
	pid_t pid;
	int i;

	fill(p, n, 31);
	for (i = 0; i < 20; i++) {
		pid = i & 1 ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (!pid) {
			q = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				 0);
			fill(q, n, 32);
			CHECK(same(p, n, 31) && same(q, n, 32));
			_exit(0);
		}
		wait_ok(pid);
		pid = vfork();
		if (!pid) {
			execlp("true", "true", (char *)NULL);
			_exit(1);
		}
		wait_ok(pid);
	}
}

/* Not a check: what a fork costs. */
void test_fork_cost(void)
{
	struct timespec a, b;
	int i, n = 300;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		wait_ok(pid);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("fork + exit + wait: %.0f us\n",
	       ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n / 1e3);
}

void test_exec_cost(void)
{
	struct timespec a, b;
	int i, n = 100;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < n; i++) {
		char *const argv[] = { "agent_client", "nothing", NULL };
		pid_t pid;

		CHECK(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ));
		wait_ok(pid);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("spawn + exit + wait: %.0f us\n",
	       ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n / 1e3);
}

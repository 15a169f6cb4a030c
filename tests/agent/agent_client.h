/* tests/agent/agent_client.h - shared by the parts of agent_client: memory with content that can be
 * checked, and the tests that fork (agent_client_fork.c). */
#ifndef TESTS_AGENT_CLIENT_H
#define TESTS_AGENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s: %m\n", __func__, __LINE__, #cond);             \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static inline void fill(char *p, size_t n, uint64_t seed)
{
	size_t i;

	for (i = 0; i < n; i += 512)
		*(uint64_t *)(p + i) = seed + i;
}

static inline bool same(const char *p, size_t n, uint64_t seed)
{
	size_t i;

	for (i = 0; i < n; i += 512) {
		if (*(const uint64_t *)(p + i) != seed + i)
			return false;
	}
	return true;
}

static inline char *map(size_t n, int flags)
{
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static inline void wait_ok(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Allocate and free, from several threads, until @stop. @arg: a seed. */
void *churn(void *arg);
extern volatile bool stop;

void test_fork_shared(void);
void test_fork_storm(void);
void test_fork_threads(void);
void test_raw_clone(void);
void test_fork_cost(void);
void test_exec_cost(void);

#endif

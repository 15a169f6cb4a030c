/* plat/native/memory.c - memory, injected faults, and the last words of a program with a bug.
 *
 * An armed fault is a counter that every call of its kind decrements; the call that reaches 0
 * fails. 0 means not armed.
 *
 * Locks: none; the counters are atomic.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "plat/plat.h"

static atomic64_t faults[NR_FAULT_KINDS];

void fault_arm(enum fault_kind kind, unsigned long nth)
{
	a64_store(&faults[kind], (int64_t)nth);
}

bool fault_hit(enum fault_kind kind)
{
	int64_t left = a64_load_relaxed(&faults[kind]);

	while (left > 0) {
		if (a64_cas(&faults[kind], left, left - 1))
			return left == 1;
		left = a64_load(&faults[kind]);
	}
	return false;
}

void *plat_alloc(size_t n)
{
	return fault_hit(FAULT_ALLOC) ? NULL : calloc(1, n);
}

void plat_free(void *p)
{
	free(p);
}

void *plat_alloc_big(size_t n)
{
	void *p;

	if (fault_hit(FAULT_ALLOC))
		return NULL;
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0);
	return p == MAP_FAILED ? NULL : p;
}

void plat_free_big(void *p, size_t n)
{
	if (p)
		munmap(p, n);
}

void plat_bug(const char *what, const char *file, int line)
{
	fprintf(stderr, "umemcg: BUG: %s (%s:%d)\n", what, file, line);
	abort();
}

/* tests/native/prog/lockfuture.c - lockfuture OVER_MIB PRESS_MIB
 *
 * After mlockall(MCL_FUTURE) everything new is resident when the call returns, and stays so while
 * PRESS_MIB go by: mappings, what they grow by, shared ones, the break. OVER_MIB, more than the
 * limit allows, are refused, by mmap and by brk, and what was there is as before. Threads start,
 * with their stacks of 8 MiB, and a fork's child has nothing locked.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "memlock.h"

#define SMALL (2 * MIB)

static void check_resident(const char *area, size_t bytes, const char *what)
{
	unsigned char in_core[SMALL / PAGE];
	size_t n = bytes / PAGE;

	EXPECT(n <= sizeof(in_core) && mincore((void *)(uintptr_t)area, n * PAGE, in_core) == 0);
	for (size_t i = 0; i < n; i++)
		if (!(in_core[i] & 1))
			fail("%s: page %zu of %zu is not resident", what, i, n);
}

static void refused(size_t bytes)
{
	const int type[] = { MAP_PRIVATE, MAP_SHARED };
	char *top = sbrk(0);

	for (int i = 0; i < 2; i++) {
		EXPECT(mmap(NULL, bytes, PROT_READ | PROT_WRITE, type[i] | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED);
		EXPECT(errno == EAGAIN);
	}
	EXPECT(sbrk((intptr_t)bytes) == (void *)-1 && errno == ENOMEM);
	EXPECT(sbrk(0) == top);
	EXPECT(!malloc(bytes));
	/* It is reserved, and nothing else. */
	EXPECT(mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static void *run(void *arg)
{
	char deep[64 * 1024];

	memset(deep, 1, sizeof(deep));
	return deep[PAGE] == 1 ? arg : NULL;
}

static void threads_start(char *area)
{
	pthread_t thread[8];
	void *got;

	for (int i = 0; i < 8; i++)
		EXPECT(pthread_create(&thread[i], NULL, run, area) == 0);
	for (int i = 0; i < 8; i++)
		EXPECT(pthread_join(thread[i], &got) == 0 && got == area);
}

static void child_is_not_locked(size_t press_mib)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		press(press_mib);
		_exit(0);
	}
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
	unsigned long over_mib = arg_number(argc, argv, 1, 500);
	unsigned long press_mib = arg_number(argc, argv, 2, 32);
	size_t n = SMALL / 2 / PAGE;
	char *area, *shared, *heap;

	if (!may_lock_all())
		cannot_run("RLIMIT_MEMLOCK cannot be raised");
	area = map_bytes(SMALL / 2);
	EXPECT(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	check_resident(area, SMALL / 2, "what was there");
	EXPECT(munmap(area, SMALL / 2) == 0);
	area = map_bytes(SMALL / 2);
	check_resident(area, SMALL / 2, "a new mapping");
	area_fill(area, n, 0, 0);
	area = mremap(area, SMALL / 2, SMALL, MREMAP_MAYMOVE);
	EXPECT(area != MAP_FAILED);
	check_resident(area, SMALL, "a mapping that has grown");
	shared = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(shared != MAP_FAILED);
	check_resident(shared, SMALL, "shared memory");
	heap = sbrk(SMALL);
	EXPECT(heap != (void *)-1);
	heap = (char *)(((uintptr_t)heap + PAGE - 1) & ~(PAGE - 1));
	check_resident(heap, SMALL - PAGE, "the heap");
	refused(over_mib * MIB);
	threads_start(area);
	child_is_not_locked(press_mib);
	EXPECT(mlockall(MCL_CURRENT) == 0); /* and of what comes no more */
	press(press_mib);
	check_resident(area, SMALL, "a mapping, later");
	check_resident(shared, SMALL, "shared memory, later");
	check_resident(heap, SMALL - PAGE, "the heap, later");
	area_check(area, n, 0, 0, "locked since it was mapped");
	EXPECT(munlockall() == 0);
	press(press_mib);
	area_check(area, n, 0, 0, "after munlockall");
	return ok("%lu MiB refused", over_mib);
}

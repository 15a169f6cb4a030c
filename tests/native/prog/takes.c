/* tests/native/prog/takes.c - takes KIND MIB [MS] [FILE]
 *
 * Takes MIB of one kind of memory that cannot be managed, keeps it for MS milliseconds, and checks
 * it. KIND: stack the main stack file changed pages of a private mapping of FILE, which has MIB at
 * least shared a memfd that was made past libc, mapped twice sysv a System V segment
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "prog.h"

#define FRAME_BYTES (64ul << 10)

static unsigned long keep_ms;

static void wait_a_while(void)
{
	usleep((useconds_t)keep_ms * 1000);
}

static __attribute__((noinline)) int go_down(size_t left, uint64_t id)
{
	char frame[FRAME_BYTES];
	int wrong = 0;

	for (size_t i = 0; i < FRAME_BYTES; i += PAGE)
		memcpy(frame + i, &id, sizeof(id));
	__asm__ volatile("" : : "r"(frame) : "memory");
	if (left > FRAME_BYTES)
		wrong = go_down(left - FRAME_BYTES, id + 1);
	else
		wait_a_while();
	for (size_t i = 0; i < FRAME_BYTES; i += PAGE)
		wrong += memcmp(frame + i, &id, sizeof(id)) != 0;
	return wrong;
}

static void check_and_end(char *a, const char *b, size_t n, const char *kind)
{
	area_fill(a, n, 0, 1);
	wait_a_while();
	area_check(b, n, 0, 1, kind);
}

/* The stack may grow as far as the limit that the program started with. */
static void grow_stack(size_t bytes, char **argv)
{
	struct rlimit limit;

	EXPECT(getrlimit(RLIMIT_STACK, &limit) == 0);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes + (4u << 20)) {
		limit.rlim_cur = bytes + (8u << 20);
		if (setrlimit(RLIMIT_STACK, &limit) != 0)
			cannot_run("the stack may not be larger: %s", strerror(errno));
		execv("/proc/self/exe", argv);
		fail("exec: %s", strerror(errno));
	}
	EXPECT(go_down(bytes, 1) == 0);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	size_t n = arg_number(argc, argv, 2, 8) * PAGES_PER_MIB;
	int fd;

	keep_ms = arg_number(argc, argv, 3, 300);
	if (strcmp(kind, "stack") == 0) {
		grow_stack(n * PAGE, argv);
	} else if (strcmp(kind, "file") == 0 && argc > 4) {
		char *a;

		fd = open(argv[4], O_RDONLY);
		EXPECT(fd >= 0);
		/* Writable from the beginning, it would be managed. */
		a = mmap(NULL, n * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		EXPECT(a != MAP_FAILED && mprotect(a, n * PAGE, PROT_READ | PROT_WRITE) == 0);
		check_and_end(a, a, n, kind);
	} else if (strcmp(kind, "shared") == 0) {
		char *a, *b;

		fd = (int)raw_syscall(SYS_memfd_create, (long)"takes", MFD_CLOEXEC, 0);
		EXPECT(fd >= 0 && ftruncate(fd, (off_t)(n * PAGE)) == 0);
		a = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		b = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		EXPECT(a != MAP_FAILED && b != MAP_FAILED);
		check_and_end(a, b, n, kind);
	} else if (strcmp(kind, "sysv") == 0) {
		int id = shmget(IPC_PRIVATE, n * PAGE, 0600);
		char *a = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

		EXPECT(id >= 0 && shmctl(id, IPC_RMID, NULL) == 0 && a != (void *)-1);
		check_and_end(a, a, n, kind);
	} else {
		fail("which kind?");
	}
	return ok("%s, %zu pages", kind, n);
}

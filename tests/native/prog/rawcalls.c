/* tests/native/prog/rawcalls.c - rawcalls [MIB]
 *
 * Memory that is mapped, moved, dropped and unmapped by syscall(2), as runtimes do that do not want
 * libc's functions. Errors are what they are without umemcg. A thread that syscall(2) makes on a
 * stack of the program's own runs.
 */
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

#include "prog.h"

static char *raw_map(void *at, size_t n, int flags)
{
	long p = syscall(SYS_mmap, at, n, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0L);

	EXPECT(p != -1);
	return (char *)p;
}

static void move_and_drop(size_t n)
{
	size_t half = n / 2;
	char *area = raw_map(NULL, n * PAGE, MAP_NORESERVE), *place = raw_map(NULL, half * PAGE, 0);

	area_fill(area, n, 0, 1);
	area_check(area, n, 0, 1, "after the first round");
	EXPECT(syscall(SYS_mremap, area, half * PAGE, half * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       place) == (long)place);
	area_check(place, half, 0, 1, "after the move");
	area_check(area + half * PAGE, n - half, half, 1, "that was not moved");
	EXPECT(syscall(SYS_madvise, place, half * PAGE, (long)MADV_DONTNEED) == 0);
	area_check_zero(place, half, "after MADV_DONTNEED");
	EXPECT(syscall(SYS_munmap, place, half * PAGE) == 0);
	EXPECT(syscall(SYS_munmap, area + half * PAGE, (n - half) * PAGE) == 0);
}

static void grow_the_break(size_t n)
{
	char *old = (char *)syscall(SYS_brk, 0L), *end = old + n * PAGE,
	     *area = old + (-(uintptr_t)old & (PAGE - 1));

	EXPECT((char *)syscall(SYS_brk, end) == end);
	area_fill(area, n - 1, 1ull << 40, 0);
	area_check(area, n - 1, 1ull << 40, 0, "of the heap");
	EXPECT((char *)syscall(SYS_brk, old) == old);
}

static void errors(void)
{
	errno = 0;
	EXPECT(syscall(SYS_mmap, NULL, 0L, (long)PROT_READ, (long)(MAP_PRIVATE | MAP_ANONYMOUS),
		       -1L, 0L) == -1);
	EXPECT(errno == EINVAL);
	errno = 0;
	EXPECT(syscall(SYS_madvise, (void *)PAGE, PAGE, (long)MADV_DONTNEED) == -1 &&
	       errno == ENOMEM);
	errno = 0;
	EXPECT(syscall(SYS_close, -1L) == -1 && errno == EBADF);
	EXPECT(syscall(SYS_getpid) == getpid());
}

#if defined(__x86_64__)
static volatile uint32_t tid;
static volatile int ran;

/* Nothing called it; without a thread pointer of its own it calls nothing but the kernel. */
static __attribute__((noreturn)) void on_own_stack(void)
{
	long ret;

	ran = 1;
	for (;;)
		__asm__ volatile("syscall"
				 : "=a"(ret)
				 : "0"((long)SYS_exit), "D"(0l)
				 : "rcx", "r11", "memory");
}

static void own_thread(void)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
				    CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |
				    CLONE_CHILD_CLEARTID;
	static _Alignas(16) void *stack[512];
	uint32_t now;

	stack[256] = (void *)on_own_stack; /* where syscall(2) returns to on this stack */
	EXPECT(syscall(SYS_clone, flags, &stack[256], &tid, &tid, 0L) > 0);
	while ((now = tid))
		syscall(SYS_futex, &tid, (long)FUTEX_WAIT, now, NULL);
	EXPECT(ran);
}
#else
static void own_thread(void) {}
#endif

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 1, 64) * PAGES_PER_MIB;

	errors();
	move_and_drop(n);
	grow_the_break(n);
	own_thread();
	return ok("%zu pages by system calls of its own", n);
}

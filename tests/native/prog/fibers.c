/* tests/native/prog/fibers.c - fibers [FIBERS] [KIB] [ROUNDS]
 *
 * Coroutines, each on a MAP_STACK mapping of KIB KiB with a guard page, as their libraries make
 * them. Each goes down its stack, stores there, and is left; when it goes on, what it has stored is
 * there. FIBERS that need more than a limit when a few KiB of each stayed in memory.
 */
#include <ucontext.h>

#include "prog.h"

#define LEFT_BYTES 1024 /* below what libc needs of the smallest stack */

static ucontext_t home, *fiber;
static unsigned long nr_rounds, now, left;

static void run(unsigned int me)
{
	volatile uint64_t mine[8];
	char stored[LEFT_BYTES];

	for (unsigned long r = 0; r < nr_rounds; r++) {
		for (unsigned i = 0; i < 8; i++)
			mine[i] = mix(me * 8 + i + r);
		memset(stored, (int)(me + r), sizeof(stored));
		__asm__ volatile("" : : "r"(stored) : "memory");
		EXPECT(swapcontext(&fiber[me], &home) == 0);
		for (unsigned i = 0; i < 8; i++)
			if (mine[i] != mix(me * 8 + i + r))
				fail("fiber %u lost word %u of round %lu", me, i, r);
		for (unsigned i = 0; i < sizeof(stored); i++)
			if (stored[i] != (char)(me + r))
				fail("fiber %u lost byte %u of round %lu", me, i, r);
	}
	left--;
}

int main(int argc, char **argv)
{
	unsigned long n = arg_number(argc, argv, 1, 8000);
	unsigned long bytes = arg_number(argc, argv, 2, 16) << 10;

	nr_rounds = arg_number(argc, argv, 3, 2);
	fiber = calloc(n, sizeof(*fiber));
	EXPECT(fiber);
	for (unsigned long i = 0; i < n; i++) {
		char *stack = mmap(NULL, bytes + PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

		EXPECT(stack != MAP_FAILED && mprotect(stack, PAGE, PROT_NONE) == 0);
		EXPECT(getcontext(&fiber[i]) == 0);
		fiber[i].uc_stack.ss_sp = stack + PAGE;
		fiber[i].uc_stack.ss_size = bytes;
		fiber[i].uc_link = &home;
		makecontext(&fiber[i], (void (*)(void))run, 1, (unsigned int)i);
	}
	left = n;
	for (unsigned long r = 0; r <= nr_rounds; r++)
		for (now = 0; now < n; now++)
			EXPECT(swapcontext(&home, &fiber[now]) == 0);
	EXPECT(left == 0);
	return ok("%lu fibers on %lu KiB, %lu rounds", n, bytes >> 10, nr_rounds);
}

/* tests/native/prog/deep.c - deep STACK_MIB FILL_MIB
 *
 * FILL_MIB of memory are there, and then the main thread recurses STACK_MIB deep, at full speed:
 * its stack is not managed, and takes room from the rest without asking. Every frame is right on
 * the way back. In a child, and then in the program's first process.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "prog.h"

#define FRAME 2048

__attribute__((noinline)) static unsigned long down(unsigned long depth)
{
	volatile unsigned long frame[FRAME / sizeof(unsigned long)];
	unsigned long below = 0;

	frame[0] = depth;
	frame[FRAME / sizeof(unsigned long) - 1] = ~depth;
	if (depth)
		below = down(depth - 1);
	if (frame[0] != depth || frame[FRAME / sizeof(unsigned long) - 1] != ~depth)
		fail("the frame at depth %lu is wrong", depth);
	return below + 1;
}

int main(int argc, char **argv)
{
	unsigned long stack_mib = arg_number(argc, argv, 1, 32),
		      fill_mib = arg_number(argc, argv, 2, 48);
	unsigned long frames = stack_mib * MIB / FRAME;
	struct rlimit limit;
	size_t n = fill_mib * PAGES_PER_MIB;
	char *area;
	int status;
	pid_t pid;

	EXPECT(getrlimit(RLIMIT_STACK, &limit) == 0);
	if (limit.rlim_cur < (stack_mib + stack_mib / 4 + 1) * MIB) {
		limit.rlim_cur = 2 * stack_mib * MIB;
		if (setrlimit(RLIMIT_STACK, &limit) != 0)
			cannot_run("RLIMIT_STACK cannot be raised");
		execv("/proc/self/exe", argv);
		fail("exec: %s", strerror(errno));
	}
	pid = fork();
	area = map_bytes(n * PAGE);
	area_fill(area, n, 0, 0);
	EXPECT(pid >= 0 && down(frames) == frames + 1);
	area_check(area, n, 0, 0, "after the recursion");
	if (pid == 0)
		_exit(0);
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	return ok("%lu MiB of stack beside %lu MiB", stack_mib, fill_mib);
}

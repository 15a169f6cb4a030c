/* tests/native/prog/forks.c - forks [MIB] [CHILDREN] [AT_ONCE]
 *
 * Fork children of a parent that is mostly swapped out. Each child sees the parent's bytes,
 * changes its own copy, and sees its changes; the parent sees none of them.
 */
#include <sys/wait.h>

#include "prog.h"

static void child(char *area, size_t n, uint64_t version)
{
	area_check(area, n, 0, 0, "in a child, before its changes");
	for (size_t i = 0; i < n; i++)
		page_change(area + i * PAGE, i, version);
	area_check(area, n, 0, version, "in a child, after its changes");
	_exit(0);
}

static void wait_child(void)
{
	int status;

	EXPECT(wait(&status) > 0);
	if (WIFSIGNALED(status))
		fail("a child was killed by signal %d", WTERMSIG(status));
	if (status)
		_exit(1); /* it has said why */
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 256);
	unsigned long children = arg_number(argc, argv, 2, 50);
	unsigned long at_once = arg_number(argc, argv, 3, 1), running = 0;
	size_t n = mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	for (unsigned long i = 0; i < children; i++) {
		pid_t pid;

		if (running == at_once) {
			wait_child();
			running--;
		}
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid)
			child(area, n, i + 1);
		running++;
	}
	while (running--)
		wait_child();
	area_check(area, n, 0, 0, "in the parent, after its children");
	return ok("%lu MiB, %lu children, %lu at once", mib, children, at_once);
}

/* tests/native/prog/netns.c - netns [MIB] [ROUNDS]
 *
 * A process that goes to a network namespace of its own, where names of abstract sockets are others. Memory, and children of
 * forks, are as they were before; so are those of a program that it executes there (netns MIB 0).
 */
#include <sched.h>
#include <sys/wait.h>

#include "prog.h"

static size_t n;

static void check_in_child(char *area, unsigned long round)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (!pid) {
		area_check(area, n, 0, round, "in the child");
		area_fill(area, n, 1ull << 40, round);
		area_check(area, n, 1ull << 40, round, "of the child");
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
}

int main(int argc, char **argv)
{
	unsigned long rounds = arg_number(argc, argv, 2, 3);
	char *area;

	n = arg_number(argc, argv, 1, 16) * PAGES_PER_MIB;
	if (rounds && unshare(CLONE_NEWNET) != 0)
		cannot_run("no network namespace: %s", strerror(errno));
	area = map_bytes(n * PAGE);
	for (unsigned long i = 0; i < (rounds ? rounds : 1); i++) {
		area_fill(area, n, 0, i);
		check_in_child(area, i);
		area_check(area, n, 0, i, "in the parent");
	}
	if (rounds)
		execl("/proc/self/exe", argv[0], argc > 1 ? argv[1] : "16", "0", NULL);
	return ok("%zu pages", n);
}

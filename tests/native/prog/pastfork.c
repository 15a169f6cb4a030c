/* tests/native/prog/pastfork.c - pastfork CHILDREN MIB [MS]
 *
 * Fills MIB, makes CHILDREN by clone(2), past libc's fork(3), each of which writes to all of it,
 * keeps it for MS milliseconds, and checks it. Meanwhile it writes all of it again itself. 0 when
 * all ended well; 1 when one did not, as when it was killed.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

static int child_main(char *area, size_t n, unsigned long ms, uint64_t id)
{
	area_fill(area, n, 0, id);
	usleep((useconds_t)ms * 1000);
	area_check(area, n, 0, id, "in a child");
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long children = arg_number(argc, argv, 1, 1), ms = arg_number(argc, argv, 3, 1000);
	size_t n = arg_number(argc, argv, 2, 8) * PAGES_PER_MIB;
	char *area = aligned_alloc(PAGE, n * PAGE);
	int status, bad = 0;

	EXPECT(area);
	area_fill(area, n, 0, 0);
	for (unsigned long i = 1; i <= children; i++) {
		long pid = syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l);

		EXPECT(pid >= 0);
		if (pid == 0)
			_exit(child_main(area, n, ms, i));
	}
	area_fill(area, n, 0, 0);
	while (wait(&status) > 0)
		bad += status != 0;
	area_check(area, n, 0, 0, "in the parent");
	if (bad)
		fail("%d children did not end well", bad);
	return ok("%lu children of %zu pages", children, n);
}

/* tests/native/prog/fresh.c - fresh EXECS
 *
 * Asks the supervisor right after it was started, then executes itself, EXECS times. A process that
 * is managed gets its answers from the first instruction on, whatever else the supervisor learns
 * about it at that moment.
 */
#include <errno.h>
#include <sys/mman.h>

#include "prog.h"

#define BYTES (1ul << 20)

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 0;
	char number[16];
	char *a = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (a == MAP_FAILED)
		fail("mmap: errno %d", errno);
	if (madvise(a, BYTES, MADV_DONTFORK) != 0 || madvise(a, BYTES, MADV_DOFORK) != 0)
		fail("with %d executions left the supervisor gave no answer: errno %d", left,
		     errno);
	if (left == 0)
		return 0;
	snprintf(number, sizeof(number), "%d", left - 1);
	execl("/proc/self/exe", argv[0], number, NULL);
	fail("exec: errno %d", errno);
}

/* tests/native/prog/lockstand.c - lockstand [MIB]
 *
 * mlockall after a first process that shares the memory has come and gone; a second one then
 * outlives its parent, and uses more than the limit. mlockall shall lock what the program has, and
 * nothing of what lies ready for those that outlive others.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "prog.h"

#define STACK_BYTES (256ul << 10)

static char *area;
static size_t n;
static int gate[2], done[2];

static char *new_stack(void)
{
	return map_bytes(STACK_BYTES) + STACK_BYTES;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int survive(void *arg)
{
	char c;

	(void)arg;
	/* Our parent's end closes the other one. */
	EXPECT(close(gate[1]) == 0 && read(gate[0], &c, 1) == 0);
	for (uint64_t version = 0; version < 2; version++)
		area_fill(area, n, 0, version);
	area_check(area, n, 0, 1, "of the survivor");
	EXPECT(write(done[1], "", 1) == 1);
	_exit(0);
}

/* Memory that forks do not inherit is none of ours here. */
static void nothing_else_is_locked(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512], head[512] = "";
	unsigned long end;

	EXPECT(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "VmFlags:", 8) && strstr(line, " dc") && strstr(line, " lo"))
			fail("locked, and not the program's: %s", head);
		if (sscanf(line, "%*x-%lx ", &end) == 1)
			memcpy(head, line, sizeof(head));
	}
	fclose(f);
}

static void first(void)
{
	int status;
	pid_t pid = clone(nothing, new_stack(), CLONE_VM | SIGCHLD, NULL);

	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	EXPECT(mlockall(MCL_CURRENT) == 0);
	nothing_else_is_locked();
	area = map_bytes(n * PAGE);
	EXPECT(clone(survive, new_stack(), CLONE_VM | SIGCHLD, NULL) > 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	char c;

	n = arg_number(argc, argv, 1, 32) * PAGES_PER_MIB;
	EXPECT(pipe(gate) == 0 && pipe(done) == 0);
	if (!fork())
		first();
	EXPECT(close(gate[1]) == 0 && close(done[1]) == 0);
	EXPECT(read(done[0], &c, 1) == 1);
	return ok("%zu pages", n);
}

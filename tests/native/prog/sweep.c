/* tests/native/prog/sweep.c - sweep HOW MIB [PROGRAM [ARGUMENT...]]
 *
 * Close all descriptors from 3 on, as daemons and shells do: "closefrom", "range" (close_range),
 * "raw" (by a system call past libc), "each" (close, number by number), "listed" (those that
 * /proc/self/fd shows), "empty" (those, until there are none); then fill memory, have a child check
 * it, and execute PROGRAM.
 */
#include <dirent.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define NUMBERS 1024

#define ROUNDS 100

/* How many there were. */
static int close_listed(void)
{
	DIR *d = opendir("/proc/self/fd");
	int fd[NUMBERS], n = 0, closed = 0;
	struct dirent *e;

	EXPECT(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && strtol(e->d_name, NULL, 10) != dirfd(d) && n < NUMBERS)
			fd[n++] = (int)strtol(e->d_name, NULL, 10);
	closedir(d);
	while (n--) {
		if (fd[n] > 2) {
			close(fd[n]);
			closed++;
		}
	}
	return closed;
}

static void close_until_empty(void)
{
	int n = 0;

	while (close_listed())
		if (++n == ROUNDS)
			fail("there is something left after %d rounds", n);
}

static void sweep(const char *how)
{
	if (!strcmp(how, "closefrom"))
		closefrom(3);
	else if (!strcmp(how, "range"))
		EXPECT(close_range(3, ~0u, 0) == 0);
	else if (!strcmp(how, "raw"))
		EXPECT(raw_syscall(SYS_close_range, 3, ~0u, 0) == 0);
	else if (!strcmp(how, "each"))
		for (int fd = 3; fd < NUMBERS; fd++)
			close(fd);
	else if (!strcmp(how, "listed"))
		close_listed();
	else if (!strcmp(how, "empty"))
		close_until_empty();
	else
		fail("no way to sweep is called %s", how);
}

static void check_all(const char *area, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!page_is(area + i * PAGE, i, 1))
			fail("page %zu of %zu is wrong", i, n);
}

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 2, 16) * PAGES_PER_MIB;
	int status;
	char *area;
	pid_t child;

	if (argc < 2)
		fail("usage: sweep HOW MIB [PROGRAM [ARGUMENT...]]");
	sweep(argv[1]);
	area = map_bytes(n * PAGE);
	for (size_t i = 0; i < n; i++)
		page_fill(area + i * PAGE, i, 1);
	check_all(area, n);
	child = fork();
	EXPECT(child >= 0);
	if (!child) {
		check_all(area, n);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
	ok("%s", argv[1]);
	if (argc > 3)
		execvp(argv[3], argv + 3);
	return argc > 3;
}

/* tests/native/prog/crowd.c - crowd [CHILDREN] [PAGES] [MORE] [HOLD_MS]
 *
 * A process that has written to PAGES pages of its initialised data, which the loader has mapped
 * from its file and nobody manages, forks CHILDREN at once. Each writes to MORE others and holds
 * them for a while.
 */
#include <sys/wait.h>

#include "prog.h"

#define DATA_PAGES 1024

static char data[DATA_PAGES * PAGE] = { 1 };

static void write_to(unsigned long from, unsigned long to)
{
	for (; from < to; from++)
		data[from * PAGE + 1] = (char)(from % 127 + 1);
}

static void check(unsigned long pages)
{
	for (unsigned long i = 0; i < DATA_PAGES; i++)
		if (data[i * PAGE + 1] != (i < pages ? (char)(i % 127 + 1) : 0))
			fail("page %lu of the data is wrong", i);
}

int main(int argc, char **argv)
{
	unsigned long children = arg_number(argc, argv, 1, 40),
		      pages = arg_number(argc, argv, 2, 150);
	unsigned long more = arg_number(argc, argv, 3, 50),
		      hold_ms = arg_number(argc, argv, 4, 300);
	int status;

	EXPECT(pages + more <= DATA_PAGES);
	write_to(0, pages);
	for (unsigned long i = 0; i < children; i++) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (pid)
			continue;
		write_to(pages, pages + more);
		usleep((useconds_t)hold_ms * 1000);
		check(pages + more);
		_exit(0);
	}
	for (unsigned long i = 0; i < children; i++) {
		EXPECT(wait(&status) > 0);
		if (status)
			fail("a child ended with status %#x", status);
	}
	check(pages);
	return ok("%lu children", children);
}

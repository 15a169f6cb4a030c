/* What memfdleave and memfdpass share: a memfd that is filled and pushed out, and cases that get at
 * its content, each in a process of its own.
 */
#ifndef UMEMCG_TESTS_MEMFDCASE_H
#define UMEMCG_TESTS_MEMFDCASE_H

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

static size_t pages;
static unsigned long pressure;
static int fd;
static char *map;

__attribute__((unused)) static void check_file(int from, const char *when)
{
	char page[PAGE];

	for (size_t i = 0; i < pages; i++) {
		EXPECT(pread(from, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong %s", i, when);
	}
}

/* Past libc: what the kernel reads. */
__attribute__((unused)) static void check_raw(int from, const char *when)
{
	static char page[PAGE];

	EXPECT(raw_syscall(SYS_lseek, from, 0, SEEK_SET) == 0);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(raw_syscall(SYS_read, from, (long)page, PAGE) == (long)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong for the kernel %s", i, when);
	}
}

__attribute__((unused)) static int make(unsigned int flags)
{
	fd = memfd_create("leave", flags);
	EXPECT(fd >= 0 && ftruncate(fd, (off_t)(pages * PAGE)) == 0);
	map = mmap(map_bytes(pages * PAGE), pages * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, 0);
	EXPECT(map != MAP_FAILED);
	area_fill(map, pages, 0, 0);
	press(pressure);
	return fd;
}

__attribute__((unused)) static void ends_well(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
}

struct memfd_case {
	const char *name;
	void (*fn)(void);
	bool named; /* only where it is asked for */
};

static int run_cases(const struct memfd_case *cases, size_t n, int argc, char **argv)
{
	unsigned int done = 0;

	pages = arg_number(argc, argv, 1, 16) * PAGES_PER_MIB;
	pressure = arg_number(argc, argv, 2, 24);
	for (size_t i = 0; i < n; i++) {
		if (argc > 3 ? strcmp(argv[3], cases[i].name) != 0 : cases[i].named)
			continue;
		/* It begins with nothing. */
		pid_t pid = fork();

		if (pid == 0) {
			cases[i].fn();
			_exit(0);
		}
		ends_well(pid);
		done++;
	}
	EXPECT(done > 0);
	return ok("%u ways to %zu pages", done, pages);
}

#endif

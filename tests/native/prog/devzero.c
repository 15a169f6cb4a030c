/* tests/native/prog/devzero.c - devzero [MIB] [private|shared]
 *
 * Mappings of /dev/zero: private ones are anonymous memory, shared ones are shared anonymous
 * memory, and they keep what is stored: over fork, moves, in the middle of another mapping, through
 * a descriptor that may only be read. What the kernel refuses is refused with the same error.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

static char *map(int fd, size_t n, int type, void *at, off_t off)
{
	char *p = mmap(at, n * PAGE, PROT_READ | PROT_WRITE, type | (at ? MAP_FIXED : 0), fd, off);

	if (p == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	return p;
}

static void refused(int fd, int prot, int type, off_t off, int error)
{
	errno = 0;
	EXPECT(mmap(NULL, PAGE, prot, type, fd, off) == MAP_FAILED && errno == error);
}

static void errors(void)
{
	int r = open("/dev/zero", O_RDONLY), w = open("/dev/zero", O_WRONLY);
	int p = open("/dev/zero", O_PATH), null = open("/dev/null", O_RDWR);

	EXPECT(r >= 0 && w >= 0 && p >= 0 && null >= 0);
	refused(r, PROT_READ | PROT_WRITE, MAP_SHARED, 0, EACCES);
	refused(w, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, EACCES);
	refused(p, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, EBADF);
	refused(r, PROT_READ | PROT_WRITE, MAP_PRIVATE, 17, EINVAL);
	refused(null, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, ENODEV);
	refused(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, EBADF);
	close(r);
	close(w);
	close(p);
	close(null);
}

/* A child checks version 1 of the @n pages from @a, and stores version 2. */
static void change_in_child(char *a, size_t n)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (pid == 0) {
		area_check(a, n, 0, 1, "in a child");
		area_fill(a, n, 0, 2);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void private_memory(size_t n)
{
	int fd = open("/dev/zero", O_RDONLY);
	char *a = map(fd, n, MAP_PRIVATE, NULL, 5 * (off_t)PAGE);

	area_fill(a, n / 2, 0, 1);
	a = mremap(a, n * PAGE, 2 * n * PAGE, MREMAP_MAYMOVE);
	EXPECT(a != MAP_FAILED);
	area_check(a, n / 2, 0, 1, "after it has grown");
	area_check_zero(a + n * PAGE, n, "that came new");
	area_fill(a, n, 0, 1);
	map(fd, n / 4, MAP_PRIVATE, a + n / 4 * PAGE, 0);
	area_check_zero(a + n / 4 * PAGE, n / 4, "mapped in the middle");
	area_fill(a + n / 4 * PAGE, n / 4, n / 4, 1);
	close(fd);
	area_check(a, n, 0, 1, "of a private mapping");
	change_in_child(a, n);
	area_check(a, n, 0, 1, "after a child has changed its own");
	EXPECT(madvise(a, n * PAGE, MADV_DONTNEED) == 0);
	area_check_zero(a, n, "that was dropped");
	EXPECT(munmap(a, 2 * n * PAGE) == 0);
}

static void shared_memory(size_t n)
{
	int fd = open("/dev/zero", O_RDWR);
	char *a = map(fd, n, MAP_SHARED, NULL, 0), *other = map(fd, 32, MAP_SHARED, NULL, 0);

	close(fd);
	area_fill(a, n, 0, 1);
	change_in_child(a, n);
	area_check(a, n, 0, 2, "that a child has stored");
	area_check_zero(other, 32, "of another mapping");
	EXPECT(munmap(a, n * PAGE) == 0);
	EXPECT(munmap(other, 32 * PAGE) == 0);
}

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 1, 48) * PAGES_PER_MIB;

	const char *kind = argc > 2 ? argv[2] : NULL;

	errors();
	if (!kind || strcmp(kind, "private") == 0)
		private_memory(n);
	if (!kind || strcmp(kind, "shared") == 0)
		shared_memory(n);
	return ok("%zu pages", n);
}

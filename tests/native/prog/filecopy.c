/* tests/native/prog/filecopy.c - filecopy DIRECTORY [MIB]
 *
 * Private mappings of files that are written to: what was not touched is the file's, what was
 * changed is the program's, whatever else happens to the memory meanwhile: forks, moves, growth,
 * splits, discards, and pages that were set to zero. The file is never changed by it. Every step is
 * one that the kernel does the same way for its own mappings of files.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#define TAIL 1000 /* bytes of the file's last page */

static size_t pages;    /* of a file, the last one in part */
static size_t pressure; /* MiB */
static sigjmp_buf on_bus;

static int make(const char *dir, uint64_t id, size_t n)
{
	char path[512], page[PAGE];
	int fd;

	snprintf(path, sizeof(path), "%s/filecopy.%d.%lu", dir, (int)getpid(), (unsigned long)id);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	EXPECT(fd >= 0 && unlink(path) == 0);
	for (size_t i = 0; i < n; i++) {
		page_fill(page, id + i, 1);
		EXPECT(write(fd, page, i + 1 < n ? PAGE : TAIL) ==
		       (ssize_t)(i + 1 < n ? PAGE : TAIL));
	}
	return fd;
}

static char *map(int fd, size_t n, size_t first, void *at, int flags)
{
	char *p = mmap(at, n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | flags | (at ? MAP_FIXED : 0), fd, (off_t)(first * PAGE));

	if (p == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	return p;
}

static void check_tail(const char *p, uint64_t id)
{
	char page[PAGE];

	page_fill(page, id, 1);
	memset(page + TAIL, 0, PAGE - TAIL);
	EXPECT(!memcmp(p, page, PAGE));
}

/* Every second page changed, every 16th set to zero: the others are the file's. */
static void change(char *a, size_t n, uint64_t id, uint64_t version)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 16 == 3)
			memset(a + i * PAGE, 0, PAGE);
		else if (i % 2)
			page_fill(a + i * PAGE, id + i, version);
	}
}

static void check(const char *a, size_t n, uint64_t id, uint64_t version, const char *when)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 16 == 3 ? !page_is_zero(a + i * PAGE)
				: !page_is(a + i * PAGE, id + i, i % 2 ? version : 1))
			fail("page %zu of %zu is wrong %s", i, n, when);
	}
}

static void bus(int sig)
{
	(void)sig;
	siglongjmp(on_bus, 1);
}

static bool faults(volatile const char *p)
{
	if (sigsetjmp(on_bus, 1))
		return true;
	(void)*p;
	return false;
}

static void file_end(int fd, uint64_t id)
{
	char *a = map(fd, pages + 2, 0, NULL, 0);
	struct sigaction act = { .sa_handler = bus };

	sigaction(SIGBUS, &act, NULL);
	check_tail(a + (pages - 1) * PAGE, id + pages - 1);
	EXPECT(faults(a + pages * PAGE) && faults(a + (pages + 1) * PAGE) && !faults(a));
	a[(pages - 1) * PAGE + TAIL] = 7;
	press(pressure);
	EXPECT(a[(pages - 1) * PAGE + TAIL] == 7 && a[(pages - 1) * PAGE + TAIL + 1] == 0);
	EXPECT(munmap(a, (pages + 2) * PAGE) == 0);
}

static void discards(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n, 0, NULL, 0);

	change(a, n, id, 2);
	press(pressure);
	check(a, n, id, 2, "after pressure");
	EXPECT(madvise(a, n / 2 * PAGE, MADV_DONTNEED) == 0);
	area_check(a, n / 2, id, 1, "after it was discarded");
	change(a, n / 2, id, 3);
	press(pressure);
	check(a, n / 2, id, 3, "changed again");
	EXPECT(msync(a, n * PAGE, MS_SYNC) == 0);
	EXPECT(madvise(a, n * PAGE, MADV_FREE) == -1 && errno == EINVAL);
	check(a, n / 2, id, 3, "not freed");
	EXPECT(munmap(a, n * PAGE) == 0);
}

/* A second file, and the same at another offset, right behind each other; then holes, and other
 * memory in them. */
static void pieces(int fd, uint64_t id, int fd2, uint64_t id2, size_t n)
{
	char *a = map_bytes(4 * n * PAGE);

	map(fd, n, 0, a, 0);
	map(fd2, n, 0, a + n * PAGE, 0);
	map(fd2, n, n / 2, a + 2 * n * PAGE, 0);
	change(a, n, id, 2);
	change(a + n * PAGE, n, id2, 3);
	area_fill(a + 3 * n * PAGE, n, 1, 9);
	press(pressure);
	check(a, n, id, 2, "in the first file");
	check(a + n * PAGE, n, id2, 3, "in the second file");
	area_check(a + 2 * n * PAGE, n / 2 - 1, id2 + n / 2, 1, "at another offset");
	area_check(a + 3 * n * PAGE, n, 1, 9, "behind the files");
	EXPECT(munmap(a + n / 2 * PAGE, n / 4 * PAGE) == 0);
	EXPECT(mmap(a + n / 2 * PAGE, n / 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == a + n / 2 * PAGE);
	area_check_zero(a + n / 2 * PAGE, n / 4, "that is anonymous now");
	EXPECT(mprotect(a, n / 4 * PAGE, PROT_READ) == 0);
	press(pressure);
	check(a, n / 2, id, 2, "before the hole");
	for (size_t i = n * 3 / 4; i < n; i++)
		EXPECT(i % 2 || page_is(a + i * PAGE, id + i, 1));
	EXPECT(munmap(a, 4 * n * PAGE) == 0);
}

static void moves(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n / 2, 0, NULL, 0), *b = map_bytes(2 * n * PAGE), *c;

	change(a, n / 4, id, 2);
	c = mremap(a, n / 2 * PAGE, n / 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b);
	EXPECT(c == b);
	check(c, n / 4, id, 2, "moved");
	area_check(c + n / 4 * PAGE, n / 4, id + n / 4, 1, "moved before it was touched");
	/* What is behind it is other memory: it has to move. */
	a = mremap(c, n / 2 * PAGE, (n - 1) * PAGE, MREMAP_MAYMOVE);
	EXPECT(a != MAP_FAILED && a != c);
	check(a, n / 4, id, 2, "grown");
	area_check(a + n / 4 * PAGE, n - 1 - n / 4, id + n / 4, 1, "that came new");
	change(a, n - 1, id, 3);
	press(pressure);
	check(a, n - 1, id, 3, "changed after it has grown");
	c = mremap(a, (n - 1) * PAGE, n / 4 * PAGE, 0);
	EXPECT(c == a);
	/* In place, or not at all. */
	c = mremap(a, n / 4 * PAGE, n / 2 * PAGE, 0);
	EXPECT(c == a);
	check(a, n / 4, id, 3, "that was left");
	area_check(a + n / 4 * PAGE, n / 4, id + n / 4, 1, "that came again");
	EXPECT(munmap(a, n / 2 * PAGE) == 0 && munmap(b, 2 * n * PAGE) == 0);
}

static void forks(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n, 0, NULL, 0);
	int status;
	pid_t pid;

	change(a, n / 2, id, 2);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		check(a, n / 2, id, 2, "in the child");
		area_check(a + n / 2 * PAGE, n / 2, id + n / 2, 1, "in the child, of the file");
		change(a, n, id, 4);
		press(pressure);
		check(a, n, id, 4, "changed by the child");
		EXPECT(madvise(a, n * PAGE, MADV_DONTNEED) == 0);
		area_check(a, n, id, 1, "discarded by the child");
		_exit(0);
	}
	change(a + n / 2 * PAGE, n / 2, id + n / 2, 3);
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	check(a, n / 2, id, 2, "after a child");
	check(a + n / 2 * PAGE, n / 2, id + n / 2, 3, "changed beside a child");
	EXPECT(madvise(a, n * PAGE, MADV_DONTFORK) == 0 && madvise(a, n * PAGE, MADV_DOFORK) == 0);
	EXPECT(munmap(a, n * PAGE) == 0);
}

/* Others that touch it: the kernel, for a read into it; and a change of the file before anything
 * was touched. */
static void others(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n, 0, NULL, MAP_POPULATE), page[PAGE];
	int pipefd[2];

	area_check(a, n, id, 1, "populated");
	EXPECT(munmap(a, n * PAGE) == 0);
	a = map(fd, n, 0, NULL, 0);
	EXPECT(pipe(pipefd) == 0 && write(pipefd[1], a + 5 * PAGE, PAGE) == (ssize_t)PAGE);
	EXPECT(read(pipefd[0], a + 8 * PAGE, PAGE) == (ssize_t)PAGE &&
	       page_is(a + 8 * PAGE, id + 5, 1));
	page_fill(page, id + 10, 5);
	EXPECT(pwrite(fd, page, PAGE, 10 * (off_t)PAGE) == (ssize_t)PAGE);
	EXPECT(page_is(a + 10 * PAGE, id + 10, 5));
	page_fill(page, id + 10, 1);
	a[10 * PAGE + 8] ^= 1;
	EXPECT(pwrite(fd, page, PAGE, 10 * (off_t)PAGE) == (ssize_t)PAGE);
	EXPECT(a[10 * PAGE + 8] != page[8]);
	if (mlock(a, 16 * PAGE) == 0)
		EXPECT(page_is(a + 5 * PAGE, id + 5, 1) && munlock(a, 16 * PAGE) == 0);
	close(pipefd[0]);
	close(pipefd[1]);
	EXPECT(munmap(a, n * PAGE) == 0);
}

/* What others store to the file by a shared mapping shows where nothing was touched, and not where
 * something was changed; nothing of ours shows to them. */
static void stores(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n, 0, NULL, 0);
	char *s = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	EXPECT(s != MAP_FAILED);
	page_fill(a + 20 * PAGE, id + 20, 2);
	page_fill(s + 20 * PAGE, id + 20, 6);
	page_fill(s + 40 * PAGE, id + 40, 6);
	EXPECT(page_is(a + 20 * PAGE, id + 20, 2) && page_is(a + 40 * PAGE, id + 40, 6));
	page_fill(a + 40 * PAGE, id + 40, 3);
	EXPECT(page_is(s + 40 * PAGE, id + 40, 6));
	press(pressure);
	EXPECT(page_is(a + 20 * PAGE, id + 20, 2) && page_is(a + 40 * PAGE, id + 40, 3));
	page_fill(s + 20 * PAGE, id + 20, 1);
	page_fill(s + 40 * PAGE, id + 40, 1);
	EXPECT(munmap(s, n * PAGE) == 0 && munmap(a, n * PAGE) == 0);
}

/* A memfd that nobody may store to any more: private copies of it can be changed. */
static void sealed(uint64_t id, size_t n)
{
	int fd = memfd_create("filecopy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char page[PAGE], *a;

	EXPECT(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		page_fill(page, id + i, 1);
		EXPECT(write(fd, page, PAGE) == (ssize_t)PAGE);
	}
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	a = map(fd, n, 0, NULL, 0);
	close(fd);
	change(a, n, id, 2);
	press(pressure);
	check(a, n, id, 2, "of a memfd");
	EXPECT(munmap(a, n * PAGE) == 0);
}

/* Read once in each direction, which brings many pages at a time, in between some that are there.
 */
static void scans(int fd, uint64_t id, size_t n)
{
	char *a = map(fd, n, 0, NULL, 0);

	for (size_t i = 7; i < n; i += 50)
		page_fill(a + i * PAGE, id + i, 2);
	for (size_t i = 0; i < n / 2; i++)
		EXPECT(page_is(a + i * PAGE, id + i, i % 50 == 7 ? 2 : 1));
	for (size_t i = n; i-- > n / 2;)
		EXPECT(page_is(a + i * PAGE, id + i, i % 50 == 7 ? 2 : 1));
	EXPECT(munmap(a, n * PAGE) == 0);
}

/* What the kernel refuses. */
static void refusals(int fd)
{
	char path[64];
	int out;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	out = open(path, O_WRONLY | O_CLOEXEC);
	EXPECT(out >= 0);
	EXPECT(mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, out, 0) ==
		       MAP_FAILED &&
	       errno == EACCES);
	close(out);
	EXPECT(mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 100) ==
		       MAP_FAILED &&
	       errno == EINVAL);
	EXPECT(mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, out, 0) ==
		       MAP_FAILED &&
	       errno == EBADF);
}

static void unchanged(int fd, uint64_t id)
{
	char page[PAGE];

	for (size_t i = 0; i + 1 < pages; i++)
		EXPECT(pread(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE &&
		       page_is(page, id + i, 1));
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "/var/tmp";
	size_t mib = arg_number(argc, argv, 2, 16), n;
	uint64_t id = 1000000, id2 = 5000000;
	int fd, fd2;

	pages = mib * PAGES_PER_MIB;
	pressure = mib;
	n = pages - 16;
	fd = make(dir, id, pages);
	fd2 = make(dir, id2, pages);
	discards(fd, id, n);
	file_end(fd, id);
	pieces(fd, id, fd2, id2, n / 2);
	moves(fd, id, n);
	forks(fd, id, n);
	others(fd, id, n);
	stores(fd, id, n);
	scans(fd, id, n);
	sealed(id2, n);
	refusals(fd);
	unchanged(fd, id);
	unchanged(fd2, id2);
	return ok("%zu MiB", mib);
}

/* memfdleave MIB PRESSURE [CASE] - calls that reach a memfd's content past its mappings. A memfd of
 * MIB MiB, mapped as a heap is, is filled, and pushed out by PRESSURE MiB of other memory; then a
 * case of its own gets at the content, and every byte must be there.
 */
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "memfdcase.h"

extern ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);

static void by_read(void)
{
	check_file(make(MFD_CLOEXEC), "as it is read");
	area_check(map, pages, 0, 0, "after it was read");
}

static void by_sendfile(void)
{
	int to = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	off_t at = 0;

	EXPECT(to >= 0);
	make(MFD_CLOEXEC);
	while (at < (off_t)(pages * PAGE))
		EXPECT(sendfile(to, fd, &at, pages * PAGE) > 0);
	check_file(to, "after sendfile");
}

static void by_copy(void)
{
	int to = memfd_create("to", MFD_CLOEXEC);
	off64_t at = 0;

	make(MFD_CLOEXEC);
	EXPECT(ftruncate(to, (off_t)(pages * PAGE)) == 0);
	while (at < (off64_t)(pages * PAGE)) {
		ssize_t got = copy_file_range(fd, &at, to, NULL, pages * PAGE, 0);

		if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP))
			return;
		EXPECT(got > 0);
	}
	check_file(to, "after copy_file_range");
}

static void by_splice(void)
{
	char page[PAGE];
	int pipes[2];

	EXPECT(pipe(pipes) == 0);
	make(MFD_CLOEXEC);
	for (size_t i = 0; i < pages; i++) {
		off64_t at = (off64_t)(i * PAGE);

		EXPECT(splice(fd, &at, pipes[1], NULL, PAGE, 0) == (ssize_t)PAGE);
		EXPECT(read(pipes[0], page, PAGE) == (ssize_t)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong after splice", i);
	}
}

static void by_private(void)
{
	char *at;

	make(MFD_CLOEXEC);
	at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	EXPECT(at != MAP_FAILED);
	area_check(at, pages, 0, 0, "in a private mapping");
	page_change(at, 0, 7);
	area_check(map, pages, 0, 0, "after a change to a private mapping");
}

static void by_reader(void)
{
	char path[64], *at;
	int only;

	make(MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	only = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(only >= 0);
	check_file(only, "through a descriptor for reading only");
	at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, only, 0);
	EXPECT(at != MAP_FAILED);
	area_check(at, pages, 0, 0, "in a mapping for reading only");
}

static void by_seal(void)
{
	char c = 1;

	make(MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
	EXPECT(ftruncate(fd, PAGE) < 0 && errno == EPERM);
	EXPECT(ftruncate(fd, (off_t)(2 * pages * PAGE)) < 0 && errno == EPERM);
	EXPECT(pwrite(fd, &c, 1, (off_t)(pages * PAGE)) < 0 && errno == EPERM);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EBUSY);
	area_check(map, pages, 0, 0, "after a seal that is refused");
	EXPECT(munmap(map, pages * PAGE) == 0);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	EXPECT(pwrite(fd, &c, 1, 0) < 0 && errno == EPERM);
	check_raw(fd, "when it is sealed");
}

static void by_stream(void)
{
	char page[PAGE];
	FILE *f;

	f = fdopen(make(MFD_CLOEXEC), "r+");
	EXPECT(f);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(fread(page, 1, PAGE, f) == PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong in a stream", i);
	}
}

static void by_seek(void)
{
	make(MFD_CLOEXEC);
	EXPECT(lseek(fd, 0, SEEK_HOLE) == (off_t)(pages * PAGE));
	EXPECT(lseek(fd, (off_t)PAGE, SEEK_DATA) == (off_t)PAGE);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(8 * PAGE),
			 4 * PAGE) == 0);
	EXPECT(lseek(fd, 3, SEEK_HOLE) == (off_t)(8 * PAGE));
	EXPECT(lseek(fd, 0, SEEK_CUR) == (off_t)(8 * PAGE));
	EXPECT(lseek(fd, (off_t)(9 * PAGE), SEEK_DATA) == (off_t)(12 * PAGE));
	EXPECT(lseek(fd, (off_t)(9 * PAGE + 5), SEEK_HOLE) == (off_t)(9 * PAGE + 5));
	EXPECT(lseek(fd, (off_t)(pages * PAGE), SEEK_HOLE) < 0 && errno == ENXIO);
}

static void by_print(void)
{
	make(MFD_CLOEXEC);
	EXPECT(lseek(fd, (off_t)(2 * PAGE), SEEK_SET) > 0 && dprintf(fd, "%s", "text") == 4);
	EXPECT(!memcmp(map + 2 * PAGE, "text", 4));
	page_fill(map + 2 * PAGE, 2, 0);
	area_check(map, pages, 0, 0, "after something was printed into it");
}

static void by_checked(void)
{
	static char page[PAGE];

	make(MFD_CLOEXEC);
	for (size_t i = 0; i < pages; i++) {
		EXPECT(__read_chk(fd, page, PAGE, sizeof(page)) == (ssize_t)PAGE);
		if (!page_is(page, i, 0))
			fail("page %zu is wrong in a checked read", i);
	}
}

/* ---- threads ---- */

static uint32_t round_now;

/* Reads a new memfd all the time: no call may fail. */
static void *reads(void *arg)
{
	char c;

	(void)arg;
	while (__atomic_load_n(&round_now, __ATOMIC_ACQUIRE))
		EXPECT(pread(fd, &c, 1, 0) == 1 && c == 0);
	return NULL;
}

/* It begins while another thread reads it. */
static void by_thread(void)
{
	char *place = map_bytes(pages * PAGE);
	pthread_t thread;

	for (int i = 0; i < 50; i++) {
		fd = memfd_create("thread", MFD_CLOEXEC);
		EXPECT(fd >= 0 && ftruncate(fd, (off_t)(pages * PAGE)) == 0);
		__atomic_store_n(&round_now, 1, __ATOMIC_RELEASE);
		EXPECT(pthread_create(&thread, NULL, reads, NULL) == 0);
		usleep(i * 20);
		EXPECT(mmap(place, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    0) == place);
		page_fill(place + PAGE, 1, 0);
		usleep(1000);
		__atomic_store_n(&round_now, 0, __ATOMIC_RELEASE);
		EXPECT(pthread_join(thread, NULL) == 0);
		EXPECT(page_is(place + PAGE, 1, 0) && close(fd) == 0);
	}
}

/* ---- more than fits ---- */

/* The call fails, and nothing else happens. */
static void by_too_much(void)
{
	char c;

	make(MFD_CLOEXEC);
	EXPECT(pread(fd, &c, 1, 0) < 0 && errno == ENOMEM);
	EXPECT(dup(fd) < 0 && errno == ENOMEM);
	area_check(map, pages, 0, 0, "after a call that failed");
}

/* It is closed, and lives in its mapping; then in nothing: its memory is free. */
static void by_close(void)
{
	for (int i = 0; i < 8; i++) {
		make(MFD_CLOEXEC);
		EXPECT(close(fd) == 0);
		area_check(map, pages, 0, 0, "after it was closed");
		EXPECT(munmap(map, pages * PAGE) == 0);
	}
}

static const struct memfd_case cases[] = {
	{ "read", by_read, false },
	{ "sendfile", by_sendfile, false },
	{ "copy", by_copy, false },
	{ "splice", by_splice, false },
	{ "private", by_private, false },
	{ "reader", by_reader, false },
	{ "seal", by_seal, false },
	{ "stream", by_stream, false },
	{ "seek", by_seek, false },
	{ "print", by_print, false },
	{ "checked", by_checked, false },
	{ "thread", by_thread, false },
	{ "close", by_close, false },
	/* Only where it is limited. */
	{ "too-much", by_too_much, true },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

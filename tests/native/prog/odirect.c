/* tests/native/prog/odirect.c - odirect [MIB] [PRESS_MIB] [ROUNDS] [DIR]
 *
 * Direct I/O between a file in DIR and memory that another thread keeps pushing out. The device
 * reads and writes the pages behind the program's back; a page taken away meanwhile would lose
 * the transfer.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "prog.h"

#define CHUNK (64 * 1024ul)

static atomic_bool stop;

static void *pressure(void *arg)
{
	unsigned long mib = *(unsigned long *)arg;
	size_t n = mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);
	uint64_t version = 0;

	area_fill(area, n, 1ull << 60, 0);
	while (!atomic_load(&stop)) {
		for (size_t i = 0; i < n && !atomic_load(&stop); i++) {
			if (!page_is(area + i * PAGE, (1ull << 60) + i, version))
				fail("page %zu of the pressure area is wrong", i);
			page_change(area + i * PAGE, (1ull << 60) + i, version + 1);
		}
		version++;
	}
	return NULL;
}

static int open_direct(const char *dir)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/odirect-XXXXXX", dir);
	fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
	if (fd < 0 && errno == EINVAL)
		cannot_run("no O_DIRECT in %s", dir);
	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	unlink(path);
	return fd;
}

static void transfer(int fd, bool out, char *area, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		size_t left = bytes - done < CHUNK ? bytes - done : CHUNK;
		ssize_t r = out ? pwrite(fd, area + done, left, (off_t)done)
				: pread(fd, area + done, left, (off_t)done);

		if (r <= 0)
			fail("%s at %zu: %s", out ? "pwrite" : "pread", done,
			     r ? strerror(errno) : "end of file");
		done += (size_t)r;
	}
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 16);
	unsigned long press_mib = arg_number(argc, argv, 2, 32);
	unsigned long rounds = arg_number(argc, argv, 3, 4);
	int fd = open_direct(argc > 4 ? argv[4] : ".");
	size_t n = mib * PAGES_PER_MIB;
	char *from = map_bytes(n * PAGE), *to = map_bytes(n * PAGE);
	pthread_t thread;

	EXPECT(pthread_create(&thread, NULL, pressure, &press_mib) == 0);
	for (unsigned long i = 0; i < rounds; i++) {
		area_fill(from, n, 0, i);
		transfer(fd, true, from, n * PAGE);
		area_check(from, n, 0, i, "after a direct write");
		/* Every second time into pages that were never touched. */
		if (i % 2)
			EXPECT(madvise(to, n * PAGE, MADV_DONTNEED) == 0);
		transfer(fd, false, to, n * PAGE);
		area_check(to, n, 0, i, "after a direct read");
	}
	atomic_store(&stop, true);
	EXPECT(pthread_join(thread, NULL) == 0);
	return ok("%lu MiB, %lu rounds", mib, rounds);
}

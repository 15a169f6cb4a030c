/* tests/native/prog/remaps.c - remaps [MIB] [PRESSURE MIB]
 *
 * Mappings that the kernel makes itself, over memory that was pushed out: remap_file_pages, a
 * second mapping of the same object by mremap and by /proc/self/map_files, shmat(SHM_REMAP), what
 * MREMAP_DONTUNMAP leaves behind, guard regions. Every page is checked before and after, in a
 * forked child, too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#define CHUNK 64ul /* pages */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static unsigned long pressure;
static size_t n;

static char *map_shared(size_t pages)
{
	char *p =
		mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	return p;
}

/* The page of the object that lies at page @i after the chunks were reversed. */
static size_t reversed(size_t i)
{
	return (n / CHUNK - 1 - i / CHUNK) * CHUNK + i % CHUNK;
}

static void check_reversed(const char *area, uint64_t version, const char *when)
{
	for (size_t i = 0; i < n; i++)
		if (!page_is(area + i * PAGE, reversed(i), version))
			fail("page %zu is wrong %s", i, when);
}

/* Looks at the memory all the while: it has one content or the other. */
static void *look(void *arg)
{
	static volatile char *area;
	volatile int *stop = arg;

	area = *(char *volatile *)(stop + 2);
	while (!*stop)
		for (size_t i = 0; i < n && !*stop; i += 7) {
			uint64_t head = *(volatile uint64_t *)(area + i * PAGE);

			if (head != pattern_head(i, 0) && head != pattern_head(reversed(i), 0))
				fail("page %zu has another page's content, or none, while it is "
				     "mapped again",
				     i);
		}
	return NULL;
}

static void remap_file(void)
{
	struct {
		volatile int stop, pad;
		char *area;
	} watch = { .area = map_shared(n) };
	char *area = watch.area;
	pthread_t thread;
	int status;
	pid_t pid;

	area_fill(area, n, 0, 0);
	press(pressure);
	errno = 0;
	EXPECT(remap_file_pages(area, PAGE, PROT_READ, 0, 0) == -1 && errno == EINVAL);
	EXPECT(pthread_create(&thread, NULL, look, (void *)&watch) == 0);
	for (size_t i = 0; i < n; i += CHUNK)
		EXPECT(remap_file_pages(area + i * PAGE, CHUNK * PAGE, 0, reversed(i), 0) == 0);
	watch.stop = 1;
	EXPECT(pthread_join(thread, NULL) == 0);
	press(pressure);
	check_reversed(area, 0, "after remap_file_pages");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		check_reversed(area, 0, "in a child");
		for (size_t i = 0; i < n; i += CHUNK)
			EXPECT(remap_file_pages(area + i * PAGE, CHUNK * PAGE, 0, i, 0) == 0);
		area_check(area, n, 0, 0, "after the child has put them in order");
		for (size_t i = 0; i < n; i++)
			page_change(area + i * PAGE, i, 1);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	check_reversed(area, 1, "after a child has changed them in its order");
	EXPECT(munmap(area, n * PAGE) == 0);
}

static void remap_errors(void)
{
	char *own = map_bytes(2 * PAGE), *area = map_shared(4 * CHUNK);

	errno = 0;
	EXPECT(remap_file_pages(own, PAGE, 0, 0, 0) == -1 && errno == EINVAL);
	EXPECT(munmap(area + CHUNK * PAGE, CHUNK * PAGE) == 0);
	errno = 0;
	EXPECT(remap_file_pages(area, 2 * CHUNK * PAGE, 0, 0, 0) == -1 && errno == EINVAL);
	EXPECT(mprotect(area, PAGE, PROT_READ) == 0);
	errno = 0;
	EXPECT(remap_file_pages(area, 2 * PAGE, 0, 0, 0) == -1 && errno == EINVAL);
	EXPECT(remap_file_pages(area, PAGE, 0, 1, 0) == 0);
	EXPECT(munmap(area, 4 * CHUNK * PAGE) == 0 && munmap(own, 2 * PAGE) == 0);
}

static void map_again(void)
{
	char *area = map_shared(n), *twin = mremap(area, 0, n * PAGE, MREMAP_MAYMOVE), *over,
	     name[64];
	int fd;

	EXPECT(twin != MAP_FAILED);
	area_fill(area, n, 0, 0);
	press(pressure);
	area_check(twin, n, 0, 0, "in a mapping by mremap");
	snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", (long)area,
		 (long)(area + n * PAGE));
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return; /* not allowed, or its name has changed */
	over = map_bytes(n * PAGE);
	area_fill(over, n, 1ull << 40, 0);
	press(pressure);
	EXPECT(mmap(over, n / 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	       over);
	area_check(over, n / 2, 0, 0, "in a mapping of its file over other memory");
	area_check(over + n / 2 * PAGE, n - n / 2, (1ull << 40) + n / 2, 0, "behind that");
	EXPECT(munmap(twin, n * PAGE) == 0);
	twin = mmap(NULL, n * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	EXPECT(twin != MAP_FAILED && close(fd) == 0);
	press(pressure);
	area_check(twin, n, 0, 0, "in a mapping of its file");
	EXPECT(munmap(area, n * PAGE) == 0 && munmap(twin, n * PAGE) == 0 &&
	       munmap(over, n * PAGE) == 0);
}

/* A segment of @pages, a small one the kernel's, over the middle of other memory. */
static void attach_over(size_t pages)
{
	int id = shmget(IPC_PRIVATE, pages * PAGE, IPC_CREAT | 0600);
	char *area = map_bytes(3 * n * PAGE), *at = area + n * PAGE, *there;

	EXPECT(id >= 0);
	there = shmat(id, NULL, 0);
	EXPECT(there != (void *)-1);
	area_fill(there, pages, 1ull << 41, 0);
	area_fill(area, 3 * n, 0, 0);
	press(pressure);
	errno = 0;
	EXPECT(shmat(id, at, 0) == (void *)-1 && errno == EINVAL);
	EXPECT(shmat(id, at + 1, SHM_REMAP | SHM_RND) == at);
	area_check(at, pages, 1ull << 41, 0, "of a segment over other memory");
	area_check(area, n, 0, 0, "before the segment");
	area_check(at + pages * PAGE, 2 * n - pages, n + pages, 0, "behind the segment");
	for (size_t i = 0; i < pages; i++)
		page_change(at + i * PAGE, (1ull << 41) + i, 1);
	EXPECT(shmdt(at) == 0);
	area_check(there, pages, 1ull << 41, 1, "of the segment elsewhere");
	EXPECT(mmap(at, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	area_check_zero(at, pages, "where the segment was");
	EXPECT(shmdt(there) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
	EXPECT(munmap(area, 3 * n * PAGE) == 0);
}

static void left_behind(char *area, bool shared)
{
	char *moved;

	area_fill(area, n, 0, 0);
	press(pressure);
	moved = mremap(area, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (moved == MAP_FAILED)
		return; /* before Linux 5.7, or 5.13 for shared memory */
	press(pressure);
	area_check(moved, n, 0, 0, "after MREMAP_DONTUNMAP");
	if (shared)
		area_check(area, n, 0, 0, "left behind, of shared memory");
	else
		area_check_zero(area, n, "left behind");
	EXPECT(munmap(area, n * PAGE) == 0 && munmap(moved, n * PAGE) == 0);
}

static void guarded(char *area, size_t keep, bool shared)
{
	area_fill(area, n, 0, 0);
	press(pressure);
	if (madvise(area + keep * PAGE, CHUNK * PAGE, MADV_GUARD_INSTALL) != 0)
		return; /* before Linux 6.13, or 6.15 for shared memory */
	press(pressure);
	EXPECT(madvise(area + keep * PAGE, CHUNK * PAGE, MADV_GUARD_REMOVE) == 0);
	area_check(area, keep, 0, 0, "before a guard");
	if (shared)
		area_check(area + keep * PAGE, CHUNK, keep, 0,
			   "that was guarded, of shared memory");
	else
		area_check_zero(area + keep * PAGE, CHUNK, "that was guarded");
	area_check(area + (keep + CHUNK) * PAGE, n - keep - CHUNK, keep + CHUNK, 0,
		   "behind a guard");
	EXPECT(munmap(area, n * PAGE) == 0);
}

/* As madvise, of this process itself; before Linux 6.13 refused. */
static void advice_by_pidfd(void)
{
	char *area = map_bytes(n * PAGE);
	struct iovec pieces[2] = { { area, CHUNK * PAGE },
				   { area + 2 * CHUNK * PAGE, CHUNK * PAGE } };
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	long got;

	area_fill(area, n, 0, 0);
	press(pressure);
	got = syscall(SYS_process_madvise, fd, pieces, 2L, (long)MADV_FREE, 0L);
	EXPECT(got == (long)(2 * CHUNK * PAGE) || (got == -1 && errno == EINVAL));
	EXPECT(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, area, n * PAGE, "named") == 0 ||
	       errno == EINVAL);
	press(pressure);
	for (size_t i = 0; i < n; i++) {
		bool freed = got > 0 && i / CHUNK % 2 == 0 && i < 3 * CHUNK;

		if (!page_is(area + i * PAGE, i, 0) && !(freed && page_is_zero(area + i * PAGE)))
			fail("page %zu is wrong after process_madvise", i);
	}
	EXPECT(munmap(area, n * PAGE) == 0 && close(fd) == 0);
}

int main(int argc, char **argv)
{
	n = arg_number(argc, argv, 1, 16) * PAGES_PER_MIB;
	pressure = arg_number(argc, argv, 2, 16);
	EXPECT(n >= 4 * CHUNK);
	remap_file();
	remap_errors();
	map_again();
	attach_over(4);
	attach_over(2 * CHUNK);
	left_behind(map_bytes(n * PAGE), false);
	left_behind(map_shared(n), true);
	guarded(map_bytes(n * PAGE), CHUNK, false);
	guarded(map_shared(n), CHUNK, true);
	advice_by_pidfd();
	return ok("%zu pages mapped again in every way", n);
}

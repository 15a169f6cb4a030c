/* tests/native/prog/sharedcalls.c - sharedcalls [MIB] [PRESSURE MIB]
 *
 * What can be done to shared anonymous memory besides touching it, each time after it was pushed
 * out: system calls into it, moves, a second mapping, advice, protection, a semaphore that
 * processes wait at, mappings made by the thousand.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "prog.h"

#define MANY 1000

static unsigned long pressure;
static size_t n;

static char *map_shared(size_t bytes, int prot, int flags)
{
	char *p = mmap(NULL, bytes, prot, MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);

	EXPECT(p != MAP_FAILED);
	return p;
}

static void system_calls(char *area)
{
	FILE *f = tmpfile();
	size_t bytes = n * PAGE;
	int fd;

	EXPECT(f != NULL);
	fd = fileno(f);
	press(pressure);
	EXPECT(write(fd, area, bytes) == (ssize_t)bytes);
	for (size_t i = 0; i < n; i++)
		page_change(area + i * PAGE, i, 7);
	press(pressure);
	EXPECT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, area, bytes) == (ssize_t)bytes);
	fclose(f);
	press(pressure);
	area_check(area, n, 0, 0, "after it was written to a file and read back");
}

/* Returns where it is now. */
static char *moves(char *area)
{
	size_t bytes = n * PAGE;
	char *place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *twin;

	EXPECT(place != MAP_FAILED);
	EXPECT(mremap(area, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
	area_check(place, n, 0, 0, "after a move");
	twin = mremap(place, 0, bytes, MREMAP_MAYMOVE);
	EXPECT(twin != MAP_FAILED);
	press(pressure);
	area_check(twin, n, 0, 0, "in a second mapping");
	for (size_t i = 0; i < n; i++)
		page_change(twin + i * PAGE, i, 1);
	press(pressure);
	area_check(place, n, 0, 1, "after stores through a second mapping");
	EXPECT(munmap(place, bytes) == 0);
	area_check(twin, n, 0, 1, "after the first mapping went");
	for (size_t i = 0; i < n; i++)
		page_change(twin + i * PAGE, i, 0);
	return twin;
}

/* It takes a descriptor to tell the supervisor, and there is none: what is refused then may be left
 * as it was, but what is done reads as zeros. */
static void removed_without_descriptors(char *area, size_t pages)
{
	struct rlimit before, few;
	int last = -1, fd;

	EXPECT(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few = (struct rlimit){ 40, before.rlim_max };
	EXPECT(setrlimit(RLIMIT_NOFILE, &few) == 0);
	while ((fd = dup(0)) >= 0)
		last = fd;
	if (madvise(area, pages * PAGE, MADV_REMOVE) == 0)
		area_check_zero(area, pages, "after MADV_REMOVE without a descriptor");
	else
		EXPECT(errno == EAGAIN);
	for (; last > 2; last--)
		close(last);
	EXPECT(setrlimit(RLIMIT_NOFILE, &before) == 0);
	EXPECT(madvise(area, pages * PAGE, MADV_REMOVE) == 0);
	area_check_zero(area, pages, "after MADV_REMOVE, tried again");
}

static void advice(char *area)
{
	size_t quarter = n / 4;

	EXPECT(madvise(area, n * PAGE, MADV_DONTNEED) == 0);
	area_check(area, n, 0, 0, "after MADV_DONTNEED, which drops nothing that is shared");
	press(pressure);
	EXPECT(madvise(area, quarter * PAGE, MADV_REMOVE) == 0);
	area_check_zero(area, quarter, "after MADV_REMOVE of what was swapped out");
	area_check(area + quarter * PAGE, n - quarter, quarter, 0, "behind what was removed");
	area_fill(area, quarter, 0, 0);
	EXPECT(madvise(area, quarter * PAGE, MADV_REMOVE) == 0);
	area_check_zero(area, quarter, "after MADV_REMOVE of what was there");
	area_fill(area, quarter, 0, 0);
	press(pressure);
	removed_without_descriptors(area, quarter);
	area_fill(area, quarter, 0, 0);
}

static void protection(void)
{
	char *area = map_shared(MIB, PROT_READ, 0);
	int status;

	area_check_zero(area, PAGES_PER_MIB, "in a new area that can be read only");
	EXPECT(mprotect(area, MIB, PROT_READ | PROT_WRITE) == 0);
	if (fork() == 0) {
		area_fill(area, PAGES_PER_MIB, 3, 3);
		_exit(0);
	}
	EXPECT(wait(&status) > 0 && status == 0);
	press(pressure);
	area_check(area, PAGES_PER_MIB, 3, 3, "after a child's stores");
	EXPECT(munmap(area, MIB) == 0);
}

/* A semaphore's waiter sleeps at an address; its page goes out meanwhile. */
static void semaphore(char *area)
{
	sem_t *s = (sem_t *)(void *)area;
	char *word = area + n / 2 * PAGE;
	int status;

	EXPECT(sem_init(s, 1, 0) == 0);
	if (fork() == 0) {
		while (sem_wait(s) != 0)
			;
		_exit(*word == 5 ? 0 : 1);
	}
	usleep(50000);
	press(pressure);
	*word = 5;
	press(pressure);
	EXPECT(sem_post(s) == 0);
	EXPECT(wait(&status) > 0 && status == 0);
}

static void locked(void)
{
	char *area = map_shared(MIB, PROT_READ | PROT_WRITE, 0), *filled;
	unsigned char there[PAGES_PER_MIB];

	area_fill(area, PAGES_PER_MIB, 9, 9);
	EXPECT(mlock(area, MIB) == 0);
	press(pressure);
	EXPECT(mincore(area, MIB, there) == 0);
	for (size_t i = 0; i < PAGES_PER_MIB; i++)
		if (!(there[i] & 1))
			fail("page %zu of locked shared memory went out", i);
	area_check(area, PAGES_PER_MIB, 9, 9, "while it was locked");
	EXPECT(munlock(area, MIB) == 0 && munmap(area, MIB) == 0);
	filled = map_shared(MIB, PROT_READ | PROT_WRITE, MAP_POPULATE);
	area_check_zero(filled, PAGES_PER_MIB, "in an area that was filled at once");
	EXPECT(munmap(filled, MIB) == 0);
}

static void many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		char *area = map_shared(MIB / 8, PROT_READ | PROT_WRITE, 0);

		area[0] = area[MIB / 16] = 1;
		EXPECT(munmap(area, MIB / 8) == 0);
	}
}

/* More at once than there may be descriptors: what gets none is shared memory all the same. */
static void many_at_once(void)
{
	static char *area[MANY];
	const size_t pages = MIB / 8 / PAGE;
	int status;

	for (unsigned i = 0; i < MANY; i++) {
		area[i] = map_shared(MIB / 8, PROT_READ | PROT_WRITE, 0);
		page_fill(area[i], i, 0);
	}
	if (fork() == 0) {
		for (unsigned i = 0; i < MANY; i++)
			page_fill(area[i] + (pages - 1) * PAGE, i, 1);
		_exit(0);
	}
	EXPECT(wait(&status) > 0 && status == 0);
	for (unsigned i = 0; i < MANY; i++) {
		EXPECT(page_is(area[i], i, 0) && page_is(area[i] + (pages - 1) * PAGE, i, 1));
		EXPECT(munmap(area[i], MIB / 8) == 0);
	}
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 16);
	char *area;

	pressure = arg_number(argc, argv, 2, mib);
	n = mib * PAGES_PER_MIB;
	area = map_shared(n * PAGE, PROT_READ | PROT_WRITE, 0);
	area_fill(area, n, 0, 0);
	system_calls(area);
	area = moves(area);
	advice(area);
	protection();
	semaphore(area);
	locked();
	many();
	many_at_once();
	return ok("%lu MiB", mib);
}

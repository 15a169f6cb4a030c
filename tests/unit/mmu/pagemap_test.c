/* tests/unit/mmu/pagemap_test.c - where a process has anonymous pages, found by either way of
 * looking. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/mm_types.h"
#include "mmu/host/pagemap.h"
#include "test.h"

#define GIB (1ull << 30)
/* PAGEMAP_SCAN without an argument: ENOTTY where the kernel has none. */
#define PAGEMAP_SCAN_SIZED_0 _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96), NULL

struct found {
	const char *base;
	uint64_t n, last;
	bool *seen; /* by page; NULL: not wanted */
};

static void note(uint64_t start, uint64_t end, void *arg)
{
	struct found *f = arg;

	assert_true(start < end && start >= f->last && !((start | end) & ~PAGE_MASK));
	f->last = end;
	for (uint64_t va = start; va < end; va += PAGE_SIZE, f->n++)
		if (f->seen)
			f->seen[(va - (uintptr_t)f->base) >> PAGE_SHIFT] = true;
}

static char *reserve(uint64_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		TEST_SKIP("so many addresses cannot be reserved here");
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static struct pagemap of_ourselves(bool scans)
{
	struct pagemap p;

	assert_int_equal(pagemap_open(&p, getpid()), 0);
	p.scans = scans;
	return p;
}

/* Either way, in a range that is slightly, or much, larger than one read. */
static void finds_all(bool scans, uint64_t pages)
{
	bool *there = calloc(pages, 1), *seen = calloc(pages, 1);
	char *base = reserve(pages * PAGE_SIZE);
	struct found f = { .base = base, .seen = seen };
	struct pagemap p = of_ourselves(scans);
	uint64_t n = 0;

	srand(7);
	for (uint64_t i = 0; i < pages; i += 1 + (uint64_t)rand() % (pages / 200))
		for (uint64_t k = i; k < pages && k < i + 3; k++)
			there[k] = true;
	there[0] = there[pages - 1] = true;
	for (uint64_t i = 0; i < pages; i++)
		if (there[i]) {
			base[i * PAGE_SIZE] = 1;
			n++;
		}
	assert_int_equal(
		pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + pages * PAGE_SIZE, note, &f),
		0);
	assert_int_equal(f.n, n);
	assert_memory_equal(there, seen, pages);
	pagemap_close(&p);
	munmap(base, pages * PAGE_SIZE);
	free(there);
	free(seen);
}

TEST(every_anonymous_page_is_found_once_and_in_order)
{
	for (int scans = 0; scans < 2; scans++) {
		finds_all(scans, 1000);
		finds_all(scans, 5000);
		finds_all(scans, 100000);
	}
}

TEST(pages_of_files_are_none)
{
	for (int scans = 0; scans < 2; scans++) {
		struct found f = { 0 };
		struct pagemap p = of_ourselves(scans);
		int fd = open("/proc/self/exe", O_RDONLY);
		volatile char *file =
			mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

		assert_ptr_not_equal(file, MAP_FAILED);
		(void)file[0];
		assert_int_equal(
			pagemap_anon(&p, (uintptr_t)file, (uintptr_t)file + PAGE_SIZE, note, &f),
			0);
		assert_int_equal(f.n, 0);
		file[0] = 1; /* a copy of our own is one */
		assert_int_equal(
			pagemap_anon(&p, (uintptr_t)file, (uintptr_t)file + PAGE_SIZE, note, &f),
			0);
		assert_int_equal(f.n, 1);
		pagemap_close(&p);
		munmap((void *)(uintptr_t)file, PAGE_SIZE);
		close(fd);
	}
}

/* Read and never written. */
TEST(the_page_of_zeros_is_none_where_that_can_be_told)
{
	volatile char *base = reserve(3 * PAGE_SIZE);
	struct pagemap p = of_ourselves(true);
	struct found f = { 0 };
	int fd = open("/proc/self/pagemap", O_RDONLY);

	(void)base[0];
	base[PAGE_SIZE] = 1;
	(void)base[2 * PAGE_SIZE];
	assert_int_equal(
		pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + 3 * PAGE_SIZE, note, &f), 0);
	assert_true(f.n == 1 ||
		    (f.n == 3 && ioctl(fd, PAGEMAP_SCAN_SIZED_0) < 0 && errno == ENOTTY));
	close(fd);
	pagemap_close(&p);
	munmap((void *)(uintptr_t)base, 3 * PAGE_SIZE);
}

/* Terabytes of nothing. Page by page these are 4 thousand million words: too slow to wait for. */
TEST(what_is_reserved_costs_nothing)
{
	const uint64_t bytes = 16384 * GIB;
	char *base = reserve(bytes);
	struct pagemap p = of_ourselves(true);
	struct found f = { 0 };
	int err;

	base[0] = base[bytes - 1] = 1;
	err = pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + bytes, note, &f);
	if (err == -E2BIG)
		TEST_SKIP("the kernel has no PAGEMAP_SCAN");
	assert_int_equal(err, 0);
	assert_int_equal(f.n, 2);
	pagemap_close(&p);
	munmap(base, bytes);
}

/* On an older kernel: nothing is read where nothing is mapped, reading ends when all is found, and
 * where that would take too long, it ends too. */
TEST(without_scanning_the_work_is_bounded)
{
	const uint64_t bytes = 16384 * GIB;
	char *base = reserve(bytes);
	struct pagemap p = of_ourselves(false);
	struct found f = { 0 };

	assert_int_equal(pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + bytes, note, &f), 0);
	assert_int_equal(f.n, 0);
	base[1000 * PAGE_SIZE] = base[2000 * PAGE_SIZE] = 1;
	assert_int_equal(pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + bytes, note, &f), 0);
	assert_int_equal(f.n, 2);
	base[bytes - 1] = 1;
	f = (struct found){ 0 };
	assert_int_equal(pagemap_anon(&p, (uintptr_t)base, (uintptr_t)base + bytes, note, &f),
			 -E2BIG);
	assert_int_equal(f.n, 2);
	pagemap_close(&p);
	munmap(base, bytes);
}

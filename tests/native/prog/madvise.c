/* tests/native/prog/madvise.c - madvise [MIB]
 *
 * Each way to give memory back or to give advice about it, on an area larger than the limit. The
 * area is filled anew before each.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include "prog.h"

static char *area;
static size_t n;    /* pages */
static size_t a, b; /* the middle part is [a, b) */

static char *at(size_t i)
{
	return area + i * PAGE;
}

static size_t middle_bytes(void)
{
	return (b - a) * PAGE;
}

/* What lies around the middle part is untouched. */
static void check_around(const char *when)
{
	area_check(area, a, 0, 0, when);
	area_check(at(b), n - b, b, 0, when);
}

static void refill_middle(uint64_t version, const char *when)
{
	area_fill(at(a), b - a, a, version);
	area_check(at(a), b - a, a, version, when);
}

static void dontneed_gives_zeros(void)
{
	EXPECT(madvise(at(a), middle_bytes(), MADV_DONTNEED) == 0);
	area_check_zero(at(a), b - a, "after MADV_DONTNEED");
	check_around("around MADV_DONTNEED");
	refill_middle(1, "after MADV_DONTNEED and writing");
}

/* A page is dropped as a whole or not at all, and never after it was written again. */
static void free_gives_old_or_zero(void)
{
	EXPECT(madvise(at(a), middle_bytes(), MADV_FREE) == 0);
	for (size_t i = a; i < b; i += 2)
		page_fill(at(i), i, 5);
	press(n / PAGES_PER_MIB);
	for (size_t i = a; i < b; i++) {
		if ((i - a) % 2 == 0 && !page_is(at(i), i, 5))
			fail("page %zu, written after MADV_FREE, is lost", i);
		if ((i - a) % 2 && !page_is(at(i), i, 0) && !page_is_zero(at(i)))
			fail("page %zu after MADV_FREE is neither old nor zero", i);
	}
	check_around("around MADV_FREE");
}

static void advice_keeps_data(void)
{
	static const int advice[] = { MADV_WILLNEED, MADV_SEQUENTIAL, MADV_RANDOM,  MADV_NORMAL,
				      MADV_COLD,     MADV_PAGEOUT,    MADV_WILLNEED };

	for (unsigned i = 0; i < sizeof(advice) / sizeof(*advice); i++) {
		if (madvise(at(a), middle_bytes(), advice[i]) < 0 && errno != EINVAL)
			fail("advice %d: %s", advice[i], strerror(errno));
		area_check(area, n, 0, 0, "after advice that keeps data");
	}
}

/* Many small holes, mapped again afterwards. */
static void holes_come_back_as_zeros(void)
{
	for (size_t i = a; i + 4 <= b; i += 4)
		EXPECT(munmap(at(i), 2 * PAGE) == 0);
	for (size_t i = a; i + 4 <= b; i += 4) {
		void *p = mmap(at(i), 2 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		EXPECT(p == at(i));
	}
	for (size_t i = a; i + 4 <= b; i += 4) {
		area_check_zero(at(i), 2, "in a hole mapped again");
		area_check(at(i + 2), 2, i + 2, 0, "between holes");
	}
	check_around("around the holes");
}

static void middle_unmapped_and_mapped_again(void)
{
	unsigned char in_core;

	EXPECT(munmap(at(a), middle_bytes()) == 0);
	EXPECT(mincore(at(a), PAGE, &in_core) < 0 && errno == ENOMEM);
	check_around("around the part unmapped");
	EXPECT(mmap(at(a), middle_bytes(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(a));
	area_check_zero(at(a), b - a, "in the part mapped again");
	refill_middle(2, "in the part mapped again and written");
}

/* A mapping put over a mapping drops what was there. */
static void mapped_over(void)
{
	EXPECT(mmap(at(a), middle_bytes(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(a));
	area_check_zero(at(a), b - a, "in the part mapped over");
	check_around("around the part mapped over");
}

static sigjmp_buf escape;

static void on_segv(int sig)
{
	(void)sig;
	siglongjmp(escape, 1);
}

/* Does touching @p fault? */
static bool faults(volatile char *p, bool write)
{
	if (sigsetjmp(escape, 1))
		return true;
	if (write)
		*p = 1;
	else
		(void)*p;
	return false;
}

static void protection_keeps_data(void)
{
	signal(SIGSEGV, on_segv);
	EXPECT(mprotect(at(a), middle_bytes(), PROT_READ) == 0);
	area_check(at(a), b - a, a, 0, "in the read-only part");
	for (size_t i = a; i < b; i += 7)
		EXPECT(faults(at(i), true));
	EXPECT(mprotect(at(a), middle_bytes(), PROT_NONE) == 0);
	press(n / PAGES_PER_MIB);
	for (size_t i = a; i < b; i += 7)
		EXPECT(faults(at(i), false));
	EXPECT(mprotect(at(a), middle_bytes(), PROT_READ | PROT_WRITE) == 0);
	signal(SIGSEGV, SIG_DFL);
	area_check(area, n, 0, 0, "after PROT_NONE");
	refill_middle(3, "after PROT_NONE and writing");
}

static void in_child(void (*look)(void))
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (pid == 0) {
		look();
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		fail("a child ended with %#x", (unsigned)status);
}

static void child_has_zeros(void)
{
	area_check_zero(at(a), b - a, "in a child, after MADV_WIPEONFORK");
	check_around("in a child, around MADV_WIPEONFORK");
	refill_middle(4, "in a child, after MADV_WIPEONFORK and writing");
}

static void child_has_a_hole(void)
{
	unsigned char in_core;

	EXPECT(mincore(at(a), PAGE, &in_core) < 0 && errno == ENOMEM);
	check_around("in a child, around MADV_DONTFORK");
	EXPECT(mmap(at(a), middle_bytes(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(a));
	area_check_zero(at(a), b - a, "in a child, mapped where MADV_DONTFORK was");
}

static void child_has_all(void)
{
	area_check(area, n, 0, 0, "in a child, after the advice was taken back");
}

/* What is swapped out too. The parent keeps it, and the next child gets it. */
static void forks_obey(void)
{
	EXPECT(madvise(at(a), middle_bytes(), MADV_WIPEONFORK) == 0);
	in_child(child_has_zeros);
	EXPECT(madvise(at(a), middle_bytes(), MADV_KEEPONFORK) == 0);
	in_child(child_has_all);
	EXPECT(madvise(at(a), middle_bytes(), MADV_DONTFORK) == 0);
	in_child(child_has_a_hole);
	EXPECT(madvise(at(a), middle_bytes(), MADV_DOFORK) == 0);
	in_child(child_has_all);
	area_check(area, n, 0, 0, "after four forks");
}

static char *grown;
static size_t grown_pages;

static void child_has_grown_zeros(void)
{
	area_check_zero(grown, grown_pages,
			"in a child, in an area that has grown since MADV_WIPEONFORK");
}

static void advice_holds_for_what_grows(void)
{
	grown_pages = 2 * (b - a);
	grown = map_bytes(middle_bytes());
	EXPECT(madvise(grown, middle_bytes(), MADV_WIPEONFORK) == 0);
	grown = mremap(grown, middle_bytes(), grown_pages * PAGE, MREMAP_MAYMOVE);
	EXPECT(grown != MAP_FAILED);
	area_fill(grown, grown_pages, 0, 0);
	press(n / PAGES_PER_MIB);
	in_child(child_has_grown_zeros);
	area_check(grown, grown_pages, 0, 0, "in an area that has grown, after a fork");
	EXPECT(munmap(grown, grown_pages * PAGE) == 0);
}

int main(int argc, char **argv)
{
	static void (*const steps[])(void) = {
		dontneed_gives_zeros,
		free_gives_old_or_zero,
		advice_keeps_data,
		holes_come_back_as_zeros,
		middle_unmapped_and_mapped_again,
		mapped_over,
		protection_keeps_data,
		forks_obey,
		advice_holds_for_what_grows,
	};
	unsigned long mib = arg_number(argc, argv, 1, 32);

	n = mib * PAGES_PER_MIB;
	a = n / 3;
	b = 2 * n / 3;
	area = map_bytes(n * PAGE);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		area_fill(area, n, 0, 0);
		steps[i]();
	}
	return ok("%lu MiB, %zu ways", mib, sizeof(steps) / sizeof(*steps));
}

/* tests/native/prog/oddcalls.c - oddcalls SEED CALLS
 *
 * Memory calls with odd arguments: lengths of 0, that overflow, that are no multiple of a page;
 * addresses between and beyond the areas, unknown flags. All act on a range of fixed place, so each
 * result and errno is the same in every run of a seed. Prints a line per call, and at the end what
 * the range holds. For `diff` of a run without umemcg and one under it.
 */
#include <linux/mman.h>
#include <sys/syscall.h>

#include "prog.h"

#define PLACE      0x100000000000ul
#define PAGES      512ul
#define LEN        (PAGES * PAGE)
#define ADVICE_MAX 22

static uint64_t state;
static char last[128]; /* the call, with its arguments */

static uint64_t draw(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void note(const char *name, const char *addr, size_t len, long a, long b)
{
	snprintf(last, sizeof(last), "%s %lx %zx %lx %lx", name, (unsigned long)(uintptr_t)addr,
		 len, a, b);
}

/* Mostly within the range. */
static char *draw_addr(void)
{
	uint64_t at = PLACE + draw(PAGES) * PAGE;

	switch (draw(16)) {
	case 0:
		return (char *)at + 1 + draw(PAGE - 1);
	case 1:
		return (char *)(PLACE + LEN - PAGE);
	case 2:
		return NULL;
	case 3:
		return (char *)-PAGE;
	case 4:
		return (char *)(PLACE + LEN);
	default:
		return (char *)at;
	}
}

static size_t draw_len(void)
{
	switch (draw(16)) {
	case 0:
		return 0;
	case 1:
		return SIZE_MAX;
	case 2:
		return SIZE_MAX - PAGE + 1;
	case 3:
		return 1;
	case 4:
		return 1 + draw(8 * PAGE);
	case 5:
		return SIZE_MAX / 2;
	default:
		return (1 + draw(24)) * PAGE;
	}
}

static int draw_prot(void)
{
	static const int prot[] = {
		PROT_NONE,  PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_WRITE, 0x40
	};

	return prot[draw(6)];
}

static bool inside(const char *addr, size_t len)
{
	uint64_t at = (uintptr_t)addr;

	return at >= PLACE && at < PLACE + LEN && len <= PLACE + LEN - at;
}

/* Stays within the range, else it would hit what belongs to others. */
static long odd_mmap(char *addr, size_t len)
{
	int flags = MAP_ANONYMOUS | MAP_FIXED, prot = draw_prot();

	flags |= draw(4) ? MAP_PRIVATE : MAP_SHARED;
	if (!draw(6))
		flags |= MAP_NORESERVE;
	if (!draw(6))
		flags |= MAP_POPULATE;
	if (!draw(12))
		flags = MAP_ANONYMOUS | MAP_FIXED; /* neither shared nor private */
	if (!inside(addr, len))
		len = len ? PAGE : 0;
	if (!inside(addr, len))
		addr = (char *)PLACE;
	note("mmap", addr, len, prot, flags);
	return (long)mmap(addr, len, prot, flags, -1, 0);
}

static long odd_munmap(char *addr, size_t len)
{
	note("munmap", addr, len, 0, 0);
	return inside(addr, len) || !len || (uintptr_t)addr % PAGE || len > SIZE_MAX / 2
		       ? munmap(addr, len)
		       : 0;
}

static long odd_mremap(char *addr, size_t len)
{
	size_t to_len = draw_len();
	char *to = draw_addr();
	int flags = (int)draw(8);

	/* More than a page may be one area here and two there: the kernel merges them as it likes.
	 */
	if (len > PAGE && len < SIZE_MAX / 2)
		len = PAGE;
	/* It looks whether the new length is in one area before it finds that the old one
	 * overflows: EFAULT or EINVAL. */
	if (len >= SIZE_MAX / 2 && to_len > PAGE && to_len < SIZE_MAX / 2)
		to_len = PAGE;
	if (!inside(to, to_len))
		flags &= MREMAP_DONTUNMAP;
	if (!(flags & MREMAP_FIXED))
		flags &= ~MREMAP_MAYMOVE;
	note("mremap", addr, len, (long)to_len, flags);
	return (long)mremap(addr, len, to_len, flags, to);
}

static long odd_advice(char *addr, size_t len)
{
	int advice = (int)draw(ADVICE_MAX + 4);

	/* What pages hold afterwards is the kernel's choice. */
	if (advice == MADV_FREE || advice == MADV_HWPOISON || advice > ADVICE_MAX)
		advice = advice == MADV_FREE ? MADV_DONTNEED : 1000 + advice;
	note("madvise", addr, len, advice, 0);
	return madvise(addr, len, advice);
}

/* Which areas a call has locked before it failed depends on who refuses it. */
static long locked(long ret)
{
	int err = errno;

	for (uint64_t i = 0; ret && i < 2 * PAGES; i++)
		munlock((char *)PLACE + i * PAGE, PAGE);
	errno = err;
	return ret;
}

static long odd_lock(char *addr, size_t len, unsigned flags)
{
	note("mlock2", addr, len, (long)flags, 0);
	return locked(mlock2(addr, len, flags));
}

static long odd_protect(char *addr, size_t len)
{
	int prot = draw_prot();

	note("mprotect", addr, len, prot, 0);
	return mprotect(addr, len, prot);
}

static long odd_sync(char *addr, size_t len)
{
	int flags = (int)draw(8);

	note("msync", addr, len, flags, 0);
	return msync(addr, len, flags);
}

/* Whether pages are there is the kernel's choice; which areas are is not. */
static long odd_mincore(char *addr, size_t len)
{
	unsigned char in[PAGES];

	note("mincore", addr, len, 0, 0);
	return mincore(addr, len, len / PAGE < PAGES ? in : NULL);
}

static long call(void)
{
	char *addr = draw_addr();
	size_t len = draw_len();

	switch (draw(14)) {
	case 0:
	case 1:
		return odd_mmap(addr, len);
	case 2:
		return odd_munmap(addr, len);
	case 3:
	case 4:
		return odd_mremap(addr, len);
	case 5:
	case 6:
		return odd_protect(addr, len);
	case 7:
	case 8:
		return odd_advice(addr, len);
	case 9:
		note("mlock", addr, len, 0, 0);
		return locked(mlock(addr, len));
	case 10:
		note("munlock", addr, len, 0, 0);
		return munlock(addr, len);
	case 11:
		return odd_lock(addr, len, (unsigned)draw(3));
	case 12:
		return odd_sync(addr, len);
	default:
		return odd_mincore(addr, len);
	}
}

/* Through a call, as not all of it may be read. */
static void look(bool change, uint64_t *sum, unsigned long *readable)
{
	int io[2];

	EXPECT(pipe(io) == 0);
	*sum = 0;
	*readable = 0;
	for (uint64_t i = 0; i < PAGES; i++) {
		char *at = (char *)PLACE + i * PAGE;
		uint64_t word = 0;

		if (write(io[1], at, sizeof(word)) != sizeof(word))
			continue;
		EXPECT(read(io[0], &word, sizeof(word)) == sizeof(word));
		*sum = (*sum * 31 + word) ^ i;
		++*readable;
		if (!change)
			continue;
		word = word * 7 + i + 1;
		EXPECT(write(io[1], &word, sizeof(word)) == sizeof(word));
		if (read(io[0], at, sizeof(word)) != sizeof(word))
			EXPECT(read(io[0], &word, sizeof(word)) == sizeof(word));
	}
	close(io[0]);
	close(io[1]);
}

int main(int argc, char **argv)
{
	unsigned long calls = arg_number(argc, argv, 2, 1000), readable;
	uint64_t sum;

	setvbuf(stdout, NULL, _IOLBF, 0);
	state = arg_number(argc, argv, 1, 1) * 0x9e3779b97f4a7c15ul | 1;
	EXPECT(mmap((void *)PLACE, LEN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)PLACE);
	for (unsigned long i = 0; i < calls; i++) {
		long ret = call();
		int err = errno;

		printf("%lu %s: %lx %d\n", i, last, ret, ret == -1 ? err : 0);
		if (i % 16 == 0) {
			look(true, &sum, &readable);
			printf("%lu holds %lx in %lu\n", i, (unsigned long)sum, readable);
		}
	}
	look(false, &sum, &readable);
	printf("at last %lx in %lu\n", (unsigned long)sum, readable);
	return 0;
}

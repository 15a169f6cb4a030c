/* tests/native/prog/prog.h - what the test programs share.
 *
 * Each program is an ordinary one that knows nothing of umemcg. It uses memory in one particular
 * way, checks every byte, prints one line ("NAME: ok ..." or "NAME: FAILED: why") and exits 0 or
 * 1; 77 says that the system cannot run it. Sizes come from the command line.
 *
 * A page of the pattern belongs to an id (where it is) and a version (how often it was changed).
 * Half of it is noise and half is one repeated word, so that it compresses to about half.
 */
#ifndef UMEMCG_TESTS_PROG_H
#define UMEMCG_TESTS_PROG_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE          4096ul
#define WORDS         (PAGE / 8)
#define MIB           (1024ul * 1024)
#define PAGES_PER_MIB (MIB / PAGE)

/* Print why and leave, whatever other threads do. */
__attribute__((format(printf, 1, 2), noreturn, unused)) static void fail(const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "%s: FAILED: %s\n", program_invocation_short_name, text);
	_exit(1);
}

__attribute__((format(printf, 1, 2), noreturn, unused)) static void cannot_run(const char *format,
									       ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "%s: skipped: %s\n", program_invocation_short_name, text);
	_exit(77);
}

__attribute__((format(printf, 1, 2), unused)) static int ok(const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "%s: ok %s\n", program_invocation_short_name, text);
	return 0;
}

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail("line %d: %s (errno %d)", __LINE__, #cond, errno);                    \
	} while (0)

/* Argument @i as a number, or @fallback when there are fewer. */
__attribute__((unused)) static unsigned long arg_number(int argc, char **argv, int i,
							unsigned long fallback)
{
	char *end;
	unsigned long n;

	if (i >= argc)
		return fallback;
	n = strtoul(argv[i], &end, 10);
	if (end == argv[i] || *end)
		fail("argument %d is not a number: %s", i, argv[i]);
	return n;
}

__attribute__((unused)) static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Past libc, whose syscall(2) is redirected: what the program's kernel says, or does. As syscall(2)
 * otherwise. */
__attribute__((unused)) static long raw_syscall6(long nr, long a, long b, long c, long d, long e,
						 long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr, ret __asm__("x0") = a, x1 __asm__("x1") = b,
			 x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e,
			 x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(ret)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
#endif
	if ((unsigned long)ret <= -4096ul)
		return ret;
	errno = (int)-ret;
	return -1;
}

__attribute__((unused)) static long raw_syscall(long nr, long a, long b, long c)
{
	return raw_syscall6(nr, a, b, c, 0, 0, 0);
}

__attribute__((unused)) static char *map_bytes(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap of %zu bytes: %s", n, strerror(errno));
	return p;
}

/* ---- random numbers ----------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t rnd(uint64_t *state)
{
	return mix(*state += 0x9e3779b97f4a7c15ull);
}

/* ---- the pattern -------------------------------------------------------------------------- */

static inline uint64_t pattern_head(uint64_t id, uint64_t version)
{
	return mix(id * 1000003 + version) | 1;
}

static inline uint64_t pattern_word(uint64_t id, unsigned i)
{
	return i < WORDS / 2 ? mix(id + ((uint64_t)i << 40)) : id + 1;
}

/* Change a page of the pattern to @version: its first and last word. */
static inline void page_change(void *page, uint64_t id, uint64_t version)
{
	uint64_t *w = page;

	w[0] = pattern_head(id, version);
	w[WORDS - 1] = ~w[0];
}

static inline void page_fill(void *page, uint64_t id, uint64_t version)
{
	uint64_t *w = page;

	for (unsigned i = 1; i < WORDS - 1; i++)
		w[i] = pattern_word(id, i);
	page_change(page, id, version);
}

static inline bool page_is(const void *page, uint64_t id, uint64_t version)
{
	const uint64_t *w = page;
	uint64_t head = pattern_head(id, version);
	uint64_t wrong = (w[0] ^ head) | (w[WORDS - 1] ^ ~head);

	for (unsigned i = 1; i < WORDS - 1; i++)
		wrong |= w[i] ^ pattern_word(id, i);
	return !wrong;
}

static inline bool page_is_zero(const void *page)
{
	const uint64_t *w = page;
	uint64_t any = 0;

	for (unsigned i = 0; i < WORDS; i++)
		any |= w[i];
	return !any;
}

/* ---- areas: pages [0, n) at @area have ids id, id + 1, ... ----------------------------------- */

__attribute__((unused)) static void area_fill(char *area, size_t n, uint64_t id, uint64_t version)
{
	for (size_t i = 0; i < n; i++)
		page_fill(area + i * PAGE, id + i, version);
}

__attribute__((unused)) static void area_check(const char *area, size_t n, uint64_t id,
					       uint64_t version, const char *when)
{
	for (size_t i = 0; i < n; i++)
		if (!page_is(area + i * PAGE, id + i, version))
			fail("page %zu of %zu is wrong %s", i, n, when);
}

__attribute__((unused)) static void area_check_zero(const char *area, size_t n, const char *when)
{
	for (size_t i = 0; i < n; i++)
		if (!page_is_zero(area + i * PAGE))
			fail("page %zu of %zu is not zero %s", i, n, when);
}

/* Push everything else out: touch @mib MiB of other memory, and check that too. */
__attribute__((unused)) static void press(unsigned long mib)
{
	size_t n = mib * PAGES_PER_MIB;
	char *area;

	if (!n)
		return;
	area = map_bytes(n * PAGE);
	area_fill(area, n, 1ull << 60, 0);
	area_check(area, n, 1ull << 60, 0, "in the pressure area");
	EXPECT(munmap(area, n * PAGE) == 0);
}

#endif

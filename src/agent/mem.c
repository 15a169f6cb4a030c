/* agent/mem.c - the memory functions that the compiler calls implicitly.
 *
 * Defined here, hidden, so that no copy or clear in the helper thread reaches libc's (or a
 * sanitizer's) through the PLT. Everything the agent copies is small.
 */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *at, int c, size_t n);

/* The empty asm keeps the compiler from turning the loop into a call to this function. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	const char *s = from;
	char *d = to;

	while (n--) {
		*d++ = *s++;
		__asm__ volatile("" : : : "memory");
	}
	return to;
}

void *memset(void *at, int c, size_t n)
{
	char *d = at;

	while (n--) {
		*d++ = (char)c;
		__asm__ volatile("" : : : "memory");
	}
	return at;
}

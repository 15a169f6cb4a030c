/* tests/native/prog/threadexec.c - threadexec [TIMES] [MIB]
 *
 * Linked statically. Touches up to MIB of fresh memory with two threads, and then, from the second
 * one, executes itself, TIMES times. At each exec the number of the thread that called it becomes
 * that of the process, and the first thread is gone.
 */
#include <pthread.h>

#include "prog.h"

#define THREADS_TOUCH 2

static unsigned long times;
static size_t n;
static char *area;

static void touch(size_t from)
{
	for (size_t i = from; i < n; i += THREADS_TOUCH)
		area[i * PAGE] = 1;
}

static void *second(void *arg)
{
	char left[24], mib[24];
	char *args[] = { "threadexec", left, mib, NULL };

	touch(1);
	snprintf(left, sizeof(left), "%lu", times - 1);
	snprintf(mib, sizeof(mib), "%s", (char *)arg);
	execv("/proc/self/exe", args);
	fail("exec: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 2, 4);
	pthread_t thread;

	times = arg_number(argc, argv, 1, 100);
	if (!times)
		return ok("that was the last exec");
	/* Another amount each time: a stop is to come before, in and after the exec. */
	n = mib * PAGES_PER_MIB * (times % 8 + 1) / 8;
	area = map_bytes(n * PAGE);
	EXPECT(pthread_create(&thread, NULL, second, argc > 2 ? argv[2] : "4") == 0);
	touch(0);
	for (;;)
		(void)pause();
}

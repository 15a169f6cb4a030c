/* tests/agent/entry_pass.c - the system-call entry alone, without a supervisor: every call of the
 * program it is preloaded into goes through it, and is made as it is. $ENTRY_COUNT: see count().
 */
#include <stdlib.h>

#include "agent/sys.h"
#include "agent/user/entry.h"

/* What another one may leave in registers. */
#define SPOIL                                                                                      \
	__asm__ volatile("mov $-1, %%rsi\n\tmov $-1, %%rdx\n\tmov $-1, %%rcx\n\tmov $-1, %%r8\n\t" \
			 "mov $-1, %%r9\n\tmov $-1, %%r10\n\tmov $-1, %%r11"                       \
			 :                                                                         \
			 :                                                                         \
			 : "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11")

static volatile int under_way; /* of one thread */

long user_call(const struct user_regs *r)
{
	long ret;

	under_way++;
	SPOIL;
	ret = entry_raw(r);
	SPOIL;
	under_way--;
	return ret;
}

/* For a program whose handlers return: each call has ended where it began. */
__attribute__((destructor)) static void count(void)
{
	static const char text[] = "entry_pass: calls were left\n";

	if (getenv("ENTRY_COUNT") && under_way)
		sys_call3(SYS_write, 2, text, sizeof text - 1);
}

__attribute__((constructor)) static void start(void)
{
	static const char text[] = "entry_pass: not started\n";

	if (entry_start())
		sys_call3(SYS_write, 2, text, sizeof text - 1);
}

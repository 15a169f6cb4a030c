/* tests/agent/entry_pass.c - the system-call entry alone, without a supervisor: every call of the
 * program it is preloaded into goes through it, and is made as it is.
 */
#include "agent/sys.h"
#include "agent/user/entry.h"

long user_call(const struct user_regs *r)
{
	return entry_raw(r);
}

__attribute__((constructor)) static void start(void)
{
	static const char text[] = "entry_pass: not started\n";

	if (entry_start())
		sys_call3(SYS_write, 2, text, sizeof text - 1);
}

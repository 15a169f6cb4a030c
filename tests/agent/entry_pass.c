/* tests/agent/entry_pass.c - the system-call entry alone, without a supervisor: every call of the
 * program it is preloaded into goes through it, and is made as it is.
 *
 * $ENTRY_CACHE: the folder of the tables of sites. $ENTRY_PATCH=0: dispatch only.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sys.h"
#include "agent/user/entry.h"

long user_call(const struct user_regs *r)
{
	return entry_raw(r);
}

__attribute__((constructor)) static void start(void)
{
	const char *patch = getenv("ENTRY_PATCH");
	static const char text[] = "entry_pass: not started\n";

	(void)patch;
	if (entry_start(getenv("ENTRY_CACHE")))
		sys_call3(SYS_write, 2, text, sizeof text - 1);
}

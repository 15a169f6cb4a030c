/* agent/last.c - the helper is the last thread of its process, and ends it.
 *
 * A thread that ends by the system call exit, or is ended by a seccomp filter, leaves the others
 * running: the process is over when the last has gone. That is the helper, which the program does
 * not know about. It must end as the program's last thread would have, because the kernel takes the
 * process's status from the last thread.
 *
 * Locks: none; no other thread runs.
 */
#include <signal.h>

#include "agent/agent.h"
#include "agent/sys.h"

#define SIGNAL_OF(status) ((status)&0x7f)
#define CODE_OF(status)   ((status) >> 8 & 0xff)

/* The kernel's struct sigaction: all zeros is the default, on both architectures. */
struct kernel_action {
	uint64_t word[4];
};

/* The program may have a handler for it, or have it blocked; the helper blocks all signals. */
static void die_of(int sig)
{
	const struct kernel_action plain = { { 0 } };
	const uint64_t others = ~(1ull << (sig - 1));

	sys_call4(SYS_rt_sigaction, sig, &plain, 0, SYS_SIGSET_SIZE);
	sys_call2(SYS_kill, sys_getpid(), sig);
	sys_restore_signals(&others);
}

_Noreturn void helper_end_process(uint32_t status)
{
	if (SIGNAL_OF(status))
		die_of((int)SIGNAL_OF(status));
	for (;;)
		sys_call1(SYS_exit, CODE_OF(status));
}

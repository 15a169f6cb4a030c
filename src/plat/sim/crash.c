/* plat/sim/crash.c - crashes of the program under test: a wild pointer in a task is a finding like
 * any other, and so is an invariant that fails in the final checks. The search continues after
 * both.
 *
 * The handler has its own stack and does not return if it leaves by a switch or a jump; SA_NODEFER,
 * so that no signal stays blocked then.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#include "plat/sim/sim.h"

#define HANDLER_STACK (64u << 10)

static jmp_buf after_end;
static bool in_end;

#if !defined(__SANITIZE_ADDRESS__)
static void crashed(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sim_current < 0 && !in_end) {
		signal(sig, SIG_DFL); /* our own fault: it recurs */
		return;
	}
	sim_fail(SIM_BUG, NULL, 0, "%s at %p, which is no memory of the program",
		 sig == SIGFPE ? "arithmetic" : "an access", info->si_addr);
	crash_leave_end();
}
#endif

void crash_catch(void)
{
#if !defined(__SANITIZE_ADDRESS__) /* it has a handler that says more */
	static char *stack;
	struct sigaction sa = { .sa_sigaction = crashed,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (stack)
		return;
	stack = malloc(HANDLER_STACK);
	if (!stack ||
	    sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = HANDLER_STACK }, NULL) != 0)
		abort();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
#endif
}

void crash_run_end(void (*end)(void *arg), void *arg)
{
	in_end = true;
	if (setjmp(after_end) == 0)
		end(arg);
	in_end = false;
}

void crash_leave_end(void)
{
	if (in_end)
		longjmp(after_end, 1);
}

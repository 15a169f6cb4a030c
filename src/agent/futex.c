/* agent/futex.c - futex operations in which the kernel itself changes the word.
 *
 * The kernel does so with page faults disabled. For a missing page it then faults in a way that
 * userfaultfd refuses (it does not allow a retry), and the call fails with EFAULT: FUTEX_WAKE_OP,
 * and all priority inheritance operations. Waiting and waking only read, with ordinary faults.
 *
 * A call that fails so has changed nothing: fault the page in and repeat the call. A call that
 * waits needs its word again after waiting: its page is held from before the call until after it.
 *
 * Caught: calls through syscall(2). libc makes its own calls inline; of those only its mutexes with
 * priority inheritance are affected, and their pages stay in place from pthread_mutex_init on
 * (thread.c).
 */
#include <linux/futex.h>

#include "agent/hooks.h"

#define TRIES 64 /* shared memory may be swapped out again between the fault and the call */
#define WORD  4ul

long hook_futex(long word, long op, long value, long time, long second, long value3)
{
	const unsigned int what = futex_changes((int)op);
	const uint64_t at = (uint64_t)(what & FUTEX_SECOND ? second : word);
	struct hold *hold = NULL;
	long ret;

	if (what & FUTEX_WAITS) {
		hold = hold_take(at, at + WORD);
		hold_bring(at, at + WORD);
		if (!(op & FUTEX_PRIVATE_FLAG))
			hold_shared(at, at + WORD, false);
	}
	ret = sys_call6(SYS_futex, word, op, value, time, second, value3);
	for (int i = 0; ret == -EFAULT && i < TRIES; i++) {
		if (!hold)
			hold = hold_take(at, at + WORD);
		if (hold_bring(at, at + WORD))
			break;
		ret = sys_call6(SYS_futex, word, op, value, time, second, value3);
	}
	hold_drop(hold);
	return hook_result(ret);
}

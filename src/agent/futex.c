/* agent/futex.c - futex operations in which the kernel itself changes the word.
 *
 * It does so with page faults disabled. When the page is missing it asks for it in a way that
 * userfaultfd refuses (it does not allow the fault to be tried again), and the call fails with
 * EFAULT: FUTEX_WAKE_OP, and all that is about priority inheritance. Waiting and waking only read:
 * they ask as everybody does.
 *
 * Such a call has changed nothing when it fails so; the page is brought, and the call made again.
 * One that waits needs its word when it has waited, too: so its page is held from before to after
 * it.
 *
 * Caught: what goes through syscall(2). libc makes its own calls inline; of those only its mutexes
 * with priority inheritance are of this kind, and their pages stay where they are from
 * pthread_mutex_init on (thread.c).
 */
#include <linux/futex.h>

#include "agent/hooks.h"

#define TRIES 64        /* shared memory may go out again between the page's coming and the call */
#define WORD 4ul

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

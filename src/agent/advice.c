/* agent/advice.c - madvise(2) and process_madvise(2): tells the supervisor what the kernel does on
 * its own.
 *
 * The kernel decides what is allowed and what is returned: every call is made as the program makes
 * it. Then, for the part of the range that the kernel has processed:
 *
 *     MADV_FREE           dropped at once: the kernel would drop pages later without an event. What
 *                         the program may read after that it may also read now
 *     MADV_GUARD_INSTALL  dropped too: the kernel sends no event for what it removes here
 *     MADV_REMOVE         the supervisor forgets what it has of the shared memory
 *     MADV_DONTFORK...    noted, for swapped-out pages
 *     MADV_HUGEPAGE...    noted, for first-touch faults
 *
 * I1  A call that fails in the middle has done its work up to there: that part is reported
 *     (done_part). A hole in the range does not end the call: the kernel continues after it and
 *     returns ENOMEM at the end.
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include "agent/fork.h"
#include "agent/hooks.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

#define WILLNEED_BYTES_MIN (64u << 10)
#define PIECES_MAX         1024 /* UIO_MAXIOV */

static bool is_fork_advice(int advice)
{
	return advice == MADV_DONTFORK || advice == MADV_DOFORK || advice == MADV_WIPEONFORK ||
	       advice == MADV_KEEPONFORK;
}

static bool is_huge_advice(int advice)
{
	return advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE;
}

/* The previous content is gone. */
static bool drops(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_GUARD_INSTALL;
}

static bool has_consequences(int advice)
{
	return advice == MADV_FREE || advice == MADV_GUARD_INSTALL || advice == MADV_REMOVE ||
	       is_fork_advice(advice) || is_huge_advice(advice);
}

/* Its faults must be served while it runs. */
static bool populates(int advice)
{
	return advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE ||
	       advice == MADV_WILLNEED;
}

/* The kernel does not wait for what is out in mode user: the program's own touch does. In parts, so
 * that what is held at a time is bounded; a part that fails is where the kernel would have
 * stopped. */
static long populate_in_parts(uint64_t start, uint64_t len, int advice)
{
	struct user_hold hold;
	uint64_t done = 0, n;
	long ret;

	do {
		n = len - done < USER_CHUNK ? len - done : USER_CHUNK;
		user_hold(&hold, start + done, start + done + n);
		ret = sys_madvise((void *)(start + done), n, advice);
		user_drop(&hold);
		done += n;
	} while (!ret && done < len);
	return ret;
}

static long advise(uint64_t start, uint64_t len, int advice)
{
	uint64_t mask;
	bool held = !populates(advice) && mappings_lock(&mask);
	long ret =
		populates(advice) && advice != MADV_WILLNEED && agent_managed() && agent->user_mode
			? populate_in_parts(start, len, advice)
			: sys_madvise((void *)start, len, advice);

	/* Under the same lock: nothing else was mapped there in between. */
	if ((advice == MADV_FREE || advice == MADV_GUARD_INSTALL) && held &&
	    (!ret || ret == -ENOMEM))
		sys_madvise((void *)start, len, MADV_DONTNEED);
	mappings_unlock(held, &mask);
	if (drops(advice) && (!ret || ret == -ENOMEM))
		huge_split_edges((void *)start, len);
	return ret;
}

/* A supervisor that does not know of the advice would give swapped-out pages to a child. So undo
 * advice that cannot be reported. */
static long tell_fork_advice(uint64_t start, uint64_t len, int advice)
{
	struct msg_call call = {
		.op = CALL_FORK_ADVICE, .arg = (uint32_t)advice, .start = start, .len = len
	};
	struct msg_call_reply reply;
	int attached;

	AGENT_ASSERT(is_fork_advice(advice));
	AGENT_ASSERT(!maplock_is_mine());
	if (!channel_ask(&call, &reply, &attached) && !reply.error)
		return 0;
	if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK)
		sys_madvise((void *)start, len,
			    advice == MADV_DONTFORK ? MADV_DOFORK : MADV_KEEPONFORK);
	return -EAGAIN;
}

/* The supervisor decides what a first touch brings. If it cannot be told, it may bring small
 * pages. */
static void tell_huge_advice(uint64_t start, uint64_t len, int advice)
{
	struct msg_call call = {
		.op = CALL_HUGE_ADVICE, .arg = (uint32_t)advice, .start = start, .len = len
	};
	struct msg_call_reply reply;
	int attached;

	AGENT_ASSERT(is_huge_advice(advice));
	AGENT_ASSERT(!maplock_is_mine());
	channel_ask(&call, &reply, &attached);
}

/* The kernel has applied it to all of [start, start + len). 0 or -EAGAIN: the supervisor could not
 * be told. */
static long follow(uint64_t start, uint64_t len, int advice)
{
	AGENT_ASSERT(start % agent_page == 0);
	if (is_fork_advice(advice)) {
		long err = tell_fork_advice(start, len, advice);

		if (advice == MADV_DOFORK)
			guard_all();
		return err;
	}
	if (is_huge_advice(advice))
		tell_huge_advice(start, len, advice);
	/* If the supervisor was not told it would restore swapped pages, so report failure. */
	if (advice == MADV_REMOVE && channel_call(CALL_REMOVE, start, len))
		return -EAGAIN;
	return 0;
}

/* The call failed somewhere in [start, start + len): repeat what was done before that place, which
 * changes nothing, and follow it. Bisect to keep the number of steps small. */
static void done_part(uint64_t start, uint64_t len, int advice)
{
	const uint64_t end = start + len;
	uint64_t n = len / 2;

	while (start < end && n) {
		long ret;

		n = to_page_end(n);
		if (n > end - start)
			n = end - start;
		ret = advise(start, n, advice);
		if (!ret || ret == -ENOMEM) {
			follow(start, n, advice);
			start += n;
			n = end - start;
		} else if (n <= agent_page) {
			return;
		} else {
			n /= 2;
		}
	}
}

int hook_madvise(void *addr, size_t len, int advice)
{
	const uint64_t start = (uintptr_t)addr, bytes = to_page_end(len);
	long ret, err;

	/* As for a private mapping of a file, which it stands for. */
	if ((advice == MADV_FREE || advice == MADV_WIPEONFORK) && backed_within(start, len))
		return (int)hook_result(-EINVAL);
	ret = advise(start, len, advice);
	if (!agent_managed())
		return (int)hook_result(ret);
	if (has_consequences(advice) && bytes && start % agent_page == 0 && start + bytes > start) {
		if (!ret || ret == -ENOMEM) {
			err = follow(start, bytes, advice);
			ret = err ? err : ret;
		} else {
			done_part(start, bytes, advice);
		}
	}
	if (advice == MADV_WILLNEED && (!ret || ret == -EBADF) && len >= WILLNEED_BYTES_MIN &&
	    start % agent_page == 0)
		channel_call(CALL_WILLNEED, start, bytes);
	return (int)hook_result(ret);
}

/* The kernel takes advice with consequences only for the calling process itself (Linux 6.13): then
 * it equals madvise for each piece. An empty list tells whether the kernel takes it at all. */
static long advise_pieces(int pidfd, const struct iovec *piece, size_t n, int advice,
			  unsigned int flags)
{
	long done = sys_call5(SYS_process_madvise, pidfd, piece, 0, advice, flags);

	for (size_t i = 0; i < n && done >= 0; i++) {
		if (hook_madvise(piece[i].iov_base, piece[i].iov_len, advice))
			return done ? done : -errno;
		done += (long)piece[i].iov_len;
	}
	return done;
}

ssize_t hook_process_madvise(int pidfd, const struct iovec *piece, size_t n, int advice,
			     unsigned int flags)
{
	if (agent_managed() && has_consequences(advice) && n <= PIECES_MAX)
		return hook_result(advise_pieces(pidfd, piece, n, advice, flags));
	return hook_result(sys_call5(SYS_process_madvise, pidfd, piece, n, advice, flags));
}

AGENT_EXPORT extern __typeof__(madvise) madvise __attribute__((alias("hook_madvise")));
AGENT_EXPORT extern __typeof__(hook_process_madvise) process_madvise
	__attribute__((alias("hook_process_madvise")));

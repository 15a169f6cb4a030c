/* agent/alone.c - calls that the kernel allows only to a process with one thread.
 *
 * Those that make or enter a user namespace, and setns(2) into a time namespace: they change what
 * all threads have in common, or must have. Sandboxes make them on themselves (Chromium's zygote).
 * The program has one thread, and the helper is a second. So the helper ends, the call is made, and
 * a new helper starts. In between the supervisor asks for no page. The program's memory is served
 * as always.
 *
 * The new helper's channel is open before the old helper ends: the supervisor would take the end of
 * the only channel for the end of the program.
 *
 * Caught: unshare(3) and setns(3), by their symbols, in libc itself, and by syscall(2).
 *
 * Locks: none; signals are blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/hooks.h"

#define READY_MS   10000
#define GONE_NS    100000 /* between two looks whether the helper is gone */
#define GONE_TRIES 20000
#define BUSY_NS    1000000
#define BUSY_TRIES 5000
#define LINKS      4 /* of the list of threads: ".", "..", the caller, the helper */

#if defined(__x86_64__)
#define CALL_FSTATAT SYS_newfstatat
#else
#define CALL_FSTATAT SYS_fstatat
#endif

/* Where /proc is not there to tell, it may be. */
static bool only_the_helper_is_in_the_way(void)
{
	struct stat st;

	if (!agent_managed() || agent->uffd < 0 || sys_getpid() != agent->pid ||
	    filter_forbids(FILTER_JOIN | FILTER_REGISTER))
		return false;
	return sys_call4(CALL_FSTATAT, AT_FDCWD, "/proc/self/task", &st, 0) != 0 ||
	       st.st_nlink == LINKS;
}

static void pause_for(long ns)
{
	const struct timespec some = { .tv_nsec = ns };

	sys_call2(SYS_nanosleep, &some, 0);
}

/* The helper's channel is @fd->channel from now on, and it ends. 0 or -errno: nothing happened. */
static int retire(const struct helper_setup *fd)
{
	struct msg_hello hello = { .flags = HELLO_AGAIN, .staging = (uintptr_t)fd->staging };
	struct msg_ready ready;
	int n;

	AGENT_ASSERT(sys_signals_blocked());
	msg_init(&hello.h, MSG_HELLO, 1);
	n = channel_send(fd->channel, &hello, sizeof hello, -1);
	/* Only peek at READY: the new helper takes it. */
	if (n >= 0)
		n = channel_recv_timed(fd->channel, &ready, sizeof ready, MSG_PEEK, NULL, READY_MS);
	if (n < 0)
		return n;
	return n == sizeof ready && msg_is(&ready.h, MSG_READY) ? ready.error : -EPROTO;
}

/* Wait until it is no thread of the process any more, and has closed its descriptors. */
static void await_end(uint32_t tid)
{
	const long pid = sys_getpid();
	uint32_t seen;

	while ((seen = __atomic_load_n(&agent->helper.tid, __ATOMIC_ACQUIRE)))
		sys_futex_wait_shared(&agent->helper.tid, seen);
	for (int i = 0; i < GONE_TRIES && sys_call3(SYS_tgkill, pid, tid, 0) != -ESRCH; i++)
		pause_for(GONE_NS);
}

/* The kernel takes a thread out of the list of threads a moment after its number. */
static long call_alone(long nr, long a, long b, long refusal)
{
	long err = refusal;

	for (int i = 0; i < GONE_TRIES / 100 && err == refusal; i++) {
		err = sys_call2(nr, a, b);
		if (err == refusal)
			pause_for(GONE_NS);
	}
	return err;
}

/* A channel for the next helper, and the end of this one's. *@device: where userfaultfd(2) is
 * refused; else -1. 0; -EBUSY: the helper has not started yet, or has not answered. */
static int change_channel(struct helper_setup *fd, int *device)
{
	int probe = agent_make_uffd(-1), err;

	AGENT_ASSERT(sys_signals_blocked() && !maplock_is_mine());
	*device = -1;
	fd->channel = channel_connect();
	if (probe >= 0)
		sys_close(probe);
	if (fd->channel < 0)
		return fd->channel;
	if (probe < 0)
		*device = agent_get_device(fd->channel, 0);
	err = retire(fd);
	if (err) {
		sys_close(fd->channel);
		if (*device >= 0)
			sys_close(*device);
	}
	return err;
}

static long without_helper(long nr, long a, long b, long refusal)
{
	struct helper_setup fd = { .uffd = agent->uffd, .staging_uffd = -1 };
	uint32_t tid = __atomic_load_n(&agent->helper.tid, __ATOMIC_ACQUIRE);
	int device = -1, err = -EBUSY;
	long ret;

	fd.staging = agent_staging();
	fd.state = &agent->helper;
	for (int i = 0; i < BUSY_TRIES && err == -EBUSY; i++) {
		err = change_channel(&fd, &device);
		if (err == -EBUSY)
			pause_for(BUSY_NS);
	}
	if (err)
		return refusal;
	await_end(tid);
	ret = call_alone(nr, a, b, refusal);
	fd.staging_uffd = agent_staging_uffd(fd.staging, device);
	/* If it cannot be started the channel ends, and we are served without. */
	if (helper_start(agent_helper_area(), &fd) > 0)
		helper_order(&agent->helper, HELPER_GO);
	sys_close(fd.channel);
	if (fd.staging_uffd >= 0)
		sys_close(fd.staging_uffd);
	if (device >= 0)
		sys_close(device);
	return ret;
}

/* @refusal: what the kernel says to a process of several threads. */
static long alone(long nr, long a, long b, long refusal)
{
	long err = sys_call2(nr, a, b);
	uint64_t mask;

	if (err != refusal || !only_the_helper_is_in_the_way())
		return err;
	sys_block_signals(&mask);
	err = without_helper(nr, a, b, refusal);
	sys_restore_signals(&mask);
	return err;
}

/* A process that has left its PID or time namespace for its children can have no new thread. So it
 * leaves these when the helper is there again. */
int hook_unshare(int flags)
{
	const int later = flags & (CLONE_NEWPID | CLONE_NEWTIME);
	long err = sys_call1(SYS_unshare, flags);

	if (err == -EINVAL && flags & (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) {
		err = alone(SYS_unshare, flags & ~later, 0, -EINVAL);
		if (!err && later)
			err = sys_call1(SYS_unshare, later);
	}
	return (int)hook_result(err);
}

int hook_setns(int fd, int type)
{
	long err = alone(SYS_setns, fd, type, -EUSERS);

	if (err == -EINVAL)
		err = alone(SYS_setns, fd, type, -EINVAL);
	return (int)hook_result(err);
}

AGENT_EXPORT extern __typeof__(unshare) unshare __attribute__((alias("hook_unshare")));
AGENT_EXPORT extern __typeof__(setns) setns __attribute__((alias("hook_setns")));

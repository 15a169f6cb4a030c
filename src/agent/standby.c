/* agent/standby.c - a helper for a process that outlives the one that created its memory.
 *
 * A child made by clone(CLONE_VM) that is not a thread shares the memory, and continues when its
 * parent ends. The helper is a thread of the parent's: it would end with it, and nothing could be
 * swapped out any more. So such a child starts its own helper before it runs the program's
 * function. It says HELLO_STANDBY; the supervisor does not use it until the first helper is gone,
 * and then it is the helper (serve/session/standby.c). The parent waits for it: the parent may end
 * as soon as clone has returned.
 *
 * Not for a child of vfork, which runs on its parent's stack until it executes; nor one made
 * through syscall(2) or a system call instruction of the program's own; nor one in new namespaces,
 * which may not tolerate a second thread.
 *
 * The helper is a thread of the child's and must not keep it alive: the process is over when the
 * others have ended, with their status.
 *
 * I1  standby->busy: the thread that has taken it; then CHILD and the child. Freed when the child
 *     has started the helper, or has failed to: by the child, or by another thread that finds that
 *     the child was killed before. It can then be taken if state.tid is 0.
 *
 * Memory: one area for all, not inherited by fork, never managed; made when it is first needed.
 * Runs without libc: the child may have no thread pointer of its own.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/hooks.h"

#define READY_MS 5000
#define AWAIT_NS 100000000
#define AWAIT_S  5
#define CHILD    (1u << 31)
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static size_t staging_bytes(void)
{
	return EVICT_PAGES_MAX * agent_page;
}

static size_t bytes_each(void)
{
	return HELPER_BYTES + staging_bytes();
}

static char *area_of(const struct standby *s)
{
	AGENT_ASSERT(s >= agent->standby && s < agent->standby + NR_STANDBYS &&
		     agent->standby_area);
	return (char *)agent->standby_area + (size_t)(s - agent->standby) * bytes_each();
}

static bool make_area(void)
{
	uint64_t none = 0;
	long at;

	AGENT_ASSERT(agent);
	if (__atomic_load_n(&agent->standby_area, __ATOMIC_ACQUIRE))
		return true;
	at = agent_area(NR_STANDBYS * bytes_each());
	if (sys_failed(at))
		return false;
	sys_madvise((void *)at, NR_STANDBYS * bytes_each(), MADV_NOHUGEPAGE);
	if (!__atomic_compare_exchange_n(&agent->standby_area, &none, (uint64_t)at, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		sys_munmap((void *)at, NR_STANDBYS * bytes_each());
	return true;
}

bool standby_wanted(uint64_t flags)
{
	return agent_managed() && (flags & CLONE_VM) &&
	       !(flags & (CLONE_THREAD | CLONE_VFORK | NAMESPACES));
}

/* A child that was killed: a zombie, or already reaped. */
static bool is_over(pid_t child)
{
	AGENT_ASSERT(child > 0);
	siginfo_t info = { 0 };
	long err =
		sys_call5(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0);

	if (err)
		return sys_call2(SYS_kill, child, 0) == -ESRCH;
	return info.si_pid == child;
}

/* Free it if its child was killed. */
static void take_back(struct standby *s)
{
	uint32_t busy = __atomic_load_n(&s->busy, __ATOMIC_ACQUIRE);

	if (busy & CHILD && is_over((pid_t)(busy & ~CHILD)))
		__atomic_compare_exchange_n(&s->busy, &busy, 0, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED);
}

/* I1. False: another thread has it. */
static bool take(struct standby *s, uint32_t self)
{
	uint32_t free = 0;

	AGENT_ASSERT(self != 0);
	if (__atomic_load_n(&s->state.tid, __ATOMIC_ACQUIRE) ||
	    !__atomic_compare_exchange_n(&s->busy, &free, self, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return false;
	if (!__atomic_load_n(&s->state.tid, __ATOMIC_ACQUIRE))
		return true;
	__atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
	return false;
}

struct standby *standby_take(int (*fn)(void *), void *arg)
{
	const uint32_t self = (uint32_t)sys_call0(SYS_gettid);

	AGENT_ASSERT(fn);
	AGENT_ASSERT(!maplock_is_mine());
	if (!make_area())
		return NULL;
	for (int i = 0; i < NR_STANDBYS; i++) {
		struct standby *s = &agent->standby[i];

		take_back(s);
		if (!take(s, self))
			continue;
		s->fn = fn;
		s->arg = arg;
		return s;
	}
	return NULL;
}

static void set_free(struct standby *s)
{
	AGENT_ASSERT(__atomic_load_n(&s->busy, __ATOMIC_RELAXED) != 0);
	__atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
	sys_futex_wake(&s->busy, 1);
}

/* A standby in use was not filled: its staging area refuses that. */
void standby_unlock(void)
{
	const uint32_t self = (uint32_t)sys_call0(SYS_gettid);
	uint64_t at = __atomic_load_n(&agent->standby_area, __ATOMIC_ACQUIRE);

	if (!at)
		return;
	sys_call2(SYS_munlock, at, NR_STANDBYS * bytes_each());
	for (int i = 0; i < NR_STANDBYS; i++) {
		if (!take(&agent->standby[i], self))
			continue;
		sys_madvise(area_of(&agent->standby[i]), bytes_each(), MADV_DONTNEED);
		set_free(&agent->standby[i]);
	}
}

static long seconds(void)
{
	struct timespec now = { 0 };

	sys_call2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* The parent's side. The child wakes it; there is no wake-up for a killed child. */
void standby_await(struct standby *s, int child)
{
	const struct timespec some = { .tv_nsec = AWAIT_NS };
	uint32_t busy = (uint32_t)sys_call0(SYS_gettid);
	long until = seconds() + AWAIT_S;

	if (child <= 0) {
		set_free(s);
		return;
	}
	if (!__atomic_compare_exchange_n(&s->busy, &busy, CHILD | (uint32_t)child, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return; /* it has done already */
	busy = CHILD | (uint32_t)child;
	while (__atomic_load_n(&s->busy, __ATOMIC_ACQUIRE) == busy && seconds() <= until) {
		sys_call4(SYS_futex, &s->busy, FUTEX_WAIT_PRIVATE, busy, &some);
		take_back(s);
	}
}

/* ---- in the child ---- */

/* What /proc says of this process. */
struct process {
	unsigned long threads;
	bool first_ended;
	unsigned int code; /* of its first thread, once that has ended, as wait(2) reports it */
};

/* False: unknown. The name, in parentheses, may contain anything. After it: the state; as the 18th
 * word the number of threads; as the last the exit code. */
static bool look(struct process *p)
{
	char text[1024];
	long fd = sys_call4(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0), n;
	long after = 0;
	int words = 0;

	*p = (struct process){ 0 };
	if (fd < 0)
		return false;
	n = sys_call3(SYS_read, fd, text, sizeof text);
	sys_close((int)fd);
	for (long i = 0; i < n; i++)
		if (text[i] == ')')
			after = i + 2;
	if (!after || after >= n)
		return false;
	p->first_ended = text[after] == 'Z' || text[after] == 'X';
	for (long i = after; i < n && text[i] != '\n'; i++) {
		unsigned int digit = (unsigned int)(text[i] - '0');

		if (text[i] == ' ') {
			words++;
			p->code = 0;
		} else {
			p->code = p->code * 10 + digit;
			p->threads = words == 17 ? p->threads * 10 + digit : p->threads;
		}
	}
	return true;
}

void standby_leave_if_last(void)
{
	struct process p;

	if (look(&p) && p.threads == 2 && p.first_ended)
		helper_end_process(p.code);
}

static _Noreturn void leave(int code)
{
	struct process p;
	long nr = look(&p) && p.threads == 2 ? SYS_exit_group : SYS_exit;

	for (;;)
		sys_call1(nr, code);
}

static int say_hello(const struct standby *s, const struct helper_setup *fd)
{
	struct msg_hello hello = {
		.flags = HELLO_STANDBY | (fd->staging_uffd >= 0 ? HELLO_CAN_MOVE : 0),
		.helper_tid = s->state.tid,
		.staging = (uintptr_t)fd->staging,
		.private_start = { agent->standby_area },
		.private_end = { agent->standby_area + NR_STANDBYS * bytes_each() },
	};
	struct msg_ready ready;
	int n, attached;

	msg_init(&hello.h, MSG_HELLO, 1);
	n = channel_send(fd->channel, &hello, sizeof hello, fd->uffd);
	if (n >= 0)
		n = channel_recv_timed(fd->channel, &ready, sizeof ready, MSG_PEEK, &attached,
				       READY_MS);
	if (n < 0)
		return n;
	return n == sizeof ready && msg_is(&ready.h, MSG_READY) ? ready.error : -EPROTO;
}

static void start(struct standby *s)
{
	struct helper_setup fd = {
		.uffd = agent->uffd,
		.staging = area_of(s) + HELPER_BYTES,
		.state = &s->state,
		.standby = true,
	};
	int err;

	fd.channel = fd.uffd < 0 ? -1 : channel_connect();
	if (fd.channel < 0)
		return;
	/* Its previous user may have been killed at work, or mlockall filled it. */
	sys_call2(SYS_munlock, fd.staging, staging_bytes());
	sys_madvise(fd.staging, staging_bytes(), MADV_DONTNEED);
	fd.staging_uffd = agent_staging_uffd(fd.staging, -1);
	err = helper_start(area_of(s), &fd);
	if (err > 0) {
		err = say_hello(s, &fd);
		helper_order(&s->state, err ? HELPER_LEAVE : HELPER_GO);
	}
	sys_close(fd.channel);
	if (fd.staging_uffd >= 0)
		sys_close(fd.staging_uffd);
}

/* What a cloned child runs in place of the program's function. */
int standby_run(void *standby)
{
	struct standby *s = standby;
	int (*fn)(void *) = s->fn;
	void *arg = s->arg;
	uint64_t mask;
	int code;

	sys_block_signals(&mask);
	start(s);
	set_free(s);
	sys_restore_signals(&mask);
	code = fn(arg);
	leave(code);
}

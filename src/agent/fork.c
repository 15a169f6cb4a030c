/* agent/fork.c - forks that the kernel does not report (READY.own_forks): the agent takes part in
 * the system call itself.
 *
 * A child has none of its parent's userfaultfd: what is swapped out there would be zeros in it. So
 * it registers its memory with a userfaultfd of its own before it touches any, and the supervisor
 * copies the books meanwhile. libc's fork makes the system call in its function _Fork, of which
 * hook.c redirects the instruction to fork_site_entry; between it and the return of _Fork libc
 * touches its record of the thread only, which is never managed.
 *
 *     parent                                       child
 *     CALL_FORK: room is made, nothing is evicted
 *     bring what both will touch; maplock
 *     CALL_AREAS: nothing comes in either
 *     lift the guards
 *     clone ------------------------------------>  HELLO with a userfaultfd of its own
 *     wait: the child is registered, or has ended  READY: registered
 *     guard                                        guard
 *     maplock; the call ends: the fork is over     the helper works
 *
 * Guards. A child made by a system call instruction of the program's own does none of this. So what
 * may have pages out is marked MADV_DONTFORK (MSG_GUARD, before a page of it leaves): such a child
 * gets SIGSEGV there, and reads no zeros. Our own forks lift that for the system call.
 *
 * I1  From the freeze to the child's READY neither touches managed memory but what was brought: the
 *     stack around here, and the words that the kernel writes. The supervisor serves no fault then.
 * I2  Hooked changes of mappings wait for maplock until the child has its copy of the books.
 * I3  A child that cannot be registered kills itself before it returns to the program.
 *
 * Locks: maplock, with signals blocked.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/fork.h"
#include "agent/hooks.h"

#define STACK_BELOW (12u << 10) /* what HELLO needs, with room to spare */
#define STACK_ABOVE (8u << 10)
#define STACK_NEW   (12u << 10) /* of one that clone(2) was given */
#define CHILD_MS    20          /* between two looks whether the child has ended */

bool fork_is_own(uint64_t flags)
{
	return agent_managed() && agent->own_forks && !(flags & CLONE_VM) &&
	       !filter_forbids(FILTER_JOIN);
}

/* ---- guards ---- */

void guard_ranges(const struct evict_range *r, uint32_t n, int advice)
{
	uint32_t i;

	AGENT_ASSERT(n <= EVICT_PAGES_MAX);
	for (i = 0; i < n; i++)
		sys_madvise((void *)r[i].start, r[i].npages * agent_page, advice);
}

void guard_new(uint64_t start, uint64_t end)
{
	AGENT_ASSERT(maplock_is_mine());
	AGENT_ASSERT(start % agent_page == 0 && start <= end);
	if (!agent->own_forks)
		return;
	__atomic_store_n(&agent->guarded, 1, __ATOMIC_RELEASE);
	sys_madvise((void *)start, end - start, MADV_DONTFORK);
}

/* One request with an AREAS reply. 0 or -errno. */
static int ask_areas(uint64_t from, uint32_t how, struct msg_areas *areas)
{
	struct msg_call call = { .op = CALL_AREAS, .arg = how, .start = from };
	int fd = channel_connect(), n;

	if (fd < 0)
		return fd;
	msg_init(&call.h, MSG_CALL, 1);
	n = channel_send(fd, &call, sizeof call, -1);
	if (n >= 0)
		n = channel_recv_timed(fd, areas, sizeof *areas, 0, NULL, CALL_TIMEOUT_MS);
	sys_close(fd);
	if (n < 0)
		return n;
	if (n != sizeof *areas || !msg_is(&areas->h, MSG_AREAS) || areas->n > EVICT_PAGES_MAX)
		return -EPROTO;
	return areas->error;
}

/* Advise all that a child must have, from the list @areas on, which was received. */
static int advise_rest(struct msg_areas *areas, int advice)
{
	int err = 0;

	for (;;) {
		guard_ranges(areas->range, areas->n, advice);
		if (!areas->next)
			return 0;
		err = ask_areas(areas->next, 0, areas);
		if (err)
			return err;
	}
}

/* What was lifted: a list that was whole is still here. */
static void guard_again(struct own_fork *f)
{
	if (f->whole)
		guard_ranges(f->areas.range, f->areas.n, MADV_DONTFORK);
	else if (f->lifted && !ask_areas(0, 0, &f->areas))
		advise_rest(&f->areas, MADV_DONTFORK);
}

void guard_all(void)
{
	struct msg_areas areas;

	if (agent->own_forks && __atomic_load_n(&agent->guarded, __ATOMIC_ACQUIRE) &&
	    !ask_areas(0, 0, &areas))
		advise_rest(&areas, MADV_DONTFORK);
}

/* ---- the parent ---- */

static void bring(const void *at, size_t size)
{
	if (at && !agent->user_mode)
		hold_bring((uintptr_t)at, (uintptr_t)at + size);
}

/* Page by page: a part of it may be no memory, at either end of a small stack. */
static void bring_stack(const char *frame)
{
	long off;

	if (agent->user_mode)
		return; /* hold() has */
	for (off = -(long)STACK_BELOW; off <= (long)STACK_ABOVE; off += (long)agent_page)
		bring(frame + off, 1);
}

static void end_call(struct own_fork *f)
{
	if (f->call < 0)
		return;
	/* Shut down, not only closed: a child of another thread may hold a copy. */
	sys_call2(SYS_shutdown, f->call, SHUT_RDWR);
	sys_close(f->call);
}

/* The other end of fork_begin, in the parent. */
static void leave(struct own_fork *f)
{
	maplock_unlock();
	/* The supervisor takes the end of the connection as the end of the fork, so the helper must
	 * be willing before it. */
	__atomic_fetch_sub(&agent->forking, 1, __ATOMIC_ACQ_REL);
	end_call(f);
	sys_restore_signals(&f->mask);
	user_drop(&f->hold);
}

/* In mode user: while signals are allowed, since what is no memory raises one. */
static void hold(struct own_fork *f, const struct fork_words *w)
{
	void *const word[] = { w->parent_tid, w->child_tid, w->error,
			       w->stack ? (char *)w->stack - sizeof(long) : NULL,
			       w->stack ? (char *)w->stack - agent_page : NULL };

	f->hold.held = false;
	if (agent->user_mode)
		user_hold_stack(&f->hold, STACK_BELOW, word, sizeof word / sizeof word[0]);
}

int fork_begin(struct own_fork *f, const struct fork_words *w)
{
	int err;

	hold(f, w);
	sys_block_signals(&f->mask);
	f->cookie = 0;
	f->uffd = agent->uffd;
	f->lifted = f->whole = false;
	f->call = channel_call_open(CALL_FORK, 0, 0, &f->cookie);
	if (f->call < 0) {
		sys_restore_signals(&f->mask);
		user_drop(&f->hold);
		return -EAGAIN;
	}
	__atomic_fetch_add(&agent->forking, 1, __ATOMIC_ACQ_REL);
	/* Nothing is evicted from now on: what comes in stays. */
	bring_stack(__builtin_frame_address(0));
	bring(w->parent_tid, sizeof(int));
	bring(w->child_tid, sizeof(int));
	bring(w->error, sizeof(int));
	if (w->stack)
		bring((const char *)w->stack - STACK_NEW, STACK_NEW);
	maplock_lock();
	f->guarded = __atomic_load_n(&agent->guarded, __ATOMIC_ACQUIRE);
	err = ask_areas(0, AREAS_FREEZE | (f->guarded ? 0 : AREAS_NONE), &f->areas);
	if (!err) {
		f->lifted = f->guarded;
		f->whole = !f->areas.next;
		err = advise_rest(&f->areas, MADV_DOFORK);
	}
	if (!err)
		return 0;
	guard_again(f);
	leave(f);
	return -EAGAIN;
}

/* The child stays waitable: it is the program's to collect. It may be another's (CLONE_PARENT). */
static bool has_ended(int child)
{
	siginfo_t si = { 0 };
	long err = sys_call5(SYS_waitid, P_PID, child, &si, WEXITED | WNOHANG | WNOWAIT | __WALL,
			     NULL);

	return err < 0 ? sys_call2(SYS_kill, child, 0) == -ESRCH : si.si_pid != 0;
}

/* Wait until the child is registered: the supervisor says so. */
static void await_child(const struct own_fork *f, int child)
{
	struct msg_call_reply done;
	int n;

	do
		n = channel_recv_timed(f->call, &done, sizeof done, 0, NULL, CHILD_MS);
	while (n == -ETIMEDOUT && !has_ended(child));
}

void fork_parent_done(struct own_fork *f, long child)
{
	if (child > 0)
		await_child(f, (int)child);
	guard_again(f);
	leave(f);
}

/* ---- the child ---- */

static _Noreturn void die(void)
{
	for (;;)
		sys_call2(SYS_kill, sys_getpid(), SIGKILL);
}

/* A program may be at its soft limit of descriptors, and HELLO needs some for a moment. */
static void raise_limit(struct rlimit64 *was)
{
	struct rlimit64 more;

	if (sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, was) < 0)
		was->rlim_cur = was->rlim_max = 0;
	more = *was;
	more.rlim_cur = more.rlim_max;
	if (more.rlim_max)
		sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, &more, 0);
}

void fork_child_guard(struct own_fork *f)
{
	__atomic_store_n(&agent->guarded, f->guarded, __ATOMIC_RELEASE);
	guard_again(f);
}

void fork_child_begin(struct own_fork *f)
{
	struct rlimit64 was;
	int err;

	if (f->hold.held)
		user_forked();
	sys_close(f->call);
	if (f->uffd >= 0)
		sys_close(f->uffd);
	raise_limit(&was);
	err = agent_attach(f->cookie, f);
	if (was.rlim_max)
		sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, &was, 0);
	if (err) {
		agent_debug("umemcg: the child of a fork cannot be managed and ends:", err);
		die(); /* I3 */
	}
	if (f->hold.held)
		entry_forked();
	sys_restore_signals(&f->mask);
	user_drop(&f->hold);
}

/* ---- the system call ---- */

/* vfork's wait for the child would keep maplock: the parent goes on at once. */
static long without_wait(uint64_t flags)
{
	return (long)(flags & ~(uint64_t)CLONE_VFORK);
}

__attribute__((noinline)) long fork_clone(uint64_t flags, void *stack, int *parent_tid,
					  int *child_tid, uint64_t tls)
{
	struct own_fork f;
	struct fork_words w = { .parent_tid = parent_tid, .child_tid = child_tid };
	long ret;

	if (!fork_is_own(flags) || stack)
		return sys_clone_raw(flags, stack, parent_tid, child_tid, tls);
	ret = fork_begin(&f, &w);
	if (ret < 0)
		return ret;
	ret = sys_clone_raw((uint64_t)without_wait(flags), NULL, parent_tid, child_tid, tls);
	if (ret)
		fork_parent_done(&f, ret);
	else
		fork_child_begin(&f);
	return ret;
}

__attribute__((noinline)) long fork_clone3(const void *args, size_t size)
{
	struct clone_args a = { 0 };
	struct own_fork f;
	struct fork_words w;
	long ret;

	memcpy(&a, args, size < sizeof a ? size : sizeof a);
	w = (struct fork_words){ .parent_tid =
					 (void *)(uintptr_t)(a.parent_tid ? a.parent_tid : a.pidfd),
				 .child_tid = (void *)(uintptr_t)a.child_tid };
	ret = fork_begin(&f, &w);
	if (ret < 0)
		return ret;
	a.flags = (uint64_t)without_wait(a.flags);
	ret = sys_call2(SYS_clone3, &a, size < sizeof a ? size : sizeof a);
	if (ret)
		fork_parent_done(&f, ret);
	else
		fork_child_begin(&f);
	return ret;
}

/* ---- libc's system call instruction ---- */

void *fork_site_return;

#if defined(__x86_64__)
/* In place of `mov $SYS_clone, %eax; syscall` in libc's function _Fork. It steps over the red zone
 * and keeps what a system call keeps. */
__asm__(".text\n"
	".hidden fork_site_entry\n"
	".globl fork_site_entry\n"
	".type fork_site_entry, @function\n"
	"fork_site_entry:\n\t"
	"lea -128(%rsp), %rsp\n\t"
	"push %rbp\n\t"
	"mov %rsp, %rbp\n\t"
	"push %rdi\n\t"
	"push %rsi\n\t"
	"push %rdx\n\t"
	"push %r10\n\t"
	"push %r8\n\t"
	"push %r9\n\t"
	"sub $512, %rsp\n\t"
	"and $-16, %rsp\n\t"
	"fxsave64 (%rsp)\n\t"
	"mov %r10, %rcx\n\t"
	"call fork_clone\n\t"
	"fxrstor64 (%rsp)\n\t"
	"lea -48(%rbp), %rsp\n\t"
	"pop %r9\n\t"
	"pop %r8\n\t"
	"pop %r10\n\t"
	"pop %rdx\n\t"
	"pop %rsi\n\t"
	"pop %rdi\n\t"
	"pop %rbp\n\t"
	"lea 128(%rsp), %rsp\n\t"
	"jmp *fork_site_return(%rip)\n\t"
	".size fork_site_entry, . - fork_site_entry\n");
#endif

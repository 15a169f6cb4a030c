/* agent/clone.c - threads that the program makes without libc: the word that the kernel clears at
 * thread exit stays in memory.
 *
 * A thread made with CLONE_CHILD_CLEARTID, or one that has called set_tid_address(2), has a word
 * that the kernel clears, with a futex wake, when the thread ends. userfaultfd refuses to serve an
 * exiting task: if the word is swapped out, the waiter is never woken. The same holds for the head
 * of its list of robust mutexes. So these pages are held as long as the thread lives (hold.c): 680
 * of them at a time; beyond that the supervisor is asked to keep the page in place permanently.
 *
 * Threads of libc do not come here: libc makes the system call inline, and maps their stacks so
 * that their records are not managed.
 *
 * A child without CLONE_VM is a fork, and is made managed like one (agent.c); the kernel has copied
 * its memory, and libc's clone gives it a stack of the copy. What it may not tolerate is left out:
 * descriptors or thread-local storage that are not a copy, and a parent that waits for its exec,
 * from which nothing could be taken meanwhile. Of syscall(2) and a program's own instructions the
 * supervisor learns by the fork's event only.
 *
 * I1  The code after the system call uses no stack in the child, which may have another one
 *     (raw.c).
 */
#include <dlfcn.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdarg.h>

#include "agent/fork.h"
#include "agent/hooks.h"

#define WORD 4ul

static int (*libc_clone)(int (*)(void *), void *, int, void *, ...);

/* One record per thread and kind: the calling thread's previous one is released. */
static struct hold *keep_word(uint64_t at, uint64_t bytes, uint32_t kind)
{
	struct hold *before = kind < HOLD_WORD ? NULL : hold_of(kind),
		    *h = hold_take(at, at + bytes);

	AGENT_ASSERT(bytes > 0 && kind <= HOLD_ROBUST);
	if (h)
		h->kind = kind;
	hold_drop(before);
	hold_bring(at, at + bytes);
	hold_shared(at, at + bytes, true);
	if (!h)
		channel_call(CALL_KEEP, to_page_start(at),
			     to_page_end(at + bytes) - to_page_start(at));
	return h;
}

/* Only a task that shares our memory clears a word of it. */
static bool clears(uint64_t flags)
{
	return (flags & (CLONE_VM | CLONE_CHILD_CLEARTID)) == (CLONE_VM | CLONE_CHILD_CLEARTID);
}

static struct hold *keep_clear_word(uint64_t flags, uint64_t at, uint32_t kind)
{
	AGENT_ASSERT(kind <= HOLD_ROBUST);
	return clears(flags) && at && agent_managed() ? keep_word(at, WORD, kind) : NULL;
}

/* @tid: the new thread, or -errno. */
static void settle(struct hold *h, long tid)
{
	if (h)
		h->kind = HOLD_WORD;
	if (tid > 0)
		hold_give(h, (uint32_t)tid);
	else
		hold_drop(h);
}

struct fork {
	int (*fn)(void *);
	void *arg;
	bool same_network;
};

static bool is_fork(uint64_t flags)
{
	return agent_managed() && !(flags & (CLONE_VM | CLONE_FILES | CLONE_SETTLS | CLONE_VFORK));
}

/* What such a child runs in place of the program's function. */
static int fork_run(void *fork)
{
	const struct fork *f = fork;

	agent_fork_child(f->same_network);
	return f->fn(f->arg);
}

struct start {
	struct own_fork fork;
	int (*fn)(void *);
	void *arg;
};

/* On the child's stack; @arg is in the copy of its parent's. */
static int begin(void *arg)
{
	struct start *s = arg;

	fork_child_begin(&s->fork);
	return s->fn(s->arg);
}

/* A child with a copy of our memory (fork.c). */
static int clone_own(int (*fn)(void *), void *stack, int flags, void *arg, pid_t *parent_tid,
		     void *tls, pid_t *child_tid)
{
	struct start s = { .fn = fn, .arg = arg };
	const struct fork_words w = {
		.parent_tid = parent_tid, .child_tid = child_tid, .error = &errno, .stack = stack
	};
	int tid, err = fork_begin(&s.fork, &w);

	if (err) {
		errno = -err;
		return -1;
	}
	tid = libc_clone(begin, stack, flags & ~CLONE_VFORK, &s, parent_tid, tls, child_tid);
	err = errno;
	fork_parent_done(&s.fork, tid);
	errno = err;
	return tid;
}

AGENT_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct fork f = { fn, arg, !(flags & CLONE_NEWNET) };
	bool forks = fn && stack && is_fork((uint64_t)(unsigned int)flags);
	struct standby *s = NULL;
	struct hold *h;
	pid_t *parent_tid, *child_tid;
	void *tls;
	va_list ap;
	int tid;

	va_start(ap, arg);
	parent_tid = va_arg(ap, pid_t *);
	tls = va_arg(ap, void *);
	child_tid = va_arg(ap, pid_t *);
	va_end(ap);
	if (!libc_clone)
		libc_clone = (__typeof__(libc_clone))dlsym(RTLD_NEXT, "clone");
	if (!libc_clone) {
		errno = ENOSYS;
		return -1;
	}
	/* libc's system call comes back to us, as every one does, with the new stack; and it must
	 * not be made with signals blocked. */
	if (user_active() && !(flags & CLONE_VM))
		return libc_clone(fn, stack, flags, arg, parent_tid, tls, child_tid);
	if (fn && stack && fork_is_own((uint64_t)(unsigned int)flags))
		return clone_own(fn, stack, flags, arg, parent_tid, tls, child_tid);
	h = keep_clear_word((uint64_t)(unsigned int)flags, (uintptr_t)child_tid, HOLD_CALL);
	if (fn && stack && standby_wanted((uint64_t)(unsigned int)flags))
		s = standby_take(fn, arg);
	if (forks) {
		agent_fork_prepare();
		fn = fork_run;
		arg = &f;
	}
	tid = libc_clone(s ? standby_run : fn, stack, flags, s ? s : arg, parent_tid, tls,
			 child_tid);
	if (forks)
		agent_fork_parent();
	if (s)
		standby_await(s, tid);
	settle(h, tid);
	return tid;
}

/* ---- through syscall(2) ---- */

/* May run in any thread of the program, which may have no thread-local storage of its own. */
static __attribute__((noinline)) long parent_done(long ret)
{
	settle(hold_of(HOLD_ASKED), ret);
	return hook_result(ret);
}

/* The child touches only registers. */
__attribute__((noinline, optimize("omit-frame-pointer"))) static long call(long nr, long a, long b,
									   long c, long d, long e)
{
	long ret = sys_call6(nr, a, b, c, d, e, 0);

	return ret ? parent_done(ret) : 0;
}

/* The order of clone's last two arguments depends on the architecture. */
static uint64_t clear_word(long d, long e)
{
#if defined(__x86_64__)
	(void)e;
	return (uint64_t)d;
#else
	(void)d;
	return (uint64_t)e;
#endif
}

__attribute__((noinline, optimize("omit-frame-pointer"))) long hook_clone(long nr, long a, long b,
									  long c, long d, long e)
{
	const struct clone_args *args = (const struct clone_args *)a;

	/* On a stack of its own the child cannot say HELLO before it returns to the program: it is
	 * past the agent (fork.c). */
	if (nr == SYS_clone && !b && fork_is_own((uint64_t)a))
		return hook_result(fork_clone((uint64_t)a, NULL, (int *)c, (int *)clear_word(d, e),
					      clear_word(e, d)));
	if (nr == SYS_clone3 && args && b >= CLONE_ARGS_SIZE_VER0 && b <= (long)sizeof *args &&
	    !args->stack && fork_is_own(args->flags))
		return hook_result(fork_clone3(args, (size_t)b));
	if (nr == SYS_clone)
		(void)keep_clear_word((uint64_t)a, clear_word(d, e), HOLD_ASKED);
	else if (args && (uint64_t)b >= CLONE_ARGS_SIZE_VER0)
		(void)keep_clear_word(args->flags, args->child_tid, HOLD_ASKED);
	return call(nr, a, b, c, d, e);
}

long hook_set_tid_address(long word)
{
	long tid = sys_call1(SYS_set_tid_address, word);

	if (agent_managed() && word)
		(void)keep_word((uint64_t)word, WORD, HOLD_WORD);
	return tid;
}

long hook_set_robust_list(long head, long len)
{
	long err = sys_call2(SYS_set_robust_list, head, len);

	if (!err && agent_managed() && head)
		(void)keep_word((uint64_t)head, (uint64_t)len, HOLD_ROBUST);
	return hook_result(err);
}

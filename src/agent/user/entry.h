/* agent/user/entry.h - how the program's system calls reach the agent in mode user.
 *
 * Two ways in, one function behind them. Instructions that are used often become jumps (patch.c);
 * every other one raises SIGSYS (dispatch.c), whose handler only rewrites the context. Both end in
 * entry_call, which runs on the program's stack, outside any handler, under the program's signal
 * mask; it calls user_call(), which makes the system call and returns its result. So a call blocks,
 * is interrupted and is restarted as it would be without us.
 *
 * Not seen by user_call, because no frame of ours may be on the stack: clone, clone3 and vfork with
 * CLONE_VM (user_share is called before), and rt_sigreturn. Not seen because the entry answers:
 * rt_sigaction, sigaltstack. What has a signal mask among its arguments comes with a mask
 * that is in memory of the agent's and lacks the signals that are ours (signals.c).
 *
 * Locks: none here.
 */
#ifndef UMEMCG_AGENT_USER_ENTRY_H
#define UMEMCG_AGENT_USER_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not there in a build of the entry alone. */
#define USER_ROOM __attribute__((weak, visibility("hidden")))

/* One system call as the program makes it. */
struct user_regs {
	long nr;
	long arg[6];
	uint64_t ip; /* the instruction behind the program's system call instruction */
	uint64_t sp; /* the program's stack pointer there */
};

/* ---- supplied by call.c and fetch.c ---- */

/* Make the call: its result, or -errno, as the kernel returns it. No lock is held, and signals are
 * as the program has them: a handler may interrupt it, make calls of its own, and never return. Of
 * fork, clone and clone3 it sees those without CLONE_VM and without a stack; it returns twice. */
long user_call(const struct user_regs *r) USER_ROOM;
/* The same call with CLONE_VM is about to be made: hold what the kernel will touch. 0, or -errno:
 * do not make it. */
long user_share(const struct user_regs *r) USER_ROOM;
/* The calling thread is about to end: see to what the kernel will touch then. */
void user_leave(void) USER_ROOM;
/* The record of a thread, by number, has no owner any more. */
void user_forget(size_t index) USER_ROOM;
/* A fault was raised at this context: was it the agent's own touch of program memory? Then it has
 * changed the context, and true says that the thread goes on with it. In a signal handler. */
bool user_fixup(void *ucontext) USER_ROOM;

/* ---- supplied by the entry ---- */

/* Take over the program's system calls, from the calling thread on, which is the only one. 0; or
 * -errno: nothing was changed. */
int entry_start(void);
/* In the child of a fork, before signals are allowed and before anything of the program runs: its
 * only thread is taken over again. Again: nothing. */
void entry_forked(void);
/* Is the calling process taken over? */
bool entry_active(void);
/* Make the system call: the kernel's result. For user_call: a handler that interrupts it must be
 * able to tell what it interrupts. */
long entry_raw(const struct user_regs *r);
/* Call fn(r) with all vector registers saved: code that is not compiled without them, the rest of
 * the agent for one, changes them, and a system call does not. Takes 3 KiB of stack. */
long entry_with_vectors(long (*fn)(const struct user_regs *), const struct user_regs *r);
/* As syscall(2), but it returns the kernel's result, and goes the way of a taken-over call. */
long entry_syscall(long nr, long a, long b, long c, long d, long e, long f);
/* Copy @n bytes where either side may be no memory of the program: 0 or -EFAULT. Not while SIGSEGV
 * is blocked. */
long entry_copy(void *to, const void *from, size_t n);

#endif

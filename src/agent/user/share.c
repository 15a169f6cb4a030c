/* agent/user/share.c - clone, clone3 and vfork with CLONE_VM: two tasks go on in one memory.
 *
 * The child may run on the stack that the program gave it, or on its parent's. So neither has a
 * frame of ours there while the other runs: what the entry has saved is copied into the parent's
 * record, both tasks come out of the kernel on stacks of the agent's, and each then builds its own
 * copy of the frame where its program's stack pointer is, and leaves through it.
 *
 *     parent                                     child
 *     block signals; record and stack for it
 *     clone, on its own agent's stack ---------> on its agent's stack
 *     forget the child's record, if it has       dispatch and alternate stack; frame on the
 *     waited for its exec; frame; mask           program's stack; mask
 *
 * A parent that waits (CLONE_VFORK) shares its thread-local storage with the child, which notes its
 * own record there; the parent notes its own again.
 *
 * Locks: none; signals are blocked in both.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>

#include "agent/user/inside.h"

#if defined(__x86_64__)

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#define CLONE_ARGS_MIN 64
#define STACK_TOP      ENTRY_STACK_USABLE

static const uint64_t all = ~0ull;

/* In words. */
enum { A_FLAGS, A_PIDFD, A_CHILD_TID, A_PARENT_TID, A_EXIT, A_STACK, A_STACK_SIZE, A_TLS };

bool entry_shares(const struct user_regs *r, uint64_t *flags)
{
	switch (r->nr) {
	case SYS_vfork:
		*flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
		return true;
	case SYS_clone:
		*flags = (uint64_t)(uint32_t)r->arg[0];
		return *flags & CLONE_VM;
	case SYS_clone3:
		return r->arg[1] >= CLONE_ARGS_MIN &&
		       !entry_copy(flags, (const void *)r->arg[0], sizeof *flags) &&
		       *flags & CLONE_VM;
	default:
		return false;
	}
}

bool entry_clears_actions(uint64_t flags)
{
	return flags & CLONE_CLEAR_SIGHAND;
}

/* Will the child find its record by thread-local storage? A parent that waits lends it its own. */
static bool has_storage(const struct user_regs *r, uint64_t flags, const uint64_t *args)
{
	if (!(flags & CLONE_SETTLS))
		return flags & CLONE_VFORK;
	return entry_is_libc_storage(r->nr == SYS_clone3 ? args[A_TLS] : (uint64_t)r->arg[4]);
}

/* clone3's arguments, while a bad pointer is EFAULT and not yet the end. */
static long read_args(const struct user_regs *r, uint64_t *a)
{
	if (r->nr != SYS_clone3)
		return 0;
	if (r->arg[1] > (long)(NR_CLONE_ARGS * sizeof *a))
		return -E2BIG;
	if (entry_copy(a, (const void *)r->arg[0], (size_t)r->arg[1]))
		return -EFAULT;
	return !a[A_STACK] != !a[A_STACK_SIZE] ? -EINVAL : 0;
}

/* The call with the agent's stack in place of the program's: number, arguments. Returns the
 * program's stack pointer for the child. */
static uint64_t prepare(struct user_thread *t, const struct user_regs *r, const uint64_t *args)
{
	uint64_t *a = t->room->clone_args, sp = r->sp;
	long *call = t->room->call;

	call[0] = r->nr;
	for (int i = 0; i < 5; i++)
		call[i + 1] = r->arg[i];
	if (r->nr == SYS_clone3) {
		__builtin_memcpy(a, args, NR_CLONE_ARGS * sizeof *a);
		if (a[A_STACK])
			sp = a[A_STACK] + a[A_STACK_SIZE];
		a[A_STACK] = (uintptr_t)t->child->stack;
		a[A_STACK_SIZE] = STACK_TOP;
		call[1] = (long)a;
		return sp;
	}
	if (r->nr == SYS_vfork) {
		/* The same, but with a stack. */
		call[0] = SYS_clone;
		call[1] = CLONE_VM | CLONE_VFORK | SIGCHLD;
		call[3] = call[4] = call[5] = 0;
	} else if (r->arg[1]) {
		sp = (uint64_t)r->arg[1];
	}
	call[2] = (long)t->child->stack + STACK_TOP;
	return sp;
}

static struct user_thread *make_child(struct user_thread *t, uint64_t flags)
{
	struct user_thread *c = entry_thread_new();

	if (!c)
		return NULL;
	c->actions = entry_actions_for(t, flags & CLONE_SIGHAND);
	if (!c->actions) {
		entry_thread_free(c);
		return NULL;
	}
	c->masked = t->masked;
	c->of_process = !(flags & CLONE_THREAD);
	c->waited = flags & CLONE_VFORK;
	c->cleared = entry_clears_actions(flags);
	c->mask = t->mask;
	/* The kernel: only a child that its parent waits for keeps it. */
	if (flags & CLONE_VFORK)
		c->alt = t->alt;
	return c;
}

/* Where entry_return finds it: the frame that the entry would have made at this stack pointer. */
static struct entry_frame *frame_at(uint64_t sp)
{
	return (struct entry_frame *)(sp - ENTRY_RED_ZONE - sizeof(struct entry_frame));
}

static _Noreturn void leave(struct user_thread *t, const struct entry_frame *f, uint64_t sp,
			    long result)
{
	struct entry_frame *at = frame_at(sp);

	__builtin_memcpy(at, f, sizeof *at);
	entry_return(at, result, &t->mask);
}

_Noreturn void entry_share_parent(struct user_thread *t, long result);
_Noreturn void entry_share_child(struct user_thread *c);

_Noreturn void entry_share_parent(struct user_thread *t, long result)
{
	struct user_thread *c = t->child;

	t->child = NULL;
	entry_set_self(t);
	if (result < 0 || t->waits)
		entry_thread_free(c);
	leave(t, &t->room->frame, t->room->frame.r.sp, result);
}

_Noreturn void entry_share_child(struct user_thread *c)
{
	/* It cannot fail: the parent's did not, with other addresses. */
	if (entry_thread_on(c))
		for (;;)
			sys_call1(SYS_exit_group, 127);
	if (c->cleared)
		entry_signals_cleared(c);
	leave(c, &c->room->frame, c->room->frame.r.sp, 0);
}

long entry_share(struct user_thread *t, const struct entry_frame *f, uint64_t flags)
{
	const struct user_regs *r = &f->r;
	uint64_t args[NR_CLONE_ARGS] = { 0 };
	long err = read_args(r, args);

	if (!err && user_share)
		err = user_share(r);
	if (err)
		return err;
	if (!has_storage(r, flags, args))
		entry_share_storage();
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &t->mask, SYS_SIGSET_SIZE);
	t->child = make_child(t, flags);
	if (t->child) {
		t->waits = flags & CLONE_VFORK;
		t->room->frame = t->child->room->frame = *f;
		t->child->room->frame.r.sp = prepare(t, r, args);
		entry_share_run(t->room->call, t->stack + STACK_TOP, t, t->child);
	}
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &t->mask, 0, SYS_SIGSET_SIZE);
	return -EAGAIN;
}

#endif

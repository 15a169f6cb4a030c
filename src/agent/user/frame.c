/* agent/user/frame.c - signals on their way to the program's handlers, and back.
 *
 * The kernel delivers every signal on the thread's own stack of ours, with all signals blocked, to
 * entry_on_signal. From there:
 *
 *     SIGSYS of a dispatched call    the context goes on at user_entry, or it is a return from a
 *                                    handler: its frame takes the place of this one
 *     a fault that the agent caused  the context goes on where user_fixup says
 *     a signal of the program's      the frame is copied to where the kernel would have put it; the
 *                                    context is the handler's first instruction, with the mask that
 *                                    the kernel would have set
 *
 * Then it returns, and the kernel makes the context and the mask effective at once. The program's
 * memory is touched by user mode only, so a page that is out is served. A page that is no memory
 * ends the process with SIGSEGV, as a frame there does.
 *
 * I1  Nothing is left on our stack when the program's handler runs.
 *
 * Locks: none here.
 */
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <ucontext.h>

#include "agent/user/inside.h"

#if defined(__x86_64__)

#define DISPATCHED     2 /* si_code of SIGSYS: SYS_USER_DISPATCH */
#define NR_REGISTERS   23
#define SYSCALL_BYTES  2
#define CALLS_DEEP     32
#define LEGACY_BYTES   512
#define SOFTWARE_BYTES 464 /* where the kernel's own words lie in the legacy part */
#define CLEARED        (0x400ull | 0x10000ull | 0x100ull) /* flags DF, RF, TF */

/* ucontext as the kernel lays it out: libc's has a longer mask. */
struct context {
	uint64_t flags, link;
	struct user_stack stack;
	uint64_t reg[NR_REGISTERS]; /* REG_ of ucontext.h */
	uint64_t fp;
	uint64_t reserved[8];
	uint64_t mask;
};

struct frame {
	uint64_t restorer;
	struct context uc;
	char info[ENTRY_INFO_BYTES];
};

_Static_assert(sizeof(struct frame) == 440, "the kernel's struct rt_sigframe");

static void copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

/* The size of the vector registers' part. */
static size_t fp_size(const char *fp)
{
	const uint32_t *sw = (const uint32_t *)(fp + SOFTWARE_BYTES);

	return sw[0] == FP_XSTATE_MAGIC1 && sw[1] >= LEGACY_BYTES ? sw[1] : LEGACY_BYTES;
}

/* ---- a signal that the program has no handler for ---- */

static void die(int sig, const siginfo_t *si)
{
	entry_set_default(sig);
	/* A fault comes again; anything else is sent. It is blocked until we return. */
	if (si->si_code <= 0 || sig == SIGSYS)
		sys_call4(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_call0(SYS_gettid), sig, si);
}

static _Noreturn void die_here(void)
{
	static const uint64_t none;

	entry_set_default(SIGSEGV);
	sys_call3(SYS_tgkill, sys_getpid(), sys_call0(SYS_gettid), SIGSEGV);
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, SYS_SIGSET_SIZE);
	for (;;)
		sys_call1(SYS_exit_group, 128 + SIGSEGV);
}

/* ---- the context that a handler sees ---- */

/* A handler that interrupts a system call is to find it at the program's instruction: libc's own
 * handler for cancellation compares that address, and unwinders begin there. So the context of the
 * instruction is shown. If it comes back unchanged the call goes on here. */
struct shown {
	uint64_t real[NR_REGISTERS], shown[NR_REGISTERS];
};

#define SHOWN_MARK 0x756d656d63670001ull

/* What the entry saved of the call that entry_raw is making; NULL: that is not known. The agent is
 * compiled with frame pointers. */
static const struct entry_frame *call_of(const struct context *uc)
{
	const uint64_t *bp = (const uint64_t *)uc->reg[REG_RBP];
	uint64_t ret = ((const uint64_t *)uc->reg[REG_RSP])[1]; /* behind rbx */
	int i;

	for (i = 0; i < CALLS_DEEP && ret != (uintptr_t)user_entry_leave; i++) {
		ret = bp[1];
		bp = (const uint64_t *)bp[0];
	}
	return i < CALLS_DEEP ? (const struct entry_frame *)((const char *)bp -
							     offsetof(struct entry_frame, bp))
			      : NULL;
}

/* @f: the program's copy of @k; @s is on its stack, too. */
static void show_call(struct frame *f, const struct frame *k, struct shown *s)
{
	bool before = k->uc.reg[REG_RIP] == (uintptr_t)entry_raw_at;
	const struct entry_frame *e;
	uint64_t *reg = f->uc.reg;

	f->uc.reserved[0] = f->uc.reserved[1] = 0;
	if (!before && k->uc.reg[REG_RIP] != (uintptr_t)entry_raw_return)
		return;
	e = call_of(&k->uc);
	if (!e)
		return;
	copy(s->real, reg, sizeof s->real);
	reg[REG_RIP] = before ? e->r.ip - SYSCALL_BYTES : e->r.ip;
	if (before)
		reg[REG_RAX] = (uint64_t)e->r.nr;
	reg[REG_RSP] = e->r.sp;
	reg[REG_RDI] = (uint64_t)e->r.arg[0];
	reg[REG_RSI] = (uint64_t)e->r.arg[1];
	reg[REG_RDX] = (uint64_t)e->r.arg[2];
	reg[REG_R10] = (uint64_t)e->r.arg[3];
	reg[REG_R8] = (uint64_t)e->r.arg[4];
	reg[REG_R9] = (uint64_t)e->r.arg[5];
	reg[REG_RBX] = e->bx;
	reg[REG_RBP] = e->bp;
	reg[REG_R12] = e->r12;
	reg[REG_R13] = e->r13;
	reg[REG_R14] = e->r14;
	reg[REG_R15] = e->r15;
	reg[REG_RCX] = e->r.ip;
	copy(s->shown, reg, sizeof s->shown);
	f->uc.reserved[0] = (uintptr_t)s;
	f->uc.reserved[1] = (uintptr_t)s ^ SHOWN_MARK;
}

/* The registers to go on with. */
static void unshow_call(struct context *uc)
{
	const struct shown *s = (const struct shown *)uc->reserved[0];
	int i;

	if (!s || uc->reserved[1] != ((uintptr_t)s ^ SHOWN_MARK))
		return;
	for (i = 0; i < NR_REGISTERS; i++)
		if (uc->reg[i] != s->shown[i])
			return;
	copy(uc->reg, s->real, sizeof s->real);
}

/* ---- to the handler ---- */

static bool is_within(const struct user_stack *ss, uint64_t sp)
{
	return sp > ss->sp && sp - ss->sp <= ss->size;
}

/* Where the frame's end belongs. */
static uint64_t frame_top(const struct user_thread *t, const struct user_action *a, uint64_t sp,
			  bool *alternate)
{
	const struct user_stack *ss = &t->alt;

	*alternate = a->flags & SA_ONSTACK && ss->size &&
		     (ss->flags & ENTRY_AUTODISARM || !is_within(ss, sp));
	return *alternate ? ss->sp + ss->size : sp - ENTRY_RED_ZONE;
}

/* The mask that was in effect: where a call with a mask of its own was interrupted, that one. The
 * kernel's frame has the mask to go back to. */
static uint64_t effective_mask(const struct user_thread *t, const struct context *uc)
{
	const struct user_regs *r = (const struct user_regs *)uc->reg[REG_RBX];
	uint64_t mask;

	if (uc->reg[REG_RIP] == (uintptr_t)entry_raw_return && entry_is_masked_call(r->nr) &&
	    uc->reg[REG_RAX] == (uint64_t)-EINTR && entry_mask_of(r, &mask))
		return mask | t->call_masked;
	return uc->mask;
}

/* The copy of the kernel's frame @k where the program expects it. */
static struct frame *put_frame(struct user_thread *t, const struct user_action *a,
			       const struct frame *k)
{
	const char *fp = (const char *)k->uc.fp;
	size_t n = fp ? fp_size(fp) : 0;
	bool alternate;
	uint64_t top = frame_top(t, a, k->uc.reg[REG_RSP], &alternate) & ~15ull, fp_at, at;
	struct frame *f;

	top -= sizeof(struct shown);
	fp_at = (top - n) & ~63ull;
	at = ((fp_at - sizeof *f) & ~15ull) - 8;
	if (alternate ? at < t->alt.sp
		      : t->alt.size && is_within(&t->alt, k->uc.reg[REG_RSP]) && at < t->alt.sp &&
				!(t->alt.flags & ENTRY_AUTODISARM))
		die_here();
	f = (struct frame *)at;
	copy((void *)fp_at, fp, n);
	copy(f, k, sizeof *k);
	show_call(f, k, (struct shown *)top);
	f->restorer = a->restorer;
	f->uc.fp = n ? fp_at : 0;
	f->uc.stack = t->alt;
	f->uc.mask = k->uc.mask | t->masked;
	if (alternate && t->alt.flags & ENTRY_AUTODISARM)
		t->alt = (struct user_stack){ .flags = ENTRY_DISABLE };
	return f;
}

static void to_handler(struct user_thread *t, int sig, const struct user_action *a, struct frame *k)
{
	uint64_t mask = effective_mask(t, &k->uc) | a->mask;
	struct frame *f = put_frame(t, a, k);

	if (!(a->flags & SA_NODEFER))
		mask |= SIGBIT(sig);
	t->masked |= mask & OUR_SIGNALS;
	k->uc.mask = mask & ~OUR_SIGNALS;
	k->uc.fp = 0; /* a handler begins with the registers' initial values */
	k->uc.reg[REG_RIP] = a->handler;
	k->uc.reg[REG_RSP] = (uintptr_t)f;
	k->uc.reg[REG_RDI] = (uint64_t)sig;
	k->uc.reg[REG_RSI] = (uintptr_t)f->info;
	k->uc.reg[REG_RDX] = (uintptr_t)&f->uc;
	k->uc.reg[REG_RAX] = 0;
	k->uc.reg[REG_EFL] &= ~CLEARED;
}

/* ---- back ---- */

/* The program is at rt_sigreturn: its frame takes the place of ours, and we return from that. */
static void from_handler(struct user_thread *t, struct frame *k)
{
	const struct frame *f = (const struct frame *)(k->uc.reg[REG_RSP] - 8);
	struct user_stack own = k->uc.stack;
	uint64_t sp = k->uc.reg[REG_RSP];
	char *fp = (char *)k->uc.fp;
	uint64_t theirs = f->uc.fp;

	if (theirs && fp) {
		/* More than the kernel saves is of no use to it. */
		size_t n = fp_size((const char *)theirs), room = fp_size(fp);

		copy(fp, (const void *)theirs, n < room ? n : room);
	}
	copy(&k->uc, &f->uc, sizeof k->uc);
	k->uc.fp = theirs ? (uintptr_t)fp : 0;
	unshow_call(&k->uc);
	entry_set_stack(t, &k->uc.stack, sp); /* as the kernel, whatever it says */
	k->uc.stack = own;
	t->masked = k->uc.mask & OUR_SIGNALS;
	k->uc.mask &= ~OUR_SIGNALS;
	entry_raise_pending(t);
}

/* ---- the one handler ---- */

static void dispatched(struct user_thread *t, struct frame *k, const siginfo_t *si)
{
	uint64_t *reg = k->uc.reg;

	if (si->si_arch != AUDIT_ARCH_X86_64) {
		reg[REG_R11] = reg[REG_RIP];
		reg[REG_RIP] = (uintptr_t)entry_compat;
		return;
	}
	if ((int)reg[REG_RAX] == SYS_rt_sigreturn) {
		from_handler(t, k);
		return;
	}
	entry_count(reg[REG_RIP], (uint32_t)reg[REG_RAX]);
	reg[REG_RCX] = reg[REG_R11] = reg[REG_RIP];
	reg[REG_RIP] = (uintptr_t)user_entry;
}

/* Did our own copying meet a bad address? */
static bool copy_fixup(struct context *uc)
{
	if (uc->reg[REG_RIP] != (uintptr_t)entry_copy_at)
		return false;
	uc->reg[REG_RIP] = (uintptr_t)entry_copy_bad;
	return true;
}

static bool is_fault(int sig, const siginfo_t *si)
{
	return (sig == SIGSEGV || sig == SIGBUS) && si->si_code > 0;
}

void entry_on_signal(int sig, void *info, void *context)
{
	struct frame *k = (struct frame *)((char *)context - offsetof(struct frame, uc));
	struct user_thread *t = entry_self_at(&k);
	const siginfo_t *si = info;
	struct user_action a;

	if (sig == SIGSYS && si->si_code == DISPATCHED) {
		dispatched(t, k, si);
		return;
	}
	if (is_fault(sig, si) && (copy_fixup(&k->uc) || (user_fixup && user_fixup(context))))
		return;
	k->uc.reg[REG_RIP] = entry_rewind(k->uc.reg[REG_RIP]);
	if (t->masked & SIGBIT(sig)) {
		if (si->si_code > 0)
			die(sig, si);
		else
			entry_keep_pending(t, sig, si);
		return;
	}
	a = entry_action(t->actions, sig, true);
	if (a.handler == (uintptr_t)SIG_IGN && !is_fault(sig, si))
		return;
	if (a.handler == (uintptr_t)SIG_DFL || a.handler == (uintptr_t)SIG_IGN)
		die(sig, si);
	else
		to_handler(t, sig, &a, k);
}

#endif

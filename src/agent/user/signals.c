/* agent/user/signals.c - the program's view of its signals: actions, masks, alternate stacks.
 *
 * Every handler of the program is reached through ours (frame.c). The kernel has our handler
 * wherever the program has one; what the program said is in a table. Of SIGBUS, SIGSEGV and SIGSYS
 * the kernel has ours always, and never blocks them: a thread whose system calls are dispatched
 * dies if SIGSYS is blocked. What the program blocks of these is remembered in its thread's record,
 * and what comes meanwhile is kept.
 *
 * A child that shares memory but not actions (vfork, posix_spawn) has a table of its own, as it has
 * in the kernel.
 *
 * Locks: user_actions.lock, with signals blocked: a handler may change actions itself.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "agent/user/inside.h"

#define KERNEL_RESTORER 0x04000000ul
/* What the kernel keeps of the flags. */
#define KNOWN_FLAGS                                                                                \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |         \
	 SA_RESETHAND | 0x800ul | KERNEL_RESTORER)
#define HANDED_ON (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART | SA_RESETHAND)
#define SETSIZE   SYS_SIGSET_SIZE
#define MIN_STACK 2048

static struct user_actions first;
static const uint64_t all = ~0ull;

static bool is_ours(int sig)
{
	return OUR_SIGNALS & SIGBIT(sig);
}

static bool is_handler(uint64_t h)
{
	return h != (uintptr_t)SIG_DFL && h != (uintptr_t)SIG_IGN;
}

/* ---- actions ---- */

static void lock(struct user_actions *as)
{
	uint32_t free = 0;

	while (!__atomic_compare_exchange_n(&as->lock, &free, 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		free = 0;
		sys_call0(SYS_sched_yield);
	}
}

static void unlock(struct user_actions *as)
{
	__atomic_store_n(&as->lock, 0, __ATOMIC_RELEASE);
}

struct user_action entry_action(struct user_actions *as, int sig, bool taken)
{
	struct user_action a;

	lock(as);
	a = as->a[sig];
	if (taken && a.flags & SA_RESETHAND && is_handler(a.handler) && is_ours(sig))
		as->a[sig].handler = (uintptr_t)SIG_DFL;
	unlock(as);
	return a;
}

struct user_actions *entry_actions_for(struct user_thread *t, bool shared)
{
	struct user_actions *as;
	long at;

	if (shared) {
		__atomic_fetch_add(&t->actions->uses, 1, __ATOMIC_ACQ_REL);
		return t->actions;
	}
	at = sys_mmap(NULL, sizeof *as, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0)
		return NULL;
	as = (struct user_actions *)at;
	lock(t->actions);
	__builtin_memcpy(as->a, t->actions->a, sizeof as->a);
	unlock(t->actions);
	as->uses = 1;
	as->private = true;
	return as;
}

void entry_actions_drop(struct user_thread *t)
{
	struct user_actions *as = t->actions;

	t->actions = NULL;
	if (as && !__atomic_sub_fetch(&as->uses, 1, __ATOMIC_ACQ_REL) && as != &first)
		sys_munmap(as, sizeof *as);
}

/* In the kernel; the table stays. For a thread that is to die of it. */
void entry_set_default(int sig)
{
	static const struct user_action dfl = { .flags = KERNEL_RESTORER };

	sys_call4(SYS_rt_sigaction, sig, &dfl, 0, SETSIZE);
}

/* @a: for the kernel, in memory that is there. */
static void for_kernel(int sig, struct user_action *a)
{
	if (!is_ours(sig) && !is_handler(a->handler))
		return;
	a->handler = (uintptr_t)entry_on_signal;
	a->flags = (a->flags & HANDED_ON) | SA_SIGINFO | SA_ONSTACK | KERNEL_RESTORER;
	if (is_ours(sig))
		a->flags &= ~(uint64_t)SA_RESETHAND;
	a->restorer = (uintptr_t)entry_restorer;
	a->mask = all;
}

/* Under the lock: @new, @old in the record, which is there. */
static long change(struct user_thread *t, int sig, const struct user_action *new,
		   struct user_action *old)
{
	struct user_action *in = (struct user_action *)&t->room->clone_args[0], *out = in + 1;
	struct user_action *at = &t->actions->a[sig];
	long err;

	if (new) {
		*in = *new;
		for_kernel(sig, in);
	}
	err = sys_call4(SYS_rt_sigaction, sig, new ? in : NULL, out, SETSIZE);
	if (err)
		return err;
	*old = *out;
	if (out->restorer == (uintptr_t)entry_restorer) {
		*old = *at;
		if (!is_ours(sig) && !is_handler(out->handler)) /* SA_RESETHAND */
			old->handler = out->handler;
	}
	/* A handler that is about to run was taken before the change. */
	if (new && (is_ours(sig) || is_handler(new->handler)))
		*at = *new;
	return 0;
}

long entry_sigaction(struct user_thread *t, const struct user_regs *r)
{
	struct user_action new = { 0 }, old = { 0 };
	int sig = (int)r->arg[0];
	long err;

	if (sig < 1 || sig > NR_SIGNALS || r->arg[3] != SETSIZE ||
	    ((sig == SIGKILL || sig == SIGSTOP) && r->arg[1]))
		return -EINVAL;
	if (r->arg[1] && entry_copy(&new, (const void *)r->arg[1], sizeof new))
		return -EFAULT;
	new.flags &= KNOWN_FLAGS;
	new.mask &= ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &t->mask, SETSIZE);
	lock(t->actions);
	err = change(t, sig, r->arg[1] ? &new : NULL, &old);
	unlock(t->actions);
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &t->mask, 0, SETSIZE);
	if (!err && r->arg[2])
		err = entry_copy((void *)r->arg[2], &old, sizeof old);
	return err;
}

/* What the program is to see as the actions that it was executed with. */
static void start_action(int sig)
{
	struct user_action *at = &first.a[sig], a;

	sys_call4(SYS_rt_sigaction, sig, 0, at, SETSIZE);
	a = *at;
	for_kernel(sig, &a);
	sys_call4(SYS_rt_sigaction, sig, &a, 0, SETSIZE);
}

void entry_signals_start(struct user_thread *t)
{
	static uint64_t mask;
	uint64_t now;
	int sig;

	first.uses = 1;
	t->actions = &first;
	for (sig = 1; sig <= NR_SIGNALS; sig++)
		if (is_ours(sig))
			start_action(sig);
	sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, 0, &mask, SETSIZE);
	t->masked = mask & OUR_SIGNALS;
	now = mask & ~OUR_SIGNALS;
	if (t->masked)
		sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &now, 0, SETSIZE);
}

/* Only the calling thread is left: nobody holds a lock. */
void entry_signals_forked(struct user_thread *t)
{
	if (t->actions != &first)
		t->actions->private = true;
	t->actions->lock = 0;
	t->actions->uses = 1;
}

void entry_signals_cleared(struct user_thread *t)
{
	struct user_action *a = &t->room->kernel_action;
	int sig;

	for (sig = 1; sig <= NR_SIGNALS; sig++) {
		if (is_handler(t->actions->a[sig].handler))
			t->actions->a[sig] = (struct user_action){ 0 };
		if (!is_ours(sig))
			continue;
		*a = t->actions->a[sig];
		for_kernel(sig, a);
		sys_call4(SYS_rt_sigaction, sig, a, 0, SETSIZE);
	}
}

/* ---- alternate stacks ---- */

static bool is_on(const struct user_stack *ss, uint64_t sp)
{
	return !(ss->flags & ENTRY_AUTODISARM) && sp > ss->sp && sp - ss->sp <= ss->size;
}

long entry_set_stack(struct user_thread *t, const struct user_stack *new, uint64_t sp)
{
	const uint32_t mode = new->flags & ~ENTRY_AUTODISARM;

	if (t->alt.size && is_on(&t->alt, sp))
		return -EPERM;
	if (mode != ENTRY_DISABLE && mode != ENTRY_ONSTACK && mode)
		return -EINVAL;
	if (mode != ENTRY_DISABLE && new->size < MIN_STACK)
		return -ENOMEM;
	t->alt = (struct user_stack){ .flags = new->flags };
	if (mode != ENTRY_DISABLE) {
		t->alt.sp = new->sp;
		t->alt.size = new->size;
	}
	return 0;
}

long entry_sigaltstack(struct user_thread *t, const struct user_regs *r)
{
	struct user_stack new = { 0 }, old = t->alt;
	long err;

	if (r->arg[0] && entry_copy(&new, (const void *)r->arg[0], sizeof new))
		return -EFAULT;
	old.flags &= ENTRY_AUTODISARM;
	if (!old.size)
		old.flags |= ENTRY_DISABLE;
	else if (is_on(&t->alt, r->sp))
		old.flags |= ENTRY_ONSTACK;
	err = r->arg[0] ? entry_set_stack(t, &new, r->sp) : 0;
	return !err && r->arg[1] ? entry_copy((void *)r->arg[1], &old, sizeof old) : err;
}

/* ---- masks ---- */

static char *pending_info(struct user_thread *t, int sig)
{
	return t->room->pending[sig == SIGBUS ? 0 : sig == SIGSEGV ? 1 : 2];
}

void entry_keep_pending(struct user_thread *t, int sig, const void *info)
{
	if (!(t->pending & SIGBIT(sig)))
		__builtin_memcpy(pending_info(t, sig), info, ENTRY_INFO_BYTES);
	t->pending |= SIGBIT(sig);
}

void entry_raise_pending(struct user_thread *t)
{
	uint64_t now = t->pending & ~t->masked;
	int sig;

	t->pending &= ~now;
	for (sig = 1; now && sig <= NR_SIGNALS; sig++)
		if (now & SIGBIT(sig))
			sys_call4(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_call0(SYS_gettid), sig,
				  pending_info(t, sig));
}

static long changed(int how, uint64_t set, uint64_t *masked)
{
	set &= OUR_SIGNALS;
	switch (how) {
	case SIG_BLOCK:
		*masked |= set;
		return 0;
	case SIG_UNBLOCK:
		*masked &= ~set;
		return 0;
	case SIG_SETMASK:
		*masked = set;
		return 0;
	default:
		return -EINVAL;
	}
}

long entry_sigprocmask(struct user_thread *t, const struct user_regs *r)
{
	uint64_t set = 0, before = t->masked, after = before, old;
	struct user_regs mine = *r;
	long err;

	if (r->arg[3] != SETSIZE)
		return -EINVAL;
	if (r->arg[1]) {
		if (entry_copy(&set, (const void *)r->arg[1], sizeof set))
			return -EFAULT;
		err = changed((int)r->arg[0], set, &after);
		if (err)
			return err;
	}
	if (!before && !(set & OUR_SIGNALS))
		return user_call(r);
	set &= ~OUR_SIGNALS;
	if (r->arg[1])
		mine.arg[1] = (long)&set;
	err = user_call(&mine);
	if (err && err != -EFAULT)
		return err;
	t->masked = after;
	if (!err && r->arg[2]) {
		if (entry_copy(&old, (const void *)r->arg[2], sizeof old))
			return -EFAULT;
		old = (old & ~OUR_SIGNALS) | before;
		err = entry_copy((void *)r->arg[2], &old, sizeof old);
	}
	if (t->pending & ~t->masked) {
		/* All at once: the kernel then has its order. */
		sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &t->mask, SETSIZE);
		entry_raise_pending(t);
		sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &t->mask, 0, SETSIZE);
	}
	return err;
}

/* ---- masks for a call's duration ---- */

/* Which argument is the mask; @packed: of which structure. */
static int mask_argument(long nr, bool *packed)
{
	*packed = false;
	switch (nr) {
	case SYS_rt_sigsuspend:
		return 0;
	case SYS_ppoll:
		return 3;
	case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
#endif
		return 4;
	case SYS_pselect6:
#ifdef SYS_io_pgetevents
	case SYS_io_pgetevents:
#endif
		*packed = true;
		return 5;
	default:
		return -1;
	}
}

bool entry_is_masked_call(long nr)
{
	bool packed;

	return mask_argument(nr, &packed) >= 0;
}

struct packed_mask {
	uint64_t at, size;
};

/* 1: it has one; 0: none; or -EFAULT. */
static int read_mask(const struct user_regs *r, struct packed_mask *p, uint64_t *mask)
{
	bool packed;
	int i = mask_argument(r->nr, &packed);

	if (i < 0 || !r->arg[i])
		return 0;
	p->at = (uint64_t)r->arg[i];
	if (packed && entry_copy(p, (const void *)r->arg[i], sizeof *p))
		return -EFAULT;
	if (!p->at)
		return 0;
	return entry_copy(mask, (const void *)p->at, sizeof *mask) ? -EFAULT : 1;
}

bool entry_mask_of(const struct user_regs *r, uint64_t *mask)
{
	struct packed_mask p;

	return read_mask(r, &p, mask) > 0;
}

long entry_masked_call(struct user_thread *t, const struct user_regs *r)
{
	struct user_regs mine = *r;
	struct packed_mask p;
	uint64_t mask;
	bool packed;
	int i;

	if (read_mask(r, &p, &mask) <= 0)
		return user_call(r);
	t->call_masked = mask & OUR_SIGNALS;
	if (!t->call_masked)
		return user_call(r);
	mask &= ~OUR_SIGNALS;
	i = mask_argument(r->nr, &packed);
	p.at = (uintptr_t)&mask;
	mine.arg[i] = packed ? (long)&p : (long)&mask;
	return user_call(&mine);
}

/* ---- exec ---- */

/* Of OUR_SIGNALS, those that the new program is to find ignored. Without a second thread that could
 * be dispatched meanwhile. */
static void ignore_ours(struct user_thread *t, bool yes)
{
	static const struct user_action ignored = { .handler = (uintptr_t)SIG_IGN };
	struct user_action a = { 0 };
	int sig;

	for (sig = 1; sig <= NR_SIGNALS; sig++) {
		if (!is_ours(sig) || t->actions->a[sig].handler != (uintptr_t)SIG_IGN ||
		    (entry_threaded() && !t->actions->private))
			continue;
		t->room->kernel_action = yes ? ignored : a;
		if (!yes)
			for_kernel(sig, &t->room->kernel_action);
		sys_call4(SYS_rt_sigaction, sig, &t->room->kernel_action, 0, SETSIZE);
	}
}

/* While these are blocked for real a bad pointer would kill: it is found before. */
static bool are_bad(const struct user_regs *r)
{
	char c;
	int i, first_pointer = r->nr == SYS_execveat;

	for (i = first_pointer; i < first_pointer + 3; i++)
		if (r->arg[i] && entry_copy(&c, (const void *)r->arg[i], 1))
			return true;
	return false;
}

long entry_exec(struct user_thread *t, const struct user_regs *r)
{
	uint64_t ignored = 0;
	long err;
	int sig;

	for (sig = 1; sig <= NR_SIGNALS; sig++)
		if (is_ours(sig) && t->actions->a[sig].handler == (uintptr_t)SIG_IGN)
			ignored |= SIGBIT(sig);
	if ((!ignored && !t->masked) || are_bad(r))
		return user_call(r);
	t->room->exec_mask = t->masked;
	sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, &t->room->exec_mask, 0, SETSIZE);
	ignore_ours(t, true);
	err = user_call(r);
	ignore_ours(t, false);
	sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, &t->room->exec_mask, 0, SETSIZE);
	return err;
}

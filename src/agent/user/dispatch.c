/* agent/user/dispatch.c - the system calls of the program's threads, one at a time.
 *
 * Syscall User Dispatch is on in each thread of the program, with the text of this library as the
 * only place that may make system calls. It ends with the thread, is not inherited by a child of
 * any kind, and not by an executed program: so each of these is taken over anew (share.c,
 * entry_forked, and the constructor of the agent in a new program).
 *
 * Locks: none.
 */
#include <asm/prctl.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/auxv.h>

#include "agent/user/inside.h"

uint64_t entry_text, entry_text_size;
static uint32_t active; /* (A) */

bool entry_active(void)
{
	return __atomic_load_n(&active, __ATOMIC_ACQUIRE);
}

#if defined(__x86_64__)

/* Newer than the oldest libc that this is built with. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static const uint64_t all = ~0ull;
static bool forked; /* the only thread of a child is taken over */

/* ---- calls that the entry answers ---- */

static _Noreturn void end_thread(struct user_thread *t, long status)
{
	static const struct user_stack none = { .flags = ENTRY_DISABLE };

	if (user_leave)
		user_leave();
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, SYS_SIGSET_SIZE);
	sys_call2(SYS_sigaltstack, &none, 0);
	if (!t->waited)
		entry_thread_free(t);
	for (;;)
		sys_call1(SYS_exit, status);
}

static long end_process(struct user_thread *t, const struct user_regs *r)
{
	/* Another process lives on in this memory. */
	if (t->of_process && !t->waited) {
		sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, SYS_SIGSET_SIZE);
		entry_thread_free(t);
	}
	return user_call(r);
}

/* A fork is made by user_call, which knows no stack: the child changes to it on the way out. */
static long forks(struct user_thread *t, struct entry_frame *f)
{
	struct user_regs mine = f->r;
	uint64_t args[NR_CLONE_ARGS] = { 0 }, sp = 0;
	long size = mine.arg[1], ret;

	if (mine.nr == SYS_clone) {
		sp = (uint64_t)mine.arg[1];
		mine.arg[1] = 0;
	} else if (mine.nr == SYS_clone3 && size >= 64 && size <= (long)sizeof args) {
		if (entry_copy(args, (const void *)mine.arg[0], (size_t)size))
			return -EFAULT;
		if (!args[5] != !args[6])
			return -EINVAL;
		if (args[5]) {
			sp = args[5] + args[6];
			args[5] = args[6] = 0;
			mine.arg[0] = (long)args;
		}
	}
	forked = false;
	ret = user_call(&mine);
	if (ret)
		return ret;
	if (!forked)
		entry_forked();
	if (mine.nr == SYS_clone3 && entry_clears_actions(args[0]))
		entry_signals_cleared(entry_self());
	if (sp) {
		struct entry_frame *at = (struct entry_frame *)(sp - ENTRY_RED_ZONE - sizeof *f);

		t = entry_self();
		sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &t->mask, SYS_SIGSET_SIZE);
		__builtin_memcpy(at, f, sizeof *at);
		entry_return(at, 0, &t->mask);
	}
	return 0;
}

static __attribute__((noinline)) long special_call(struct entry_frame *f)
{
	const struct user_regs *r = &f->r;
	struct user_thread *t = entry_self();
	uint64_t flags;

	switch (r->nr) {
	case SYS_rt_sigaction:
		return entry_sigaction(t, r);
	case SYS_rt_sigprocmask:
		return entry_sigprocmask(t, r);
	case SYS_sigaltstack:
		return entry_sigaltstack(t, r);
	case SYS_clone:
	case SYS_clone3:
	case SYS_fork:
	case SYS_vfork:
		return entry_shares(r, &flags) ? entry_share(t, f, flags) : forks(t, f);
	case SYS_exit:
		end_thread(t, r->arg[0]);
	case SYS_exit_group:
		return end_process(t, r);
	case SYS_execve:
	case SYS_execveat:
		return entry_exec(t, r);
	case SYS_arch_prctl:
		if (r->arg[0] == ARCH_SET_FS && !entry_is_libc_storage((uint64_t)r->arg[1]))
			entry_share_storage();
		return user_call(r);
	case SYS_prctl:
		/* A second user of dispatch would have to be told apart from us. */
		return r->arg[0] == PR_SET_SYSCALL_USER_DISPATCH ? -EINVAL : user_call(r);
	default:
		AGENT_ASSERT(entry_is_masked_call(r->nr));
		return entry_masked_call(t, r);
	}
}

#define WORD(nr)   ((nr) / 64)
#define IN(nr, at) (WORD(nr) == (at) ? 1ull << (nr) % 64 : 0)
#define SPECIAL(at)                                                                                \
	(IN(SYS_rt_sigaction, at) | IN(SYS_rt_sigprocmask, at) | IN(SYS_sigaltstack, at) |         \
	 IN(SYS_clone, at) | IN(SYS_clone3, at) | IN(SYS_fork, at) | IN(SYS_vfork, at) |           \
	 IN(SYS_exit, at) | IN(SYS_exit_group, at) | IN(SYS_execve, at) | IN(SYS_execveat, at) |   \
	 IN(SYS_prctl, at) | IN(SYS_arch_prctl, at) | IN(SYS_rt_sigsuspend, at) |                  \
	 IN(SYS_ppoll, at) | IN(SYS_epoll_pwait, at) | IN(SYS_epoll_pwait2, at) |                  \
	 IN(SYS_pselect6, at) | IN(SYS_io_pgetevents, at))

/* Most calls are one look at this away from user_call. */
long entry_call(struct entry_frame *f)
{
	static const uint64_t special[8] = { SPECIAL(0), SPECIAL(1), SPECIAL(2), SPECIAL(3),
					     SPECIAL(4), SPECIAL(5), SPECIAL(6), SPECIAL(7) };
	const uint64_t nr = (uint64_t)f->r.nr;

	if (nr < 512 && special[nr / 64] >> nr % 64 & 1)
		return special_call(f);
	return user_call(&f->r);
}

/* ---- on ---- */

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t here = (uintptr_t)user_entry, start;
	int i;

	(void)size;
	(void)arg;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		start = info->dlpi_addr + p->p_vaddr;
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || here < start ||
		    here - start >= p->p_memsz)
			continue;
		entry_text = start;
		entry_text_size = p->p_memsz;
		return 1;
	}
	return 0;
}

/* A stack of Go's has no room for a call of ours below it. The first object is the program. */
static int find_go(struct dl_phdr_info *info, size_t size, void *arg)
{
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + p->p_vaddr),
			   *end = at + p->p_memsz;

		while (p->p_type == PT_NOTE && end - at > (long)sizeof(ElfW(Nhdr))) {
			const ElfW(Nhdr) *n = (const ElfW(Nhdr) *)at;
			const char *name = at + sizeof *n;

			if (n->n_namesz == 4 && name[0] == 'G' && name[1] == 'o' && !name[2])
				*(bool *)arg = true;
			at = name + ((n->n_namesz + 3) & ~3u) + ((n->n_descsz + 3) & ~3u);
		}
	}
	return 1;
}

/* Frames of two deliveries must fit our stack. */
static bool frames_fit(void)
{
	return getauxval(AT_MINSIGSTKSZ) <= ENTRY_STACK_BYTES / 2;
}

int entry_start(void)
{
	struct user_thread *t;
	bool go = false;
	long err;

	AGENT_ASSERT(!entry_active());
	dl_iterate_phdr(find_go, &go);
	if (go || !user_call || !frames_fit() || !dl_iterate_phdr(find_text, NULL))
		return -ENOSYS;
	/* Is it there? */
	err = sys_call5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	if (err)
		return (int)err;
	t = entry_thread_first();
	entry_signals_start(t);
	entry_patch_start();
	__atomic_store_n(&active, 1, __ATOMIC_RELEASE);
	err = entry_thread_on(t);
	AGENT_ASSERT(!err);
	return (int)err;
}

void entry_forked(void)
{
	struct user_thread *t;

	if (!entry_active())
		return;
	t = entry_thread_only();
	entry_signals_forked(t);
	entry_patch_forked();
	entry_thread_on(t);
	forked = true;
}

#else

int entry_start(void)
{
	return -ENOSYS;
}

void entry_forked(void) {}

#endif

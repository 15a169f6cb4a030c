/* agent/user/call.c - the whole of one system call in mode user (user.h).
 *
 * The records of hazards are by the entry's records of threads. A child of fork has its parent's
 * calls in progress below its own, and keeps those of its thread.
 *
 * Locks: none. user_movable runs under maplock.
 */
#include <errno.h>
#include <linux/sched.h>

#include "agent/fork.h"
#include "agent/hooks.h"
#include "agent/user/inside.h"
#include "agent/user/user.h"

#if defined(__x86_64__)

#define STACK_BELOW (16u << 10) /* of the program's, that the rest of the agent uses */
#define STACK_ABOVE 1024u
#define STRINGS_MAX (1u << 20) /* bytes of one; the kernel takes 128 KiB */

static struct hazard_slot slots[NR_ENTRY_THREADS];
static struct hazards hazards = { .slot = slots };

static struct hazard_slot *my_slot(void)
{
	return &slots[entry_index(entry_self())];
}

bool user_active(void)
{
	return entry_active();
}

int user_start(void)
{
	return entry_start();
}

void user_forget(size_t index)
{
	hazard_reset(&slots[index]);
}

void user_forked(void)
{
	const struct hazard_slot *mine;
	size_t i;

	if (!entry_active())
		return;
	mine = my_slot();
	hazard_inherit(&hazards, &slots[0], mine);
	for (i = 1; i < entry_records(); i++)
		hazard_reset(&slots[i]);
}

/* ---- hold ---- */

/* Publish, and see to it that the helper has seen it. */
static struct hazard_before publish(uint64_t sp, const struct hazard_list *l)
{
	struct hazard_before b = hazard_publish(my_slot(), sp, l);

	while (hazard_marked(&hazards, l))
		sys_call0(SYS_sched_yield);
	return b;
}

static void drop(const struct hazard_before *b)
{
	hazard_drop(my_slot(), b);
}

static void fetch(const struct hazard_list *l)
{
	uint32_t i;

	for (i = 0; i < l->n; i++)
		user_fetch(l->range[i].start, l->range[i].end);
}

static void hold_list(struct user_hold *h, const struct hazard_list *l)
{
	h->before = publish((uintptr_t)__builtin_frame_address(0), l);
	h->held = true;
	fetch(l);
}

void user_hold(struct user_hold *h, uint64_t start, uint64_t end)
{
	struct hazard_list l = { 0 };

	h->held = false;
	if (!entry_active())
		return;
	user_add(&l, start, end - start);
	hold_list(h, &l);
}

void user_drop(struct user_hold *h)
{
	if (h->held)
		drop(&h->before);
	h->held = false;
}

void user_hold_stack(struct user_hold *h, uint64_t below, void *const *word, unsigned int n)
{
	const uint64_t here = (uintptr_t)__builtin_frame_address(0);
	struct hazard_list l = { 0 };
	unsigned int i;

	h->held = false;
	if (!entry_active())
		return;
	user_add(&l, here - below, below + 2 * STACK_ABOVE);
	for (i = 0; i < n; i++)
		user_add(&l, (uintptr_t)word[i], sizeof(long));
	hold_list(h, &l);
}

static void fetch_string(uint64_t at)
{
	uint64_t end = at + STRINGS_MAX;
	char c;

	for (; at < end && !entry_copy(&c, (const void *)at, 1) && c; at++)
		;
}

static void fetch_strings(char *const *list)
{
	char *s;

	for (; list && !entry_copy(&s, list, sizeof s) && s; list++)
		fetch_string((uintptr_t)s);
}

void user_hold_exec(struct user_hold *h, const char *path, char *const *argv, char *const *env)
{
	const struct hazard_list l = { .all = true };

	h->held = false;
	if (!entry_active())
		return;
	hold_list(h, &l);
	user_fetch((uintptr_t)__builtin_frame_address(0) - 2 * STACK_BELOW,
		   (uintptr_t)__builtin_frame_address(0) + STACK_ABOVE);
	fetch_string((uintptr_t)path);
	fetch_strings(argv);
	fetch_strings(env);
}

/* ---- the helper ---- */

uint64_t user_movable(uint64_t start, uint64_t end)
{
	if (!entry_active())
		return end;
	AGENT_ASSERT(maplock_is_held());
	hazard_mark(&hazards, start, end);
	return hazard_first(&hazards, (uint32_t)entry_records(), start, end);
}

void user_moved(void)
{
	if (entry_active())
		hazard_unmark(&hazards);
}

/* ---- one call ---- */

static long guarded(const struct user_regs *r, struct hazard_list *l,
		    long (*fn)(const struct user_regs *))
{
	struct hazard_before b;
	long ret;

	if (l->all)
		l->n = 0;
	b = publish(r->sp, l);
	if (l->all)
		user_ranges(r, l); /* fetches */
	else
		fetch(l);
	ret = fn ? entry_with_vectors(fn, r) : entry_raw(r);
	drop(&b);
	return ret;
}

long user_plain(const struct user_regs *r)
{
	struct hazard_list l;

	l.n = 0;
	l.all = false;
	user_ranges(r, &l);
	return l.n || l.all ? guarded(r, &l, NULL) : entry_raw(r);
}

/* ---- what the rest of the agent has to do with ---- */

/* Of a function that returns as libc's does. */
static long libc_call(long ret)
{
	return ret == -1 ? -errno : ret;
}

static long on_mappings(const struct user_regs *r)
{
	const long *a = r->arg;
	void *const at = (void *)a[0];

	switch (r->nr) {
	case SYS_mmap:
		return libc_call(
			(long)hook_mmap(at, (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]));
	case SYS_munmap:
		return libc_call(hook_munmap(at, (size_t)a[1]));
	case SYS_mremap:
		return libc_call(
			(long)hook_mremap(at, (size_t)a[1], (size_t)a[2], (int)a[3], (void *)a[4]));
	case SYS_brk:
		return (long)maps_brk(at);
	case SYS_madvise:
		return libc_call(hook_madvise(at, (size_t)a[1], (int)a[2]));
	case SYS_process_madvise:
		return libc_call(hook_process_madvise((int)a[0], (const struct iovec *)a[1],
						      (size_t)a[2], (int)a[3], (unsigned int)a[4]));
	case SYS_remap_file_pages:
		return libc_call(hook_remap_file_pages(at, (size_t)a[1], (int)a[2], (size_t)a[3],
						       (int)a[4]));
	case SYS_mlock:
		return libc_call(hook_mlock(at, (size_t)a[1]));
	case SYS_mlock2:
		return libc_call(hook_mlock2(at, (size_t)a[1], (unsigned int)a[2]));
	case SYS_mlockall:
		return libc_call(hook_mlockall((int)a[0]));
	case SYS_munlock:
		return libc_call(hook_munlock(at, (size_t)a[1]));
	default:
		return libc_call(hook_munlockall());
	}
}

/* One that is ours. */
static long on_descriptor(const struct user_regs *r)
{
	const long *a = r->arg;
	const unsigned int first = (unsigned int)a[0], last = (unsigned int)a[1],
			   fd = (unsigned int)guard_fd();
	long ret = 0;

	switch (r->nr) {
	case SYS_close:
		return guard_refuses((int)a[0]) ? -EBADF : entry_raw(r);
	case SYS_dup2:
	case SYS_dup3:
		guard_make_way((int)a[1]);
		return entry_raw(r);
	default:
		if (first > last || fd < first || fd > last)
			return entry_raw(r);
		if (fd > first)
			ret = sys_call3(SYS_close_range, first, fd - 1, a[2]);
		if (!ret && fd < last)
			ret = sys_call3(SYS_close_range, fd + 1, last, a[2]);
		return ret;
	}
}

static long on_process(const struct user_regs *r)
{
	const long *a = r->arg;

	switch (r->nr) {
	case SYS_fork:
		return fork_clone(17 /* SIGCHLD */, NULL, NULL, NULL, 0);
	case SYS_clone:
		return fork_clone((uint64_t)a[0], NULL, (int *)a[2], (int *)a[3], (uint64_t)a[4]);
	case SYS_clone3:
		return fork_clone3((const void *)a[0], (size_t)a[1]);
	case SYS_execve:
		return libc_call(
			hook_execve((const char *)a[0], (char *const *)a[1], (char *const *)a[2]));
	case SYS_execveat:
		return libc_call(hook_execveat((int)a[0], (const char *)a[1], (char *const *)a[2],
					       (char *const *)a[3], (int)a[4]));
	case SYS_getppid:
		return hook_getppid();
	case SYS_set_tid_address:
		return hook_set_tid_address(a[0]);
	case SYS_set_robust_list:
		return libc_call(hook_set_robust_list(a[0], a[1]));
	case SYS_prctl:
		return hook_prctl(a[0], a[1], a[2], a[3], a[4]);
	case SYS_seccomp:
		return hook_seccomp(a[0], a[1], a[2]);
	case SYS_unshare:
		return libc_call(hook_unshare((int)a[0]));
	case SYS_setns:
		return libc_call(hook_setns((int)a[0], (int)a[1]));
	case SYS_close:
	case SYS_close_range:
	case SYS_dup2:
	case SYS_dup3:
		return on_descriptor(r);
	default:
		return on_mappings(r);
	}
}

static long keep_errno(const struct user_regs *r)
{
	int saved = errno;
	long ret = on_process(r);

	errno = saved;
	return ret;
}

static long by_agent(const struct user_regs *r)
{
	struct hazard_list l = { 0 };

	/* The path may be bad, which only the kernel may find. */
	if (r->nr == SYS_execve || r->nr == SYS_execveat) {
		char c;

		if (entry_copy(&c, (const void *)r->arg[r->nr == SYS_execveat], 1))
			return entry_raw(r);
	}
	user_add(&l, r->sp - STACK_BELOW, STACK_BELOW + STACK_ABOVE);
	user_ranges(r, &l);
	return guarded(r, &l, keep_errno);
}

long user_call(const struct user_regs *r)
{
	if (!agent_managed())
		return entry_raw(r);
	switch (user_how_of(r->nr)) {
	case USER_NONE:
		return -ENOSYS;
	case USER_READ:
	case USER_WRITE:
		return user_transfer(r);
	case USER_AGENT:
		return by_agent(r);
	default:
		return user_plain(r);
	}
}

/* The words that the kernel writes in a new thread, or when it ends. Those of libc's are in its
 * record of the thread, which is not managed. */
long user_share(const struct user_regs *r)
{
	uint64_t a[8] = { 0 }, word[2];
	size_t i;

	if (!agent_managed())
		return 0;
	if (r->nr == SYS_clone3) {
		if (entry_copy(a, (const void *)r->arg[0], sizeof a))
			return -EFAULT;
	} else if (r->nr == SYS_clone) {
		a[0] = (uint64_t)r->arg[0];
		a[2] = (uint64_t)r->arg[3];
		a[3] = (uint64_t)r->arg[2];
		a[7] = (uint64_t)r->arg[4];
	}
	word[0] = a[0] & (CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID) ? a[2] : 0;
	word[1] = a[0] & (CLONE_PARENT_SETTID | CLONE_PIDFD) ? a[3] ? a[3] : a[1] : 0;
	for (i = 0; i < 2; i++) {
		if (!word[i] || (a[0] & CLONE_SETTLS && word[i] - a[7] < agent_page))
			continue;
		user_fetch(word[i], word[i] + sizeof(int));
		channel_call(CALL_KEEP, to_page_start(word[i]), agent_page);
	}
	return 0;
}

void user_leave(void) {}

#else

bool user_active(void)
{
	return false;
}

#endif

/* agent/user/thread.c - records and stacks of the program's threads (inside.h).
 *
 * The records are in the library's own data, which forked children inherit. The stacks are mapped
 * in groups, and marked MADV_DONTFORK, by which the supervisor knows memory of the agent's; the
 * first record's stack is in the library's data, too. The child of a fork has that one.
 *
 * I1  A record belongs to the thread whose number is in it, or to the thread that claimed it.
 * I2  What lies at the top of a stack has the address of its record.
 *
 * Locks: none; records are claimed by compare-and-swap.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/mman.h>

#include "agent/user/inside.h"

#define CLAIMED     UINT32_MAX
#define GROUP       64
#define GROUP_BYTES ((size_t)GROUP * ENTRY_STACK_BYTES)
#define NR_GROUPS   (NR_ENTRY_THREADS / GROUP)

static struct user_thread threads[NR_ENTRY_THREADS];
static char first_stack[ENTRY_STACK_BYTES] __attribute__((aligned(ENTRY_STACK_BYTES)));
static char *group[NR_GROUPS];  /* (A) */
static uint32_t used = 1;       /* (A) number of records ever used */
static uint32_t storage_shared; /* (A) a thread has none of its own */

static __thread struct user_thread *self __attribute__((tls_model("initial-exec")));

struct user_thread *entry_self_at(const void *sp)
{
	uintptr_t base = (uintptr_t)sp & ~(uintptr_t)(ENTRY_STACK_BYTES - 1);

	return ((struct entry_room *)(base + ENTRY_STACK_USABLE))->thread;
}

void entry_share_storage(void)
{
	__atomic_store_n(&storage_shared, 1, __ATOMIC_RELEASE);
}

/* In the child of a fork the stack itself may not be there: only its address counts. */
static struct user_thread *self_by_stack(uint64_t stack)
{
	uint32_t n = __atomic_load_n(&used, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < n; i++)
		if ((uintptr_t)threads[i].stack == stack)
			return &threads[i];
	return self;
}

struct user_thread *entry_self(void)
{
	struct user_stack ss;
	long err;

	if (!__atomic_load_n(&storage_shared, __ATOMIC_ACQUIRE))
		return self;
	/* Our own local may be on a page that is out: touched, it is there for an instant. */
	do {
		*(volatile uint64_t *)&ss.sp = 0;
		*(volatile uint64_t *)&ss.size = 0;
		err = sys_call2(SYS_sigaltstack, 0, &ss);
	} while (err == -EFAULT);
	return self_by_stack(ss.sp);
}

void entry_set_self(struct user_thread *t)
{
	if (!__atomic_load_n(&storage_shared, __ATOMIC_ACQUIRE))
		self = t;
}

/* libc's thread pointer is the address of a word that has it, and so is the second word behind. */
bool entry_is_libc_storage(uint64_t tls)
{
	uint64_t word[3];

	return !entry_copy(word, (const void *)tls, sizeof word) && word[0] == tls &&
	       word[2] == tls;
}

size_t entry_index(const struct user_thread *t)
{
	return (size_t)(t - threads);
}

size_t entry_records(void)
{
	return __atomic_load_n(&used, __ATOMIC_ACQUIRE);
}

bool entry_threaded(void)
{
	return __atomic_load_n(&used, __ATOMIC_ACQUIRE) > 1;
}

static bool has_ended(uint32_t tid)
{
	return tid != CLAIMED && sys_call2(SYS_tkill, tid, 0) == -ESRCH;
}

/* The group of stacks that record @i is in; NULL: no memory. */
static char *group_of(size_t i)
{
	char **g = &group[i / GROUP], *old = __atomic_load_n(g, __ATOMIC_ACQUIRE);
	long at, to;

	if (old)
		return old;
	at = sys_mmap(NULL, GROUP_BYTES + ENTRY_STACK_BYTES, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at < 0)
		return NULL;
	to = (at + (long)ENTRY_STACK_BYTES - 1) & -(long)ENTRY_STACK_BYTES;
	sys_madvise((void *)at, GROUP_BYTES + ENTRY_STACK_BYTES, MADV_DONTFORK);
	sys_call2(SYS_munlock, at, GROUP_BYTES + ENTRY_STACK_BYTES);
	if (sys_call3(SYS_mprotect, to, GROUP_BYTES, PROT_READ | PROT_WRITE) >= 0 &&
	    __atomic_compare_exchange_n(g, &old, (char *)to, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return (char *)to;
	sys_munmap((void *)at, GROUP_BYTES + ENTRY_STACK_BYTES);
	return old;
}

static bool give_stack(struct user_thread *t)
{
	size_t i = (size_t)(t - threads);
	char *g = i ? group_of(i) : NULL;

	t->stack = i ? g + i % GROUP * ENTRY_STACK_BYTES : first_stack;
	if (i && !g)
		return false;
	t->room = (struct entry_room *)(t->stack + ENTRY_STACK_USABLE);
	t->room->thread = t; /* I2 */
	return true;
}

static void clear(struct user_thread *t)
{
	t->of_process = t->waited = false;
	t->masked = t->pending = 0;
	t->alt = (struct user_stack){ .flags = ENTRY_DISABLE };
	t->actions = NULL;
	t->child = NULL;
	if (user_forget)
		user_forget(entry_index(t));
}

static struct user_thread *claim(size_t i, bool dead)
{
	struct user_thread *t = &threads[i];
	uint32_t tid = __atomic_load_n(&t->tid, __ATOMIC_RELAXED);

	if (tid && (!dead || !has_ended(tid)))
		return NULL;
	if (!__atomic_compare_exchange_n(&t->tid, &tid, CLAIMED, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return NULL;
	if (tid)
		entry_actions_drop(t);
	if (give_stack(t)) {
		clear(t);
		return t;
	}
	__atomic_store_n(&t->tid, 0, __ATOMIC_RELEASE);
	return NULL;
}

struct user_thread *entry_thread_new(void)
{
	uint32_t n = __atomic_load_n(&used, __ATOMIC_ACQUIRE), i;
	struct user_thread *t;

	for (i = 0; i < n; i++) {
		t = claim(i, false);
		if (t)
			return t;
	}
	/* A full group: are there records of threads that were killed? */
	if (n % GROUP == 0)
		for (i = 0; i < n; i++) {
			t = claim(i, true);
			if (t)
				return t;
		}
	while (n < NR_ENTRY_THREADS) {
		if (!__atomic_compare_exchange_n(&used, &n, n + 1, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			continue;
		t = claim(n, false);
		if (t)
			return t;
		n = __atomic_load_n(&used, __ATOMIC_ACQUIRE);
		if (!__atomic_load_n(&group[(n - 1) / GROUP], __ATOMIC_ACQUIRE))
			return NULL; /* no memory */
	}
	return NULL;
}

void entry_thread_free(struct user_thread *t)
{
	entry_actions_drop(t);
	if (user_forget)
		user_forget(entry_index(t));
	__atomic_store_n(&t->tid, 0, __ATOMIC_RELEASE);
}

struct user_thread *entry_thread_first(void)
{
	struct user_thread *t = &threads[0];

	AGENT_ASSERT(!t->tid);
	t->tid = CLAIMED;
	clear(t);
	t->alt.flags = 0; /* the kernel's for a new program, other than for a new thread */
	give_stack(t);
	return t;
}

struct user_thread *entry_thread_only(void)
{
	struct user_thread *t = &threads[0], *mine = entry_self();
	size_t i;

	for (i = 0; i < used; i++)
		if (&threads[i] != mine)
			threads[i].tid = 0;
	for (i = 0; i < NR_GROUPS && group[i]; i++)
		group[i] = NULL; /* not inherited */
	used = 1;
	if (mine != t) {
		t->tid = CLAIMED;
		t->masked = mine->masked;
		t->pending = 0;
		t->alt = mine->alt;
		t->actions = mine->actions;
		t->child = NULL;
		t->mask = mine->mask;
		mine->tid = 0;
	}
	t->of_process = t->waited = false;
	give_stack(t);
	return t;
}

/* Dispatch is by thread, and a new one has none. */
long entry_thread_on(struct user_thread *t)
{
	long err;

	t->room->kernel_stack =
		(struct user_stack){ .sp = (uintptr_t)t->stack, .size = ENTRY_STACK_USABLE };
	err = sys_call2(SYS_sigaltstack, &t->room->kernel_stack, 0);
	if (!err)
		err = sys_call5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
				entry_text, entry_text_size, 0);
	if (err)
		return err;
	/* The number is for who looks for records of the dead. */
	__atomic_store_n(&t->tid, (uint32_t)sys_call0(SYS_gettid), __ATOMIC_RELEASE);
	entry_set_self(t);
	return 0;
}

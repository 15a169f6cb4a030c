/* agent/sys.h - raw system calls: no errno, no thread-local storage, no cancellation points.
 *
 * The helper thread shares the thread pointer of the thread that started it, so nothing it calls
 * may go through libc. Program threads use these too: the hooks replace libc's own wrappers and
 * must not re-enter themselves. Every call returns the kernel's result: >= 0, or -errno.
 */
#ifndef UMEMCG_AGENT_SYS_H
#define UMEMCG_AGENT_SYS_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Start a thread on @sp (16-byte aligned, two words below it are used) that runs fn(arg); @fn never
 * returns. @tid is set before either thread runs and cleared when the thread has ended. */
static inline long sys_clone_thread(unsigned long flags, void **sp, uint32_t *tid,
				    void (*fn)(void *), void *arg)
{
	register long r10 __asm__("r10") = (long)tid;
	register long r8 __asm__("r8") = 0;
	long ret;

	*--sp = arg;
	*--sp = (void *)fn;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)SYS_clone), "D"(flags), "S"(sp), "d"(tid), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

/* clone(2) as the kernel takes it. */
static inline long sys_clone_raw(uint64_t flags, void *stack, int *parent_tid, int *child_tid,
				 uint64_t tls)
{
	return sys_call6(SYS_clone, (long)flags, (long)stack, (long)parent_tid, (long)child_tid,
			 (long)tls, 0);
}

#elif defined(__aarch64__)

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
}

/* As above, but here the kernel takes the thread pointer before the address of the thread id. */
static inline long sys_clone_thread(unsigned long flags, void **sp, uint32_t *tid,
				    void (*fn)(void *), void *arg)
{
	*--sp = arg;
	*--sp = (void *)fn;

	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)sp;
	register long x2 __asm__("x2") = (long)tid;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = (long)tid;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "ldp x1, x0, [sp], #16\n\t"
			 "blr x1\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory", "cc");
	return x0;
}

static inline long sys_clone_raw(uint64_t flags, void *stack, int *parent_tid, int *child_tid,
				 uint64_t tls)
{
	return sys_call6(SYS_clone, (long)flags, (long)stack, (long)parent_tid, (long)tls,
			 (long)child_tid, 0);
}

#else
#error "umemcg's agent knows x86-64 and aarch64"
#endif

#define sys_call0(nr)             sys_call6(nr, 0, 0, 0, 0, 0, 0)
#define sys_call1(nr, a)          sys_call6(nr, (long)(a), 0, 0, 0, 0, 0)
#define sys_call2(nr, a, b)       sys_call6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys_call3(nr, a, b, c)    sys_call6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys_call4(nr, a, b, c, d) sys_call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys_call5(nr, a, b, c, d, e)                                                               \
	sys_call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static inline long sys_mmap(const void *addr, size_t len, int prot, int flags, int fd, long off)
{
	return sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, off);
}

static inline long sys_munmap(const void *addr, size_t len)
{
	return sys_call2(SYS_munmap, addr, len);
}

static inline long sys_madvise(const void *addr, size_t len, int advice)
{
	return sys_call3(SYS_madvise, addr, len, advice);
}

static inline long sys_ioctl(int fd, unsigned long request, void *arg)
{
	return sys_call3(SYS_ioctl, fd, request, arg);
}

static inline long sys_close(int fd)
{
	return sys_call1(SYS_close, fd);
}

static inline long sys_fcntl(int fd, int cmd, long arg)
{
	return sys_call3(SYS_fcntl, fd, cmd, arg);
}

static inline long sys_getpid(void)
{
	return sys_call0(SYS_getpid);
}

/* Futexes between threads of one address space. The kernel's own wake at thread exit is a shared
 * one: sys_futex_wait_shared. */
static inline long sys_futex_wait(const uint32_t *word, uint32_t value)
{
	return sys_call4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0);
}

static inline long sys_futex_wait_shared(const uint32_t *word, uint32_t value)
{
	return sys_call4(SYS_futex, word, FUTEX_WAIT, value, 0);
}

static inline long sys_futex_wake(const uint32_t *word, int n)
{
	return sys_call3(SYS_futex, word, FUTEX_WAKE_PRIVATE, n);
}

#define SYS_SIGSET_SIZE 8

/* Block every signal that the kernel lets us block; @old receives the mask to restore. */
static inline void sys_block_signals(uint64_t *old)
{
	uint64_t all = ~0ull;

	sys_call4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, old, SYS_SIGSET_SIZE);
}

static inline void sys_restore_signals(const uint64_t *old)
{
	sys_call4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, old, 0, SYS_SIGSET_SIZE);
}

/* For assertions: does the calling thread block every signal that can be blocked? */
static inline int sys_signals_blocked(void)
{
	const uint64_t never = 1ull << (9 - 1) | 1ull << (19 - 1); /* SIGKILL, SIGSTOP */
	uint64_t mask = 0;

	sys_call4(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, 0, &mask, SYS_SIGSET_SIZE);
	return (mask | never) == ~0ull;
}

/* A precondition of the agent's own code, never of what the program passes. Debug builds check it:
 * a violation is written to standard error and kills the process. It needs system calls only, so it
 * may stand in signal handlers, in the helper and in children of vfork. Release builds do not
 * evaluate it. */
#define AGENT_TEXT_(x) #x
#define AGENT_TEXT(x)  AGENT_TEXT_(x)
#ifdef UMEMCG_DEBUG
#define AGENT_ASSERT(cond)                                                                         \
	do {                                                                                       \
		static const char text_[] =                                                        \
			"umemcg agent: " __FILE__ ":" AGENT_TEXT(__LINE__) ": " #cond "\n";        \
		if (__builtin_expect(!(cond), 0)) {                                                \
			sys_call3(SYS_write, 2, text_, sizeof text_ - 1);                          \
			for (;;)                                                                   \
				sys_call2(SYS_kill, sys_getpid(), 9 /* SIGKILL */);                \
		}                                                                                  \
	} while (0)
#else
#define AGENT_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#endif

/* agent/filter.c - seccomp filters that the program puts on itself: what they leave to the agent.
 *
 * A call that a filter refuses may kill the process, the more so as the agent blocks signals where
 * it makes one: a handler for SIGSYS would not run. So when a filter has been installed it is run
 * here, on the calls that the agent has other ways to do without:
 *
 *   register  UFFDIO_REGISTER of a new mapping: the supervisor does it (maps.c), or finds it later
 *   name      a connection by name or path: the door (way.c)
 *   door      a connection through the door: none, and nothing can be asked
 *   tkill     whether the owner of maplock is dead: it is waited for
 *   join      a helper, in a child of fork or after unshare: the child is not managed
 *
 * What the agent needs in any case is in docs/limits.md. A filter of one thread counts for all, and
 * for the children of forks: what it forbids is left out everywhere. The helper was there before,
 * and is under a filter only if that was put on all threads.
 *
 * Caught: prctl(2), and seccomp(2) by syscall(2). A program that is executed under a filter does
 * not know it.
 *
 * Locks: none; bits are only ever added.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "agent/hooks.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

static uint32_t forbidden; /* (A) FILTER_ */
static uint32_t unknown;   /* (A) filters that are being put on all threads */

bool filter_forbids(uint32_t what)
{
	return __atomic_load_n(&forbidden, __ATOMIC_RELAXED) & what ||
	       __atomic_load_n(&unknown, __ATOMIC_RELAXED);
}

/* ---- classic BPF, as the kernel runs it for seccomp ---- */

struct bpf {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static uint32_t calculate(uint32_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	default:
		return -a; /* BPF_NEG */
	}
}

static bool is_true(uint32_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default:
		return a & b; /* BPF_JSET */
	}
}

static uint32_t load(const struct bpf *m, const struct sock_filter *i, const struct seccomp_data *d)
{
	uint32_t word = 0;

	switch (BPF_MODE(i->code)) {
	case BPF_ABS:
		if (i->k <= sizeof *d - sizeof word)
			__builtin_memcpy(&word, (const char *)d + i->k, sizeof word);
		return word;
	case BPF_MEM:
		return m->memory[i->k % BPF_MEMWORDS];
	case BPF_LEN:
		return sizeof *d;
	default:
		return i->k; /* BPF_IMM */
	}
}

/* What the program @p, which the kernel has accepted, says to the call. */
static uint32_t run(const struct sock_fprog *p, const struct seccomp_data *d)
{
	struct bpf m = { 0 };

	for (unsigned int at = 0; at < p->len; at++) {
		const struct sock_filter *i = &p->filter[at];
		uint32_t operand = BPF_SRC(i->code) == BPF_X ? m.x : i->k;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			m.a = load(&m, i, d);
			break;
		case BPF_LDX:
			m.x = load(&m, i, d);
			break;
		case BPF_ST:
			m.memory[i->k % BPF_MEMWORDS] = m.a;
			break;
		case BPF_STX:
			m.memory[i->k % BPF_MEMWORDS] = m.x;
			break;
		case BPF_ALU:
			m.a = calculate(BPF_OP(i->code), m.a, operand);
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA)
				at += i->k;
			else
				at += is_true(BPF_OP(i->code), m.a, operand) ? i->jt : i->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
		default: /* BPF_MISC */
			if (BPF_MISCOP(i->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* ---- the agent's calls ---- */

static uint32_t action(const struct sock_fprog *p, long nr, long a, long b, long c)
{
	/* Where an address is passed, that of something on the stack. */
	const uint64_t address = (uintptr_t)&p;
	const struct seccomp_data d = {
		.nr = (int)nr,
		.arch = ARCH,
		.instruction_pointer = (uintptr_t)&run,
		.args = { (uint64_t)a, (uint64_t)b, (uint64_t)c, address },
	};

	return run(p, &d) & SECCOMP_RET_ACTION_FULL;
}

static bool allows(const struct sock_fprog *p, long nr, long a, long b, long c)
{
	uint32_t what = action(p, nr, a, b, c);

	return what == SECCOMP_RET_ALLOW || what == SECCOMP_RET_LOG;
}

/* Does the process survive the call? The agent withdraws where it fails. */
static bool spares(const struct sock_fprog *p, long nr, long a, long b, long c)
{
	uint32_t what = action(p, nr, a, b, c);

	return what == SECCOMP_RET_ERRNO || allows(p, nr, a, b, c);
}

static bool spares_joining(const struct sock_fprog *p)
{
	const long address = (long)(uintptr_t)&p;
	const int thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_PARENT_SETTID |
			   CLONE_CHILD_CLEARTID;

	return spares(p, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0) &&
	       spares(p, SYS_ioctl, 3, (long)UFFDIO_API, address) &&
	       spares(p, SYS_ioctl, 3, (long)UFFDIO_REGISTER, address) &&
	       spares(p, SYS_clone, thread, address, address) &&
	       spares(p, SYS_prctl, PR_GET_SECCOMP, 0, 0) &&
	       spares(p, SYS_fcntl, 3, F_DUPFD_CLOEXEC, 989);
}

static bool allows_talk(const struct sock_fprog *p)
{
	const long address = (long)(uintptr_t)&p;

	return allows(p, SYS_sendmsg, 3, address, MSG_NOSIGNAL) &&
	       allows(p, SYS_recvmsg, 3, address, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) &&
	       allows(p, SYS_ppoll, address, 1, address) && allows(p, SYS_close, 3, 0, 0);
}

static uint32_t forbids(const struct sock_fprog *p)
{
	const int type = SOCK_SEQPACKET | SOCK_CLOEXEC;
	const long address = (long)(uintptr_t)&p;
	uint32_t bits = 0;

	if (!allows(p, SYS_ioctl, agent->uffd, (long)UFFDIO_REGISTER, address))
		bits |= FILTER_REGISTER;
	if (!allows_talk(p) || !allows(p, SYS_socket, AF_UNIX, type, 0) ||
	    !allows(p, SYS_setsockopt, 3, SOL_SOCKET, SO_SNDTIMEO) ||
	    !allows(p, SYS_connect, 3, address, sizeof(struct sockaddr)))
		bits |= FILTER_NAME;
	if (!allows_talk(p) || !allows(p, SYS_socketpair, AF_UNIX, type, 0) ||
	    !allows(p, SYS_fstat, 3, address, 0))
		bits |= FILTER_DOOR;
	if (!allows(p, SYS_tkill, agent->helper.tid, 0, 0))
		bits |= FILTER_TKILL;
	if (!spares_joining(p))
		bits |= FILTER_JOIN;
	return bits;
}

/* The system call that installs filter @p, on all threads if @all. */
static long install(long nr, long a, long b, const struct sock_fprog *p, bool all)
{
	long err;

	/* It is read after the kernel has read it: it may be no address at all. Until then the
	 * other threads are careful. */
	if (all)
		__atomic_fetch_add(&unknown, 1, __ATOMIC_SEQ_CST);
	err = sys_call3(nr, a, b, p);
	if (!err)
		__atomic_fetch_or(&forbidden, forbids(p), __ATOMIC_SEQ_CST);
	if (all)
		__atomic_fetch_sub(&unknown, 1, __ATOMIC_SEQ_CST);
	return err;
}

static void *libc_prctl;

long hook_seccomp(long operation, long flags, long program)
{
	const struct sock_fprog *p = (const struct sock_fprog *)program;

	if (operation == SECCOMP_SET_MODE_FILTER && agent_managed())
		return install(SYS_seccomp, operation, flags, p, flags & SECCOMP_FILTER_FLAG_TSYNC);
	return sys_call3(SYS_seccomp, operation, flags, program);
}

long hook_prctl(long option, long b, long c, long d, long e)
{
	if (option == PR_SET_SECCOMP && b == SECCOMP_MODE_FILTER && agent_managed())
		return install(SYS_prctl, option, b, (const struct sock_fprog *)c, false);
	return sys_call5(SYS_prctl, option, b, c, d, e);
}

AGENT_EXPORT int prctl(int option, ...)
{
	int (*next)(int, ...) = (__typeof__(next))__atomic_load_n(&libc_prctl, __ATOMIC_ACQUIRE);
	long arg[4];
	va_list ap;

	/* The next one of this name: a sanitizer's runtime may have one. */
	if (!next) {
		next = (__typeof__(next))dlsym(RTLD_NEXT, "prctl");
		__atomic_store_n(&libc_prctl, (void *)next, __ATOMIC_RELEASE);
	}
	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	if (next && (option != PR_SET_SECCOMP || !agent_managed()))
		return next(option, arg[0], arg[1], arg[2], arg[3]);
	return (int)hook_result(hook_prctl(option, arg[0], arg[1], arg[2], arg[3]));
}

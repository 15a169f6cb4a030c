/* tests/agent/entry_signals.c - see entry_calls.h: the program's view of its signals. */
#include "entry_calls.h"

#include <errno.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int seen;

static void say_set(const char *what, const sigset_t *set)
{
	uint64_t bits;

	memcpy(&bits, set, sizeof bits);
	say("%s: %016lx\n", what, (unsigned long)bits);
}

static void say_mask(const char *what)
{
	sigset_t now;

	sigprocmask(SIG_SETMASK, NULL, &now);
	say_set(what, &now);
}

static void install(int sig, void (*handler)(int, siginfo_t *, void *), int flags,
		    uint64_t also_blocked)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	memcpy(&sa.sa_mask, &also_blocked, sizeof also_blocked);
	if (sigaction(sig, &sa, NULL))
		say_result("sigaction", -1);
}

static void note(int sig, siginfo_t *si, void *uc)
{
	const ucontext_t *u = uc;

	seen++;
	say("signal %d, code %d, from me %d, value %d\n", sig, si->si_code,
	    si->si_code <= 0 && si->si_pid == getpid(), si->si_code == SI_QUEUE ? si->si_int : 0);
	say_mask("in the handler");
	say_set("to go back to", &u->uc_sigmask);
}

/* What sigaction(2) says of a signal. */
static void say_action(int sig)
{
	struct {
		void *handler;
		uint64_t flags;
		void *restorer;
		uint64_t mask;
	} a = { 0 };

	syscall(SYS_rt_sigaction, sig, NULL, &a, 8);
	say("action of %d: %s, flags %lx, mask %lx, restorer %d\n", sig,
	    a.handler == (void *)note ? "note"
	    : a.handler == SIG_DFL    ? "default"
	    : a.handler == SIG_IGN    ? "ignored"
				      : "?",
	    (unsigned long)a.flags, (unsigned long)a.mask, a.restorer != NULL);
}

static void actions_of(int sig)
{
	union sigval v = { .sival_int = 41 };

	signal(sig, SIG_DFL);
	say_action(sig);
	install(sig, note, 0, 1ull << (SIGUSR2 - 1) | 1ull << (SIGSEGV - 1));
	say_action(sig);
	raise(sig);
	sigqueue(getpid(), sig, v);
	install(sig, note, SA_NODEFER | SA_RESTART | SA_ONSTACK, 0);
	say_action(sig);
	kill(getpid(), sig);
	install(sig, note, SA_RESETHAND, 0);
	say_action(sig);
	raise(sig);
	say_action(sig);
	signal(sig, SIG_IGN);
	say_action(sig);
	raise(sig);
	signal(sig, SIG_DFL);
}

void actions(void)
{
	static const int sigs[] = { SIGUSR1, SIGCHLD, SIGSEGV, SIGSYS, SIGBUS, SIGTERM, 34, 64 };
	size_t i;
	int child;

	for (i = 0; i < sizeof sigs / sizeof sigs[0]; i++)
		actions_of(sigs[i]);
	for (i = 1; i < 40; i++) {
		if (i == SIGSTOP || i == SIGTSTP || i == SIGTTIN || i == SIGTTOU || i == 32 ||
		    i == 33)
			continue;
		child = fork();
		if (!child) {
			signal((int)i, SIG_DFL);
			raise((int)i);
			_exit(9);
		}
		say_end("killed", child);
	}
}

void masks(void)
{
	union sigval v = { .sival_int = 43 };
	sigset_t all, none, some, was, pending;
	int i;

	sigfillset(&all);
	sigemptyset(&none);
	sigemptyset(&some);
	sigaddset(&some, SIGSEGV);
	sigaddset(&some, SIGSYS);
	sigaddset(&some, SIGUSR1);
	install(SIGSEGV, note, 0, 0);
	install(SIGSYS, note, 0, 0);
	install(SIGUSR1, note, 0, 0);
	sigprocmask(SIG_SETMASK, &all, &was);
	say_set("was", &was);
	sigprocmask(SIG_UNBLOCK, &some, &was);
	say_set("was", &was);
	sigprocmask(SIG_BLOCK, &some, &was);
	say_set("was", &was);
	say_mask("now");
	for (i = 0; i < 40; i++)
		getppid();
	kill(getpid(), SIGUSR1);
	say("blocked\n");
	sigpending(&pending);
	say_set("pending", &pending);
	sigdelset(&some, SIGSEGV);
	sigdelset(&some, SIGSYS);
	sigprocmask(SIG_UNBLOCK, &some, NULL);
	kill(getpid(), SIGSEGV);
	sigqueue(getpid(), SIGSYS, v);
	say("not yet\n");
	sigprocmask(SIG_SETMASK, &none, NULL);
	say("done %d\n", seen);
	say_mask("now");
	signal(SIGSEGV, SIG_DFL);
	signal(SIGSYS, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
}

/* ---- frames ---- */

static char *main_stack;

static void inner(int sig, siginfo_t *si, void *uc)
{
	(void)si;
	(void)uc;
	seen++;
	say("inner %d\n", sig);
	getppid();
}

static void outer(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	char here;
	long below = main_stack - &here;

	(void)si;
	say("outer %d, on this stack %d\n", sig, below > 0 && below < 64 << 10);
	say("stack: flags %d, size %ld\n", u->uc_stack.ss_flags, (long)u->uc_stack.ss_size);
	say("rounding %d, context %d\n", fegetround(), u->uc_mcontext.fpregs != NULL);
	raise(SIGUSR2);
	fesetround(FE_UPWARD);
	say_mask("outer");
}

static void jump(int sig, siginfo_t *si, void *uc)
{
	(void)si;
	(void)uc;
	siglongjmp(back, sig);
}

static void skip(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;

	(void)sig;
	(void)si;
	u->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
	u->uc_mcontext.gregs[REG_RBX] = 4711;
	sigaddset(&u->uc_sigmask, SIGWINCH);
}

void frames(void)
{
	char here;
	long rbx = 1;
	volatile int i, n = 0;
	double x = 1.5, y;

	main_stack = &here;
	install(SIGUSR1, outer, 0, 0);
	install(SIGUSR2, inner, 0, 0);
	fesetround(FE_DOWNWARD);
	raise(SIGUSR1);
	say("rounding %d\n", fegetround());
	fesetround(FE_TONEAREST);
	/* A vector register lives across a signal. */
	__asm__ volatile("movsd %1, %%xmm9\n\t"
			 "mov $62, %%eax\n\tmov %2, %%edi\n\tmov $10, %%esi\n\tsyscall\n\t"
			 "movsd %%xmm9, %0"
			 : "=m"(y)
			 : "m"(x), "r"(getpid())
			 : "rax", "rdi", "rsi", "rcx", "r11", "xmm9", "memory");
	say("kept %d\n", x == y);
	install(SIGUSR1, jump, 0, 1ull << (SIGUSR2 - 1));
	for (i = 0; i < 200; i++) {
		if (sigsetjmp(back, 1))
			n++;
		else
			raise(SIGUSR1);
	}
	say("jumped %d\n", n);
	say_mask("after it");
	install(SIGILL, skip, 0, 0);
	__asm__ volatile("ud2" : "+b"(rbx) : : "memory");
	say("rbx %ld\n", rbx);
	say_mask("with a bit of the handler's");
	sigprocmask(SIG_UNBLOCK, &(sigset_t){ { 1ul << (SIGWINCH - 1) } }, NULL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	signal(SIGILL, SIG_DFL);
}

static char *bad;

static void fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	say("fault %d, code %d, at %ld\n", sig, si->si_code, (long)((char *)si->si_addr - bad));
	siglongjmp(back, 1);
}

/* In a child: with SIGSEGV blocked or ignored a fault kills all the same. */
static void fatal(const char *what, void (*before)(void))
{
	int child = fork();

	if (!child) {
		before();
		*(volatile char *)bad = 1;
		_exit(0);
	}
	say_end(what, child);
}

static void block_it(void)
{
	sigprocmask(SIG_BLOCK, &(sigset_t){ { 1ul << (SIGSEGV - 1) } }, NULL);
}

static void ignore_it(void)
{
	signal(SIGSEGV, SIG_IGN);
}

static void default_it(void)
{
	signal(SIGSEGV, SIG_DFL);
}

void faults(void)
{
	volatile int zero = 0;
	int i;

	bad = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	install(SIGSEGV, fault, 0, 0);
	install(SIGFPE, jump, 0, 0);
	for (i = 0; i < 3; i++)
		if (!sigsetjmp(back, 1))
			*(volatile char *)(bad + i) = 1;
	if (!sigsetjmp(back, 1))
		say("%d\n", 1 / zero);
	say("divided\n");
	for (i = 0; i < 40; i++)
		if (read(-1, bad, 1) != -1)
			say("read\n");
	if (!sigsetjmp(back, 1))
		*(volatile char *)(bad + 9) = 1;
	fatal("blocked", block_it);
	fatal("ignored", ignore_it);
	fatal("default", default_it);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
	munmap(bad, 8192);
}

/* tests/agent/entry_stacks.c - see entry_calls.h: alternate stacks, and calls that wait. */
#include "entry_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static char *area;
static sigjmp_buf back;
static const stack_t none = { .ss_flags = SS_DISABLE };

static void say_stack(const char *what)
{
	stack_t now;

	sigaltstack(NULL, &now);
	say("%s: flags %x, size %ld, mine %d\n", what, (unsigned)now.ss_flags, (long)now.ss_size,
	    now.ss_sp == area);
}

static void on_stack(int sig, siginfo_t *si, void *uc)
{
	const ucontext_t *u = uc;
	char here;

	(void)si;
	say("signal %d on it %d; to go back to: flags %x, size %ld\n", sig,
	    &here > area && &here < area + (64 << 10), (unsigned)u->uc_stack.ss_flags,
	    (long)u->uc_stack.ss_size);
	say_stack("in the handler");
	say_result("change it", sigaltstack(&none, NULL));
	if (sig == SIGUSR1)
		raise(SIGUSR2);
}

static void leave(int sig, siginfo_t *si, void *uc)
{
	(void)si;
	(void)uc;
	siglongjmp(back, sig);
}

static int deeper(int n)
{
	volatile char room[4096];

	memset((char *)room, n, sizeof room);
	return n ? deeper(n - 1) + room[n % 4096] : 0;
}

static void with(int flags, int sa_flags)
{
	stack_t ss = { .ss_sp = area, .ss_size = 64 << 10, .ss_flags = flags };
	struct sigaction sa = { .sa_sigaction = on_stack, .sa_flags = SA_SIGINFO | sa_flags };

	say_result("sigaltstack", sigaltstack(&ss, NULL));
	say_stack("set");
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR1);
	say_stack("after it");
	say_result("disable", sigaltstack(&none, NULL));
	say_stack("disabled");
}

void stacks(void)
{
	stack_t small = { .ss_size = 100 }, odd = { .ss_size = 65536, .ss_flags = 77 };
	struct sigaction sa = { .sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct rlimit less = { 1 << 20, 1 << 20 };
	stack_t ss;
	int child;

	area = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	small.ss_sp = odd.ss_sp = area;
	with(0, SA_ONSTACK);
	with(0, 0);
	with((int)SS_AUTODISARM, SA_ONSTACK);
	say_result("too small", sigaltstack(&small, NULL));
	say_result("no such flag", sigaltstack(&odd, NULL));
	child = fork();
	if (!child) {
		ss = (stack_t){ .ss_sp = area, .ss_size = 64 << 10 };
		sigaltstack(&ss, NULL);
		sigaction(SIGSEGV, &sa, NULL);
		setrlimit(RLIMIT_STACK, &less);
		if (!sigsetjmp(back, 1))
			_exit(deeper(100000));
		say("out of stack\n");
		_exit(5);
	}
	say_end("with an alternate stack", child);
	child = fork();
	if (!child) {
		setrlimit(RLIMIT_STACK, &less);
		_exit(deeper(100000));
	}
	say_end("without", child);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	munmap(area, 64 << 10);
}

/* ---- calls that wait ---- */

static volatile int came;
static int ends[2], wakes = -1;

static void came_in(int sig, siginfo_t *si, void *uc)
{
	const ucontext_t *u = uc;
	Dl_info where;
	sigset_t now;
	uint64_t bits;

	(void)si;
	came++;
	/* Where it was interrupted. */
	if (dladdr((void *)u->uc_mcontext.gregs[REG_RIP], &where) && where.dli_sname)
		say("in %s, interrupted %d\n", where.dli_sname,
		    u->uc_mcontext.gregs[REG_RAX] == -EINTR);
	sigprocmask(SIG_SETMASK, NULL, &now);
	memcpy(&bits, &now, 8);
	say("signal %d, mask %lx\n", sig, (unsigned long)bits);
	if (wakes >= 0 && write(wakes, "x", 1) != 1)
		say("write\n");
}

static void alarm_in(int ms, int flags, bool writes)
{
	struct sigaction sa = { .sa_sigaction = came_in, .sa_flags = SA_SIGINFO | flags };
	struct itimerval it = { .it_value = { 0, ms * 1000 } };

	wakes = writes ? ends[1] : -1;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

/* However a call is made, a signal finds the program in some object's code. */
static volatile int in_nothing, looked;

static void look(int sig, siginfo_t *si, void *uc)
{
	const ucontext_t *u = uc;
	Dl_info where;

	(void)sig;
	(void)si;
	looked++;
	in_nothing += !dladdr((void *)u->uc_mcontext.gregs[REG_RIP], &where);
}

static void looks(void)
{
	struct sigaction sa = { .sa_sigaction = look, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { { 0, 0 }, { 0, 0 } };

	char c;
	int fd = open("/proc/self/exe", O_RDONLY), n = 0;

	looked = in_nothing = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (; looked < 6000; getppid())
		n += read(fd, &c, 1) == 1;
	setitimer(ITIMER_REAL, &never, NULL);
	say("in no object %d, each read once %d\n", in_nothing, lseek(fd, 0, SEEK_CUR) == n);
	close(fd);
}

static void masked_waits(void)
{
	const uint64_t blocked = 1ul << (SIGALRM - 1) | 1ul << (SIGUSR1 - 1);
	sigset_t now = { { blocked } }, open = { { 1ul << (SIGHUP - 1) | 1ul << (SIGSEGV - 1) } };
	struct timespec long_enough = { 5, 0 };
	struct epoll_event e;
	int ep = epoll_create1(0);

	sigprocmask(SIG_SETMASK, &now, NULL);
	alarm_in(5, SA_RESTART, false);
	say_result("sigsuspend", sigsuspend(&open));
	alarm_in(5, 0, false);
	say_result("ppoll", ppoll(NULL, 0, &long_enough, &open));
	alarm_in(5, 0, false);
	say_result("pselect", pselect(0, NULL, NULL, NULL, &long_enough, &open));
	alarm_in(5, 0, false);
	say_result("epoll_pwait", epoll_pwait(ep, &e, 1, 5000, &open));
	sigprocmask(SIG_SETMASK, NULL, &now);
	say("mask %lx\n", now.__val[0]);
	alarm_in(5, 0, false);
	say_result("sigtimedwait", sigtimedwait(&now, NULL, &long_enough));
	sigemptyset(&now);
	sigprocmask(SIG_SETMASK, &now, NULL);
	close(ep);
}

void waits(void)
{
	struct timespec five = { 5, 0 }, rest = { 0, 0 };
	static int word;
	char c = 0;

	if (pipe(ends))
		return;
	came = 0;
	alarm_in(5, 0, false);
	say_result("read", read(ends[0], &c, 1));
	alarm_in(5, SA_RESTART, true);
	say_result("read again", read(ends[0], &c, 1));
	alarm_in(5, SA_RESTART, false);
	say_result("nanosleep", nanosleep(&five, &rest));
	say("about five left %d\n", rest.tv_sec == 4);
	alarm_in(5, 0, false);
	say_result("pause", pause());
	alarm_in(5, 0, false);
	say_result("poll", poll(NULL, 0, 5000));
	alarm_in(5, SA_RESTART, false);
	say_result("select", select(0, NULL, NULL, NULL, &(struct timeval){ 5, 0 }));
	alarm_in(5, 0, false);
	say_result("futex", syscall(SYS_futex, &word, 0, 0, &five, NULL, 0));
	masked_waits();
	looks();
	say("came %d\n", came);
	close(ends[0]);
	close(ends[1]);
	signal(SIGALRM, SIG_DFL);
}

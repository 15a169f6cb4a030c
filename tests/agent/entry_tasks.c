/* tests/agent/entry_tasks.c - see entry_calls.h: threads and processes, made in every way. */
#include "entry_calls.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 16

extern char **environ;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn, handled, ends[2];
static __thread int mine;

static void handler(int sig)
{
	(void)sig;
	__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void *worker(void *arg)
{
	intptr_t me = (intptr_t)arg;
	stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 }, now;
	sigset_t mask;

	mine = (int)me;
	sigaltstack(&ss, NULL);
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&lock);
		while (turn % THREADS != me)
			pthread_cond_wait(&turned, &lock);
		turn++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&lock);
		pthread_kill(pthread_self(), SIGUSR1);
	}
	sigaltstack(NULL, &now);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (now.ss_sp != ss.ss_sp || mine != me || !sigismember(&mask, SIGUSR2))
		return (void *)-1;
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	free(now.ss_sp);
	return arg;
}

void threads_run(void)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	sigset_t one = { { 1ul << (SIGUSR2 - 1) } };
	pthread_t t[THREADS];
	long sum = 0;
	void *ret;

	turn = handled = 0;
	sigaction(SIGUSR1, &sa, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &ret);
		sum += (long)ret;
	}
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	say("threads %ld, turns %d, signals %d\n", sum, turn, handled);
}

/* ---- cancelled threads ---- */

static int cleaned;
static volatile int started;

static void clean(void *arg)
{
	cleaned += (int)(intptr_t)arg;
}

static void *reads(void *arg)
{
	char c;
	ssize_t n;

	(void)arg;
	pthread_cleanup_push(clean, (void *)1);
	pthread_cleanup_push(clean, (void *)10);
	started = 1;
	n = read(ends[0], &c, 1);
	say("read %ld\n", (long)n);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *spins(void *arg)
{
	int old;

	(void)arg;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	pthread_cleanup_push(clean, (void *)100);
	started = 1;
	for (;;)
		getppid();
	pthread_cleanup_pop(0);
	return NULL;
}

static void unlock(void *arg)
{
	pthread_mutex_unlock(arg);
}

static void *waits_for_turn(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	pthread_cleanup_push(unlock, &lock);
	started = 1;
	for (;;)
		pthread_cond_wait(&turned, &lock);
	pthread_cleanup_pop(1);
	return NULL;
}

void cancelled(void)
{
	static void *(*const functions[])(void *) = { reads, spins, waits_for_turn };
	pthread_t t;
	void *ret;
	size_t i;
	int k;

	if (pipe(ends))
		return;
	for (i = 0; i < 3; i++) {
		int n = 0;

		cleaned = 0;
		for (k = 0; k < 20; k++) {
			started = 0;
			pthread_create(&t, NULL, functions[i], NULL);
			while (!started)
				sched_yield();
			usleep(k % 2 ? 1500 : 100);
			pthread_cancel(t);
			pthread_join(t, &ret);
			n += ret == PTHREAD_CANCELED;
		}
		say("cancelled %d, cleaned %d\n", n, cleaned);
	}
	say_result("the lock is free", pthread_mutex_trylock(&lock));
	pthread_mutex_unlock(&lock);
	close(ends[0]);
	close(ends[1]);
}

/* ---- processes ---- */

static char stack[256 << 10] __attribute__((aligned(64)));
static volatile int shared;

static int child_function(void *arg)
{
	for (int i = 0; i < 40; i++)
		getppid();
	shared += (int)(intptr_t)arg;
	raise(SIGUSR1);
	return 7;
}

static int child_changes(void *arg)
{
	struct sigaction sa;
	sigset_t all;

	(void)arg;
	signal(SIGUSR1, SIG_IGN);
	signal(SIGSEGV, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigaction(SIGSEGV, NULL, &sa);
	_exit(sa.sa_handler == SIG_IGN ? 8 : 9);
}

static void vforks(void)
{
	struct sigaction sa;
	sigset_t mask;
	volatile int i;
	int child;

	for (i = 0; i < 40; i++) {
		child = vfork();
		if (!child) {
			child_changes(NULL);
			_exit(1);
		}
		if (i == 39)
			say_end("vfork", child);
		else
			waitpid(child, NULL, 0);
	}
	sigaction(SIGUSR1, NULL, &sa);
	say("ours is unchanged %d", sa.sa_handler == handler);
	sigaction(SIGSEGV, NULL, &sa);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	say(" %d %lx\n", sa.sa_handler == SIG_DFL, mask.__val[0]);
	child = vfork();
	if (!child) {
		execl("/bin/sh", "sh", "-c", "kill -9 $$", NULL);
		_exit(1);
	}
	say_end("vfork and exec", child);
}

static void spawns(void)
{
	char *argv[] = { "sh", "-c", "exit 6", NULL }, *none[] = { "none", NULL };
	posix_spawnattr_t attr;
	sigset_t set;
	pid_t pid;
	int err;

	posix_spawnattr_init(&attr);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(&pid, "/bin/sh", NULL, &attr, argv, environ);
	say("posix_spawn %d\n", err);
	say_end("spawned", pid);
	err = posix_spawn(&pid, "/nonexistent", NULL, NULL, none, environ);
	say("posix_spawn %d\n", err);
	say("system %x\n", (unsigned)system("exit 3"));
}

static void *forks(void *arg)
{
	int child = fork();

	if (!child) {
		int inner = fork();

		if (!inner)
			_exit(child_function(arg));
		say_end("inner", inner);
		_exit(shared & 0x7f);
	}
	say_end("fork of a thread", child);
	return NULL;
}

static uint64_t inherited;
static char foreign[8192] __attribute__((aligned(64)));

static inline __attribute__((always_inline)) long instruction(long nr, long a, long b, long c,
							      long d)
{
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "+a"(nr)
			 : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return nr;
}

/* Its thread pointer is none of libc's: no libc here. */
__attribute__((optimize("no-stack-protector"))) static int child_of_another_kind(void *arg)
{
	static const uint64_t mask = 1ul << (SIGSEGV - 1) | 1ul << (SIGUSR2 - 1);
	static uint64_t was, now;

	(void)arg;
	instruction(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&inherited, 8);
	for (int i = 0; i < 40; i++)
		instruction(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&was, 8);
	instruction(SYS_rt_sigprocmask, SIG_SETMASK, (long)&now, (long)&was, 8);
	shared = was == mask ? 77 : 78;
	instruction(SYS_exit, shared, 0, 0, 0);
	return 0;
}

static void other_kinds(void)
{
	struct clone_args a = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	sigset_t one = { { 1ul << (SIGWINCH - 1) | 1ul << (SIGBUS - 1) } };
	char *top = stack + sizeof stack;
	struct sigaction sa;
	int child, i;

	child = (int)syscall(SYS_clone3, &a, sizeof a);
	if (!child) {
		sigaction(SIGUSR1, NULL, &sa);
		instruction(SYS_getppid, 0, 0, 0, 0); /* dispatched */
		_exit(sa.sa_handler == SIG_DFL ? 11 : 12);
	}
	say_end("without actions", child);
	a.flags |= CLONE_VM | CLONE_VFORK;
	child = (int)instruction(SYS_clone3, (long)&a, sizeof a, 0, 0);
	if (!child) {
		sigaction(SIGUSR1, NULL, &sa);
		instruction(SYS_getppid, 0, 0, 0, 0);
		_exit(sa.sa_handler == SIG_DFL ? 13 : 14);
	}
	say_end("without actions, in our memory", child);
	sigaction(SIGUSR1, NULL, &sa);
	say("ours is unchanged %d\n", sa.sa_handler == handler);
	sigprocmask(SIG_BLOCK, &one, NULL);
	child = clone(child_of_another_kind, top, CLONE_VM | CLONE_SETTLS | SIGCHLD, NULL, NULL,
		      foreign + 4096);
	say_end("another thread pointer", child);
	for (i = 0; i < 8192 && !foreign[i]; i++)
		;
	say("shared %d, written %d, mask %lx\n", shared, i < 8192, (unsigned long)inherited);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	shared = 0;
}

static void raw(void)
{
	struct clone_args a = { .exit_signal = SIGCHLD };
	long child = syscall(SYS_clone3, &a, sizeof a);

	if (!child)
		_exit(child_function((void *)1));
	say_end("clone3", (int)child);
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!child)
		_exit(child_function((void *)1));
	say_end("clone", (int)child);
	a.stack = 1;
	say_result("clone3 without a size", syscall(SYS_clone3, &a, sizeof a));
	say_result("bad flags", syscall(SYS_clone, CLONE_VM | CLONE_THREAD, 0, 0, 0, 0));
}

void processes(void)
{
	struct sigaction sa = { .sa_handler = handler };
	char *top = stack + sizeof stack;
	pthread_t t;
	int i;

	sigaction(SIGUSR1, &sa, NULL);
	handled = shared = 0;
	say_end("a copy", clone(child_function, top, SIGCHLD, (void *)1));
	say("shared %d, signals %d\n", shared, handled);
	for (i = 0; i < 40; i++)
		waitpid(clone(child_function, top, CLONE_VM | SIGCHLD, (void *)2), NULL, 0);
	say_end("with us", clone(child_function, top, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)3));
	say_end("our actions", clone(child_changes, top, CLONE_VM | SIGCHLD, NULL));
	say("shared %d, signals %d\n", shared, handled);
	vforks();
	spawns();
	raw();
	other_kinds();
	pthread_create(&t, NULL, forks, (void *)1);
	pthread_join(t, NULL);
	say("shared %d, signals %d\n", shared, handled);
	signal(SIGUSR1, SIG_DFL);
}

/* What an executed program finds. */
void executes(void)
{
	static const char *const script =
		"sed -n 's/^Sig\\(Blk\\|Ign\\|Cgt\\|Pnd\\)/\\1/p' /proc/self/status";
	sigset_t some = { { 1ul << (SIGSEGV - 1) | 1ul << (SIGHUP - 1) } };
	int child = fork();

	if (!child) {
		signal(SIGUSR1, handler);
		signal(SIGUSR2, SIG_IGN);
		signal(SIGSYS, SIG_IGN);
		sigprocmask(SIG_BLOCK, &some, NULL);
		say_result("none", execl("/nonexistent", "x", NULL));
		unsetenv("LD_PRELOAD");
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(1);
	}
	say_end("executed", child);
}

/* serve/follow.c - helpers are followed by ptrace, by us, so that nobody else stops them.
 *
 * A helper is a thread of the program's process, and found by whoever looks for its threads. A tracer that attaches to
 * all of them (LeakSanitizer, crash reporters, debuggers) would stop the helper too, and wait itself for a page that
 * only the helper can make room for. A thread has one tracer: what we follow refuses every other with EPERM, which
 * tracers take as they take a thread that is about to end, and pass it over.
 *
 * A helper goes on in a process that is stopped: its part in the stop is over when it has stopped, and we let it
 * go on at once; so pages of stopped processes can be taken. What it is told by signals it gets as it would alone.
 *
 * Followed, its end waits for us: until then an exec waits (the kernel has it wait for all other threads), and the
 * process's parent hears of no end. So one thread does nothing but wait, at a real-time priority where that is allowed.
 * To the kernel the tracer is a thread, not a process: this one does all of it. Others that wait for children of ours
 * leave it its own (__WNOTHREAD). Where ptrace is refused (Yama, a container's profile) nobody is followed; what a
 * tracer stops then is late (plat/host/withdraw.c). When we end the kernel lets all go.
 *
 * Typical sequence: control thread: follow_helper -> SIGURG -> thread "umemcg-follow", in the handler: seize ->
 * answered. The handler does the work, so none is missed between a look and a sleep.
 *
 * Locks: none. @wanted is set by the control thread and taken by whoever swaps 0 in: the handler, or the control thread
 * when its patience is at an end.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/internal.h"

#define BELL        SIGURG            /* ignored by default: a stray one does no harm */
#define PATIENCE_NS (200 * 1000000ull)
#define RING_NS     1000000
#define NICE        (-20)

static struct follow *follower;       /* whose the handler is: there is one supervisor a process */

static void seize_wanted(int sig)
{
	struct follow *f = follower;
	int saved = errno;
	pid_t tid;

	(void)sig;
	if (gettid() != (pid_t)a32_load(&f->tid))
		return;               /* sent to the process by a stranger */
	tid = (pid_t)a32_xchg(&f->wanted, 0);
	if (tid) {
		(void)ptrace(PTRACE_SEIZE, tid, NULL, NULL);
		a32_store(&f->busy, 0);
		waitq_wake(&f->answered);
	}
	errno = saved;
}

static void ring(struct follow *f)
{
	(void)pthread_kill(f->thread.t, BELL);
}

void follow_helper(struct supervisor *s, pid_t tid)
{
	struct follow *f = &s->follow;
	uint64_t until = plat_now_ns() + PATIENCE_NS;

	if (!f->started || tid <= 0)
		return;
	a32_store(&f->busy, 1);
	a32_store(&f->wanted, (uint32_t)tid);
	ring(f);
	while (plat_now_ns() < until) {
		uint32_t ticket = waitq_prepare(&f->answered);

		if (!a32_load(&f->busy))
			return;
		waitq_sleep(&f->answered, ticket, PATIENCE_NS / 4);
	}
	a32_xchg(&f->wanted, 0);
}

/* @status: of a helper, as waitpid tells it. */
static void go_on(pid_t tid, int status)
{
	/* A stop of the process's is no signal to pass on; one that the helper is about to take is. */
	long sig = WIFSTOPPED(status) && status >> 16 == 0 ? WSTOPSIG(status) : 0;

	if (WIFSTOPPED(status))
		(void)ptrace(PTRACE_CONT, tid, NULL, sig);
}

/* It has next to nothing to do, and programs wait for it. */
static void hurry(void)
{
	struct sched_param rt = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &rt) != 0)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void follow_main(void *arg)
{
	struct follow *f = arg;
	sigset_t bell, open;

	hurry();
	sigemptyset(&bell);
	sigaddset(&bell, BELL);
	pthread_sigmask(SIG_SETMASK, NULL, &open);
	sigdelset(&open, BELL);
	a32_store(&f->tid, (uint32_t)gettid());
	while (!a32_load(&f->stopping)) {
		int status = 0;
		pid_t tid;

		pthread_sigmask(SIG_UNBLOCK, &bell, NULL);
		tid = waitpid(-1, &status, __WALL | __WNOTHREAD);
		pthread_sigmask(SIG_BLOCK, &bell, NULL);
		if (tid < 0 && errno == ECHILD)
			tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);
		if (tid > 0)
			go_on(tid, status);
		else if (tid < 0 && errno == ECHILD && !a32_load(&f->stopping))
			sigsuspend(&open);    /* until there is somebody to follow */
	}
	a32_store(&f->tid, 0);
}

int follow_start(struct supervisor *s)
{
	struct sigaction bell = { .sa_handler = seize_wanted };
	int err;

	follower = &s->follow;
	waitq_init(&s->follow.answered);
	sigemptyset(&bell.sa_mask);
	sigaction(BELL, &bell, NULL);
	err = plat_thread_start(&s->follow.thread, "umemcg-follow", follow_main, &s->follow);
	s->follow.started = !err;
	return err;
}

void follow_stop(struct supervisor *s)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct follow *f = &s->follow;

	if (!f->started)
		return;
	while (!a32_load(&f->tid))
		plat_sleep_ns(RING_NS);      /* it has not run yet */
	a32_store(&f->stopping, 1);
	/* Again: it may have looked just before, and wait for what never ends. */
	while (a32_load(&f->tid)) {
		ring(f);
		plat_sleep_ns(RING_NS);
	}
	plat_thread_join(&f->thread);
	sigaction(BELL, &ignore, NULL);
	f->started = false;
}

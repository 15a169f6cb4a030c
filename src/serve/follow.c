/* serve/follow.c - helpers are followed by ptrace, by us, so that nobody else stops them.
 *
 * A helper is a thread of the program's process, and found by whoever looks for its threads. A
 * tracer that attaches to all of them (LeakSanitizer, crash reporters, debuggers) would stop the
 * helper too, and wait itself for a page that only the helper can make room for. A thread has one
 * tracer: what we follow refuses every other with EPERM, which tracers take as they take a thread
 * that is about to end, and pass it over.
 *
 * A helper goes on in a process that is stopped: its part in the stop is over when it has stopped,
 * and we let it go on at once; so pages of stopped processes can be taken. What it is told by
 * signals it gets as it would alone.
 *
 * Followed, its end waits for us: until then an exec waits (the kernel has it wait for all other
 * threads), and the process's parent hears of no end. So one thread does nothing but wait, at a
 * real-time priority where that is allowed. To the kernel the tracer is a thread, not a process:
 * this one does all of it. Others that wait for children of ours leave it its own (__WNOTHREAD).
 * Where ptrace is refused (Yama, a container's profile) nobody is followed; what a tracer stops
 * then is late (mmu/host/withdraw.c). When we end the kernel lets all go.
 *
 * A debugger outside the tree is let through: gdb tries again without end what is refused with
 * EPERM, and needs nothing that the helper gives. The watcher finds out that one follows the
 * process's first thread (follow_look), has the helper let go, and followed again when that is
 * over. Meanwhile the helper may be stopped (late.c).
 *
 * Typical sequence: control thread: follow_helper -> SIGURG -> thread "umemcg-follow", in the
 * handler: seize -> answered. The handler does the work, so none is missed between a look and a
 * sleep.
 *
 * Locks: none. @wanted of a request is set by the one thread it belongs to, and taken by whoever
 * swaps 0 in: the handler, or that thread when its patience is at an end. @busy is cleared when all
 * is done, which may be later than that: a helper that is to be let go has been then, and @leaving
 * is free for the next.
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

static void answer(struct follow_request *q)
{
	a32_store(&q->busy, 0);
	waitq_wake(&q->answered);
}

static void do_request(struct follow *f, struct follow_request *q)
{
	pid_t tid = (pid_t)a32_xchg(&q->wanted, 0);

	if (!tid)
		return;
	if (q->let_go) {
		a32_store(&f->leaving, (uint32_t)tid);
		if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0)
			return;               /* go_on answers */
		a32_store(&f->leaving, 0);
	} else {
		(void)ptrace(PTRACE_SEIZE, tid, NULL, NULL);
	}
	answer(q);
}

static void on_bell(int sig)
{
	struct follow *f = follower;
	int saved = errno;

	(void)sig;
	/* Else it was sent to the process by a stranger. */
	for (int i = 0; i < NR_FOLLOW_REQUESTS && gettid() == (pid_t)a32_load(&f->tid); i++)
		do_request(f, &f->request[i]);
	errno = saved;
}

static void ring(struct follow *f)
{
	(void)pthread_kill(f->thread.t, BELL);
}

static bool done_by(struct follow_request *q, uint64_t until)
{
	for (;;) {
		uint32_t ticket = waitq_prepare(&q->answered);

		if (!a32_load(&q->busy))
			return true;
		if (plat_now_ns() >= until)
			return false;
		waitq_sleep(&q->answered, ticket, PATIENCE_NS / 4);
	}
}

/* False: it was not even begun with. */
static bool request(struct supervisor *s, struct follow_request *q, pid_t tid, bool let_go)
{
	uint64_t until = plat_now_ns() + PATIENCE_NS;

	if (!s->follow.started || tid <= 0 || !done_by(q, until))
		return false;
	q->let_go = let_go;
	a32_store(&q->busy, 1);
	a32_store(&q->wanted, (uint32_t)tid);
	ring(&s->follow);
	if (done_by(q, until) || !a32_xchg(&q->wanted, 0))
		return true;
	a32_store(&q->busy, 0);
	return false;
}

void follow_helper(struct supervisor *s, pid_t tid)
{
	(void)request(s, &s->follow.request[FOLLOW_NEW], tid, false);
}

/* By a debugger that is none of ours, nor below us. Where its PID namespace is not ours either it
 * has number 0. */
static bool traced_outside(const struct client *c)
{
	pid_t tracer = proc_tracer(c->host.pid, c->host.pid);

	return tracer ? !proc_is_ours(tracer) : proc_thread_traced(c->host.pid, c->host.pid);
}

void follow_look(struct client *c, bool traced)
{
	pid_t helper = c->host.task;
	bool outside, gone = c->let_go == helper;

	if (!gone && !traced)
		return;               /* whoever attaches stops it first */
	outside = traced_outside(c);
	if (outside == gone || (!outside && proc_tracer(c->host.pid, helper)))
		return;               /* or has not let all go yet */
	if (request(c->s, &c->s->follow.request[FOLLOW_AGAIN], helper, outside))
		c->let_go = outside ? helper : 0;
}

/* @status: of a helper, as waitpid tells it. */
static void go_on(struct follow *f, pid_t tid, int status)
{
	/* A stop of the process's is no signal to pass on; one that the helper takes is. */
	long sig = WIFSTOPPED(status) && status >> 16 == 0 ? WSTOPSIG(status) : 0;
	bool leaves = a32_cas(&f->leaving, (uint32_t)tid, 0);

	if (WIFSTOPPED(status))
		(void)ptrace(leaves ? PTRACE_DETACH : PTRACE_CONT, tid, NULL, sig);
	if (leaves)
		answer(&f->request[FOLLOW_AGAIN]);   /* the one who lets go */
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
			go_on(f, tid, status);
		else if (tid < 0 && errno == ECHILD && !a32_load(&f->stopping))
			sigsuspend(&open);    /* until there is somebody to follow */
	}
	a32_store(&f->tid, 0);
}

int follow_start(struct supervisor *s)
{
	struct sigaction bell = { .sa_handler = on_bell };
	int err;

	follower = &s->follow;
	for (int i = 0; i < NR_FOLLOW_REQUESTS; i++)
		waitq_init(&s->follow.request[i].answered);
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

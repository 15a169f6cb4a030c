/* serve/session/follow.c - the supervisor follows helpers by ptrace, so that no other tracer stops
 * them.
 *
 * A helper is a thread of the program's process and visible to anyone who lists its threads. A
 * tracer that attaches to all of them (LeakSanitizer, crash reporters, debuggers) would stop the
 * helper too, and then wait for a page that only the helper can make room for. A thread has one
 * tracer. Any other that tries to trace a thread we follow gets EPERM; tracers take it for a thread
 * about to exit, and skip it.
 *
 * A helper goes on while its process is stopped: its part in the stop is over once it has stopped,
 * and we continue it at once; so pages of stopped processes can be reclaimed. Signals reach it as
 * they would without us.
 *
 * The end of a followed helper waits for us. Until then an exec waits (the kernel makes it wait for
 * all other threads), and the process's parent is not told of its end. So one thread does nothing
 * but wait, at a real-time priority where that is allowed. To the kernel the tracer is a thread,
 * not a process: this thread does all of it. Other threads that wait for children of ours leave
 * this thread's alone (__WNOTHREAD). Where ptrace is refused (Yama, a container's profile) no
 * helper is followed; what a tracer stops then is late (mmu/host/withdraw.c). When we exit, the
 * kernel detaches all.
 *
 * A debugger outside the tree is let through: gdb retries endlessly what is refused with EPERM, and
 * needs nothing that the helper provides. The watcher detects that one follows the process's first
 * thread (follow_look), lets go of the helper, and follows it again when the debugger is gone. In
 * between the helper may be stopped (late.c).
 *
 * Typical sequence: control thread: follow_helper -> SIGURG -> thread "umemcg-follow", in the
 * handler: seize -> answered. The handler does the work, so no request is missed between a check
 * and a sleep.
 *
 * Locks: none. @wanted of a request is set by the one thread that owns it, and taken by whoever
 * swaps 0 in: the handler, or the owner when its patience ends. @busy is cleared when all is done,
 * which may be later: a helper to be let go is detached by then, and @leaving is free for the next.
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

#include "serve/process/proc.h"
#include "serve/session/session.h"

#define BELL        SIGURG /* ignored by default: a stray one is harmless */
#define PATIENCE_NS (200 * 1000000ull)
#define RING_NS     1000000

/* To do: @busy until it is done. */
enum { FOLLOW_NEW, FOLLOW_AGAIN, NR_FOLLOW_REQUESTS }; /* of the control thread, of the watcher */

struct follow_request {
	atomic32_t wanted; /* (A) a helper; 0: none */
	atomic32_t busy;   /* (A) 1: not done yet */
	bool let_go;       /* else follow it. Written while @wanted is 0 */
	struct waitq answered;
};

struct follow {
	struct plat_thread thread;
	bool started;        /* (C) while there is a control thread */
	atomic32_t tid;      /* (A) of the thread, while it runs */
	atomic32_t stopping; /* (A) */
	atomic32_t leaving;  /* (A) a helper to be let go when it stops; 0: none */
	struct follow_request request[NR_FOLLOW_REQUESTS];
};

static struct follow *follower; /* for the handler: there is one supervisor per process */

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
			return; /* go_on answers */
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
	/* Otherwise a stranger sent it to the process. */
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

/* False: it was not even started. */
static bool request(struct supervisor *s, struct follow_request *q, pid_t tid, bool let_go)
{
	uint64_t until = plat_now_ns() + PATIENCE_NS;

	VM_ASSERT(q == &s->follow->request[FOLLOW_NEW] ? thread_is(THREAD_CONTROL)
						       : thread_is(THREAD_WATCHER));
	if (!s->follow->started || tid <= 0 || !done_by(q, until))
		return false;
	q->let_go = let_go;
	a32_store(&q->busy, 1);
	a32_store(&q->wanted, (uint32_t)tid);
	ring(s->follow);
	if (done_by(q, until) || !a32_xchg(&q->wanted, 0))
		return true;
	a32_store(&q->busy, 0);
	return false;
}

void follow_helper(struct supervisor *s, pid_t tid)
{
	assert_thread(THREAD_CONTROL);
	(void)request(s, &s->follow->request[FOLLOW_NEW], tid, false);
}

/* By a debugger that is neither ours nor below us. One in another PID namespace shows as number
 * 0. */
static bool traced_outside(const struct client *c)
{
	pid_t tracer = proc_tracer(c->host.pid, c->host.pid);

	return tracer ? !proc_is_ours(tracer) : proc_thread_traced(c->host.pid, c->host.pid);
}

void follow_look(struct client *c, bool traced)
{
	pid_t helper = c->host.task;
	bool outside, gone = c->let_go == helper;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(!c->unmanaged);
	if (!gone && !traced)
		return; /* a tracer that attaches stops it first */
	outside = traced_outside(c);
	if (outside == gone || (!outside && proc_tracer(c->host.pid, helper)))
		return; /* or the debugger has not detached from all yet */
	if (request(c->s, &c->s->follow->request[FOLLOW_AGAIN], helper, outside))
		c->let_go = outside ? helper : 0;
}

/* @status: of a helper, as from waitpid */
static void go_on(struct follow *f, pid_t tid, int status)
{
	assert_thread(THREAD_FOLLOW);
	/* A group stop is not a signal to pass on; a signal delivered to the helper is. */
	long sig = WIFSTOPPED(status) && status >> 16 == 0 ? WSTOPSIG(status) : 0;
	bool leaves = a32_cas(&f->leaving, (uint32_t)tid, 0);

	if (WIFSTOPPED(status))
		(void)ptrace(leaves ? PTRACE_DETACH : PTRACE_CONT, tid, NULL, sig);
	if (leaves)
		answer(&f->request[FOLLOW_AGAIN]); /* only that one lets go */
}

static void follow_main(void *arg)
{
	struct follow *f = arg;
	sigset_t bell, open;

	thread_begin(THREAD_FOLLOW);
	thread_hurry();
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
			sigsuspend(&open); /* until there is a helper to follow */
	}
	a32_store(&f->tid, 0);
}

int follow_init(struct supervisor *s)
{
	return supervisor_part(&s->follow, sizeof(*s->follow));
}

int follow_start(struct supervisor *s)
{
	struct sigaction bell = { .sa_handler = on_bell };
	int err;

	assert_thread(THREAD_MAIN);
	follower = s->follow;
	for (int i = 0; i < NR_FOLLOW_REQUESTS; i++)
		waitq_init(&s->follow->request[i].answered);
	sigemptyset(&bell.sa_mask);
	sigaction(BELL, &bell, NULL);
	err = plat_thread_start(&s->follow->thread, "umemcg-follow", follow_main, s->follow);
	s->follow->started = !err;
	return err;
}

void follow_stop(struct supervisor *s)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct follow *f = s->follow;

	if (!f->started)
		return;
	while (!a32_load(&f->tid))
		plat_sleep_ns(RING_NS); /* it has not run yet */
	a32_store(&f->stopping, 1);
	/* Repeat: it may have checked just before, and then wait for ever. */
	while (a32_load(&f->tid)) {
		ring(f);
		plat_sleep_ns(RING_NS);
	}
	plat_thread_join(&f->thread);
	sigaction(BELL, &ignore, NULL);
	f->started = false;
}

pid_t follow_tracer(const struct supervisor *s)
{
	return (pid_t)a32_load(&s->follow->tid);
}

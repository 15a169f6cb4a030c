/* serve/pause.c - a process that takes memory without asking is stopped for the moment it takes to make room for that.
 *
 * Memory is touched faster than it is written to swap, and what is not managed, of a process that is, too (its stack), asks nobody
 * first. Its threads are
 * stopped with PTRACE_INTERRUPT, which, unlike SIGSTOP, neither its parent nor itself hears of. Only threads that
 * run are: one that sleeps in a system call would have it interrupted, and takes no memory. One that a debugger
 * follows is left alone, and so is the helper, which gives the pages back. The root process is our child: its stops of this kind are
 * news to our main thread, which knows them (PTRACE_EVENT_STOP, cli/run.c), and its end is not waited for here.
 *
 * A thread that is let go gets the signal it was about to take, if there is one. If we die the kernel lets all go.
 * Where a thread other than the first one executes a program it changes its number, stopped or about to be: who is
 * followed is asked of the kernel (TracerPid), and not remembered.
 *
 * Only the watcher calls this: to the kernel the thread is the tracer, not the process. Our main thread, which
 * waits for any child, may take the news of a stop; so none is waited for.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/internal.h"

static void stop_thread(struct pause *p, pid_t pid, pid_t tid)
{
	if (p->n == PAUSE_MAX || !proc_thread_runs(pid, tid))
		return;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
		p->refused |= errno == EPERM;
		return;
	}
	p->tid[p->n] = tid;
	p->pid[p->n++] = pid;
	(void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
}

void pause_process(struct pause *p, const struct client *c)
{
	struct dirent *d;
	DIR *dir;

	p->root = (pid_t)a32_load(&c->s->root_pid);
	p->refused = false;
	dir = proc_tasks(c->host.pid);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && (c->foreign || (uint32_t)atoi(d->d_name) != c->helper_tid))
			stop_thread(p, c->host.pid, (pid_t)atoi(d->d_name));
	if (dir)
		closedir(dir);
	if (p->n && !p->since_ns)
		p->since_ns = plat_now_ns();
}

/* Which number a thread that we follow has by now; 0: it is gone, or nobody follows it. One that executes a program takes
 * that of its process. */
static pid_t followed_as(pid_t pid, pid_t tid)
{
	if (proc_tracer(pid, tid) == gettid())
		return tid;
	return tid != pid && proc_tracer(pid, pid) == gettid() ? pid : 0;
}

/* False: it has not stopped yet. What is not certain is looked at again: nobody else would let it go. */
static bool let_go(const struct pause *p, pid_t pid, pid_t tid)
{
	pid_t now = followed_as(pid, tid);
	siginfo_t si = { 0 };
	long signal = 0;
	int status;

	if (!now)
		return true;
	/* Over, and its parent hears of it now; an exec by another thread waits for that. */
	if (now != p->root && waitpid(now, &status, __WALL | WNOHANG) == now && !WIFSTOPPED(status))
		return true;
	/* EINVAL: stopped by a signal, with the rest of its process. It stays so. ESRCH: not stopped; a signal that it is about to
	 * stop with would be lost if it were let go only just then. */
	if (ptrace(PTRACE_GETSIGINFO, now, NULL, &si) != 0) {
		if (errno == ESRCH) {
			(void)ptrace(PTRACE_INTERRUPT, now, NULL, NULL);  /* its number changed before the first one */
			return false;
		}
	} else if (si.si_code >> 8 != PTRACE_EVENT_STOP) {
		signal = si.si_signo;
	}
	return ptrace(PTRACE_DETACH, now, NULL, signal) == 0;
}

void pause_end(struct pause *p)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < p->n; i++) {
		if (let_go(p, p->pid[i], p->tid[i]))
			continue;
		p->pid[kept] = p->pid[i];
		p->tid[kept++] = p->tid[i];
	}
	p->n = kept;
	if (!kept)
		p->since_ns = 0;
}

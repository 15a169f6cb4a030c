/* serve/process/pause.c - stops a process that takes memory without asking, while room is made for
 * it.
 *
 * A process touches memory faster than we write it to swap, and unmanaged memory, even that of a
 * managed process (its stack), is taken without asking first. We stop its threads with
 * PTRACE_INTERRUPT which, unlike SIGSTOP, neither its parent nor the process itself notices. We
 * stop only running threads: a thread that sleeps in a system call takes no memory, and the stop
 * would interrupt the call. We leave alone a thread that a debugger traces, and the helper, which
 * gives pages back. The root process is our child: its ptrace stops are also reported to our main
 * thread, which recognizes them (PTRACE_EVENT_STOP, cli/run.c), and its end is not waited for here.
 *
 * A thread that is released gets the signal it was about to take, if there is one. If we die the
 * kernel releases all of them. When a thread other than the first one executes a program its number
 * changes, whether it is stopped or about to be: so we do not remember which threads we trace but
 * ask the kernel (TracerPid).
 *
 * Only the watcher calls this: to the kernel the tracer is the thread, not the process. Our main
 * thread waits for any child and may consume the report of a stop; so we wait for none.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/process.h"

static void stop_thread(struct pause *p, pid_t pid, pid_t tid)
{
	VM_ASSERT(tid > 0);
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

void pause_process(struct pause *p, pid_t pid, uint32_t helper)
{
	struct dirent *d;
	DIR *dir;

	VM_ASSERT(pid > 0);
	p->refused = false;
	dir = proc_tasks(pid);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && (!helper || (uint32_t)atoi(d->d_name) != helper))
			stop_thread(p, pid, (pid_t)atoi(d->d_name));
	if (dir)
		closedir(dir);
	if (p->n && !p->since_ns)
		p->since_ns = plat_now_ns();
}

/* The current number of a thread that we trace; 0: it is gone, or not traced. A thread that
 * executes a program takes the number of its process. */
static pid_t followed_as(pid_t pid, pid_t tid)
{
	if (proc_tracer(pid, tid) == gettid())
		return tid;
	return tid != pid && proc_tracer(pid, pid) == gettid() ? pid : 0;
}

/* False: it has not stopped yet. If in doubt, look again: nothing else would release it. */
static bool let_go(const struct pause *p, pid_t pid, pid_t tid)
{
	pid_t now = followed_as(pid, tid);
	siginfo_t si = { 0 };
	long signal = 0;
	int status;

	VM_ASSERT(pid > 0 && tid > 0);
	if (!now)
		return true;
	/* It has exited, and its parent hears of it now; an exec by another thread waits for
	 * that. */
	if (now != p->root && waitpid(now, &status, __WALL | WNOHANG) == now && !WIFSTOPPED(status))
		return true;
	/* EINVAL: stopped by a signal with the rest of its process, and stays so. ESRCH: not
	 * stopped; if released just as it stops with a signal, it would lose the signal. */
	if (ptrace(PTRACE_GETSIGINFO, now, NULL, &si) != 0) {
		if (errno == ESRCH) {
			/* Its number changed before the first interrupt. */
			(void)ptrace(PTRACE_INTERRUPT, now, NULL, NULL);
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

	VM_ASSERT(p->n <= PAUSE_MAX && !p->n == !p->since_ns);
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

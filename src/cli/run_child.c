/* cli/run_child.c - the root process of `umemcg run`. See run_child.h.
 *
 * Locks: none; main thread only.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/run_child.h"
#include "cli/run_exec.h"
#include "cli/run_limits.h"
#include "serve/serve.h"

static const int handled[] = {
	SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, /* forwarded */
	SIGTSTP, SIGCONT,                                    /* job control */
	SIGCHLD, SIGTTOU, /* a background job may write messages */
};

int signals_take(struct saved_signals *saved)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, plain = { .sa_handler = SIG_DFL };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_BLOCK, &set, &saved->mask);
	sigaction(SIGPIPE, &ignore, &saved->pipe);
	/* If it were ignored, as a parent may have left it, we could not wait for children. */
	sigaction(SIGCHLD, &plain, &saved->child);
	sigdelset(&set, SIGTTOU);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

bool signal_goes_on(const struct signalfd_siginfo *si, pid_t root, bool root_in_group, bool leader)
{
	if (si->ssi_signo == SIGCHLD)
		return false;
	/* From the terminal: its keys signal the whole foreground group, its hangup only the
	 * session leader. */
	if (si->ssi_code == SI_KERNEL)
		return !root_in_group ||
		       (leader && (si->ssi_signo == SIGHUP || si->ssi_signo == SIGCONT));
	/* The program signalled its own group, as editors do to suspend themselves. */
	return (pid_t)si->ssi_pid != root;
}

/* The foreground process group of our terminal; -1 without a terminal. */
static pid_t foreground_group(void)
{
	int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	pid_t group = -1;

	if (tty >= 0) {
		group = tcgetpgrp(tty);
		close(tty);
	}
	return group;
}

bool stop_is_for_job(pid_t root, int sig)
{
	pid_t group = getpgid(root);

	if (sig != SIGSTOP)
		return true;
	/* An interactive shell stops itself this way after it has made its own foreground group. */
	return group != getpgrp() && group == foreground_group();
}

void signals_stop_self(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL }, saved;
	sigset_t stop, old;

	/* SIGTSTP, not SIGSTOP: without a shell to continue us the kernel ignores it. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	sigaction(SIGTSTP, &plain, &saved);
	raise(SIGTSTP);
	pthread_sigmask(SIG_UNBLOCK, &stop, &old);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	sigaction(SIGTSTP, &saved, NULL);
}

_Noreturn void signals_die_of(int sig)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	struct rlimit none = { 0 };
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	sigaction(sig, &plain, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	_exit(EXIT_SIGNAL + sig);
}

static _Noreturn void child_main(char **argv, int go_fd, int exec_fd,
				 const struct saved_signals *saved, const struct run_limits *limits,
				 const struct supervisor *s)
{
	char byte;
	int error;
	ssize_t n;

	do
		n = read(go_fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(EXIT_OURS); /* the supervisor is gone */
	supervisor_child_env(s, !exec_refuses_agent(argv[0]));
	run_limits_give_back(limits);
	sigaction(SIGPIPE, &saved->pipe, NULL);
	sigaction(SIGCHLD, &saved->child, NULL);
	sigprocmask(SIG_SETMASK, &saved->mask, NULL);
	execvp(argv[0], argv);
	error = errno;
	/* If this write fails, our exit status says the same. */
	n = write(exec_fd, &error, sizeof(error));
	_exit(exec_exit_status(argv[0], error));
}

int child_start(struct child *c, char **argv, const struct saved_signals *saved,
		const struct run_limits *limits, const struct supervisor *s)
{
	int go[2], exec[2], ret;

	if (pipe2(go, O_CLOEXEC) != 0)
		return -errno;
	if (pipe2(exec, O_CLOEXEC) != 0) {
		ret = -errno;
		goto close_go;
	}
	c->pid = fork();
	if (c->pid < 0) {
		ret = -errno;
		goto close_exec;
	}
	if (c->pid == 0) {
		close(go[1]);
		close(exec[0]);
		child_main(argv, go[0], exec[1], saved, limits, s);
	}
	close(go[0]);
	close(exec[1]);
	c->go_fd = go[1];
	c->exec_fd = exec[0];
	c->exec_error = 0;
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	return 0;

close_exec:
	close(exec[0]);
	close(exec[1]);
close_go:
	close(go[0]);
	close(go[1]);
	return ret;
}

void child_release(struct child *c)
{
	/* If the child has been killed by now, waiting for it will show that. */
	if (write(c->go_fd, "", 1) < 0)
		errno = 0;
	close(c->go_fd);
	c->go_fd = -1;
}

void child_read_exec(struct child *c)
{
	int error;

	if (read(c->exec_fd, &error, sizeof(error)) == sizeof(error))
		c->exec_error = error;
	close(c->exec_fd);
	c->exec_fd = -1;
}

void child_fini(struct child *c)
{
	if (c->go_fd >= 0)
		close(c->go_fd);
	if (c->exec_fd >= 0)
		close(c->exec_fd);
	if (c->pidfd >= 0)
		close(c->pidfd);
}

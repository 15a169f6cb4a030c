/* cli/run_child.h - the root process of `umemcg run`, from fork to exec, and the signals between it
 * and us.
 *
 * A pipe holds the child until child_release, so that the supervisor knows it before it runs. A
 * second pipe, close-on-exec, reports whether exec succeeded: end of file, or the errno.
 *
 * Signals are blocked in every thread; the main thread reads them from a descriptor. The child
 * shares our process group: signals from the terminal have reached it already; signals sent only to
 * us are forwarded.
 */
#ifndef UMEMCG_CLI_RUN_CHILD_H
#define UMEMCG_CLI_RUN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/types.h>

/* To be restored for the program before exec. */
struct saved_signals {
	sigset_t mask;
	struct sigaction pipe, child; /* SIGPIPE, SIGCHLD */
};

struct child {
	pid_t pid;
	int pidfd;
	int go_fd;      /* a byte written here releases the child */
	int exec_fd;    /* readable when exec has succeeded or failed; -1 once known */
	int exec_error; /* 0 or errno of exec, valid once exec_fd is -1 */
};

struct supervisor;
struct run_limits;

/* Block the signals we handle and arrange to wait for children. Returns a signalfd, or -errno. Call
 * before any thread exists. */
int signals_take(struct saved_signals *saved);
/* Must a signal that we received be forwarded to @root? @root_in_group: it is in our process group.
 * @leader: we lead our session, as the program of a terminal window or of `ssh -t` does. Pure. */
bool signal_goes_on(const struct signalfd_siginfo *si, pid_t root, bool root_in_group, bool leader);
/* The root process was stopped by @sig: is the whole job stopped, so that a shell that watches us
 * expects us to stop, too? Not if only that one process was stopped: the rest of the tree still
 * needs us. */
bool stop_is_for_job(pid_t root, int sig);
/* Stop like the terminal's suspend key. Returns when continued. */
void signals_stop_self(void);
/* End by @sig, which ended the program: a shell's loop ends only then. Without a core file. */
_Noreturn void signals_die_of(int sig);

/* Fork. 0 or -errno. */
int child_start(struct child *c, char **argv, const struct saved_signals *saved,
		const struct run_limits *limits, const struct supervisor *s);
void child_release(struct child *c);
/* Call when exec_fd is readable. */
void child_read_exec(struct child *c);
void child_fini(struct child *c);

#endif

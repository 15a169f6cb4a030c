/* cli/run_child.h - the root process of `umemcg run`, from fork to exec, and the signals between
 * us.
 *
 * The child is held by a pipe until child_release, so that the supervisor knows it before it
 * runs. A second pipe, close-on-exec, says whether exec succeeded: end of file, or the errno.
 *
 * Signals. They are blocked in every thread and read from a descriptor by the main thread. The
 * child shares our process group: what the terminal sends has reached it already; what somebody
 * sent to us alone is passed on.
 */
#ifndef UMEMCG_CLI_RUN_CHILD_H
#define UMEMCG_CLI_RUN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/types.h>

/* What the program must get back before exec. */
struct saved_signals {
	sigset_t mask;
	struct sigaction pipe, child;  /* SIGPIPE, SIGCHLD */
};

struct child {
	pid_t pid;
	int pidfd;
	int go_fd;      /* writing one byte releases the child */
	int exec_fd;    /* readable when exec has succeeded or failed; -1 once known */
	int exec_error; /* 0 or errno of exec, valid once exec_fd is -1 */
};

struct supervisor;
struct run_limits;

/* Block what we handle, arrange for children to be waited for. Returns a signalfd, or -errno.
 * Call before any thread exists. */
int signals_take(struct saved_signals *saved);
/* Must a signal that we received be sent on to @root? @root_in_group: it is in our process group.
 * @leader: we lead our session, as the program of a terminal window or of `ssh -t` does. Pure. */
bool signal_goes_on(const struct signalfd_siginfo *si, pid_t root, bool root_in_group, bool leader);
/* The root process was stopped by @sig: is that the whole job's stop, which a shell that watches
 * us expects us to follow? Not when somebody stopped that one process: the rest of the tree still
 * needs us. */
bool stop_is_for_job(pid_t root, int sig);
/* Stop as the terminal's suspend key would. Returns when continued. */
void signals_stop_self(void);

/* Fork. 0 or -errno. */
int child_start(struct child *c, char **argv, const struct saved_signals *saved, const struct run_limits *limits,
		const struct supervisor *s);
void child_release(struct child *c);
/* exec_fd is readable. */
void child_read_exec(struct child *c);
void child_fini(struct child *c);

#endif

/* serve/place.h - what this place permits, and which mode follows: the one probe of `umemcg run`
 * and `umemcg doctor`. probe.c looks; place.c decides, without a system call.
 *
 * Locks: none.
 */
#ifndef UMEMCG_SERVE_PLACE_H
#define UMEMCG_SERVE_PLACE_H

#include "serve/serve.h"

#define PLACE_UNKNOWN (-1) /* of a number that a file of the kernel's gives: there is none */

/* Errors are 0 or -errno. */
struct place {
	char kernel[32];       /* release */
	long page_size;        /* bytes */
	bool fork_possible;    /* the agent can take part in forks on this processor */
	int proc_err;          /* -ENOENT: no /proc; -ESRCH: that of another PID namespace */
	int uffd_err;          /* userfaultfd(2) that serves faults of the kernel, too */
	int uffd_user_err;     /* userfaultfd(2), UFFD_USER_MODE_ONLY */
	int device_err;        /* /dev/userfaultfd, or a node of our own */
	int fork_err;          /* fork events */
	int api_err;           /* the other events */
	int sysctl;            /* vm.unprivileged_userfaultfd */
	bool root;             /* our programs have the capabilities that we have */
	bool cap_ptrace;       /* CAP_SYS_PTRACE */
	uint64_t capabilities; /* effective */
	int no_new_privs;
	int seccomp;                          /* 0: none, 1: strict, 2: filter */
	int yama;                             /* ptrace_scope */
	int pidfd_err, signal_err, readv_err; /* the calls on clients, tried on ourselves */
};

/* The rest: nothing of it decides about the mode. */
struct place_more {
	int64_t memlock; /* RLIMIT_MEMLOCK, bytes; SERVE_UNLIMITED */
	int io_uring_err;
	int connector_err; /* the process connector */
	int realtime_err;  /* SCHED_RR */
	bool delegated;    /* a memory controller that we may configure */
	char swap_dir[256], swap_fs[16];
	int swap_err;
};

struct place_verdict {
	enum serve_mode mode; /* SERVE_MODE_NONE: @problem says why */
	struct serve_problem problem;
	const char *cost; /* of the mode, a sentence */
	const char *
		more; /* the one change that would give more; NULL: there is nothing more. Without a
			   * mode: the problem's text, which ends with it */
};

/* "kernel-fork", ...; "none". */
const char *serve_mode_name(enum serve_mode mode);
/* False: there is no mode of that name. */
bool serve_mode_parse(const char *name, enum serve_mode *mode);
/* Which mode follows for who asks for @wanted (SERVE_MODE_AUTO: the best)? Pure. */
void place_judge(const struct place *p, enum serve_mode wanted, struct place_verdict *v);

/* ---- probe.c ---- */
/* *@device_fd: /dev/userfaultfd for the programs; -1: none. */
void place_look(struct place *p, const char *swap_dir, int *device_fd);
void place_look_more(struct place_more *m, const char *swap_dir);

#endif

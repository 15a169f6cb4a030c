/* serve/serve.h - the supervisor: one engine, one group, the client processes of one program tree.
 *
 * Threads: fault workers, call threads, background reclaim, a control thread (connections, ends of
 * clients), a watcher (measures unmanaged RSS), a find thread (processes without an agent), a
 * remote thread (answers other umemcg commands, serve/remote/remote.h). The caller's thread stays
 * free.
 *
 * Sequence of calls:
 *   keeper_start(...)                          (serve/process/keeper.h) before there are threads
 *   s = supervisor_create(&config, &problem)   checks the machine, opens the swap file; no thread
 *                                              but the swap file's, where io_uring is refused
 *   supervisor_start(s)                        starts the threads; the socket listens
 *   fork; in the child: supervisor_child_env(s), execvp(PROGRAM)
 *   supervisor_watch_root(s, pid, unable)
 *   ... supervisor_snapshot(s, &r) at any time ...
 *   supervisor_stop(s)                         kills what is left of the tree
 *   supervisor_snapshot(s, &r); supervisor_destroy(s)
 */
#ifndef UMEMCG_SERVE_SERVE_H
#define UMEMCG_SERVE_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "memcg/stat.h"
#include "plat/store.h"

#define SERVE_UNLIMITED  INT64_MAX     /* bytes: "max" */
#define SERVE_MEMORY_MIN (1024 * 1024) /* bytes: the smallest memory.max accepted */
#define SERVE_TEXT_MAX   512

/* How faults and forks reach us, the best first. */
enum serve_mode {
	SERVE_MODE_AUTO,        /* the best that works */
	SERVE_MODE_KERNEL_FORK, /* faults of the kernel, too; it reports forks */
	SERVE_MODE_KERNEL,      /* faults of the kernel, too; the agent takes part in forks */
	SERVE_MODE_USER,        /* faults of the program's own instructions only (0031) */
	SERVE_MODE_NONE,        /* none works */
};

/* Does the agent take part in forks, since the kernel does not report them? */
static inline bool serve_mode_own_forks(enum serve_mode mode)
{
	return mode == SERVE_MODE_KERNEL || mode == SERVE_MODE_USER;
}

/* serve_config.view */
#define SERVE_VIEW_CGROUP 1u
#define SERVE_VIEW_PROC   2u
#define SERVE_VIEW_ENV    4u
#define SERVE_VIEW_MOUNTS (SERVE_VIEW_CGROUP | SERVE_VIEW_PROC)

struct serve_config {
	enum serve_mode mode; /* that was asked for */
	int64_t memory_max;   /* bytes, rounded down to pages; SERVE_UNLIMITED */
	int64_t memory_high;  /* bytes; SERVE_UNLIMITED */
	int64_t swap_max;     /* bytes; 0 = no swap; SERVE_UNLIMITED is taken as the store's size */
	int64_t memsw_max;    /* bytes; SERVE_UNLIMITED */
	int64_t swap_size;    /* bytes: size of the swap file to make; 0 = none */
	const char *swap_dir; /* directory of the swap file; not NULL */
	bool swap_direct;     /* O_DIRECT */
	const struct codec *codec; /* of the compressed tier; NULL: there is none */
	bool tier_file;            /* what the compressed tier does not take goes to the file */
	int64_t zswap_max;         /* bytes of the limit for it; -1: choose; SERVE_UNLIMITED */
	enum store_engine engine;
	unsigned workers;    /* fault workers; 0 = choose */
	unsigned view;       /* SERVE_VIEW_: what programs see of their limit (serve/view.h) */
	bool view_with_swap; /* memory and swap as one total */
	bool no_spin;        /* no spinning CPUs (serve/fault/spinner.c) */
	bool no_events;      /* listen for no forks (serve/find/listen.c); for tests */
	bool kernel_memfd;   /* memfds stay the kernel's (0028) */
	bool kernel_sysv;    /* System V segments stay the kernel's (serve/shared/segment.c) */
	int processes_fd;    /* list of processes (serve/client/census.c), for appending; 0: none */
	pid_t heir;          /* of orphans, without umemcg (heir_of_orphans); 0: not known */
	const char *agent_path; /* NULL: beside the executable, then where it is installed */
	const char *group_name; /* name of the group; NULL: "run-" and our pid */
	/* One plain sentence about something the user must know (OOM kill, swap error, unmanaged
	 * process). Called from any thread. */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};

struct supervisor;

/* What went wrong, for one line to the user: which option or resource, and the remedy. */
struct serve_problem {
	int error; /* -errno */
	char text[SERVE_TEXT_MAX];
};

/* The process that would inherit our orphans if we were no subreaper; 0: unknown. Before there are
 * threads. */
pid_t heir_of_orphans(void);
struct supervisor *supervisor_create(const struct serve_config *config,
				     struct serve_problem *problem);
struct keeper;
/* Report every process and forked userfaultfd to a keeper. Before supervisor_start; the keeper must
 * outlive the supervisor's threads. */
void supervisor_set_keeper(struct supervisor *s, struct keeper *k);
/* 0 or -errno (text in *problem). */
int supervisor_start(struct supervisor *s, struct serve_problem *problem);
/* In the forked child, before exec: set LD_PRELOAD (in front of its value; only if @load),
 * $UMEMCG_SOCKET and $UMEMCG_DOOR. */
void supervisor_child_env(const struct supervisor *s, bool load);
/* @pid is the root of the program tree: everything below it belongs to the group. @unable: the name
 * of the program it is going to execute, if its file shows that it cannot be managed; else NULL. */
void supervisor_watch_root(struct supervisor *s, pid_t pid, const char *unable);
void supervisor_stop(struct supervisor *s);
void supervisor_destroy(struct supervisor *s);

#define SERVE_UNMANAGED_NAMES    16
#define SERVE_UNMANAGED_NAME_MAX 64

/* Unmanaged RSS by what it is. */
enum serve_kind {
	SERVE_KIND_STATIC,  /* programs without a dynamic loader */
	SERVE_KIND_NOAGENT, /* others without the agent: set-user-ID, musl's, of 32 bits */
	SERVE_KIND_FORKED,  /* forks past libc that could not be identified */
	SERVE_KIND_STACK,   /* main stacks, other areas that grow downwards */
	SERVE_KIND_THREAD,  /* libc's records of threads, with their storage */
	SERVE_KIND_LIBRARY, /* copied data pages of programs and libraries */
	SERVE_KIND_FILE,    /* changed pages of other private file mappings */
	SERVE_KIND_SHARED,  /* shared memory with a name or a descriptor */
	SERVE_KIND_SYSV,    /* System V segments of the kernel's */
	SERVE_KIND_MAPPED,  /* anonymous, mapped past the agent, not found yet */
	SERVE_KIND_PENDING, /* pages in transit into the books, or out of memory */
	SERVE_KIND_AGENT,   /* the agent's own */
	SERVE_KIND_OTHER,   /* of processes that were not examined: too many, ending, or just
			     * begun and perhaps managed soon */
	SERVE_NR_KINDS
};

#define SERVE_PROCESSES 8

struct serve_process {
	char name[32];
	int pid;
	int64_t bytes;        /* unmanaged RSS */
	enum serve_kind kind; /* that most of it is */
};

/* One look. The kinds are read a moment after the total, and add up to no more. */
struct serve_unmanaged {
	int64_t total;                /* bytes; 0: no look was taken */
	int64_t kind[SERVE_NR_KINDS]; /* bytes */
	unsigned nr_processes;
	struct serve_process process[SERVE_PROCESSES]; /* the largest first */
};

struct serve_snapshot {
	int64_t memory_current, memory_peak, memory_max, memory_high; /* bytes; INT64_MAX = max */
	int64_t swap_current, swap_peak, swap_max;                    /* bytes */
	int64_t memsw_current, memsw_peak, memsw_max;                 /* bytes */
	int64_t zswap_current, zswap_peak, zswap_max;                 /* bytes */
	int64_t stat[NR_STATS]; /* memory.stat; gauges in pages */
	int64_t event[NR_EVENTS];
	int64_t metadata_bytes;        /* engine metadata, at most so far */
	int64_t home_bytes, home_peak; /* frames held by the supervisor now, and at most */
	int64_t unmanaged_peak;        /* bytes of unmanaged RSS, at most so far */
	int64_t tables_peak; /* part of that: page tables, the programs' and ours for them */
	uint64_t clients_total, clients_now, processes_now;
	uint64_t unmanaged_total; /* programs that never said HELLO (static, setuid) */
	/* Processes found more than 100 ms after they began; the longest delay. */
	uint64_t found_late_total, found_late_ms;
	uint64_t unmeasured_total; /* processes whose memory could not be read: the limit
				    * may not hold */
	unsigned nr_unmanaged_names;
	char unmanaged_name[SERVE_UNMANAGED_NAMES]
			   [SERVE_UNMANAGED_NAME_MAX]; /* comm and pid: "busybox (1234)" */
	bool root_oom_killed;                          /* the OOM killer took the root process */
	int64_t oom_memory, oom_swap;                  /* bytes in use at that time */
	int64_t oom_unmanaged;                         /* part of oom_memory */
	int64_t oom_forked; /* part of oom_memory, beside that: of processes forked past
			     * libc, which cannot be swapped */
	int64_t oom_tables; /* part of oom_unmanaged: page tables, the programs' and ours for them
			     */
	struct serve_unmanaged unmanaged_most; /* at about the peak of unmanaged RSS */
	struct serve_unmanaged unmanaged_oom;  /* at the last OOM kill */
	bool swap_disk_full; /* a write of the swap file found the file system (or a quota) full */
	const char *group_name;
	const char *store_name; /* "io_uring", "thread-pool", "none" */
	const char *mode;       /* "kernel-fork", "kernel" */
};
/* Processes of the tree that still run. Main thread. */
unsigned supervisor_left(const struct supervisor *s);
void supervisor_snapshot(struct supervisor *s, struct serve_snapshot *out);

#endif

/* serve/client/supervisor.h - what the rooms of serve share: one engine, one group, one tree.
 *
 * What only one room needs is a structure of its own, behind a pointer at the end: the room defines
 * it, NAME_init() allocates it.
 *
 * Locks: (K) clients_lock, rank LEAF  (N) names_lock, rank LEAF  (A) atomic
 *        (C) constant once supervisor_start has been called.
 */
#ifndef UMEMCG_SERVE_SUPERVISOR_H
#define UMEMCG_SERVE_SUPERVISOR_H

#include "mm/engine.h"
#include "mmu/host/host.h"
#include "serve/client/bounds.h"
#include "serve/process/keeper.h"
#include "serve/serve.h"

struct supervisor {
	struct engine engine;
	struct mmu_host mmu;
	struct mem_cgroup *group;
	struct bounds bounds;       /* the limits of the group */
	struct serve_config config; /* (C) */
	enum serve_mode mode;       /* (C) that was chosen */
	struct keeper *keeper;      /* (C) NULL: none */
	char agent_path[4096];      /* (C) */
	char socket_name[64];       /* (C) */
	uint64_t pid_namespace;     /* (C) its inode; 0: not known */
	int device_fd;              /* (C) /dev/userfaultfd for the programs; -1: none */
	int control_ep, fault_ep;   /* (C) */
	int stop_fd;                /* (C) readable: stop */
	atomic32_t stopping;        /* (A) */
	bool started, ready;        /* supervisor_start has succeeded; at least once */
	atomic32_t root_pid;        /* (A) */

	/* roster.c */
	struct spinlock clients_lock;
	struct list_head clients;             /* (K) struct client, by key */
	uint64_t next_key;                    /* (K) */
	atomic64_t nr_clients, total_clients; /* (A) now; managed ones ever */

	/* wake.c: where threads sleep */
	struct {
		struct waitq watcher, settler, finder, find;
	} wake;
	atomic32_t unsettled;       /* (A) unmanaged RSS grew: the limit may be exceeded */
	atomic32_t unstopped;       /* (A) ... by a process above the limit that a debugger
				     * follows, and that cannot be stopped */
	atomic32_t reserves_wanted; /* (A) some client's reserve may be too small */

	/* For the report. */
	struct spinlock names_lock;
	unsigned nr_names; /* (N) programs that stay unmanaged: */
	char names[SERVE_UNMANAGED_NAMES][SERVE_UNMANAGED_NAME_MAX]; /* (N) */
	struct serve_unmanaged unmanaged_most,
		unmanaged_oom; /* (N) at the peak, at the last kill */
	atomic64_t unmanaged_total, unmeasured_total;
	atomic64_t found_late_total, found_late_ns; /* processes found late; the longest delay */
	atomic64_t metadata_peak;                   /* bytes of bookkeeping */
	atomic64_t unmanaged_peak;                  /* pages of unmanaged RSS */
	atomic64_t tables_peak;                     /* pages of page tables, part of that */
	atomic32_t root_oom_killed;
	atomic64_t oom_memory, oom_swap, oom_unmanaged, oom_tables, oom_forked; /* bytes then */

	atomic32_t leaving, leaves; /* (A) memfds that become the kernel's now; and so far */

	/* Each private to its room: */
	struct notices *notices;     /* client/notice.c */
	struct census *census;       /* client/census.c */
	struct spares *spares;       /* client/stray.c */
	struct lineage *lineage;     /* client/lineage.c */
	struct segments *segments;   /* shared/segment.c */
	struct pipes *pipes;         /* shared/pipes.c */
	struct memfds *memfds;       /* shared/memfd.c */
	struct control *control;     /* session/ */
	struct calls *calls;         /* session/call.c */
	struct follow *follow;       /* session/follow.c */
	struct find *find;           /* find/ */
	struct fault_threads *fault; /* fault/worker.c */
	struct spinners *spinners;   /* fault/spinner.c */
	struct watch_threads *watch; /* watch/watcher.c */
	struct copies *copies;       /* account/copies.c */
	struct finder *finder;       /* watch/finder.c */
	struct kinds *kinds;         /* watch/kinds.c */
	struct search *search;       /* watch/search.c */
	struct answers *answers;     /* remote/answers.c */
	struct view *view;           /* view.c; NULL: nothing is shown */
};

/* Allocate a room's own structure into *@part, zeroed. 0 or -ENOMEM. */
static inline int supervisor_part(void *part, size_t size)
{
	void **p = part;

	*p = plat_alloc(size);
	return *p ? 0 : -ENOMEM;
}

/* ---- notice.c ---- */
/* 0 or -ENOMEM. */
int notice_init(struct supervisor *s);
void notice_fini(struct supervisor *s);
/* Tell the user; at most SERVE_TEXT_MAX bytes. Any thread. Repetitions and floods are suppressed,
 * and counted. Takes its own lock, rank LEAF. */
void supervisor_notice(struct supervisor *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- wake.c ---- */
void wake_init(struct supervisor *s);
/* There is something to measure, or to make room for. */
void watcher_wake(struct supervisor *s);
/* A process must be examined: at once, if the group is nearly full. */
void watcher_fresh(struct supervisor *s);
/* The lineage has fresh processes. */
void find_wake(struct supervisor *s);
/* How long what is left of the limit lasts at least, in ns; at most WATCH_TICK_NS. */
uint64_t limit_lasts_ns(const struct supervisor *s);
#define WATCH_TICK_NS (10 * 1000000ull)
/* Let the calling thread not wait for a CPU, where that is permitted. */
void thread_hurry(void);

/* Which thread calls: bits, for assertions. The caller of supervisor_start is THREAD_MAIN, as is
 * every thread that has not begun. */
enum serve_thread {
	THREAD_MAIN = 0,
	THREAD_CONTROL = 1 << 0,
	THREAD_CALL = 1 << 1,
	THREAD_FAULT = 1 << 2,
	THREAD_WATCHER = 1 << 3,
	THREAD_SETTLER = 1 << 4,
	THREAD_FINDER = 1 << 5,
	THREAD_FIND = 1 << 6,
	THREAD_ASKER = 1 << 7,
	THREAD_LISTENER = 1 << 8,
	THREAD_REMOTE = 1 << 9,
	THREAD_FOLLOW = 1 << 10,
	THREAD_FILES = 1 << 11,
	THREAD_VIEW = 1 << 12,
};
/* The first statement of a thread's main function. */
void thread_begin(enum serve_thread self);
/* Is the caller one of @threads? THREAD_MAIN: or has it not begun? */
bool thread_is(unsigned threads);
#define assert_thread(threads) VM_ASSERT(thread_is(threads))

#endif

/* serve/client/client.h - a client: one address space of the program.
 *
 * It is made by HELLO (after exec), by a fork event (its HELLO comes later, or never), or for a
 * process without an agent ("foreign": measured and charged, not managed). It ends when its helper
 * channel closes, or when the watcher sees that it is gone.
 *
 * A member that is "private to FILE" belongs to that file alone (tools/check-serve-rooms.sh).
 *
 * Locks: (K) supervisor->clients_lock, rank LEAF  (N) names_lock, rank LEAF
 *        (C) constant after it is in the table  (A) atomic
 *        (O) touched by the control thread only  (W) by the watcher only
 */
#ifndef UMEMCG_SERVE_CLIENT_H
#define UMEMCG_SERVE_CLIENT_H

#include "mmu/host/host.h"
#include "serve/channel/proto.h"
#include "serve/client/supervisor.h"
#include "serve/process/proc.h"

#define PRIVATE_RANGES 4
#define STANDBYS_MAX   8

struct conn;

/* A helper in another process that shares a client's memory (standby.c). */
struct standby {
	struct conn *conn;             /* NULL: none */
	pid_t pid, task;
	uint32_t tid;                  /* the number of task in its own PID namespace */
	uint64_t staging;
	bool started;                  /* it has sent STARTED */
};

struct client {
	struct host_client host;       /* first: the MMU knows us by it */
	struct supervisor *s;          /* (C) */
	struct list_head link;         /* (K) supervisor->clients */
	atomic32_t ref;                /* (A) list + users */
	atomic32_t ended;              /* (A) 1: taken out of the list */
	atomic32_t closing;            /* (A) 1: the helper is gone, the address space may still be
					* read by its kernel */
	uint64_t key;                  /* (C) identifies it in epoll data; never reused */
	bool foreign;                  /* (C) */

	/* which process it is */
	uint64_t created_ns;           /* (C) */
	uint64_t found_ns;             /* when its process became known */
	pid_t forked_by;               /* (C) its parent when it was made; 0 */
	uint64_t mark_va;              /* (C) where it can be marked (mark.c); 0: nowhere */
	char comm[32];
	bool kept;                     /* the keeper knows it */

	/* its helper */
	int sock;                      /* helper channel; -1 none. Set once, by hello */
	uint32_t helper_tid;           /* in its own PID namespace */
	bool hooked;                   /* (C) once can_evict: libc's calls come to the agent */
	bool started;                  /* (O) its helper has sent STARTED */
	bool forked;                   /* (O) its HELLO was that of a fork's child */
	atomic32_t unready;            /* (A) 1: its helper left without having sent STARTED */
	atomic32_t entering;           /* (A) 1: not started yet, counted in mm->held */
	atomic32_t task_changed;       /* (A) 1: statm_fd is of a task that is gone */
	atomic64_t awaits_cookie;      /* (A) its HELLO will carry this; 0 = none expected */
	uint64_t private_start[PRIVATE_RANGES], private_end[PRIVATE_RANGES];

	/* its faults and events */
	atomic32_t armed;              /* (A) 1: its next message wakes a worker; 0: one reads */
	atomic32_t held_back;          /* (A) 1: faults wait for client_let_go */
	atomic32_t beyond;             /* (A) 1: it may exceed the limit (late.c) */
	atomic32_t event_turn;         /* (A) odd: messages are read and being applied */
	atomic64_t fork_cookie;        /* (A) fork->lock to write; 0 = no fork is in progress */

	/* foreign: starting.c */
	atomic32_t nameless;           /* (A) 1: it may still say HELLO */
	atomic32_t to_exec;            /* (A) 1: its memory is still that of before the exec */
	atomic32_t unable, told;       /* (A) 1: it cannot say HELLO; its exec was reported */
	atomic64_t since_ns;           /* (A) when it was announced, or had executed */
	struct client *before;         /* (W) referenced; whose memory it has, while to_exec; NULL:
					* our own child's */
	int64_t least;                 /* (C) its least unmanaged RSS while it is nameless */
	bool is_static;                /* (W) */
	bool introduced;               /* it has said HELLO, and is another client */
	char told_comm[32];            /* (N) its name when its exec was reported, or "" */

	/* what it has; pages */
	int64_t inherited;             /* (C) what it began with and its parent has as well */
	atomic64_t reserve, reserve_want;     /* (A) charged ahead; as it should be */
	atomic64_t grown_ns;           /* (A) when its unmanaged RSS last grew much; 0: never */
	atomic64_t shared_pages, sysv_pages;  /* (A) (W) to write; the latter is a part */
	atomic64_t tables;             /* (A) its page tables, part of its unmanaged RSS */
	int maps_fd;                   /* adoption; -1: not open */
	int statm_fd;                  /* (W) -1: not open */

	uint64_t seq;  /* batch_lock: last request; private to session/transport.c */
	atomic64_t peak;               /* (A) most pages seen; private to client/census.c */
	bool spared;  /* (O) client_closing set dying; private to client/client.c */
	struct {
		uint64_t asked_ns;     /* when that was looked up */
		bool off;              /* the process has huge pages switched off */
	} huge;                        /* host.batch_lock; private to account/huge.c */
	struct {
		atomic64_t ns, leaves, extra;  /* (A) when, and beside what, it was measured */
	} tables_seen;                 /* private to account/tables.c */
	struct {
		int64_t seen;          /* (W) what the first of two looks showed */
		bool failed;           /* (W) its memory cannot be read, and that was said */
	} measured;                    /* private to account/measure.c */
	atomic64_t known;  /* (A) pages a pass left unmanaged; private to account/unseen.c */
	unsigned nr_pins;              /* pipes->lock; private to shared/pipes.c */
	struct {
		struct spinlock lock;  /* rank LEAF: all below */
		int64_t charged;       /* pages charged ahead for the child; */
		int64_t unmanaged;     /* ... those of them that will not be in its books */
		bool taken;            /* an event has used the announcement */
		bool held;             /* reclaim is kept away for it */
	} fork;                        /* private to session/fork.c */
	bool announced;  /* (C) its exec was, by its agent; private to session/starting.c */
	struct {
		bool counted;          /* as a program that stays unmanaged */
		bool spoke;            /* it has said HELLO after all */
	} named;                       /* (N); private to session/unmanaged.c */
	struct standby standby[STANDBYS_MAX];  /* (O) private to session/standby.c */
	pid_t let_go;  /* (W) a helper left to a debugger; private to session/follow.c */
	atomic32_t mark;               /* (A) MARK_; private to find/mark.c */
	struct {
		uint64_t cpu_ns;       /* what its threads had run at the last tick; */
		bool runs;             /* ... they do */
		bool executed;         /* it was looked at after it had executed */
	} watched;                     /* (W) private to watch/watcher.c */
	struct {
		uint64_t since_ns;     /* when its helper was first seen late; 0: it is not */
		int64_t from;          /* pages it had when it was let exceed the limit */
	} late;                        /* (W) private to watch/late.c */
	pid_t told_to_leave;           /* (W) that helper; 0: none; private to watch/leave.c */
	struct {
		uint64_t next_ns;      /* no pass before */
		unsigned tries;        /* passes that something interrupted */
	} finding;                     /* finder; private to watch/finder.c */
};

/* ---- roster.c ---- */
void roster_init(struct supervisor *s);
/* Enter or remove @c. */
void roster_add(struct client *c);
void roster_remove(struct client *c);
/* Lookups return a reference; NULL: none. */
struct client *client_get(struct supervisor *s, uint64_t key);
/* The client of a process; the managed one, if it has a foreign one, too. */
struct client *client_by_pid(struct supervisor *s, pid_t pid);
struct client *client_managed(struct supervisor *s, pid_t pid);
/* ... one whose helper has gone: its process ends, or executes a program. */
struct client *client_closed(struct supervisor *s, pid_t pid);
struct client *client_foreign(struct supervisor *s, pid_t pid);
struct client *client_by_cookie(struct supervisor *s, uint64_t cookie);
/* Whose fork it is, while the fork is in progress. */
struct client *client_forking(struct supervisor *s, uint64_t cookie);
/* Walk: the client after @prev in the list, referenced; drops @prev. NULL at the end. */
struct client *client_next(struct supervisor *s, struct client *prev);

/* ---- client.c ---- */
/* A client in the list, with a reference for the caller. Takes @uffd. NULL: out of memory (@uffd is
 * left alone). */
struct client *client_create(struct supervisor *s, int uffd, bool foreign);
void client_ref(struct client *c);
void client_put(struct client *c);
/* The last reference of its address space is gone. */
void client_free(struct client *c);
/* Its process becomes known. What was known before stays. */
void client_set_pid(struct client *c, pid_t pid);
/* Its memory lives on in process @pid, whose main helper is @c's from now on. Control thread. */
void client_change_pid(struct client *c, pid_t pid);
/* Have the keeper look after it. */
void client_keep(struct client *c);
void client_kill(struct client *c, int sig);
/* Its process is gone, or executes another program; its memory may be there a while. Control
 * thread. */
void client_closing(struct client *c);
/* Its memory is there for good: host.pid shares it. True: it had been closing. Control thread. */
bool client_lives_on(struct client *c);
/* Until its helper has started a client may exceed the limit, a page at a time: nothing of it can
 * be taken. */
void client_enter(struct client *c);
void client_entered(struct client *c);
/* Let fault workers listen to it. */
int client_listen(struct client *c);
/* The worker that was woken has read everything, or is about to block: the next message wakes a
 * worker again. */
void client_rearm(struct client *c);
/* Is @va the agent's own? *@end, which is above, comes down to where that changes. */
bool client_private(const struct client *c, uint64_t va, uint64_t *end);
/* Is the process over, as far as that can be told without its channel? */
bool client_exited(const struct client *c);
/* Must its faults wait? Its helper does not answer, and it must not take the rest of the group's
 * memory from those that give theirs back. True: they wait until client_let_go. */
bool client_hold_back(struct client *c);
/* Let threads that were held back try again, if the reason is gone. */
void client_let_go(struct client *c);
/* Wait until every message that was read from @c is applied. Bounded; waits for no lock. */
void client_events_applied(struct client *c);
/* Has it books but no helper, and, as far as can be seen, never will: a child of raw clone(2)? */
static inline bool client_mute(const struct client *c)
{
	return !c->foreign && c->sock < 0 && c->host.pid;
}

/* ---- census.c ---- */
/* The list of processes begins. 0 or -ENOMEM. */
int census_init(struct supervisor *s);
void census_fini(struct supervisor *s);
/* Look at how much it has now. */
void census_peak(struct client *c);
/* Its memory is about to be given back. */
void census_end(struct client *c);
/* @pid has memory that another process's line reports. */
void census_shared(struct supervisor *s, pid_t pid);

/* ---- stray.c ---- */
#define STRAY_KEY (1ull << 63)  /* in epoll data: no client's key, but a stray's descriptor */
/* 0 or -ENOMEM. */
int spares_init(struct supervisor *s);
/* Close all. */
void spares_fini(struct supervisor *s);
/* Descriptors in reserve: have them all; give one up (false: none is left). */
void spare_fill(struct supervisor *s);
bool spare_drop(struct supervisor *s);
/* Keep @uffd of a child there is no record for. */
void stray_add(struct supervisor *s, int uffd);
void stray_serve(struct supervisor *s, int uffd);

#endif

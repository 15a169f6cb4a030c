/* serve/client/client.h - a client: one address space of the program.
 *
 * Its state is one atomic word. HELLO and STARTED are messages (channel/proto.h):
 *
 *   managed                                          unmanaged
 *
 *   fork event      HELLO after exec                 an exec is near      found
 *       |                 |                                |                |
 *       v                 v                                v                |
 *    FORKED --HELLO--> JOINING <----------+            EXECUTING            |
 *       |               |   |             |                | has executed   |
 *       |       STARTED |   | helper left |                v                |
 *       |               v   v             |           UNIDENTIFIED <--------+
 *       |          SERVED   UNREADY       |                | no HELLO in time
 *       |               |   |             |                v
 *       | has executed  |   | HELLO again | standby     UNMANAGED
 *       +------------+  |   |             | takes over
 *                    v  v   v             |
 *                    CLOSING -------------+
 *
 *   every state --> ENDED
 *
 * A standby may take over from SERVED, UNREADY and CLOSING: to SERVED if its helper has sent
 * STARTED, else to JOINING. A client that is SERVED becomes JOINING, too, while its helper is
 * replaced (session/again.c).
 *
 * What a state promises:
 *   FORKED        It has books, and no channel. Its faults are served. Without a pid its process is
 *                 not known yet (find/mark.c). With one it has no helper and gets none ("mute"),
 *                 unless its HELLO is being processed.
 *   JOINING       It has a channel and a pid; it gets no requests. It may exceed the limit, a page
 *                 at a time (client_enter).
 *   SERVED        Its helper takes requests.
 *   UNREADY       The channel is closed. The process ends, executes a program, or lives on without
 *                 a helper (session/unready.c). Its faults are served.
 *   CLOSING       It gets no requests, is not found by pid as managed, is not measured, and is no
 *                 OOM victim. Its faults are served: the kernel may still read the old memory.
 *   EXECUTING     Charged ahead; its memory is still that of before the exec, and is not measured
 *                 here.
 *   UNIDENTIFIED  Measured. HELLO makes it another, managed client, and ends this one.
 *   UNMANAGED     Measured, named in the report.
 *   ENDED         It is off the list, or about to be; nothing more is charged to it. Whoever adds
 *                 to it looks for ENDED afterwards, and takes back what it added.
 *
 * Every change is a compare-and-swap, sequentially consistent. Of two that change the state at the
 * same time one wins; ENDED wins over all others and is final: client_set_state then does nothing.
 * Only client_end makes it ENDED, and the winner gives everything back.
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
#include "serve/client/family.h"
#include "serve/channel/proto.h"
#include "serve/client/supervisor.h"
#include "serve/process/proc.h"

#define PRIVATE_RANGES 4
#define STANDBYS_MAX   8

struct conn;

enum client_state {
	CLIENT_FORKED,
	CLIENT_JOINING,
	CLIENT_SERVED,
	CLIENT_UNREADY,
	CLIENT_EXECUTING,
	CLIENT_UNIDENTIFIED,
	CLIENT_UNMANAGED,
	CLIENT_CLOSING,
	CLIENT_ENDED,
	NR_CLIENT_STATES
};

/* A helper in another process that shares a client's memory (standby.c). */
struct standby {
	struct conn *conn; /* NULL: none */
	pid_t pid, task;
	uint32_t tid; /* the number of task in its own PID namespace */
	uint64_t staging;
};

struct client {
	struct host_client host; /* first: the MMU knows us by it */
	struct supervisor *s;    /* (C) */
	struct list_head link;   /* (K) supervisor->clients */
	atomic32_t ref;          /* (A) list + users */
	atomic32_t state_word;   /* (A) enum client_state; private to client/client.c */
	uint64_t key;            /* (C) identifies it in epoll data; never reused */
	bool unmanaged;          /* (C) measured and charged; not in the books */

	/* which process it is */
	uint64_t created_ns; /* (C) */
	uint64_t found_ns;   /* when its process became known */
	pid_t forked_by;     /* (C) its parent when it was made; 0 */
	uint64_t mark_va;    /* (C) where it can be marked (mark.c); 0: nowhere */
	char comm[32];
	bool kept; /* the keeper knows it */

	/* its helper */
	int sock;                 /* helper channel; -1 none. Set once, by hello */
	uint32_t helper_tid;      /* in its own PID namespace */
	bool hooked;              /* (C) once can_evict: libc's calls come to the agent */
	bool keeps_us;            /* (O) pages of it may be with us only: it is served to its end */
	atomic32_t entering;      /* (A) 1: not started yet, counted in mm->held */
	atomic32_t task_changed;  /* (A) 1: statm_fd is of a task that is gone */
	atomic64_t awaits_cookie; /* (A) its HELLO will carry this; 0 = none expected */
	uint64_t private_start[PRIVATE_RANGES], private_end[PRIVATE_RANGES];

	/* its faults and events */
	atomic32_t armed;       /* (A) 1: its next message wakes a worker; 0: one reads */
	atomic32_t faults_wait; /* (A) 1: for client_let_go */
	atomic32_t beyond;      /* (A) 1: it may exceed the limit (late.c) */
	atomic32_t event_turn;  /* (A) odd: messages are read and being applied */
	atomic64_t fork_cookie; /* (A) fork->lock to write; 0 = no fork is in progress */

	/* unmanaged: starting.c */
	atomic32_t unable, told; /* (A) 1: it cannot say HELLO; its exec was reported */
	atomic64_t since_ns;     /* (A) when it was announced, or had executed */
	struct client *before;   /* (W) referenced; whose memory it has, while EXECUTING; NULL:
				  * our own child's */
	int64_t least;           /* (C) its least unmanaged RSS until it is UNMANAGED */
	bool is_static;          /* (W) */
	bool introduced;         /* it has said HELLO, and is another client */
	char told_comm[32];      /* (N) its name when its exec was reported, or "" */

	/* what it has; pages */
	int64_t inherited;                /* (C) what it began with and its parent has as well */
	atomic64_t reserve, reserve_want; /* (A) charged ahead; as it should be */
	atomic64_t grown_ns;              /* (A) when its unmanaged RSS last grew much; 0: never */
	atomic64_t shared_pages, sysv_pages; /* (A) (W) to write; the latter is a part */
	atomic64_t own_pages;                /* (A) unmanaged pages, whoever shares them */
	struct kin kin;                      /* with whom it shares them; client/family.h */
	atomic32_t several;                  /* (A) 1: other processes share its memory */
	atomic64_t tables;                   /* (A) its page tables, part of its unmanaged RSS */
	int maps_fd;                         /* adoption; -1: not open */
	int guard_fd;                        /* the same file, under batch_lock; -1: not open */
	int statm_fd;                        /* (W) -1: not open */

	uint64_t seq;    /* batch_lock: last request; private to session/transport.c */
	atomic64_t peak; /* (A) most pages seen; private to client/census.c */
	bool spared;     /* (O) client_closing set dying; private to client/client.c */
	struct {
		uint64_t asked_ns; /* when that was looked up */
		bool off;          /* the process has huge pages switched off */
	} huge;                    /* host.batch_lock; private to account/huge.c */
	struct {
		atomic64_t ns, leaves, extra; /* (A) when, and beside what, it was measured */
	} tables_seen;                        /* private to account/tables.c */
	struct {
		int64_t seen; /* (W) what the first of two looks showed */
		bool failed;  /* (W) its memory cannot be read, and that was said */
	} measured;           /* private to account/measure.c */
	struct {
		int stat_fd;         /* (W) -1: not open */
		uint64_t cpu_ns;     /* (W) what its threads had run at the last look */
		uint64_t scanned_ns; /* (W) when its shared pages were counted */
		int64_t at;          /* finder: its unmanaged RSS after the last pass */
		uint64_t turn;       /* finder: the last round that examined it */
	} copying;                   /* private to account/copies*.c */
	atomic64_t known; /* (A) pages a pass left unmanaged; private to account/unseen.c */
	unsigned nr_pins; /* pipes->lock; private to shared/pipes.c */
	struct {
		struct spinlock lock; /* rank LEAF: all below */
		int64_t charged;      /* pages charged ahead for the child; */
		int64_t unmanaged;    /* ... those of them that will not be in its books */
		bool taken;           /* an event has used the announcement */
		bool shielded;        /* reclaim is kept away for it */
	} fork;                       /* private to session/fork.c */
	bool announced; /* (C) its exec was, by its agent; private to session/starting.c */
	struct {
		bool counted;                 /* as a program that stays unmanaged */
		bool registered;              /* it has said HELLO after all */
	} named;                              /* (N); private to session/unmanaged.c */
	struct standby standby[STANDBYS_MAX]; /* (O) private to session/standby.c */
	pid_t let_go;    /* (W) a helper left to a debugger; private to session/follow.c */
	atomic32_t mark; /* (A) MARK_; private to find/mark.c */
	struct {
		uint64_t cpu_ns; /* what its threads had run at the last tick; */
		bool runs;       /* ... they do */
		bool executed;   /* it was looked at after it had executed */
	} watched;               /* (W) private to watch/watcher.c */
	struct {
		uint64_t since_ns; /* when its helper was first seen late; 0: it is not */
		int64_t from;      /* pages it had when it was let exceed the limit */
	} late;                    /* (W) private to watch/late.c */
	pid_t told_to_leave;       /* (W) that helper; 0: none; private to watch/leave.c */
	struct {
		uint64_t next_ns; /* no pass before */
		unsigned tries;   /* passes that something interrupted */
	} finding;                /* finder; private to watch/finder.c */
};

/* ---- roster.c ---- */
void roster_init(struct supervisor *s);
/* Enter or remove @c. */
void roster_add(struct client *c);
void roster_remove(struct client *c);
/* Lookups return a reference; NULL: none. */
struct client *client_get(struct supervisor *s, uint64_t key);
/* The client of a process; the managed one, if it has an unmanaged one, too. */
struct client *client_by_pid(struct supervisor *s, pid_t pid);
struct client *client_managed(struct supervisor *s, pid_t pid);
/* The managed client of @pid whose helper has gone: its process ends, or executes a program. */
struct client *client_closed(struct supervisor *s, pid_t pid);
struct client *client_unmanaged(struct supervisor *s, pid_t pid);
struct client *client_by_cookie(struct supervisor *s, uint64_t cookie);
/* The parent of the fork with @cookie, while the fork is in progress. */
struct client *client_forking(struct supervisor *s, uint64_t cookie);
/* Walk: the client after @prev in the list, referenced; drops @prev. NULL at the end. */
struct client *client_next(struct supervisor *s, struct client *prev);

/* ---- client.c ---- */
/* A client in the list, in its first @state, with a reference for the caller. Takes @uffd. NULL:
 * out of memory (@uffd is left alone). */
struct client *client_create(struct supervisor *s, int uffd, enum client_state state);
/* Change the state; returns the one before. If that is ENDED nothing was changed. */
enum client_state client_set_state(struct client *c, enum client_state to);
/* Change it from @from only. False: another was faster. */
bool client_change_state(struct client *c, enum client_state from, enum client_state to);
void client_ref(struct client *c);
void client_put(struct client *c);
/* The last reference of its address space is gone. */
void client_free(struct client *c);
/* Its process is @pid. No effect if its process is known already. */
void client_set_pid(struct client *c, pid_t pid);
/* Process @pid shares its memory and takes over: the main helper there is now @c's. Control
 * thread. */
void client_change_pid(struct client *c, pid_t pid);
/* Report its process to the keeper. */
void client_keep(struct client *c);
void client_kill(struct client *c, int sig);
/* Its process has ended or is executing another program; its memory may remain for a while. Control
 * thread. */
void client_closing(struct client *c);
/* Its memory stays in use: process host.pid shares it. @started: the helper there listens already.
 * True: the client was CLOSING. Control thread. */
bool client_lives_on(struct client *c, bool started);
/* Until its helper has started a client may exceed the limit, a page at a time: nothing of it can
 * be taken. */
void client_enter(struct client *c);
void client_entered(struct client *c);
/* Let fault workers listen to it. */
int client_listen(struct client *c);
/* The worker that was woken has read everything, or is about to block: the next message wakes a
 * worker again. */
void client_rearm(struct client *c);
/* Does @va belong to the agent itself? Lowers *@end, which is above @va, to where the answer
 * changes. */
bool client_private(const struct client *c, uint64_t va, uint64_t *end);
/* Has the process exited, as far as can be told without its channel? */
bool client_exited(const struct client *c);
/* Must its faults wait? Its helper does not answer, and it must not take the rest of the group's
 * memory from those that give theirs back. True: they wait until client_let_go. */
bool client_must_wait(struct client *c);
/* Let waiting faults try again, if the reason is gone. */
void client_let_go(struct client *c);
/* Wait until every message that was read from @c is applied. Bounded; waits for no lock. */
void client_events_applied(struct client *c);
/* The caller has a reference. */
#define assert_referenced(c) VM_ASSERT((int32_t)a32_peek(&(c)->ref) > 0)

static inline enum client_state client_state(const struct client *c)
{
	return (enum client_state)a32_load(&c->state_word);
}
static inline bool client_has_ended(const struct client *c)
{
	return client_state(c) == CLIENT_ENDED;
}
/* Is it CLOSING or ENDED? */
static inline bool client_is_leaving(const struct client *c)
{
	return client_state(c) >= CLIENT_CLOSING;
}
/* Unmanaged: may it still say HELLO? */
static inline bool client_may_register(const struct client *c)
{
	enum client_state state = client_state(c);

	return state == CLIENT_EXECUTING || state == CLIENT_UNIDENTIFIED;
}
/* Has it books but no helper, and, as far as can be seen, never will: a child of raw clone(2)? */
static inline bool client_mute(const struct client *c)
{
	return !c->unmanaged && c->sock < 0 && c->host.pid;
}

/* ---- census.c ---- */
/* Begin the list of processes (--processes). 0 or -ENOMEM. */
int census_init(struct supervisor *s);
void census_fini(struct supervisor *s);
/* Raise its peak to what it has now. */
void census_peak(struct client *c);
/* Its memory is about to be given back, or passes to another process; @was: its state. */
void census_end(struct client *c, enum client_state was);
/* @pid has memory that another process's line reports. */
void census_shared(struct supervisor *s, pid_t pid);

/* ---- stray.c ---- */
#define STRAY_KEY (1ull << 63) /* in epoll data: no client's key, but a stray's descriptor */
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

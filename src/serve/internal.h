/* serve/internal.h - the supervisor's own structures. Not for other folders.
 *
 * A client is one address space: made by HELLO (exec), by a fork event (its HELLO comes later, or never), or by the watcher for a
 * process without an agent ("foreign": measured and charged, not managed). It ends when its helper channel
 * closes, or when the watcher sees that it is gone.
 *
 * Locks: (K) supervisor->clients_lock, rank LEAF  (C) constant after it is in the table  (A) atomic
 *        (O) touched by the control thread only.
 */
#ifndef UMEMCG_SERVE_INTERNAL_H
#define UMEMCG_SERVE_INTERNAL_H

#include <dirent.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "mm/engine.h"
#include "mmu/host/host.h"
#include "mmu/host/nodes.h"
#include "serve/find/find.h"
#include "serve/process/keeper.h"
#include "serve/process/proc.h"
#include "serve/find/lineage.h"
#include "serve/channel/proto.h"
#include "serve/remote/remote.h"
#include "serve/serve.h"

#define NR_CALL_THREADS 4
#define NR_EXEC_THREADS 2
#define NR_WORKERS_MAX 16
#define NR_WARMERS_MAX 64
#define PRIVATE_RANGES 4
#define NR_SPARES 16
#define EVICT_TIMEOUT_US 200000  /* an answer later than this is "late" */
#define STANDBYS_MAX 8
#define STRAY_KEY (1ull << 63)  /* in epoll data: no client's key, but a stray's descriptor */

/* A helper in another process that shares a client's memory (standby.c). */
struct standby {
	struct conn *conn;             /* NULL: none */
	pid_t pid, task;
	uint32_t tid;                  /* the number of task in its own PID namespace */
	uint64_t staging;
	bool started;                  /* it has spoken */
};

struct client {
	struct host_client host;       /* first: the MMU knows us by it */
	struct supervisor *s;          /* (C) */
	struct list_head link;         /* (K) supervisor->clients */
	atomic32_t ref;                /* (A) list + users */
	atomic32_t ended;              /* (A) 1: taken out of the list */
	atomic32_t armed;              /* (A) 1: its next message wakes a worker; 0: a worker is reading */
	atomic32_t closing;            /* (A) 1: the helper is gone, the address space may still be read by its kernel */
	uint64_t key;                  /* (C) identifies it in epoll data; never reused */
	int sock;                      /* helper channel; -1 none. Set once, by hello */
	uint32_t helper_tid;           /* in its own PID namespace */
	uint64_t seq;                  /* host.batch_lock: last EVICT */
	bool foreign, announced;       /* (C); its exec was, by its agent */
	bool counted, spoke;            /* names_lock: as a process that never speaks; it has after all */
	/* starting.c, of a foreign one */
	atomic32_t nameless;           /* (A) 1: it may still say HELLO */
	atomic32_t to_exec;            /* (A) 1: its memory is still that of before the exec */
	atomic32_t unable, told;       /* (A) 1: it cannot say HELLO; the kernel told of its exec */
	struct client *before;         /* watcher: referenced; whose that is, while to_exec; NULL: of our own child */
	atomic64_t since_ns;           /* (A) when it was announced, or had executed */
	int64_t least;                 /* (C) its figure while it is nameless, at least */
	bool executed, is_static;      /* watcher: it has been looked at since it had executed; it is */
	atomic64_t reserve, reserve_want;  /* (A) reserve.c: pages it has; pages it should have */
	bool unmeasured;               /* watcher: its memory is not told to us, and that was said */
	bool introduced;               /* of a foreign one: it has said HELLO, and is another client */
	uint64_t found_ns;             /* when it was known which process it is */
	atomic64_t peak;               /* (A) pages, the most that was seen */
	bool kept;                     /* the keeper knows it */
	bool started;                  /* (O) its helper has spoken */
	bool spared;                   /* (O) dying was set by client_closing */
	bool forked;                   /* (O) its HELLO was that of a fork's child */
	atomic32_t unready;            /* (A) 1: its helper has left, and had never spoken */
	atomic32_t entering;           /* (A) 1: not started yet, counted in mm->held */
	char comm[32], told_comm[32];  /* told_comm: names_lock; its name when it was told, or "" */
	uint64_t private_start[PRIVATE_RANGES], private_end[PRIVATE_RANGES];

	/* fork, of the parent */
	struct spinlock fork_lock;     /* rank LEAF */
	atomic64_t fork_cookie;        /* fork_lock to write, (A) to read: 0 = no fork is under way */
	int64_t inherited;             /* (C) what its figure began with, which its parent has as well */
	int64_t fork_charged;          /* fork_lock: pages charged ahead for the child */
	int64_t fork_unmanaged;        /* fork_lock: of them, those that will not be in its books */
	bool fork_taken;               /* fork_lock: an event has used the announcement */
	bool fork_held;                /* fork_lock: reclaim is kept away for it */
	atomic32_t event_turn;         /* (A) odd: messages have been read and are being applied */
	/* fork, of the child */
	uint64_t created_ns;           /* (C) */
	atomic64_t awaits_cookie;      /* its HELLO will carry this; 0 = none expected */
	pid_t forked_by;               /* (C) its parent, as that was known when it was made; 0 */
	uint64_t mark_va;              /* mark.c (C): where it can be marked; 0: nowhere */
	atomic32_t mark;               /* (A) MARK_, mark.c */

	uint64_t huge_asked_ns;        /* host.batch_lock: when it was last seen whether it has huge pages switched off; */
	bool huge_off;                 /* host.batch_lock: ... it has */
	struct standby standby[STANDBYS_MAX];  /* (O) */
	atomic32_t task_changed;       /* (A) 1: statm_fd is of a task that is gone */

	atomic32_t held_back;          /* (A) faults wait for client_let_go */
	atomic32_t beyond;             /* (A) 1: it may exceed the limit, its helper being stopped (late.c); */
	int64_t beyond_from;           /* watcher: ... from so many pages on */
	pid_t leaves;                  /* watcher: the helper that has been told to leave (leave.c); 0: none */
	pid_t let_go;                  /* watcher: the helper that is not followed, for a debugger's sake (follow.c); 0 */
	uint64_t late_ns;              /* watcher: its helper has not answered since then; 0: it has */
	int statm_fd, maps_fd;         /* watcher / adopt; -1: not open */
	/* tables.c: */
	atomic64_t tables;             /* (A) pages of its kernel's page tables, part of its figure; */
	atomic64_t tables_ns, tables_leaves, tables_extra;  /* (A) ... when, and beside what, they were looked at */
	uint64_t cpu_ns;               /* watcher: what its threads had run at the last tick; */
	bool runs;                     /* ... they do */
	int64_t looked;                /* watcher: what the first of two looks showed */
	atomic64_t grown_ns;           /* (A) when its figure last grew by a lot; 0: never */
	atomic64_t shared_pages, sysv_pages;  /* (A) watcher to write: shmem.c; the latter a part */
	bool hooked;                   /* (C) once can_evict: libc's own calls come to the agent */
	/* finder.c */
	atomic64_t find_left;          /* (A) finder to write: pages of its figure that are known to stay there */
	uint64_t find_next_ns;         /* finder: no pass before */
	unsigned find_tries;           /* finder: passes that something got in the way of */
	unsigned nr_pins;              /* pipes.lock */
};

enum conn_kind { CONN_LISTEN, CONN_STOP, CONN_NEW, CONN_HELPER, CONN_STANDBY, CONN_CLOSING, CONN_CALL };

struct conn {
	struct list_head link;         /* (O) supervisor->conns */
	enum conn_kind kind;
	int fd;
	pid_t pid;                     /* who is on the other end */
	uid_t uid;
	uint64_t deadline_ns;          /* CONN_NEW: must have spoken by then; CONN_CLOSING: unready.c */
	struct client *client;         /* referenced; CONN_HELPER, CONN_CALL of a fork */
	uint64_t cookie;               /* CONN_CALL of a fork: which one */
};

/* A request of a program thread, on its way to a call thread. */
struct call {
	struct list_head link;         /* its queue's lock */
	struct client *client;         /* referenced */
	int fd;                        /* a duplicate: reply here */
	uint64_t cookie;               /* of a fork */
	pid_t pid;                     /* who calls: the client, or a child of vfork */
	struct msg_call msg;
};

struct call_queue {
	struct supervisor *s;          /* (C) */
	struct spinlock lock;          /* rank LEAF */
	struct list_head list;         /* lock; struct call */
	struct waitq wait;
};

/* segment.c: System V shared memory of the tree. */
struct segments {
	struct spinlock lock;          /* rank SEGMENTS: all below */
	struct list_head list;         /* struct segment */
	struct list_head attaching;    /* struct attaching: mapped any moment */
	uint32_t last_seq;
	uint64_t nr, pages;
};

/* pipes.c: pages that pipes refer to. */
struct pipes {
	struct spinlock lock;          /* rank LEAF: all below */
	struct list_head pins, queues; /* struct pin, the oldest first; struct queue */
	unsigned nr_queues, nr_pins;
	int64_t pages;                 /* of all pins */
	uint64_t looks;                /* that have begun */
};

/* follow.c: who follows the helpers. */
enum { FOLLOW_NEW, FOLLOW_AGAIN, NR_FOLLOW_REQUESTS };  /* of the control thread, of the watcher */

struct follow_request {
	atomic32_t wanted;             /* (A) a helper; 0: none */
	atomic32_t busy;               /* (A) 1: not done yet */
	bool let_go;                   /* else it is to be followed. Written while @wanted is 0 */
	struct waitq answered;
};

struct follow {
	struct plat_thread thread;
	bool started;                  /* (C) while there is a control thread */
	atomic32_t tid;                /* (A) of the thread, while it runs */
	atomic32_t stopping;           /* (A) */
	atomic32_t leaving;            /* (A) a helper to be let go when it stops; 0: none */
	struct follow_request request[NR_FOLLOW_REQUESTS];
};

/* A migration under way (migrate.c). The remote thread's. */
struct migration_job {
	struct supervisor *s;
	const struct nodes *nodes;
	struct client *only;           /* referenced; NULL: the whole group */
	unsigned from, to;
	unsigned stage;
	struct client *client;         /* spaces: referenced; */
	uint64_t *leaves;              /* ... its leaves; */
	unsigned nr_leaves, leaf;      /* ... and the next of them */
	struct address_space *as;      /* objects: referenced; */
	uint64_t index, index_end;     /* ... its pages that are left; */
	uint64_t va;                   /* ... where the next area of @only begins */
	uint32_t pfn;                  /* frames: the next one */
	uint64_t total;
	struct nodes_moved sum;
};

struct supervisor {
	struct engine engine;
	struct mmu_host mmu;
	struct mem_cgroup *group;
	int64_t max, memsw_max;        /* (C) pages, as asked for; those of the group are adjusted (late.c), */
	int64_t beyond;                /* ... by so much. Watcher */
	int64_t high;                  /* (C) pages: memory.high as it was asked for; the group's is adjusted (watcher.c) */
	struct keeper *keeper;         /* NULL: none */
	struct serve_config config;
	char agent_path[4096];
	char socket_name[64];
	bool need_device;              /* clients may lack permission: we hold /dev/userfaultfd */
	int device_fd;

	struct spinlock clients_lock;
	struct list_head clients;      /* (K) */
	uint64_t next_key;             /* (K) */
	uint64_t huge_next_ns;         /* watcher (and who starts it): when the machine's setting is looked at again */
	atomic64_t nr_clients, total_clients, unmanaged_total;

	int listen_fd, control_ep, fault_ep, stop_fd;
	int door_fd, door_file;        /* door.c; -1: none */
	struct conn listen_conn, door_conn, stop_conn;
	atomic32_t spare[NR_SPARES];   /* (A) descriptors in reserve; 0: none */
	struct list_head conns;        /* (O) */
	struct list_head closing;      /* (O) conns of kind CONN_CLOSING */

	struct segments segments;
	struct pipes pipes;
	unsigned nr_standbys;          /* (O) of all clients */
	struct lineage lineage;
	struct find find;
	uint64_t start_ns;             /* (C) */
	atomic64_t unmeasured_total;
	atomic64_t found_late_total, found_late_ns;  /* processes that took longer to find than that (find.c); the longest */
	uint64_t pid_namespace;        /* (C) its inode; 0: not known */
	atomic32_t census_failed;

	struct call_queue calls, execs;

	atomic64_t last_fault_ns;      /* when a worker took up a fault last */
	atomic32_t fault_rate;         /* faults since the warmers looked last */
	struct waitq warm_wait;
	struct warmer {
		struct plat_thread t;
		struct supervisor *s;
		unsigned cpu;
	} warmer[NR_WARMERS_MAX];
	unsigned nr_warmers;

	struct follow follow;

	struct remote_server remote;
	struct migration_job migration;
	struct plat_thread remote_thread;

	struct plat_thread control, watcher, settler, finder, call_thread[NR_CALL_THREADS], exec_thread[NR_EXEC_THREADS],
		worker[NR_WORKERS_MAX];
	unsigned nr_workers;
	bool started;
	bool ready;                    /* supervisor_start has succeeded once */
	atomic32_t stopping;

	atomic32_t unsettled;          /* memory that is not managed grew: the limit may be exceeded */
	atomic32_t unstopped;          /* ... of somebody who is above the limit, takes more, and cannot be stopped: a debugger follows it */
	atomic32_t reserves_wanted;    /* some client's reserve may be too small */
	struct waitq watch_wait, settle_wait;
	atomic64_t leaving_since;      /* (A) search.c: an end that the books do not have yet was seen first */
	atomic64_t leaving_last;       /* (A) ... and last */
	struct waitq find_wait, find_done;
	atomic64_t find_asked, find_answered;  /* looks that were asked for before a kill, and are done */
	bool stacks_marked;            /* finder: smaps_marks_stacks */
	atomic64_t find_pages;         /* pages the finder has taken into the books */
	atomic64_t kinds_next_ns;      /* (A) finder to write: no look before */
	atomic64_t kinds_at;           /* (A) pages that were not managed when unmanaged_most was taken */
	atomic64_t metadata_peak;      /* bytes of bookkeeping, the most the watcher saw */
	atomic64_t unmanaged_peak;     /* pages that are not managed, likewise */
	atomic64_t tables_peak;        /* pages of page tables, part of that, likewise */
	int64_t own_tables;            /* watcher: pages charged for the engine's tables */
	uint64_t own_grown_ns;         /* watcher: when they last grew by a lot; 0: never */
	atomic32_t root_pid;
	atomic32_t root_oom_killed;
	atomic64_t oom_memory, oom_swap, oom_unmanaged, oom_tables, oom_forked;  /* bytes then */
	struct spinlock names_lock;    /* rank LEAF */
	struct serve_unmanaged unmanaged_most, unmanaged_oom;  /* names_lock: what it was, at most and at the last kill */
	unsigned nr_names;
	char names[SERVE_UNMANAGED_NAMES][SERVE_UNMANAGED_NAME_MAX];
	uint64_t last_notice_ns;       /* names_lock */
	uint64_t notices_ns;           /* names_lock: until when what may be said is used up */
	unsigned left_out;             /* names_lock: notices that were one too many */
	char last_notice[SERVE_TEXT_MAX];
};

/* ---- supervisor.c ---- */
void supervisor_notice(struct supervisor *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- client.c ---- */
/* A client in the list, with a reference for the caller. Takes @uffd. NULL: out of memory (@uffd is left alone). */
struct client *client_create(struct supervisor *s, int uffd, bool foreign);
struct client *client_get(struct supervisor *s, uint64_t key);
/* The client of a process, referenced; NULL: none. The managed one, if it has a foreign one, too. */
struct client *client_by_pid(struct supervisor *s, pid_t pid);
struct client *client_managed(struct supervisor *s, pid_t pid);
/* ... one whose helper has gone: its process ends, or executes a program. */
struct client *client_closed(struct supervisor *s, pid_t pid);
struct client *client_foreign(struct supervisor *s, pid_t pid);
struct client *client_by_cookie(struct supervisor *s, uint64_t cookie);
/* Whose fork it is, while the fork is under way. */
struct client *client_forking(struct supervisor *s, uint64_t cookie);
void client_ref(struct client *c);
void client_put(struct client *c);
/* The last reference of its address space is gone. */
void client_free(struct client *c);
/* Now it is known which process it is. What was known before stays. */
void client_set_pid(struct client *c, pid_t pid);
/* The keeper is to look after it. */
void client_keep(struct client *c);
/* The address space is gone: give everything back. Idempotent. */
void client_end(struct client *c);
/* Its process is gone, or executes another program; its memory may be there a while. Control thread. */
void client_closing(struct client *c);
/* It is there for good: host.pid shares it. Control thread. */
void client_lives_on(struct client *c);
void client_kill(struct client *c, int sig);
/* Walk: the client after @prev in the list, referenced; drops @prev. NULL at the end. */
struct client *client_next(struct supervisor *s, struct client *prev);
/* Until its helper has started a client may exceed the limit, a page at a time: nothing of it can be taken. */
void client_enter(struct client *c);
void client_entered(struct client *c);
/* Let fault workers listen to it. */
int client_listen(struct client *c);
/* The worker that was woken has read everything, or is about to block: the next message wakes a worker again. */
void client_rearm(struct client *c);

/* ---- worker.c ---- */
/* Threads that were held back may try again, if the reason is gone. */
void client_let_go(struct client *c);
/* Is @va the agent's own? *@end, which is above, comes down to where that changes. */
bool client_private(const struct client *c, uint64_t va, uint64_t *end);
void worker_main(void *supervisor);

/* ---- stray.c ---- */
/* Keep @uffd of a child there is no record for. */
void stray_add(struct supervisor *s, int uffd);
void stray_serve(struct supervisor *s, int uffd);
/* Descriptors in reserve: have them all; give one up (false: none is left); give up all. */
void spare_fill(struct supervisor *s);
bool spare_drop(struct supervisor *s);
void spare_close(struct supervisor *s);

/* ---- warm.c ---- */
/* Tell the warmers that a fault was taken up. */
void warm_note(struct supervisor *s);
int warm_start(struct supervisor *s);
void warm_stop(struct supervisor *s);

/* ---- adopt.c ---- */
/* Register and take into the books everything manageable of a process that waits in its HELLO. */
int adopt_all(struct client *c);
/* A fault hit an area we have not heard of: look it up. 0, or -ENOENT. */
int adopt_at(struct client *c, uint64_t va);
/* Register [start, start + len) remotely and take what is present into the books; shared memory of our own likewise. */
int adopt_range(struct client *c, uint64_t start, uint64_t len);

/* ---- unready.c ---- */
/* The helper channel has closed, and its helper has never spoken. */
void unready_begin(struct conn *conn);
/* Is the end of @conn's client, whose address space is there still, near? One that lives on is let go of. */
bool unready_waits(struct conn *conn);

/* ---- starting.c ---- */
/* @pid, @caller's process or a child of vfork of it, is about to execute a program; @how: EXEC_. 0 or -errno. */
int starting_announce(struct client *caller, pid_t pid, uint32_t how);
/* @pid is there, and is nobody's, and has executed a program; is our own child, which is about to
 * (@unable: supervisor_watch_root). */
void starting_found(struct supervisor *s, pid_t pid);
void starting_root(struct supervisor *s, pid_t pid, const char *unable);
/* The kernel tells that @pid, ours, has executed a program (lineage thread). At the end of a client
 * that never spoke: has it run a program that could not? */
void starting_told(struct supervisor *s, pid_t pid);
bool starting_was_unable(const struct client *c);
/* @pid is managed now. */
void starting_over(struct supervisor *s, pid_t pid);
/* Watcher. Is its memory that of the program it was to execute? */
bool starting_has_executed(struct client *c);
bool starting_failed(const struct client *c);
/* It was found while it said HELLO. */
bool starting_said_hello(const struct client *c);

/* ---- device.c ---- */
/* A device that makes userfaultfds, by a node in @dir if need be; -1: there is no way. */
int device_open(const char *dir);

/* ---- census.c ---- */
void census_begin(struct supervisor *s);
/* Look at how much it has now. */
void census_peak(struct client *c);
/* Its memory is about to be given back. */
void census_end(struct client *c);
/* @pid has memory that another process's line tells of. */
void census_shared(struct supervisor *s, pid_t pid);

/* ---- mark.c ---- */
/* The client, referenced, whose memory process @pid has, which was met at @since_ns and has executed
 * nothing. Only clients without a process, or with several, are asked. NULL: none of these; *@unsure:
 * or one that may still say HELLO, or could not be asked yet. */
enum { MARK_NONE, MARK_BUSY, MARK_PLACED, MARK_FAILED };
struct client *mark_find(struct supervisor *s, pid_t pid, pid_t parent, uint64_t since_ns, bool *unsure);

/* ---- measure.c ---- */
/* May it be growing fast? Watcher. */
bool measure_hot(const struct client *c, uint64_t now);
/* Bring its figure up to date. True: it seems to have grown, which counts if measure_again, after a measure_pause, sees
 * it too. Watcher. */
bool measure(struct client *c);
void measure_pause(void);
void measure_again(struct client *c);
/* The same at once, for a client whose only thread waits for us. */
void measure_waiting(struct client *c);
/* Pages have gone from its figure into the books: lower the figure. @fd caches the open file (-1:
 * not open yet). */
void measure_lower(struct client *c, int *fd);
/* The same for one that is about to fork, reclaim kept away: how many pages will its child have outside the books? */
int64_t measure_for_fork(struct client *c);

/* ---- tables.c ---- */
/* Pages of the page tables of a client that has @extra pages outside the books. */
int64_t tables_pages(struct client *c, int64_t extra);
/* @c has ended. */
void tables_end(struct client *c);
/* Watcher. Bring what is charged for the engine's own up to date. True: they may be growing fast. */
bool tables_measure_own(struct supervisor *s);
void tables_forget_own(struct supervisor *s);

/* ---- reserve.c ---- */
/* Pages that a growing process should have in reserve when @nr of them grow. */
int64_t reserve_size(const struct supervisor *s, unsigned nr);
/* At most @n pages of it: how many. They stay charged. */
int64_t reserve_take(struct client *c, int64_t n);
/* Have @want pages in reserve. May wait for reclaim. */
void reserve_make(struct client *c, int64_t want);
void reserve_end(struct client *c);
/* All of them, as somebody is about to be killed. True: there were pages. Nothing locked. */
bool reserves_give_back(struct supervisor *s);

/* ---- search.c ---- */
/* As struct mmu_ops has it. */
bool search_room(struct supervisor *s, bool wait);

/* ---- pause.c ---- */
#define PAUSE_MAX 64
struct pause {
	pid_t pid[PAUSE_MAX], tid[PAUSE_MAX];
	unsigned n;
	pid_t root;                    /* its end is for our main thread to see */
	bool refused;                  /* a thread of the last one runs on: a debugger follows it */
	uint64_t since_ns;             /* 0: nobody is stopped */
};
/* Stop what runs of it; let all go (those that have not stopped yet: the next time). Watcher. */
void pause_process(struct pause *p, const struct client *c);
void pause_end(struct pause *p);

/* ---- late.c ---- */
/* How many pages @c has beyond the limit as its helper is stopped. Watcher. */
int64_t late_look(struct client *c, uint64_t now);
/* All clients together have so many. Watcher. */
void late_adjust(struct supervisor *s, int64_t pages);

/* ---- follow.c ---- */
int follow_start(struct supervisor *s);
/* The control thread is gone. */
void follow_stop(struct supervisor *s);
/* Have helper @tid followed, if that is allowed. Waits until it is, bounded. Control thread. */
void follow_helper(struct supervisor *s, pid_t tid);
/* A debugger outside the tree may have come, or gone. @traced: its first thread is stopped by one. Watcher. */
void follow_look(struct client *c, bool traced);

/* ---- leave.c ---- */
/* Look at the first thread of @c's process: have its helper leave if no other is left, and follow_look. Watcher. */
void leave_look(struct client *c);

/* ---- shmem.c ---- */
#define SHMEM_DEVS 32
struct shmem_watch {
	uint64_t next_ns;
	uint64_t memfd_dev;            /* 0: not known yet */
	uint64_t dev[SHMEM_DEVS];
	bool tmpfs[SHMEM_DEVS];
	unsigned nr_devs;
};
/* Find out every client's shared_pages, if it is time to. */
void shmem_measure(struct supervisor *s, struct shmem_watch *w);

/* ---- segment.c ---- */
void segments_init(struct segments *t);
/* No client is left. */
void segments_fini(struct segments *t);
/* One of CALL_SHM*, sent on @sock. *@fd: to go with the reply; not to be closed. */
int segment_call(struct client *c, int sock, const struct msg_call *m, struct msg_call_reply *r, int *fd);
/* @c is gone: it will not map what it was about to. */
void segments_forget(struct client *c);

/* ---- huge.c ---- */
/* What the machine gives huge pages to, into the engine. At most every second is it looked at. */
void huge_look(struct supervisor *s);
/* The advice that was given to areas before we could hear of it. */
void huge_adopt(struct client *c);
/* Has the process switched huge pages off for itself (PR_SET_THP_DISABLE)? batch_lock held. */
bool huge_unwanted(struct client *c);

/* ---- pipes.c ---- */
void pipes_init(struct pipes *p);
/* No client is left, and nobody asks or looks any more. */
void pipes_fini(struct pipes *p);
/* [start, start + len) of @c went into the pipe that is descriptor @number there. 0, -ENOMEM, -EINVAL (of nothing), -EBADF (no pipe). */
int pipes_put(struct client *c, uint64_t start, uint64_t len, int number);
/* What @in has, a pipe, may be in @out from now on, too. 0 or -EBADF. */
int pipes_pass_on(struct client *c, int in, int out);
/* Let go what no pipe has any more. Watcher. */
void pipes_look(struct supervisor *s);

/* ---- standby.c; control thread ---- */
/* A first message: false, close the connection; true, it is a standby's from now on. @uffd is looked at only. */
bool standby_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int uffd);
/* True: it has said its first word. False: that was its end, close the connection. */
bool standby_event(struct conn *conn, bool readable);
/* @c's helper is gone: the connection of the one that has taken its place; NULL: nobody has, or the memory is gone too. */
struct conn *standby_take_over(struct client *c);
/* The client whose memory process @pid shares and has a standby for, referenced; NULL. */
struct client *standby_client(struct supervisor *s, pid_t pid);

/* ---- answers.c ---- */
int answers_start(struct supervisor *s);
/* Once stop_fd is readable. */
void answers_stop(struct supervisor *s);

/* ---- migrate.c ---- */
/* Takes the reference on @only. */
void migration_begin(struct migration_job *j, struct supervisor *s, const struct nodes *nodes, struct client *only,
		     unsigned from, unsigned to);
/* One batch of pages. False: that was the last. */
bool migration_step(struct migration_job *j);
void migration_end(struct migration_job *j);

/* ---- hello.c, control.c, call.c, transport.c, watcher.c, proc.c ---- */
void control_main(void *supervisor);
/* The helper of @conn is gone: true, another has taken its place, and @conn is no more. Control thread. */
bool helper_replace(struct conn *conn);
/* A first message on a new connection was a HELLO. @fd is an attached descriptor or -1 (taken). Returns the client (referenced)
 * the connection is now the helper channel of, NULL: close it; or *@again: another HELLO follows. */
struct client *hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int fd, bool *again);
bool hello_sane(const struct msg_hello *m);
/* door.c. door_hand_down: in the forked child. */
void door_open(struct supervisor *s);
void door_hand_down(const struct supervisor *s);
void door_close(struct supervisor *s);
void call_queue_init(struct call_queue *q, struct supervisor *s);
void call_main(void *call_queue);
/* @cookie: of a fork; else 0. The answer goes to @sock. False: no memory or descriptor for it. */
bool call_queue(struct supervisor *s, struct client *c, int sock, const struct msg_call *m, uint64_t cookie,
		pid_t pid);
/* start and len are memory of the client. */
/* backed.c: CALL_FILE and CALL_FILE_AT. */
int backed_map(struct client *c, pid_t pid, const struct msg_call *m);
int backed_at(struct client *c, uint64_t start, uint64_t end, struct msg_call_reply *r, int *fd);
static inline bool call_has_range(const struct msg_call *m)
{
	return (m->op < CALL_SHMGET && m->op != CALL_MLOCKALL) || m->op == CALL_SHM_MAPPED;
}
/* The connection of a CALL_FORK closed: the fork is over, one way or the other. */
void call_fork_over(struct client *c, uint64_t cookie);
/* Wait until every message that was read from @c is applied. Bounded; waits for no lock. */
void call_events_applied(struct client *c);
extern const struct host_transport serve_transport;
int msg_send(int sock, const void *msg, size_t size, int fd);
/* Size of the packet, 0 at the end, -errno. *@fd gets an attached descriptor or -1. */
ssize_t msg_recv(int sock, void *buf, size_t size, int *fd);
bool head_valid(const struct msg_head *h, ssize_t got, uint32_t type, size_t want);
void watcher_main(void *supervisor);
/* Makes room for what was charged by force. */
void settler_main(void *supervisor);
/* The calling thread is not to wait for a CPU, where that is allowed. */
void watcher_hurry(void);
/* There is something to measure, or to make room for. */
void watcher_wake(struct supervisor *s);
/* There is a process to be looked at: at once where the group is so full that it counts. */
void watcher_fresh(struct supervisor *s);
/* @c was given up by the watcher as a process that does not speak, and has spoken after all: however long it took on a busy machine,
 * it is none of those that never do. Another program of the same process (exec) does not speak for the one before it. */
void unmanaged_spoke(struct client *c);
/* @c ends, without a name: if it was killed for the limit, or could not speak, it gets one. */
void unmanaged_ended(struct client *c);
/* Has it books, but no helper, and never will, as far as one can see: a child of raw clone(2)? */
static inline bool client_mute(const struct client *c)
{
	return !c->foreign && c->sock < 0 && c->host.pid;
}
/* Has it executed a program, so that @c is not its client any more? Then @c has ended, or does with its memory. */
bool client_left(struct client *c);
/* Is the process over, as far as that can be told without its channel? */
bool client_exited(const struct client *c);
/* kill.c: kill whatever is left of the tree; wait for it, bounded. */
void tree_kill(struct supervisor *s);

#endif

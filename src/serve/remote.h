/* serve/remote.h - asking and telling a running supervisor: the control socket of `umemcg run`.
 *
 * Transport: Unix SOCK_SEQPACKET, abstract name "umemcg-run.PID": it is gone with the process, however that ends. One
 * packet is one message: struct remote_head and a body of exactly the type's size. Native byte order. Who speaks is
 * what the kernel says (SO_PEERCRED), on both sides: the supervisor answers its own user and root, others get
 * REMOTE_REFUSED; who asks takes the name of a socket for nothing but a way to it, believes only its own user and root
 * (root: anybody), and of nobody that a process is its own which is not below it.
 *
 *   REMOTE_WHO      -> REMOTE_IS         who are you, and is this process one of yours?
 *   REMOTE_MIGRATE  -> REMOTE_PROGRESS*, REMOTE_DONE    closing the connection ends it where it is
 *   anything the supervisor does not know -> REMOTE_REFUSED (-ENOSYS); anything malformed: closed
 *
 * The server is one thread, which waits for nobody: a connection that says nothing, or does not read, is closed when
 * its time is over or its place is needed. What takes long is done in steps between two looks at the connections, one
 * such thing at a time.
 */
#ifndef UMEMCG_SERVE_REMOTE_H
#define UMEMCG_SERVE_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REMOTE_MAGIC     0x756d7231u   /* changes with every incompatible change */
#define REMOTE_PREFIX    "umemcg-run."
#define REMOTE_TEXT_MAX  64
#define REMOTE_NODES_MAX 64
#define REMOTE_FIND_MS   5000                   /* remote_find waits so long for all answers together */
#define REMOTE_SILENT_MS (3 * REMOTE_FIND_MS)   /* a connection may be so long without a word: whom remote_find heard
                                                 * first must still be there when it has waited for the last */

enum remote_type {
	REMOTE_WHO = 1,
	REMOTE_IS,
	REMOTE_MIGRATE,
	REMOTE_PROGRESS,
	REMOTE_DONE,
	REMOTE_REFUSED,
};

struct remote_head {
	uint32_t magic;
	uint32_t type;   /* enum remote_type */
};

struct remote_who {
	struct remote_head h;
	uint32_t pid;    /* 0: no process in particular */
	uint32_t pad;
};

enum remote_member { REMOTE_STRANGER, REMOTE_MANAGED, REMOTE_NOT_MANAGED };

struct remote_is {
	struct remote_head h;
	uint32_t member;                 /* enum remote_member: the process that was asked about */
	uint32_t pad;
	char group[REMOTE_TEXT_MAX];     /* ends with 0 */
	char program[REMOTE_TEXT_MAX];   /* likewise: the root process, as it calls itself */
};

struct remote_migrate {
	struct remote_head h;
	uint32_t pid;                    /* 0: the whole group */
	uint32_t from, to;               /* memory nodes */
	uint32_t pad;
};

/* REMOTE_PROGRESS and REMOTE_DONE. */
struct remote_moved {
	struct remote_head h;
	int32_t error;                   /* DONE: 0, or -errno and nothing was begun: -ENOTSUP built without libnuma,
	                                  * -ENODEV one node only, -ENXIO no such node, -EBUSY another is under way,
	                                  * -ESRCH the process is none of ours, -EMEDIUMTYPE it is not managed */
	int32_t why;                     /* the last reason of a failure, -errno; 0: none */
	uint64_t total;                  /* pages in memory at the beginning */
	uint64_t moved, failed, elsewhere, absent, shared;   /* as struct nodes_moved (mmu/host/nodes.h) */
	uint32_t nr_nodes, pad;
	uint32_t node[REMOTE_NODES_MAX]; /* the machine's */
};

struct remote_refused {
	struct remote_head h;
	int32_t error;                   /* -errno */
	uint32_t pad;
};

/* ---- server ---- */

/* What the server asks its owner; all by the thread in remote_serve. */
struct remote_ops {
	void (*who)(void *arg, uint32_t pid, struct remote_is *out);
	/* Begin. False: it is over already, and *@out says why. */
	bool (*migrate)(void *arg, const struct remote_migrate *m, struct remote_moved *out);
	/* Go on for a moment, milliseconds. False: that was the last step. */
	bool (*step)(void *arg, struct remote_moved *out);
	/* After the last step, or where it is given up. */
	void (*end)(void *arg);
};

#define REMOTE_CONNS_MAX 16

struct remote_conn {
	int fd;                /* 0: none */
	uint64_t heard_ns;     /* when it spoke last, or came */
};

/* Belongs to the thread in remote_serve. */
struct remote_server {
	int listen_fd;
	const struct remote_ops *ops;
	void *arg;
	struct remote_conn conn[REMOTE_CONNS_MAX];
	struct remote_conn *asker;     /* of what is under way; NULL: nothing is */
	struct remote_moved moved;     /* how far that is */
	uint64_t told_ns;              /* when the asker was told last */
};

/* Listen. 0 or -errno; a server that does not listen serves nobody. */
int remote_listen(struct remote_server *r, const struct remote_ops *ops, void *arg);
/* Serve until @stop_fd is readable. */
void remote_serve(struct remote_server *r, int stop_fd);
void remote_close(struct remote_server *r);

/* ---- client ---- */

enum remote_state {
	REMOTE_ANSWERED,
	REMOTE_DENIED,     /* of another user */
	REMOTE_SILENT,     /* no answer in time: stopped? */
	REMOTE_OTHER,      /* of another version */
};

struct remote_run {
	pid_t pid;
	int fd;                        /* open when it answered */
	enum remote_state state;
	struct remote_is is;           /* when it answered */
};

/* Ask every run of this machine who it is, and whether @pid (0: nobody) is one of its. How many, *@runs allocated;
 * or -errno. Does not wait for the other runs once one has said that @pid is its own, or itself. */
int remote_find(uint32_t pid, struct remote_run **runs);
void remote_found_free(struct remote_run *runs, int n);
/* 0 or -errno. */
int remote_send(int fd, const void *msg, size_t size);
/* The next packet, of @size bytes and one of the two types, within @timeout_ms: its type, or REMOTE_REFUSED; 0: the
 * connection ended; -EPROTO, -ETIMEDOUT, -errno. */
int remote_recv(int fd, void *msg, size_t size, uint32_t type, uint32_t other_type, int timeout_ms);

#endif

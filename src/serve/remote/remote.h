/* serve/remote/remote.h - the control socket of `umemcg run`: queries and commands to a running
 * supervisor.
 *
 * Transport: Unix SOCK_SEQPACKET, abstract name "umemcg-run.PID": it goes away with the process,
 * however that ends. One packet is one message: struct remote_head and a body of exactly the type's
 * size. Native byte order. Both sides take the peer's identity from the kernel (SO_PEERCRED). The
 * supervisor answers its own user and root; others get REMOTE_REFUSED. The client treats a socket's
 * name only as an address. It believes only its own user and root (root: everyone), and believes no
 * supervisor that claims a process that is not its descendant.
 *
 *   REMOTE_WHO      -> REMOTE_IS who are you, and is this process one of yours?
 *   REMOTE_MIGRATE  -> REMOTE_PROGRESS*, REMOTE_DONE closing the connection stops it where it is
 *   REMOTE_READ     -> REMOTE_FILE        a control file of the group (ctl/ctl.h), or their list
 *   REMOTE_WRITE    -> REMOTE_FILE        when it has taken effect; closing does not stop it
 *   anything the supervisor does not know -> REMOTE_REFUSED (-ENOSYS); anything malformed: closed
 *
 * The server is one thread and never blocks on a client: it closes a connection that sends nothing,
 * or does not read, when its time is up or its slot is needed. Long work is done in steps, between
 * two polls of the connections, one job at a time.
 */
#ifndef UMEMCG_SERVE_REMOTE_H
#define UMEMCG_SERVE_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REMOTE_MAGIC     0x756d7231u /* changes with every incompatible change */
#define REMOTE_PREFIX    "umemcg-run."
#define REMOTE_TEXT_MAX  64
#define REMOTE_NODES_MAX 64
#define REMOTE_FIND_MS   5000 /* limit of remote_find for all answers together */
#define REMOTE_SILENT_MS                                                                           \
	(3 *                                                                                       \
	 REMOTE_FIND_MS) /* a connection may be silent for this long: the                      \
			      * first to answer remote_find must still be there                    \
			      * after it has waited for the last */

enum remote_type {
	REMOTE_WHO = 1,
	REMOTE_IS,
	REMOTE_MIGRATE,
	REMOTE_PROGRESS,
	REMOTE_DONE,
	REMOTE_REFUSED,
	REMOTE_READ,
	REMOTE_WRITE,
	REMOTE_FILE,
};

struct remote_head {
	uint32_t magic;
	uint32_t type; /* enum remote_type */
};

struct remote_who {
	struct remote_head h;
	uint32_t pid; /* 0: no process in particular */
	uint32_t pad;
};

enum remote_member { REMOTE_STRANGER, REMOTE_MANAGED, REMOTE_NOT_MANAGED };

struct remote_is {
	struct remote_head h;
	uint32_t member; /* enum remote_member: the process that was asked about */
	uint32_t pad;
	char group[REMOTE_TEXT_MAX];   /* NUL-terminated */
	char program[REMOTE_TEXT_MAX]; /* likewise: the comm of the root process */
};

struct remote_migrate {
	struct remote_head h;
	uint32_t pid;      /* 0: the whole group */
	uint32_t from, to; /* memory nodes */
	uint32_t pad;
};

/* REMOTE_PROGRESS and REMOTE_DONE. */
struct remote_moved {
	struct remote_head h;
	int32_t error;  /* DONE: 0, or -errno and nothing was started: -ENOTSUP
			 * built without libnuma, -ENODEV one node only, -ENXIO no
			 * such node, -EBUSY another is in progress, -ESRCH the
			 * process is none of ours, -EMEDIUMTYPE it is not
			 * managed */
	int32_t why;    /* the latest reason of a failure, -errno; 0: none */
	uint64_t total; /* pages in memory at the start */
	uint64_t moved, failed, elsewhere, absent, shared; /* as in struct nodes_moved */
	uint32_t nr_nodes, pad;
	uint32_t node[REMOTE_NODES_MAX]; /* the machine's */
};

struct remote_refused {
	struct remote_head h;
	int32_t error; /* -errno */
	uint32_t pad;
};

#define REMOTE_NAME_MAX  64   /* bytes of a control file's name, the final 0 included */
#define REMOTE_VALUE_MAX 256  /* bytes of what is written, likewise */
#define REMOTE_PART_MAX  4096 /* bytes of a file's text in one message */

/* REMOTE_READ and REMOTE_WRITE. */
struct remote_ask {
	struct remote_head h;
	uint32_t view;                /* enum ctl_view */
	uint32_t offset;              /* READ: of the first byte that is wanted */
	char name[REMOTE_NAME_MAX];   /* NUL-terminated; READ: "" for the list: "NAME r|w|rw" and
				     * what may be written, a line per file */
	char value[REMOTE_VALUE_MAX]; /* WRITE: NUL-terminated */
};

struct remote_file {
	struct remote_head h;
	int32_t error;   /* 0; or -errno: -ENOENT no such file, -EACCES it cannot be read, or
			  * written; -EINPROGRESS (WRITE) another is under way: try again; what
			  * ctl_write returns */
	uint32_t length; /* bytes of @text */
	uint32_t more;   /* text follows: ask again, behind it */
	uint32_t pad;
	char text[REMOTE_PART_MAX];
};

/* ---- server ---- */

/* Callbacks of the server's owner; all run in the thread of remote_serve. */
struct remote_ops {
	void (*who)(void *arg, uint32_t pid, struct remote_is *out);
	/* Start. False: it is over already, and *@out says why. */
	bool (*migrate)(void *arg, const struct remote_migrate *m, struct remote_moved *out);
	/* Continue for a few milliseconds. False: that was the last step. */
	bool (*step)(void *arg, struct remote_moved *out);
	/* After the last step, or when the job is abandoned. */
	void (*end)(void *arg);
	void (*read)(void *arg, const struct remote_ask *m, struct remote_file *out);
	/* Start a write. False: it is over already, and @out->error says how. */
	bool (*write)(void *arg, const struct remote_ask *m, struct remote_file *out);
	/* Wait a few milliseconds for its end. False: it has ended, @out->error. */
	bool (*written)(void *arg, struct remote_file *out);
};

#define REMOTE_CONNS_MAX 16

struct remote_conn {
	int fd;            /* 0: none */
	uint64_t heard_ns; /* when it last spoke, or connected */
};

/* Belongs to the thread in remote_serve. */
struct remote_server {
	int listen_fd;
	const struct remote_ops *ops;
	void *arg;
	struct remote_conn conn[REMOTE_CONNS_MAX];
	struct remote_conn *asker; /* who asked for the job in progress; NULL: none */
	bool writes;               /* the job is a write, not a migration */
	struct remote_moved moved; /* progress of that job */
	uint64_t told_ns;          /* when the asker last got a report */
};

/* Listen. 0 or -errno; a server that does not listen serves no one. */
int remote_listen(struct remote_server *r, const struct remote_ops *ops, void *arg);
/* Serve until @stop_fd is readable. */
void remote_serve(struct remote_server *r, int stop_fd);
void remote_close(struct remote_server *r);

/* ---- the supervisor's answers (answers.c) ---- */
struct supervisor;
int answers_init(struct supervisor *s);
/* 0 or -errno; if the name is taken, a notice, and no server. */
int answers_start(struct supervisor *s);
/* Once stop_fd is readable. */
void answers_stop(struct supervisor *s);

/* ---- client ---- */

enum remote_state {
	REMOTE_ANSWERED,
	REMOTE_DENIED, /* another user's */
	REMOTE_SILENT, /* no answer in time: stopped? */
	REMOTE_OTHER,  /* another version */
};

struct remote_run {
	pid_t pid;
	int fd; /* open when it answered */
	enum remote_state state;
	struct remote_is is; /* when it answered */
};

/* Ask every run on this machine who it is, and whether @pid (0: none) is one of its processes.
 * Returns their number, *@runs allocated; or -errno. Stops waiting once one run says that @pid is
 * one of its processes, or itself. */
int remote_find(uint32_t pid, struct remote_run **runs);
void remote_found_free(struct remote_run *runs, int n);
/* 0 or -errno. */
int remote_send(int fd, const void *msg, size_t size);
/* Receive the next packet, of @size bytes and one of the two types, within @timeout_ms. Returns its
 * type, or REMOTE_REFUSED; 0: the connection ended; -EPROTO, -ETIMEDOUT, -errno. */
int remote_recv(int fd, void *msg, size_t size, uint32_t type, uint32_t other_type, int timeout_ms);

#endif

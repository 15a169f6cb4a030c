/* serve/session/conn.h - connections of the control thread. Private to the room.
 *
 * Locks: none. Control thread only; before it starts, whoever starts it.
 */
#ifndef UMEMCG_SERVE_CONN_H
#define UMEMCG_SERVE_CONN_H

#include "serve/channel/channel.h"
#include "serve/session/session.h"

#define EVICT_TIMEOUT_US 200000 /* an answer later than this is "late" */

enum conn_kind {
	CONN_LISTEN,
	CONN_DOOR,
	CONN_STOP,
	CONN_NEW,
	CONN_HELPER,
	CONN_STANDBY,
	CONN_CLOSING,
	CONN_CALL
};

struct conn {
	struct list_head link; /* control->conns or closing */
	enum conn_kind kind;
	int fd;
	pid_t pid;             /* the peer */
	uint64_t deadline_ns;  /* CONN_NEW: must have spoken by then; CONN_CLOSING: unready.c */
	struct client *client; /* referenced; CONN_HELPER, CONN_CALL of a fork */
	uint64_t cookie;       /* CONN_CALL of a fork: which one */
	bool started;          /* CONN_HELPER, CONN_STANDBY: its helper has sent STARTED */
	bool again;            /* CONN_HELPER: the client had another before (again.c) */
};

struct control {
	int listen_fd;
	struct door door;
	struct conn listen_conn, path_conn, door_conn, stop_conn;
	struct list_head conns;
	struct list_head closing; /* of kind CONN_CLOSING */
	unsigned nr_standbys;     /* of all clients */
	struct plat_thread thread;
};

/* ---- accept.c ---- */
void accept_one(struct supervisor *s, int listen_fd);
/* Somebody asks for a connection, or has shut the door. */
void accept_at_door(struct supervisor *s, struct conn *door);

/* ---- control.c ---- */
/* Wait for these events of @conn; @op as of epoll_ctl. */
void conn_watch(struct supervisor *s, struct conn *conn, uint32_t events, int op);
/* A duplicate of the door's descriptor for the program, to be closed, or -errno. Call threads. */
int control_door(const struct supervisor *s);
/* The helper of @conn is gone: true, another has taken its place, and @conn is no more. */
bool helper_replace(struct conn *conn);

/* The child of the fork with that cookie is registered: its parent, which waits, may go on. */
void control_forked(struct supervisor *s, uint64_t cookie);

/* ---- hello.c ---- */
/* A first message on a new connection was a HELLO. @fd is an attached descriptor or -1 (taken).
 * Returns the client (referenced) the connection is now the helper channel of, NULL: close it; or
 * *@again: another HELLO follows. */
struct client *hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int fd,
		     bool *again);
bool hello_sane(const struct msg_hello *m);

/* ---- again.c ---- */
/* A first message: false, close the connection; true, it is a helper channel from now on. */
bool again_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m);
/* The new helper has started: it is @tid, in its own PID namespace. */
void again_started(struct client *c, uint32_t tid);

/* ---- standby.c ---- */
/* A first message: false, close the connection; true, it is a standby's from now on. @uffd is
 * looked at only. */
bool standby_hello(struct supervisor *s, struct conn *conn, const struct msg_hello *m, int uffd);
/* True: it has sent STARTED. False: that was its end, close the connection. */
bool standby_event(struct conn *conn, bool readable);
/* @c's helper is gone: the connection of the one that has taken its place; NULL: there is none, or
 * the memory is gone too. */
struct conn *standby_take_over(struct client *c);
/* The client whose memory process @pid shares and has a standby for, referenced; NULL. */
struct client *standby_client(struct supervisor *s, pid_t pid);

/* ---- unready.c ---- */
/* The helper channel has closed, and its helper has never sent STARTED. */
void unready_begin(struct conn *conn);
/* Is the end of @conn's client, whose address space is there still, near? One that lives on is let
 * go of. */
bool unready_waits(struct conn *conn);

/* ---- call.c ---- */
/* Does the request name memory of the client, in start and len? */
bool call_has_range(const struct msg_call *m);
/* @cookie: of a fork; else 0. The answer goes to @sock. False: no memory or descriptor for it. */
bool call_queue(struct supervisor *s, struct client *c, int sock, const struct msg_call *m,
		uint64_t cookie, pid_t pid);

#endif

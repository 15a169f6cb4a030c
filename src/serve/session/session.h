/* serve/session/session.h - what clients ask for, from HELLO to their ends.
 *
 * hello.c, standby.c and unready.c belong to the control thread, and share conn.h with it.
 */
#ifndef UMEMCG_SERVE_SESSION_H
#define UMEMCG_SERVE_SESSION_H

#include "serve/client/client.h"

/* ---- control.c: the control thread ---- */
/* 0 or -ENOMEM. */
int control_init(struct supervisor *s);
/* Make the sockets. 0 or -errno. */
int control_open(struct supervisor *s);
/* 0 or -errno. */
int control_start(struct supervisor *s);
/* Once stop_fd is readable. */
void control_join(struct supervisor *s);
void control_close(struct supervisor *s);
/* In the forked child: the two other ways in (channel/door.c). */
void control_hand_down(const struct supervisor *s);
/* The directory of its socket with a file name; "": none. */
const char *control_door_dir(const struct supervisor *s);

/* ---- call.c: requests that may wait, and their threads ---- */
#define NR_CALL_THREADS 4
#define NR_EXEC_THREADS 2
int calls_init(struct supervisor *s);
int calls_start(struct supervisor *s);
/* Once s->stopping is set. */
void calls_stop(struct supervisor *s);

/* ---- areas.c ---- */
/* CALL_AREAS; @how: AREAS_. 0 or -errno. */
int areas_call(struct client *c, uint64_t from, uint32_t how, struct msg_areas *out);

/* ---- fork.c ---- */
/* CALL_FORK. 0; -EAGAIN: another fork is in progress; -EBUSY: it has ended; -ECONNRESET: the caller
 * went away. Call thread: waits for reclaim. */
int fork_call(struct client *c, uint64_t cookie);
/* The connection of a CALL_FORK has closed: the fork has succeeded or failed. @cookie 0: any fork
 * in progress. */
void fork_over(struct client *c, uint64_t cookie);
/* From now on no page comes to the client and none of its messages is read, until fork_thaw: its
 * kernel is about to copy its memory without an event. Its fork is announced. 0; -EAGAIN: it is
 * not, or some pages are in transit. Call thread. */
int fork_freeze(struct client *c);
void fork_thaw(struct client *c);
/* The child of such a fork has said HELLO with @cookie and @uffd, which is taken: copy the books.
 * Then client_by_cookie finds it. 0 or -errno: it must not run. Control thread. */
int fork_child(struct supervisor *s, uint64_t cookie, int uffd);
/* Apply the fork event. @uffd is the child's; @err: why the child cannot be followed; 0: it can.
 * The parent's mmap_lock is held for writing. */
void fork_event(struct client *parent, int uffd, int err);

/* ---- end.c ---- */
/* The address space is gone: give everything back. Returns the state it was in; ENDED: another
 * thread ended it. Nothing locked. */
enum client_state client_end(struct client *c);
/* Has the process executed a program, so that @c is no longer its client? If so, @c has ended, or
 * ends when its old memory is gone. */
bool client_left(struct client *c);

/* ---- starting.c ---- */
/* @pid, @caller's process or a child of vfork of it, is about to execute a program; @how: EXEC_.
 * 0 or -errno. */
int starting_announce(struct client *caller, pid_t pid, uint32_t how);
/* @pid has no client and has executed a program. */
void starting_found(struct supervisor *s, pid_t pid);
/* @pid is our own child, which is about to execute a program (@unable: supervisor_watch_root). */
void starting_root(struct supervisor *s, pid_t pid, const char *unable);
/* The kernel has reported that @pid, a process below us, has executed a program. */
void starting_told(struct supervisor *s, pid_t pid);
/* A client that never said HELLO has ended; @was: its last state. Had it run a program that could
 * not say HELLO? */
bool starting_was_unable(const struct client *c, enum client_state was);
/* @pid is managed from now on. */
void starting_over(struct supervisor *s, pid_t pid);
/* Has the exec taken place, so that its memory is that of the new program? Watcher. */
bool starting_has_executed(struct client *c);
bool starting_failed(const struct client *c);
/* It was found while it said HELLO. */
bool starting_said_hello(const struct client *c);

/* ---- unmanaged.c: the names of programs that stay unmanaged ---- */
/* Name @c: it has not said HELLO, and will not. Watcher. */
void unmanaged_give_name(struct client *c);
/* @c was named and has said HELLO after all: its program was only slow, so remove the name. This
 * holds for one program: the HELLO of the next one (exec) says nothing about it. */
void unmanaged_registered(struct client *c);
/* @c has ended; @was: its last state. Name it if it has no name and was killed for the limit, or
 * could not say HELLO. */
void unmanaged_ended(struct client *c, enum client_state was);

/* ---- follow.c: the thread that traces the helpers ---- */
int follow_init(struct supervisor *s);
int follow_start(struct supervisor *s);
/* Control thread and watcher are gone. */
void follow_stop(struct supervisor *s);
/* Have the follow thread trace helper @tid, if that is permitted. Waits for it, bounded. Control
 * thread. */
void follow_helper(struct supervisor *s, pid_t tid);
/* A debugger outside the tree may have attached or detached. @traced: its first thread is stopped
 * by one. Watcher. */
void follow_look(struct client *c, bool traced);
/* The thread that follows; 0: it does not run. */
pid_t follow_tracer(const struct supervisor *s);

/* ---- transport.c: requests to a client's helper, for the host MMU. batch_lock held. ---- */
int transport_evict(struct host_client *hc, const struct host_range *r, unsigned n, uint8_t *status,
		    unsigned npages);
int transport_fill(struct host_client *hc, uint64_t start);
void transport_adopt(struct host_client *hc, uint64_t va);
void transport_zap(struct host_client *hc, unsigned n);
void transport_late(struct host_client *hc);
void transport_lost(struct host_client *hc);
void transport_blocking(struct host_client *hc);
void transport_release(struct host_client *hc);

#endif

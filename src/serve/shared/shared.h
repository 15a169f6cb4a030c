/* serve/shared/shared.h - what several clients refer to: System V segments, pages in pipes, files
 * behind private mappings.
 */
#ifndef UMEMCG_SERVE_SHARED_H
#define UMEMCG_SERVE_SHARED_H

#include "serve/client/client.h"

/* ---- segment.c ---- */
/* 0 or -ENOMEM. */
int segments_init(struct supervisor *s);
/* No client is left. */
void segments_fini(struct supervisor *s);
/* One of CALL_SHM*, sent on @sock. *@fd: to go with the reply; not to be closed. */
int segment_call(struct client *c, int sock, const struct msg_call *m, struct msg_call_reply *r,
		 int *fd);
/* @c is gone: it will not map what it was about to. */
void segments_forget(struct client *c);

/* ---- pipes.c ---- */
/* 0 or -ENOMEM. */
int pipes_init(struct supervisor *s);
/* No client is left, and no other thread calls or looks any more. */
void pipes_fini(struct supervisor *s);
/* [start, start + len) of @c went into the pipe that is descriptor @number there. 0, -ENOMEM,
 * -EINVAL (of nothing), -EBADF (no pipe). */
int pipes_put(struct client *c, uint64_t start, uint64_t len, int number);
/* What is in @in, a pipe, may be in @out from now on, too. 0 or -EBADF. */
int pipes_pass_on(struct client *c, int in, int out);
/* Release what no pipe has any more. Watcher. */
void pipes_look(struct supervisor *s);

/* ---- backed.c: CALL_FILE and CALL_FILE_AT ---- */
int backed_map(struct client *c, pid_t pid, const struct msg_call *m);
int backed_at(struct client *c, uint64_t start, uint64_t end, struct msg_call_reply *r, int *fd);

/* ---- memfd.c ---- */
/* 0 or -ENOMEM. */
int memfds_init(struct supervisor *s);
/* When there is no client any more. */
void memfds_fini(struct supervisor *s);
/* CALL_MEMFD and after. @pid: the caller, which may be a child of the client. 0 or -errno for the
 * caller; *@fd: its descriptor, to be closed. */
int memfd_call(struct client *c, pid_t pid, const struct msg_call *m, int *fd);
/* Watcher: have the finder look after them, if there is anything to do. */
void memfds_look(struct supervisor *s);
/* Finder: those that somebody waits to open become the kernel's; those that no process has any more
 * are dropped. */
void memfds_tend(struct supervisor *s);

#endif

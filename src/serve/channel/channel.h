/* serve/channel/channel.h - packets of the protocol (proto.h), and two more ways to the supervisor
 * than its name (door.c). */
#ifndef UMEMCG_SERVE_CHANNEL_H
#define UMEMCG_SERVE_CHANNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "serve/channel/proto.h"

/* ---- packet.c ---- */
/* Send one packet, with descriptor @fd unless that is -1. Never blocks. 0 or -errno. */
int msg_send(int sock, const void *msg, size_t size, int fd);
/* Size of the packet, 0 at the end, -errno. *@fd gets an attached descriptor or -1. @flags: 0 or
 * MSG_DONTWAIT. */
ssize_t msg_recv(int sock, void *buf, size_t size, int flags, int *fd);
/* Is what was received a message @type of @want bytes? */
bool head_valid(const struct msg_head *h, ssize_t got, uint32_t type, size_t want);

/* ---- door.c ---- */
#define DOOR_DIR_MAX 80 /* bytes, with its terminating 0: a socket's path has 108 */
#define DOOR_FILE    "door"

struct door {
	int fd;                 /* our end; -1: there is none */
	int out;                /* the end that the program inherits; -1 */
	int listen_fd;          /* listens at DIR/DOOR_FILE; -1: there is none */
	char dir[DOOR_DIR_MAX]; /* of this run; "": none */
};
/* Choose the directory's path; @name is unique. Makes nothing. */
void door_place(struct door *d, const char *name);
/* Make both. Failure is no error. */
void door_open(struct door *d);
/* In the forked child: inherit it. */
void door_hand_down(const struct door *d);
/* Somebody asks for a connection: the socket that the answer goes to, and whose peer it is; the
 * caller closes it. -EAGAIN: nobody does, -EPIPE: the door is shut, for good. */
int door_request(const struct door *d);
/* Send one end of a new connection to socket @to: the other end, or -errno. */
int door_answer(int to);
/* Remove directory @dir with the socket; "": none. Both may be gone. */
void door_remove(const char *dir);
void door_close(struct door *d);

#endif

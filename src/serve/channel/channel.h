/* serve/channel/channel.h - packets of the protocol (proto.h), and the second socket (door.c). */
#ifndef UMEMCG_SERVE_CHANNEL_H
#define UMEMCG_SERVE_CHANNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "serve/channel/proto.h"

/* ---- packet.c ---- */
/* Send one packet, with descriptor @fd unless that is -1. Never blocks. 0 or -errno. */
int msg_send(int sock, const void *msg, size_t size, int fd);
/* Size of the packet, 0 at the end, -errno. *@fd gets an attached descriptor or -1. */
ssize_t msg_recv(int sock, void *buf, size_t size, int *fd);
/* Is what was received a message @type of @want bytes? */
bool head_valid(const struct msg_head *h, ssize_t got, uint32_t type, size_t want);

/* ---- door.c ---- */
struct door {
	int fd;   /* listens; -1: there is none */
	int file; /* the file it is bound to; -1 */
};
/* Open it in @dir; @name is the socket's. Failure is no error. */
void door_open(struct door *d, const char *dir, const char *name);
/* In the forked child: inherit it. */
void door_hand_down(const struct door *d);
void door_close(struct door *d);

#endif

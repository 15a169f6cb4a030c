/* serve/shared/queue.h - a pipe or socket that pages may be in, seen from outside. Private to
 * pipes.c and queue.c.
 */
#ifndef UMEMCG_SERVE_QUEUE_H
#define UMEMCG_SERVE_QUEUE_H

#include "serve/client/client.h"

enum kind { NO_QUEUE, PIPE, NAMED_PIPE, SOCKET };

struct queue {
	struct list_head link;
	enum kind kind;
	uint64_t dev, ino;
	int fd;            /* O_PATH descriptor of a pipe; -1: not a plain pipe */
	int pidfd, number; /* otherwise: the process, and its descriptor number */
	pid_t pid;
	unsigned users;      /* pins, and an examination in progress */
	int64_t holds, left; /* bytes in it; of them, not yet attributed to a pin */
};

struct file_id {
	enum kind kind;
	uint64_t dev, ino;
};

/* All without pipes->lock. */
/* I5 of pipes.c: only the kernel names pipes and sockets, and a file's type is known without its
 * server. False: descriptor @number of @pid is neither. */
bool queue_look_up(pid_t pid, int number, struct file_id *id);
/* The queue of descriptor @number, with one user, on no list. NULL: there is none. */
struct queue *queue_new(const struct client *c, int number);
/* Bytes in it; 0 if unknown. */
int64_t queue_bytes(const struct queue *q);
void queue_free(struct queue *q);

#endif

/* serve/find/find.h - finds the processes of the program that did not introduce themselves. */
#ifndef UMEMCG_SERVE_FIND_H
#define UMEMCG_SERVE_FIND_H

#include <stdbool.h>

struct client;
struct supervisor;

/* ---- find.c ---- */
/* 0 or -ENOMEM. */
int find_init(struct supervisor *s);
/* Before the program starts. 0, or -errno: no thread can be made. That the kernel reports nothing
 * is not an error. */
int find_start(struct supervisor *s);
/* Once s->stopping is set and stop_fd is readable. */
void find_stop(struct supervisor *s);

/* ---- mark.c ---- */
/* Could @c not be marked, so that nothing but a fault can tell which process it is? */
bool mark_failed(const struct client *c);

#endif

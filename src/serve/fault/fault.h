/* serve/fault/fault.h - fault workers, and the threads that keep CPUs awake for them. */
#ifndef UMEMCG_SERVE_FAULT_H
#define UMEMCG_SERVE_FAULT_H

#include "serve/client/supervisor.h"

/* ---- worker.c ---- */
int fault_init(struct supervisor *s);
/* Start @n workers. 0 or -errno. */
int fault_start(struct supervisor *s, unsigned n);
/* Once stop_fd is readable. */
void fault_stop(struct supervisor *s);

/* ---- spinner.c ---- */
#define NR_SPINNERS_MAX 64
int spinners_init(struct supervisor *s);
/* One per CPU that we may use. 0 or -errno. */
int spinners_start(struct supervisor *s);
/* Once s->stopping is set. */
void spinners_stop(struct supervisor *s);
/* A fault was taken up. */
void spinners_note(struct supervisor *s);

#endif

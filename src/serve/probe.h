/* serve/probe.h - can umemcg work in this place? For supervisor.c. */
#ifndef UMEMCG_SERVE_PROBE_H
#define UMEMCG_SERVE_PROBE_H

#include "serve/serve.h"

/* Fill in @p; returns @error. */
int problem_set(struct serve_problem *p, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Chooses s->mode; opens s->device_fd, if there is one. 0, or -errno with the reason in *@p. */
int probe_machine(struct supervisor *s, struct serve_problem *p);

#endif

/* serve/oom.h - what the host MMU asks the supervisor for. For supervisor.c. */
#ifndef UMEMCG_SERVE_OOM_H
#define UMEMCG_SERVE_OOM_H

#include "mmu/host/host.h"

extern const struct host_transport serve_transport;

#endif

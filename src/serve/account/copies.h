/* serve/account/copies.h - what copies.c and copies_pass.c share. Not for other files. */
#ifndef UMEMCG_SERVE_COPIES_H
#define UMEMCG_SERVE_COPIES_H

#include "serve/account/account.h"

struct copies {
	struct families families;
	atomic64_t news;       /* (A) pages that families rose by since the last pass */
	atomic64_t next_ns;    /* (A) finder to write: no pass before, except at a kill */
	uint64_t turn;         /* finder */
	uint64_t scan_next_ns; /* (W) no look at shared pages before */
	int kept_below; /* (C) descriptors from this number on are not kept open; 0: none is */
};

/* Where a client has pages that may be shared: ranges in ascending order. Constant once shared. */
struct places {
	atomic32_t ref;
	unsigned n;
	struct host_range at[];
};

void places_put(struct places *p);
/* Anonymous pages in these places that more than one process has; -1: unknown. @fd: pagemap. */
int64_t places_shared(int fd, const struct places *p);
/* /proc/PID/@name of the client's process; -1. */
int copies_open(const struct client *c, const char *name);

#endif

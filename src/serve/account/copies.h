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
	uint64_t zero_frame;   /* (C) */
	int kept_below; /* (C) descriptors from this number on are not kept open; 0: none is */
};

/* Where a client has pages that may be shared: ranges in ascending order. Constant once shared. */
struct places {
	atomic32_t ref;
	unsigned n;
	struct host_range at[];
};

/* What a member that has @own unmanaged pages pays, if @less of them are the parts of others. Both
 * are looked up at different instants: @less may be the larger one. */
static inline int64_t share_paid(int64_t own, int64_t less)
{
	return own > less ? own - less : 0;
}

/* How many of @has pages others are charged for, if the client is charged @charged. A charge is an
 * upper bound, and may be the larger one. */
static inline int64_t share_of_others(int64_t has, int64_t charged)
{
	return has > charged ? has - charged : 0;
}

#define PASS_TRIES 3 /* before a kill, when members come and go */

/* Is a pass to be done, after @tried of them? It is void if a member came or went: before a kill it
 * is tried again, otherwise the next one is soon enough. */
static inline bool pass_again(unsigned tried, bool done, bool before_kill)
{
	return !tried || (!done && before_kill && tried < PASS_TRIES);
}

void places_put(struct places *p);
/* Anonymous pages in these places that more than one process has; -1: unknown. @fd: pagemap.
 * @zero_frame: of the zero page, which does not count; 0: unknown, and it counts. */
int64_t places_shared(int fd, const struct places *p, uint64_t zero_frame);
/* /proc/PID/@name of the client's process; -1. */
int copies_open(const struct client *c, const char *name);

#endif

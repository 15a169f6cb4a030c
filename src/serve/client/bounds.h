/* serve/client/bounds.h - the limits of the run: as they were set, and as the group's counters show
 * them.
 *
 * The counters may show more. memory.max and memory+swap are raised by what a process took while
 * its helper could give nothing back (watch/late.c). memory.high is raised by what several
 * processes share and each is charged for (watch/watcher.c): reclaim above it would never end.
 * Users set and see the limits without that.
 *
 * Locks: (B) bounds.lock, innermost.
 */
#ifndef UMEMCG_SERVE_BOUNDS_H
#define UMEMCG_SERVE_BOUNDS_H

#include "ctl/ctl.h"

#define BOUNDS_NR (CTL_ZSWAP_MAX + 1)

struct bounds {
	struct spinlock lock;
	int64_t limit[BOUNDS_NR]; /* (B) pages, by enum ctl_limit; PAGE_COUNTER_MAX: none */
	int64_t beyond;           /* (B) pages above memory.max */
	int64_t several;          /* (B) pages above memory.high */
};

void bounds_init(struct bounds *b, struct mem_cgroup *g, const int64_t limit[BOUNDS_NR]);
/* In pages. */
int64_t bounds_get(struct bounds *b, enum ctl_limit which);
void bounds_set(struct bounds *b, struct mem_cgroup *g, enum ctl_limit which, int64_t pages);
/* The watcher: what the counters show besides, from now on. */
void bounds_beyond(struct bounds *b, struct mem_cgroup *g, int64_t pages);
void bounds_several(struct bounds *b, struct mem_cgroup *g, int64_t pages);

#endif

/* mm/ahead.h - readahead for streams, in dedicated threads. */
#ifndef UMEMCG_MM_AHEAD_H
#define UMEMCG_MM_AHEAD_H

#include "mm/mm_types.h"

/* Is readahead worthwhile on this engine's swap? If not, nothing is queued and no thread runs. */
static inline bool ahead_wanted(const struct engine *e)
{
	return e->swap && e->swap->store->device;
}

/* Queue a read of [start, start + n pages) of @mm. A hint: dropped when the queue is full. */
void ahead_ask(struct engine *e, struct mm *mm, uint64_t start, unsigned n);

int ahead_start(struct engine *e); /* 0 or -errno */
void ahead_stop(struct engine *e); /* drops requests that were not started */

#endif

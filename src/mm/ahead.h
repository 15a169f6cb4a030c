/* mm/ahead.h - reading ahead of streams, in threads of its own. */
#ifndef UMEMCG_MM_AHEAD_H
#define UMEMCG_MM_AHEAD_H

#include "mm/mm_types.h"

/* Is it worth the while on this engine's swap? Else nobody asks and no threads are needed. */
static inline bool ahead_wanted(const struct engine *e) { return e->swap && e->swap->store->device; }

/* Let [start, start + n pages) of @mm be read soon. A hint: forgotten when there is much to read already. */
void ahead_ask(struct engine *e, struct mm *mm, uint64_t start, unsigned n);

int ahead_start(struct engine *e);  /* 0 or -errno */
void ahead_stop(struct engine *e);  /* what was asked for and not begun is forgotten */

#endif

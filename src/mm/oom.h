/* mm/oom.h - out of memory: choose an address space, kill its process, wait for its memory. */
#ifndef UMEMCG_MM_OOM_H
#define UMEMCG_MM_OOM_H

#include "mm/mm_types.h"

/* The memory a victim would free, in pages: higher is worse. Pure. */
int64_t oom_badness(int64_t rss, int64_t swapents, int64_t extra);
/* Make room for @n pages below @memcg by killing the worst address space, or wait for one that is
 * already exiting; does not kill if there is room by now. With @wait it blocks until something
 * changes, bounded. False: no victim, or the victim is @self: the caller works for a dying
 * process. */
bool oom_kill(struct engine *e, struct mem_cgroup *memcg, struct mm *self, int64_t n, bool wait);

#endif

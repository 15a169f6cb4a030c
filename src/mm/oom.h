/* mm/oom.h - out of memory: choose an address space, end its process, wait for what it gives back. */
#ifndef UMEMCG_MM_OOM_H
#define UMEMCG_MM_OOM_H

#include "mm/mm_types.h"

/* Memory a victim would give back: a pure function, higher is worse. Pages. */
int64_t oom_badness(int64_t rss, int64_t swapents, int64_t extra);
/* Make room for @n pages below @memcg by killing the worst address space, or wait for one that is on its way out; kills
 * nobody when there is room by now. With @wait it blocks until there is a change, bounded. False: nobody to kill, or the
 * victim is @self: the caller's work is for a process that ends. */
bool oom_kill(struct engine *e, struct mem_cgroup *memcg, struct mm *self, int64_t n, bool wait);

#endif

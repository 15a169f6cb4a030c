/* mm/limit.h - what a new limit of a group asks of its memory, and reclaim that a user asks for.
 *
 * Rules: the memory controller's documentation, v2 memory.max and memory.reclaim; v1
 * memory.limit_in_bytes. No locks may be held; all of it may block for I/O and for clients,
 * bounded.
 */
#ifndef UMEMCG_MM_LIMIT_H
#define UMEMCG_MM_LIMIT_H

#include "mm/mm_types.h"

/* Give @c, the memory or the memory+swap of @memcg, the limit @max (pages) only if usage fits:
 * reclaims as long as that helps. 0; -EBUSY: usage stays above @max, and the old limit holds. */
int group_try_max(struct engine *e, struct mem_cgroup *memcg, struct page_counter *c, int64_t max);
/* Make room for a limit that holds already: reclaims, and kills what does not fit. */
void group_enforce_max(struct engine *e, struct mem_cgroup *memcg);
/* Reclaim until usage is at most @usage pages. 0; -EAGAIN: it is above, and reclaim frees no more.
 */
int group_shrink(struct engine *e, struct mem_cgroup *memcg, int64_t usage);
/* Reclaim @n pages below @memcg, protected ones last. 0; -EAGAIN: fewer were freed. */
int group_reclaim(struct engine *e, struct mem_cgroup *memcg, int64_t n);

#endif

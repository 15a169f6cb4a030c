/* mm/mlock.h - locked areas: their pages stay. */
#ifndef UMEMCG_MM_MLOCK_H
#define UMEMCG_MM_MLOCK_H

#include "mm/mm_types.h"

/* How many pages a group with limit @max and @unmanaged pages may lock: an eighth of the limit
 * stays for everything else. Pure. */
int64_t mlock_limit(int64_t max, int64_t unmanaged);
/* Mark [start, end) locked. mmap_lock held for writing. -ENOMEM if the group would have more pages
 * locked than mlock_limit allows, or an area has no record; then nothing changes. */
int mm_lock_locked(struct mm *mm, uint64_t start, uint64_t end);
/* Undo; pages become evictable again. */
int mm_unlock_locked(struct mm *mm, uint64_t start, uint64_t end);
/* Called after @p, which the caller has a reference to, was put back on a list. If it is on the
 * unevictable list but its areas have since been unlocked, move it: mm_unlock_locked could not, as
 * the caller had isolated it. */
void mlock_recheck(struct engine *e, struct page *p);

#endif

/* mm/mlock.h - locked areas: their pages stay. */
#ifndef UMEMCG_MM_MLOCK_H
#define UMEMCG_MM_MLOCK_H

#include "mm/mm_types.h"

/* How many pages of a group may be locked when @max is its limit and @unmanaged pages are there anyway: an eighth of the
 * limit stays for everything else. Pure. */
int64_t mlock_limit(int64_t max, int64_t unmanaged);
/* Mark [start, end) locked. mmap_lock held for writing. -ENOMEM when the group would have more pages locked than
 * mlock_limit allows, or an area has no record; nothing is changed then. */
int mm_lock_locked(struct mm *mm, uint64_t start, uint64_t end);
/* Undo; pages become evictable again. */
int mm_unlock_locked(struct mm *mm, uint64_t start, uint64_t end);
/* The caller put @p, which it refers to, back on a list. If that is the unevictable one but the areas were unlocked since it
 * looked, move it: mm_unlock_locked could not, the page was in the caller's hands. */
void mlock_recheck(struct engine *e, struct page *p);

#endif

/* memcg/page_cgroup.h - one atomic word per page: whose charge it carries (seed 1, without its
 * lock).
 *
 * word = handle pointer | flags. 0 = not charged.
 *   USED       the page is charged exactly once, to the handle in the word
 *   MIGRATION  the charge must survive mapcount 0: uncharge is refused (seed 0)
 *
 * Transitions, each one compare-and-swap; the loser of each does nothing:
 *   charge    0 -> handle|USED             winner: the only charger. Loser: it was charged already
 *   uncharge  handle|USED -> 0             winner gives counters back. Loser: another thread did,
 *                                          or MIGRATION is set
 *   migrate   handle|USED -> handle|USED|MIGRATION and back
 *   transfer  a|USED -> b|USED             winner moves the counters. Loser: it was uncharged,
 *                                          moved, or MIGRATION is set
 *   replace   handle|USED|MIGRATION -> 0  and 0 -> handle|USED|MIGRATION on the new page. No
 *                                          competitor: MIGRATION keeps all others off
 *
 * Readers follow the word inside rcu_rd_lock. The owner is stable for a holder of the page lock,
 * an isolated page, or an exclusive reference.
 */
#ifndef UMEMCG_MEMCG_PAGE_CGROUP_H
#define UMEMCG_MEMCG_PAGE_CGROUP_H

#include "memcg/tree.h"

#define PCG_USED      1
#define PCG_MIGRATION 2
#define PCG_FLAGS     7

/* Record that the page carries a charge of @h; takes a handle reference. False: it carried one. */
bool page_cgroup_charge(atomic64_t *word, struct memcg_handle *h);
/* End the charge. Returns the handle, whose reference now belongs to the caller (handle_uncharge,
 * then handle_put_many), or NULL: not charged, lost the race, or kept by MIGRATION. */
struct memcg_handle *page_cgroup_uncharge(atomic64_t *word);
/* Hand the charge from @from to @to: the word drops its reference on @from and takes one on @to.
 * The caller holds a reference on @to, and on @from (or RCU) if it still needs it. False: the word
 * did not say @from, or MIGRATION is set. */
bool page_cgroup_transfer(atomic64_t *word, struct memcg_handle *from, struct memcg_handle *to);
/* As page_cgroup_transfer, for callers that batch references: the word takes over one of the
 * caller's references on @to, and the caller the word's reference on @from. */
bool page_cgroup_switch(atomic64_t *word, struct memcg_handle *from, struct memcg_handle *to);
/* Set / clear MIGRATION. False: not charged, or the flag already had that value. */
bool page_cgroup_set_migration(atomic64_t *word);
bool page_cgroup_clear_migration(atomic64_t *word);
/* Replace the page of @from, which has MIGRATION set, by that of @to, which carries no charge: the
 * charge and its handle reference move, MIGRATION stays set, no counter changes. @to is USED before
 * @from ceases to be. False: @from is not charged. */
bool page_cgroup_replace(atomic64_t *from, atomic64_t *to);

static inline struct memcg_handle *page_cgroup_handle(const atomic64_t *word)
{
	return (struct memcg_handle *)(uintptr_t)(a64_load(word) & ~(int64_t)PCG_FLAGS);
}
static inline bool page_cgroup_used(const atomic64_t *word)
{
	return a64_load(word) & PCG_USED;
}
/* The group that owns the charge now, or NULL. Inside rcu_rd_lock. */
static inline struct mem_cgroup *page_cgroup_memcg(const atomic64_t *word)
{
	struct memcg_handle *h = page_cgroup_handle(word);

	return h ? handle_memcg(h) : NULL;
}
/* As page_cgroup_memcg, with a reference for use outside RCU; retries if the group is being
 * removed. NULL: not charged. */
struct mem_cgroup *page_cgroup_get_memcg(const atomic64_t *word);

#endif

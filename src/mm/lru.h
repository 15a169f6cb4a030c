/* mm/lru.h - the LRU lists of a group, and the rules for taking pages off them.
 *
 * I1  A page is on at most one list, and on one iff PG_lru is set.
 * I2  nr[i] is the number of pages on lists[i].
 * I3  A page's owner changes only while it is isolated (PG_lru clear), or with its old and its new
 *     lruvec locked (removal of a group).
 */
#ifndef UMEMCG_MM_LRU_H
#define UMEMCG_MM_LRU_H

#include "mm/mm_types.h"

/* Create the lists of @memcg (memcg->mm_private), one set per node. 0 or -ENOMEM. */
int lruvec_create(struct mem_cgroup *memcg);
static inline struct group_lists *memcg_lists(const struct mem_cgroup *memcg)
{
	return memcg->mm_private;
}
static inline struct lruvec *memcg_lruvec(const struct mem_cgroup *memcg, unsigned node)
{
	return &memcg_lists(memcg)->node[node];
}
/* Pages on one list, summed over all nodes. */
int64_t group_list_size(const struct mem_cgroup *memcg, enum lru_list list);

/* Put charged pages on their owner's lists: unevictable, active or inactive by their flags. */
void lru_add_many(struct page **pages, unsigned n);
static inline void lru_add(struct page *p)
{
	lru_add_many(&p, 1);
}
/* Take @p off its list if it is on one. */
void lru_del(struct page *p);
/* Isolate up to @n pages from the tail of a list, with references. Returns how many; *@scanned
 * counts the pages looked at. */
unsigned lru_isolate(struct lruvec *l, enum lru_list list, struct page **out, unsigned n,
		     unsigned *scanned);
/* The same for pages in the swap cache only; others are rotated to the head. Looks at 512 pages at
 * most; *@looked counts them. */
unsigned lru_isolate_cached(struct lruvec *l, enum lru_list list, struct page **out, unsigned n,
			    unsigned *looked);
/* Isolate these pages. Returns how many; they come first in @pages. The others are on no list:
 * another thread has isolated them. */
unsigned lru_isolate_pages(struct page **pages, unsigned n);
static inline bool lru_isolate_page(struct page *p)
{
	return lru_isolate_pages(&p, 1) == 1;
}
/* Move the charges of isolated pages from @from to @to, of which the caller holds a reference.
 * Returns how many; they come first in @pages, and the caller gets that many references of @from.
 * As page_cgroup_switch, under the lock of the old owner's lists: a thread that read the old owner
 * and waits for that lock must not find the page on the new owner's list. */
unsigned lru_transfer_pages(struct page **pages, unsigned n, struct memcg_handle *from,
			    struct memcg_handle *to);
/* Move up to @n of the oldest pages of an active list to its inactive list. Returns how many. */
unsigned lru_deactivate(struct lruvec *l, enum lru_list active, unsigned n);
/* Lock both groups and move @child's pages to @parent; the owner is switched between begin and
 * end. */
void lru_reparent_begin(struct mem_cgroup *child, struct mem_cgroup *parent);
void lru_reparent_end(struct mem_cgroup *child, struct mem_cgroup *parent);

static inline int64_t lruvec_size(const struct lruvec *l, enum lru_list list)
{
	return a64_load(&l->nr[list]);
}

#endif

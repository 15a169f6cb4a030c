/* check/scenario/groups.h - a tree of groups in the arena for scenarios without pages: only the
 * charge word is left of a page.
 *
 * groups_end checks what tasks leave behind: at every level usage equals its words, its stocks and
 * its children; then everything is torn down, and nothing may be left.
 *
 * Locks: none of its own.
 */
#ifndef UMEMCG_CHECK_GROUPS_H
#define UMEMCG_CHECK_GROUPS_H

#include "memcg/page_cgroup.h"
#include "memcg/tree.h"
#include "plat/sim/sim.h"
#include "scenario/scenario.h"

#define GROUPS_MAX 4
#define WORDS_MAX  3

struct groups {
	struct memcg_tree tree;
	struct mem_cgroup *group[GROUPS_MAX]; /* in creation order; NULL: freed or about to be */
	atomic64_t word[WORDS_MAX];
	unsigned nr_groups, nr_words;
};

/* The tree of the most recently set-up scenario. In the arena: every execution finds it as the
 * set-up left it. */
extern struct groups *gs;

/* ---- set-up ---- */

void groups_up(void);
struct mem_cgroup *groups_make(struct mem_cgroup *parent, const char *name);
/* The charge word of a page that is charged to @group. */
atomic64_t *groups_page(struct mem_cgroup *group);

/* ---- actions of tasks ---- */

/* The last reference of a page is dropped. */
void groups_uncharge(atomic64_t *word);
/* rmdir. 0 or -errno of memcg_offline. */
int groups_remove(struct mem_cgroup *group);
/* The same as the body of a task. */
void groups_remove_task(void *group);

/* ---- at the end ---- */

void groups_end(void);
/* For a scenario's checks before groups_end. */
#define ROOT (gs->tree.root)

#endif

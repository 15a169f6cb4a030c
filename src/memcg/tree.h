/* memcg/tree.h - groups: identity, hierarchy, lifetime.
 *
 * Lifetime. A group is made online, holds one reference for being online, and is removed at most
 * once. Removal (group_remove, mm/engine.h) marks it offline, moves what it owns to its parent,
 * switches its handles to the parent, and drops the online reference; the structure is freed one
 * grace period after the last reference. So there are no dying groups: a charged page never keeps a
 * group alive.
 *
 * A group may be used by a holder of a reference (memcg_tryget, memcg_get), or by a reader inside
 * rcu_rd_lock that found it through a handle or the tree.
 *
 * Locks: (T) tree->lock, rank GROUP_TREE; (A) atomic; (C) constant after creation. Children lists
 * are written under (T) and read under RCU.
 */
#ifndef UMEMCG_MEMCG_TREE_H
#define UMEMCG_MEMCG_TREE_H

#include "base/list.h"
#include "memcg/counter.h"
#include "memcg/stat.h"
#include "memcg/stock.h"

#define MEMCG_NAME_MAX 255

/* What a page's page_cgroup word points to. Belongs to its group until the group is removed, then
 * to the parent: one store moves every page (Linux obj_cgroup, bf4f059954dc). */
struct memcg_handle {
	atomicptr_t memcg;     /* (A) struct mem_cgroup *, never NULL */
	atomic32_t ref;        /* (A) one per charged page or slot, one of its first group */
	struct list_head link; /* (T) memcg->handles */
	int64_t zbytes;        /* compressed content charged to it (mm/zswap.h); its lock */
	struct plat_rcu_head rcu;
};

struct memcg_tree;

struct mem_cgroup {
	struct memcg_tree *tree;       /* (C) */
	struct mem_cgroup *parent;     /* (C) NULL for the root */
	uint32_t id;                   /* (C) unique while the tree lives; the root is 1 */
	char name[MEMCG_NAME_MAX + 1]; /* (C) last component; "" for the root */

	atomicptr_t first_child;  /* (T) to write, RCU to read */
	atomicptr_t next_sibling; /* (T) to write, RCU to read */

	struct page_counter memory; /* (A) pages in memory */
	struct page_counter memsw;  /* (A) pages in memory + slots whose page is not in memory */
	struct page_counter swap;   /* (A) slots */
	struct page_counter zswap;  /* (A) pages of compressed content, part of memory */
	atomic64_t min, low;        /* (A) pages; protections */

	struct memcg_stock stock; /* (A) */
	struct memcg_stat stat;   /* (A) */

	struct memcg_handle *handle; /* (C) the handle new charges use */
	struct list_head handles;    /* (T) own and inherited */

	atomic32_t ref;       /* (A) */
	atomic32_t offline;   /* (A) 0 online, 1 removal began, 2 released */
	uint32_t nr_children; /* (T) created and not yet released: more than are linked */
	void *mm_private;     /* (C) the mm layer's struct lruvec set; freed by mm_free */
	void (*mm_free)(struct mem_cgroup *memcg); /* (C) called before the structure is freed */
	struct plat_rcu_head rcu;
};

struct memcg_tree {
	struct spinlock lock;    /* rank GROUP_TREE */
	struct mem_cgroup *root; /* (C) */
	uint32_t next_id;        /* (T) siblings are linked in the order of their ids */
	/* (C) set by the mm layer after memcg_tree_init, or NULL. Fills mm_private and mm_free of a
	 * new group before it becomes visible. 0, or -errno with mm_free NULL; memcg_create passes
	 * it on. */
	int (*mm_init)(struct mem_cgroup *memcg);
	/* (C) likewise. Removal calls begin, switches the owner of @child's pages to @parent, calls
	 * end: the mm layer holds both groups' lists locked in between, so no list is seen with the
	 * wrong owner. */
	void (*reparent_begin)(struct mem_cgroup *child, struct mem_cgroup *parent);
	void (*reparent_end)(struct mem_cgroup *child, struct mem_cgroup *parent);
	atomic32_t nr_groups;  /* (A) structures not yet freed, the root included */
	atomic32_t nr_handles; /* (A) likewise */
};

/* 0 or -ENOMEM. */
int memcg_tree_init(struct memcg_tree *tree);
/* Every other group must be removed and no reference left. Waits for pending deferred calls. */
void memcg_tree_fini(struct memcg_tree *tree);

/* A new online child of @parent; the caller gets a reference of its own besides the online one.
 * NULL and *@err = -ENOMEM, -EEXIST (name taken), -EINVAL (name empty, too long or with '/' or
 * newline), -ENOENT (parent offline). */
struct mem_cgroup *memcg_create(struct mem_cgroup *parent, const char *name, int *err);

/* Removal, step 1: mark offline, unlink from the parent's children. -EBUSY when it has children, or
 * one whose release is still under way, -EINVAL for the root, -ENOENT when it is offline already.
 * From then on the charge path (mm/charge.c) charges the parent. */
int memcg_offline(struct mem_cgroup *memcg);
/* Removal, step 2, after the mm layer moved its lists: drain stocks, switch all handles to the
 * parent, fold statistics, drop the online reference (the rest comes after a grace period). */
void memcg_release(struct mem_cgroup *memcg);

void memcg_get(struct mem_cgroup *memcg);
/* False: the last reference is gone (named bug owner-without-tryget: seed 1). */
bool memcg_tryget(struct mem_cgroup *memcg);
void memcg_put(struct mem_cgroup *memcg);

/* The group a handle belongs to now. Inside rcu_rd_lock, or with the tree otherwise stable. */
static inline struct mem_cgroup *handle_memcg(const struct memcg_handle *h)
{
	return aptr_load(&h->memcg);
}
/* References. A get requires an existing one. The handle is freed a grace period after the last
 * put. */
void handle_get_many(struct memcg_handle *h, int32_t n);
void handle_put_many(struct memcg_handle *h, int32_t n);

/* Uncharge @n pages of memory and memory+swap from the current owner of a handle. Goes through the
 * stock. Safe against a concurrent removal (holds RCU). */
void handle_uncharge(struct memcg_handle *h, int64_t n);

/* Pre-order walk of the subtree of @top. @prev NULL starts; returns NULL at the end. Inside RCU, or
 * across read sections with a reference on @prev, which may be removed in between. */
struct mem_cgroup *memcg_next(struct mem_cgroup *top, struct mem_cgroup *prev);
bool memcg_is_descendant(const struct mem_cgroup *memcg, const struct mem_cgroup *top);
static inline bool memcg_is_offline(const struct mem_cgroup *memcg)
{
	return a32_load(&memcg->offline) != 0;
}

#endif

/* memcg/tree.c - groups and handles: creation, removal, lifetime. The terms: tree.h.
 *
 * References of a group: one for being online, one per child structure (child->parent stays valid
 * until the child is freed), and the users'. References of a handle: one of the group that created
 * it, until that group is freed, and one per charged page or slot. So a holder of a group may
 * always use its handle.
 *
 * I1  handle->memcg is never a released group: release switches its handles to the parent under
 *     (T), and a parent is not removed before its children are released (nr_children).
 * I2  When a group's last reference is gone, its handles point elsewhere. So a reader whose
 *     memcg_tryget fails finds an ancestor when it retries.
 * I3  The children of a group are linked in the order of their ids. So a walk positioned on a
 *     removed group knows where to continue.
 * I4  A freed group has empty stocks and nothing in its statistics.
 *
 * Why removal may race with charges. Counters are hierarchical: the parent's usage already includes
 * the child's. Take a thread that read handle->memcg == child just before the switch.
 *   uncharge: it uncharges child, parent, ... within the read section in which it read the handle,
 *     so the child still exists. The charge is in the child's count, and in the parent's.
 *   charge: it has a reference on the child and charges child, parent, ...; the page then gets the
 *     child's handle, which now names the parent. The uncharge lowers the parent's counters and
 *     leaves the child's too high.
 * So after the switch the child's own counters hold a residue, never below 0, that belongs to no
 * page. It is never read: the counter goes with the structure. From the parent up every charge has
 * its uncharge. Stocks: refill adds, then checks the offline mark; removal marks, then drains
 * (stock.h). Statistics: the second fold finds an addition that raced with the first. It runs after
 * the last reference and a grace period, when no user or reader is left.
 *
 * Locks: tree->lock (T) for links, names and handle lists. Never taken in handle_put_many, which
 * runs under page-table locks: a handle is unlinked in its deferred call.
 */
#include "memcg/tree.h"

#include <string.h>

enum memcg_life { LIFE_ONLINE, LIFE_OFFLINE, LIFE_RELEASED };

/* ---- handles ---------------------------------------------------------------------------- */

static struct memcg_handle *handle_create(struct mem_cgroup *memcg)
{
	struct memcg_handle *h = plat_alloc(sizeof(*h));

	if (!h)
		return NULL;
	aptr_store(&h->memcg, memcg);
	a32_store(&h->ref, 1);
	list_init(&h->link);
	a32_acc(&memcg->tree->nr_handles, 1);
	return h;
}

static void handle_free(struct memcg_tree *tree, struct memcg_handle *h)
{
	plat_free(h);
	a32_acc(&tree->nr_handles, -1);
}

static void handle_free_deferred(struct plat_rcu_head *head)
{
	struct memcg_handle *h = container_of(head, struct memcg_handle, rcu);
	struct memcg_tree *tree;

	rcu_rd_lock(); /* the owner may be switched, then freed, under us */
	tree = handle_memcg(h)->tree;
	rcu_rd_unlock();
	spin_lock(&tree->lock);
	list_del(&h->link);
	spin_unlock(&tree->lock);
	handle_free(tree, h);
}

void handle_get_many(struct memcg_handle *h, int32_t n)
{
	VM_ASSERT(n > 0);
	a32_get(&h->ref, n);
}

void handle_put_many(struct memcg_handle *h, int32_t n)
{
	int32_t ref = (int32_t)a32_add(&h->ref, -n);

	VM_BUG_ON(n <= 0 || ref < 0);
	if (ref > 0)
		return;
	if (bug_on(RECORD_FREED_WITHOUT_GRACE_PERIOD))
		handle_free_deferred(&h->rcu); /* readers of the word still follow it */
	else
		rcu_defer(&h->rcu, handle_free_deferred);
}

void handle_uncharge(struct memcg_handle *h, int64_t n)
{
	VM_ASSERT(n > 0);
	rcu_rd_lock();
	stock_refill(handle_memcg(h), n);
	rcu_rd_unlock();
}

/* ---- lifetime of a group ---------------------------------------------------------------- */

/* A group that is not visible yet, with its online reference and one on @parent, if any. */
static struct mem_cgroup *group_alloc(struct memcg_tree *tree, struct mem_cgroup *parent,
				      const char *name)
{
	struct mem_cgroup *memcg = plat_alloc(sizeof(*memcg));

	if (!memcg)
		return NULL;
	memcg->tree = tree;
	memcg->parent = parent;
	memcpy(memcg->name, name, strlen(name) + 1);
	page_counter_init(&memcg->memory, parent ? &parent->memory : NULL);
	page_counter_init(&memcg->memsw, parent ? &parent->memsw : NULL);
	page_counter_init(&memcg->swap, parent ? &parent->swap : NULL);
	page_counter_init(&memcg->zswap, parent ? &parent->zswap : NULL);
	list_init(&memcg->handles);
	a32_store(&memcg->ref, 1);
	memcg->handle = handle_create(memcg);
	if (!memcg->handle) {
		plat_free(memcg);
		return NULL;
	}
	list_add(&memcg->handle->link, &memcg->handles);
	a32_acc(&tree->nr_groups, 1);
	if (parent)
		memcg_get(parent);
	return memcg;
}

/* Free only the structure: its handle belongs to another group by now. */
static void group_free(struct mem_cgroup *memcg)
{
	struct memcg_tree *tree = memcg->tree;

	if (memcg->mm_free)
		memcg->mm_free(memcg);
	plat_free(memcg);
	a32_acc(&tree->nr_groups, -1);
}

/* Undo group_alloc for a group that never became visible. */
static void group_discard(struct mem_cgroup *memcg)
{
	struct mem_cgroup *parent = memcg->parent;

	handle_free(memcg->tree, memcg->handle);
	group_free(memcg);
	if (parent)
		memcg_put(parent);
}

/* After the last reference and a grace period. */
static void group_free_deferred(struct plat_rcu_head *head)
{
	struct mem_cgroup *memcg = container_of(head, struct mem_cgroup, rcu);
	struct mem_cgroup *parent = memcg->parent;

	VM_BUG_ON(stock_read(memcg) != 0);
	stat_fold(memcg, parent);
	handle_put_many(memcg->handle, 1);
	group_free(memcg);
	memcg_put(parent);
}

void memcg_get(struct mem_cgroup *memcg)
{
	a32_get(&memcg->ref, 1);
}

bool memcg_tryget(struct mem_cgroup *memcg)
{
	if (bug_on(OWNER_WITHOUT_TRYGET)) {
		a32_acc(&memcg->ref, 1); /* revives a group whose last reference is gone */
		return true;
	}
	return a32_inc_not_zero(&memcg->ref);
}

void memcg_put(struct mem_cgroup *memcg)
{
	int32_t ref = (int32_t)a32_add(&memcg->ref, -1);

	VM_BUG_ON(ref < 0);
	if (ref > 0)
		return;
	VM_BUG_ON(a32_load(&memcg->offline) != LIFE_RELEASED);
	if (bug_on(RECORD_FREED_WITHOUT_GRACE_PERIOD))
		group_free_deferred(&memcg->rcu); /* readers of a handle still use the group */
	else
		rcu_defer(&memcg->rcu, group_free_deferred);
}

/* ---- the tree --------------------------------------------------------------------------- */

int memcg_tree_init(struct memcg_tree *tree)
{
	spin_init(&tree->lock, RANK_GROUP_TREE);
	a32_store(&tree->nr_groups, 0);
	a32_store(&tree->nr_handles, 0);
	tree->mm_init = NULL;
	tree->reparent_begin = tree->reparent_end = NULL;
	tree->root = group_alloc(tree, NULL, "");
	if (!tree->root) {
		spin_fini(&tree->lock);
		return -ENOMEM;
	}
	tree->root->id = 1;
	tree->next_id = 2;
	return 0;
}

void memcg_tree_fini(struct memcg_tree *tree)
{
	uint32_t before, after = UINT32_MAX;

	/* A group's deferred call puts its parent and its handle, so frees come in rounds: while
	 * any are pending, each flush frees at least one. */
	do {
		before = after;
		rcu_flush();
		after = a32_load(&tree->nr_groups) + a32_load(&tree->nr_handles);
	} while (after < before);
	VM_BUG_ON(a32_load(&tree->nr_groups) != 1 || a32_load(&tree->nr_handles) != 1);
	stock_drain(tree->root);
	group_discard(tree->root);
	spin_fini(&tree->lock);
}

static bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= MEMCG_NAME_MAX && !strpbrk(name, "/\n");
}

/* Append @memcg to its parent's children, under (T). 0, -ENOENT or -EEXIST. */
static int group_link(struct mem_cgroup *memcg)
{
	struct mem_cgroup *parent = memcg->parent, *pos;
	atomicptr_t *end = &parent->first_child;

	if (memcg_is_offline(parent))
		return -ENOENT;
	for (; (pos = aptr_load(end)); end = &pos->next_sibling)
		if (strcmp(pos->name, memcg->name) == 0)
			return -EEXIST;
	memcg->id = memcg->tree->next_id++;
	VM_BUG_ON(memcg->id == 0); /* 2^32 groups were made; ids must not repeat */
	parent->nr_children++;
	memcg_get(memcg); /* the caller's */
	aptr_store(end, memcg);
	return 0;
}

struct mem_cgroup *memcg_create(struct mem_cgroup *parent, const char *name, int *err)
{
	struct memcg_tree *tree = parent->tree;
	struct mem_cgroup *memcg;

	*err = -EINVAL;
	if (!name_is_valid(name))
		return NULL;
	*err = -ENOMEM;
	memcg = group_alloc(tree, parent, name);
	if (!memcg)
		return NULL;
	*err = tree->mm_init ? tree->mm_init(memcg) : 0;
	if (*err == 0) {
		spin_lock(&tree->lock);
		*err = group_link(memcg);
		spin_unlock(&tree->lock);
	}
	if (*err == 0)
		return memcg;
	group_discard(memcg);
	return NULL;
}

/* Under (T). @memcg keeps its own link: a reader may be positioned on it. */
static void group_unlink(struct mem_cgroup *memcg)
{
	atomicptr_t *link = &memcg->parent->first_child;

	while (aptr_load(link) != memcg)
		link = &((struct mem_cgroup *)aptr_load(link))->next_sibling;
	aptr_store(link, aptr_load(&memcg->next_sibling));
}

int memcg_offline(struct mem_cgroup *memcg)
{
	int err = 0;

	if (!memcg->parent)
		return -EINVAL;
	spin_lock(&memcg->tree->lock);
	if (memcg_is_offline(memcg)) {
		err = -ENOENT;
	} else if (memcg->nr_children) {
		err = -EBUSY;
	} else {
		/* Mark before unlinking: next_sibling relies on it. */
		a32_store(&memcg->offline, LIFE_OFFLINE);
		group_unlink(memcg);
	}
	spin_unlock(&memcg->tree->lock);
	return err;
}

void memcg_release(struct mem_cgroup *memcg)
{
	struct mem_cgroup *parent = memcg->parent;

	spin_lock(&memcg->tree->lock);
	VM_BUG_ON(a32_load(&memcg->offline) != LIFE_OFFLINE);
	if (memcg->tree->reparent_begin)
		memcg->tree->reparent_begin(memcg, parent);
	list_for_each(h, &memcg->handles, struct memcg_handle, link)
		aptr_store(&h->memcg, parent);
	if (memcg->tree->reparent_end)
		memcg->tree->reparent_end(memcg, parent);
	list_splice_tail(&memcg->handles, &parent->handles);
	a32_store(&memcg->offline, LIFE_RELEASED);
	parent->nr_children--;
	spin_unlock(&memcg->tree->lock);
	stock_drain(memcg);
	stat_fold(memcg, parent);
	memcg_put(memcg);
}

/* ---- walks ------------------------------------------------------------------------------ */

/* The sibling after @memcg. Its own link is valid if @memcg was still in the list after the link
 * was read: the target was linked then, in this read section. Otherwise search the list by id. */
static struct mem_cgroup *next_sibling(struct mem_cgroup *memcg)
{
	struct mem_cgroup *pos = aptr_load(&memcg->next_sibling);

	if (!memcg_is_offline(memcg))
		return pos;
	pos = aptr_load(&memcg->parent->first_child);
	while (pos && pos->id <= memcg->id)
		pos = aptr_load(&pos->next_sibling);
	return pos;
}

struct mem_cgroup *memcg_next(struct mem_cgroup *top, struct mem_cgroup *prev)
{
	struct mem_cgroup *next;

	if (!prev)
		return top;
	next = aptr_load(&prev->first_child);
	for (; !next && prev != top; prev = prev->parent)
		next = next_sibling(prev);
	return next;
}

bool memcg_is_descendant(const struct mem_cgroup *memcg, const struct mem_cgroup *top)
{
	while (memcg && memcg != top)
		memcg = memcg->parent;
	return memcg != NULL;
}

/* memcg/page_cgroup.c - the charge word of a page. The transitions: page_cgroup.h.
 *
 * I1  A word with USED holds one reference of the handle it names; the thread that takes the value
 *     out by compare-and-swap inherits that reference.
 * I2  Every change is one compare-and-swap from the value that was read. Test and set are one step:
 *     two uncharges that both saw USED cannot both win (seed 1 tested and set in two steps).
 * I3  A published charge is complete: handle, reference and USED appear at once.
 * Locks: none. A handle read from a word outlives the read section (rcu_rd_lock) it was read in.
 */
#include "memcg/page_cgroup.h"

static int64_t charged_to(const struct memcg_handle *h)
{
	return (int64_t)(uintptr_t)h | PCG_USED;
}

static struct memcg_handle *handle_of(int64_t v)
{
	return (struct memcg_handle *)(uintptr_t)(v & ~(int64_t)PCG_FLAGS);
}

bool page_cgroup_charge(atomic64_t *word, struct memcg_handle *h)
{
	VM_BUG_ON((uintptr_t)h & PCG_FLAGS);
	handle_get_many(h, 1);
	if (a64_cas(word, 0, charged_to(h)))
		return true;
	handle_put_many(h, 1);
	return false;
}

struct memcg_handle *page_cgroup_uncharge(atomic64_t *word)
{
	int64_t v;

	do {
		v = a64_load(word);
		if (!(v & PCG_USED) || (v & PCG_MIGRATION))
			return NULL;
		if (bug_on(UNCHARGE_TEST_THEN_SET)) {
			a64_store(word, 0); /* two concurrent testers both win */
			break;
		}
	} while (!a64_cas(word, v, 0)); /* lost to a transfer or a migration: retry */
	return handle_of(v);
}

bool page_cgroup_switch(atomic64_t *word, struct memcg_handle *from, struct memcg_handle *to)
{
	return a64_cas(word, charged_to(from), charged_to(to));
}

bool page_cgroup_transfer(atomic64_t *word, struct memcg_handle *from, struct memcg_handle *to)
{
	handle_get_many(to, 1);
	if (page_cgroup_switch(word, from, to)) {
		handle_put_many(from, 1);
		return true;
	}
	handle_put_many(to, 1);
	return false;
}

bool page_cgroup_set_migration(atomic64_t *word)
{
	int64_t v;

	do {
		v = a64_load(word);
		if (!(v & PCG_USED) || (v & PCG_MIGRATION))
			return false;
	} while (!a64_cas(word, v, v | PCG_MIGRATION));
	return true;
}

bool page_cgroup_clear_migration(atomic64_t *word)
{
	int64_t v;

	do {
		v = a64_load(word);
		if (!(v & PCG_USED) || !(v & PCG_MIGRATION))
			return false;
	} while (!a64_cas(word, v, v & ~(int64_t)PCG_MIGRATION));
	return true;
}

bool page_cgroup_replace(atomic64_t *from, atomic64_t *to)
{
	int64_t v = a64_load(from);

	if (!(v & PCG_USED))
		return false;
	VM_BUG_ON(!bug_follows(MIGRATE_WITHOUT_FLAG) && !(v & PCG_MIGRATION));
	a64_store(to, v);
	a64_store(from, 0);
	return true;
}

struct mem_cgroup *page_cgroup_get_memcg(const atomic64_t *word)
{
	struct mem_cgroup *memcg;

	/* A group gives up its online reference only after its handles point to the parent, so
	 * after a failed tryget the next read finds an ancestor (or an uncharged page). */
	rcu_rd_lock();
	do {
		memcg = page_cgroup_memcg(word);
	} while (memcg && !memcg_tryget(memcg));
	rcu_rd_unlock();
	return memcg;
}

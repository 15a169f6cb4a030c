/* mm/oom.c - the OOM killer of a group. One victim at a time: while one is on its way out everybody waits for it. */
#include "mm/oom.h"

#include "mm/engine.h"

#define OOM_WAIT_NS  (2 * 1000000000ll)   /* for a victim to go; then the next one is chosen */

int64_t oom_badness(int64_t rss, int64_t swapents, int64_t extra)
{
	return rss + swapents + extra;
}

/* The worst address space below @memcg that is not dying, referenced; NULL: none. */
static struct mm *choose(struct engine *e, struct mem_cgroup *memcg)
{
	struct mm *worst = NULL;
	int64_t most = -1;

	spin_lock(&e->mm_lock);
	list_for_each(mm, &e->mms, struct mm, link) {
		int64_t bad = oom_badness(a64_load(&mm->rss), a64_load(&mm->swapents), a64_load(&mm->unmanaged));

		if (a32_load(&mm->dying) || bad <= most || !memcg_is_descendant(mm_memcg(mm), memcg))
			continue;
		most = bad;
		worst = mm;
	}
	if (worst)
		mm_get(worst);
	spin_unlock(&e->mm_lock);
	return worst;
}

/* Is somebody below @memcg on the way out, and not for long yet? */
static bool victim_pending(struct engine *e, struct mem_cgroup *memcg)
{
	int64_t now = (int64_t)plat_now_ns();
	bool pending = false;

	spin_lock(&e->mm_lock);
	list_for_each(mm, &e->mms, struct mm, link) {
		if (!a32_load(&mm->dying) || !memcg_is_descendant(mm_memcg(mm), memcg))
			continue;
		if (!mm->dying_since)
			mm->dying_since = now;
		pending |= now - mm->dying_since < OOM_WAIT_NS;
	}
	spin_unlock(&e->mm_lock);
	return pending;
}

bool oom_kill(struct engine *e, struct mem_cgroup *memcg, struct mm *self, bool wait)
{
	uint32_t ticket = waitq_prepare(&e->progress);
	struct mm *victim;
	bool mine;

	if (self && a32_load(&self->dying))
		return false;
	if (victim_pending(e, memcg)) {
		if (wait)
			waitq_sleep(&e->progress, ticket, OOM_WAIT_NS);
		return true;
	}
	victim = choose(e, memcg);
	if (!victim)
		return false;
	mine = victim == self;
	if (a32_cas(&victim->dying, 0, 1)) {
		struct mem_cgroup *of = mm_get_memcg(victim);

		event_add(memcg, EVENT_OOM, 1);
		event_add(of, EVENT_OOM_KILL, 1);
		memcg_put(of);
		ticket = waitq_prepare(&e->progress);
		e->mmu->ops->kill(e->mmu, victim);
		if (!mine && wait)
			waitq_sleep(&e->progress, ticket, OOM_WAIT_NS);
	}
	mm_put(victim);
	return !mine;
}

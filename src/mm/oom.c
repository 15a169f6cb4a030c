/* mm/oom.c - the OOM killer of a group. One victim at a time: all others wait while it exits. */
#include "mm/oom.h"

#include "mm/engine.h"

#define OOM_WAIT_NS (2 * 1000000000ll) /* for a victim to exit; then choose the next one */
#define OOM_LOOK_NS                                                                                \
	(20 * 1000000ll) /* between two checks: returning an unused charge wakes no waiter */

int64_t oom_badness(int64_t rss, int64_t swapents, int64_t extra)
{
	return rss + swapents + extra;
}

/* Room for @n pages below the limits of @memcg itself, stocked pages included. */
static bool has_room(struct mem_cgroup *memcg, int64_t n)
{
	stock_drain_tree(memcg);
	return page_counter_read(&memcg->memory) + n <= a64_load(&memcg->memory.max) &&
	       page_counter_read(&memcg->memsw) + n <= a64_load(&memcg->memsw.max);
}

enum verdict { OOM_NOBODY, OOM_AGAIN /* things have changed */, OOM_WAIT, OOM_VICTIM };

/* Scan all address spaces, mm_lock held. True: a process below @memcg is exiting, for less than
 * OOM_WAIT_NS. *@worst: the worst one that is not exiting. */
static bool look(struct engine *e, struct mem_cgroup *memcg, struct mm **worst)
{
	int64_t now = (int64_t)plat_now_ns(), most = -1;
	bool pending = false;

	*worst = NULL;
	list_for_each(mm, &e->mms, struct mm, link) {
		int64_t bad;

		if (!memcg_is_descendant(mm_memcg(mm), memcg))
			continue;
		if (a32_load(&mm->dying)) {
			if (!mm->dying_since)
				mm->dying_since = now;
			pending |= now - mm->dying_since < OOM_WAIT_NS;
			continue;
		}
		bad = oom_badness(a64_load(&mm->rss), a64_load(&mm->swapents),
				  a64_load(&mm->unmanaged));
		if (bad > most) {
			most = bad;
			*worst = mm;
		}
	}
	return pending;
}

/* Choose a victim. OOM_VICTIM: *@victim, marked and referenced. The mark is set under the lock that
 * the scan takes, so two concurrent OOMs do not choose one each. An exited process returned
 * everything before it left the list. If there is room by now (the limit was hit before the scan;
 * reclaim or another process may have made it), do not choose or wait for a victim. */
static enum verdict judge(struct engine *e, struct mem_cgroup *memcg, int64_t n, struct mm **victim)
{
	enum verdict v = OOM_NOBODY;
	bool pending;

	spin_lock(&e->mm_lock);
	pending = look(e, memcg, victim);
	if (has_room(memcg, n))
		v = OOM_AGAIN;
	else if (pending)
		v = OOM_WAIT;
	else if (*victim) /* its process may be exiting by itself */
		v = a32_cas(&(*victim)->dying, 0, 1) ? OOM_VICTIM : OOM_AGAIN;
	if (v == OOM_VICTIM)
		mm_get(*victim);
	spin_unlock(&e->mm_lock);
	return v;
}

/* Wait until progress was signalled since @ticket, there is room, or it is time to choose the next
 * victim. Reclaim has just found nothing, so do not retry it at every check. */
static void wait_for_room(struct engine *e, struct mem_cgroup *memcg, int64_t n, uint32_t ticket)
{
	int64_t end = (int64_t)plat_now_ns() + OOM_WAIT_NS;

	while (!waitq_sleep(&e->progress, ticket, OOM_LOOK_NS) && !has_room(memcg, n) &&
	       (int64_t)plat_now_ns() < end)
		;
}

bool oom_kill(struct engine *e, struct mem_cgroup *memcg, struct mm *self, int64_t n, bool wait)
{
	uint32_t ticket =
		waitq_prepare(&e->progress); /* before the scan: any exit after it wakes us */
	struct mm *victim;
	enum verdict v;
	bool mine = false;

	if (self && a32_load(&self->dying))
		return false;
	v = judge(e, memcg, n, &victim);
	if (bug_on(OOM_LOST_WAKEUP))
		ticket = waitq_prepare(&e->progress); /* the victim has exited in the meantime; its
							 wake-up is lost */
	if (v == OOM_VICTIM) {
		struct mem_cgroup *of = mm_get_memcg(victim);

		event_add(memcg, EVENT_OOM, 1);
		event_add(of, EVENT_OOM_KILL, 1);
		memcg_put(of);
		mine = victim == self;
		e->mmu->ops->kill(e->mmu, victim);
		mm_put(victim);
	}
	if (wait && !mine && (v == OOM_WAIT || v == OOM_VICTIM))
		wait_for_room(e, memcg, n, ticket);
	return v != OOM_NOBODY && !mine;
}

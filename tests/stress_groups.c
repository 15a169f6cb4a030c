/* tests/stress_groups.c - the keeper of the stress test; see stress.h. */
#include "stress.h"
#include "stress_files.h"

static void set_limits(struct worker *w, struct mem_cgroup *m)
{
	page_counter_force_max(&m->memory, 50 + (int64_t)draw(w, 200));
	page_counter_force_max(&m->swap, draw(w, 8) ? PAGE_COUNTER_MAX : 100);
	a64_store(&m->memory.high, draw(w, 4) ? PAGE_COUNTER_MAX : 60);
	a64_store(&m->low, (int64_t)draw(w, 3) * 20);
	a64_store(&m->min, (int64_t)draw(w, 3) * 10);
	charge_settle(&fx.e, m);
	saw(SEEN_LIMIT);
}

/* Groups with children are not removed; the first ones come and go only while nobody was put below them. */
static struct mem_cgroup *parent_of(struct worker *w, unsigned i)
{
	return i < NR_PARENTS ? top : groups[draw(w, NR_PARENTS)];
}

void groups_renew(struct worker *w, unsigned i)
{
	static unsigned serial;
	char name[32];
	int err;

	fault_arm(FAULT_ALLOC, 0);  /* there is a group for every number */
	pthread_mutex_lock(&groups_mutex);
	err = groups[i] ? group_remove(&fx.e, groups[i]) : 0;
	if (err == 0) {
		if (groups[i]) {
			memcg_put(groups[i]);
			saw(SEEN_REMOVE);
		}
		snprintf(name, sizeof(name), "g%u", serial++);
		groups[i] = fx_group(&fx, parent_of(w, i), name, 100 + (int64_t)draw(w, 100));
		VM_BUG_ON(!groups[i]);
		saw(SEEN_GROUP);
	} else {
		VM_BUG_ON(err != -EBUSY);
	}
	pthread_mutex_unlock(&groups_mutex);
}

void groups_step(struct worker *w)
{
	unsigned i = (unsigned)draw(w, NR_GROUPS);
	struct reclaim_result r;

	if (files) {
		w->doing = "file itself";
		files_keep(&w->random);
	}
	switch (draw(w, 8)) {
	case 0:
		w->doing = "limits";
		set_limits(w, groups[i]);
		break;
	case 1:
		w->doing = "reclaim";
		reclaim_group(&fx.e, draw(w, 2) ? top : groups[i], 40, 0, &r);
		break;
	case 2:
		a32_store(&fx.store->fail_every, draw(w, 4) ? 0 : 40);
		break;
	case 3:
		a32_store(&fx.soft.inject.busy_every, draw(w, 3) ? 0 : 5);
		a32_store(&fx.soft.inject.map_max, draw(w, 3) ? 0 : 2);
		break;
	case 4:
	case 5:
		fault_arm(FAULT_ALLOC, 1 + draw(w, 200));
		break;
	default:
		w->doing = "renew";
		groups_renew(w, i);
	}
}

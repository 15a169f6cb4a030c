/* audit/audit_group.c - counters, statistics and handles of groups, compared with the counts by
 * owner. */
#include "audit/recount.h"
#include "mm/page.h"
#include "mm/zswap.h"

struct sums {
	int64_t memory, memsw, swap, zswap;
	int64_t stat[NR_STATS];
};

static struct sums sum_children(struct mem_cgroup *memcg)
{
	struct sums s = { 0 };

	for (struct mem_cgroup *c = aptr_load(&memcg->first_child); c;
	     c = aptr_load(&c->next_sibling)) {
		s.memory += page_counter_read(&c->memory);
		s.memsw += page_counter_read(&c->memsw);
		s.swap += page_counter_read(&c->swap);
		s.zswap += page_counter_read(&c->zswap);
		for (int i = 0; i < NR_STATS; i++)
			s.stat[i] += stat_read(c, i);
	}
	return s;
}

static void check_counter(struct audit *a, int invariant, const char *what,
			  const struct mem_cgroup *m, const struct page_counter *c, int64_t counted)
{
	int64_t usage = page_counter_read(c);

	if (usage != counted)
		audit_fail(a, invariant, "%s of group %u (%s) is %lld, counted %lld", what, m->id,
			   m->name, (long long)usage, (long long)counted);
	if (usage > a64_load(&c->max) && !(a->r->flags & AUDIT_FORCED))
		audit_fail(a, 6, "%s of group %u (%s) is %lld, above its max %lld", what, m->id,
			   m->name, (long long)usage, (long long)a64_load(&c->max));
}

/* Values the engine is told and cannot recount. */
static bool is_measured(enum stat_item i)
{
	return i == STAT_UNMANAGED || i == STAT_PAGETABLES || i == STAT_OWN_TABLES;
}

static void check_group(struct audit *a, const struct group_count *g)
{
	struct mem_cgroup *m = g->memcg;
	struct sums below = sum_children(m);
	int64_t own = g->pages + stat_read_local(m, STAT_UNMANAGED) + stock_read(m) +
		      g->gauge[STAT_ZSWAP];

	check_counter(a, 1, "memory", m, &m->memory, own + below.memory);
	check_counter(a, 2, "memory+swap", m, &m->memsw, own + g->memsw_slots + below.memsw);
	check_counter(a, 3, "swap", m, &m->swap, g->slots + below.swap);
	check_counter(a, 36, "zswap", m, &m->zswap, g->gauge[STAT_ZSWAP] + below.zswap);
	if (page_counter_read(&m->memory) > page_counter_read(&m->memsw))
		audit_fail(a, 6, "memory of group %u is above its memory+swap", m->id);
	for (int i = 0; i < NR_STATS; i++) {
		int64_t local = stat_read_local(m, i);

		if (stat_is_gauge(i) && !is_measured(i) && local != g->gauge[i])
			audit_fail(a, 4, "%s of group %u (%s) is %lld, counted %lld", stat_key(i),
				   m->id, m->name, (long long)local, (long long)g->gauge[i]);
		if (local < 0)
			audit_fail(a, 4, "%s of group %u (%s) is %lld", stat_key(i), m->id, m->name,
				   (long long)local);
		if (stat_read(m, i) != local + below.stat[i])
			audit_fail(a, 5,
				   "%s of group %u: hierarchical %lld, local %lld, children %lld",
				   stat_key(i), m->id, (long long)stat_read(m, i), (long long)local,
				   (long long)below.stat[i]);
	}
}

/* The count of @h in the table of handles, or NULL if the tree does not have it. */
static struct handle_count *handle_count(struct audit *a, const struct memcg_handle *h, bool add)
{
	unsigned i = (unsigned)(((uintptr_t)h >> 4) * 0x9e3779b9u) & (a->handle_table - 1);

	while (a->handle[i].h && a->handle[i].h != h)
		i = (i + 1) & (a->handle_table - 1);
	if (!a->handle[i].h && add)
		a->handle[i].h = h;
	return a->handle[i].h ? &a->handle[i] : NULL;
}

static void count_user(struct audit *a, const struct memcg_handle *h)
{
	struct handle_count *c = h ? handle_count(a, h, false) : NULL;

	if (c)
		c->users++;
}

/* References of a handle: pages and slots that name it, and its first group while that exists. */
static void check_handle(struct audit *a, const struct mem_cgroup *m, const struct memcg_handle *h)
{
	const struct handle_count *c = handle_count(a, h, false);
	int64_t users = c->users, extra = (int64_t)a32_load(&h->ref) - users;

	if (h->zbytes != c->zbytes)
		audit_fail(a, 36, "a handle of group %u has %lld compressed bytes, counted %lld",
			   m->id, (long long)h->zbytes, (long long)c->zbytes);
	if (handle_memcg(h) != m)
		audit_fail(a, 7, "a handle of group %u belongs to another", m->id);
	/* A handle whose group is gone has no extra reference, or keeps it until the group is
	 * freed. */
	if (h == m->handle ? extra != 1 : extra != 0 && (extra != 1 || a->r->flags & AUDIT_FLUSHED))
		audit_fail(a, 7, "a handle of group %u has %u references, %lld users", m->id,
			   a32_load(&h->ref), (long long)users);
}

/* A slot's compressed content, by its owner. */
static void count_compressed(struct audit *a, uint32_t slot)
{
	const struct swap_device *d = a->e->swap;
	int64_t cost = d->zswap && d->owner[slot] ? zswap_cost(d, slot) : -1;
	struct handle_count *c = cost > 0 ? handle_count(a, d->owner[slot], false) : NULL;

	if (c)
		c->zbytes += cost;
}

/* The pages of compressed content charged to each group, by its handles. */
static void count_zswap(struct audit *a)
{
	for (unsigned i = 0; i < a->nr_groups; i++)
		list_for_each(h, &a->group[i].memcg->handles, struct memcg_handle, link)
			a->group[i].gauge[STAT_ZSWAP] +=
				(h->zbytes + (int64_t)PAGE_SIZE - 1) / (int64_t)PAGE_SIZE;
}

static void check_handles(struct audit *a)
{
	unsigned found = 0;

	for (unsigned i = 0; i < a->nr_groups; i++)
		list_for_each(h, &a->group[i].memcg->handles, struct memcg_handle, link)
			if (++found * 2 <= a->handle_table)
				handle_count(a, h, true);
	if (found * 2 > a->handle_table) {
		audit_fail(a, 14, "%u handles are found, %u exist", found,
			   a32_load(&a->e->tree.nr_handles));
		return;
	}
	for (uint32_t pfn = 0; pfn < a->nr_frames; pfn++)
		count_user(a, page_cgroup_handle(&pfn_page(a->e, pfn)->pcg));
	for (uint32_t slot = 0; a->e->swap && slot < a->e->swap->nr_slots; slot++) {
		count_user(a, a->e->swap->owner[slot]);
		count_compressed(a, slot);
	}
	for (unsigned i = 0; i < a->nr_groups; i++)
		list_for_each(h, &a->group[i].memcg->handles, struct memcg_handle, link)
			check_handle(a, a->group[i].memcg, h);
	if (a->r->flags & AUDIT_FLUSHED) {
		audit_equal(a, 14, "the number of groups", a32_load(&a->e->tree.nr_groups),
			    a->nr_groups);
		audit_equal(a, 14, "the number of handles", a32_load(&a->e->tree.nr_handles),
			    found);
	}
}

/* Sums over the tree only grow, even across removals. This also detects a local value that was lost
 * in a fold. */
static void check_past(struct audit *a)
{
	struct mem_cgroup *root = a->e->tree.root;

	for (int i = 0; i < NR_EVENTS; i++) {
		int64_t now = event_read(root, i);

		if (now < a->r->past_event[i])
			audit_fail(a, 22, "event %s fell from %lld to %lld", event_key(i),
				   (long long)a->r->past_event[i], (long long)now);
		a->r->past_event[i] = now;
	}
	for (int i = 0; i < NR_STATS; i++) {
		int64_t now = stat_read(root, i);

		if (!stat_is_gauge(i) && now < a->r->past_stat[i])
			audit_fail(a, 23, "the sum of %s fell from %lld to %lld", stat_key(i),
				   (long long)a->r->past_stat[i], (long long)now);
		a->r->past_stat[i] = now;
	}
}

void audit_groups(struct audit *a)
{
	rcu_rd_lock();
	spin_lock(&a->e->tree.lock);
	count_zswap(a);
	spin_unlock(&a->e->tree.lock);
	for (unsigned i = 0; i < a->nr_groups; i++)
		check_group(a, &a->group[i]);
	/* Deferred calls unlink handles, even at rest. */
	spin_lock(&a->e->tree.lock);
	check_handles(a);
	spin_unlock(&a->e->tree.lock);
	check_past(a);
	rcu_rd_unlock();
}

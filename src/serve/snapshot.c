/* serve/snapshot.c - the numbers of a running or ended supervisor. */
#include <string.h>

#include "serve/client/client.h"
#include "serve/place.h"

static int64_t bytes(int64_t pages)
{
	VM_ASSERT(pages >= 0);
	return pages >= PAGE_COUNTER_MAX ? SERVE_UNLIMITED : pages * (int64_t)PAGE_SIZE;
}

static void counter(const struct page_counter *c, int64_t *current, int64_t *peak, int64_t *max)
{
	*current = bytes(page_counter_read(c));
	*peak = bytes(a64_load(&c->watermark));
	*max = bytes(a64_load(&c->max));
}

void supervisor_snapshot(struct supervisor *s, struct serve_snapshot *out)
{
	struct mem_cgroup *g = s->group;

	memset(out, 0, sizeof(*out));
	counter(&g->memory, &out->memory_current, &out->memory_peak, &out->memory_max);
	counter(&g->swap, &out->swap_current, &out->swap_peak, &out->swap_max);
	counter(&g->zswap, &out->zswap_current, &out->zswap_peak, &out->zswap_max);
	counter(&g->memsw, &out->memsw_current, &out->memsw_peak, &out->memsw_max);
	out->memory_high = bytes(bounds_get(&s->bounds, CTL_HIGH));
	for (int i = 0; i < NR_STATS; i++)
		out->stat[i] = stat_read(g, (enum stat_item)i);
	for (int i = 0; i < NR_EVENTS; i++)
		out->event[i] = event_read(g, (enum event_item)i);
	out->metadata_bytes = engine_metadata_bytes(&s->engine);
	if (out->metadata_bytes < a64_load(&s->metadata_peak))
		out->metadata_bytes = a64_load(&s->metadata_peak);
	out->unmanaged_peak = out->stat[STAT_UNMANAGED];
	if (out->unmanaged_peak < a64_load(&s->unmanaged_peak))
		out->unmanaged_peak = a64_load(&s->unmanaged_peak);
	out->unmanaged_peak *= (int64_t)PAGE_SIZE;
	out->tables_peak = a64_load(&s->tables_peak) * (int64_t)PAGE_SIZE;
	out->home_bytes = a64_load(&s->mmu.home.used) * (int64_t)PAGE_SIZE;
	out->home_peak = a64_load(&s->mmu.home.peak) * (int64_t)PAGE_SIZE;
	out->clients_total = (uint64_t)a64_load(&s->total_clients);
	out->clients_now = out->processes_now = (uint64_t)a64_load(&s->nr_clients);
	out->unmanaged_total = (uint64_t)a64_load(&s->unmanaged_total);
	out->found_late_total = (uint64_t)a64_load(&s->found_late_total);
	out->found_late_ms = (uint64_t)a64_load(&s->found_late_ns) / 1000000;
	out->unmeasured_total = (uint64_t)a64_load(&s->unmeasured_total);
	spin_lock(&s->names_lock);
	out->nr_unmanaged_names = s->nr_names;
	memcpy(out->unmanaged_name, s->names, sizeof(s->names));
	out->unmanaged_most = s->unmanaged_most;
	out->unmanaged_oom = s->unmanaged_oom;
	spin_unlock(&s->names_lock);
	out->root_oom_killed = a32_load(&s->root_oom_killed) != 0;
	out->oom_memory = a64_load(&s->oom_memory);
	out->oom_swap = a64_load(&s->oom_swap);
	out->oom_unmanaged = a64_load(&s->oom_unmanaged);
	out->oom_forked = a64_load(&s->oom_forked);
	out->oom_tables = a64_load(&s->oom_tables);
	out->swap_disk_full = a32_load(&s->engine.swap_disk_full) != 0;
	out->group_name = g->name;
	out->store_name = s->engine.swap ? s->engine.swap->store->ops->name : "none";
	out->mode = serve_mode_name(s->mode);
}

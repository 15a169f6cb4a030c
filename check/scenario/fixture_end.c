/* check/scenario/fixture_end.c - what is checked between any two operations, and at the end; see
 * fixture.h. */
#include <string.h>

#include "scenario/fixture.h"

static bool leaf_is_locked(void)
{
	for (unsigned t = 0; t < sim_nr_tasks; t++)
		for (unsigned i = 0; i < sim_tasks[t].nr_held; i++)
			if (sim_tasks[t].held[i].rank == RANK_PTE)
				return true;
	return false;
}

void fx_look_mapped(void)
{
	int64_t mapped[FX_GROUPS_MAX] = { 0 };

	if (leaf_is_locked())
		return;
	for (unsigned i = 0; i < FX_LOOKED; i++) {
		const struct page *p = pfn_page(&fx->e, i);
		const struct mem_cgroup *owner = page_cgroup_memcg(&p->pcg);

		if (!page_mapped(p) || page_is_anon(p))
			continue;
		if (!owner)
			sim_fail(SIM_AUDIT, NULL, 0,
				 "I4: page %u is mapped, and charged to nobody who would count it",
				 i);
		for (unsigned k = 0; k < fx->nr_groups; k++)
			mapped[k] += owner == fx->group[k];
	}
	for (unsigned k = 0; k < fx->nr_groups; k++) {
		int64_t is = stat_read_local(fx->group[k], STAT_FILE_MAPPED);

		if (is != mapped[k])
			sim_fail(SIM_AUDIT, NULL, 0,
				 "I4: file_mapped of %s is %lld, and it has %lld mapped pages of "
				 "files",
				 fx->group[k]->name, (long long)is, (long long)mapped[k]);
	}
}

static bool audit(unsigned flags)
{
	fx->report.flags = flags;
	if (sim_failure.kind == SIM_OK && audit_engine(&fx->e, &fx->report) != 0) {
		fx->report.text[strcspn(fx->report.text, "\n")] = '\0';
		sim_fail(SIM_AUDIT, NULL, 0, "%s", fx->report.text);
	}
	return sim_failure.kind == SIM_OK;
}

static void none_left(const char *what, int64_t n)
{
	if (n != 0)
		sim_fail(SIM_LEAK, NULL, 0, "%lld %s left after the end of everything",
			 (long long)n, what);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < fx->nr_mms; i++) {
		if (fx->soft.kind == SOFT_EXCLUSIVE)
			soft_client_exit(&fx->soft, fx->mm[i]);
		mm_teardown(fx->mm[i]);
		mm_put(fx->mm[i]);
	}
	for (unsigned i = 0; i < fx->nr_files; i++)
		if (fx->file[i])
			file_put(fx->file[i]);
	rcu_flush();
	for (unsigned i = fx->nr_groups; i-- > 0;)
		if (fx->group[i])
			fx_ungroup(fx->group[i]);
	rcu_flush();
	stock_drain(fx->e.tree.root);
}

void fx_down(void)
{
	struct engine *e = &fx->e;

	rcu_flush();
	if (!audit(0))
		return;
	if (soft_stale_translations(&fx->soft))
		sim_fail(SIM_AUDIT, NULL, 0,
			 "I18: a CPU keeps a translation that the page tables do not have");
	tear_down();
	if (!audit(AUDIT_FLUSHED))
		return;
	none_left("pages", a64_load(&e->nr_frames) - a64_load(&e->nr_free));
	none_left("page contents", a64_load(&fx->soft.nr_home));
	none_left("pages in processes", a64_load(&fx->soft.nr_client));
	none_left("slots", a64_load(&e->swap->nr_used));
	none_left("address spaces", a64_load(&e->nr_mms));
	none_left("leaves", a64_load(&e->nr_leaves));
	none_left("areas", a64_load(&e->nr_vmas));
	none_left("anon_vmas", a64_load(&e->nr_anon_vmas));
	none_left("chains", a64_load(&e->nr_chains));
	none_left("files", a64_load(&e->nr_files));
	none_left("parts of a file's table", a64_load(&e->nr_file_chunks));
	none_left("files that memory is filled from", fx->nr_backings);
	none_left("pages that are filled from files", a64_load(&e->backed_pages));
	none_left("groups", (int64_t)a32_load(&e->tree.nr_groups) - 1);
	none_left("handles", (int64_t)a32_load(&e->tree.nr_handles) - 1);
	none_left("pages of memory charged", page_counter_read(&e->tree.root->memory));
	none_left("pages of memory+swap charged", page_counter_read(&e->tree.root->memsw));
	none_left("slots charged", page_counter_read(&e->tree.root->swap));
}

/* audit/audit.c - the order of an audit, and its report. */
#include "audit/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit/recount.h"

void audit_fail(struct audit *a, int invariant, const char *fmt, ...)
{
	struct audit_report *r = a->r;
	size_t len = strlen(r->text);
	va_list ap;
	int n;

	r->violations++;
	r->by_invariant[invariant]++;
	n = snprintf(r->text + len, AUDIT_TEXT - len, "I%d: ", invariant);
	if (n < 0 || (size_t)n >= AUDIT_TEXT - len - 1) {
		r->text[len] = '\0';
		return;
	}
	len += (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(r->text + len, AUDIT_TEXT - len - 1, fmt, ap);
	va_end(ap);
	len += n < 0 ? 0 : (size_t)n;
	if (len > AUDIT_TEXT - 2)
		len = AUDIT_TEXT - 2;
	memcpy(r->text + len, "\n", 2);
}

void audit_equal(struct audit *a, int invariant, const char *what, int64_t engine, int64_t counted)
{
	if (engine != counted)
		audit_fail(a, invariant, "%s is %lld, counted %lld", what, (long long)engine,
			   (long long)counted);
}

struct group_count *audit_group(struct audit *a, const struct mem_cgroup *memcg)
{
	for (unsigned i = 0; i < a->nr_groups; i++)
		if (a->group[i].memcg == memcg)
			return &a->group[i];
	return NULL;
}

static void find_groups(struct audit *a)
{
	rcu_rd_lock();
	for (struct mem_cgroup *m = memcg_next(a->e->tree.root, NULL); m;
	     m = memcg_next(a->e->tree.root, m))
		if (a->nr_groups < a->max_groups)
			a->group[a->nr_groups++].memcg = m;
	rcu_rd_unlock();
}

static int audit_alloc(struct audit *a)
{
	uint32_t nr_slots = a->e->swap ? a->e->swap->nr_slots : 1;

	a->nr_frames = (uint32_t)a64_load(&a->e->nr_frames);
	a->max_groups = a32_load(&a->e->tree.nr_groups);
	a->frame = plat_alloc((a->nr_frames + 1) * sizeof(*a->frame));
	a->swap_ptes = plat_alloc(nr_slots * sizeof(*a->swap_ptes));
	a->group = plat_alloc(a->max_groups * sizeof(*a->group));
	for (a->handle_table = 16; a->handle_table < 2 * a32_load(&a->e->tree.nr_handles);)
		a->handle_table *= 2;
	a->handle = plat_alloc(a->handle_table * sizeof(*a->handle));
	return a->frame && a->swap_ptes && a->group && a->handle ? 0 : -ENOMEM;
}

int audit_engine(struct engine *e, struct audit_report *report)
{
	struct audit a = { .e = e, .r = report };
	int err = audit_alloc(&a);

	report->violations = 0;
	memset(report->by_invariant, 0, sizeof(report->by_invariant));
	report->text[0] = '\0';
	if (!err) {
		find_groups(&a);
		audit_spaces(&a);
		audit_files(&a);
		if (e->swap)
			audit_swap(&a);
		audit_lists(&a);
		audit_frames(&a);
		audit_groups(&a);
	}
	plat_free(a.frame);
	plat_free(a.swap_ptes);
	plat_free(a.group);
	plat_free(a.handle);
	return err ? err : report->violations != 0;
}

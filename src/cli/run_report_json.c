/* cli/run_report_json.c - the JSON report of `umemcg run`. See run_report.h.
 *
 * Every number goes through put_number: a double, which cJSON would use, is not exact above 2^53.
 *
 * Locks: none.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_report.h"

/* False, here and below: out of memory. */
static bool put_number(cJSON *object, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return cJSON_AddRawToObject(object, key, text) != NULL;
}

static bool put_bytes(cJSON *object, const char *key, int64_t value)
{
	if (value == SERVE_UNLIMITED)
		return cJSON_AddStringToObject(object, key, "max") != NULL;
	return put_number(object, key, value);
}

static bool put_limits(cJSON *root, const struct serve_snapshot *s)
{
	const struct {
		const char *key;
		int64_t value;
	} rows[] = {
		{ "memory.current", s->memory_current },
		{ "memory.peak", s->memory_peak },
		{ "memory.max", s->memory_max },
		{ "memory.high", s->memory_high },
		{ "memory.swap.current", s->swap_current },
		{ "memory.swap.peak", s->swap_peak },
		{ "memory.swap.max", s->swap_max },
		{ "memory.zswap.current", s->zswap_current },
		{ "memory.zswap.peak", s->zswap_peak },
		{ "memory.zswap.max", s->zswap_max },
		{ "memory.memsw.current", s->memsw_current },
		{ "memory.memsw.peak", s->memsw_peak },
		{ "memory.memsw.max", s->memsw_max },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!put_bytes(root, rows[i].key, rows[i].value))
			return false;
	return true;
}

static bool put_events(cJSON *root, const struct serve_snapshot *s)
{
	for (int i = 0; i < NR_EVENTS; i++) {
		cJSON *file = cJSON_GetObjectItemCaseSensitive(root, event_file(i));

		if (!file)
			file = cJSON_AddObjectToObject(root, event_file(i));
		if (!file || !put_number(file, event_key(i), s->event[i]))
			return false;
	}
	return true;
}

static bool put_stat(cJSON *root, const struct serve_snapshot *s)
{
	cJSON *stat = cJSON_AddObjectToObject(root, "memory.stat");

	if (!stat)
		return false;
	for (int i = 0; i < NR_STATS; i++) {
		int64_t scale = stat_is_gauge(i) ? STORE_PAGE_SIZE : 1;

		if (!put_number(stat, stat_key(i), s->stat[i] * scale))
			return false;
	}
	return true;
}

static bool put_names(cJSON *object, const struct serve_snapshot *s)
{
	cJSON *names = cJSON_AddArrayToObject(object, "unmanaged_processes");

	if (!names)
		return false;
	for (unsigned i = 0; i < s->nr_unmanaged_names; i++) {
		char name[4 * sizeof(s->unmanaged_name[0])];
		cJSON *item;

		/* A process may have any name; JSON must be UTF-8. */
		(void)text_plain(name, sizeof(name), s->unmanaged_name[i]);
		item = cJSON_CreateString(name);
		if (!item || !cJSON_AddItemToArray(names, item))
			return false;
	}
	return true;
}

static bool put_process(cJSON *array, const struct serve_process *p)
{
	cJSON *item = cJSON_CreateObject();
	char name[4 * sizeof(p->name)];

	if (!item || !cJSON_AddItemToArray(array, item))
		return false;
	(void)text_plain(name, sizeof(name), p->name);
	return cJSON_AddStringToObject(item, "name", name) && put_number(item, "pid", p->pid) &&
	       put_number(item, "bytes", p->bytes) &&
	       cJSON_AddStringToObject(item, "kind", report_kind_key(p->kind));
}

static bool put_unmanaged(cJSON *own, const char *key, const struct serve_unmanaged *u)
{
	cJSON *look = cJSON_AddObjectToObject(own, key), *kinds, *processes;

	if (!look || !put_number(look, "total", u->total))
		return false;
	kinds = cJSON_AddObjectToObject(look, "kinds");
	for (int i = 0; kinds && i < SERVE_NR_KINDS; i++)
		if (!put_number(kinds, report_kind_key((enum serve_kind)i), u->kind[i]))
			return false;
	processes = kinds ? cJSON_AddArrayToObject(look, "processes") : NULL;
	for (unsigned i = 0; processes && i < u->nr_processes; i++)
		if (!put_process(processes, &u->process[i]))
			return false;
	return processes != NULL;
}

static bool put_command(cJSON *own, char *const *argv)
{
	cJSON *words = cJSON_AddArrayToObject(own, "command");

	for (; words && argv && *argv; argv++) {
		size_t size = 4 * strlen(*argv) + 1;
		char *plain = malloc(size);
		cJSON *item =
			plain ? cJSON_CreateString((text_plain(plain, size, *argv), plain)) : NULL;

		free(plain);
		if (!item || !cJSON_AddItemToArray(words, item))
			return false;
	}
	return words != NULL;
}

/* The keys are those of the cpu controller. */
static bool put_cpu(cJSON *root, const struct run_result *r)
{
	cJSON *cpu = cJSON_AddObjectToObject(root, "cpu.stat");

	return cpu && put_number(cpu, "usage_usec", (int64_t)(r->user_us + r->system_us)) &&
	       put_number(cpu, "user_usec", (int64_t)r->user_us) &&
	       put_number(cpu, "system_usec", (int64_t)r->system_us);
}

static bool put_own(cJSON *root, const struct serve_snapshot *s, const struct run_result *r)
{
	cJSON *own = cJSON_AddObjectToObject(root, "umemcg");

	return own && cJSON_AddStringToObject(own, "version", UMEMCG_VERSION) &&
	       put_command(own, r->argv) && cJSON_AddStringToObject(own, "group", s->group_name) &&
	       put_number(own, "exit_status", r->exit_status) &&
	       put_number(own, "signal", r->signal) &&
	       put_number(own, "elapsed_usec", (int64_t)r->elapsed_us) &&
	       cJSON_AddBoolToObject(own, "root_oom_killed", s->root_oom_killed) &&
	       cJSON_AddStringToObject(own, "mode", s->mode) &&
	       cJSON_AddStringToObject(own, "store", s->store_name) &&
	       put_number(own, "metadata_bytes", s->metadata_bytes) &&
	       put_number(own, "home_peak", s->home_peak) &&
	       put_number(own, "unmanaged_peak", s->unmanaged_peak) &&
	       put_number(own, "tables_peak", s->tables_peak) &&
	       put_number(own, "clients_total", (int64_t)s->clients_total) &&
	       put_number(own, "unmanaged_total", (int64_t)s->unmanaged_total) &&
	       put_number(own, "found_late_total", (int64_t)s->found_late_total) &&
	       put_number(own, "found_late_ms", (int64_t)s->found_late_ms) &&
	       put_number(own, "unmeasured_total", (int64_t)s->unmeasured_total) &&
	       put_names(own, s) && put_unmanaged(own, "unmanaged_most", &s->unmanaged_most) &&
	       put_unmanaged(own, "unmanaged_oom", &s->unmanaged_oom);
}

char *report_json(const struct serve_snapshot *s, const struct run_result *r)
{
	cJSON *root = cJSON_CreateObject();
	char *text = NULL;

	if (root && put_limits(root, s) && put_events(root, s) && put_stat(root, s) &&
	    put_cpu(root, r) && put_own(root, s, r))
		text = cJSON_Print(root);
	cJSON_Delete(root);
	return text;
}

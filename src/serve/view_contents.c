/* serve/view_contents.c - what /proc/meminfo and /proc/swaps say of a group. See view.h.
 *
 * Lines and widths are the host's, so that every parser goes on; numbers that a group has are the
 * group's. With swap the free memory that programs ask for is MemAvailable; swap stands apart, as
 * on a machine.
 *
 * Locks: none; pure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mm/mm_types.h"
#include "serve/view.h"

#define KIB 1024

static int64_t at_least_0(int64_t value)
{
	return value < 0 ? 0 : value;
}

/* The number of the line "KEY: N kB" of @host in bytes; -1: there is none. */
static int64_t host_bytes(const char *host, const char *key)
{
	size_t len = strlen(key);
	int64_t kib;

	for (const char *line = host; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ':' &&
		    sscanf(line + len + 1, "%" SCNd64, &kib) == 1)
			return kib * KIB;
	}
	return -1;
}

struct row {
	const char *key;
	int64_t bytes;
};

/* Java takes a limit for none that is not below all memory: where it is shown besides, there is a
 * page more. */
static int64_t total_of(const struct view_memory *m, bool with_swap, const char *host)
{
	int64_t all = host_bytes(host, "MemTotal"), total = m->max;

	if (total >= 0 && m->limit_shown)
		total += (int64_t)PAGE_SIZE;
	if (total >= 0 && with_swap && m->swap_max >= 0)
		total += m->swap_max;
	return total < 0 || (all >= 0 && total > all && !with_swap) ? all : total;
}

void view_meminfo(const struct view_memory *m, bool with_swap, const char *host, struct text *out)
{
	int64_t total = total_of(m, with_swap, host);
	int64_t used = m->current + (with_swap ? m->swap : 0);
	int64_t swap = with_swap          ? 0
		       : m->swap_max >= 0 ? m->swap_max
					  : at_least_0(host_bytes(host, "SwapTotal"));
	const struct row rows[] = {
		{ "MemTotal", total },
		{ "MemFree", at_least_0(total - used) },
		{ "MemAvailable", at_least_0(total - used + m->file) },
		{ "Buffers", 0 },
		{ "Cached", m->file + m->shmem },
		{ "SwapCached", 0 },
		{ "Active", m->active_anon },
		{ "Inactive", m->inactive_anon + m->file },
		{ "Active(anon)", m->active_anon },
		{ "Inactive(anon)", m->inactive_anon },
		{ "Active(file)", 0 },
		{ "Inactive(file)", m->file },
		{ "SwapTotal", swap },
		{ "SwapFree", at_least_0(swap - (with_swap ? 0 : m->swap)) },
		{ "AnonPages", m->anon },
		{ "KReclaimable", 0 },
		{ "Slab", 0 },
		{ "SReclaimable", 0 },
		{ "SUnreclaim", 0 },
		{ "Mlocked", 0 },
		{ "Dirty", 0 },
		{ "Writeback", 0 },
		{ "Mapped", 0 },
		{ "Shmem", m->shmem },
	};

	for (const char *line = host; line && *line;) {
		const char *end = strchrnul(line, '\n'),
			   *colon = memchr(line, ':', (size_t)(end - line));
		const struct row *row = NULL;

		for (size_t i = 0; colon && i < sizeof(rows) / sizeof(rows[0]); i++)
			if (strlen(rows[i].key) == (size_t)(colon - line) &&
			    strncmp(rows[i].key, line, (size_t)(colon - line)) == 0)
				row = &rows[i];
		if (row) {
			char key[32];

			snprintf(key, sizeof(key), "%s:", row->key);
			text_printf(out, "%-15s %8" PRId64 " kB\n", key, row->bytes / KIB);
		} else {
			text_printf(out, "%.*s\n", (int)(end - line), line);
		}
		line = *end ? end + 1 : NULL;
	}
}

void view_swaps(const struct view_memory *m, bool with_swap, struct text *out)
{
	text_puts(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	if (!with_swap && m->swap_max > 0)
		text_printf(out,
			    "/umemcg                                 file\t\t%" PRId64
			    "\t\t%" PRId64 "\t\t-2\n",
			    m->swap_max / KIB, m->swap / KIB);
}

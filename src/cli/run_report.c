/* cli/run_report.c - the human-readable report of `umemcg run`, and its status line. See
 * run_report.h.
 *
 * Locks: none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_report.h"

/* Bytes: this close counts as full, as charges come in batches. */
#define MEMSW_NEAR (1024 * 1024)

static void put_limits(FILE *f, const struct serve_snapshot *s)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];

	fprintf(f, "  memory       peak %s, max %s, high %s\n", size_format(a, s->memory_peak),
		size_format(b, s->memory_max), size_format(c, s->memory_high));
	fprintf(f, "  swap         peak %s, max %s, store %s\n", size_format(a, s->swap_peak),
		size_format(b, s->swap_max), s->store_name);
	fprintf(f, "  memory+swap  peak %s, max %s\n", size_format(a, s->memsw_peak),
		size_format(b, s->memsw_max));
	fprintf(f, "  unmanaged    peak %s, part of memory that cannot be swapped\n",
		size_format(a, s->unmanaged_peak));
	report_put_kinds(f, &s->unmanaged_most);
	fprintf(f, "  page tables  peak %s, part of unmanaged\n", size_format(a, s->tables_peak));
}

static void put_activity(FILE *f, const struct serve_snapshot *s)
{
	const int64_t *v = s->stat;
	char a[SIZE_TEXT_MAX];

	fprintf(f, "  faults       %" PRId64 ", of them %" PRId64 " major\n", v[STAT_PGFAULT],
		v[STAT_PGMAJFAULT]);
	fprintf(f, "  swapped      %" PRId64 " pages in, %" PRId64 " out, %" PRId64 " refaults\n",
		v[STAT_PSWPIN], v[STAT_PSWPOUT], v[STAT_REFAULT_ANON]);
	if (v[STAT_ZSWPOUT] || v[STAT_ZSWPIN])
		fprintf(f,
			"  compressed   %" PRId64 " pages in, %" PRId64 " out, %" PRId64
			" on to the file, peak %s\n",
			v[STAT_ZSWPIN], v[STAT_ZSWPOUT], v[STAT_ZSWPWB],
			size_format(a, s->zswap_peak));
	fprintf(f, "  reclaim      %" PRId64 " pages scanned, %" PRId64 " reclaimed\n",
		v[STAT_PGSCAN], v[STAT_PGSTEAL]);
	fprintf(f, "  waited       %.3f s for memory, all threads together\n",
		(double)v[STAT_STALL_US] / 1e6);
	fprintf(f, "  OOM kills    %" PRId64 "\n", s->event[EVENT_OOM_KILL]);
}

/* Prints a line about errors only if there were any. */
static void put_errors(FILE *f, const struct serve_snapshot *s)
{
	const int64_t *e = s->event;

	if (e[EVENT_SWAP_READ_ERR] || e[EVENT_SWAP_WRITE_ERR] || e[EVENT_SWAP_CORRUPT])
		fprintf(f,
			"  swap errors  %" PRId64 " read, %" PRId64 " write, %" PRId64 " corrupt\n",
			e[EVENT_SWAP_READ_ERR], e[EVENT_SWAP_WRITE_ERR], e[EVENT_SWAP_CORRUPT]);
	if (e[EVENT_SWAP_FAIL])
		fprintf(f, "  swap full    %" PRId64 " times\n", e[EVENT_SWAP_FAIL]);
}

/* Other processes choose the names: they must not move the cursor. */
static void put_name(FILE *f, const char *before, const char *name)
{
	char plain[4 * TEXT_NAME_MAX];

	(void)text_plain(plain, sizeof(plain), TEXT_NAME(name));
	fprintf(f, "%s%s", before, plain);
}

static void put_processes(FILE *f, const struct serve_snapshot *s)
{
	fprintf(f, "  processes    %" PRIu64 " managed, %" PRIu64 " not managed", s->clients_total,
		s->unmanaged_total);
	for (unsigned i = 0; i < s->nr_unmanaged_names; i++)
		put_name(f, i ? ", " : ": ", s->unmanaged_name[i]);
	if (s->nr_unmanaged_names && s->unmanaged_total > s->nr_unmanaged_names)
		fputs(", ...", f);
	fputc('\n', f);
	if (s->found_late_total)
		fprintf(f,
			"  found late   %" PRIu64 " processes, up to %" PRIu64
			" ms after they began: the limit may not have held\n",
			s->found_late_total, s->found_late_ms);
	if (s->unmeasured_total)
		fprintf(f,
			"  unmeasured   %" PRIu64 " processes, for which the limit may not hold\n",
			s->unmeasured_total);
}

char *report_text(const struct serve_snapshot *s, const struct run_result *r)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX];
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	put_name(f, "umemcg: ", r->program);
	fprintf(f, " ended with status %d after %.2f s\n", r->exit_status,
		(double)r->elapsed_us / 1e6);
	fprintf(f, "  mode         %s\n", s->mode);
	put_limits(f, s);
	put_activity(f, s);
	put_errors(f, s);
	put_processes(f, s);
	fprintf(f, "  supervisor   %s of metadata, page buffers at most %s\n",
		size_format(a, s->metadata_bytes), size_format(b, s->home_peak));
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* What the user can do. A full disk comes first: a higher limit would not help. */
static void oom_remedy(char text[OOM_TEXT_MAX], const struct run_options *o,
		       const struct serve_snapshot *s)
{
	const char *dir = TEXT_NAME(o->config.swap_dir);
	/* Some are in the books, others only measured. */
	int64_t forked = s->oom_forked + s->unmanaged_oom.kind[SERVE_KIND_FORKED];
	int64_t others = s->oom_unmanaged - s->unmanaged_oom.kind[SERVE_KIND_FORKED];
	char most[SIZE_TEXT_MAX], stays[SIZE_TEXT_MAX], kinds[OOM_TEXT_MAX / 2];

	report_kinds_remedy(kinds, sizeof(kinds), &s->unmanaged_oom, o->config.kernel_sysv);
	if (s->swap_disk_full)
		snprintf(text, OOM_TEXT_MAX,
			 "the disk of swap directory '%s' is full: free space there, or give "
			 "another "
			 "with --swap DIR",
			 dir);
	else if (s->memsw_max != SERVE_UNLIMITED && s->memsw_peak > s->memsw_max - MEMSW_NEAR)
		snprintf(text, OOM_TEXT_MAX, "both together may be %s: raise --memsw-max",
			 size_format(most, s->memsw_max));
	else if (s->oom_tables > s->memory_max / 2)
		snprintf(text, OOM_TEXT_MAX,
			 "%s of that memory is page tables, for memory spread thinly over its "
			 "addresses: "
			 "raise -m",
			 size_format(stays, s->oom_tables));
	else if (forked > others && forked + others > s->memory_max / 2)
		snprintf(text, OOM_TEXT_MAX,
			 "%s of that memory is of processes that were forked "
			 "past libc's fork, and cannot be swapped: raise -m, or call libc's",
			 size_format(stays, forked));
	else if (s->oom_unmanaged > s->memory_max / 2)
		/* More swap would stay unused. */
		snprintf(text, OOM_TEXT_MAX,
			 "%s of that memory is not managed and cannot be swapped%.500s",
			 size_format(stays, s->oom_unmanaged), *kinds ? kinds : ": raise -m");
	else if (o->swap_bound == SWAP_BOUND_DISK)
		snprintf(
			text, OOM_TEXT_MAX,
			"swap directory '%s' had no more room: raise -m, or give another directory "
			"with --swap DIR",
			dir);
	else if (o->swap_bound == SWAP_BOUND_FILE_SIZE)
		snprintf(text, OOM_TEXT_MAX, "'ulimit -f' bounds the swap file: raise it, or -m");
	else
		snprintf(text, OOM_TEXT_MAX, "raise -m or --swap-max");
}

void report_oom(char text[OOM_TEXT_MAX], const struct run_options *o,
		const struct serve_snapshot *s)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX], d[SIZE_TEXT_MAX];
	char remedy[OOM_TEXT_MAX];

	oom_remedy(remedy, o, s);
	snprintf(text, OOM_TEXT_MAX,
		 "'%s' was killed: it and what it started ran out of memory (%s used of %s) and "
		 "swap "
		 "(%s of %s); %.600s",
		 TEXT_NAME(o->argv[0]), size_format(a, s->oom_memory),
		 size_format(b, s->memory_max), size_format(c, s->oom_swap),
		 size_format(d, s->swap_max), remedy);
}

void report_status(char line[STATUS_MAX], const struct serve_snapshot *s, double faults_per_s)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];

	snprintf(line, STATUS_MAX, "memory %s / %s  swap %s  faults %.0f/s  processes %" PRIu64,
		 size_format(a, s->memory_current), size_format(b, s->memory_max),
		 size_format(c, s->swap_current), faults_per_s, s->processes_now);
}

/* serve/client/census.c - the list of the program's processes: one line per program that a process
 * ran.
 *
 *     PID KIND FOUND_MS PEAK_KIB NAME      separated by tabs
 *
 * KIND is what umemcg can do for it: "managed"; "measured": charged, and stopped or killed for the
 * limit, but not swapped; "shared": it shares the memory of another line's process (vfork,
 * CLONE_VM). FOUND_MS is when it was found, relative to the start in the first line
 * (CLOCK_MONOTONIC); PEAK_KIB is the largest amount of memory seen. A line is written when the
 * address space is gone; a "shared" one at once.
 *
 * Locks: none. A line is one write to a file opened for appending.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "serve/client/client.h"

#define NAME_BYTES 32
#define LINE_MAX   256

struct census {
	uint64_t start_ns; /* (C) */
	atomic32_t failed; /* (A) 1: a line is missing, and that was said */
};

/* Only the first failure is reported; the program goes on. */
static void put_line(struct supervisor *s, const char *line, int n)
{
	ssize_t put = write(s->config.processes_fd, line, (size_t)n);

	VM_ASSERT(n > 0);
	if (put != n && !a32_xchg(&s->census->failed, 1))
		supervisor_notice(s,
				  "option --processes: cannot write the list of processes: %s; "
				  "it is not complete",
				  put < 0 ? strerror(errno) : "no room");
}

static void put(struct supervisor *s, pid_t pid, const char *kind, uint64_t found_ns, int64_t peak,
		const char *name)
{
	char line[LINE_MAX], plain[4 * NAME_BYTES];
	int n;

	VM_ASSERT(peak >= 0);
	(void)text_plain(plain, sizeof(plain), name);
	n = snprintf(line, sizeof(line), "%d\t%s\t%" PRIu64 "\t%" PRId64 "\t%s\n", (int)pid, kind,
		     (found_ns - s->census->start_ns) / 1000000, peak * (int64_t)PAGE_SIZE / 1024,
		     plain);
	put_line(s, line, n);
}

int census_init(struct supervisor *s)
{
	char line[LINE_MAX];
	int n;

	if (supervisor_part(&s->census, sizeof(*s->census)))
		return -ENOMEM;
	s->census->start_ns = plat_now_ns();
	if (s->config.processes_fd <= 0)
		return 0;
	n = snprintf(line, sizeof(line),
		     "# pid\tkind\tfound_ms\tpeak_kib\tname\t(start: %" PRIu64 " ms)\n",
		     s->census->start_ns / 1000000);
	put_line(s, line, n);
	return 0;
}

void census_fini(struct supervisor *s)
{
	plat_free(s->census);
}

void census_peak(struct client *c)
{
	int64_t now = a64_load(&c->host.mm->rss) + a64_load(&c->host.mm->unmanaged);

	assert_referenced(c);
	if (now > a64_load(&c->peak))
		a64_store(&c->peak, now);
}

void census_end(struct client *c, enum client_state was)
{
	struct supervisor *s = c->s;

	assert_referenced(c);
	/* A client that was only on its way to an exec or a HELLO is covered by the line of what it
	 * was before or became. */
	if (s->config.processes_fd <= 0 || !c->host.pid ||
	    (c->unmanaged && (was == CLIENT_EXECUTING || c->introduced)))
		return;
	put(s, c->host.pid, c->sock >= 0 ? "managed" : "measured", c->found_ns, a64_load(&c->peak),
	    c->comm);
}

void census_shared(struct supervisor *s, pid_t pid)
{
	char name[NAME_BYTES];

	VM_ASSERT(pid > 0);
	if (s->config.processes_fd <= 0)
		return;
	proc_comm(pid, name, sizeof(name));
	put(s, pid, "shared", plat_now_ns(), 0, name);
}

/* cli/run_status.c - see run_status.h.
 *
 * Locks: none; the main thread's.
 */
#include "cli/run_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/console.h"
#include "cli/run_report.h"

#define STATUS_INTERVAL_MS 250
#define NS_PER_MS          1000000ull

void run_status_init(struct run_status *r, const char *program)
{
	*r = (struct run_status){ .program = program, .shown_ns = plat_now_ns() };
}

int run_status_pause_ms(const struct run_status *r, const struct console *c)
{
	int pause = c->quiet ? -1 : thrash_pause_ms(&r->thrash);

	return c->live && (pause < 0 || pause > STATUS_INTERVAL_MS) ? STATUS_INTERVAL_MS : pause;
}

static void show(struct run_status *r, struct console *c, const struct serve_snapshot *snap,
		 uint64_t now)
{
	const double seconds = (double)(now - r->shown_ns) / 1e9;
	const int64_t faults = snap->stat[STAT_PGFAULT];
	char line[STATUS_MAX];

	report_status(line, snap, seconds > 0 ? (double)(faults - r->faults) / seconds : 0);
	console_status(c, line);
	r->shown_ns = now;
	r->faults = faults;
}

static void look_for_thrashing(struct run_status *r, struct console *c,
			       const struct serve_snapshot *snap, uint64_t now)
{
	const int64_t pages = snap->stat[STAT_PSWPIN];
	const bool wanted = thrash_wants_look(&r->thrash, pages, now);
	char text[CONSOLE_TEXT_MAX];
	struct strain strain;
	int part;

	if (wanted)
		strain_look(getpid(), &strain);
	part = thrash_look(&r->thrash, now, pages, wanted ? &strain : NULL);
	if (!part)
		return;
	snprintf(text, sizeof(text),
		 "'%s' is thrashing: %d %% of its time in the last %d s went to waiting for memory "
		 "that is in swap; raise -m",
		 TEXT_NAME(r->program), part, THRASH_WINDOW_S);
	console_notice(c, text);
}

void run_status_update(struct run_status *r, struct console *c, struct supervisor *s, bool at_once)
{
	const uint64_t now = plat_now_ns();
	const bool shows =
		c->live && (at_once || now - r->shown_ns >= STATUS_INTERVAL_MS * NS_PER_MS);
	const bool looks = !at_once && !c->quiet && thrash_due(&r->thrash, now);
	struct serve_snapshot snap;

	if (!shows && !looks)
		return;
	supervisor_snapshot(s, &snap);
	if (shows)
		show(r, c, &snap, now);
	if (looks)
		look_for_thrashing(r, c, &snap, now);
}

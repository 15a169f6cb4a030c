/* cli/thrash.c - see thrash.h.
 *
 * Locks: none.
 */
#include "cli/thrash.h"

#include "plat/plat.h"

#define NS_PER_MS 1000000ull

int thrash_pause_ms(const struct thrash *t)
{
	if (t->said)
		return -1;
	return t->start_ns ? THRASH_LOOK_MS : THRASH_PAUSE_MS;
}

bool thrash_due(const struct thrash *t, uint64_t now_ns)
{
	int pause = thrash_pause_ms(t);

	return pause >= 0 && now_ns - t->last_ns >= (uint64_t)pause * NS_PER_MS;
}

/* Have so many pages come back since the last look that memory may be the cause? */
static bool fast(const struct thrash *t, int64_t pages, uint64_t now_ns)
{
	const double seconds = (double)(now_ns - t->last_ns) / 1e9;

	return t->last_ns && (double)(pages - t->last_pages) >= seconds * THRASH_PAGES;
}

bool thrash_wants_look(const struct thrash *t, int64_t pages, uint64_t now_ns)
{
	return !t->said && (t->start_ns || fast(t, pages, now_ns));
}

/* The kernel's part is the way into faults and out of them, as long as pages come so fast. */
static int percent(const struct thrash *t, const struct strain *look, uint64_t elapsed_us)
{
	double waiting = (double)t->waiting / t->looks * (double)elapsed_us;
	double user = (double)(look->user_us - t->user_us);
	double kernel = (double)(look->system_us - t->system_us);

	VM_ASSERT(t->looks > 0);
	if (look->user_us < t->user_us || look->system_us < t->system_us ||
	    kernel + waiting < (double)elapsed_us / 2)
		return 0; /* processes have ended, their time is not known; or it mostly rests */
	return (int)(100 * (kernel + waiting) / (user + kernel + waiting));
}

static void begin(struct thrash *t, uint64_t now_ns, int64_t pages, const struct strain *look)
{
	t->start_ns = now_ns;
	t->pages = pages;
	t->waiting = t->looks = 0;
	t->user_us = look->user_us;
	t->system_us = look->system_us;
}

int thrash_look(struct thrash *t, uint64_t now_ns, int64_t pages, const struct strain *look)
{
	const uint64_t window_ns = THRASH_WINDOW_S * 1000 * NS_PER_MS;
	int part;

	VM_ASSERT(now_ns > t->last_ns && pages >= t->last_pages);
	if (look && !t->start_ns) {
		begin(t, now_ns, pages, look);
	} else if (look) {
		t->waiting += look->waiting;
		t->looks++;
	}
	t->last_ns = now_ns;
	t->last_pages = pages;
	if (!look || now_ns - t->start_ns < window_ns)
		return 0;
	part = percent(t, look, (now_ns - t->start_ns) / 1000);
	if (pages - t->pages < THRASH_PAGES * THRASH_WINDOW_S) {
		t->start_ns = 0;
		return 0;
	}
	begin(t, now_ns, pages, look);
	t->said = part >= THRASH_PERCENT;
	return t->said ? part : 0;
}

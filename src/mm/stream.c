/* mm/stream.c - recognising sequential access, upwards and downwards.
 *
 * Each address space has a small table of where each known stream should fault next. A predicted
 * fault doubles its stream's window; any other fault replaces the least recently used stream by a
 * new one with a small window. So random access brings in single pages, and scans bring in
 * FAULT_PAGES_MAX.
 *
 * Resident pages do not fault: a stream that meets some continues behind them, within its window or
 * up to one window beyond it. For pages from swap that is the same stream, with its current window.
 *
 * A window ends with its leaf, as nothing is mapped across leaves: a stream must not expect what
 * the fault cannot bring in, or it would start anew behind every leaf.
 *
 * A stream whose window has grown is worth reading ahead, and proposes it (f->ahead): enough
 * windows to keep the device busy, each once.
 */
#include "mm/fault.h"

#define AHEAD_MIN     16u /* pages: a smaller window may be chance */
#define AHEAD_WINDOWS 2u  /* reads that keep a device busy */

static uint64_t bytes(unsigned pages)
{
	return (uint64_t)pages << PAGE_SHIFT;
}

static struct stream *stream_find(struct mm *mm, uint64_t va, bool *down)
{
	lockdep_assert_held(&mm->stream_lock);
	for (unsigned i = 0; i < MM_STREAMS; i++) {
		struct stream *s = &mm->streams[i];

		*down = s->prev == va;
		if (s->next && (s->next == va || *down))
			return s;
	}
	return NULL;
}

/* A stream that would fault at @va if it skipped resident pages. *@n: the rest of its window, or a
 * new window. */
static struct stream *stream_skipping(struct mm *mm, uint64_t va, bool *down, unsigned *n)
{
	lockdep_assert_held(&mm->stream_lock);
	for (unsigned i = 0; i < MM_STREAMS; i++) {
		struct stream *s = &mm->streams[i];
		uint64_t span = bytes(s->window);

		if (!s->next || s->window == 1 || !s->skips)
			continue;
		*down = s->down;
		*n = s->window;
		if (!s->down && va > s->prev + PAGE_SIZE &&
		    va - s->prev < s->next - s->prev + span) {
			if (va < s->next)
				*n = (unsigned)((s->next - va) >> PAGE_SHIFT);
			return s;
		}
		if (s->down && va < s->next - PAGE_SIZE &&
		    s->next - va < s->next - s->prev + span) {
			if (va > s->prev)
				*n = (unsigned)((va - s->prev) >> PAGE_SHIFT);
			return s;
		}
	}
	return NULL;
}

static struct stream *stream_oldest(struct mm *mm)
{
	struct stream *oldest = &mm->streams[0];

	lockdep_assert_held(&mm->stream_lock);
	for (unsigned i = 1; i < MM_STREAMS; i++)
		if (mm->stream_clock - mm->streams[i].stamp > mm->stream_clock - oldest->stamp)
			oldest = &mm->streams[i];
	return oldest;
}

unsigned window_max(int64_t limit)
{
	int64_t n = limit / 16;

	if (n < 1)
		n = 1;
	return n > FAULT_PAGES_MAX ? FAULT_PAGES_MAX : (unsigned)n;
}

/* The smallest limit that applies to a charge of @memcg. */
static int64_t smallest_limit(const struct mem_cgroup *memcg)
{
	int64_t limit = PAGE_COUNTER_MAX;

	for (; memcg; memcg = memcg->parent)
		if (a64_load(&memcg->memory.max) < limit)
			limit = a64_load(&memcg->memory.max);
	return limit;
}

/* Propose the not yet proposed part of the AHEAD_WINDOWS windows that follow the stream's last one.
 * stream_lock held. */
static void propose_ahead(struct fault *f, struct stream *s)
{
	uint64_t reach = AHEAD_WINDOWS * bytes(s->window), start, end;

	lockdep_assert_held(&f->mm->stream_lock);
	if (s->window < AHEAD_MIN)
		return;
	if (s->down) {
		end = s->prev + PAGE_SIZE;
		start = end > reach ? end - reach : 0;
		if (s->ahead > start && s->ahead < end)
			end = s->ahead;
		s->ahead = start;
	} else {
		start = s->next;
		end = start + reach;
		if (s->ahead > start && s->ahead <= end)
			start = s->ahead;
		s->ahead = end;
	}
	f->ahead = start;
	f->ahead_n = (unsigned)((end - start) >> PAGE_SHIFT);
}

void stream_window(struct fault *f, unsigned first, bool skips)
{
	uint64_t leaf = f->va & ~(LEAF_SPAN - 1), up = (leaf + LEAF_SPAN - f->va) >> PAGE_SHIFT;
	unsigned max = window_max(smallest_limit(f->memcg)), n = UINT32_MAX;
	struct mm *mm = f->mm;
	struct stream *s;
	bool down = false;

	spin_lock(&mm->stream_lock);
	s = stream_find(mm, f->va, &down);
	if (s) {
		s->window *= 2;
	} else if (!skips || !(s = stream_skipping(mm, f->va, &down, &n))) {
		down = false;
		s = stream_oldest(mm);
		s->window = first;
		s->ahead = 0;
	}
	if (s->window > max)
		s->window = max;
	if (n > s->window)
		n = s->window;
	f->start = f->va;
	f->n = n < up ? n : (unsigned)up;
	if (down) {
		uint64_t back = bytes(n - 1);

		f->start = f->va - leaf > back ? f->va - back : leaf;
		f->n = (unsigned)((f->va - f->start) >> PAGE_SHIFT) + 1;
	}
	s->next = f->start + bytes(f->n);
	s->prev = f->start - PAGE_SIZE;
	s->down = down;
	s->skips = skips;
	s->stamp = ++mm->stream_clock;
	propose_ahead(f, s);
	spin_unlock(&mm->stream_lock);
}

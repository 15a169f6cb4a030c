/* mm/stream.c - recognising sequential access, upwards and downwards.
 *
 * A small table an address space: where each known stream should fault next. A fault that a stream predicted doubles
 * its window; any other fault starts a new stream in the place of the one unused for longest, with a small window. So
 * random access brings single pages and scans bring FAULT_PAGES_MAX.
 *
 * A window ends with its leaf, as nothing is mapped across leaves: what the fault cannot bring must not be waited for, or the stream
 * would begin anew behind every leaf.
 */
#include "mm/fault.h"

static struct stream *stream_find(struct mm *mm, uint64_t va, bool *down)
{
	for (unsigned i = 0; i < MM_STREAMS; i++) {
		struct stream *s = &mm->streams[i];

		*down = s->prev == va;
		if (s->next && (s->next == va || *down))
			return s;
	}
	return NULL;
}

static struct stream *stream_oldest(struct mm *mm)
{
	struct stream *oldest = &mm->streams[0];

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

/* The smallest limit that a charge for @memcg has to meet. */
static int64_t smallest_limit(const struct mem_cgroup *memcg)
{
	int64_t limit = PAGE_COUNTER_MAX;

	for (; memcg; memcg = memcg->parent)
		if (a64_load(&memcg->memory.max) < limit)
			limit = a64_load(&memcg->memory.max);
	return limit;
}

void stream_window(struct fault *f, unsigned first)
{
	uint64_t leaf = f->va & ~(LEAF_SPAN - 1), up = (leaf + LEAF_SPAN - f->va) >> PAGE_SHIFT;
	unsigned max = window_max(smallest_limit(f->memcg));
	struct mm *mm = f->mm;
	struct stream *s;
	bool down = false;

	spin_lock(&mm->stream_lock);
	s = stream_find(mm, f->va, &down);
	if (s) {
		s->window *= 2;
	} else {
		s = stream_oldest(mm);
		s->window = first;
	}
	if (s->window > max)
		s->window = max;
	f->start = f->va;
	f->n = s->window < up ? s->window : (unsigned)up;
	if (down) {
		uint64_t back = (uint64_t)(s->window - 1) << PAGE_SHIFT;

		f->start = f->va - leaf > back ? f->va - back : leaf;
		f->n = (unsigned)((f->va - f->start) >> PAGE_SHIFT) + 1;
	}
	s->next = f->start + ((uint64_t)f->n << PAGE_SHIFT);
	s->prev = f->start - PAGE_SIZE;
	s->stamp = ++mm->stream_clock;
	spin_unlock(&mm->stream_lock);
}

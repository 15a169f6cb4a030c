/* tests/native/prog/mmapstorm.c - mmapstorm [SECONDS] [THREADS] [SEED]
 *
 * Threads that map, write, check, drop and unmap small areas at random. Each thread knows what
 * each of its pages must hold.
 */
#include <pthread.h>

#include "prog.h"

#define MAX_THREADS 16
#define AREAS       128
#define AREA_PAGES  64

struct area {
	char *at; /* NULL: not mapped */
	size_t n;
	uint32_t version[AREA_PAGES]; /* 0: never written, so zero */
};

struct storm {
	pthread_t thread;
	uint64_t random, ops;
	uint64_t id;
	struct area areas[AREAS];
};

static double stop_at;

static uint64_t page_id(const struct storm *s, const struct area *a, size_t i)
{
	return s->id + (uint64_t)(a - s->areas) * AREA_PAGES + i;
}

static void check_page(const struct storm *s, const struct area *a, size_t i)
{
	const char *page = a->at + i * PAGE;

	if (a->version[i] ? !page_is(page, page_id(s, a, i), a->version[i]) : !page_is_zero(page))
		fail("area %td page %zu, version %u, is wrong after %lu steps", a - s->areas, i,
		     a->version[i], (unsigned long)s->ops);
}

static void map_area(struct storm *s, struct area *a)
{
	a->n = 1 + rnd(&s->random) % AREA_PAGES;
	a->at = map_bytes(a->n * PAGE);
	memset(a->version, 0, sizeof(a->version));
}

static void write_pages(struct storm *s, struct area *a, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		check_page(s, a, i);
		a->version[i]++;
		page_fill(a->at + i * PAGE, page_id(s, a, i), a->version[i]);
	}
}

static void unmap_all(struct storm *s, struct area *a)
{
	for (size_t i = 0; i < a->n; i++)
		check_page(s, a, i);
	EXPECT(munmap(a->at, a->n * PAGE) == 0);
	a->at = NULL;
}

static void drop_pages(struct area *a, size_t from, size_t to)
{
	EXPECT(madvise(a->at + from * PAGE, (to - from) * PAGE, MADV_DONTNEED) == 0);
	memset(a->version + from, 0, (to - from) * sizeof(*a->version));
}

/* Cut the area's end off. */
static void trim(struct area *a, size_t keep)
{
	EXPECT(munmap(a->at + keep * PAGE, (a->n - keep) * PAGE) == 0);
	a->n = keep;
}

static void step(struct storm *s)
{
	struct area *a = &s->areas[rnd(&s->random) % AREAS];
	size_t from, to;

	if (!a->at) {
		map_area(s, a);
		return;
	}
	from = rnd(&s->random) % a->n;
	to = from + 1 + rnd(&s->random) % (a->n - from);
	switch (rnd(&s->random) % 16) {
	case 0:
		unmap_all(s, a);
		break;
	case 1:
		drop_pages(a, from, to);
		break;
	case 2:
		if (from)
			trim(a, from);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		for (size_t i = from; i < to; i++)
			check_page(s, a, i);
		break;
	default:
		write_pages(s, a, from, to);
	}
}

static void *storm(void *arg)
{
	struct storm *s = arg;

	while (now_us() < stop_at) {
		for (int i = 0; i < 16; i++, s->ops++)
			step(s);
	}
	for (unsigned i = 0; i < AREAS; i++)
		if (s->areas[i].at)
			unmap_all(s, &s->areas[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long seconds = arg_number(argc, argv, 1, 5);
	unsigned long nr = arg_number(argc, argv, 2, 2);
	unsigned long seed = arg_number(argc, argv, 3, 1);
	static struct storm storms[MAX_THREADS];
	uint64_t ops = 0;

	if (!nr || nr > MAX_THREADS)
		fail("1 to %d threads", MAX_THREADS);
	stop_at = now_us() + (double)seconds * 1e6;
	for (unsigned long i = 0; i < nr; i++) {
		storms[i].random = seed * 1000 + i;
		storms[i].id = (uint64_t)(i + 1) << 32;
		EXPECT(pthread_create(&storms[i].thread, NULL, storm, &storms[i]) == 0);
	}
	for (unsigned long i = 0; i < nr; i++) {
		EXPECT(pthread_join(storms[i].thread, NULL) == 0);
		ops += storms[i].ops;
	}
	return ok("%lu s, %lu threads, seed %lu, %lu steps", seconds, nr, seed, (unsigned long)ops);
}

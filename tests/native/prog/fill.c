/* tests/native/prog/fill.c - fill MIB [PHASES]
 *
 * Phases, each over all pages, every page checked before it is changed: f fill, s change in order,
 * r change in random order (each page once), v check in order; h holds still for a second.
 * Default fsrv. Prints microseconds a page of each phase; the benchmark reads them.
 */
#include "prog.h"

struct fill {
	char *area;
	size_t n;
	uint64_t version; /* of every page, between phases */
	uint64_t seed;
};

static void change(struct fill *f, size_t i)
{
	char *page = f->area + i * PAGE;

	if (!page_is(page, i, f->version))
		fail("page %zu of %zu is wrong", i, f->n);
	page_change(page, i, f->version + 1);
}

static void change_in_order(struct fill *f)
{
	for (size_t i = 0; i < f->n; i++)
		change(f, i);
	f->version++;
}

/* Every number below a power of two once, those that are no page passed over: no table needed. */
static void change_at_random(struct fill *f)
{
	size_t size = 1, at;

	while (size < f->n)
		size *= 2;
	at = f->seed++ % size;
	for (size_t k = 0; k < size; k++) {
		at = (at * 1664525 + 1013904223) % size;
		if (at < f->n)
			change(f, at);
	}
	f->version++;
}

static const char *phase(struct fill *f, char letter)
{
	switch (letter) {
	case 'f':
		area_fill(f->area, f->n, 0, f->version);
		return "fill";
	case 's':
		change_in_order(f);
		return "seq";
	case 'r':
		change_at_random(f);
		return "random";
	case 'v':
		area_check(f->area, f->n, 0, f->version, "in the check phase");
		return "check";
	case 'h':
		sleep(1);
		return "hold";
	}
	fail("no phase '%c': use f s r v h", letter);
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 64);
	const char *phases = argc > 2 ? argv[2] : "fsrv";
	struct fill f = { .n = mib * PAGES_PER_MIB, .seed = 12345 };
	char text[200] = "";
	size_t len = 0;

	if (!f.n)
		fail("usage: fill MIB [PHASES of f s r v h]");
	f.area = map_bytes(f.n * PAGE);
	for (const char *p = phases; *p; p++) {
		double start = now_us();
		const char *name = phase(&f, *p);
		double us = (now_us() - start) / (double)f.n;

		if (*p != 'h' && len < sizeof(text) - 30)
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %.3f", name,
						us);
	}
	return ok("%lu MiB, us/page:%s", mib, text);
}

/* memfd MIB [STEPS [SEED]] - a memfd as a heap, behind a shadow: mappings of it, at fixed addresses
 * and elsewhere, changes of its size and holes are done to the memfd and, in plain memory, to the
 * shadow; both must be equal. Children take part.
 *
 * The steps are random, but the same for the same seed.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "prog.h"

#define VIEWS   4
#define IO_MOST (64ul * 1024)

static struct view {
	char *at;
	size_t first, n; /* pages of the file; n = 0: not mapped */
} view[VIEWS];

static int fd;
static char *shadow;
static size_t most, size; /* bytes: of the shadow; of the file */
static uint64_t state;

static size_t below(size_t n)
{
	return n ? rnd(&state) % n : 0;
}

static void noise(char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)rnd(&state);
}

/* ---- mappings ---- */

static void unmap(struct view *v)
{
	if (v->n)
		EXPECT(munmap(v->at, v->n * PAGE) == 0);
	v->n = 0;
}

/* A random part of the file, in a new place or over the old one. */
static void map(struct view *v)
{
	const size_t pages = most / PAGE, n = 1 + below(pages / 2), first = below(pages - n + 1);
	void *over = NULL;

	if (v->n >= n && below(2)) {
		over = v->at;
		if (v->n > n)
			EXPECT(munmap(v->at + n * PAGE, (v->n - n) * PAGE) == 0);
	} else {
		unmap(v);
	}
	v->at = mmap(over, n * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | (over ? MAP_FIXED : 0) | (below(8) ? 0 : MAP_POPULATE), fd,
		     (off_t)(first * PAGE));
	EXPECT(v->at != MAP_FAILED);
	v->first = first;
	v->n = n;
}

static void map_one(void)
{
	map(&view[below(VIEWS)]);
}

static struct view *some_view(void)
{
	struct view *v = &view[below(VIEWS)];

	if (!v->n)
		map(v);
	return v;
}

/* A random part of the view, within the file: *@at of the file. 0: there is none. */
static size_t part(const struct view *v, size_t longest, size_t *at)
{
	const size_t start = v->first * PAGE;
	size_t end = (v->first + v->n) * PAGE;

	if (end > size)
		end = size;
	if (start >= end)
		return 0;
	*at = start + below(end - start);
	if (longest > end - *at)
		longest = end - *at;
	return 1 + below(longest);
}

static void store(void)
{
	const struct view *v = some_view();
	size_t at, n = part(v, IO_MOST, &at);

	if (!n)
		return;
	noise(shadow + at, n);
	memcpy(v->at + (at - v->first * PAGE), shadow + at, n);
}

static void load(void)
{
	const struct view *v = some_view();
	size_t at, n = part(v, IO_MOST, &at);

	if (n && memcmp(v->at + (at - v->first * PAGE), shadow + at, n) != 0)
		fail("%zu bytes at %zu are wrong in a mapping", n, at);
}

static void protect(void)
{
	struct view *v = some_view();

	EXPECT(mprotect(v->at, v->n * PAGE, PROT_READ) == 0);
	EXPECT(mprotect(v->at, v->n * PAGE, PROT_READ | PROT_WRITE) == 0);
	EXPECT(madvise(v->at, v->n * PAGE, MADV_DONTNEED) == 0);
}

static void clear(size_t at, size_t n)
{
	if (at < size)
		memset(shadow + at, 0, n < size - at ? n : size - at);
}

static void discard(void)
{
	struct view *v = some_view();
	const size_t n = 1 + below(v->n < 32 ? v->n : 32), first = below(v->n - n + 1);

	EXPECT(madvise(v->at + first * PAGE, n * PAGE, MADV_REMOVE) == 0);
	clear((v->first + first) * PAGE, n * PAGE);
}

/* Move it; or map it once more by an old size of nothing. */
static void move(void)
{
	struct view *v = some_view(), *w = &view[below(VIEWS)];
	char *at;

	if (v == w) {
		at = mremap(v->at, v->n * PAGE, v->n * PAGE, MREMAP_MAYMOVE);
		EXPECT(at != MAP_FAILED);
		v->at = at;
		return;
	}
	unmap(w);
	at = mremap(v->at, 0, v->n * PAGE, MREMAP_MAYMOVE);
	EXPECT(at != MAP_FAILED);
	*w = (struct view){ at, v->first, v->n };
}

/* ---- the descriptor ---- */

static void resize(void)
{
	size_t to = below(8) ? most - below(most / 4) : below(most);

	if (below(2))
		to = (to + PAGE - 1) & ~(PAGE - 1);
	EXPECT(ftruncate(fd, (off_t)to) == 0);
	/* A shrinking file loses what is behind its end, also when it grows again. */
	if (to < size)
		memset(shadow + to, 0, size - to);
	size = to;
}

static void punch(void)
{
	const size_t n = 1 + below(IO_MOST), at = below(most - n);

	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)n) == 0);
	clear(at, n);
}

static void reserve(void)
{
	const size_t n = 1 + below(IO_MOST), at = below(most - n);
	const bool keep = below(2);

	EXPECT((keep ? fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)n)
		     : posix_fallocate(fd, (off_t)at, (off_t)n)) == 0);
	if (!keep && at + n > size)
		size = at + n;
}

static void look(void)
{
	struct stat st;

	EXPECT(fstat(fd, &st) == 0 && (size_t)st.st_size == size);
}

/* A child does some steps, and its parent sees them. */

static void fork_one(void)
{
	const size_t first = below(most / PAGE), n = 1 + below(16);
	const uint64_t seed = rnd(&state);
	int status;
	pid_t pid;

	if ((first + n) * PAGE > size)
		return;
	pid = fork();
	EXPECT(pid >= 0);
	for (size_t i = first; i < first + n; i++)
		page_fill(shadow + i * PAGE, i, seed);
	if (pid == 0) {
		char *at = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				(off_t)(first * PAGE));

		EXPECT(at != MAP_FAILED);
		for (size_t i = 0; i < n; i++)
			page_fill(at + i * PAGE, first + i, seed);
		for (int i = 0; i < 8; i++)
			load();
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void step(void)
{
	static void (*const act[])(void) = {
		store,   store,   store,   store, store,  load,  load,    load, load,
		map_one, protect, discard, move,  resize, punch, reserve, look,
	};

	act[below(sizeof(act) / sizeof(act[0]))]();
}

static void compare(void)
{
	const size_t pages = (size + PAGE - 1) / PAGE;
	char *at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	EXPECT(!pages || at != MAP_FAILED);
	for (size_t i = 0; i < size; i += PAGE)
		if (memcmp(at + i, shadow + i, size - i < PAGE ? size - i : PAGE) != 0)
			fail("page %zu is wrong in the end", i / PAGE);
}

int main(int argc, char **argv)
{
	const unsigned long mib = arg_number(argc, argv, 1, 32),
			    steps = arg_number(argc, argv, 2, 4000);

	state = arg_number(argc, argv, 3, 1);
	most = size = mib * MIB;
	shadow = map_bytes(most);
	fd = memfd_create("test", MFD_CLOEXEC);
	if (fd < 0)
		cannot_run("memfd_create: %s", strerror(errno));
	EXPECT(ftruncate(fd, (off_t)size) == 0);
	view[0] = (struct view){ mmap(map_bytes(most), most, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd, 0),
				 0, most / PAGE };
	EXPECT(view[0].at != MAP_FAILED);
	area_fill(view[0].at, most / PAGE, 0, 0);
	area_fill(shadow, most / PAGE, 0, 0);
	for (unsigned long i = 0; i < steps; i++) {
		step();
		if (i % 64 == 0)
			fork_one();
	}
	compare();
	return ok("%lu MiB, %lu steps", mib, steps);
}

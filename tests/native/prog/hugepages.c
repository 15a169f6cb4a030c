/* tests/native/prog/hugepages.c - a client with memory that wants huge pages, or does not.
 *
 *     hugepages [-a ADVICE] [-r READS] [-k KIND] [-c] MIB
 *
 * Maps MIB MiB, aligned to 2 MiB, gives ADVICE (huge, nohuge or none), reads READS words of it at
 * random, which must be zeros, writes every page, reads as many words again, and checks each
 * against what was written. -k says what happens to the memory before it is used: map (nothing),
 * fork (a child uses it), move (it grows by mremap), early (it was touched before), off (the
 * process switches huge pages off), twoparts (the second half is advised against), threads (four
 * threads touch it at once); or after it was used: discard, unmap, shrink (all but the first page
 * of each 2 MiB, or the second half of them, goes), readonly (it is protected, then as much other
 * memory is used). -c: check all pages at the end, in order. -g DIRECTORY: enter that control
 * group, and say what it holds.
 *
 * Says how much of it is there after the reads, and in huge pages after the reads, the writes and
 * at the end, in kB, what the reads and writes took, and (-g) what the kernel keeps at the end, and
 * the most it kept at one of the three:
 *
 *     hugepages: ok present_read 65536 huge_read 65536 huge_written 65536 huge_end 65536
 *     read_ms 12 write_ms 34 again_ms 56 kept_kb 66000 most_kb 66000
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "prog.h"

#define HUGE       (2ul << 20)
#define NR_THREADS 4

static char *memory;
static size_t bytes;
static long reads = 100000, most_kb;
static const char *group;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

/* kB of AnonHugePages in the areas that have a part of the memory. */
static long huge_kb(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	uintptr_t at = (uintptr_t)memory;
	bool ours = false;
	long sum = 0, kb;
	char line[512];

	if (!f)
		fail("cannot read /proc/self/smaps");
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			ours = start < at + bytes && at < end;
		else if (ours && sscanf(line, "AnonHugePages: %ld", &kb) == 1)
			sum += kb;
	}
	fclose(f);
	return sum;
}

/* The number behind @name in @file of the group, or all of @file; 0 when it is not there. */
static long group_number(const char *file, const char *name)
{
	char path[512], line[256];
	long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!name || !strncmp(line, name, strlen(name)))
			n = atol(line + (name ? strlen(name) : 0));
	if (f)
		fclose(f);
	return n;
}

/* What the kernel keeps for the group but for files, in kB, by either version of its controller. A
 * huge page of which a part is gone counts whole. */
static long kept_kb(void)
{
	long kept;

	if (!group)
		return 0;
	kept = group_number("memory.usage_in_bytes", NULL) - group_number("memory.stat", "cache ");
	if (kept <= 0)
		kept = group_number("memory.current", NULL) - group_number("memory.stat", "file ");
	kept /= 1024;
	if (kept > most_kb)
		most_kb = kept;
	return kept;
}

static void enter_group(void)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%d", (int)getpid()) < 0 || fclose(f) != 0)
		fail("cannot enter %s", group);
}

/* kB of the memory that are there. */
static long present_kb(void)
{
	static unsigned char there[HUGE / PAGE];
	long n = 0;

	for (size_t at = 0; at < bytes; at += HUGE) {
		EXPECT(mincore(memory + at, HUGE, there) == 0);
		for (size_t i = 0; i < HUGE / PAGE; i++)
			n += there[i] & 1;
	}
	return n * (long)PAGE / 1024;
}

static uint64_t word_of(size_t page)
{
	return page * 0x9e3779b97f4a7c15ull | 1;
}

static void read_at_random(bool written)
{
	uint64_t x = 88172645463325252ull;

	for (long i = 0; i < reads; i++) {
		size_t page = next(&x) % (bytes / PAGE);
		uint64_t got = *(volatile uint64_t *)(memory + page * PAGE),
			 want = written ? word_of(page) : 0;

		if (got != want)
			fail("page %zu: %llx, not %llx", page, (unsigned long long)got,
			     (unsigned long long)want);
	}
}

static void write_all(void)
{
	for (size_t page = 0; page < bytes / PAGE; page++)
		*(uint64_t *)(memory + page * PAGE) = word_of(page);
}

static void check_all(void)
{
	for (size_t page = 0; page < bytes / PAGE; page++)
		if (*(uint64_t *)(memory + page * PAGE) != word_of(page))
			fail("page %zu is wrong", page);
}

static void *touch(void *arg)
{
	uint64_t x = 1 + (uint64_t)(uintptr_t)arg;

	for (long i = 0; i < reads; i++)
		if (*(volatile uint64_t *)(memory + next(&x) % (bytes / PAGE) * PAGE))
			fail("not zero");
	return NULL;
}

static void in_threads(void)
{
	pthread_t t[NR_THREADS];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		if (pthread_create(&t[i], NULL, touch, (void *)i) != 0)
			fail("cannot make a thread");
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

static char *map(size_t len)
{
	char *p =
		mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("cannot map %zu bytes", len);
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

static void advise(char *at, size_t len, int advice)
{
	if (advice >= 0 && madvise(at, len, advice) != 0)
		fail("madvise %d", advice);
}

/* It is mapped in half its size, advised, and grows. */
static void map_and_move(int advice)
{
	char *wide = map(2 * bytes), *to;

	memory = map(bytes / 2);
	advise(memory, bytes / 2, advice);
	to = mremap(memory, bytes / 2, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, wide);
	if (to != wide)
		fail("mremap");
	memory = to;
}

static void prepare(const char *kind, int advice)
{
	if (!strcmp(kind, "move")) {
		map_and_move(advice);
		return;
	}
	memory = map(bytes);
	if (!strcmp(kind, "early"))
		for (size_t at = 0; at < bytes; at += HUGE)
			(void)*(volatile char *)(memory + at);
	if (!strcmp(kind, "off") && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
		fail("prctl");
	advise(memory, bytes, advice);
	if (!strcmp(kind, "twoparts"))
		advise(memory + bytes / 2, bytes / 2, MADV_NOHUGEPAGE);
	if (!strcmp(kind, "fork")) {
		int status;
		pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (child && (waitpid(child, &status, 0) != child || status))
			fail("the child ended with %x", status);
		if (child)
			exit(0);
	}
}

/* Parts of huge pages go, one way or another. */
static void take_parts(const char *kind)
{
	for (size_t at = 0; at < bytes; at += HUGE) {
		char *rest = memory + at + PAGE;

		if (!strcmp(kind, "discard"))
			EXPECT(madvise(rest, HUGE - PAGE, MADV_DONTNEED) == 0);
		else if (!strcmp(kind, "unmap"))
			EXPECT(munmap(rest, HUGE - PAGE) == 0);
		else if (!strcmp(kind, "shrink"))
			EXPECT(mremap(memory + at, HUGE, HUGE / 2, 0) == memory + at);
	}
}

/* Memory that cannot be written to has to make room for other memory. */
static void protect_and_press(void)
{
	char *other = map_bytes(bytes);

	EXPECT(mprotect(memory, bytes, PROT_READ) == 0);
	for (size_t at = 0; at < bytes; at += PAGE) {
		*(uint64_t *)(other + at) = ~at;
		if (at % HUGE == 0)
			kept_kb();
	}
	EXPECT(munmap(other, bytes) == 0);
}

int main(int argc, char **argv)
{
	const char *kind = "map";
	int opt, advice = MADV_HUGEPAGE;
	long present, huge_read, huge_written, kept, t[4];
	bool check = false;

	while ((opt = getopt(argc, argv, "a:r:k:g:c")) != -1) {
		if (opt == 'a')
			advice = !strcmp(optarg, "huge")     ? MADV_HUGEPAGE
				 : !strcmp(optarg, "nohuge") ? MADV_NOHUGEPAGE
							     : -1;
		else if (opt == 'r')
			reads = atol(optarg);
		else if (opt == 'k')
			kind = optarg;
		else if (opt == 'g')
			group = optarg;
		else if (opt == 'c')
			check = true;
		else
			return 2;
	}
	if (optind + 1 != argc || atol(argv[optind]) < 4)
		return 2;
	bytes = (size_t)atol(argv[optind]) << 20;
	if (group)
		enter_group();
	prepare(kind, advice);
	t[0] = now_ms();
	if (!strcmp(kind, "threads"))
		in_threads();
	else
		read_at_random(false);
	t[1] = now_ms();
	huge_read = huge_kb();
	present = present_kb();
	kept_kb();
	write_all();
	t[2] = now_ms();
	huge_written = huge_kb();
	kept_kb();
	if (!strcmp(kind, "readonly"))
		protect_and_press();
	read_at_random(true);
	t[3] = now_ms();
	if (check)
		check_all();
	take_parts(kind);
	kept = kept_kb();
	return ok("present_read %ld huge_read %ld huge_written %ld huge_end %ld read_ms %ld "
		  "write_ms %ld again_ms %ld kept_kb %ld most_kb %ld",
		  present, huge_read, huge_written, huge_kb(), t[1] - t[0], t[2] - t[1],
		  t[3] - t[2], kept, most_kb);
}

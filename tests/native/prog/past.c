/* tests/native/prog/past.c - past [MIB] [THREADS] [ROUNDS] [SEED] [bare]
 *
 * Memory that is mapped with the system call instruction itself, as runtimes with no libc below
 * them do: no library sees it. Each thread has MIB of it, in a few mappings that it fills, changes,
 * drops parts of (MADV_DONTNEED), maps anew in the middle, moves, unmaps; all it has stored is
 * there, and what was dropped is zeros. Every page of a mapping has a version, which a store
 * changes. Another thread forks - with the bare system call, too, where that is asked for - and the
 * children check what they have inherited.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define AREAS       6
#define THREADS_MAX 16
#define GONE        UINT32_MAX /* a version: zeros */

struct area {
	char *at;
	size_t n;
	uint64_t id;
	uint32_t *version;
	bool anew; /* a part of it was mapped later */
};

static size_t area_pages;
static unsigned long nr_rounds, seed;
static int running;
static bool bare_forks;

static long bare(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#else
	register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#endif
}

static char *bare_map(char *at, size_t n)
{
	long p = bare(SYS_mmap, (long)at, (long)(n * PAGE), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if ((unsigned long)p > -4096ul)
		fail("mmap: %s", strerror((int)-p));
	return (char *)p;
}

static void store(struct area *a, size_t i)
{
	a->version[i] = a->version[i] == GONE ? 1 : a->version[i] + 1;
	page_fill(a->at + i * PAGE, a->id + i, a->version[i]);
}

static void check_area(const struct area *a, const char *when)
{
	for (size_t i = 0; i < a->n; i++) {
		const char *page = a->at + i * PAGE;

		if (a->version[i] == GONE ? !page_is_zero(page)
					  : !page_is(page, a->id + i, a->version[i]))
			fail("page %zu of %zu, version %u, is wrong %s", i, a->n, a->version[i],
			     when);
	}
}

static void make_area(struct area *a, uint64_t *random)
{
	a->n = area_pages / 2 + rnd(random) % (area_pages / 2);
	a->at = bare_map(NULL, a->n);
	a->id = rnd(random) >> 16;
	a->anew = false;
	for (size_t i = 0; i < a->n; i++) {
		a->version[i] = GONE;
		if (i % 64 != 63)
			store(a, i);
	}
}

static void drop_part(struct area *a, size_t first, size_t n)
{
	EXPECT(bare(SYS_madvise, (long)(a->at + first * PAGE), (long)(n * PAGE), MADV_DONTNEED, 0,
		    0, 0) == 0);
	for (size_t i = first; i < first + n; i++)
		a->version[i] = GONE;
}

/* Half of it stays as it is, zeros. */
static void map_anew(struct area *a, size_t first, size_t n)
{
	bare_map(a->at + first * PAGE, n);
	a->anew = true;
	for (size_t i = first; i < first + n; i++) {
		a->version[i] = GONE;
		if (i & 1)
			store(a, i);
	}
}

/* A part that was mapped anew may not have been looked at yet, and is another mapping until then:
 * such are not moved. */
static void move(struct area *a)
{
	char *place;
	long p;

	if (a->anew)
		return;
	place = bare_map(NULL, a->n);
	p = bare(SYS_mremap, (long)a->at, (long)(a->n * PAGE), (long)(a->n * PAGE),
		 MREMAP_MAYMOVE | MREMAP_FIXED, (long)place, 0);

	EXPECT(p == (long)place);
	a->at = place;
}

/* What is mapped there next, by another thread perhaps, is its own. */
static void make_again(struct area *a, uint64_t *random)
{
	EXPECT(bare(SYS_munmap, (long)a->at, (long)(a->n * PAGE), 0, 0, 0, 0) == 0);
	make_area(a, random);
}

static void one_step(struct area *a, uint64_t *random)
{
	size_t first = rnd(random) % a->n, n = 1 + rnd(random) % (a->n - first);

	switch (rnd(random) % 8) {
	case 0:
		drop_part(a, first, n);
		break;
	case 1:
		map_anew(a, first, n);
		break;
	case 2:
		move(a);
		break;
	case 3:
		make_again(a, random);
		break;
	default:
		for (size_t i = first; i < first + n; i++)
			store(a, i);
	}
}

static void *work(void *arg)
{
	uint64_t random = seed * 1000 + (uintptr_t)arg;
	struct area area[AREAS];

	for (int i = 0; i < AREAS; i++) {
		area[i].version = calloc(area_pages, sizeof(uint32_t));
		EXPECT(area[i].version);
		make_area(&area[i], &random);
	}
	for (unsigned long r = 0; r < nr_rounds; r++) {
		struct area *a = &area[rnd(&random) % AREAS];

		check_area(a, "before a step");
		one_step(a, &random);
	}
	for (int i = 0; i < AREAS; i++)
		check_area(&area[i], "at the end");
	__atomic_fetch_sub(&running, 1, __ATOMIC_ACQ_REL);
	return NULL;
}

static pid_t make_child(bool by_libc)
{
	return by_libc ? fork() : (pid_t)bare(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
}

/* The forking thread's own mapping is new each time: it is looked at, or not yet, when the child is
 * made. */
static void fork_once(unsigned turn, uint64_t *random)
{
	uint32_t *version = calloc(area_pages, sizeof(*version));
	struct area a = { .version = version };
	int status;
	pid_t pid;

	make_area(&a, random);
	for (unsigned i = 0; i < turn % 4; i++)
		usleep(1000);
	pid = make_child(!bare_forks || turn % 3 != 2);
	EXPECT(pid >= 0);
	if (pid == 0) {
		check_area(&a, "in a child");
		for (size_t i = 0; i < a.n; i += 3)
			store(&a, i);
		check_area(&a, "in a child that has stored");
		_exit(0);
	}
	for (size_t i = 0; i < a.n; i += 2)
		store(&a, i);
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("child %u ended with %#x", turn, (unsigned)status);
	check_area(&a, "in a parent");
	EXPECT(bare(SYS_munmap, (long)a.at, (long)(a.n * PAGE), 0, 0, 0, 0) == 0);
	free(version);
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 24), n = arg_number(argc, argv, 2, 2);
	pthread_t thread[THREADS_MAX];
	uint64_t random;
	unsigned forks = 0;

	nr_rounds = arg_number(argc, argv, 3, 100);
	seed = arg_number(argc, argv, 4, 1);
	bare_forks = argc > 5;
	random = seed;
	area_pages = mib * PAGES_PER_MIB / AREAS;
	EXPECT(n <= THREADS_MAX && area_pages >= 16);
	__atomic_store_n(&running, (int)n, __ATOMIC_RELEASE);
	for (uintptr_t i = 0; i < n; i++)
		EXPECT(pthread_create(&thread[i], NULL, work, (void *)(i + 1)) == 0);
	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) > 0)
		fork_once(forks++, &random);
	for (unsigned long i = 0; i < n; i++)
		EXPECT(pthread_join(thread[i], NULL) == 0);
	return ok("%lu MiB in each of %lu threads, %lu rounds, %u forks", mib, n, nr_rounds, forks);
}

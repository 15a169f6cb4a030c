/* serve/account/unmanaged_shmem.c - measures unmanaged shared memory: shm_open(3), files on a
 * tmpfs, the program's own memfds, the kernel's System V segments.
 *
 * A page counts once, however many processes map it: of each object that processes of the tree map
 * shared, we count the pages that are in any of their page tables. They are attributed to the
 * oldest client that maps the object, as its unmanaged memory (measure.c). When that client ends
 * they pass to the next. Objects that no process maps are not seen.
 *
 * This walks page tables, so it is done only for processes with shared memory pages, every EVERY_NS
 * at most, and takes at most 1 / SHARE of the watcher's time. Only the watcher calls this.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "mm/filemap.h"
#include "mmu/host/shared.h"
#include "serve/account/account.h"

#define EVERY_NS  (100 * 1000000ull)
#define SHARE     50
#define UNION_MAX (1ull << 28) /* pages of an object that are told apart */

/* PAGEMAP_SCAN (Linux 6.7) is not in Debian 12's headers. */
struct scan_region_ {
	uint64_t start, end, categories;
};
struct scan_arg_ {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_ _IOWR('f', 16, struct scan_arg_)
#define SCAN_PRESENT  (1u << 3)
#define SCAN_REGIONS  128
#define WORD_PRESENT  (1ull << 63)
#define WORDS_READ    512

struct area {
	uint64_t dev, ino, start, end, first; /* first: the object's page at start */
	unsigned client;
	bool sysv;
};

struct scan {
	struct supervisor *s;
	struct shmem_watch *w;
	struct client **client; /* referenced, oldest first */
	int64_t *pages, *sysv;  /* sysv: the part in segments */
	unsigned nr_clients, cap_clients;
	struct area *area;
	unsigned nr_areas, cap_areas;
	struct client *now;
};

/* Pages of an object seen so far. No bitmap: it is mapped only once, or too large. */
struct object {
	uint64_t *met;
	int64_t pages;
};

/* ---- which file systems are memory ---- */

static bool mounted_as_tmpfs(pid_t pid, uint64_t dev)
{
	unsigned major, minor;
	char path[64], line[1024];
	bool yes = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	f = fopen(path, "re");
	while (f && !yes && fgets(line, sizeof(line), f))
		yes = sscanf(line, "%*d %*d %u:%u", &major, &minor) == 2 &&
		      makedev(major, minor) == dev && strstr(line, " - tmpfs ");
	if (f)
		fclose(f);
	return yes;
}

/* The kernel's internal mount, for memfds and segments, is in no mount table. */
static uint64_t device_of_memfds(void)
{
	int fd = memfd_create("umemcg-probe", MFD_CLOEXEC);
	struct stat st = { 0 };

	if (fd >= 0) {
		(void)fstat(fd, &st);
		close(fd);
	}
	return st.st_dev;
}

static bool is_memory(struct shmem_watch *w, pid_t pid, uint64_t dev)
{
	assert_thread(THREAD_WATCHER);
	if (!w->memfd_dev)
		w->memfd_dev = device_of_memfds();
	if (dev == w->memfd_dev)
		return true;
	if (major(dev) != 0)
		return false;
	for (unsigned i = 0; i < w->nr_devs; i++)
		if (w->dev[i] == dev)
			return w->tmpfs[i];
	if (w->nr_devs == SHMEM_DEVS)
		w->nr_devs = 0; /* mounts come and go */
	w->dev[w->nr_devs] = dev;
	w->tmpfs[w->nr_devs] = mounted_as_tmpfs(pid, dev);
	return w->tmpfs[w->nr_devs++];
}

/* ---- mappings ---- */

/* Make room for one more array element; false: out of memory, so it is left out this time. */
static bool grow(void **array, unsigned n, unsigned *cap, size_t size)
{
	unsigned more = *cap ? 2 * *cap : 32;
	void *new;

	if (n < *cap)
		return true;
	new = realloc(*array, more * size);
	if (!new)
		return false;
	*array = new;
	*cap = more;
	return true;
}

static bool is_ours(struct supervisor *s, uint64_t dev, uint64_t ino)
{
	struct address_space *as = host_shared_find(&s->mmu, dev, ino);

	if (as)
		file_put(as);
	return as != NULL;
}

static void consider(const struct proc_area *a, void *arg)
{
	struct scan *n = arg;

	assert_thread(THREAD_WATCHER);
	if (!a->shared || !is_memory(n->w, n->now->host.task, a->dev) ||
	    is_ours(n->s, a->dev, a->ino) ||
	    !grow((void **)&n->area, n->nr_areas, &n->cap_areas, sizeof(*n->area)))
		return;
	n->area[n->nr_areas++] = (struct area){
		.dev = a->dev,
		.ino = a->ino,
		.start = a->start,
		.end = a->end,
		.first = a->offset / PAGE_SIZE,
		.client = n->nr_clients,
		.sysv = a->sysv && a->dev == n->w->memfd_dev,
	};
}

static void add_client(struct scan *n, struct client *c)
{
	unsigned cap = n->cap_clients, more = cap;

	assert_thread(THREAD_WATCHER);
	assert_referenced(c);
	if (!grow((void **)&n->client, n->nr_clients, &cap, sizeof(struct client *)) ||
	    !grow((void **)&n->sysv, n->nr_clients, &more, sizeof(*n->sysv)) ||
	    !grow((void **)&n->pages, n->nr_clients, &n->cap_clients, sizeof(*n->pages)))
		return;
	n->now = c;
	/* After exec the pid names another address space. */
	if (c->host.pid && !client_is_leaving(c) && proc_shmem_pages(c->host.task) > 0)
		(void)proc_areas(c->host.task, consider, n);
	client_ref(c);
	n->client[n->nr_clients] = c;
	n->sysv[n->nr_clients] = 0;
	n->pages[n->nr_clients++] = 0;
}

static int by_object(const void *a, const void *b)
{
	const struct area *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->client < y->client ? -1 : x->client > y->client;
}

/* ---- pages that are present ---- */

static void meet(struct object *o, uint64_t first, uint64_t n)
{
	if (!o->met)
		o->pages += (int64_t)n;
	for (uint64_t i = first; o->met && i < first + n; i++)
		if (!bitmap_test(o->met, i)) {
			bitmap_set(o->met, i);
			o->pages++;
		}
}

/* Returns where it stopped: a->end if everything was scanned. */
static uint64_t scan_area(int fd, const struct area *a, struct object *o)
{
	struct scan_region_ region[SCAN_REGIONS];
	uint64_t at = a->start;

	VM_ASSERT(a->start < a->end);
	while (at < a->end) {
		struct scan_arg_ arg = {
			.size = sizeof(arg),
			.start = at,
			.end = a->end,
			.vec = (uintptr_t)region,
			.vec_len = SCAN_REGIONS,
			.category_mask = SCAN_PRESENT,
			.return_mask = SCAN_PRESENT,
		};
		int n = ioctl(fd, PAGEMAP_SCAN_, &arg);

		if (n < 0 || arg.walk_end <= at)
			break;
		for (int i = 0; i < n; i++)
			meet(o, a->first + (region[i].start - a->start) / PAGE_SIZE,
			     (region[i].end - region[i].start) / PAGE_SIZE);
		at = arg.walk_end;
	}
	return at;
}

static void read_area(int fd, const struct area *a, uint64_t at, struct object *o)
{
	uint64_t word[WORDS_READ];

	while (at < a->end) {
		uint64_t n = (a->end - at) / PAGE_SIZE < WORDS_READ ? (a->end - at) / PAGE_SIZE
								    : WORDS_READ;
		ssize_t got = pread(fd, word, n * sizeof(word[0]),
				    (off_t)(at / PAGE_SIZE * sizeof(word[0])));

		if (got <= 0)
			return;
		n = (uint64_t)got / sizeof(word[0]);
		for (uint64_t i = 0; i < n; i++)
			if (word[i] & WORD_PRESENT)
				meet(o, a->first + (at - a->start) / PAGE_SIZE + i, 1);
		at += n * PAGE_SIZE;
	}
}

static void look(const struct scan *n, const struct area *a, struct object *o)
{
	char path[64];
	uint64_t at;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)n->client[a->client]->host.task);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	at = scan_area(fd, a, o);
	if (at == a->start)
		read_area(fd, a, at, o); /* an older kernel */
	close(fd);
}

/* Areas [@a, @a + @n) are of one object. */
static int64_t pages_of(const struct scan *s, const struct area *a, unsigned n)
{
	struct object o = { 0 };
	uint64_t end = 0;
	int64_t most = 0;

	VM_ASSERT(n > 0);
	for (unsigned i = 0; i < n; i++)
		if (end < a[i].first + (a[i].end - a[i].start) / PAGE_SIZE)
			end = a[i].first + (a[i].end - a[i].start) / PAGE_SIZE;
	if (n > 1 && end <= UNION_MAX)
		o.met = plat_alloc_big(bitmap_words(end) * sizeof(*o.met));
	for (unsigned i = 0; i < n; i++) {
		look(s, &a[i], &o);
		if (most < o.pages)
			most = o.pages;
		if (!o.met)
			o.pages = 0;
	}
	if (o.met)
		plat_free_big(o.met, bitmap_words(end) * sizeof(*o.met));
	return most;
}

static void count(struct scan *n)
{
	int64_t pages;
	unsigned k;

	if (n->nr_areas)
		qsort(n->area, n->nr_areas, sizeof(*n->area), by_object);
	for (unsigned i = 0; i < n->nr_areas; i += k) {
		const struct area *a = &n->area[i];

		for (k = 1; i + k < n->nr_areas && a[k].dev == a->dev && a[k].ino == a->ino; k++)
			;
		pages = pages_of(n, a, k);
		n->pages[a->client] += pages;
		n->sysv[a->client] += a->sysv ? pages : 0;
	}
}

void shmem_measure(struct supervisor *s, struct shmem_watch *w)
{
	uint64_t start = plat_now_ns(), cost;
	struct scan n = { .s = s, .w = w };
	uint32_t leaves = a32_load(&s->leaves);
	struct client *c = NULL;
	bool stale;

	assert_thread(THREAD_WATCHER);
	if (start < w->next_ns || a32_load(&s->leaving))
		return;
	while ((c = client_next(s, c)))
		add_client(&n, c);
	count(&n);
	/* A memfd that has left the books meanwhile is counted already, but may not be in here. */
	stale = a32_load(&s->leaving) || a32_load(&s->leaves) != leaves;
	for (unsigned i = 0; i < n.nr_clients; i++) {
		if (!stale) {
			a64_store(&n.client[i]->shared_pages, n.pages[i]);
			a64_store(&n.client[i]->sysv_pages, n.sysv[i]);
		}
		client_put(n.client[i]);
	}
	free(n.client);
	free(n.pages);
	free(n.sysv);
	free(n.area);
	cost = plat_now_ns() - start;
	w->next_ns = start + cost + (cost * SHARE > EVERY_NS ? cost * SHARE : EVERY_NS);
}

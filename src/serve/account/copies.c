/* serve/account/copies.c - reads from /proc what family.h reckons with: minor faults, and how many
 * pages are still shared.
 *
 * Between two passes (copies_pass.c) a member's charge rises with every minor fault. Most of these
 * are no copies: umemcg maps pages, or the page is in the page cache. So the watcher counts now and
 * then how many of the shared pages are still shared, where the last pass found them
 * (/proc/PID/pagemap: some 10 us per MiB).
 *
 * Not seen until the next pass: a copy that another process makes on its behalf (a debugger, a
 * child of vfork).
 *
 * Locks: none of its own. client->copying: the watcher has stat_fd and scanned_ns.
 */
#include "serve/account/copies.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mm/charge.h"

#define WORD_PRESENT   (1ull << 63)
#define WORD_FILE      (1ull << 61)
#define WORD_EXCLUSIVE (1ull << 56)
#define WORD_PFN       ((1ull << 55) - 1)
#define WORDS          512
#define CHILD_PAGES    16 /* a child writes to before it is measured */
#define CLOCK_OF(pid)  ((clockid_t)(~(unsigned)(pid) << 3 | 2))
#define RUN_NS         (20 * 1000ull)   /* of CPU: it may have copied shared pages */
#define SCAN_FAULTS    16               /* faults that are worth a look */
#define SCAN_NS        (4 * 1000000ull) /* between two of a client; */
#define SCAN_SHARE     32               /* ... and of all, of the time at most */

static void places_hold(struct places *p)
{
	a32_add(&p->ref, 1);
}

void places_put(struct places *p)
{
	if (a32_add(&p->ref, -1) == 0)
		plat_free(p);
}

/* The frame of the kernel's zero page; 0: unknown (the kernel shows frames to CAP_SYS_ADMIN). */
static uint64_t zero_frame(void)
{
	volatile const char *at =
		mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word = 0;

	if (at != MAP_FAILED && fd >= 0) {
		(void)at[0];
		if (pread(fd, &word, sizeof(word),
			  (off_t)((uintptr_t)at / PAGE_SIZE * sizeof(word))) != sizeof(word) ||
		    !(word & WORD_PRESENT))
			word = 0;
	}
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		munmap((void *)(uintptr_t)at, PAGE_SIZE);
	return word & WORD_PFN;
}

int copies_init(struct supervisor *s)
{
	struct rlimit files;

	if (supervisor_part(&s->copies, sizeof(*s->copies)))
		return -ENOMEM;
	spin_init(&s->copies->families.lock, RANK_LEAF);
	s->copies->families.put = places_put;
	s->copies->zero_frame = zero_frame();
	/* Where descriptors are few, forks need them more. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		s->copies->kept_below =
			files.rlim_cur / 2 < INT_MAX ? (int)(files.rlim_cur / 2) : INT_MAX;
	return 0;
}

void copies_fini(struct supervisor *s)
{
	spin_fini(&s->copies->families.lock);
	plat_free(s->copies);
	s->copies = NULL;
}

int64_t copies_for_fork(struct client *c, int64_t faults)
{
	family_announce(&c->s->copies->families, &c->kin, a64_load(&c->own_pages), faults);
	return copies_of_child(c);
}

int64_t copies_of_child(const struct client *c)
{
	return a64_load(&c->tables) + CHILD_PAGES;
}

int64_t copies_all(const struct client *parent)
{
	return a64_load(&parent->own_pages) + a64_load(&parent->tables);
}

bool copies_join(struct client *parent, struct client *child, bool announced)
{
	return family_join(&child->s->copies->families, &parent->kin, &child->kin, announced,
			   a64_load(&parent->own_pages), a64_load(&parent->host.mm->unmanaged));
}

void copies_forsake(struct client *c, int64_t pages)
{
	atomic64_t *rss = &c->host.mm->unmanaged;
	struct supervisor *s = c->s;
	int64_t known;

	family_forsake(&s->copies->families, &c->kin);
	do
		known = a64_load(rss);
	while (known < pages && !client_has_ended(c) &&
	       !charge_unmanaged_publish(&s->engine, s->group, rss, known, pages));
	if (client_has_ended(c))
		charge_unmanaged(&s->engine, s->group, a64_xchg(rss, 0), 0);
	a32_store(&s->unsettled, 1);
}

int copies_open(const struct client *c, const char *name)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)c->host.pid, name);
	return proc_there(c->host.pid) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* Minor faults of all its threads, including those that have ended; 0: it has been reaped; -1:
 * unknown. @fd caches the open file. */
static int64_t faults_of(const struct client *c, int *fd)
{
	long long faults;
	const char *after;
	char buf[512];
	ssize_t n = -1;

	if (a32_load(&c->several) || !c->host.pid)
		return -1;
	if (!proc_there(c->host.pid))
		return 0;
	if (*fd < 0)
		*fd = copies_open(c, "stat");
	if (*fd >= 0)
		n = pread(*fd, buf, sizeof(buf) - 1, 0);
	if (n < 0 && (errno == ESRCH || errno == ENOENT))
		return 0;
	if (*fd >= c->s->copies->kept_below) {
		close(*fd);
		*fd = -1;
	}
	buf[n > 0 ? n : 0] = '\0';
	after = strrchr(buf, ')');
	return after && sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %lld", &faults) == 1
		       ? faults
		       : -1;
}

int64_t copies_faults(const struct client *c)
{
	int fd = -1;
	int64_t faults = faults_of(c, &fd);

	if (fd >= 0)
		close(fd);
	return faults;
}

/* The zero page belongs to nobody; one that is read must not hide a page that was copied. */
static bool is_shared(uint64_t word, uint64_t zero_frame)
{
	return word & WORD_PRESENT && !(word & (WORD_FILE | WORD_EXCLUSIVE)) &&
	       (!zero_frame || (word & WORD_PFN) != zero_frame);
}

static int64_t count_shared(int fd, const struct host_range *r, uint64_t zero_frame)
{
	uint64_t word[WORDS];
	int64_t shared = 0;

	for (uint64_t i = 0; i < r->npages;) {
		uint64_t n = r->npages - i < WORDS ? r->npages - i : WORDS;
		ssize_t got = pread(fd, word, n * sizeof(word[0]),
				    (off_t)((r->start / PAGE_SIZE + i) * sizeof(word[0])));

		if (got <= 0)
			return got < 0 ? -1 : shared;
		n = (uint64_t)got / sizeof(word[0]);
		for (uint64_t k = 0; k < n; k++)
			shared += is_shared(word[k], zero_frame);
		i += n;
	}
	return shared;
}

int64_t places_shared(int fd, const struct places *p, uint64_t zero_frame)
{
	int64_t sum = 0;

	for (unsigned i = 0; fd >= 0 && i < p->n; i++) {
		int64_t n = count_shared(fd, &p->at[i], zero_frame);

		if (n < 0)
			return -1;
		sum += n;
	}
	return fd < 0 ? -1 : sum;
}

/* Watcher. How many of its faults were copies? */
static void scan(struct client *c)
{
	struct supervisor *s = c->s;
	struct families *fs = &s->copies->families;
	uint64_t now = plat_now_ns(), turn;
	int64_t faults, own, shared;
	struct share share;
	int pages_fd;

	if (now < s->copies->scan_next_ns || now - c->copying.scanned_ns < SCAN_NS ||
	    !family_scan(fs, &c->kin, &share, &turn, places_hold))
		return;
	faults = faults_of(c, &c->copying.stat_fd);
	if (faults - share.faults >= SCAN_FAULTS) {
		pages_fd = copies_open(c, "pagemap");
		own = measure_own(c);
		shared = places_shared(pages_fd, share.places, s->copies->zero_frame);
		if (pages_fd >= 0)
			close(pages_fd);
		if (shared >= 0 && own >= 0)
			family_scanned(fs, &c->kin, turn, faults, own, shared);
		c->copying.scanned_ns = now;
		s->copies->scan_next_ns = now + (plat_now_ns() - now) * SCAN_SHARE;
	}
	places_put(share.places);
}

int64_t copies_pages(struct client *c, int64_t own, bool watcher)
{
	struct families *fs = &c->s->copies->families;

	a64_store(&c->own_pages, own);
	if (!family_shares(fs, &c->kin))
		return own;
	if (!watcher)
		return family_pages(fs, &c->kin, own, copies_faults(c));
	scan(c);
	return family_pages(fs, &c->kin, own, faults_of(c, &c->copying.stat_fd));
}

bool copies_may_go_on(struct client *c)
{
	struct timespec t;
	uint64_t ns;

	assert_thread(THREAD_WATCHER);
	if (!c->host.pid || clock_gettime(CLOCK_OF(c->host.pid), &t) != 0)
		return true;
	ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	if (ns - c->copying.cpu_ns < RUN_NS)
		return false;
	c->copying.cpu_ns = ns;
	return true;
}

int64_t copies_shared(const struct client *c)
{
	int64_t beside = a64_load(&c->shared_pages) + a64_load(&c->tables);
	int64_t has = a64_load(&c->own_pages) + beside;

	return c->unmanaged ? 0 : share_of_others(has, a64_load(&c->host.mm->unmanaged));
}

/* The last member takes over its family's debt: these pages are charged already. */
int64_t copies_take_over(struct client *c, int64_t known, int64_t now)
{
	struct supervisor *s = c->s;
	atomic64_t *rss = &c->host.mm->unmanaged;
	int64_t all = a64_load(&c->own_pages) + a64_load(&c->shared_pages) + a64_load(&c->tables),
		n, k;

	n = now > known && now >= all ? family_alone(&s->copies->families, &c->kin) : 0;
	while (n > 0 && now > known && !client_has_ended(c)) {
		k = n < now - known ? n : now - known;
		if (a64_cas(rss, known, known + k)) {
			known += k;
			n -= k;
			break;
		}
		known = a64_load(rss);
	}
	if (n > 0)
		charge_unmanaged(&s->engine, s->group, n, 0);
	if (client_has_ended(c))
		charge_unmanaged(&s->engine, s->group, a64_xchg(rss, 0), 0);
	return known;
}

void copies_measured(struct client *c, int64_t grown)
{
	struct supervisor *s = c->s;
	int64_t beside = a64_load(&c->shared_pages) + a64_load(&c->tables), n;

	if (grown > 0 && family_shares(&s->copies->families, &c->kin))
		a64_add(&s->copies->news, grown);
	if (a64_load(&c->host.mm->unmanaged) < a64_load(&c->own_pages) + beside)
		return;
	n = family_alone(&s->copies->families, &c->kin);
	if (n > 0)
		charge_unmanaged(&s->engine, s->group, n, 0);
}

int64_t copies_leave(struct client *c)
{
	int64_t n = family_leave(&c->s->copies->families, &c->kin);

	if (n > 0)
		a64_add(&c->s->copies->news, n);
	return n;
}

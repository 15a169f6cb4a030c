/* serve/account/measure.c - measures the unmanaged RSS of a client, mm->unmanaged, which is
 * charged.
 *
 * Unmanaged RSS is RssAnon, less the pages in the books, plus the unmanaged shared memory
 * attributed to the client (unmanaged_shmem.c) and its page tables (tables.c). For an instant the
 * difference may be too high: pages are withdrawn and not yet dropped by the helper, or mapped and
 * not yet entered. So pages in the staging area are looked up and subtracted, and an increase
 * counts only as far as two looks, LOOK_AGAIN_NS apart, both show it. One look is enough where no
 * page is in transit: in a process whose only thread waits for us (HELLO), and in an unmanaged one.
 *
 * Locks: none. The value is changed by compare-and-swap; the loser's measurement is older than the
 * winner's.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mm/huge.h"
#include "mmu/host/pagemap.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"

#define LOOK_AGAIN_NS (200 * 1000)
#define HOT_NEW_NS    (100 * 1000000ull) /* after it was made: it touches what it needs */
#define HOT_GROWN_NS  (50 * 1000000ull)  /* after it grew */
#define HOT_PAGES     16                 /* growth that counts */

bool measure_hot(const struct client *c, uint64_t now)
{
	uint64_t grown_ns = (uint64_t)a64_load(&c->grown_ns);

	assert_thread(THREAD_WATCHER);
	return now - c->created_ns < HOT_NEW_NS || (grown_ns && now - grown_ns < HOT_GROWN_NS);
}

/* A huge page that is being moved into place is charged already, and looks like unmanaged RSS.
 * Ignore an increase as far as one huge page explains it. */
static int64_t but_for_fill(int64_t seen, int64_t known)
{
	if (seen > known)
		return seen - known > HUGE_PAGES ? seen - HUGE_PAGES : known;
	return seen;
}

static int64_t anon_pages_of(pid_t pid, int *statm_fd)
{
	if (*statm_fd >= 0)
		close(*statm_fd);
	*statm_fd = -1;
	return proc_anon_pages(pid, statm_fd);
}

/* RssAnon, or -errno. It is read through the helper, whose thread id is valid as long as the
 * address space; but the helper may have left alone. If the first thread has exited and others have
 * not (pthread_exit), only those show it. */
static int64_t anon_pages(struct client *c, int *statm_fd)
{
	int64_t anon = proc_anon_pages(c->host.task, statm_fd);
	pid_t tid;

	if (anon < 0 && client_state(c) == CLIENT_UNREADY && !uffd_dead(c->host.uffd))
		return anon_pages_of(c->host.pid, statm_fd);
	if (anon > 0 || c->sock >= 0 || !c->host.pid)
		return anon;
	tid = proc_live_thread(c->host.pid);
	if (!tid && c->host.task == c->host.pid)
		return anon;
	c->host.task = tid ? tid : c->host.pid;
	return anon_pages_of(c->host.task, statm_fd);
}

/* Its memory cannot be read, so nothing holds it to the limit. Be sure that the process lives: the
 * thread that was asked may have exited alone; and a process that existed before the read may be
 * gone, but one that exists after it was there throughout. */
static void cannot_measure(struct client *c, int64_t err)
{
	struct supervisor *s = c->s;
	struct proc_sizes sizes;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(err < 0);
	if (c->measured.failed || (err != -EACCES && err != -EPERM && err != -ENOENT) ||
	    c->host.pidfd < 0 || proc_sizes(c->host.pid, &sizes) ||
	    syscall(SYS_pidfd_send_signal, c->host.pidfd, 0, NULL, 0) != 0)
		return;
	c->measured.failed = true;
	a64_add(&s->unmeasured_total, 1);
	supervisor_notice(s,
			  "cannot read how much memory %s (%d) has (/proc/%d/statm: %s): the limit "
			  "may not hold; is /proc mounted "
			  "with hidepid?",
			  c->comm, (int)c->host.pid, (int)c->host.pid, strerror((int)-err));
}

static void count_run(uint64_t start, uint64_t end, void *pages)
{
	*(int64_t *)pages += (int64_t)((end - start) / PAGE_SIZE);
}

/* Pages in the staging area have left the books, or are about to. The helper drops them as soon as
 * it gets a CPU, which may take long on a busy machine. Ignore an increase as far as they explain
 * it. */
static int64_t but_for_staged(const struct client *c, int64_t seen, int64_t known)
{
	uint64_t start = c->host.staging;
	int64_t staged = 0;
	struct pagemap p;

	if (seen <= known || !start || pagemap_open(&p, c->host.task) != 0)
		return seen;
	(void)pagemap_anon(&p, start, start + EVICT_PAGES_MAX * PAGE_SIZE, count_run, &staged);
	pagemap_close(&p);
	return seen - known > staged ? seen - staged : known;
}

static int64_t own_pages(struct client *c, int *statm_fd)
{
	struct mm *mm = c->host.mm;
	int64_t before = a64_load(&mm->rss) - a64_load(&mm->rss_shared), after, anon;

	anon = anon_pages(c, statm_fd);
	if (anon < 0)
		return anon;
	/* Count pages that came or went during the look as booked. */
	after = a64_load(&mm->rss) - a64_load(&mm->rss_shared);
	anon -= before > after ? before : after;
	return anon > 0 ? anon : 0;
}

int64_t measure_own(struct client *c)
{
	int fd = -1;
	int64_t own = own_pages(c, &fd);

	assert_referenced(c);
	if (fd >= 0)
		close(fd);
	return own;
}

/* What one look shows; negative: unknown. */
static int64_t look(struct client *c, int *statm_fd)
{
	bool watcher = statm_fd == &c->statm_fd, fill = a64_load(&c->host.fill) != 0;
	struct mm *mm = c->host.mm;
	int64_t anon;

	assert_referenced(c);
	if (watcher && a32_cas(&c->task_changed, 1, 0) && *statm_fd >= 0) {
		close(*statm_fd);
		*statm_fd = -1;
	}
	anon = own_pages(c, statm_fd);
	if (anon < 0)
		return anon;
	anon = copies_pages(c, anon, watcher) + a64_load(&c->shared_pages) + tables_pages(c, anon);
	fill |= a64_load(&c->host.fill) != 0;
	if (fill)
		anon = but_for_fill(anon, a64_load(&mm->unmanaged));
	return but_for_staged(c, anon, a64_load(&mm->unmanaged));
}

/* Pay an increase from the reserve first. Returns what is now charged as unmanaged RSS. */
static int64_t take_reserve(struct client *c, atomic64_t *rss, int64_t known, int64_t now)
{
	struct mem_cgroup *group = c->s->group;
	int64_t n = now > known ? reserve_take(c, now - known) : 0;

	VM_ASSERT(known >= 0);
	if (n <= 0)
		return known;
	charge_unmanaged_paid(group, n);
	if (a64_cas(rss, known, known + n))
		return known + n;
	charge_unmanaged_paid(group, -n);
	uncharge_pages(group, n);
	return known;
}

static void set_unmanaged(struct client *c, int64_t now)
{
	struct supervisor *s = c->s;
	atomic64_t *rss = &c->host.mm->unmanaged;
	int64_t before = a64_load(rss), known;

	VM_ASSERT(now >= 0);
	if (now - before >= HOT_PAGES)
		a64_store(&c->grown_ns, (int64_t)plat_now_ns());
	if (client_has_ended(c))
		return;
	if (now == before) {
		copies_measured(c, 0);
		return;
	}
	before = copies_take_over(c, before, now);
	known = take_reserve(c, rss, before, now);
	if (now != known && charge_unmanaged_publish(&s->engine, s->group, rss, known, now) &&
	    now > known)
		a32_store(&s->unsettled, 1);
	if (client_has_ended(c))
		/* It ended in between, and client_end gave its charge back before this one. */
		charge_unmanaged(&s->engine, s->group, a64_xchg(rss, 0), 0);
	else if (now > before)
		unseen_note(c);
	copies_measured(c, now - before);
}

bool measure(struct client *c)
{
	int64_t known = a64_load(&c->host.mm->unmanaged), now;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(c->host.pid);
	assert_referenced(c);
	now = look(c, &c->statm_fd);
	if (now < 0) {
		cannot_measure(c, now);
		return false;
	}
	if (now < c->least && client_may_register(c))
		now = c->least;
	c->measured.seen = now;
	if (now > known && !c->unmanaged)
		return true;
	set_unmanaged(c, now);
	return false;
}

void measure_again(struct client *c)
{
	int64_t known = a64_load(&c->host.mm->unmanaged), now;

	assert_thread(THREAD_WATCHER);
	assert_referenced(c);
	if (client_is_leaving(c))
		return;
	now = look(c, &c->statm_fd);
	if (now > c->measured.seen)
		now = c->measured.seen;
	if (now > known)
		set_unmanaged(c, now);
}

void measure_waiting(struct client *c)
{
	int fd = -1;
	int64_t now = look(c, &fd);

	assert_thread(THREAD_CONTROL);
	assert_referenced(c);
	if (fd >= 0)
		close(fd);
	if (now < 0)
		return;
	set_unmanaged(c, now);
	watcher_wake(c->s);
}

void measure_add_shared(struct client *c, int64_t pages)
{
	a64_add(&c->shared_pages, pages);
	set_unmanaged(c, a64_load(&c->host.mm->unmanaged) + pages);
}

void measure_lower(struct client *c, int *fd)
{
	int64_t now = look(c, fd);

	assert_thread(THREAD_FINDER);
	assert_referenced(c);
	if (now >= 0 && now < a64_load(&c->host.mm->unmanaged))
		set_unmanaged(c, now);
}

void measure_settled(struct client *c)
{
	int64_t known = a64_load(&c->host.mm->unmanaged), now, again;
	int fd = -1;

	assert_thread(THREAD_CALL | THREAD_FINDER);
	assert_referenced(c);
	if (client_is_leaving(c))
		return;
	now = look(c, &fd);
	if (now - known >= HOT_PAGES) {
		plat_sleep_ns(LOOK_AGAIN_NS);
		again = look(c, &fd);
		if (again < now)
			now = again;
	}
	if (fd >= 0)
		close(fd);
	if (now >= 0)
		set_unmanaged(c, now);
}

int64_t measure_for_fork(struct client *c)
{
	int64_t faults = copies_faults(c);

	measure_settled(c);
	return copies_for_fork(c, faults);
}

void measure_pause(void)
{
	plat_sleep_ns(LOOK_AGAIN_NS);
}

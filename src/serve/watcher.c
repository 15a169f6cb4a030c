/* serve/watcher.c - the watcher thread: measures what is not managed, finds processes that never spoke to us, and
 * notices ends that no channel reports.
 *
 * Unmanaged memory of a client is RssAnon as its kernel counts it, less the pages in the books. While pages are on
 * their way through the staging area the difference is too high for an instant: an increase counts only when two
 * looks in a row show it. A foreign process has neither: what is seen of it counts at once. Shared memory that is not
 * managed is added (shmem.c).
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/charge.h"
#include "plat/host/uffd.h"
#include "serve/internal.h"

#define TICK_NS        (10 * 1000000ull)
#define SCAN_EVERY_MIN 2        /* ticks between two walks of the process tree: more for a large one */
#define SCAN_EVERY_MAX 10
#define CLIENTS_A_TICK 24       /* measured at most, in turn */
#define GRACE_NS       (300 * 1000000ull)    /* a process is given to speak to us */
#define FORK_NS        (5 * 1000000000ull)   /* the same, while a child of a client has not spoken yet */
#define STATIC_NS      (10 * 1000000ull)     /* the same, for one that seems not able to */
#define HELD_NS        (10 * 1000000000ull)  /* as long as the agent waits to be answered */
#define SEEN_MIN       64
#define KILL_WAIT_NS   (5 * 1000000000ull)

/* Processes without a client, and since when. Touched by the watcher only. */
struct seen {
	pid_t pid;
	uint64_t since_ns;
	bool now;
};

struct watch {
	struct supervisor *s;
	struct seen *seen;
	unsigned nr_seen, cap_seen;
	struct shmem_watch shmem;
	uint64_t turn;          /* key of the client measured last */
	unsigned nr_silent;     /* clients that have not said which process they are */
};

bool client_exited(const struct client *c)
{
	struct pollfd p = { .fd = c->host.pidfd, .events = POLLIN };

	if (c->host.pidfd >= 0)
		return poll(&p, 1, 0) == 1;
	return c->host.uffd >= 0 && uffd_dead(c->host.uffd);
}

/* A client whose helper does not start in time loses the privilege of one that is about to. */
static void end_privilege(struct client *c)
{
	if (plat_now_ns() - c->created_ns > HELD_NS)
		client_entered(c);
}

static void measure(struct client *c)
{
	struct supervisor *s = c->s;
	struct mm *mm = c->host.mm;
	int64_t anon, unmanaged, known = a64_load(&mm->unmanaged), count;

	if (!c->host.pid || a32_load(&c->closing))
		return;  /* after exec the pid is another address space's */
	anon = proc_anon_pages(c->host.task, &c->statm_fd);
	if (anon < 0)
		return;
	unmanaged = anon - (a64_load(&mm->rss) - a64_load(&mm->rss_shared));
	if (unmanaged < 0)
		unmanaged = 0;
	unmanaged += a64_load(&c->shared_pages);
	count = unmanaged < c->last_unmanaged || c->foreign ? unmanaged : c->last_unmanaged;
	c->last_unmanaged = unmanaged;
	if (unmanaged > known && count < known)
		count = known;
	if (unmanaged <= known)
		count = unmanaged;
	if (count == known || a32_load(&c->ended))
		return;
	if (!charge_unmanaged_figure(&s->engine, s->group, &mm->unmanaged, known, count))
		return;
	if (a32_load(&c->ended)) {
		/* Meanwhile, and its sum was given back before this. */
		charge_unmanaged(&s->engine, s->group, a64_xchg(&mm->unmanaged, 0), 0);
		return;
	}
	if (count > known)
		a32_store(&s->unsettled, 1);
}

/* Ends that nobody tells us about: foreign processes, and children that never spoke. */
static bool ended_silently(struct client *c)
{
	/* A helper channel tells the control thread. */
	return c->sock < 0 && client_exited(c);
}

static void look_at_clients(struct watch *w)
{
	struct client *c = NULL;
	unsigned looked = 0, silent = 0;
	uint64_t last = 0;

	while ((c = client_next(w->s, c))) {
		if (ended_silently(c)) {
			client_end(c);
			continue;
		}
		client_let_go(c);
		silent += !c->host.pid;
		if (c->key <= w->turn || looked == CLIENTS_A_TICK)
			continue;
		end_privilege(c);
		measure(c);
		looked++;
		last = c->key;
	}
	w->turn = looked == CLIENTS_A_TICK ? last : 0;
	w->nr_silent = silent;
}

static void remember_name(struct supervisor *s, const struct client *c)
{
	spin_lock(&s->names_lock);
	if (s->nr_names < SERVE_UNMANAGED_NAMES)
		snprintf(s->names[s->nr_names++], sizeof(s->names[0]), "%s (%d)", c->comm, (int)c->host.pid);
	spin_unlock(&s->names_lock);
}

static void make_foreign(struct supervisor *s, pid_t pid)
{
	struct client *c = client_create(s, -1, true);

	if (!c)
		return;
	client_set_pid(c, pid);
	a64_add(&s->unmanaged_total, 1);
	remember_name(s, c);
	measure(c);
	client_put(c);
}

/* Room for one more. False: out of memory; the process is met again at the next walk. */
static bool seen_grow(struct watch *w)
{
	unsigned cap = w->cap_seen ? 2 * w->cap_seen : SEEN_MIN;
	struct seen *more;

	if (w->nr_seen < w->cap_seen)
		return true;
	more = plat_alloc(cap * sizeof(*more));
	if (!more)
		return false;
	if (w->nr_seen)
		memcpy(more, w->seen, w->nr_seen * sizeof(*more));
	plat_free(w->seen);
	w->seen = more;
	w->cap_seen = cap;
	return true;
}

static struct seen *seen_find(struct watch *w, pid_t pid)
{
	for (unsigned i = 0; i < w->nr_seen; i++)
		if (w->seen[i].pid == pid)
			return &w->seen[i];
	if (!seen_grow(w))
		return NULL;
	w->seen[w->nr_seen] = (struct seen){ .pid = pid, .since_ns = plat_now_ns() };
	return &w->seen[w->nr_seen++];
}

static bool process_over(pid_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	bool over = p.fd < 0 || poll(&p, 1, 0) == 1;

	if (p.fd >= 0)
		close(p.fd);
	return over;
}

static void look_at_process(pid_t pid, pid_t parent, void *arg)
{
	struct watch *w = arg;
	struct supervisor *s = w->s;
	struct client *c = client_by_pid(s, pid);
	struct seen *seen;
	uint64_t age_ns;

	if (!c)
		c = client_by_fault(s, pid);  /* its pages are in the books: they must not count twice */
	if (c) {
		client_put(c);
		return;
	}
	if ((s->keeper && pid == s->keeper->pid) || !a32_load(&s->root_pid))
		return;
	/* A child of vfork lives in its parent's memory until it execs. */
	if (parent != getpid() && proc_shares_memory(pid, parent))
		return;
	seen = seen_find(w, pid);
	if (!seen)
		return;
	seen->now = true;
	age_ns = plat_now_ns() - seen->since_ns;
	if (age_ns < (w->nr_silent ? FORK_NS : GRACE_NS) && (age_ns < STATIC_NS || !proc_is_static(pid)))
		return;
	/* One that is over and waits for its parent to collect it has no memory. */
	if (!process_over(pid))
		make_foreign(s, pid);
}

static void scan_tree(struct watch *w)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->nr_seen; i++)
		w->seen[i].now = false;
	proc_descendants(getpid(), look_at_process, w);
	for (unsigned i = 0; i < w->nr_seen; i++)
		if (w->seen[i].now)
			w->seen[kept++] = w->seen[i];
	w->nr_seen = kept;
}

/* Ticks. A walk costs some 50 us for each process. */
static int64_t scan_every(int64_t nr_clients)
{
	int64_t ticks = SCAN_EVERY_MIN + nr_clients / 2;

	return ticks < SCAN_EVERY_MAX ? ticks : SCAN_EVERY_MAX;
}

static void raise_peak(atomic64_t *peak, int64_t now)
{
	if (now > a64_load(peak))
		a64_store(peak, now);
}

void watcher_main(void *arg)
{
	struct watch w = { .s = arg };

	for (int64_t tick = 0, last_scan = 0; !a32_load(&w.s->stopping); tick++) {
		raise_peak(&w.s->metadata_peak, engine_metadata_bytes(&w.s->engine));
		shmem_measure(w.s, &w.shmem);
		look_at_clients(&w);
		raise_peak(&w.s->unmanaged_peak, stat_read(w.s->group, STAT_UNMANAGED));
		spare_fill(w.s);
		if (a32_load(&w.s->unsettled) && charge_settle(&w.s->engine, w.s->group))
			a32_store(&w.s->unsettled, 0);
		if (tick - last_scan >= scan_every(a64_load(&w.s->nr_clients))) {
			scan_tree(&w);
			last_scan = tick;
		}
		plat_sleep_ns(TICK_NS);
	}
	plat_free(w.seen);
}

struct kill_walk {
	struct supervisor *s;
	unsigned left;
};

static void kill_one(pid_t pid, pid_t parent, void *arg)
{
	struct kill_walk *k = arg;
	struct pollfd p;
	pid_t now;

	if (k->s->keeper && pid == k->s->keeper->pid)
		return;
	/* The number may have been given to a stranger since it was listed: only who is ours still is killed. Orphans are
	 * our own children. A zombie waits for its parent to collect it; nothing to kill. */
	p = (struct pollfd){ .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	if (p.fd < 0)
		return;
	now = proc_parent(pid);
	if ((now == parent || now == getpid()) && poll(&p, 1, 0) == 0 &&
	    syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0) == 0)
		k->left++;
	close(p.fd);
}

void tree_kill(struct supervisor *s)
{
	uint64_t until = plat_now_ns() + KILL_WAIT_NS;
	struct kill_walk k = { .s = s };

	do {
		k.left = 0;
		proc_descendants(getpid(), kill_one, &k);
		if (k.left)
			plat_sleep_ns(2 * 1000000);
	} while (k.left && plat_now_ns() < until);
}

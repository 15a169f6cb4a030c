/* serve/watcher.c - the watcher thread: measures what is not managed, finds processes that never spoke to us, and
 * notices ends that no channel reports.
 *
 * It looks every TICK_NS. At clients that may be growing fast - young ones, those that have just grown, foreign ones - it
 * looks more often while the group is so full that what is left could be used up meanwhile, for 1 / SHARE of its time.
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
#define TICK_MIN_NS    (1000000ull)
#define PAGE_NS        1000     /* to touch a page, at least */
#define SHARE          8
#define AGAIN_MAX      256      /* clients looked at twice in a round */
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
	unsigned nr_hot;        /* clients that may be growing fast */
	struct client *again[AGAIN_MAX];  /* referenced */
	unsigned nr_again;
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

/* Measure a client, in turn; every time if it may be growing fast. */
static void look_at_client(struct watch *w, struct client *c, uint64_t now, bool tick, unsigned *looked, uint64_t *last)
{
	bool hot = c->foreign || measure_hot(c, now);

	w->nr_hot += hot;
	if (!hot) {
		if (!tick || c->key <= w->turn || *looked == CLIENTS_A_TICK)
			return;
		++*looked;
		*last = c->key;
	}
	end_privilege(c);
	if (w->nr_again < AGAIN_MAX && measure(c)) {
		client_ref(c);
		w->again[w->nr_again++] = c;
	}
}

static void look_again(struct watch *w)
{
	if (w->nr_again)
		measure_pause();
	while (w->nr_again) {
		struct client *c = w->again[--w->nr_again];

		measure_again(c);
		client_put(c);
	}
}

/* Ends that nobody tells us about: foreign processes, and children that never spoke. */
static bool ended_silently(struct client *c)
{
	/* A helper channel tells the control thread. */
	return c->sock < 0 && client_exited(c);
}

static void look_at_clients(struct watch *w, bool tick)
{
	uint64_t now = plat_now_ns(), last = 0;
	unsigned looked = 0, silent = 0;
	struct client *c = NULL;

	w->nr_hot = 0;
	while ((c = client_next(w->s, c))) {
		if (ended_silently(c)) {
			client_end(c);
			continue;
		}
		client_let_go(c);
		silent += !c->host.pid;
		look_at_client(w, c, now, tick, &looked, &last);
	}
	if (tick)
		w->turn = looked == CLIENTS_A_TICK ? last : 0;
	w->nr_silent = silent;
	look_again(w);
}

static void name_of(const struct client *c, char *name)
{
	snprintf(name, SERVE_UNMANAGED_NAME_MAX, "%s (%d)", c->comm, (int)c->host.pid);
}

/* One of those that never speak; unless it just has. */
static void count_unmanaged(struct supervisor *s, struct client *c)
{
	spin_lock(&s->names_lock);
	if (!c->spoke) {
		a64_add(&s->unmanaged_total, 1);
		if (s->nr_names < SERVE_UNMANAGED_NAMES)
			name_of(c, s->names[s->nr_names++]);
		c->counted = true;
	}
	spin_unlock(&s->names_lock);
}

/* Is it still the program that it was when it was given up? The root is a copy of ours until it executes the program. */
static bool same_program(const struct client *c)
{
	char now[sizeof(c->comm)], ours[sizeof(c->comm)];

	proc_comm(c->host.pid, now, sizeof(now));
	proc_comm(getpid(), ours, sizeof(ours));
	return strcmp(c->comm, now) == 0 || strcmp(c->comm, ours) == 0;
}

void unmanaged_spoke(struct client *c)
{
	struct supervisor *s = c->s;
	char name[SERVE_UNMANAGED_NAME_MAX];
	unsigned i = 0;

	if (!same_program(c))
		return;
	name_of(c, name);
	spin_lock(&s->names_lock);
	while (i < s->nr_names && strcmp(s->names[i], name) != 0)
		i++;
	if (c->counted)
		a64_add(&s->unmanaged_total, -1);
	if (c->counted && i < s->nr_names)
		memmove(s->names[i], s->names[i + 1], (--s->nr_names - i) * sizeof(s->names[0]));
	c->counted = false;
	c->spoke = true;
	spin_unlock(&s->names_lock);
}

static void make_foreign(struct supervisor *s, pid_t pid)
{
	struct client *c = client_create(s, -1, true);

	if (!c)
		return;
	client_set_pid(c, pid);
	count_unmanaged(s, c);
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

/* As long as what is left cannot be used up. */
static uint64_t safe_ns(const struct supervisor *s)
{
	int64_t left = page_counter_margin(&s->group->memory);

	if (left > (int64_t)(TICK_NS / PAGE_NS))
		return TICK_NS;
	return left > 0 ? (uint64_t)left * PAGE_NS : 0;
}

void watcher_wake(struct supervisor *s)
{
	if (safe_ns(s) < TICK_NS)
		waitq_wake(&s->watch_wait);
}

/* How long to sleep after a round that took @cost. */
static uint64_t sleep_ns(const struct watch *w, uint64_t cost)
{
	uint64_t ns = w->nr_hot ? safe_ns(w->s) : TICK_NS;

	if (ns < cost * (SHARE - 1))
		ns = cost * (SHARE - 1);
	if (ns < TICK_MIN_NS)
		ns = TICK_MIN_NS;
	return ns < TICK_NS ? ns : TICK_NS;
}

static void tick(struct watch *w, int64_t nr, int64_t *last_scan)
{
	raise_peak(&w->s->metadata_peak, engine_metadata_bytes(&w->s->engine));
	shmem_measure(w->s, &w->shmem);
	spare_fill(w->s);
	if (nr - *last_scan >= scan_every(a64_load(&w->s->nr_clients))) {
		scan_tree(w);
		*last_scan = nr;
	}
}

void watcher_main(void *arg)
{
	struct watch w = { .s = arg };
	uint64_t next_tick = 0;
	int64_t ticks = 0, last_scan = 0;

	while (!a32_load(&w.s->stopping)) {
		uint32_t ticket = waitq_prepare(&w.s->watch_wait);
		uint64_t start = plat_now_ns();
		bool due = start >= next_tick;

		if (due) {
			tick(&w, ticks++, &last_scan);
			next_tick = start + TICK_NS;
		}
		look_at_clients(&w, due);
		raise_peak(&w.s->unmanaged_peak, stat_read(w.s->group, STAT_UNMANAGED));
		if (a32_load(&w.s->unsettled) && charge_settle(&w.s->engine, w.s->group))
			a32_store(&w.s->unsettled, 0);
		waitq_sleep(&w.s->watch_wait, ticket, (int64_t)sleep_ns(&w, plat_now_ns() - start));
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

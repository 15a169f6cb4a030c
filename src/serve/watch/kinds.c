/* serve/watch/kinds.c - what the group's unmanaged memory is: by kind, and the processes that have
 * most of it.
 *
 * A look walks the page tables of the LOOKED_MAX processes that have most (smaps.c). The finder
 * takes it when unmanaged memory has grown enough since the last look, for at most 1 / SHARE of its
 * time. It is also taken at an OOM kill. So the look at the maximum may be slightly older than the
 * maximum.
 *
 * A kill does not wait for walks, except a short one: unmanaged RSS, names and what is static are
 * recorded, the victim is killed, then the walks follow. Memory that is gone by then counts as the
 * kind that most of the victim's memory was at the last look. A victim that has most of the
 * unmanaged memory, and few pages, is looked at before the kill: a walk of a millisecond.
 *
 * Locks: none but names_lock, for the results.
 */
#include <signal.h>
#include <string.h>

#include "serve/process/process.h"
#include "serve/session/session.h"
#include "serve/watch/parts.h"

#define LOOKED_MAX  16
#define FIRST_PAGES 32768 /* that a victim may have and be looked at before the kill */
#define STEP_PAGES  64
#define STEP_SHARE  8 /* of the last look */
#define SHARE       50
#define PAUSE_NS    (5 * 1000000ull)

struct kinds {
	atomic64_t next_ns; /* (A) finder to write: no look before */
	atomic64_t at;      /* (A) unmanaged pages at the last look */
};

int kinds_init(struct supervisor *s)
{
	return supervisor_part(&s->kinds, sizeof(*s->kinds));
}

struct candidate {
	struct client *c; /* referenced */
	int64_t pages;
	bool is_static, is_fork;
	char name[sizeof(((struct serve_process *)0)->name)];
};

struct kinds_look {
	struct client *c;
	int64_t kind[SERVE_NR_KINDS];
	int64_t registered;
	uint64_t code_dev, code_ino; /* the file last mapped as code */
	bool behind_managed;
};

/* The dynamic linker places that of the first thread, with the thread-local storage. */
static bool has_record(const struct client *c, const struct proc_area *a)
{
	return a->start < c->private_end[PRIVATE_RECORD] &&
	       c->private_start[PRIVATE_RECORD] < a->end;
}

static bool is_agents(const struct client *c, const struct proc_area *a)
{
	uint64_t va = a->start, end = a->end;

	while (va < end && client_private(c, va, &end)) {
		va = end;
		end = a->end;
	}
	return va == a->end;
}

static enum serve_kind kind_of_private(const struct kinds_look *k, const struct smaps_area *a)
{
	bool small = a->at.end - a->at.start <= STACK_TOP_PAGES * PAGE_SIZE;

	if (a->at.ino)
		return a->at.ino == k->code_ino && a->at.dev == k->code_dev ? SERVE_KIND_LIBRARY
									    : SERVE_KIND_FILE;
	if (a->flags & SMAPS_GROWSDOWN)
		return SERVE_KIND_STACK;
	if (has_record(k->c, &a->at) || (small && k->behind_managed))
		return SERVE_KIND_THREAD;
	if (is_agents(k->c, &a->at))
		return SERVE_KIND_AGENT;
	return SERVE_KIND_MAPPED;
}

static void add_area(const struct smaps_area *a, void *arg)
{
	struct kinds_look *k = arg;

	if (a->flags & SMAPS_CODE && a->at.ino) {
		k->code_dev = a->at.dev;
		k->code_ino = a->at.ino;
	}
	if (a->flags & SMAPS_REGISTERED)
		k->registered += a->anon;
	else if (!a->at.shared)
		k->kind[kind_of_private(k, a)] += a->anon;
	k->behind_managed = a->flags & SMAPS_REGISTERED;
}

static int64_t sum(const int64_t *kind)
{
	int64_t all = 0;

	for (int i = 0; i < SERVE_NR_KINDS; i++)
		all += kind[i];
	return all;
}

/* For an unmanaged program. As long as it may still say HELLO the kind is unknown. */
static enum serve_kind kind_of_unmanaged(const struct candidate *of)
{
	if (of->is_static)
		return SERVE_KIND_STATIC;
	if (of->is_fork)
		return SERVE_KIND_FORKED;
	if (client_state(of->c) != CLIENT_UNMANAGED && !a32_load(&of->c->unable))
		return SERVE_KIND_OTHER;
	return SERVE_KIND_NOAGENT;
}

/* What relatives share is in each one's kinds, and counts once: in proportion. */
static void shrink(int64_t *kind, int64_t room)
{
	int64_t all = sum(kind);

	if (room < 0)
		room = 0;
	for (int i = 0; all > room && i < SERVE_NR_KINDS; i++)
		kind[i] = kind[i] * room / all;
}

/* Break its unmanaged RSS, @pages, down by kind. */
static void look_at(struct kinds_look *k, const struct candidate *of)
{
	struct client *c = of->c;
	struct mm *mm = c->host.mm;
	int64_t pages = of->pages;
	int64_t shared = a64_load(&c->shared_pages), sysv = a64_load(&c->sysv_pages), rest, room;

	assert_referenced(of->c);
	*k = (struct kinds_look){ .c = c };
	if (c->unmanaged) {
		k->kind[kind_of_unmanaged(of)] = pages - shared;
	} else if (smaps_areas(c->host.task, add_area, k) == 0) {
		shrink(k->kind, pages - shared - a64_load(&c->tables));
		rest = k->registered - a64_load(&mm->rss) + a64_load(&mm->rss_shared);
		room = pages - shared - a64_load(&c->tables) - sum(k->kind);
		/* Pages that came during the look are not part of the unmanaged RSS. */
		rest = rest < room ? rest : room;
		k->kind[SERVE_KIND_PENDING] = rest > 0 ? rest : 0;
	} else {
		k->kind[SERVE_KIND_OTHER] = pages - shared;
	}
	k->kind[SERVE_KIND_SYSV] = sysv;
	k->kind[SERVE_KIND_SHARED] = shared - sysv;
}

static enum serve_kind largest(const int64_t *kind)
{
	enum serve_kind most = SERVE_KIND_OTHER;

	for (int i = 0; i < SERVE_NR_KINDS; i++)
		if (kind[i] > kind[most])
			most = (enum serve_kind)i;
	return most;
}

/* It has been killed and most of its memory is gone. */
static void add_gone(struct supervisor *s, struct kinds_look *k, const struct candidate *of)
{
	enum serve_kind kind = SERVE_KIND_OTHER;
	int64_t seen = 0;

	for (int i = 0; i < SERVE_NR_KINDS; i++)
		seen += k->kind[i] > 0 ? k->kind[i] : 0;
	if (!a32_load(&of->c->host.mm->dying) || seen >= of->pages / 2)
		return;
	spin_lock(&s->names_lock);
	for (unsigned i = 0; i < s->unmanaged_most.nr_processes; i++)
		if (s->unmanaged_most.process[i].pid == (int)of->c->host.pid)
			kind = s->unmanaged_most.process[i].kind;
	spin_unlock(&s->names_lock);
	k->kind[kind] += of->pages - seen;
}

static void add_process(struct supervisor *s, struct serve_unmanaged *u, const struct candidate *of)
{
	struct kinds_look k;
	struct serve_process *p;

	VM_ASSERT(u->nr_processes <= SERVE_PROCESSES);
	look_at(&k, of);
	add_gone(s, &k, of);
	for (int i = 0; i < SERVE_NR_KINDS; i++)
		u->kind[i] += k.kind[i] > 0 ? k.kind[i] * (int64_t)PAGE_SIZE : 0;
	if (u->nr_processes == SERVE_PROCESSES)
		return;
	p = &u->process[u->nr_processes++];
	memcpy(p->name, of->name, sizeof(p->name));
	p->pid = (int)of->c->host.pid;
	p->bytes = of->pages * (int64_t)PAGE_SIZE;
	p->kind = largest(k.kind);
}

/* Keep the LOOKED_MAX largest, in descending order; returns the pages of the one left out. */
static int64_t keep(struct candidate *all, unsigned *n, struct client *c, int64_t pages)
{
	unsigned i = *n;
	int64_t left = 0;

	VM_ASSERT(*n <= LOOKED_MAX && pages > 0);
	if (*n == LOOKED_MAX) {
		if (all[LOOKED_MAX - 1].pages >= pages)
			return pages;
		left = all[--i].pages;
		client_put(all[i].c);
	} else {
		++*n;
	}
	for (; i > 0 && all[i - 1].pages < pages; i--)
		all[i] = all[i - 1];
	client_ref(c);
	all[i] = (struct candidate){ .c = c, .pages = pages };
	return left;
}

/* It has said HELLO or is about to execute a program: the managed client has its memory and is
 * examined itself. */
static bool is_double(const struct client *c)
{
	return c->unmanaged && client_state(c) != CLIENT_UNMANAGED && starting_said_hello(c);
}

/* It has executed no program since a managed process forked it, and libc's fork would have
 * introduced it. */
static bool is_fork_of_managed(struct supervisor *s, pid_t pid)
{
	struct proc_stat st;
	struct client *parent;

	if (!proc_stat(pid, &st) || !(st.flags & PROC_FORKED) || st.parent <= 0)
		return false;
	parent = client_managed(s, st.parent);
	if (parent)
		client_put(parent);
	return parent != NULL;
}

/* Remove those that are not processes of their own; returns their pages. */
static int64_t drop_doubles(struct candidate *all, unsigned *n)
{
	int64_t pages = 0;
	unsigned left = 0;

	for (unsigned i = 0; i < *n; i++)
		if (is_double(all[i].c)) {
			pages += all[i].pages;
			client_put(all[i].c);
		} else {
			all[left++] = all[i];
		}
	*n = left;
	return pages;
}

/* The first, cheap part of a look: fill @all with the processes to examine; returns how many.
 * @total: unmanaged bytes. */
static unsigned choose(struct supervisor *s, struct serve_unmanaged *u, struct candidate *all,
		       int64_t total)
{
	struct client *c = NULL;
	int64_t others = 0;
	unsigned n = 0;

	*u = (struct serve_unmanaged){ .total = total };
	while ((c = client_next(s, c))) {
		int64_t pages = a64_load(&c->host.mm->unmanaged);

		if (pages > 0 && c->host.pid && !client_is_leaving(c))
			others += keep(all, &n, c, pages);
		else if (pages > 0)
			others += pages;
	}
	others += drop_doubles(all, &n);
	u->kind[SERVE_KIND_OTHER] = others * (int64_t)PAGE_SIZE;
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = all[i].c->host.pid;

		proc_comm(pid, all[i].name, sizeof(all[i].name));
		all[i].is_static = all[i].c->unmanaged && proc_is_static(pid);
		all[i].is_fork = all[i].c->unmanaged && !all[i].is_static &&
				 client_state(all[i].c) != CLIENT_EXECUTING &&
				 is_fork_of_managed(s, pid);
	}
	return n;
}

/* The parts were read one after the other, and later than the total: subtract the excess from the
 * largest. */
static void fit(struct serve_unmanaged *u)
{
	int64_t over;

	/* A statistic that is read while it changes may be a little below 0. */
	if (u->total < 0)
		u->total = 0;
	while ((over = sum(u->kind) - u->total) > 0) {
		enum serve_kind most = largest(u->kind);

		u->kind[most] -= over < u->kind[most] ? over : u->kind[most];
	}
	for (unsigned i = 0; i < u->nr_processes; i++)
		if (u->process[i].bytes > u->total)
			u->process[i].bytes = u->total;
}

static bool is_looked_at_first(const struct client *victim, const struct candidate *all, unsigned n)
{
	return n && all[0].c == victim &&
	       a64_load(&victim->host.mm->rss) + all[0].pages <= FIRST_PAGES;
}

/* Of @all those from @from on. */
static void walk(struct supervisor *s, struct serve_unmanaged *u, struct candidate *all, unsigned n,
		 unsigned from)
{
	for (unsigned i = from; i < n; i++) {
		add_process(s, u, &all[i]);
		client_put(all[i].c);
	}
	fit(u);
}

/* Is @pages enough above the last look? */
static bool is_due(struct supervisor *s, int64_t pages)
{
	int64_t at = a64_load(&s->kinds->at);

	return pages >= at + at / STEP_SHARE + STEP_PAGES;
}

void kinds_wake(struct supervisor *s)
{
	assert_thread(THREAD_WATCHER);
	if (is_due(s, stat_read(s->group, STAT_UNMANAGED)) &&
	    (int64_t)plat_now_ns() >= a64_load(&s->kinds->next_ns))
		waitq_wake(&s->wake.finder);
}

void kinds_note(struct supervisor *s)
{
	int64_t pages = stat_read(s->group, STAT_UNMANAGED);
	uint64_t start = plat_now_ns(), cost;
	struct candidate all[LOOKED_MAX];
	struct serve_unmanaged u;

	assert_thread(THREAD_FINDER);
	if (!is_due(s, pages) || (int64_t)start < a64_load(&s->kinds->next_ns))
		return;
	walk(s, &u, all, choose(s, &u, all, pages * (int64_t)PAGE_SIZE), 0);
	a64_store(&s->kinds->at, pages);
	spin_lock(&s->names_lock);
	if (u.total >= s->unmanaged_most.total)
		s->unmanaged_most = u;
	spin_unlock(&s->names_lock);
	cost = plat_now_ns() - start;
	a64_store(&s->kinds->next_ns, (int64_t)(start + cost + PAUSE_NS + cost * SHARE));
}

void kinds_at_kill(struct client *victim, int64_t total)
{
	struct supervisor *s = victim->s;
	struct candidate all[LOOKED_MAX];
	struct serve_unmanaged u;
	unsigned n = choose(s, &u, all, total), looked = is_looked_at_first(victim, all, n);

	if (looked) {
		add_process(s, &u, &all[0]);
		client_put(all[0].c);
	}
	client_kill(victim, SIGKILL);
	walk(s, &u, all, n, looked);
	spin_lock(&s->names_lock);
	s->unmanaged_oom = u;
	if (u.total >= s->unmanaged_most.total)
		s->unmanaged_most = u;
	spin_unlock(&s->names_lock);
}

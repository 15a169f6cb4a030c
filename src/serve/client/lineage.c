/* serve/client/lineage.c - the set of processes that descend from the program. See lineage.h.
 *
 * Two threads change the set: the one that listens to the kernel (find/listen.c) and the find
 * thread (find/find.c). A fork is reported before the child runs, so the child's own forks find it
 * there. A report about a stranger costs one lookup in the set. When messages were lost (ENOBUFS)
 * or there is no memory for the set, the find thread walks the tree.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "serve/client/lineage.h"
#include "serve/client/supervisor.h"

#define GONE    ((pid_t)-1)
#define CAP_MIN 256
#define FRESH   1024

struct lineage {
	struct spinlock lock;      /* all but (C) */
	pid_t *slot;               /* a hash table: 0 free, GONE was used */
	unsigned cap, used;        /* used: slots that are not 0 */
	struct fresh fresh[FRESH]; /* not examined yet */
	unsigned nr_fresh;
	bool lost;     /* something is missing in the set or among the fresh ones */
	bool reported; /* (C) the kernel reports forks and execs */
};

/* ---- the set; lock held ---- */

static unsigned place(const struct lineage *l, pid_t pid)
{
	VM_ASSERT(l->cap);
	return (unsigned)pid * 2654435761u & (l->cap - 1);
}

/* Its slot, or the free slot where the search ends. NULL: no table yet. */
static pid_t *find(struct lineage *l, pid_t pid)
{
	unsigned i;

	lockdep_assert_held(&l->lock);
	if (!l->cap)
		return NULL;
	for (i = place(l, pid); l->slot[i] && l->slot[i] != pid;)
		i = (i + 1) & (l->cap - 1);
	return &l->slot[i];
}

/* Rebuild without those that are gone, in a table that is at most a quarter full. */
static bool rebuild(struct lineage *l)
{
	pid_t *old = l->slot, *p;
	unsigned old_cap = l->cap, nr = 0, cap = CAP_MIN;

	lockdep_assert_held(&l->lock);
	for (unsigned i = 0; i < old_cap; i++)
		nr += old[i] > 0;
	while (cap < 4 * (nr + 1))
		cap *= 2;
	p = plat_alloc(cap * sizeof(*p));
	if (!p)
		return false;
	l->slot = p;
	l->cap = cap;
	l->used = nr;
	for (unsigned i = 0; i < old_cap; i++)
		if (old[i] > 0)
			*find(l, old[i]) = old[i];
	plat_free(old);
	return true;
}

static void add(struct lineage *l, pid_t pid)
{
	pid_t *p;

	lockdep_assert_held(&l->lock);
	VM_BUG_ON(pid <= 0);
	p = find(l, pid);
	if (p && *p == pid)
		return;
	if (2 * (l->used + 1) > l->cap && !rebuild(l)) {
		l->lost = true;
		return;
	}
	*find(l, pid) = pid;
	l->used++;
}

static bool has(struct lineage *l, pid_t pid)
{
	const pid_t *p = find(l, pid);

	lockdep_assert_held(&l->lock);
	return p && *p == pid;
}

static void drop(struct lineage *l, pid_t pid)
{
	pid_t *p = find(l, pid);

	lockdep_assert_held(&l->lock);
	if (p && *p == pid)
		*p = GONE;
}

static void note(struct lineage *l, pid_t pid, uint64_t since_ns)
{
	lockdep_assert_held(&l->lock);
	if (l->nr_fresh < FRESH)
		l->fresh[l->nr_fresh++] = (struct fresh){ pid, since_ns };
	else
		l->lost = true;
}

/* ---- for others ---- */

void lineage_add(struct supervisor *s, pid_t pid)
{
	spin_lock(&s->lineage->lock);
	add(s->lineage, pid);
	spin_unlock(&s->lineage->lock);
}

void lineage_note(struct supervisor *s, pid_t pid)
{
	if (pid <= 0)
		return;
	spin_lock(&s->lineage->lock);
	note(s->lineage, pid, plat_now_ns());
	spin_unlock(&s->lineage->lock);
	watcher_fresh(s);
}

bool lineage_has(struct supervisor *s, pid_t pid)
{
	bool yes;

	spin_lock(&s->lineage->lock);
	yes = has(s->lineage, pid);
	spin_unlock(&s->lineage->lock);
	return yes;
}

unsigned lineage_take(struct supervisor *s, struct fresh *fresh, unsigned max, bool *lost)
{
	struct lineage *l = s->lineage;
	unsigned n;

	assert_thread(THREAD_FIND);
	VM_ASSERT(max > 0);
	spin_lock(&l->lock);
	n = l->nr_fresh < max ? l->nr_fresh : max;
	memcpy(fresh, l->fresh, n * sizeof(*fresh));
	memmove(l->fresh, l->fresh + n, (l->nr_fresh - n) * sizeof(*fresh));
	l->nr_fresh -= n;
	*lost = l->lost;
	l->lost = false;
	spin_unlock(&l->lock);
	return n;
}

/* A pid found free may be given to a child of ours before it is dropped: check again under the
 * lock, where no fork is applied in between. */
void lineage_prune(struct supervisor *s)
{
	struct lineage *l = s->lineage;

	assert_thread(THREAD_FIND);
	for (unsigned i = 0;; i++) {
		pid_t pid;

		spin_lock(&l->lock);
		if (i >= l->cap) {
			spin_unlock(&l->lock);
			return;
		}
		pid = l->slot[i];
		spin_unlock(&l->lock);
		if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		spin_lock(&l->lock);
		if (kill(pid, 0) != 0 && errno == ESRCH)
			drop(l, pid);
		spin_unlock(&l->lock);
	}
}

/* ---- what the kernel reports ---- */

bool lineage_forked(struct supervisor *s, pid_t parent, pid_t child, uint64_t since_ns)
{
	struct lineage *l = s->lineage;
	bool ours;

	assert_thread(THREAD_LISTENER);
	spin_lock(&l->lock);
	ours = has(l, parent) || parent == getpid();
	if (ours) {
		add(l, child);
		note(l, child, since_ns);
	} else {
		drop(l, child); /* a new process that reuses the pid of one of ours */
	}
	spin_unlock(&l->lock);
	return ours;
}

bool lineage_executed(struct supervisor *s, pid_t pid, uint64_t since_ns)
{
	struct lineage *l = s->lineage;
	bool ours;

	assert_thread(THREAD_LISTENER);
	spin_lock(&l->lock);
	ours = has(l, pid);
	if (ours)
		note(l, pid, since_ns);
	spin_unlock(&l->lock);
	return ours;
}

void lineage_lost(struct supervisor *s)
{
	spin_lock(&s->lineage->lock);
	s->lineage->lost = true;
	spin_unlock(&s->lineage->lock);
	watcher_fresh(s);
}

bool lineage_is_reported(const struct supervisor *s)
{
	return s->lineage->reported;
}

void lineage_set_reported(struct supervisor *s, bool yes)
{
	assert_thread(THREAD_MAIN);
	s->lineage->reported = yes;
}

int lineage_init(struct supervisor *s)
{
	if (supervisor_part(&s->lineage, sizeof(*s->lineage)))
		return -ENOMEM;
	spin_init_urgent(&s->lineage->lock, RANK_LEAF);
	return 0;
}

void lineage_fini(struct supervisor *s)
{
	plat_free(s->lineage->slot);
	spin_fini(&s->lineage->lock);
	plat_free(s->lineage);
	s->lineage = NULL;
}

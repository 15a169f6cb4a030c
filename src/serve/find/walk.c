/* serve/find/walk.c - finds the program's processes where the kernel reports no forks, or in case a
 * report was missed.
 *
 *   near    the children of processes that fork unseen: of unmanaged processes, of those whose fork
 *           was seen, and our own, which orphans become. Every tick if the kernel does not report
 *           forks
 *   tree    everything below us: as a safety net if the kernel reports forks, more often if it does
 *           not
 *   /proc   all of it, once per second: a process with our socket's name in its environment has
 *           left the tree, as a grandchild in another PID namespace does (nsenter)
 *
 * Locks: none; the find thread only, except for walk_is_ours.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/client/lineage.h"
#include "serve/find/parts.h"
#include "serve/process/proc.h"

#define TICK_NS      (10 * 1000000ull)
#define WALK_TICKS   2                  /* between two walks, */
#define WALK_MAX     6                  /* ... and at most, with many processes */
#define WALK_TOLD_NS (500 * 1000000ull) /* if the kernel reports forks, too */
#define WALK_SHARE   2                  /* at most 1 / this of the time */
#define NEAR_SHARE   4
#define NET_NS       (1000 * 1000000ull)
#define NET_SHARE    50
#define ENVIRON_MAX  (128u << 10) /* bytes searched */

/* Processes found not to be the program's; ascending. */
struct strangers {
	pid_t *pid;
	unsigned n, cap;
};

static void walk_near(struct find *f)
{
	struct supervisor *s = f->s;
	struct client *c = NULL;

	assert_thread(THREAD_FIND);
	proc_children(getpid(), find_met, f);
	while ((c = client_next(s, c))) {
		pid_t pid = c->unmanaged || client_mute(c) ? c->host.pid
			    : c->host.pid                  ? 0
							   : c->forked_by;

		if (pid)
			proc_children(pid, find_met, f);
	}
}

/* ---- the last net ---- */

bool walk_is_ours(struct supervisor *s, pid_t pid)
{
	char path[32], want[sizeof(s->socket_name) + sizeof(PROTO_ENV) + 1],
		*buf = malloc(ENVIRON_MAX);
	int fd, len = snprintf(want, sizeof(want), "%s=%s", PROTO_ENV, s->socket_name);
	ssize_t n = 0, got;
	bool yes;

	assert_thread(THREAD_ASKER);
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	fd = proc_there(pid) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && buf && n < (ssize_t)ENVIRON_MAX &&
	       (got = read(fd, buf + n, ENVIRON_MAX - (size_t)n)) > 0)
		n += got;
	if (fd >= 0)
		close(fd);
	yes = n > 0 && memmem(buf, (size_t)n, want, (size_t)len + 1);
	free(buf);
	return yes;
}

static bool is_stranger(const struct strangers *t, pid_t pid)
{
	unsigned low = 0, high = t ? t->n : 0;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (t->pid[mid] < pid)
			low = mid + 1;
		else
			high = mid;
	}
	return t && low < t->n && t->pid[low] == pid;
}

/* The kernel lists them in ascending order; if not, they are asked again. */
static void add_stranger(struct strangers *t, pid_t pid)
{
	assert_thread(THREAD_FIND);
	if (t->n == t->cap) {
		unsigned cap = t->cap ? 2 * t->cap : 256;
		pid_t *more = realloc(t->pid, cap * sizeof(*more));

		if (!more)
			return;
		t->pid = more;
		t->cap = cap;
	}
	t->pid[t->n++] = pid;
}

static void free_strangers(struct strangers *t)
{
	if (t)
		free(t->pid);
	free(t);
}

/* Each stranger is examined once, by an asker thread; a number that disappears is forgotten. */
static void look_everywhere(struct find *f)
{
	struct strangers *now = calloc(1, sizeof(*now));
	DIR *dir = opendir("/proc");
	struct dirent *d;

	assert_thread(THREAD_FIND);
	while (now && dir && (d = readdir(dir))) {
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid() || lineage_has(f->s, pid))
			continue;
		if (!is_stranger(f->strangers, pid))
			find_ask(f, pid, true);
		add_stranger(now, pid);
	}
	if (dir)
		closedir(dir);
	free_strangers(f->strangers);
	f->strangers = now;
}

void walk_end(struct find *f)
{
	free_strangers(f->strangers);
}

/* ---- timing ---- */

/* A walk costs about 50 us per process. */
static uint64_t walk_every_ns(const struct supervisor *s)
{
	int64_t ticks = WALK_TICKS + a64_load(&s->nr_clients) / 4;

	if (lineage_is_reported(s))
		return WALK_TOLD_NS;
	return (uint64_t)(ticks < WALK_MAX ? ticks : WALK_MAX) * TICK_NS;
}

/* When to do it again, given that it has run from @start until now: every @ns, but for at most 1 /
 * @share of the time. */
static uint64_t next_time(uint64_t start, uint64_t ns, unsigned share)
{
	uint64_t took = plat_now_ns() - start;

	VM_ASSERT(share > 0);
	return start + (ns > took * share ? ns : took * share);
}

void walk_if_due(struct find *f, bool tick, bool lost)
{
	uint64_t now = plat_now_ns();

	assert_thread(THREAD_FIND);
	if (lost || (tick && now >= f->next_walk_ns)) {
		uint64_t before = f->walked_ns;

		f->walked_ns = now;
		proc_descendants(getpid(), find_met, f);
		/* Processes that started just after the previous walk. */
		if (!lineage_is_reported(f->s) && before)
			find_took(f, before);
		f->next_walk_ns = next_time(now, walk_every_ns(f->s), WALK_SHARE);
	} else if (tick && !lineage_is_reported(f->s) && now >= f->next_near_ns) {
		walk_near(f);
		f->next_near_ns = next_time(now, 0, NEAR_SHARE);
	}
	now = plat_now_ns();
	if (tick && now >= f->next_net_ns) {
		look_everywhere(f);
		lineage_prune(f->s);
		f->next_net_ns = next_time(now, NET_NS, NET_SHARE);
	}
}

/* serve/remote/files.c - the control files of the run's group, for other commands. See files.h.
 *
 * Locks: none of its own; client_next and bounds.h take theirs.
 */
#include "serve/remote/files.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "mm/reclaim.h"

#define WAIT_NS    (5 * 1000000ull)     /* one wait of the remote thread for a write */
#define ENFORCE_NS (10 * 1000000000ull) /* a write of memory.max waits for the settler */
#define LOOK_NS    (2 * 1000000ull)

/* ---- what the owner of the processes knows ---- */

static void set_limit(void *arg, struct mem_cgroup *g, enum ctl_limit which, int64_t pages)
{
	struct supervisor *s = arg;

	VM_ASSERT(g == s->group);
	bounds_set(&s->bounds, g, which, pages);
	reclaim_got_on(g);
	kswapd_wake(&s->engine);
}

static int64_t limit(void *arg, struct mem_cgroup *g, enum ctl_limit which)
{
	struct supervisor *s = arg;

	return g == s->group ? bounds_get(&s->bounds, which) : PAGE_COUNTER_MAX;
}

/* The settler knows when to kill: clients may be about to give much back. */
static void enforce(void *arg, struct mem_cgroup *g)
{
	struct supervisor *s = arg;
	uint64_t start = plat_now_ns();

	while (page_counter_read(&g->memory) > a64_load(&g->memory.max) &&
	       !a32_load(&s->stopping) && plat_now_ns() - start < ENFORCE_NS) {
		a32_store(&s->unsettled, 1);
		waitq_wake(&s->wake.settler);
		plat_sleep_ns(LOOK_NS);
	}
}

static int by_number(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The processes, in order, each once; *@pids allocated. Their number, or -ENOMEM. */
static int list_processes(struct supervisor *s, pid_t **pids)
{
	size_t n = 0, room = 64, unique = 0;
	struct client *c = NULL;

	*pids = malloc(room * sizeof(**pids));
	while (*pids && (c = client_next(s, c))) {
		pid_t pid = c->host.pid;

		if (pid <= 0 || client_has_ended(c))
			continue;
		if (n == room) {
			pid_t *more = realloc(*pids, 2 * room * sizeof(**pids));

			if (!more) {
				client_put(c);
				free(*pids);
				return -ENOMEM;
			}
			*pids = more;
			room *= 2;
		}
		(*pids)[n++] = pid;
	}
	if (!*pids)
		return -ENOMEM;
	qsort(*pids, n, sizeof(**pids), by_number);
	/* A process has two clients while it executes a program. */
	for (size_t i = 0; i < n; i++)
		if (!unique || (*pids)[unique - 1] != (*pids)[i])
			(*pids)[unique++] = (*pids)[i];
	return (int)unique;
}

static void put_threads(pid_t pid, struct text *out)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			text_printf(out, "%s\n", entry->d_name);
	if (dir)
		closedir(dir);
}

static void processes(void *arg, struct mem_cgroup *g, bool threads, struct text *out)
{
	pid_t *pids;
	int n = list_processes(arg, &pids);

	(void)g;
	if (n < 0)
		return;
	for (int i = 0; i < n; i++) {
		if (threads)
			put_threads(pids[i], out);
		else
			text_printf(out, "%d\n", (int)pids[i]);
	}
	free(pids);
}

static bool populated(void *arg, struct mem_cgroup *g)
{
	pid_t *pids;
	int n = list_processes(arg, &pids);

	(void)g;
	if (n >= 0)
		free(pids);
	return n != 0;
}

/* When the root process has ended, the run ends what was forked at the same time. */
static int kill_all(void *arg, struct mem_cgroup *g)
{
	struct supervisor *s = arg;
	struct client *c = NULL;

	(void)g;
	while ((c = client_next(s, c)))
		client_kill(c, SIGKILL);
	return 0;
}

static const struct ctl_host host = {
	.set_limit = set_limit,
	.limit = limit,
	.enforce = enforce,
	.processes = processes,
	.populated = populated,
	.kill = kill_all,
};

static struct ctl ctl_of(struct supervisor *s)
{
	return (struct ctl){ .e = &s->engine, .memcg = s->group, .host = &host, .arg = s };
}

/* ---- reading ---- */

static void put_list(enum ctl_view view, struct text *out)
{
	unsigned nr;
	const struct ctl_file *files = ctl_files(&nr);

	for (unsigned i = 0; i < nr; i++)
		if (files[i].view == view)
			text_printf(out, "%s %s%s%s%s\n", files[i].name, files[i].read ? "r" : "",
				    files[i].write ? "w" : "", files[i].write ? " " : "",
				    files[i].write ? files[i].accepts : "");
}

static int read_whole(struct supervisor *s, const struct remote_ask *m, struct text *out)
{
	const struct ctl_file *f;
	struct ctl c = ctl_of(s);

	if (!m->name[0]) {
		put_list((enum ctl_view)m->view, out);
		return 0;
	}
	f = ctl_find((enum ctl_view)m->view, m->name);
	if (!f)
		return -ENOENT;
	return f->read ? ctl_read(&c, f, out) : -EACCES;
}

void files_read(struct supervisor *s, const struct remote_ask *m, struct remote_file *out)
{
	char *buf = malloc(CTL_TEXT_MAX);
	struct text text;
	size_t left;

	assert_thread(THREAD_REMOTE);
	if (!buf) {
		out->error = -ENOMEM;
		return;
	}
	text_init(&text, buf, CTL_TEXT_MAX);
	out->error = read_whole(s, m, &text);
	left = !out->error && m->offset < text.len ? text.len - m->offset : 0;
	out->length = (uint32_t)(left < REMOTE_PART_MAX ? left : REMOTE_PART_MAX);
	out->more = left > REMOTE_PART_MAX;
	memcpy(out->text, buf + (left ? m->offset : 0), out->length);
	free(buf);
}

/* ---- writing ---- */

static void writer_main(void *arg)
{
	struct files_job *j = arg;
	struct ctl c = ctl_of(j->s);
	const struct ctl_file *f = ctl_find((enum ctl_view)j->ask.view, j->ask.name);

	thread_begin(THREAD_FILES);
	j->error = ctl_write(&c, f, j->ask.value);
	a32_store(&j->done, 1);
	waitq_wake(&j->ended);
}

void files_init(struct files_job *j)
{
	waitq_init(&j->ended);
}

int files_write_begin(struct files_job *j, struct supervisor *s, const struct remote_ask *m)
{
	const struct ctl_file *f = ctl_find((enum ctl_view)m->view, m->name);
	int err;

	assert_thread(THREAD_REMOTE);
	if (!f)
		return -ENOENT;
	if (!f->write)
		return -EACCES;
	if (j->running && !a32_load(&j->done))
		return -EINPROGRESS;
	files_write_end(j);
	j->s = s;
	j->ask = *m;
	a32_store(&j->done, 0);
	err = plat_thread_start(&j->thread, "umemcg-files", writer_main, j);
	j->running = !err;
	return err;
}

bool files_write_wait(struct files_job *j, int *error)
{
	uint32_t ticket = waitq_prepare(&j->ended);

	assert_thread(THREAD_REMOTE);
	VM_ASSERT(j->running);
	if (!a32_load(&j->done))
		(void)waitq_sleep(&j->ended, ticket, (int64_t)WAIT_NS);
	if (!a32_load(&j->done))
		return true;
	files_write_end(j);
	*error = j->error;
	return false;
}

void files_write_end(struct files_job *j)
{
	if (j->running)
		plat_thread_join(&j->thread);
	j->running = false;
}

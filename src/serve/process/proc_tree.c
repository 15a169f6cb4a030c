/* serve/process/proc_tree.c - the process tree and our own threads, from /proc. Processes come and
 * go during the walk.
 *
 * Locks: none.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/process.h"

#define GENERATIONS_MAX 4096
#define JOINED_WAITS    100 /* of a millisecond */

/* Processes whose children are still to be listed. A list, not recursion: a tree may be thousands
 * deep. */
struct to_visit {
	pid_t *pid;
	size_t n, room;
};

static void visit_later(struct to_visit *v, pid_t pid)
{
	VM_ASSERT(v->n <= v->room);
	if (v->n == v->room) {
		size_t room = v->room ? 2 * v->room : 64;
		pid_t *more = realloc(v->pid, room * sizeof(*more));

		if (!more)
			return;
		v->pid = more;
		v->room = room;
	}
	v->pid[v->n++] = pid;
}

static void children_of(pid_t pid, const char *task, struct to_visit *v,
			void (*fn)(pid_t, pid_t, void *), void *arg)
{
	char path[96];
	int child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, task);
	f = proc_there(pid) && proc_there((pid_t)atoi(task)) ? fopen(path, "re") : NULL;
	if (!f)
		return;
	while (fscanf(f, "%d", &child) == 1) {
		fn(child, pid, arg);
		if (v)
			visit_later(v, child);
	}
	fclose(f);
}

static void visit(pid_t pid, struct to_visit *v, void (*fn)(pid_t, pid_t, void *), void *arg)
{
	DIR *dir = proc_tasks(pid);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			children_of(pid, d->d_name, v, fn, arg);
	if (dir)
		closedir(dir);
}

void proc_children(pid_t pid, void (*fn)(pid_t pid, pid_t parent, void *arg), void *arg)
{
	visit(pid, NULL, fn, arg);
}

void proc_descendants(pid_t top, void (*fn)(pid_t pid, pid_t parent, void *arg), void *arg)
{
	struct to_visit v = { 0 };

	VM_ASSERT(top > 0);
	visit_later(&v, top);
	while (v.n)
		visit(v.pid[--v.n], &v, fn, arg);
	free(v.pid);
}

bool proc_is_below(pid_t tid, pid_t top)
{
	pid_t up = tid;

	for (int i = 0; i < GENERATIONS_MAX && up > 1 && up != top; i++)
		up = proc_parent(up);
	return up == top && tid != up;
}

bool proc_is_ours(pid_t tid)
{
	return proc_is_below(tid, getpid());
}

/* Does thread @tid know itself by this number, or is it in a PID namespace of its own? */
static bool same_namespace(pid_t tid)
{
	char path[32];
	struct stat own, its;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)tid);
	return proc_there(tid) && stat("/proc/self/ns/pid", &own) == 0 && stat(path, &its) == 0 &&
	       own.st_ino == its.st_ino;
}

void proc_kill_ours(pid_t tid)
{
	/* The thread waits for its page, so the number is still its own. But the number is the one
	 * from a userfaultfd: if the thread is in another PID namespace, it means another process,
	 * or none. */
	if (!proc_is_ours(tid) || !same_namespace(tid))
		return;
	VM_ASSERT(tid > 1); /* kill(2) takes other numbers for many processes */
	(void)kill(tid, SIGKILL);
}

#ifdef __SANITIZE_THREAD__
#define SANITIZER_THREADS 1
#else
#define SANITIZER_THREADS 0
#endif

/* Threads of ours beside io_uring's, which run no code of ours. */
static unsigned own_threads(void)
{
	DIR *dir = opendir("/proc/self/task"); /* NULL: another PID namespace's */
	struct dirent *d;
	unsigned n = 0;

	while (dir && (d = readdir(dir))) {
		char name[32];

		if (d->d_name[0] == '.')
			continue;
		proc_comm((pid_t)atoi(d->d_name), name, sizeof(name));
		n += strncmp(name, "iou-", 4) != 0;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* The kernel lists a thread for an instant after it was joined. */
bool proc_single_threaded(void)
{
	for (int i = 0; own_threads() > 1 + SANITIZER_THREADS; i++) {
		if (i == JOINED_WAITS)
			return false;
		plat_sleep_ns(1000000);
	}
	return true;
}

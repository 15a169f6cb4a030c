/* serve/process/proc_tree.c - the process tree, from /proc. Processes come and go during the walk.
 *
 * Locks: none.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/process/process.h"

/* Processes whose children are still to be listed. A list, not recursion: a tree may be thousands
 * deep. */
struct to_visit {
	pid_t *pid;
	size_t n, room;
};

static void visit_later(struct to_visit *v, pid_t pid)
{
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

static void children_of(pid_t pid, const char *task, struct to_visit *v, void (*fn)(pid_t, pid_t, void *), void *arg)
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

	visit_later(&v, top);
	while (v.n)
		visit(v.pid[--v.n], &v, fn, arg);
	free(v.pid);
}

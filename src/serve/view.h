/* serve/view.h - programs see their limit (`umemcg run --view`).
 *
 * In the mount namespace of the run, the files of the program's own control group are ours, and
 * /proc/meminfo and /proc/swaps show the group instead of the machine. Nothing else is changed:
 * /proc/self/cgroup, the mounts and other controllers' files stay true.
 *
 *   layout L1, "own path": a tmpfs on the directory that /proc/self/cgroup names
 *   layout L2, "own files": where that is the root of the mount (a container), one file each is
 *                           mounted over the kernel's
 *
 * The files are copies, renewed by a thread: limits that were changed are seen after VIEW_TICK_MS.
 */
#ifndef UMEMCG_SERVE_VIEW_H
#define UMEMCG_SERVE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/serve.h"

#define VIEW_TICK_MS 100

struct text; /* base/text.h */

/* 0 or -ENOMEM. */
int view_alloc(struct supervisor *s);
/* Enter a mount namespace and mount what s->config.view asks for. Main thread, once the group
 * exists. 0; or -errno, and *@p says why. */
int view_init(struct supervisor *s, struct serve_problem *p);
/* 0 or -errno. */
int view_start(struct supervisor *s);
void view_stop(struct supervisor *s);
/* In the forked child, before exec: SERVE_VIEW_ENV's variables, unless the user has set them; and
 * whether the agent answers for the machine. */
void view_child_env(struct supervisor *s);

/* ---- view_place.c: where the program's memory control group is ---- */

struct view_place {
	bool v1;         /* which controller's names */
	bool whole;      /* L1: the directory is the group's own; else it is the mount's root */
	char path[4096]; /* of the directory */
};

/* @cgroup, @mountinfo: the text of /proc/self/cgroup and of /proc/self/mountinfo. 0; -ENOENT: the
 * memory controller is not mounted here, or the group lies outside of the mount. Pure. */
int view_place_find(const char *cgroup, const char *mountinfo, struct view_place *out);

/* ---- view_contents.c ---- */

struct view_memory {
	int64_t max, swap_max; /* bytes; -1: none */
	bool limit_shown;      /* the group's own files are shown, too */
	int64_t current, swap; /* bytes */
	int64_t anon, shmem, file, active_anon, inactive_anon; /* bytes */
};

/* @host, the text of /proc/meminfo, with the group's numbers in its lines. @with_swap: the total is
 * memory and swap together, and there is no swap. Pure. */
void view_meminfo(const struct view_memory *m, bool with_swap, const char *host, struct text *out);
/* The text of /proc/swaps: one line, or none without swap. Pure. */
void view_swaps(const struct view_memory *m, bool with_swap, struct text *out);

#endif

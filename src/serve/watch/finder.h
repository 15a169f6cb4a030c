/* serve/watch/finder.h - memory that is not in the books: what it is, and taking over what could be managed.
 * Not for other folders.
 *
 * smaps.c reads what a process has mapped, live.c takes areas of a running process into the books,
 * finder.c decides when, kinds.c says what is left.
 */
#ifndef UMEMCG_SERVE_FINDER_H
#define UMEMCG_SERVE_FINDER_H

#include "mmu/host/pagemap.h"
#include "serve/internal.h"

/* ---- smaps.c ---- */
#define SMAPS_REGISTERED 1u   /* in a userfaultfd */
#define SMAPS_GROWSDOWN  2u   /* a stack */
#define SMAPS_CODE       4u
#define SMAPS_SPECIAL    8u   /* not to be taken over */
#define SMAPS_NOHUGE     16u
struct smaps_area {
	struct proc_area at;
	uint32_t flags;       /* SMAPS_ */
	int64_t anon;         /* anonymous pages that are there */
	bool entered;         /* finder.c */
};
/* Every area of a process, with what is there; 0 or -errno. */
int smaps_areas(pid_t pid, void (*fn)(const struct smaps_area *a, void *arg), void *arg);
/* Does the kernel give MAP_STACK mappings SMAPS_NOHUGE (Linux 6.7), so that a thread's stack can be
 * told? */
bool smaps_marks_stacks(void);

/* ---- live.c ---- */
struct live {
	struct client *c;
	const struct smaps_area *area; /* that is being looked at */
	struct pagemap pagemap;
	int maps_fd, statm_fd;
	uint64_t found;                /* pages entered */
};
void live_open(struct live *l, struct client *c);
/* Register the area of a running process and enter it: from then on its misses are ours. 0: done,
 * as far as it can be managed. -EAGAIN: its mappings change at this moment. Not for two threads at
 * once. */
int live_enter(struct live *l, const struct smaps_area *a);
/* Take what is present there into the books. */
void live_fill(struct live *l, const struct smaps_area *a);
void live_close(struct live *l);

/* ---- finder.c ---- */
void finder_main(void *supervisor);
/* The figure of @c was looked at: wake the finder if that is worth it. */
void finder_note(struct client *c);
/* Somebody is about to be killed: what has come since the last look is looked at first. True: pages
 * were found, or, where @wait is false, may be soon. */
bool finder_search(struct supervisor *s, bool wait);

/* ---- kinds.c ---- */
/* Watcher. Wake the finder when so much more is unmanaged than ever that it is worth a look at what
 * it is; finder: that look. */
void kinds_wake(struct supervisor *s);
void kinds_note(struct supervisor *s);
/* Kill @victim. What were the @total bytes that are not managed? */
void kinds_at_kill(struct client *victim, int64_t total);

#endif

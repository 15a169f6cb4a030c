/* serve/account/account.h - what a client has: measured as unmanaged RSS, in page tables, charged
 * ahead, or adopted into the books.
 */
#ifndef UMEMCG_SERVE_ACCOUNT_H
#define UMEMCG_SERVE_ACCOUNT_H

#include "mmu/host/pagemap.h"
#include "serve/client/client.h"
#include "serve/process/process.h"

/* ---- measure.c ---- */
/* May it be growing fast? Watcher. */
bool measure_hot(const struct client *c, uint64_t now);
/* Update the unmanaged RSS of @c, whose process has executed a program. True: it seems to have
 * grown; that counts only if measure_again sees it too, after a measure_pause. Watcher. */
bool measure(struct client *c);
void measure_pause(void);
void measure_again(struct client *c);
/* The same at once, for a client whose only thread waits for us. */
void measure_waiting(struct client *c);
/* Pages have gone from its unmanaged RSS into the books: lower it. @fd caches the open file (-1:
 * not open yet). */
void measure_lower(struct client *c, int *fd);
/* @pages of shared memory leave the books of @c, and count as its unmanaged memory until the next
 * look at shared memory. A look that is under way does not undo that (s->leaves). */
void measure_add_shared(struct client *c, int64_t pages);
/* Measure a client that is about to fork, with reclaim kept away. Returns how many pages its child
 * will be charged outside the books. */
int64_t measure_for_fork(struct client *c);

/* Update its unmanaged RSS to what two looks confirm. At any time. */
void measure_settled(struct client *c);
/* Its unmanaged pages, shared or not; or -errno. */
int64_t measure_own(struct client *c);

/* ---- copies.c, copies_pass.c: pages that are shared since a fork; family.h ---- */
/* 0 or -ENOMEM. */
int copies_init(struct supervisor *s);
/* All clients have ended. */
void copies_fini(struct supervisor *s);
/* What @c, which has @own unmanaged pages, is charged for them. */
int64_t copies_pages(struct client *c, int64_t own, bool watcher);
/* Pages that it has, and is not charged for. */
int64_t copies_shared(const struct client *c);
/* Has it run since the last call, so that it may have copied pages? Costs a tenth of a look.
 * Watcher. */
bool copies_may_go_on(struct client *c);
/* Its minor faults; 0: it has been reaped; -1: unknown. */
int64_t copies_faults(const struct client *c);
/* @c is about to fork. It had @faults minor faults, and was measured after that. Returns
 * copies_of_child. */
int64_t copies_for_fork(struct client *c, int64_t faults);
/* Unmanaged pages that its next child is charged: it shares all but page tables. */
int64_t copies_of_child(const struct client *c);
/* The same for a child whose fork was not announced. */
int64_t copies_all(const struct client *parent);
/* @parent has forked. False: charge the child for copies_all. */
bool copies_join(struct client *parent, struct client *child, bool announced);
/* A child that has joined was not the announced one: charge it for @pages. */
void copies_forsake(struct client *c, int64_t pages);
/* The unmanaged RSS of @c is about to rise from @known to @now. Take over what the family is
 * charged for that already. Returns the RSS after that. */
int64_t copies_take_over(struct client *c, int64_t known, int64_t now);
/* The unmanaged RSS of @c was updated, and has grown by @grown. */
void copies_measured(struct client *c, int64_t grown);
/* @c has ended; call before its charge is given back. Returns pages to charge in its place;
 * negative: to uncharge as well. */
int64_t copies_leave(struct client *c);
/* Wake the finder if a pass is due. Watcher. */
void copies_wake(struct supervisor *s);
/* Do the passes that are due. @asked: an OOM kill is next. Returns pages uncharged. Finder. */
int64_t copies_look(struct supervisor *s, bool asked);
/* May a pass find anything? */
bool copies_worth(struct supervisor *s);

/* ---- unseen.c ---- */
/* Pages of its unmanaged RSS that no pass of the finder has examined. */
int64_t unseen_pages(struct client *c);
/* A pass has examined all of it. */
void unseen_none(struct client *c);
/* Can the finder find memory of @c at all? */
bool unseen_possible(const struct client *c);
/* From how many unseen pages on it is worth a pass. */
int64_t unseen_threshold(const struct client *c, bool urgent);
#define UNSEEN_URGENT 64
/* Is the group so full that a pass is urgent? */
bool unseen_is_urgent(const struct supervisor *s);
/* Its unmanaged RSS was measured: wake the finder if that is worth it. */
void unseen_note(struct client *c);

/* ---- tables.c ---- */
/* Pages of the page tables of a client that has @extra pages outside the books. */
int64_t tables_pages(struct client *c, int64_t extra);
/* @c has ended. */
void tables_end(struct client *c);
struct own_tables {
	int64_t pages;     /* charged for the engine's own tables */
	uint64_t grown_ns; /* when they last grew much; 0: never */
};
/* Update what is charged for the engine's own. True: they may be growing fast. Watcher. */
bool tables_measure_own(struct supervisor *s, struct own_tables *own);
void tables_forget_own(struct supervisor *s, struct own_tables *own);

/* ---- reserve.c ---- */
/* Pages that a growing process should have in reserve when @nr of them grow. */
int64_t reserve_size(const struct supervisor *s, unsigned nr);
/* Take up to @n pages of the reserve; returns how many. They stay charged. */
int64_t reserve_take(struct client *c, int64_t n);
/* Have @want pages in reserve. May wait for reclaim. */
void reserve_make(struct client *c, int64_t want);
void reserve_end(struct client *c);
/* Give all of them back, before a kill. True: there were pages. Nothing locked. */
bool reserves_give_back(struct supervisor *s);

/* ---- unmanaged_shmem.c ---- */
#define SHMEM_DEVS 32
struct shmem_watch {
	uint64_t next_ns;
	uint64_t memfd_dev; /* 0: not known yet */
	uint64_t dev[SHMEM_DEVS];
	bool tmpfs[SHMEM_DEVS];
	unsigned nr_devs;
};
/* Measure every client's shared_pages, if it is time to. Watcher. */
void shmem_measure(struct supervisor *s, struct shmem_watch *w);

/* ---- adopt.c ---- */
/* Register and enter everything manageable of a process that waits in its HELLO. */
int adopt_all(struct client *c);
/* A fault hit an area that is not in the books: look it up. 0, or -ENOENT. */
int adopt_at(struct client *c, uint64_t va);
/* Enter the areas that the kernel has in [start, start + len); their pages follow at their first
 * faults. */
void adopt_areas(struct client *c, uint64_t start, uint64_t len);
/* Register [start, start + len) remotely and enter what is present; shared memory of our own
 * likewise. */
int adopt_range(struct client *c, uint64_t start, uint64_t len);
/* The child of a fork that was not reported has its books: register what its parent had. 0 or
 * -errno: it must not run. Control thread. */
int adopt_forked(struct client *c);
/* CALL_MEMFD_MAPPED: 0, -ENOENT: no object of ours; or -errno, and nothing is left in the books. */
int adopt_object(struct client *c, uint64_t start, uint64_t len);

/* ---- live.c ---- */
struct live {
	struct client *c;
	const struct smaps_area *area; /* the one examined now */
	struct pagemap pagemap;
	int maps_fd, statm_fd;
	bool stacks_marked; /* smaps_marks_stacks */
	uint64_t found;     /* pages entered */
};
void live_open(struct live *l, struct client *c, bool stacks_marked);
/* Register the area of a running process and enter it: from then on its misses are ours. 0: done,
 * as far as it can be managed. -EAGAIN: its mappings change at this moment. Not for two threads at
 * once. */
int live_enter(struct live *l, const struct smaps_area *a);
/* Enter what is present there. */
void live_fill(struct live *l, const struct smaps_area *a);
void live_close(struct live *l);

/* ---- huge.c ---- */
/* Pass the machine's setting on to the engine; @next_ns is the caller's, 0 at first: at most one
 * look per second. */
void huge_look(struct supervisor *s, uint64_t *next_ns);
/* Enter the huge page advice that areas were given before the agent could report it. */
void huge_adopt(struct client *c);
/* Has the process switched huge pages off for itself (PR_SET_THP_DISABLE)? batch_lock held. */
bool huge_unwanted(struct client *c);

#endif

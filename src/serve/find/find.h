/* serve/find/find.h - finding the processes of the program (find.c, walk.c).
 *
 * Locks: (C) constant once its thread runs. find->lock protects the lists.
 */
#ifndef UMEMCG_SERVE_FIND_H
#define UMEMCG_SERVE_FIND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "plat/plat.h"

struct client;
struct strangers;
struct supervisor;

#define NR_ASKERS 6
struct seen {
	pid_t pid;
	bool stranger;                 /* it is not known whether it belongs to the program */
	bool busy;                     /* an asker has it */
	uint64_t since_ns, due_ns;
	uint64_t told_ns;              /* time of its fork or exec, as far as known */
};
struct seen_list {
	struct seen *e;
	unsigned n, cap;
};
struct find {
	struct supervisor *s;          /* (C) */
	struct spinlock lock;          /* rank LEAF: both lists */
	struct seen_list pending;      /* processes not classified yet */
	struct seen_list sharing;      /* processes that share another one's memory */
	struct waitq wait, ask_wait;
	/* find thread only, like all below */
	uint64_t next_sharing_ns, next_near_ns, next_walk_ns, walked_ns, next_net_ns;
	struct strangers *strangers;
	struct plat_thread thread, asker[NR_ASKERS];
};

/* ---- find.c ---- */
void find_init(struct supervisor *s);
/* 0, or -errno: no thread can be made. */
int find_start(struct supervisor *s);
/* Once s->stopping is set. */
void find_stop(struct supervisor *s);
/* The lineage has fresh processes. */
void find_wake(struct supervisor *s);
/* @pid belongs to the program: classify it. @find: a struct find. */
void find_met(pid_t pid, pid_t parent, void *find);
/* Queue @pid for an asker; @stranger: first find out whether it belongs to the program. */
void find_ask(struct find *f, pid_t pid, bool stranger);
/* A process that has existed since @since_ns has been found only now. */
void find_took(struct find *f, uint64_t since_ns);

/* ---- walk.c ---- */
/* @lost: walk now. */
void walk_if_due(struct find *f, bool tick, bool lost);
/* Did @pid start with our socket's name in its environment? May wait. */
bool walk_is_ours(struct supervisor *s, pid_t pid);
void walk_end(struct find *f);

#endif

/* serve/find/parts.h - private to the room.
 *
 * Locks: (C) constant once its thread runs. find->lock protects the lists.
 */
#ifndef UMEMCG_SERVE_FIND_PARTS_H
#define UMEMCG_SERVE_FIND_PARTS_H

#include "serve/client/client.h"
#include "serve/find/find.h"

struct strangers;

#define NR_ASKERS 6
struct seen {
	pid_t pid;
	bool stranger; /* it is not known whether it belongs to the program */
	bool busy;     /* an asker has it */
	uint64_t since_ns, due_ns;
	uint64_t told_ns; /* time of its fork or exec, as far as known */
};
struct seen_list {
	struct seen *e;
	unsigned n, cap;
};
struct find {
	struct supervisor *s;     /* (C) */
	struct spinlock lock;     /* rank LEAF: both lists */
	struct seen_list pending; /* processes not classified yet */
	struct seen_list sharing; /* processes that share another one's memory */
	struct waitq ask_wait;
	/* find thread only, like all below */
	uint64_t next_sharing_ns, next_near_ns, next_walk_ns, walked_ns, next_net_ns;
	struct strangers *strangers;
	struct plat_thread thread, asker[NR_ASKERS];
	int sock; /* listen.c: reports of the kernel; -1: there are none */
	struct plat_thread listener;
};

/* ---- find.c ---- */
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

/* ---- seen.c; find->lock held ---- */
/* NULL: it is not in the list. */
struct seen *seen_find(const struct find *f, const struct seen_list *l, pid_t pid);
/* False: it is in the list already, or out of memory. */
bool seen_add(struct find *f, struct seen_list *l, pid_t pid, bool stranger, uint64_t told_ns);
/* Moves the last one to its place. */
void seen_drop(struct find *f, struct seen_list *l, struct seen *e);

/* ---- listen.c ---- */
int listen_start(struct find *f);
void listen_stop(struct find *f);

/* ---- mark.c ---- */
enum { MARK_NONE, MARK_BUSY, MARK_PLACED, MARK_FAILED };
/* The client, referenced, whose memory process @pid has, which was met at @since_ns and has
 * executed nothing. Only clients without a process, or with several, are asked. NULL: none of
 * these; *@unsure: or one that may still say HELLO, or could not be asked yet. */
struct client *mark_find(struct supervisor *s, pid_t pid, pid_t parent, uint64_t since_ns,
			 bool *unsure);

/* ---- past.c ---- */
/* Is a fork of its parent in progress that is not reported? Then the child is charged ahead, and
 * either says HELLO, or is one past the agent, which is seen when that fork is over. */
bool past_may_speak(struct supervisor *s, pid_t parent);
/* @pid, a child of a client, says no HELLO: it has none of what may be in swap. */
void past_tell(struct supervisor *s, pid_t pid, pid_t parent);

#endif

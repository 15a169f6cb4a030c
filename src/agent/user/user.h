/* agent/user/user.h - mode user: the faults of the program's own instructions are served, and not
 * those of the kernel. Inactive in all other modes.
 *
 * A system call goes this way (call.c): which memory will it touch (range.c, syscalls.def)? Publish
 * that (hazard.h), bring it in by touching it (fetch.c), make the call, drop.
 *
 * Locks: none. Nothing here may be called with signals blocked, unless it says so.
 */
#ifndef UMEMCG_AGENT_USER_USER_H
#define UMEMCG_AGENT_USER_USER_H

#include "agent/user/entry.h"
#include "agent/user/hazard.h"

/* What hold_... has published. */
struct user_hold {
	struct hazard_before before;
	bool held;
};

/* ---- call.c ---- */
/* Take over the system calls of the program. 0 or -errno. */
int user_start(void);
/* Is the process in mode user, with its system calls taken over? */
bool user_active(void);
/* In the child of a fork, with signals blocked. */
void user_forked(void);
/* Publish [start, end) and bring what is missing of it in; or nothing in another mode. */
void user_hold(struct user_hold *h, uint64_t start, uint64_t end);
/* The same for the strings of an execve(2). */
void user_hold_exec(struct user_hold *h, const char *path, char *const *argv, char *const *env);
/* The same for the calling thread's stack around here, @below bytes of it, and @n other words. */
void user_hold_stack(struct user_hold *h, uint64_t below, void *const *word, unsigned int n);
/* With signals blocked or not. */
void user_drop(struct user_hold *h);

/* One call whose memory range.c knows: publish, bring in, call, drop. */
long user_plain(const struct user_regs *r);

/* ---- transfer.c ---- */
/* A call that is USER_READ or USER_WRITE. */
long user_transfer(const struct user_regs *r);

/* ---- call.c, for the helper ---- */
/* Under maplock: where the first page in [start, end) is that must stay; @end: none.
 * Until user_moved the range counts as being moved. */
uint64_t user_movable(uint64_t start, uint64_t end);
void user_moved(void);

/* ---- fetch.c ---- */
/* Touch each page of [start, end), which is published. False: some of it is no memory. */
bool user_fetch(uint64_t start, uint64_t end);

/* ---- range.c ---- */
#define USER_CHUNK (256ul << 10) /* bytes that one call may hold */

enum user_how {
	USER_RULE,  /* not in the table */
	USER_PLAIN, /* touches no memory, or its table says what */
	USER_READ,  /* transfers that are made in chunks */
	USER_WRITE,
	USER_AGENT, /* the agent has something to do with it: call.c */
	USER_NONE,  /* ENOSYS */
};

enum user_how user_how_of(long nr);
/* What the call will touch. It may touch memory to find out, which is published by then. */
void user_ranges(const struct user_regs *r, struct hazard_list *l);
/* Add [start, start + len) to the list. */
void user_add(struct hazard_list *l, uint64_t start, uint64_t len);

#endif

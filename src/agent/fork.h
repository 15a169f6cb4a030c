/* agent/fork.h - forks in which the agent takes part (fork.c): for hook.c, clone.c, and what maps
 * memory.
 *
 * Locks: see fork.c.
 */
#ifndef UMEMCG_AGENT_FORK_H
#define UMEMCG_AGENT_FORK_H

#include "agent/agent.h"
#include "agent/user/user.h"

#define CALL_TIMEOUT_MS 30000

/* One fork, on the stack of its thread. */
struct own_fork {
	int call; /* open until the fork is over */
	int uffd; /* the parent's, by its number in the child's table */
	uint64_t cookie, mask;
	bool guarded; /* the parent may have guards */
	bool lifted;  /* ... and they are lifted */
	bool whole;   /* @areas has all of them */
	struct msg_areas areas;
	struct user_hold hold;
};

/* What the kernel or libc touches during the system call, in either process; NULL: nothing. */
struct fork_words {
	int *parent_tid, *child_tid, *error;
	void *stack; /* the end of the child's */
};

/* Must a child of a clone with these flags be made as fork.c does? */
bool fork_is_own(uint64_t flags);
/* Until fork_parent_done nothing managed may be touched (I1). 0; -EAGAIN: do not fork. */
int fork_begin(struct own_fork *f, const struct fork_words *w);
/* @child: its pid, or negative. */
void fork_parent_done(struct own_fork *f, long child);
/* In the child, first of all. Ends the process if it cannot be managed. */
void fork_child_begin(struct own_fork *f);
/* In between: it is registered, and its helper does not work yet. */
void fork_child_guard(struct own_fork *f);
/* clone(2) and clone3(2), which return twice on one stack. The result of the system call. */
long fork_clone(uint64_t flags, void *stack, int *parent_tid, int *child_tid, uint64_t tls);
long fork_clone3(const void *args, size_t size);

/* Where the code behind libc's system call instruction begins; NULL: it is not redirected. */
extern void *fork_site_return;
void fork_site_entry(void);

/* ---- guards ---- */
/* Memory was mapped, and nobody knows its address yet: its pages may be out from the beginning, or
 * leave without the helper. Under maplock. */
void guard_new(uint64_t start, uint64_t end);
void guard_ranges(const struct evict_range *r, uint32_t n, int advice);
/* Guard again what the program's own advice may have freed. */
void guard_all(void);

#endif

/* serve/lineage.h - which processes descend from the program.
 *
 * The kernel tells of every fork and exec (process connector, netlink), where it lets us listen:
 * in the first PID, user and network namespace, with CAP_NET_ADMIN. A set of process ids follows
 * from that, which is right whatever becomes of parents, whichever namespace a process is in, and
 * however short it lives. Where the kernel tells nothing, the set is what the watcher's walks
 * have found (find.c).
 *
 * A number leaves the set when a fork elsewhere makes a process of that number, or when a walk
 * finds nobody there: the end of a first thread is no end of its process, so ends are not asked
 * for.
 *
 * Locks: lock, rank LEAF, everything but what is (C).
 */
#ifndef UMEMCG_SERVE_LINEAGE_H
#define UMEMCG_SERVE_LINEAGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "plat/plat.h"

#define LINEAGE_FRESH 1024

struct supervisor;

/* A process that was forked, or has executed a program, and when. */
struct fresh {
	pid_t pid;
	uint64_t since_ns;
};

struct lineage {
	struct spinlock lock;
	pid_t *slot;                   /* a hash table: 0 free, LINEAGE_GONE was used */
	unsigned cap, used;            /* used: those that are not 0 */
	struct fresh fresh[LINEAGE_FRESH];  /* not looked at since */
	unsigned nr_fresh;
	bool lost;                     /* something is not in the set, or not among the fresh ones */
	int sock;                      /* (C) -1: the kernel tells nothing */
	struct plat_thread thread;
};

void lineage_init(struct supervisor *s);
/* Before there is a program. 0, or -errno: no thread can be made. That the kernel does not tell is
 * no error. */
int lineage_start(struct supervisor *s);
/* Once stop_fd is readable. */
void lineage_stop(struct supervisor *s);
void lineage_add(struct supervisor *s, pid_t pid);
/* Look at @pid, which has executed a program, or is over. */
void lineage_note(struct supervisor *s, pid_t pid);
bool lineage_has(struct supervisor *s, pid_t pid);
/* Up to @max processes to be looked at; *@lost: that is not all, look at the whole tree. */
unsigned lineage_take(struct supervisor *s, struct fresh *fresh, unsigned max, bool *lost);
/* Forget those that are gone. */
void lineage_prune(struct supervisor *s);

#endif

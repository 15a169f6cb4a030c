/* serve/find/lineage.h - which processes descend from the program.
 *
 * The kernel reports every fork and exec (process connector, netlink) where it lets us listen: in
 * the initial PID, user and network namespaces, with CAP_NET_ADMIN. The resulting set of process
 * ids is right whatever happens to parents, whichever namespace a process is in, and however short
 * it lives. Where the kernel reports nothing, the set is what walks have found (walk.c).
 *
 * A pid leaves the set when a fork elsewhere creates a process with that pid, or when a walk finds
 * no process there. The end of a first thread is not the end of its process, so exits are not
 * requested.
 *
 * Locks: lock, rank LEAF, everything except (C).
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
	pid_t *slot;                   /* a hash table: 0 free, -1 was used */
	unsigned cap, used;            /* used: slots that are not 0 */
	struct fresh fresh[LINEAGE_FRESH];  /* not examined yet */
	unsigned nr_fresh;
	bool lost;                     /* something is missing in the set or among the fresh ones */
	int sock;                      /* (C) -1: the kernel reports nothing */
	struct plat_thread thread;
};

void lineage_init(struct supervisor *s);
/* Call before the program starts. 0, or -errno: no thread can be created. That the kernel reports
 * nothing is not an error. */
int lineage_start(struct supervisor *s);
/* Once stop_fd is readable. */
void lineage_stop(struct supervisor *s);
void lineage_add(struct supervisor *s, pid_t pid);
/* Examine @pid, which has executed a program or is over. */
void lineage_note(struct supervisor *s, pid_t pid);
bool lineage_has(struct supervisor *s, pid_t pid);
/* Take up to @max processes to examine; *@lost: that is not all, walk the whole tree. */
unsigned lineage_take(struct supervisor *s, struct fresh *fresh, unsigned max, bool *lost);
/* Drop those that are gone. */
void lineage_prune(struct supervisor *s);

#endif

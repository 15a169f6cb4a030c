/* serve/client/lineage.h - which processes descend from the program.
 *
 * The kernel reports every fork and exec (process connector, netlink; find/listen.c) where it lets
 * us listen: in the initial PID, user and network namespaces, with CAP_NET_ADMIN. The resulting set
 * of process ids is right whatever happens to parents, whichever namespace a process is in, and
 * however short it lives. Where the kernel reports nothing, the set is what walks have found
 * (find/walk.c).
 *
 * A pid leaves the set when a fork elsewhere creates a process with that pid, or when a walk finds
 * no process there. The end of a first thread is not the end of its process, so exits are not
 * requested.
 *
 * Locks: one, rank LEAF, for the set and the fresh processes.
 */
#ifndef UMEMCG_SERVE_LINEAGE_H
#define UMEMCG_SERVE_LINEAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;

/* A process that was forked, or has executed a program, and when. */
struct fresh {
	pid_t pid;
	uint64_t since_ns;
};

/* 0 or -ENOMEM. */
int lineage_init(struct supervisor *s);
void lineage_fini(struct supervisor *s);
/* Does the kernel report forks and execs? */
bool lineage_is_reported(const struct supervisor *s);
void lineage_set_reported(struct supervisor *s, bool yes);
void lineage_add(struct supervisor *s, pid_t pid);
/* Examine @pid, which has executed a program or is over. */
void lineage_note(struct supervisor *s, pid_t pid);
bool lineage_has(struct supervisor *s, pid_t pid);
/* The kernel reports that @parent, or we ourselves, forked @child. True: it is the program's. */
bool lineage_forked(struct supervisor *s, pid_t parent, pid_t child, uint64_t since_ns);
/* The kernel reports that @pid has executed a program. True: it is the program's. */
bool lineage_executed(struct supervisor *s, pid_t pid, uint64_t since_ns);
/* Reports were lost: walk the whole tree. */
void lineage_lost(struct supervisor *s);
/* Take up to @max processes to examine; *@lost: that is not all, walk the whole tree. */
unsigned lineage_take(struct supervisor *s, struct fresh *fresh, unsigned max, bool *lost);
/* Drop those that are gone. */
void lineage_prune(struct supervisor *s);

#endif

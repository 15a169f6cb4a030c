/* serve/process/strain.h - how many threads of a process tree wait for a page at this moment, and
 * the CPU time that the tree has used: for a word about thrashing.
 *
 * Locks: none.
 */
#ifndef UMEMCG_SERVE_STRAIN_H
#define UMEMCG_SERVE_STRAIN_H

#include <stdint.h>
#include <sys/types.h>

struct strain {
	unsigned waiting; /* threads in a page fault that a userfaultfd serves */
	uint64_t user_us; /* CPU time of the processes seen, children that ended not included */
	uint64_t system_us;
};

/* Look at all below process @top, at no more than 256 threads. */
void strain_look(pid_t top, struct strain *out);

#endif

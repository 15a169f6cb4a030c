/* mmu/host/nodes.h - the machine's memory nodes, and moving pages of processes between them.
 *
 * The engine's own migration (mm/migrate.h) moves pages between nodes of the engine; on the host
 * there is only one. Here the kernel moves the memory behind a page: address, page table entry and
 * charge stay, so the engine is not involved. A thread that touches a page during its move waits in
 * the kernel.
 *
 * The kernel is behind struct nodes, so that a table can stand in for a machine.
 *
 * Locks: none.
 */
#ifndef UMEMCG_MMU_HOST_NODES_H
#define UMEMCG_MMU_HOST_NODES_H

#include <stdint.h>
#include <sys/types.h>

#define NODES_LIST_MAX 64  /* nodes examined */
#define NODES_BATCH    512 /* pages per call */

struct nodes {
	/* The numbers of the nodes that have memory, ascending: how many, at most @max. -ENOTSUP:
	 * without libnuma. */
	int (*list)(unsigned *node, unsigned max);
	/* status[i]: the node of the page at page[i] of process @pid (0: our own), or -errno,
	 * -ENOENT when none is there. @to >= 0: move it there first. 0 or -errno for all of them:
	 * -ESRCH, -EPERM, -EACCES. */
	int (*pages)(pid_t pid, unsigned n, void *const *page, int to, int *status);
};
extern const struct nodes nodes_of_machine;

/* Can pages move from @from to @to? @node, @n: results of list. 0; -ENODEV: there is only one node;
 * -ENXIO: one of the two does not exist; or @n if that is an error. */
int nodes_check(const unsigned *node, int n, unsigned from, unsigned to);

struct nodes_moved {
	uint64_t moved;
	uint64_t failed;    /* still there */
	uint64_t elsewhere; /* on other nodes from the beginning */
	uint64_t absent;    /* no page was there, or no longer */
	uint64_t shared;    /* of failed: mapped by several processes, which takes CAP_SYS_NICE */
	int error;          /* the last reason of a failure, -errno; 0: none */
};

/* Of @n <= NODES_BATCH pages of @pid, move those on node @from to @to, and add each page's outcome
 * to @sum. */
void nodes_move(const struct nodes *m, pid_t pid, unsigned n, void *const *page, unsigned from,
		unsigned to, struct nodes_moved *sum);

#endif

/* mmu/host/pagemap.h - where a process has anonymous pages. The cost depends on what is present,
 * not on what is mapped: a process may have reserved terabytes (the sanitizers do).
 *
 * Locks: none. Concurrent changes by the process may or may not be seen.
 */
#ifndef UMEMCG_MMU_HOST_PAGEMAP_H
#define UMEMCG_MMU_HOST_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pagemap {
	pid_t pid;
	int fd;
	bool scans; /* the kernel lists present pages (PAGEMAP_SCAN, Linux 6.7); otherwise read page
		       by page */
};

/* 0 or -errno. */
int pagemap_open(struct pagemap *p, pid_t pid);
void pagemap_close(struct pagemap *p);
/* Call @fn for every run of present anonymous pages (of private mappings) in [start, end), in
 * ascending order. The kernel's zero page does not count: it costs nothing and is not in the RSS;
 * without PAGEMAP_SCAN it cannot be told apart, and counts. 0, or -errno: not all of them were
 * found. Without PAGEMAP_SCAN the scan of a large, nearly empty range also gives up, with
 * -E2BIG. */
int pagemap_anon(const struct pagemap *p, uint64_t start, uint64_t end,
		 void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg);

#endif

/* mmu/host/pagemap.h - where a process has anonymous pages. What it costs depends on what is there, not on what is mapped: a process
 * may have reserved terabytes (the sanitizers do).
 *
 * Locks: none. Whatever the process does meanwhile is seen or not.
 */
#ifndef UMEMCG_MMU_HOST_PAGEMAP_H
#define UMEMCG_MMU_HOST_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pagemap {
	pid_t pid;
	int fd;
	bool scans;     /* the kernel lists what is there (PAGEMAP_SCAN, Linux 6.7); else it is read page by page */
};

/* 0 or -errno. */
int pagemap_open(struct pagemap *p, pid_t pid);
void pagemap_close(struct pagemap *p);
/* Call @fn for every run of present anonymous pages (of private mappings) in [start, end), in ascending order. The
 * kernel's page of zeros is none: it costs nothing and is in no figure; without PAGEMAP_SCAN it cannot be told, and counts.
 * 0, or -errno: not all of them were found. Without PAGEMAP_SCAN a large range that is nearly empty is given up as well, with
 * -E2BIG. */
int pagemap_anon(const struct pagemap *p, uint64_t start, uint64_t end,
		 void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg);

#endif

/* serve/shared/memfd.h - shared by the files about memfds that programs make. */
#ifndef UMEMCG_SERVE_SHARED_MEMFD_H
#define UMEMCG_SERVE_SHARED_MEMFD_H

#include "mm/filemap.h"
#include "plat/plat.h"

#define LEFT 1024

struct memfds {
	uint64_t look_ns;      /* watcher: the last look */
	uint64_t lease_ns;     /* (C) how long an open waits; 0: not long enough */
	uint64_t gone_ns;      /* finder: the last look at @gone */
	struct spinlock lock;  /* rank LEAF */
	struct list_head gone; /* lock to change; finder to remove */
	atomic64_t left[LEFT]; /* (A) inodes of those that were managed */
};

/* memfd_stubs.c */
void stubs_init(struct memfds *m);
void stubs_fini(struct memfds *m);
/* The object is about to become the kernel's. */
void stubs_keep(struct memfds *m, const struct address_space *as);
/* Has it become the kernel's? *@fd: a descriptor for a stub of it, to be closed; or -1, and it may
 * be opened. */
bool stubs_find(struct memfds *m, uint64_t dev, uint64_t ino, int *fd);
/* Is a descriptor kept? */
bool stubs_kept(const struct memfds *m);
/* Close those that are kept for nobody any more. Finder. */
void stubs_drop(struct memfds *m);
/* Has a process of the tree a descriptor of the file? @arg is not used. */
bool stubs_exist(void *arg, uint64_t dev, uint64_t ino);

#endif

/* serve/shared/segment.h - a System V segment and its caller. Private to segment.c and
 * segment_access.c.
 */
#ifndef UMEMCG_SERVE_SEGMENT_H
#define UMEMCG_SERVE_SEGMENT_H

#include <sys/socket.h>

#include "serve/shared/shared.h"

#define PERMISSIONS 0777u

struct segment {
	struct list_head link;
	int id;
	int32_t key;
	uint32_t mode, uid, gid, cuid, cgid;
	uint64_t size, nr_pages;
	int32_t cpid, lpid;
	int64_t atime, dtime, ctime;
	struct address_space *as; /* NULL: removed */
};

struct caller {
	struct client *client;
	struct supervisor *s;
	int sock;
	struct ucred cred; /* effective ids */
};

/* ---- segment_access.c ---- */
/* Has the caller the rights @want, rwx bits of any class? */
bool segment_permitted(const struct caller *who, const struct segment *g, uint32_t want);
bool segment_owned(const struct caller *who, const struct segment *g);
/* Is the caller in our kernel IPC namespace? */
bool segment_at_home(const struct caller *who);
/* A limit of /proc/sys/kernel; UINT64_MAX: unknown. */
uint64_t segment_kernel_limit(const char *name);
/* Has the kernel a segment with that key? */
bool segment_kernel_has(int32_t key);

#endif

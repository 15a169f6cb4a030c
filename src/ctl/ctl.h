/* ctl/ctl.h - the control files of a group: one table, name -> {read, write}, in both vocabularies
 * of the memory controller, over the same functions. No file system and no socket: strings.
 *
 * The names, formats, defaults and errors are the kernel's (Documentation: cgroup-v2.rst,
 * cgroup-v1/memory.rst); docs/semantics.md has each row with its rule, function and test.
 *
 * Locks: none may be held. A write may reclaim, and so block for I/O and for clients, bounded.
 */
#ifndef UMEMCG_CTL_CTL_H
#define UMEMCG_CTL_CTL_H

#include "mm/mm_types.h"

struct text; /* base/text.h */

#define CTL_NAME_MAX  64    /* bytes of a file's name, the final 0 included */
#define CTL_VALUE_MAX 256   /* bytes of what is written, likewise */
#define CTL_TEXT_MAX  65536 /* bytes of what is read, likewise */

enum ctl_view { CTL_V2, CTL_V1 };

/* What may be set. */
enum ctl_limit {
	CTL_MIN,
	CTL_LOW,
	CTL_HIGH,
	CTL_MAX,
	CTL_MEMSW_MAX,
	CTL_SWAP_MAX,
	CTL_ZSWAP_MAX,
};

/* What only the owner of the processes knows. */
struct ctl_host {
	/* Make @pages the limit. The owner may have to add to what the group's counters show. */
	void (*set_limit)(void *arg, struct mem_cgroup *memcg, enum ctl_limit which, int64_t pages);
	/* The limit in pages, as it was set. */
	int64_t (*limit)(void *arg, struct mem_cgroup *memcg, enum ctl_limit which);
	/* Wait until usage is below the limit again: kills what does not fit. Bounded. */
	void (*enforce)(void *arg, struct mem_cgroup *memcg);
	/* One process (thread) a line. */
	void (*processes)(void *arg, struct mem_cgroup *memcg, bool threads, struct text *out);
	bool (*populated)(void *arg, struct mem_cgroup *memcg);
	/* SIGKILL to all. 0 or -errno. */
	int (*kill)(void *arg, struct mem_cgroup *memcg);
};

struct ctl {
	struct engine *e;
	struct mem_cgroup *memcg;    /* the caller holds a reference */
	const struct ctl_host *host; /* NULL: no processes; limits are the counters' */
	void *arg;                   /* of the host */
};

struct ctl_file {
	const char *name;
	enum ctl_view view;
	const char *accepts; /* what may be written, to end a sentence; NULL: nothing */
	void (*read)(const struct ctl *c, const struct ctl_file *f, struct text *out);
	int (*write)(const struct ctl *c, const struct ctl_file *f, const char *text);
	int arg; /* of both: an enum ctl_limit, or what the functions take it for */
};

/* The table, by view and name; *@nr entries. */
const struct ctl_file *ctl_files(unsigned *nr);
/* NULL: there is none. */
const struct ctl_file *ctl_find(enum ctl_view view, const char *name);
/* 0; -EINVAL: the file cannot be read; -EFBIG: it is longer than @out has room. */
int ctl_read(const struct ctl *c, const struct ctl_file *f, struct text *out);
/* 0; -EINVAL: it cannot be written, or not with this; -EBUSY: usage stays above the limit (v1);
 * -EAGAIN: less was reclaimed than was asked for. @text is a string; white space around it, a
 * newline included, does not count. */
int ctl_write(const struct ctl *c, const struct ctl_file *f, const char *text);

/* A number of bytes as the kernel's files take it: digits (decimal, or 0x), at most one letter of
 * K M G T P E; or @none ("max", "-1"), which is PAGE_COUNTER_MAX, as is anything larger. Rounded
 * down to pages. 0 or -EINVAL. Pure. */
int ctl_parse_pages(const char *text, const char *none, int64_t *pages);

#endif

/* audit/recount.h - shared by the parts of the audit: the numbers counted so far. */
#ifndef UMEMCG_AUDIT_RECOUNT_H
#define UMEMCG_AUDIT_RECOUNT_H

#include "audit/audit.h"

struct frame_count {
	uint32_t ptes;   /* present entries */
	uint32_t slots;  /* swap-cache slots that name the page */
	uint32_t files;  /* tables of files that name the page */
	uint32_t listed; /* times met on a list */
};

struct group_count {
	struct mem_cgroup *memcg;
	int64_t pages, slots, memsw_slots;
	int64_t gauge[NR_STATS];
};

struct handle_count {
	const struct memcg_handle *h;
	int64_t users, zbytes;
};

struct audit {
	struct engine *e;
	struct audit_report *r;
	uint32_t nr_frames;
	struct frame_count *frame; /* by pfn */
	uint32_t *swap_ptes;       /* by slot; shared memory's references as well */
	struct group_count *group;
	unsigned nr_groups, max_groups;
	struct handle_count *handle; /* a hash table by address */
	unsigned handle_table; /* its size, a power of two, at least twice as many as there are */
	int64_t nr_leaves, nr_vmas, nr_chains, nr_file_vmas;
};

/* Note a violation of @invariant. */
void audit_fail(struct audit *a, int invariant, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Compare two numbers that must agree. */
void audit_equal(struct audit *a, int invariant, const char *what, int64_t engine, int64_t counted);
/* The count of @memcg, or NULL if it is not in the tree. */
struct group_count *audit_group(struct audit *a, const struct mem_cgroup *memcg);

void audit_spaces(
	struct audit *a); /* audit_space.c: page tables and areas; fills frame[].ptes, swap_ptes */
void audit_files(
	struct audit *a); /* audit_file.c: tables of files; fills frame[].files, swap_ptes */
void audit_swap(
	struct audit *a); /* audit_swap.c: slots; fills frame[].slots and the groups' slots */
void audit_lists(
	struct audit *a); /* audit_page.c: LRU lists; fills frame[].listed and the groups' gauges */
void audit_frames(struct audit *a); /* audit_page.c: every frame; fills the groups' pages */
void audit_groups(struct audit *a); /* audit_group.c: counters, statistics, handles */

#endif

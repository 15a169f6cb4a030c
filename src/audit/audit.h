/* audit/audit.h - the engine's invariants as one function: a full recount.
 *
 * Read-only, and only at rest: no other thread is in the engine, no page is under I/O, and the
 * caller has flushed deferred calls if it wants them counted. It walks frames, page tables, areas,
 * swap slots, lists and groups once each and compares its counts with the engine's.
 *
 * The numbers. Up to 24 they are those of the controller's list of invariants. 16, 20, 21 and 24
 * are orders of events, not states: the lock checker and the MMU's own check verify them. 8 is
 * represented by its flag. From 30 on: the engine's own.
 *
 *    1  memory of a group = its pages + unmanaged + stocks + children's memory
 *    2  memory+swap of a group = the same + its slots whose page is not in memory + children's
 *    3  swap of a group = slots it owns + children's
 *    4  every gauge of a group = a recount by owner, and not negative
 *    5  a hierarchical statistic = local + children's
 *    6  usage <= max (but for forced charges: AUDIT_FORCED), memory <= memory+swap
 *    7  a page in use is charged once, a free one carries nothing;
 *       a handle's references = pages + slots + its group
 *    8  no page keeps MIGRATION
 *    9  a page in use is on one list: its owner's, the one its flags say; list sizes agree
 *   10  a slot's count = swap entries + shared memory's tables; CACHE iff the cache has a page;
 *       free iff the word is 0 and the bitmap says so; content is in the slot or in a page
 *   11  no slot without references keeps a page that is unmapped, unlocked and not under writeback
 *   12  page <-> slot of the swap cache is a bijection, and so is page <-> place in a file's table
 *   13  refcount = present entries + swap cache + file's table + writeback; nothing else at rest
 *   14  groups and handles: those found are those counted (after a flush: AUDIT_FLUSHED)
 *   15  every mapping of a page is found from its anon_vma or file: chained or linked area, index
 *   17  mapcount = present entries; no migration entry
 *   18  an entry that lets stores through to a file's page is in a shared area, and the page dirty
 *   19  a clean page of a file holds what its store holds: no store was lost when it was cleaned
 *   22  event counters never decrease from one audit to the next with the same report
 *   23  nor does the sum of a statistic over all groups when one is removed
 *   30  rss, swapents and locked of an address space = recount
 *   31  areas are sorted, disjoint and aligned; every entry lies in an area
 *   32  frames: free ones are blank and counted; those in use are unlocked and have content
 *   33  the engine's own numbers of address spaces, files, leaves, areas, anon_vmas, chains, used
 *       slots
 *   34  a node's frames: free and on its list below its end, offline from there on and, unless a
 *       resize is under way, unused; as many as it says, and no more below the end than its max
 *   35  a slot is in the content index iff its word says so (INDEXED), once; one with a count has
 *       that content: in the slot if it is VALID, else in a cached page that nothing maps
 *   36  compressed bytes of a handle are those of the slots it owns; pages charged for them, per
 *       handle rounded up, are the group's zswap; a free slot has no compressed content
 *
 * Locks: the tree's, against deferred calls, and RCU; the caller guarantees rest and holds none.
 */
#ifndef UMEMCG_AUDIT_AUDIT_H
#define UMEMCG_AUDIT_AUDIT_H

#include "mm/mm_types.h"

/* Usage may exceed max: charges were forced, or a limit was just lowered. */
#define AUDIT_FORCED 1u
/* rcu_flush was called, and no reference to a removed group is left. */
#define AUDIT_FLUSHED 2u

#define AUDIT_NR   40
#define AUDIT_TEXT 2048

/* Zeroed before the first audit; kept for the next ones of the same engine. */
struct audit_report {
	unsigned flags;                  /* in */
	unsigned violations;             /* out, of this audit */
	unsigned by_invariant[AUDIT_NR]; /* out: how many of each */
	char text[AUDIT_TEXT];           /* out: one line each, as many as fit */
	int64_t past_event[NR_EVENTS];   /* sums of the root at the last audit */
	int64_t past_stat[NR_STATS];
};

/* 0: no violation. 1: see @report. -ENOMEM: the audit could not run. */
int audit_engine(struct engine *e, struct audit_report *report);

#endif

/* mm/charge.h - charging pages before they exist: counter, then reclaim, then retry, then OOM. */
#ifndef UMEMCG_MM_CHARGE_H
#define UMEMCG_MM_CHARGE_H

#include "mm/mm_types.h"

#define CHARGE_NORECLAIM 1u  /* fail at once when the limit is met */
#define CHARGE_NOOOM     2u  /* reclaim, but rather fail than kill */
#define CHARGE_FORCE     4u  /* must not fail: exceeds the limit when reclaim cannot help; the caller says why */
#define CHARGE_PARK      8u  /* do not wait long, neither for what is busy nor for a victim: the caller comes again */
#define CHARGE_HOLDS    16u  /* the caller refers to a page that reclaim may meet in the swap cache: no such page is waited for */

/* @n pages that are charged to @memcg (or -@n) are for later use: no charge waits for them to be in use. Changes after the
 * charge, and before it is given back or put to use. No locks. */
void charge_set_aside(struct mem_cgroup *memcg, int64_t n);

/* Charge @n pages of memory and memory+swap to @memcg and its ancestors. May block in reclaim and, without NOOOM, for an
 * OOM victim to go; so no lock may be held but with NORECLAIM. @mm: on whose behalf (NULL: nobody's), which does its share of
 * reclaim above memory.high at its next fault; a charge for an
 * address space that is dying gets one page at a time, limit or not. 0; -ENOMEM; -ETIME with NOOOM or PARK: not now, as what
 * could be freed is busy, or a victim is on its way. */
int charge_pages(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n, unsigned flags);
/* Before the next fault of @mm, with nothing in hand: do a share of the reclaim that its charges above memory.high left undone, in
 * @memcg and its ancestors as far as they are above it still (as Linux does on the way back to user mode). What all its threads
 * have charged is owed together; a fault pays for more than it can have charged, but not for a fork at once: who serves
 * it serves others, too. May block; nothing locked. */
void charge_pay_high(struct mm *mm, struct mem_cgroup *memcg);
/* Give back @n pages charged by charge_pages and committed to no page. */
void uncharge_pages(struct mem_cgroup *memcg, int64_t n);
/* Set the charge for memory that is measured, not managed, from @old to @now pages. Never fails (FORCE): the memory exists. */
void charge_unmanaged(struct engine *e, struct mem_cgroup *memcg, int64_t old, int64_t now);
/* The same for a figure that others may take over meanwhile, to give it back: *@figure goes from @old to @now and is charged at every
 * instant. False: it was not @old any more, and nothing has changed. */
bool charge_unmanaged_figure(struct engine *e, struct mem_cgroup *memcg, atomic64_t *figure, int64_t old, int64_t now);
/* @n pages charged by charge_pages are for memory that is measured. */
void charge_unmanaged_paid(struct mem_cgroup *memcg, int64_t n);
/* Bring usage under max by reclaim after a forced charge or a lowered limit; kills when nothing helps. False: not there yet,
 * what could be freed is busy; come again. */
bool charge_settle(struct engine *e, struct mem_cgroup *memcg);
/* The same without killing anybody. */
bool charge_try_settle(struct engine *e, struct mem_cgroup *memcg);

/* Since when charges have waited for what is busy, without a pause: so far it was @since (0: nobody waited), one waited @last,
 * and one waits @now. */
int64_t stuck_start(int64_t since, int64_t last, int64_t now);

#endif

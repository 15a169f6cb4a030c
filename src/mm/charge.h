/* mm/charge.h - charging pages before they exist: counter, then reclaim, then retry, then OOM. */
#ifndef UMEMCG_MM_CHARGE_H
#define UMEMCG_MM_CHARGE_H

#include "mm/mm_types.h"

#define CHARGE_NORECLAIM 1u  /* fail at once at the limit */
#define CHARGE_NOOOM     2u  /* reclaim, but fail instead of killing */
#define CHARGE_FORCE     4u  /* must not fail: may exceed the limit; the caller says why */
#define CHARGE_PARK      8u  /* wait only briefly for busy pages or a victim: the caller retries */
#define CHARGE_HOLDS     16u /* the caller holds a swap cache page: do not wait for such pages */

/* Mark @n charged pages of @memcg as reserved for later use (-@n: unmark): no charge waits for them
 * to appear on a list. Call after charging, and again before uncharging or using them. No locks
 * needed. */
void charge_set_aside(struct mem_cgroup *memcg, int64_t n);

/* Charge @n pages of memory and memory+swap to @memcg and its ancestors. May block in reclaim and,
 * without NOOOM, until an OOM victim exits; so no locks may be held except with NORECLAIM. @mm: the
 * address space charged for (may be NULL); it does its share of reclaim above memory.high at its
 * next fault. A dying address space gets one page at a time regardless of the limit. 0; -ENOMEM;
 * -ETIME with NOOOM or PARK: reclaimable pages are busy, or a victim is exiting. */
int charge_pages(struct engine *e, struct mem_cgroup *memcg, struct mm *mm, int64_t n,
		 unsigned flags);
/* Called before the next fault of @mm, holding no pages: do a share of the reclaim owed for its
 * charges above memory.high, in @memcg and those ancestors that are still above it (as Linux does
 * on return to user mode). All threads of @mm share the debt. A fault pays for more than it can
 * have charged, but not for a whole fork at once: the thread that serves it serves others, too. May
 * block; no locks held. */
void charge_pay_high(struct mm *mm, struct mem_cgroup *memcg);
/* Uncharge @n pages charged by charge_pages and not committed to any page. */
void uncharge_pages(struct mem_cgroup *memcg, int64_t n);
/* Change the charge for unmanaged memory from @old to @now pages. Never fails (FORCE): the memory
 * already exists. */
void charge_unmanaged(struct engine *e, struct mem_cgroup *memcg, int64_t old, int64_t now);
/* The same for unmanaged RSS that another thread may take over and uncharge at any time: *@rss goes
 * from @old to @now and is charged at every instant. False: it was no longer @old; nothing
 * changed. */
bool charge_unmanaged_publish(struct engine *e, struct mem_cgroup *memcg, atomic64_t *rss,
			      int64_t old, int64_t now);
/* @n pages charged by charge_pages become the charge for unmanaged memory. */
void charge_unmanaged_paid(struct mem_cgroup *memcg, int64_t n);
/* Reclaim until usage is below max, after a forced charge or a lowered limit; kills as a last
 * resort. False: not done, reclaimable pages are busy; call again. */
bool charge_settle(struct engine *e, struct mem_cgroup *memcg);
/* The same without killing. */
bool charge_try_settle(struct engine *e, struct mem_cgroup *memcg);

/* The start of an uninterrupted period of charges waiting for busy pages, given that it was @since
 * (0: none waited), the last wait was at @last, and a charge waits at @now. */
int64_t stuck_start(int64_t since, int64_t last, int64_t now);

#endif

/* memcg/stock.h - pages charged in advance, one small stock per CPU and group.
 *
 * A charge of the counters touches every ancestor; a stock turns 64 such walks into one.
 * Stocked pages are charged to memory and to memory+swap of their group, but belong to no page yet.
 *
 * Locks: none. A stock is one atomic number: consume takes what is there by compare-and-swap, drain
 * exchanges it for 0; the winner alone owns the pages. A group that is being removed refuses
 * refills: refill adds, then checks the group's "offline" mark and drains again if it is set;
 * removal marks, then drains. One of the two sees the other.
 */
#ifndef UMEMCG_MEMCG_STOCK_H
#define UMEMCG_MEMCG_STOCK_H

#include "plat/plat.h"

#define STOCK_BATCH 64 /* pages; most a stock holds */

struct memcg_stock {
	struct {
		atomic64_t nr;                      /* pages, 0 .. STOCK_BATCH */
		char pad_[64 - sizeof(atomic64_t)]; /* one cache line per CPU */
	} cpu[PLAT_NR_CPUS];
};

struct mem_cgroup;

/* Take @n pages from this CPU's stock. False: it holds fewer, nothing was taken. */
bool stock_consume(struct mem_cgroup *memcg, int64_t n);
/* Put @n charged pages into this CPU's stock. If they do not fit, half a stock remains and the rest
 * is uncharged. */
void stock_refill(struct mem_cgroup *memcg, int64_t n);
/* Empty every stock of @memcg and uncharge what they held. Returns the pages. */
int64_t stock_drain(struct mem_cgroup *memcg);
/* As stock_drain, for the whole subtree. */
int64_t stock_drain_tree(struct mem_cgroup *memcg);
/* Pages in stocks of @memcg now (audit, reports). */
int64_t stock_read(const struct mem_cgroup *memcg);

#endif

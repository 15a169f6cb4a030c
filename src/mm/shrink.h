/* mm/shrink.h - shared by the two halves of freeing a batch of isolated pages: shrink_prepare.c
 * finds out which pages are cold, shrink.c takes them out. */
#ifndef UMEMCG_MM_SHRINK_H
#define UMEMCG_MM_SHRINK_H

#include "mm/reclaim.h"
#include "mm/swap.h"
#include "plat/mmu.h"

struct victim {
	struct page *page;
	unsigned first_req, nr_reqs;
	bool locked;
	bool withdrawn;        /* no mapping has access any more */
	bool fresh_slot;       /* we put it into the swap cache */
	bool write;            /* to its slot */
	struct swap_hash hash; /* of its content if taken, else 0 */
	bool write_file;
};

struct shrink {
	struct engine *e;
	struct victim v[MMU_BATCH_MAX];
	unsigned n;
	struct mmu_req reqs[MMU_BATCH_MAX];
	unsigned nr_reqs;
	uint32_t near;
	struct reclaim_result *r;
	unsigned flags;
};

/* Lock the page of @v, check it, find its mappings, get a slot. False: put it back; it is locked if
 * v->locked. */
bool shrink_prepare(struct shrink *s, struct victim *v);
/* Can the isolated page @p be demoted? It must be as cold as for swap-out. */
bool shrink_may_demote(struct shrink *s, struct page *p);
/* Take back the requests from number @first on. */
void shrink_drop_reqs(struct shrink *s, unsigned first);

#endif

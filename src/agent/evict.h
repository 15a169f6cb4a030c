/* agent/evict.h - shared by the helper's loop (helper.c) and what moves pages for it (evict.c). */
#ifndef UMEMCG_AGENT_EVICT_H
#define UMEMCG_AGENT_EVICT_H

#include "agent/agent.h"

struct helper {
	struct helper_setup setup;
	bool remapped; /* part of the staging area was filled by mremap */
	struct msg_evicted reply;
	union {
		struct msg_head head;
		struct msg_ready ready;
		struct msg_evict evict;
		struct msg_zap zap;
		struct msg_fill fill;
		struct msg_leave leave;
		struct msg_guard guard;
	} in;
};

/* Restore a part of the staging area: what was remapped there is a different mapping. */
long evict_renew_staging(const struct helper *h, unsigned int slot, uint64_t n);
/* Move the @npages pages from @src on to the staging area, from @slot on, but those that must not
 * move: the records of living threads, and what is held. h->reply.status says what became of each.
 * Under maplock. */
void evict_movable(struct helper *h, uint64_t src, unsigned int slot, uint64_t npages);
/* Kill the process (I3 of helper.c). */
_Noreturn void helper_die(void);

#endif

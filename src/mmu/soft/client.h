/* mmu/soft/client.h - shared by mmu_soft.c and client.c: the exclusive personality's operations.
 */
#ifndef UMEMCG_MMU_SOFT_CLIENT_H
#define UMEMCG_MMU_SOFT_CLIENT_H

#include "mmu/soft/mmu_soft.h"

/* Content at home. set does not free what was there. */
void *soft_home(struct mmu_soft *s, const struct page *p);
void soft_set_home(struct mmu_soft *s, const struct page *p, void *data);
/* Count a request; returns the answer that the injected faults demand. */
enum mmu_result soft_request_result(struct mmu_soft *s);

int client_map(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
	       bool zero);
void client_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n);
void client_flush(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages);
int client_access(struct mmu_soft *s, struct mm *mm, uint64_t va, void *buf, size_t len,
		  bool write);

#endif

/* mmu/host/withdraw.h - shared by the host MMU's own files: taking pages out of clients in batches
 * (withdraw.c), late answers (late.c) and filling their leaves (huge.c). See host.h. */
#ifndef UMEMCG_MMU_HOST_WITHDRAW_H
#define UMEMCG_MMU_HOST_WITHDRAW_H

#include "mmu/host/host.h"
#include "plat/mmu.h"

void host_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n);
/* Does the entry at @va map @p? Takes the leaf lock. */
bool host_maps(struct mm *mm, uint64_t va, const struct page *p);
/* The helper is gone. Did it move the page that belongs at @va to @slot of its staging area? The
 * slot alone does not tell: it may still hold a page of the previous request. batch_lock held. */
bool host_was_moved(struct host_client *c, uint64_t va, unsigned slot);
/* Does the client's kernel have a page there? True if unknown. batch_lock held. */
bool host_client_has(struct host_client *c, uint64_t va);
/* Open the descriptors that the two others need, while there is a helper. batch_lock held. */
void host_peek_open(struct host_client *c);
/* Copy the page at @va. False: errno says why; ESRCH: no process has the memory any more, as far as
 * is known. batch_lock held. */
bool host_peek(struct host_client *c, uint64_t va, void *page);
/* No request is late any more. batch_lock held. */
void host_late_forget(struct mmu_host *h, struct host_client *c);

/* The MMU's operations fill, fill_holds, fill_end. */
int host_fill(struct mmu *mmu, struct mm *mm, uint64_t base);
bool host_fill_holds(struct mmu *mmu, struct mm *mm);
void host_fill_end(struct mmu *mmu, struct mm *mm, uint64_t base, bool entered);
/* Is @va in a leaf that is being filled? Under the leaf's lock. */
bool host_fill_covers(struct host_client *c, uint64_t va);
/* The late answer to a fill has come, about @n pages. */
void host_fill_answered(struct mmu_host *h, struct host_client *c, unsigned n);
/* The late answer will not come. batch_lock held. */
void host_fill_forget(struct host_client *c);

#endif

/* plat/host/withdraw.h - taking pages out of clients, a batch at a time. See host.h. */
#ifndef UMEMCG_PLAT_HOST_WITHDRAW_H
#define UMEMCG_PLAT_HOST_WITHDRAW_H

#include "plat/mmu.h"

void host_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n);

#endif

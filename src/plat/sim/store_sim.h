/* plat/sim/store_sim.h - a store whose I/O is tasks of the simulated machine. */
#ifndef UMEMCG_PLAT_SIM_STORE_SIM_H
#define UMEMCG_PLAT_SIM_STORE_SIM_H

#include "plat/store.h"

/* Slots in the arena. Set-up only. */
struct store *store_sim_create(uint64_t nr_slots);

#endif

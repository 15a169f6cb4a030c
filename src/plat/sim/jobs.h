/* plat/sim/jobs.h - the exhaustive search over several processes: the parent hands out choices of
 * its stack. */
#ifndef UMEMCG_PLAT_SIM_JOBS_H
#define UMEMCG_PLAT_SIM_JOBS_H

#include "plat/sim/explore.h"

/* At most @children; @search runs in a child and ends with jobs_report; @take receives its results
 * in the parent. */
void jobs_begin(unsigned children, struct explore *x, void (*search)(struct explore *x, int pipe),
		void (*take)(struct explore *x, const struct explore *from));
void jobs_report(int pipe, const struct explore *x);
/* Collect finished results, hand out what can be. */
void jobs_share(void);
/* As dpor_next, but waits for children where choices depend on them. */
bool jobs_next(void);
/* Wait for, or end, every child. */
void jobs_end(void);

#endif

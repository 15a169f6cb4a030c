/* cli/run_status.h - what is said while the program runs: the status line, and that it thrashes.
 *
 * Locks: none; the main thread's.
 */
#ifndef UMEMCG_CLI_RUN_STATUS_H
#define UMEMCG_CLI_RUN_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/thrash.h"

struct console;
struct supervisor;

struct run_status {
	const char *program;
	uint64_t shown_ns; /* when the status line was last shown */
	int64_t faults;    /* by then */
	struct thrash thrash;
};

void run_status_init(struct run_status *r, const char *program);
/* Milliseconds until run_status_update has something to do; -1: nothing. */
int run_status_pause_ms(const struct run_status *r, const struct console *c);
/* @at_once: show the status line however little time has passed. */
void run_status_update(struct run_status *r, struct console *c, struct supervisor *s, bool at_once);

#endif

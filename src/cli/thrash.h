/* cli/thrash.h - notices that a program thrashes: that it spends its time on waiting for memory.
 *
 * While pages come back from swap fast, its threads are looked at every THRASH_LOOK_MS. From such a
 * window of THRASH_WINDOW_S follows how much of their time went to waiting for pages and to the
 * kernel's part of that. The program is not said to thrash for a moment's work, nor without a limit
 * that a higher one would help.
 *
 * Locks: none; the main thread's.
 */
#ifndef UMEMCG_CLI_THRASH_H
#define UMEMCG_CLI_THRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/process/strain.h"

#define THRASH_PAUSE_MS 1000 /* between two looks at the number of pages */
#define THRASH_LOOK_MS  50
#define THRASH_WINDOW_S 5
#define THRASH_PERCENT  80  /* from here on it is worth a word */
#define THRASH_PAGES    500 /* per second; fewer are no cause */

struct thrash {
	uint64_t start_ns; /* of the window; 0: none */
	uint64_t last_ns;  /* of the last look */
	int64_t pages;     /* that had come back at the start of the window */
	int64_t last_pages;
	unsigned waiting, looks;     /* threads in the window, over all looks */
	uint64_t user_us, system_us; /* at its start */
	bool said;
};

/* Milliseconds from one call of thrash_look to the next; -1: none. */
int thrash_pause_ms(const struct thrash *t);
/* Is it time for thrash_look? */
bool thrash_due(const struct thrash *t, uint64_t now_ns);
/* @pages: that came back from swap so far. @look: what the threads do; NULL: not looked at, since
 * thrash_wants_look was false. The percentage of time, when it is to be said; else 0. Pure, but for
 * @t. */
int thrash_look(struct thrash *t, uint64_t now_ns, int64_t pages, const struct strain *look);
bool thrash_wants_look(const struct thrash *t, int64_t pages, uint64_t now_ns);

#endif

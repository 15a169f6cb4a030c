/* check/search/textbook.h - programs with a known number of traces: textbook.c. */
#ifndef UMEMCG_CHECK_TEXTBOOK_H
#define UMEMCG_CHECK_TEXTBOOK_H

#include <stdio.h>

#include "plat/sim/explore.h"

struct textbook {
	const char *name;
	unsigned n;                 /* threads */
	unsigned traces, deadlocks; /* as published */
	void (*task)(void *arg);
	bool done;                  /* out */
	struct explore_stats stats; /* out */
};

/* NULL after the last. */
struct textbook *textbook_program(unsigned i);
/* False: another number than published. */
bool textbook_run(struct textbook *p);
/* One line each; false if one is wrong. */
bool textbook_bench(FILE *out);

#endif
